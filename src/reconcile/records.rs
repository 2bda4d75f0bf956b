//! Every key of which something is known. One table, and nothing beside it.

use std::collections::HashMap;
use std::sync::Arc;

use super::record::Record;

/// The records by key.
#[derive(Debug, Default)]
pub(super) struct Records(HashMap<Arc<str>, Record>);

impl Records {
    pub(super) fn get(&self, key: &str) -> Option<&Record> {
        self.0.get(key)
    }

    /// Changes what is known of a key.
    pub(super) fn change<T>(&mut self, key: &Arc<str>, change: impl FnOnce(&mut Record) -> T) -> T {
        let record = self.0.entry(Arc::clone(key)).or_default();
        let outcome = change(record);
        if record.is_empty() {
            self.0.remove(key);
        }
        outcome
    }

    /// Changes what is known of a key, if anything is.
    pub(super) fn change_known<T>(&mut self, key: &str, change: impl FnOnce(&mut Record) -> T) -> Option<T> {
        let record = self.0.get_mut(key)?;
        let outcome = change(record);
        if record.is_empty() {
            self.0.remove(key);
        }
        Some(outcome)
    }

    /// The key as it is kept already: twenty thousand entries are.
    pub(super) fn shared_key(&self, key: &Arc<str>) -> Arc<str> {
        self.0.get_key_value(key).map_or_else(|| Arc::clone(key), |(known, _)| Arc::clone(known))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Record)> {
        self.0.iter()
    }

    /// Changes every record, and drops those that are empty then.
    pub(super) fn change_all(&mut self, mut change: impl FnMut(&Arc<str>, &mut Record)) {
        self.0.retain(|key, record| {
            change(key, record);
            !record.is_empty()
        });
    }

    /// How many keys are known.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
