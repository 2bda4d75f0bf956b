//! A zone as it was read, and the entries in it. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use hickory_proto::rr::{RData, Record, RecordType};

use crate::registry::dns::Spot;
use crate::registry::{Entry, Marked};

use super::claim::Claim;
use super::names::{LONGEST, Names, set_of, spelt};

/// A name in lower case and a type.
pub(super) type Set = (String, RecordType);

/// Sets of records.
#[derive(Default)]
pub(super) struct Zone {
    sets: HashMap<Set, Vec<RData>>,
    /// Sets that the server has, but that do not fit into an answer.
    oversized: HashSet<Set>,
}

impl Zone {
    /// Takes records in.
    pub(super) fn extend(&mut self, records: impl IntoIterator<Item = Record>) {
        for record in records {
            self.sets.entry(set_of(&record)).or_default().push(record.data);
        }
    }

    /// Notes that a set cannot be read.
    pub(super) fn set_oversized(&mut self, set: Set) {
        self.oversized.insert(set);
    }

    /// A set; empty if there is none.
    pub(super) fn set(&self, set: &Set) -> &[RData] {
        self.sets.get(set).map_or(&[], Vec::as_slice)
    }

    fn has(&self, record: &Record) -> bool {
        let set = set_of(record);
        self.oversized.contains(&set) || self.set(&set).contains(&record.data)
    }

    /// All claims, by their places. Where several stand in one, the first of them counts.
    pub(super) fn claims(&self, names: &Names) -> BTreeMap<Spot, Claim> {
        let zone = format!(".{}", spelt(&names.zone));
        let txt = self.sets.iter().filter(|((_, kind), _)| *kind == RecordType::TXT);
        txt.filter_map(|((name, _), set)| Some((Spot::read(name.strip_suffix(&zone)?, LONGEST)?, claim_of(set)?)))
            .collect()
    }

    /// The entry of a claim. If some of its records are missing, or its own address is another, its fingerprint is no
    /// service's.
    pub(super) fn entry(&self, names: &Names, (spot, claim): (&Spot, &Claim), contents: bool) -> Entry {
        let key: Arc<str> = names.key(spot).into();
        let fingerprint = claim.fingerprint();
        Entry {
            service_id: claim.id.as_deref().map_or_else(|| Arc::clone(&key), Into::into),
            key,
            owner: Some(claim.owner.as_str().into()),
            fingerprint: if self.is_whole(names, spot, claim) { fingerprint } else { !fingerprint },
            marked: Marked::No,
            critical: false,
            content: contents.then(|| Box::new(claim.as_content(&spot.name))),
        }
    }

    fn is_whole(&self, names: &Names, spot: &Spot, claim: &Claim) -> bool {
        let own = spelt(&names.own(spot));
        let addresses = [RecordType::A, RecordType::AAAA]
            .into_iter()
            .flat_map(|kind| self.set(&(own.clone(), kind)).iter())
            .collect::<Vec<_>>();
        let expected = names.own_address(spot, claim);
        addresses == expected.iter().map(|record| &record.data).collect::<Vec<_>>()
            && names.shared_records(spot, claim).iter().all(|record| self.has(record))
            && names.pointer(spot, claim).is_none_or(|(_, record)| self.has(&record))
    }
}

/// The claim in a set of TXT records.
pub(super) fn claim_of(set: &[RData]) -> Option<Claim> {
    let claims = set.iter().filter_map(|data| match data {
        RData::TXT(txt) => Claim::read(txt),
        _ => None,
    });
    claims.min_by(|one, other| one.strings().cmp(&other.strings()))
}
