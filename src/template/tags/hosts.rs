//! The hosts that `httpGet` asks: how many requests each gets at once, and which are skipped because they were silent.
//!
//! Containers may choose the host that a template asks. A silent host delays only the first templates that ask it; for
//! a while after that, requests to it fail at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The maximum number of simultaneous requests to one host.
const AT_ONCE: usize = 16;

/// How long a silent host is not asked again.
const LEFT_ALONE: Duration = Duration::from_secs(30);

/// This many hosts are remembered. Naming more of them gains nothing: an unknown host is always asked.
const MOST: usize = 1024;

/// The known state of hosts, by name and port.
#[derive(Debug, Default)]
pub(super) struct Hosts(Mutex<HashMap<String, Host>>);

#[derive(Debug)]
struct Host {
    requests: Arc<Semaphore>,
    /// Not asked before this time.
    left_alone: Option<Instant>,
}

/// The host did not answer a short while ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it did not answer lately, and is asked again in half a minute")]
pub(super) struct Silent;

impl Hosts {
    /// Waits until the host may be asked. Dropping the permit ends the request.
    ///
    /// # Errors
    /// When it was silent lately, or proves to be silent during the wait.
    pub(super) async fn ask(&self, host: &str) -> Result<Option<OwnedSemaphorePermit>, Silent> {
        let requests = self.requests(host)?;
        // The semaphore is never closed.
        let permit = requests.acquire_owned().await.ok();
        self.requests(host)?;
        Ok(permit)
    }

    /// The host did not answer in time.
    pub(super) fn was_silent(&self, host: &str) {
        self.with(|hosts| {
            if let Some(host) = hosts.get_mut(host) {
                host.left_alone = Some(Instant::now() + LEFT_ALONE);
            }
        });
    }

    fn requests(&self, host: &str) -> Result<Arc<Semaphore>, Silent> {
        let now = Instant::now();
        self.with(|hosts| {
            if !hosts.contains_key(host) && hosts.len() >= MOST {
                hosts.retain(|_, host| host.is_of_interest(now));
            }
            if !hosts.contains_key(host) && hosts.len() >= MOST {
                return Ok(Arc::new(Semaphore::new(AT_ONCE)));
            }
            let host = hosts
                .entry(host.to_owned())
                .or_insert_with(|| Host { requests: Arc::new(Semaphore::new(AT_ONCE)), left_alone: None });
            if host.left_alone.is_some_and(|until| now < until) {
                return Err(Silent);
            }
            Ok(Arc::clone(&host.requests))
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<String, Host>) -> T) -> T {
        // No operation under this lock can leave the data inconsistent.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Host {
    fn is_of_interest(&self, now: Instant) -> bool {
        self.requests.available_permits() < AT_ONCE || self.left_alone.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{advance, timeout};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_host_is_left_alone_for_a_while_and_others_are_not() {
        let hosts = Hosts::default();
        drop(hosts.ask("a:80").await.unwrap());
        hosts.was_silent("a:80");
        assert_eq!(hosts.ask("a:80").await.unwrap_err(), Silent);
        assert!(hosts.ask("a:81").await.is_ok());
        advance(LEFT_ALONE).await;
        assert!(hosts.ask("a:80").await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_gets_a_limited_number_of_requests_and_waiting_ones_fail_when_it_is_silent() {
        let hosts = Arc::new(Hosts::default());
        let mut asking = Vec::new();
        for _ in 0..AT_ONCE {
            asking.push(hosts.ask("a:80").await.unwrap());
        }
        let waiting = tokio::spawn({
            let hosts = Arc::clone(&hosts);
            async move { hosts.ask("a:80").await.map(|_| ()) }
        });
        let second = timeout(Duration::from_secs(1), hosts.ask("a:80")).await;
        assert!(second.is_err(), "it was asked at once");
        hosts.was_silent("a:80");
        asking.clear();
        assert_eq!(waiting.await.unwrap(), Err(Silent));
    }

    #[tokio::test(start_paused = true)]
    async fn the_number_of_remembered_hosts_is_limited() {
        let hosts = Hosts::default();
        for number in 0..10 * MOST {
            assert!(hosts.ask(&number.to_string()).await.is_ok());
        }
        for number in 0..10 * MOST {
            let _ = hosts.ask(&number.to_string()).await;
            hosts.was_silent(&number.to_string());
        }
        assert!(hosts.with(|hosts| hosts.len()) <= MOST);
        assert!(hosts.ask("another").await.is_ok());
    }
}
