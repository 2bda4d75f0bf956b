//! What a keeper does last, when it is told to stop: what `-on-shutdown` says, for as long as there is time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::Keeper;
use super::next::BATCH;
use super::operations::{Removal, compare, write};
use crate::config::OnShutdown;
use crate::registry::{Entry, Mark, Marked, Policy};

/// How long it may take; the whole program has two seconds.
const PARTING: Duration = Duration::from_millis(1300);

/// The pause after a failure.
const PAUSE: Duration = Duration::from_millis(50);

impl Keeper {
    /// Leaves the registry as it is to be left.
    pub(super) async fn part(mut self) {
        let kept = match self.rules.on_shutdown {
            OnShutdown::Keep => return,
            OnShutdown::Deregister if self.rules.policy == Policy::UpsertOnly => Some("nothing may be removed from it"),
            OnShutdown::Critical if !self.registry.capabilities().marks => Some("it has no health"),
            OnShutdown::Deregister | OnShutdown::Critical => None,
        };
        if let Some(why) = kept {
            info!(registry = self.name, "{}: its entries stay as they are: {why}", self.name);
            return;
        }
        if timeout(PARTING, self.take_leave()).await.is_err() {
            let left = self.left().count();
            if self.known {
                warn!(
                    registry = self.name,
                    left, "{}: gave no answer in time: {left} entries stay as they are", self.name
                );
            } else {
                warn!(registry = self.name, "{}: gave no answer in time: what it holds stays as it is", self.name);
            }
        }
    }

    async fn take_leave(&mut self) {
        // No write is overtaken: what arrives last would stay.
        if let Some(begun) = self.operation.take() {
            let outcome = begun.await;
            self.settle(outcome);
        }
        while !self.known {
            let outcome = compare(self.registry.clone(), self.scope, None).await;
            self.settle(outcome);
            sleep(PAUSE).await;
        }
        self.rejected.clear();
        // What is refused goes among the rejected, so each pass has less to do. In the order of the keys, so that
        // the same end makes the same writes.
        loop {
            let mut keys: Vec<_> = self.left().map(|entry| entry.key.clone()).collect();
            if keys.is_empty() {
                return;
            }
            keys.sort_unstable();
            for batch in keys.chunks(BATCH) {
                self.part_with(batch).await;
                if self.outage.is_some() {
                    break;
                }
            }
            if self.outage.is_some() && self.left().count() >= keys.len() {
                sleep(PAUSE).await;
            }
        }
    }

    async fn part_with(&mut self, keys: &[Arc<str>]) {
        let next = keys.iter().filter_map(|key| self.places.actual(key)).cloned();
        let (removed, marked) = match self.rules.on_shutdown {
            OnShutdown::Critical => (vec![], next.map(|entry| (entry, Some(Mark::Left))).collect()),
            _ => (next.map(|entry| self.withdrawn(entry)).collect(), vec![]),
        };
        self.dirty.clear();
        let outcome = write(self.registry.clone(), vec![], removed, marked).await;
        self.settle(outcome);
    }

    fn withdrawn(&self, entry: Entry) -> (Entry, Removal) {
        let why = match self.places.intent(&entry.key) {
            Some(intent) => Removal::Withdrawn(intent.service().clone()),
            None => Removal::Dangling,
        };
        (entry, why)
    }

    /// What is ours and not yet as it is to be left, but for what the registry would not do.
    fn left(&self) -> impl Iterator<Item = &Entry> {
        let marked = self.rules.on_shutdown == OnShutdown::Critical;
        let left = self.places.held().filter(move |(entry, wanted)| {
            self.rules.owns(entry, *wanted)
                && !(marked && entry.marked != Marked::No)
                && !self.rejected.contains_key(&entry.key)
        });
        left.map(|(entry, _)| entry)
    }
}
