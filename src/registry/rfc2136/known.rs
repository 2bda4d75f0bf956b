//! What is known of a zone's claims, so that no record goes that another entry needs. Pure.
//!
//! Several entries share a record where they have the same name and address. It is deleted with the last of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use hickory_proto::rr::Record;

use crate::container::Protocol;
use crate::registry::dns::Spot;

use super::claim::Claim;
use super::names::Names;
use super::read::Found;

/// The maximum size of a set, which has to fit into one message with a signature: Knot cannot even transfer a zone with a
/// larger one.
const MOST_BYTES: usize = 64_000;

/// All claims that were read or written.
pub(super) struct Known {
    names: Names,
    claims: BTreeMap<Spot, Claim>,
    /// By record, who needs it.
    uses: HashMap<String, HashSet<Spot>>,
    /// By name, how many entries there are.
    by_name: HashMap<String, usize>,
    /// By name and protocol, how many bytes of an answer its SRV records take.
    srv: HashMap<(String, Protocol), usize>,
}

impl Known {
    pub(super) fn new(names: Names) -> Self {
        Self { names, claims: BTreeMap::new(), uses: HashMap::new(), by_name: HashMap::new(), srv: HashMap::new() }
    }

    /// Takes what was read instead of what was known, as far as that goes.
    pub(super) fn replace(&mut self, found: &Found, owner: &str) {
        let gone: Vec<_> = self
            .claims
            .iter()
            .filter(|(spot, claim)| (found.is_all || claim.owner == owner) && !found.claims.contains_key(spot))
            .map(|(spot, _)| spot.clone())
            .collect();
        for spot in gone {
            self.set(&spot, None);
        }
        for (spot, claim) in &found.claims {
            self.set(spot, Some(claim.clone()));
        }
    }

    /// Whose the entry in a place is.
    pub(super) fn owner(&self, spot: &Spot) -> Option<&str> {
        self.claims.get(spot).map(|claim| claim.owner.as_str())
    }

    /// A place holds this claim now.
    pub(super) fn set(&mut self, spot: &Spot, claim: Option<Claim>) {
        if self.claims.get(spot) == claim.as_ref() {
            return;
        }
        if let Some(old) = self.claims.remove(spot) {
            for record in self.names.shared_records(spot, &old) {
                let record = identity(&record);
                if let Some(users) = self.uses.get_mut(&record) {
                    users.remove(spot);
                    if users.is_empty() {
                        self.uses.remove(&record);
                    }
                }
            }
            if let Some(bytes) = self.srv.get_mut(&(spot.name.clone(), old.held.protocol)) {
                *bytes = bytes.saturating_sub(self.names.srv_bytes(spot));
            }
            if let Some(count) = self.by_name.get_mut(&spot.name) {
                *count -= 1;
                if *count == 0 {
                    self.by_name.remove(&spot.name);
                    self.srv.retain(|(name, _), _| *name != spot.name);
                }
            }
        }
        if let Some(claim) = claim {
            for record in self.names.shared_records(spot, &claim) {
                self.uses.entry(identity(&record)).or_default().insert(spot.clone());
            }
            *self.srv.entry((spot.name.clone(), claim.held.protocol)).or_default() += self.names.srv_bytes(spot);
            *self.by_name.entry(spot.name.clone()).or_default() += 1;
            self.claims.insert(spot.clone(), claim);
        }
    }

    /// Whether an entry needs this record.
    pub(super) fn needs(&self, record: &Record) -> bool {
        self.uses.contains_key(&identity(record))
    }

    /// Whether a name has more SRV records than fit into an answer.
    pub(super) fn is_too_much(&self, name: &str, protocol: Protocol) -> bool {
        self.srv.get(&(name.to_owned(), protocol)).is_some_and(|bytes| *bytes > MOST_BYTES)
    }

    /// Whether an entry has this name.
    pub(super) fn has_name(&self, name: &str) -> bool {
        self.by_name.contains_key(name)
    }

    /// Whether an owner has an entry.
    pub(super) fn has_owner(&self, owner: &str) -> bool {
        self.claims.values().any(|claim| claim.owner == owner)
    }
}

/// A record without its TTL.
fn identity(record: &Record) -> String {
    format!("{} {} {}", record.name, record.record_type(), record.data)
}
