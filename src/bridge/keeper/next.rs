//! What a keeper does next: compare, write or refresh, in this order.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info};

use super::intents::Intent;
use super::operations::{Operation, Removal, compare, refresh, write};
use super::places::Place;
use super::{Keeper, SECOND_LOOK};
use crate::bridge::plan::{Scope, Situation, Step, Wanted};
use crate::registry::Canonical;
use crate::service::Service;

/// How many writes go to the registry in one operation.
pub(super) const BATCH: usize = 512;

/// How far ahead a refresh may be taken along with one that is due.
const REFRESH_SLACK: Duration = Duration::from_millis(250);

impl Keeper {
    pub(super) fn next_operation(&mut self) -> Option<Operation> {
        if self.outage.as_ref().is_some_and(|outage| outage.until > Instant::now()) {
            return None;
        }
        if let Some(scope) = self.compare.take() {
            self.next_look = None;
            // Only a cleanup is about entries that are neither ours nor where we write.
            let cleanup = scope.cleanup || self.cleanup;
            let keys = (self.known && !cleanup).then(|| self.places.intended());
            return Some(compare(Arc::clone(&self.registry), scope, keys));
        }
        if !self.known {
            return None;
        }
        let write = self.write();
        if write.is_none() {
            self.recovered();
        }
        write.or_else(|| self.refresh())
    }

    /// The next batch of writes.
    pub(super) fn write(&mut self) -> Option<Operation> {
        let mut added = Vec::new();
        let mut removed = Vec::new();
        let mut marked = Vec::new();
        while added.len() + removed.len() + marked.len() < BATCH
            && let Some(key) = self.dirty.pop_first()
        {
            if self.rejected.contains_key(&key) {
                continue;
            }
            let mark = self.mark(&key);
            let place = self.places.get(&key);
            let (intent, actual) = place.map_or((None, None), |place| (place.intent.as_ref(), place.actual.as_ref()));
            let wanted = intent.map_or(Wanted::Unknown, |intent| intent.wanted(&*self.registry));
            let situation = Situation { wanted, marked: mark.is_some(), actual };
            match self.rules.step(situation, self.scope) {
                Step::Leave => self.leave(&key),
                Step::Conflict(owner) => self.refuse(&key, &owner),
                step @ (Step::Add | Step::Change) => {
                    if let (Some(Intent::Register(service, _)), Wanted::Service(fingerprint)) = (intent, wanted) {
                        debug!(registry = self.name, service = &*service.id, ?step, "registering {}", service.id);
                        added.push((Arc::clone(service), Canonical { key, fingerprint }));
                    }
                }
                Step::Mark | Step::Unmark => marked.extend(actual.map(|entry| (entry.clone(), mark))),
                Step::Dangling if self.comebacks.is_anothers(&key) => self.spare(&key),
                Step::Remove | Step::Dangling => {
                    let told = matches!(intent, Some(Intent::Withdraw(_, true)));
                    if (told || self.guard.permits(&key, Instant::now()))
                        && let Some(entry) = actual
                    {
                        let why = match intent {
                            Some(Intent::Withdraw(service, _)) => Removal::Withdrawn(Arc::clone(service)),
                            _ => Removal::Dangling,
                        };
                        removed.push((entry.clone(), why));
                    }
                }
            }
        }
        if self.dirty.is_empty() {
            self.scope = Scope::default();
            self.say_awaited();
        }
        let idle = added.is_empty() && removed.is_empty() && marked.is_empty();
        (!idle).then(|| write(Arc::clone(&self.registry), added, removed, marked))
    }

    /// Nothing need be written for this key.
    pub(super) fn leave(&mut self, key: &Arc<str>) {
        match self.places.intent(key) {
            Some(Intent::Withdraw(..)) => {
                self.places.change(key, |place| place.intent = None);
                self.complaints.remove(key);
            }
            // It stood there before us: nobody knows how long it has to live.
            Some(Intent::Register(service, ..)) => self.schedule(Arc::clone(key), &Arc::clone(service), Duration::ZERO),
            Some(Intent::Keep(..)) | None => {}
        }
    }

    pub(super) fn refuse(&mut self, key: &Arc<str>, owner: &str) {
        // It may be gone already, or go: not every store would tell.
        self.look_at(Instant::now() + SECOND_LOOK);
        if let Some(Place { intent: Some(Intent::Register(service, _)), actual, .. }) = self.places.get(key) {
            // As after a crash of ours, where our own entries have yet to expire.
            if actual.as_ref().is_some_and(|entry| entry.fingerprint == self.registry.fingerprint(service)) {
                self.awaited += 1;
                return;
            }
            let (id, us) = (&service.id, &self.rules.owner);
            let why = format!("it belongs to the owner {owner:?}, and this is {us:?}: give it another SERVICE_ID");
            self.complain(key, &format!("register failed: {id}: {why}"));
        }
    }

    /// Says once how many services wait for entries like theirs.
    pub(super) fn say_awaited(&mut self) {
        let (name, count) = (&self.name, self.awaited);
        if count > self.awaited_said {
            info!(
                registry = name,
                count,
                "{name}: held by another instance just so: {count}; ours when it lets go or expires (if both are to run, \
                 give each its own -owner or -hostname)"
            );
        }
        self.awaited_said = count;
    }

    /// An entry of our name that nothing here stands behind has come back after it was removed.
    pub(super) fn spare(&mut self, key: &Arc<str>) {
        let Some(id) = self.places.actual(key).map(|entry| entry.service_id.clone()) else { return };
        let us = &self.rules.owner;
        let why =
            format!("another instance registers it under our name, {us:?}: give each its own -owner or -hostname");
        self.complain(key, &format!("dangling: {id} is there again, and stays: {why}"));
    }

    /// What is due to be refreshed.
    pub(super) fn refresh(&mut self) -> Option<Operation> {
        let horizon = Instant::now() + REFRESH_SLACK;
        if self.refreshes.first().is_none_or(|(due, _)| *due > Instant::now()) {
            return None;
        }
        let mut services = Vec::new();
        while services.len() < BATCH
            && self.refreshes.first().is_some_and(|(due, _)| *due <= horizon)
            && let Some((_, key)) = self.refreshes.pop_first()
        {
            self.refreshing.remove(&key);
            if let Some(Place { intent: Some(Intent::Register(service, _)), actual: Some(entry), .. }) =
                self.places.get(&key)
                && entry.fingerprint == self.registry.fingerprint(service)
            {
                services.push((key, Arc::clone(service)));
            }
        }
        (!services.is_empty()).then(|| refresh(Arc::clone(&self.registry), services))
    }

    pub(super) fn schedule(&mut self, key: Arc<str>, service: &Service, after: Duration) {
        if self.registry.refresh_interval(service).is_some() && self.refreshing.insert(key.clone()) {
            self.refreshes.insert((Instant::now() + after, key));
        }
    }

    pub(super) fn schedule_next(&mut self, key: Arc<str>, service: &Service) {
        if let Some(interval) = self.registry.refresh_interval(service) {
            self.schedule(key, service, interval);
        }
    }
}
