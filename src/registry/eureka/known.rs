//! What this process has written, so that a list from a server's cache is not taken for the present.
//!
//! A server answers a list from a cache that is up to 30 seconds old, while a single instance is always as it is. So what was
//! written lately and is not in the list as it was written is asked for by itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

use super::instance::Instance;

/// How long a list may lag behind: a server's cache of 30 seconds, and some of its own slowness.
const LAG: Duration = Duration::from_secs(45);

/// What is known of one key.
#[derive(Clone, Copy, Debug)]
struct Known {
    /// When it was written.
    at: Instant,
    what: What,
}

#[derive(Clone, Copy, Debug)]
enum What {
    /// An instance, with its `lastDirtyTimestamp` and its fingerprint.
    Written(u64, u64),
    /// Nothing: it was removed.
    Removed,
}

/// What was written, by key.
#[derive(Debug, Default)]
pub(super) struct Knowledge(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    known: HashMap<Arc<str>, Known>,
    /// Keys that are still to be looked at in this round.
    round: Vec<Arc<str>>,
}

impl Knowledge {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This instance was written, or found to be as it was written.
    pub(super) fn written(&self, instance: &Instance) {
        let what = What::Written(instance.dirty, instance.fingerprint());
        self.lock().known.insert(instance.key(), Known { at: Instant::now(), what });
    }

    /// What was at this key was removed.
    pub(super) fn removed(&self, key: &Arc<str>) {
        self.lock().known.insert(Arc::clone(key), Known { at: Instant::now(), what: What::Removed });
    }

    /// What was known of this key no longer holds.
    pub(super) fn forget(&self, key: &str) {
        self.lock().known.remove(key);
    }

    /// The `lastDirtyTimestamp` that we wrote last.
    pub(super) fn dirty(&self, key: &str) -> Option<u64> {
        match self.lock().known.get(key)?.what {
            What::Written(dirty, _) => Some(dirty),
            What::Removed => None,
        }
    }

    /// The fingerprint of what we wrote last.
    pub(super) fn fingerprint(&self, key: &str) -> Option<u64> {
        match self.lock().known.get(key)?.what {
            What::Written(_, fingerprint) => Some(fingerprint),
            What::Removed => None,
        }
    }

    /// The keys that a list may tell wrongly.
    pub(super) fn doubtful(&self, list: &HashMap<Arc<str>, Instance>) -> Vec<Arc<str>> {
        let mut state = self.lock();
        let is_late = |known: &Known| known.at.elapsed() > LAG;
        state.known.retain(|_, known| matches!(known.what, What::Written(..)) || !is_late(known));
        let is_doubtful = |key: &Arc<str>, known: &Known| match (known.what, list.get(key)) {
            (What::Written(dirty, _), Some(listed)) => listed.dirty < dirty,
            (What::Written(..), None) | (What::Removed, Some(_)) => true,
            (What::Removed, None) => false,
        };
        let doubtful = state.known.iter().filter(|(key, known)| !is_late(known) && is_doubtful(key, known));
        doubtful.map(|(key, _)| Arc::clone(key)).collect()
    }

    /// Takes over what a complete reading shows of our own entries.
    pub(super) fn read<'a>(&self, ours: impl Iterator<Item = &'a Instance>) {
        let mut state = self.lock();
        for instance in ours {
            let what = What::Written(instance.dirty, instance.fingerprint());
            // When it was written is not known; a list has it already.
            let at = Instant::now().checked_sub(2 * LAG).unwrap_or_else(Instant::now);
            let known = state.known.entry(instance.key()).or_insert(Known { at, what });
            if matches!(known.what, What::Written(dirty, _) if dirty < instance.dirty) {
                known.what = what;
            }
        }
    }

    /// The next key to look at, each in turn.
    pub(super) fn next(&self) -> Option<Arc<str>> {
        let mut state = self.lock();
        if state.round.is_empty() {
            let written = state.known.iter().filter(|(_, known)| matches!(known.what, What::Written(..)));
            let mut round: Vec<_> = written.map(|(key, _)| Arc::clone(key)).collect();
            fastrand::shuffle(&mut round);
            state.round = round;
        }
        state.round.pop()
    }
}
