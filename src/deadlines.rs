//! Deadlines by key: the one timer type of the program.

use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;

use tokio::time::Instant;

/// Deadlines by key, each key once, the earliest first.
#[derive(Debug)]
pub(crate) struct Deadlines<K> {
    by_time: BTreeSet<(Instant, K)>,
    by_key: HashMap<K, Instant>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Self { by_time: BTreeSet::new(), by_key: HashMap::new() }
    }
}

impl<K: Clone + Eq + Hash + Ord> Deadlines<K> {
    /// Sets the deadline of this key, and replaces an earlier one.
    pub(crate) fn set(&mut self, key: K, due: Instant) {
        self.remove(&key);
        self.by_key.insert(key.clone(), due);
        self.by_time.insert((due, key));
    }

    /// Sets the deadline of this key, unless it has one already.
    pub(crate) fn set_if_absent(&mut self, key: K, due: Instant) {
        if !self.by_key.contains_key(&key) {
            self.set(key, due);
        }
    }

    /// Removes the deadline of this key.
    pub(crate) fn remove(&mut self, key: &K) {
        if let Some((key, due)) = self.by_key.remove_entry(key) {
            self.by_time.remove(&(due, key));
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_time.first().map(|(due, _)| *due)
    }

    /// Takes one key whose deadline has passed at this time, the earliest first.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_key_is_due_once_at_the_time_that_was_said_last(changes in prop::collection::vec((0_u8..8, 0_u64..20, 0..3), 0..60)) {
            let start = Instant::now();
            let at = |tick| start + Duration::from_secs(tick);
            let mut deadlines = Deadlines::default();
            let mut expected = HashMap::new();
            for (key, tick, change) in changes {
                match change {
                    0 => deadlines.set(key, at(tick)),
                    1 => deadlines.set_if_absent(key, at(tick)),
                    _ => deadlines.remove(&key),
                }
                match change {
                    0 => drop(expected.insert(key, tick)),
                    1 => drop(expected.entry(key).or_insert(tick)),
                    _ => drop(expected.remove(&key)),
                }
            }
            for tick in 0..20 {
                let mut due: Vec<_> = expected.iter().filter(|(_, due)| **due == tick).map(|(key, _)| *key).collect();
                due.sort_unstable();
                prop_assert_eq!(deadlines.next(), expected.values().filter(|due| **due >= tick).min().map(|tick| at(*tick)));
                let popped: Vec<_> = std::iter::from_fn(|| deadlines.pop(at(tick))).collect();
                prop_assert_eq!(popped, due);
            }
            prop_assert_eq!(deadlines.next(), None);
        }
    }
}
