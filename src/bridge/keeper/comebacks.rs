//! Who writes an entry that comes back after it was removed because nothing stood behind it: we, with a write that
//! was given up and still arrived, or somebody else who goes by our owner's name.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

/// How long a write that failed on the way may still arrive.
const STRAY: Duration = Duration::from_secs(600);

/// What is known of the keys that were emptied, and of our writes that may still arrive at them.
#[derive(Debug, Default)]
pub(super) struct Comebacks {
    emptied: HashSet<String>,
    /// How many writes of a key failed on the way, and when the last did. Each arrives once at most, so each explains
    /// one return.
    strays: HashMap<String, (u32, Instant)>,
}

impl Comebacks {
    /// A write of this key failed on the way.
    pub(super) fn strayed(&mut self, key: &str) {
        let (count, last) = self.strays.entry(key.to_owned()).or_insert((0, Instant::now()));
        *count += 1;
        *last = Instant::now();
    }

    /// It was removed, for nothing stood behind it.
    pub(super) fn emptied(&mut self, key: &str) {
        match self.strays.get_mut(key) {
            Some((count, _)) if *count > 1 => *count -= 1,
            Some(_) => drop(self.strays.remove(key)),
            None => drop(self.emptied.insert(key.to_owned())),
        }
    }

    /// We registered something there.
    pub(super) fn filled(&mut self, key: &str) {
        self.emptied.remove(key);
    }

    /// Whether what stands there now, with nothing behind it, cannot be a write of ours.
    pub(super) fn is_anothers(&self, key: &str) -> bool {
        self.emptied.contains(key) && !self.strays.contains_key(key)
    }

    /// Forgets the writes that no longer arrive.
    pub(super) fn settle(&mut self) {
        self.strays.retain(|_, (_, last)| last.elapsed() < STRAY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_write_that_strayed_explains_one_return_and_no_more() {
        let mut comebacks = Comebacks::default();
        comebacks.strayed("a");
        comebacks.strayed("a");
        for _ in 0..2 {
            comebacks.emptied("a");
            assert!(!comebacks.is_anothers("a"));
        }
        comebacks.emptied("a");
        assert!(comebacks.is_anothers("a") && !comebacks.is_anothers("b"));
        comebacks.strayed("a");
        assert!(!comebacks.is_anothers("a"), "one that was begun after it was emptied may still arrive");
        comebacks.emptied("a");
        assert!(comebacks.is_anothers("a"));
        comebacks.filled("a");
        assert!(!comebacks.is_anothers("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_strayed_long_ago_explains_nothing() {
        let mut comebacks = Comebacks::default();
        comebacks.strayed("a");
        tokio::time::advance(STRAY - Duration::from_secs(1)).await;
        comebacks.settle();
        assert_eq!(comebacks.strays.len(), 1);
        tokio::time::advance(Duration::from_secs(1)).await;
        comebacks.settle();
        comebacks.emptied("a");
        assert!(comebacks.is_anothers("a"));
    }
}
