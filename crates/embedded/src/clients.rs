//! How many connections each client has, so that one client never takes those of all.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts connections by the address that they come from.
pub(super) struct Clients {
    most: usize,
    held: Arc<Held>,
}

#[derive(Default)]
struct Held(Mutex<HashMap<IpAddr, usize>>);

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to hold one connection, given back when dropped.
pub(super) struct Leave {
    held: Arc<Held>,
    client: IpAddr,
}

impl Clients {
    /// Each may have so many.
    pub(super) fn new(most: usize) -> Self {
        Self { most, held: Arc::default() }
    }

    /// Leave for one more connection of this client; `None` where it has its share.
    pub(super) fn admit(&self, client: SocketAddr) -> Option<Leave> {
        let client = client.ip().to_canonical();
        let mut held = self.held.lock();
        let count = held.entry(client).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Leave { held: Arc::clone(&self.held), client })
    }
}

impl Drop for Leave {
    fn drop(&mut self) {
        let mut held = self.held.lock();
        if let Some(count) = held.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_has_its_share_and_gets_it_back() {
        let clients = Clients::new(2);
        let ask = |client: &str| clients.admit(client.parse().unwrap());
        let first = ask("192.0.2.1:1").unwrap();
        let _second = ask("[::ffff:192.0.2.1]:2").unwrap();
        assert!(ask("192.0.2.1:3").is_none());
        assert!(ask("192.0.2.2:1").is_some());
        drop(first);
        assert!(ask("192.0.2.1:3").is_some());
        assert_eq!(clients.held.lock().len(), 1, "who has none takes no memory");
    }
}
