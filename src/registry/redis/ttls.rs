//! The TTLs that keys were given. Redis tells only how much of one is left.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many different TTLs are remembered: containers may ask for any.
const MOST: usize = 1000;

/// The TTL of the settings, and those that were given since.
pub(super) struct Ttls {
    settings: Option<Duration>,
    given: Mutex<BTreeSet<Duration>>,
}

impl Ttls {
    pub(super) fn new(settings: Option<Duration>) -> Self {
        Self { settings, given: Mutex::default() }
    }

    /// A key is given this TTL.
    pub(super) fn give(&self, ttl: Duration) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        if given.len() < MOST {
            given.insert(ttl);
        }
    }

    /// The TTL of a key of which this much is left. A third of it or less is none of ours: it would end before it is
    /// refreshed.
    pub(super) fn of(&self, remaining: Duration) -> Duration {
        let fits = |ttl: &Duration| remaining <= *ttl && remaining > *ttl / 3;
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        self.settings
            .filter(fits)
            .or_else(|| given.range(remaining..).next().copied().filter(fits))
            .unwrap_or(remaining)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ttl_is_that_of_the_settings_or_the_next_that_was_given() {
        let secs = Duration::from_secs;
        let ttls = Ttls::new(Some(secs(20)));
        ttls.give(secs(12));
        ttls.give(secs(60));
        for (remaining, ttl) in [(7, 20), (20, 20), (21, 60), (60, 60), (61, 61), (6, 12), (4, 4)] {
            assert_eq!(ttls.of(secs(remaining)), secs(ttl), "{remaining}");
        }
        assert_eq!(Ttls::new(None).of(secs(3)), secs(3));
    }
}
