//! Answers that clients have not taken yet: they take memory, so they are counted.
//!
//! An answer that many are sent is held but once, and counts for nobody. One that is made for one client alone counts until
//! that client has taken it, and no client has more than half of what there is room for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::network::Network;

const KILOBYTE: usize = 1024;

/// Answers below this size are never counted: as many as there are connections take little.
const SMALL: usize = 4 * KILOBYTE;

/// Counts what is held, in bytes.
pub struct Unsent {
    most: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: usize,
    of: HashMap<Network, usize>,
}

/// An answer that is counted while it is held.
struct Held {
    json: Bytes,
    counted: usize,
    client: Network,
    unsent: Arc<Unsent>,
}

impl Unsent {
    /// There is room for so many bytes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, state: Mutex::default() }
    }

    /// Counts an answer until the client has taken it; `None` where too much is held already.
    #[must_use]
    pub fn hold(this: &Arc<Self>, json: Bytes, client: Network) -> Option<Bytes> {
        if json.len() < SMALL || !json.is_unique() {
            return Some(json);
        }
        // One that is larger than all that may be held is held alone.
        let counted = json.len().min(this.most);
        let mut state = this.lock();
        let own = state.of.get(&client).copied().unwrap_or_default();
        if state.held + counted > this.most || (own > 0 && own + counted > this.most / 2) {
            return None;
        }
        state.held += counted;
        *state.of.entry(client).or_default() += counted;
        drop(state);
        Some(Bytes::from_owner(Held { json, counted, client, unsent: Arc::clone(this) }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.unsent.lock();
        state.held -= self.counted;
        if let Some(own) = state.of.get_mut(&self.client) {
            *own -= self.counted;
            if *own == 0 {
                state.of.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u8) -> Network {
        Network::of_client([192, 0, number, 1].into())
    }

    fn answer(kilobytes: usize) -> Bytes {
        vec![b'x'; kilobytes * KILOBYTE].into()
    }

    #[test]
    fn one_client_has_half_of_the_room_and_gives_it_back() {
        let unsent = Arc::new(Unsent::new(100 * KILOBYTE));
        let first = Unsent::hold(&unsent, answer(40), client(1)).unwrap();
        assert_eq!(Unsent::hold(&unsent, answer(20), client(1)), None);
        let other = Unsent::hold(&unsent, answer(50), client(2));
        assert!(other.is_some());
        assert_eq!(Unsent::hold(&unsent, answer(20), client(3)), None, "there is no more room");
        drop(first);
        assert!(Unsent::hold(&unsent, answer(20), client(1)).is_some());
        drop(other);
        let state = unsent.lock();
        assert_eq!((state.held, state.of.len()), (0, 0));
    }

    #[test]
    fn what_is_larger_than_the_room_is_held_alone_and_what_is_small_or_shared_is_not_counted() {
        let unsent = Arc::new(Unsent::new(100 * KILOBYTE));
        let huge = Unsent::hold(&unsent, answer(500), client(1)).unwrap();
        assert_eq!((huge.len(), Unsent::hold(&unsent, answer(10), client(2))), (500 * KILOBYTE, None));
        assert!(Unsent::hold(&unsent, answer(3), client(2)).is_some());
        let shared = answer(50);
        assert!(Unsent::hold(&unsent, shared.clone(), client(2)).is_some());
        drop(shared);
    }
}
