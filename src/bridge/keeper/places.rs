//! All that is known of each key: who claims it, what should become of it, and what the registry holds there.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use super::intents::{Claim, Intent};
use crate::registry::Entry;
use crate::service::Source;

/// What is known of one key.
#[derive(Debug, Default)]
pub(super) struct Place {
    /// Who claims it; the first in rank has it.
    pub(super) claims: SmallVec<[Claim; 1]>,
    /// What should become of it, if anybody here wants, or wanted, something of it.
    pub(super) intent: Option<Intent>,
    /// What the registry holds there, as far as is known: read by the last compare, then kept up by our writes.
    pub(super) actual: Option<Entry>,
}

impl Place {
    fn is_empty(&self) -> bool {
        self.claims.is_empty() && self.intent.is_none() && self.actual.is_none()
    }
}

/// Every key of which something is known.
///
/// One table for all of it: where everything is right, each of twenty thousand keys is claimed, intended and held.
#[derive(Debug, Default)]
pub(super) struct Places(HashMap<Arc<str>, Place>);

impl Places {
    /// What is known of a key, if anything is.
    pub(super) fn get(&self, key: &str) -> Option<&Place> {
        self.0.get(key)
    }

    /// What should become of a key.
    pub(super) fn intent(&self, key: &str) -> Option<&Intent> {
        self.get(key)?.intent.as_ref()
    }

    /// What the registry holds at a key.
    pub(super) fn actual(&self, key: &str) -> Option<&Entry> {
        self.get(key)?.actual.as_ref()
    }

    /// Changes what is known of a key.
    pub(super) fn change<T>(&mut self, key: &Arc<str>, change: impl FnOnce(&mut Place) -> T) -> T {
        let place = self.0.entry(Arc::clone(key)).or_default();
        let outcome = change(place);
        if place.is_empty() {
            self.0.remove(key);
        }
        outcome
    }

    /// Puts a claim among those on a key.
    pub(super) fn claim(&mut self, key: &Arc<str>, claim: Claim) {
        self.change(key, |place| {
            place.claims.push(claim);
            place.claims.sort_by(Claim::rank);
        });
    }

    /// Takes the claim of a port of a container from a key, and says whether there was one.
    pub(super) fn disclaim(&mut self, key: &Arc<str>, source: &Source) -> bool {
        self.change(key, |place| {
            let before = place.claims.len();
            place.claims.retain(|claim| !claim.service.is_from(source));
            place.claims.len() < before
        })
    }

    /// Takes what the registry was just read to hold in place of what was known of that; most of it is `owner`'s.
    pub(super) fn hold(&mut self, entries: Vec<Entry>, owner: &Arc<str>) {
        self.0.values_mut().for_each(|place| place.actual = None);
        for mut entry in entries {
            // In the words that are there already: twenty thousand entries are kept.
            if let Some((key, _)) = self.0.get_key_value(&entry.key) {
                entry.key = Arc::clone(key);
            }
            if entry.service_id == entry.key {
                entry.service_id = Arc::clone(&entry.key);
            }
            if entry.owner.as_ref() == Some(owner) {
                entry.owner = Some(Arc::clone(owner));
            }
            let place = self.0.entry(Arc::clone(&entry.key)).or_default();
            place.actual = Some(entry);
        }
        self.0.retain(|_, place| !place.is_empty());
    }

    /// All keys.
    pub(super) fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.0.keys()
    }

    /// The keys that anybody here wants, or wanted, something of.
    pub(super) fn intended(&self) -> Vec<Arc<str>> {
        let intended = self.0.iter().filter(|(_, place)| place.intent.is_some()).map(|(key, _)| Arc::clone(key));
        let mut keys = Vec::with_capacity(self.0.len());
        keys.extend(intended);
        keys
    }

    /// What the registry holds, and whether anybody here wants, or wanted, something of its key.
    pub(super) fn held(&self) -> impl Iterator<Item = (&Entry, bool)> {
        self.0.values().filter_map(|place| Some((place.actual.as_ref()?, place.intent.is_some())))
    }
}
