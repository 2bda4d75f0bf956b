//! The records of all keys, in one table. Takes in what hosts desire and what is read from the registry.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::container::Health;
use crate::desired::{Desired, Evidence, Update};
use crate::registry::Entry;
use crate::service::Service;

use super::decide::Decider;
use super::record::{Claim, Record};

/// The records by key.
#[derive(Debug, Default)]
pub(super) struct Records {
    table: HashMap<Arc<str>, Record>,
    /// Number of reads so far.
    readings: u32,
    /// Number of claims that came after the first comparison.
    order: u32,
    /// Whether all containers have been listed once.
    pub(super) compared: bool,
}

/// The effects of an update.
#[derive(Debug, Default)]
pub(super) struct Updated {
    /// Keys whose desired state may have changed.
    pub(super) keys: Vec<Arc<str>>,
    /// Services that do not get their ID, each with the service that has it.
    pub(super) rivals: Vec<(Arc<Service>, Arc<Service>)>,
    /// Whether an entry is left that is no longer refreshed.
    pub(super) forgotten: bool,
}

/// What a read showed, apart from the entries themselves.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Our entries that an external writer has changed.
    pub(super) rewritten: Vec<Arc<str>>,
    /// Our entries that have disappeared.
    pub(super) gone: Vec<Arc<str>>,
}

impl Records {
    /// Makes room for so many keys at once: a table that grows is there twice for a moment.
    pub(super) fn reserve(&mut self, keys: usize) {
        self.table.reserve(keys);
    }

    pub(super) fn get(&self, key: &str) -> Option<&Record> {
        self.table.get(key)
    }

    /// Changes the record of a key, and creates it if needed.
    pub(super) fn change<T>(&mut self, key: &Arc<str>, change: impl FnOnce(&mut Record) -> T) -> T {
        let record = self.table.entry(Arc::clone(key)).or_default();
        let outcome = change(record);
        if record.is_empty() {
            self.table.remove(key);
        }
        outcome
    }

    /// Changes the record of a key, if there is one.
    pub(super) fn change_known<T>(&mut self, key: &str, change: impl FnOnce(&mut Record) -> T) -> Option<T> {
        let record = self.table.get_mut(key)?;
        let outcome = change(record);
        if record.is_empty() {
            self.table.remove(key);
        }
        Some(outcome)
    }

    /// Changes every record, and drops those that are empty afterwards.
    pub(super) fn change_all(&mut self, mut change: impl FnMut(&Arc<str>, &mut Record)) {
        self.table.retain(|key, record| {
            change(key, record);
            !record.is_empty()
        });
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Record)> {
        self.table.iter()
    }

    /// The keys that a host desires, or has desired; and of what this run wrote, which need not carry our owner.
    pub(super) fn wanted_keys(&self) -> Vec<Arc<str>> {
        let mut keys = Vec::with_capacity(self.table.len());
        let wanted = self.table.iter().filter(|(_, record)| record.ours || record.service().is_some());
        keys.extend(wanted.map(|(key, _)| Arc::clone(key)));
        keys
    }

    /// Takes an update from a host.
    pub(super) fn update(&mut self, update: &Update, decider: &Decider) -> Updated {
        let present = decider.present(&update.desired);
        let key = present.map(|(service, _)| decider.key(service));
        let old_key = update.was.as_ref().map(|was| decider.key(was));
        let disclaimed =
            old_key.as_ref().and_then(|old| self.change_known(old, |record| record.disclaim(&update.source))).flatten();
        let moved = old_key != key;
        let mut updated = Updated::default();
        if let (Some(key), Some((service, mode))) = (&key, present) {
            let before = disclaimed.as_ref().filter(|_| !moved).map(|disclaimed| &disclaimed.claim);
            let stays = before.filter(|before| before.mode.is_serving() || !mode.is_serving());
            let order = stays.map_or_else(|| self.next_order(), |before| before.order);
            let new = stays.is_none();
            self.change(key, |record| {
                record.if_trouble(|trouble| {
                    if let Some(reaped) = &trouble.reaped {
                        trouble.reaped = (!is_another_chance(reaped, service)).then(|| Arc::clone(service));
                    }
                });
                record.claim(Claim { service: Arc::clone(service), mode, order });
                if new {
                    updated.rivals = rivals(record, service);
                }
            });
        }
        if let Some(old) = old_key.filter(|_| moved)
            && let Some(disclaimed) = disclaimed
        {
            let evidence = if let Desired::Absent(evidence) = update.desired { evidence } else { Evidence::Event };
            updated.forgotten = update.desired == Desired::Forgotten;
            self.change(&old, |record| {
                if updated.forgotten {
                    record.forget_withdrawn();
                } else {
                    record.withdraw(disclaimed, evidence);
                }
                record.if_trouble(|trouble| trouble.reaped = None);
            });
            updated.keys.push(old);
        }
        updated.keys.extend(key);
        updated
    }

