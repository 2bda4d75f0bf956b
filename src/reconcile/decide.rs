//! Decides about one record: which write is next, and what its registry makes of a service. Pure.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::{Deregister, OnShutdown};
use crate::desired::{Desired, Kept, Mode};
use crate::registry::{Action, Entry, Mark, Marked, Policy, Reason, Registry, Write};
use crate::service::Service;

use super::plan::Left;
use super::record::Record;
use super::rules::{Conclusions, Rules, Situation, Target, Verdict};

/// The decisions for one registry.
pub(super) struct Decider {
    /// Used only for the registry's form of a service, which needs no I/O.
    registry: Arc<dyn Registry>,
    rules: Rules,
}

impl Decider {
    pub(super) fn new(registry: Arc<dyn Registry>, rules: Rules) -> Self {
        Self { registry, rules }
    }

    // === the form of a service there ===

    pub(super) fn key(&self, service: &Service) -> Arc<str> {
        self.registry.key(service)
    }

    pub(super) fn takes(&self, service: &Service) -> bool {
        self.registry.takes(service)
    }

    pub(super) fn remark(&self, service: &Service) -> Option<String> {
        self.registry.remark(service)
    }

    pub(super) fn refresh_interval(&self, service: &Service) -> Option<Duration> {
        self.registry.refresh_interval(service)
    }

    pub(super) fn continuity(&self) -> u64 {
        self.registry.continuity()
    }

    pub(super) fn marks(&self) -> bool {
        self.registry.capabilities().marks
    }

