//! A few keys that must be there. A server that is emptied sends no events of it, so these are looked at now and then.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::registry::kv::{Applied, Operation, Transaction};

/// How many keys are looked at.
const MOST: usize = 8;

/// The keys that are looked at.
#[derive(Default)]
pub(super) struct Anchors(Mutex<BTreeSet<String>>);

impl Anchors {
    /// Takes note of what was written.
    pub(super) fn wrote<E>(&self, writes: &[Transaction], results: &[Result<Applied, E>]) {
        let mut keys = self.keys();
        for (write, result) in writes.iter().zip(results) {
            if !matches!(result, Ok(Applied::Done(_))) {
                continue;
            }
            for step in write {
                match step.operation {
                    Operation::Put { .. } if keys.len() < MOST => drop(keys.insert(step.key.clone())),
                    Operation::Delete => drop(keys.remove(&step.key)),
                    Operation::Put { .. } | Operation::Check => {}
                }
            }
        }
    }

    /// Takes note of keys that were found, if there are no others.
    pub(super) fn found<'a>(&self, found: impl Iterator<Item = &'a String>) {
        let mut keys = self.keys();
        if keys.is_empty() {
            keys.extend(found.take(MOST).cloned());
        }
    }

    /// The keys to look at.
    pub(super) fn all(&self) -> Vec<String> {
        self.keys().iter().cloned().collect()
    }

    /// These are no longer there.
    pub(super) fn lost(&self, lost: &[String]) {
        let mut keys = self.keys();
        keys.retain(|key| !lost.contains(key));
    }

    fn keys(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::kv::{Condition, Step};

    #[test]
    fn what_was_written_is_looked_at_and_what_was_removed_is_not() {
        let step = |key: &str, operation| Step { key: key.to_owned(), condition: Condition::Absent, operation };
        let put = |key: &str| step(key, Operation::Put { value: "x".to_owned(), ttl: None });
        let anchors = Anchors::default();
        let written = |write: Vec<Step>, result| anchors.wrote::<()>(&[write], &[result]);
        written(vec![put("a"), put("b"), step("c", Operation::Check)], Ok(Applied::Done(vec![0; 3])));
        written(vec![put("d")], Ok(Applied::Conflict));
        written(vec![put("e")], Err(()));
        assert_eq!(anchors.all(), ["a", "b"]);
        anchors.found(["f".to_owned()].iter());
        written(vec![step("a", Operation::Delete)], Ok(Applied::Done(vec![0])));
        anchors.lost(&["b".to_owned()]);
        assert_eq!(anchors.all(), [""; 0]);
        let many: Vec<_> = (0..20).map(|number| number.to_string()).collect();
        anchors.found(many.iter());
        assert_eq!(anchors.all().len(), MOST);
    }
}