    /// Before the first comparison, the older container gets an ID; afterwards, the one that already has it.
    fn next_order(&mut self) -> u32 {
        self.order += u32::from(self.compared);
        self.order
    }

    /// Replaces the known entries by those just read.
    pub(super) fn hold(&mut self, entries: Vec<Entry>, decider: &Decider, now: Instant) -> Found {
        self.readings = self.readings.wrapping_add(1);
        let mut found = Found::default();
        for mut entry in entries {
            // Reuses the existing strings: there may be twenty thousand entries.
            if let Some((key, _)) = self.table.get_key_value(&entry.key) {
                entry.key = Arc::clone(key);
            }
            if entry.service_id == entry.key {
                entry.service_id = Arc::clone(&entry.key);
            }
            if entry.owner.as_ref() == Some(decider.owner()) {
                entry.owner = Some(Arc::clone(decider.owner()));
            }
            let (key, reading) = (Arc::clone(&entry.key), self.readings);
            let foreign = decider.is_foreign(&entry);
            let rewritten = self.change(&key, |record| {
                record.reading = reading;
                let explained = record.may_be_late(entry.fingerprint);
                // A late write of ours is ours, also where no owner is recorded.
                record.ours = !foreign && (explained || record.ours && record.actual.is_some());
                let before = record.actual.as_ref().filter(|_| record.ours && !explained);
                let rewritten = before
                    .is_some_and(|before| (before.fingerprint, before.marked) != (entry.fingerprint, entry.marked));
                if entry.critical && !foreign {
                    record.trouble_mut(|trouble| *trouble.critical_since.get_or_insert(now));
                } else {
                    record.if_trouble(|trouble| trouble.critical_since = None);
                }
                record.if_trouble(|trouble| trouble.reaped = None);
                record.actual = Some(entry);
                rewritten
            });
            if rewritten {
                found.rewritten.push(key);
            }
        }
        let reading = self.readings;
        self.change_all(|key, record| {
            record.if_trouble(|trouble| trouble.settle(now));
            if record.reading == reading || record.actual.take().is_none() {
                return;
            }
            if std::mem::take(&mut record.ours) {
                found.gone.push(Arc::clone(key));
            } else {
                record.if_trouble(|trouble| trouble.critical_since = None);
            }
        });
        found.gone.sort_unstable();
        found
    }
}

/// The services that do not get the ID which this new one also claims, and the one that has it.
fn rivals(record: &Record, new: &Service) -> Vec<(Arc<Service>, Arc<Service>)> {
    let Some((winner, losers)) = record.claims().split_first() else { return Vec::new() };
    let wins = winner.service.is_from(&new.source());
    let concerned = losers.iter().filter(|loser| loser.mode.is_serving());
    let concerned = concerned.filter(|loser| wins || loser.service.is_from(&new.source()));
    concerned.map(|loser| (Arc::clone(&loser.service), Arc::clone(&winner.service))).collect()
}

/// Whether a service that the registry removed by its own rule may be registered again.
fn is_another_chance(reaped: &Service, now: &Service) -> bool {
    let started = reaped.origin.started != now.origin.started;
    let healthy = now.health == Health::Healthy && reaped.health != Health::Healthy;
    started || healthy || Service { health: reaped.health, ..now.clone() } != *reaped
}