    /// The service and mode of the desired entry, if there should be one. Without health, a draining entry is removed
    /// at once, but not where entries of ended containers stay (`-deregister never`).
    pub(super) fn present<'a>(&self, desired: &'a Desired) -> Option<(&'a Arc<Service>, Mode)> {
        match desired {
            Desired::Present(_, Mode::Kept(Kept::Draining))
                if !self.marks() && self.rules.deregister != Deregister::Never =>
            {
                None
            }
            Desired::Present(service, _) if !self.registry.takes(service) => None,
            Desired::Present(service, mode) => Some((service, *mode)),
            Desired::Absent(_) | Desired::Forgotten => None,
        }
    }

    /// The entry of a service after it is written.
    pub(super) fn entry(&self, key: &Arc<str>, service: &Service) -> Entry {
        Entry {
            key: Arc::clone(key),
            service_id: if **key == *service.id { Arc::clone(key) } else { Arc::clone(&service.id) },
            owner: Some(Arc::clone(self.owner())),
            fingerprint: self.registry.fingerprint(service),
            marked: Marked::No,
            critical: false,
            content: None,
        }
    }

    /// The digest of the desired service, if there is one.
    pub(super) fn fingerprint(&self, record: &Record) -> Option<u64> {
        match record.target() {
            Target::Put(service, _) => Some(self.registry.fingerprint(service)),
            _ => None,
        }
    }

    /// Whether the registry holds exactly what is to be there, whoever wrote it.
    pub(super) fn is_equal(&self, record: &Record) -> bool {
        record.actual.as_ref().is_some_and(|entry| Some(entry.fingerprint) == self.fingerprint(record))
    }

    /// The digest of the service that a write stores.
    pub(super) fn written(&self, action: &Action) -> Option<u64> {
        match action {
            Action::Put(service) => Some(self.registry.fingerprint(service)),
            Action::Remove(_) | Action::Mark(..) | Action::Unmark(_) => None,
        }
    }

    // === the next write ===

    pub(super) fn verdict(&self, record: &Record, conclusions: &Conclusions) -> Verdict {
        let target = record.target();
        let situation = Situation {
            target,
            fingerprint: record.actual.as_ref().and_then(|_| self.fingerprint(record)),
            mark: self.mark(target),
            actual: record.actual.as_ref(),
            ours: record.ours,
        };
        self.rules.verdict(&situation, conclusions)
    }

    /// The mark that the entry should have.
    fn mark(&self, target: Target<'_>) -> Option<Mark> {
        let mark = match target {
            Target::Put(_, mark) => mark,
            Target::Keep(_, Kept::Draining) => Some(Mark::Draining),
            Target::Keep(..) => Some(Mark::Ended),
            Target::Remove(..) | Target::Nothing => (self.rules.deregister == Deregister::Never).then_some(Mark::Ended),
        };
        mark.filter(|_| self.marks())
    }

    /// Why a write must wait, if it must; the removal guard is asked separately.
    pub(super) fn waits(record: &Record, verdict: &Verdict, now: Instant) -> Option<Left> {
        if record.refused().is_some_and(|refused| refused.waits) {
            return Some(Left::Refused);
        }
        match verdict {
            Verdict::Put(_) if record.is_reaped() => Some(Left::Reaped),
            Verdict::Put(Reason::Differs | Reason::Unowned) | Verdict::Mark(_) | Verdict::Unmark
                if record.contest().is_some_and(|contest| now < contest.until) =>
            {
                Some(Left::Contested)
            }
            Verdict::Remove(Reason::Dangling, _) if record.is_brought_back_by_another() => Some(Left::Reappeared),
            _ => None,
        }
    }

    /// The write for a verdict.
    pub(super) fn write(key: &Arc<str>, record: &Record, verdict: Verdict) -> Option<Write> {
        let entry = || record.actual.clone();
        let (action, reason) = match verdict {
            Verdict::Leave(_) => return None,
            Verdict::Put(reason) => match record.target() {
                Target::Put(service, _) => (Action::Put(Arc::clone(service)), reason),
                _ => return None,
            },
            Verdict::Remove(reason, _) => (Action::Remove(entry()?), reason),
            Verdict::Mark(mark) => (Action::Mark(entry()?, mark), marked_for(mark)),
            Verdict::Unmark => (Action::Unmark(entry()?), Reason::Recovered),
        };
        Some(Write { key: Arc::clone(key), action, reason })
    }

    /// Whether nothing is written (`-dry-run`).
    pub(super) fn rehearses(&self) -> bool {
        self.rules.dry_run
    }

    // === whose it is ===

    /// The owner name that we write.
    pub(super) fn owner(&self) -> &Arc<str> {
        &self.rules.owner
    }

    /// Whether the owners of entries are those that `-owner` names.
    pub(super) fn names_owners(&self) -> bool {
        !self.registry.capabilities().sessions_own
    }

    /// Why a service is not written where this owner has another entry, and what to do.
    pub(super) fn why_in_the_way(&self, owner: &str) -> String {
        if self.names_owners() {
            let us = self.owner();
            format!("it belongs to the owner {owner:?}, and this is {us:?}: give it another SERVICE_ID")
        } else {
            format!(
                "{owner} has another entry there, and goes first for as long as it lives; give each instance its own -ip, or \
                 its own path in the URI"
            )
        }
    }

    /// Whether an entry belongs to another owner.
    pub(super) fn is_foreign(&self, entry: &Entry) -> bool {
        self.rules.foreign(entry).is_some()
    }

    /// The entry of a record, if we may remove or mark it.
    pub(super) fn owned<'a>(&self, record: &'a Record) -> Option<&'a Entry> {
        record.actual.as_ref().filter(|entry| self.rules.owns(entry, record.target(), record.ours))
    }

    // === the end ===

    /// Whether entries stay as they are at shutdown; with the reason if the option asks for something else.
    pub(super) fn leaves_all(&self) -> Option<Option<&'static str>> {
        match self.rules.on_shutdown {
            _ if self.rules.dry_run => Some(None),
            OnShutdown::Keep => Some(None),
            OnShutdown::Deregister if self.rules.policy == Policy::UpsertOnly => {
                Some(Some("nothing may be removed from it"))
            }
            OnShutdown::Critical if !self.marks() => Some(Some("it has no health")),
            OnShutdown::Deregister | OnShutdown::Critical => None,
        }
    }

    /// The last write for a record, if its entry is not yet in its final state. Refused writes are not tried again.
    pub(super) fn last_write(&self, key: &Arc<str>, record: &Record) -> Option<Write> {
        let entry = self.owned(record)?;
        if record.refused().is_some_and(|refused| refused.waits) {
            return None;
        }
        let action = match self.rules.on_shutdown {
            OnShutdown::Critical if entry.marked != Marked::No => return None,
            OnShutdown::Critical => Action::Mark(entry.clone(), Mark::Left),
            OnShutdown::Keep | OnShutdown::Deregister => Action::Remove(entry.clone()),
        };
        Some(Write { key: Arc::clone(key), action, reason: Reason::Shutdown })
    }
}

fn marked_for(mark: Mark) -> Reason {
    match mark {
        Mark::Draining => Reason::Draining,
        Mark::Paused => Reason::Paused,
        Mark::Ended => Reason::Ended,
        Mark::Left => Reason::Shutdown,
    }
}
