//! What one write changes in a zone, by what stands there now. Pure.

use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::registry::RegistryError;
use crate::registry::dns::Spot;

use super::claim::Claim;
use super::known::Known;
use super::message::Update;
use super::names::Names;
use super::zone::claim_of;

/// A write.
pub(super) struct Item {
    pub(super) spot: Spot,
    /// What shall be there; `None` to remove it.
    pub(super) claim: Option<Claim>,
}

/// What stands at the names of a write.
#[derive(Clone, Default)]
pub(super) struct Seen {
    /// The TXT records at the entry's own name.
    pub(super) own: Vec<RData>,
    /// The TXT records at the name that all instances share.
    pub(super) shared: Vec<RData>,
}

impl Seen {
    /// The claim at the entry's own name.
    pub(super) fn claim(&self) -> Option<Claim> {
        claim_of(&self.own)
    }
}

/// What to do for one write.
pub(super) enum Decision {
    /// Nothing: this is its result.
    Done(Result<(), RegistryError>),
    /// These changes.
    Change(Box<Change>),
}

/// Changes of a zone, and of the zones of reverse names: each with the zone and the record.
#[derive(Default)]
pub(super) struct Change {
    pub(super) update: Update,
    /// Reverse names to delete before.
    pub(super) before: Vec<(Name, Record)>,
    /// Reverse names to add afterwards.
    pub(super) after: Vec<(Name, Record)>,
}

/// Who decides.
pub(super) struct Judge<'a> {
    pub(super) names: &'a Names,
    pub(super) owner: &'a str,
    /// The TTL of records that belong to no entry.
    pub(super) ttl: u32,
}

impl Judge<'_> {
    /// Decides on a write. `known` has the claims of all other entries as they will be.
    pub(super) fn decide(&self, item: &Item, seen: &Seen, known: &Known) -> Decision {
        let Item { spot, claim } = item;
        let old = seen.claim();
        let mut change = Change::default();
        match (&old, claim) {
            (Some(old), Some(_)) if old.owner != self.owner => {
                let key = self.names.key(spot);
                let text = format!("{key} belongs to the owner {:?}, by its TXT record", old.owner);
                return Decision::Done(Err(RegistryError::Taken(text)));
            }
            // Ours is not there.
            (Some(old), None) if old.owner != self.owner => return Decision::Done(Ok(())),
            (Some(old), _) => self.clear(&mut change, spot, (old, &seen.own), known),
            (None, Some(claim)) if known.is_too_much(&spot.name, claim.held.protocol) => {
                let name = self.names.srv(&spot.name, claim.held.protocol).to_ascii();
                let text = format!(
                    "there are as many SRV records at {} as DNS can answer with (64 KiB); give some of the instances \
                     another name (SERVICE_NAME)",
                    name.trim_end_matches('.')
                );
                return Decision::Done(Err(RegistryError::service(text)));
            }
            (None, Some(_)) => change.update.unused(&self.names.own(spot)),
            (None, None) => {}
        }
        match claim {
            Some(claim) => self.fill(&mut change, spot, claim, &seen.shared),
            None => change.update.delete(self.names.index(self.owner, spot, self.ttl)),
        }
        // What stays needs no round trip.
        let stays: Vec<_> = change.after.iter().filter(|pointer| change.before.contains(pointer)).cloned().collect();
        change.before.retain(|pointer| !stays.contains(pointer));
        Decision::Change(Box::new(change))
    }

    /// Deletes what an old claim of ours has, as far as no other entry needs it.
    fn clear(&self, change: &mut Change, spot: &Spot, (old, set): (&Claim, &[RData]), known: &Known) {
        let own = self.names.own(spot);
        let Change { update, before, .. } = change;
        update.exactly(&own, set);
        for data in set.iter().filter(|data| claim_of(std::slice::from_ref(data)).is_some()) {
            update.delete(Record::from_rdata(own.clone(), 0, data.clone()));
        }
        // The name is ours alone.
        for kind in [RecordType::A, RecordType::AAAA] {
            update.delete_set(&own, kind);
        }
        for record in self.names.shared_records(spot, old) {
            if !known.needs(&record) {
                update.delete(record);
            }
        }
        before.extend(self.names.pointer(spot, old));
    }

    /// Adds what a claim has.
    fn fill(&self, change: &mut Change, spot: &Spot, claim: &Claim, marks: &[RData]) {
        let Change { update, after, .. } = change;
        let shared = self.names.shared(&spot.name);
        let mark = self.names.mark(&spot.name, self.ttl);
        if marks.contains(&mark.data) {
            update.exactly(&shared, marks);
        } else {
            // A name that another program uses is not for us.
            update.unused(&shared);
            for name in self.names.all_srv(&spot.name) {
                update.absent(&name, RecordType::SRV);
            }
            update.add(mark);
        }
        update.add(self.names.claim(spot, claim));
        for record in self.names.own_address(spot, claim).into_iter().chain(self.names.shared_records(spot, claim)) {
            update.add(record);
        }
        update.add(self.names.index(self.owner, spot, self.ttl));
        update.add(self.names.owner(self.owner, self.ttl));
        after.extend(self.names.pointer(spot, claim));
    }

    /// Removes the mark of a name that has no entry any more.
    pub(super) fn unmark(&self, name: &str) -> Update {
        let mut update = Update::default();
        let shared = self.names.shared(name);
        let mark = self.names.mark(name, self.ttl);
        update.exactly(&shared, std::slice::from_ref(&mark.data));
        for kind in [RecordType::A, RecordType::AAAA] {
            update.absent(&shared, kind);
        }
        for srv in self.names.all_srv(name) {
            update.absent(&srv, RecordType::SRV);
        }
        update.delete(mark);
        update
    }

    /// Removes the line that tells of our owner, when it has no entry any more.
    pub(super) fn leave(&self) -> Update {
        let mut update = Update::default();
        for shard in self.names.shards(self.owner) {
            update.absent(&shard, RecordType::TXT);
        }
        update.delete(self.names.owner(self.owner, self.ttl));
        update
    }
}
