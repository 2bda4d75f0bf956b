//! What this process has written, by name: discoverd has no list of names, and tells of no change that is asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::instance::Instance;

/// The fingerprints of the entries of a name, by key.
type Entries = BTreeMap<String, u64>;

/// What was written.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    by_name: HashMap<String, Entries>,
    /// Names that are still to be looked at in this round.
    round: Vec<String>,
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// This instance was written.
    pub(super) fn written(&self, instance: &Instance) {
        let mut state = self.lock();
        let entries = state.by_name.entry(instance.name.clone()).or_default();
        entries.insert(instance.key(), instance.fingerprint());
    }

    /// The entry at this key was removed.
    pub(super) fn removed(&self, key: &str) {
        let name = key.split('/').next().unwrap_or_default();
        if let Some(entries) = self.lock().by_name.get_mut(name) {
            entries.remove(key);
        }
    }

    /// What was known of a name no longer holds; that it is ours stays known.
    pub(super) fn forget(&self, name: &str) {
        self.lock().by_name.insert(name.to_owned(), Entries::new());
    }

    /// All names.
    pub(super) fn names(&self) -> BTreeSet<String> {
        self.lock().by_name.keys().cloned().collect()
    }

    /// What is known of a name.
    pub(super) fn of(&self, name: &str) -> Option<Entries> {
        self.lock().by_name.get(name).cloned()
    }

    /// Whether what was found is not what was written.
    pub(super) fn differs(&self, name: &str, found: &[Instance]) -> bool {
        let found: HashMap<_, _> = found.iter().map(|instance| (instance.key(), instance.fingerprint())).collect();
        let state = self.lock();
        let mut entries = state.by_name.get(name).into_iter().flatten();
        entries.any(|(key, fingerprint)| found.get(key) != Some(fingerprint))
    }

    /// Takes over what was read of names. One without any instance is forgotten.
    pub(super) fn read<'a>(
        &self,
        names: &BTreeSet<String>,
        instances: impl Iterator<Item = &'a Instance>,
        is_ours: impl Fn(&Instance) -> bool,
    ) {
        let mut found = HashMap::<String, Entries>::new();
        for instance in instances {
            let entries = found.entry(instance.name.clone()).or_default();
            if is_ours(instance) {
                entries.insert(instance.key(), instance.fingerprint());
            }
        }
        let mut state = self.lock();
        for name in names {
            match found.remove(name) {
                Some(entries) => drop(state.by_name.insert(name.clone(), entries)),
                None => drop(state.by_name.remove(name)),
            }
        }
    }

    /// The next name to look at, each in turn.
    pub(super) fn next(&self) -> Option<String> {
        let mut state = self.lock();
        if state.round.is_empty() {
            let mut round: Vec<_> = state.by_name.keys().cloned().collect();
            fastrand::shuffle(&mut round);
            state.round = round;
        }
        state.round.pop()
    }
}
