//! What came of an operation, and what follows from it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::intents::Intent;
use super::operations::{Attempt, Outcome, Removal};
use super::{Keeper, LONGEST_PAUSE, Outage, SECOND_LOOK, backoff};
use crate::bridge::plan::Scope;
use crate::registry::{Canonical, Entry, Mark, Marked, RegistryError};
use crate::service::Service;

/// Reading a registry because it changed, mostly by our own writes, may take this share of the time: one in so many.
pub(super) const READING_SHARE: u32 = 20;

/// And for each entry that it holds, there is so much time between two readings: a hundredth is spent on reading it.
const REST_EACH: Duration = Duration::from_micros(250);

/// The longest that a change by another hand waits to be read.
const LONGEST_REST: Duration = Duration::from_secs(10);

impl Keeper {
    pub(super) fn settle(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Compared(scope, Ok(entries), took) => {
                let each = REST_EACH * u32::try_from(entries.len()).unwrap_or(u32::MAX);
                self.rested = Instant::now() + (took * READING_SHARE).max(each).min(LONGEST_REST);
                self.next_look = self.next_look.map(|due| due.max(self.rested));
                self.compared(scope, entries);
            }
            Outcome::Compared(scope, Err(error), _) => {
                let due = self.compare.get_or_insert(scope);
                due.cleanup |= scope.cleanup;
                self.lost(&error);
            }
            Outcome::Written { added, removed, marked } => self.written(added, removed, marked),
            Outcome::Refreshed(refreshed) => self.refreshed(refreshed),
        }
    }

    pub(super) fn compared(&mut self, scope: Scope, entries: Vec<Entry>) {
        if self.outage.is_some() {
            self.rejected.clear();
        }
        self.known = true;
        // What the bridge said while the registry was read counts, too.
        // What the guard holds up was concluded in a compare that could conclude it.
        self.places.hold(entries, &self.rules.owner);
        let places = &self.places;
        self.guard.begin(|key| places.actual(key).is_some());
        self.cleanup = scope.cleanup || (self.cleanup && self.guard.is_busy());
        self.scope = Scope { complete: self.complete, cleanup: self.cleanup };
        self.comebacks.settle();
        self.awaited = 0;
        // What was in the way may be gone.
        self.rejected.retain(|key, stood| self.places.actual(key) == stood.as_ref());
        self.dirty = self.places.keys().cloned().collect();
    }

    pub(super) fn written(
        &mut self,
        added: Vec<(Arc<Service>, Canonical, Attempt)>,
        removed: Vec<(Entry, Removal, Attempt)>,
        marked: Vec<(Entry, Option<Mark>, Attempt)>,
    ) {
        let mut lost = None;
        for (service, canonical, attempt) in added {
            match attempt {
                Ok(()) => self.added(&service, canonical),
                Err(error) => {
                    if matches!(error, RegistryError::Unreachable(_)) {
                        self.comebacks.strayed(&canonical.key);
                    }
                    let said = format!("register failed: {}: {error}", service.id);
                    self.failed(canonical.key, error, &said, &mut lost);
                }
            }
        }
        for (entry, why, attempt) in removed {
            match attempt {
                Ok(()) => self.removed(&entry, &why),
                Err(error) => {
                    let said = format!("deregister failed: {}: {error}", entry.service_id);
                    self.failed(entry.key, error, &said, &mut lost);
                }
            }
        }
        for (entry, mark, attempt) in marked {
            match attempt {
                Ok(()) => self.marked(&entry, mark),
                Err(error) => {
                    let said = format!("marking failed: {}: {error}", entry.service_id);
                    self.failed(entry.key, error, &said, &mut lost);
                }
            }
        }
        match lost {
            Some(error) => {
                self.second_look = Some(Instant::now() + SECOND_LOOK);
                self.lost(&error);
            }
            None => self.recovered(),
        }
    }

    pub(super) fn added(&mut self, service: &Arc<Service>, canonical: Canonical) {
        let container = service.origin.container.short();
        info!(registry = self.name, container, service = &*service.id, "added: {container} {}", service.id);
        let Canonical { key, fingerprint } = canonical;
        self.complaints.remove(&key);
        self.comebacks.filled(&key);
        self.schedule_next(key.clone(), service);
        if self.mark(&key).is_some() {
            self.dirty.insert(key.clone());
        }
        let entry = Entry {
            key: Arc::clone(&key),
            service_id: Arc::clone(&service.id),
            owner: Some(Arc::clone(&self.rules.owner)),
            fingerprint,
            marked: Marked::No,
            critical: false,
            content: None,
        };
        self.places.change(&key, |place| place.actual = Some(entry));
    }

    pub(super) fn marked(&mut self, entry: &Entry, mark: Option<Mark>) {
        let service = self.places.intent(&entry.key).map(Intent::service);
        let id = service.map_or(&*entry.service_id, |service| &service.id);
        let container = service.map_or("-", |service| service.origin.container.short());
        match mark {
            Some(mark) => {
                info!(registry = self.name, container, service = id, "critical: {container} {id}: {}", mark.reason());
            }
            None => info!(registry = self.name, container, service = id, "critical no more: {container} {id}"),
        }
        self.complaints.remove(&entry.key);
        self.places.change(&entry.key, |place| {
            if let Some(entry) = &mut place.actual {
                entry.marked = if mark.is_some() { Marked::Ours } else { Marked::No };
            }
        });
        // What is wanted may have changed meanwhile.
        self.dirty.insert(entry.key.clone());
    }

    pub(super) fn removed(&mut self, entry: &Entry, why: &Removal) {
        match why {
            Removal::Withdrawn(service) => {
                let (container, id) = (service.origin.container.short(), &*service.id);
                info!(registry = self.name, container, service = id, "removed: {container} {id}");
            }
            Removal::Dangling => {
                let id = &*entry.service_id;
                info!(registry = self.name, service = id, "dangling: {id}");
                self.comebacks.emptied(&entry.key);
            }
        }
        self.places.change(&entry.key, |place| place.actual = None);
        self.guard.clear(&entry.key);
        // Withdrawn still, or wanted again meanwhile: planning it once more tells.
        self.dirty.insert(entry.key.clone());
    }

    pub(super) fn failed(&mut self, key: Arc<str>, error: RegistryError, said: &str, lost: &mut Option<RegistryError>) {
        self.complain(&key, said);
        match error {
            RegistryError::Refused { .. } => {
                // Unless it changed meanwhile: then it is dirty, and its next state is tried.
                if !self.dirty.contains(&key) {
                    let stood = self.places.actual(&key).cloned();
                    self.rejected.insert(key, stood);
                }
            }
            // It may be gone before it is seen: not every store would tell.
            RegistryError::Taken(_) => self.look_at(Instant::now() + SECOND_LOOK),
            RegistryError::Unreachable(_) => *lost = Some(error),
        }
    }

    pub(super) fn refreshed(&mut self, refreshed: Vec<(Arc<str>, Arc<Service>, Attempt)>) {
        let mut lost = None;
        for (key, service, attempt) in refreshed {
            let id = &*service.id;
            match attempt {
                Ok(()) => {
                    let container = service.origin.container.short();
                    if service.ttl.is_some() {
                        info!(registry = self.name, container, service = id, "refreshed: {container} {id}");
                    } else {
                        debug!(registry = self.name, container, service = id, "refreshed: {container} {id}");
                    }
                    self.schedule_next(key, &service);
                }
                Err(error) => {
                    self.complain(&key, &format!("refresh failed: {id}: {error}"));
                    match error {
                        RegistryError::Refused { .. } | RegistryError::Taken(_) => {
                            self.look_again();
                            self.schedule_next(key, &service);
                        }
                        RegistryError::Unreachable(_) => {
                            lost = Some(error);
                            self.schedule(key, &service, Duration::ZERO);
                        }
                    }
                }
            }
        }
        if let Some(error) = lost {
            self.lost(&error);
        }
    }

    /// The registry did not do what it was asked: read it again, after a pause that grows.
    pub(super) fn lost(&mut self, error: &RegistryError) {
        self.look_again();
        let name = &self.name;
        let outage = self.outage.get_or_insert_with(|| {
            warn!(registry = name, "{error}; trying again");
            Outage { backoff: backoff(), until: Instant::now() }
        });
        outage.until = Instant::now() + outage.backoff.next().unwrap_or(LONGEST_PAUSE);
    }

    pub(super) fn recovered(&mut self) {
        if self.outage.take().is_some() {
            info!(registry = self.name, "{}: reached again", self.name);
        }
    }

    pub(super) fn complain(&mut self, key: &Arc<str>, text: &str) {
        if self.complaints.get(key).is_none_or(|said| said != text) {
            warn!(registry = self.name, "{text}");
            self.complaints.insert(Arc::clone(key), text.to_owned());
        }
    }
}
