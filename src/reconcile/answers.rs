//! What a reconciler answers when it is asked: the plan, the state of one key, and the state of the registry.
//!
//! Computed when asked; nothing is kept for it. Most keys are at rest, and for those nothing needs to be decided again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::desired::Evidence;
use crate::event::Counts;
use crate::registry::{ActionKind, Entry, Reason};
use crate::service::Service;

use super::decide::Decider;
use super::guard::Guard;
use super::plan::{Left, Plan, Planned, count};
use super::record::{Record, SyncState};
use super::records::Records;
use super::refusals::{Refusals, StillRefused};
use super::rules::{Conclusions, Target, Verdict};

/// What a registry makes of a service, by its own rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Regard {
    /// It holds it; a person should know this about its entry.
    Taken(Option<String>),
    /// It is none of its services.
    NotTaken,
}

/// What is known about one key of a registry. While the registry is unreachable, this is the state of the last read.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Whether the entry is as desired.
    pub state: SyncState,
    /// Whether the registry can be reached, so that the state is the present one.
    pub present: bool,
    /// Whether the registry holds an entry at this key.
    pub exists: bool,
    /// The owner of the entry that is in the way, if it is another one.
    pub owner: Option<Arc<str>>,
    /// How long the entry has been in this state.
    pub since: Duration,
    /// Why the last write was refused, if it was.
    pub error: Option<Arc<str>>,
    /// The last write, if this run tried one.
    pub last_write: Option<LastWrite>,
    /// When the next attempt is due at the latest, if it depends on time.
    pub next: Option<Instant>,
}

/// The last write of a key, and what the registry answered.
#[derive(Clone, Debug, PartialEq)]
pub struct LastWrite {
    /// When.
    pub at: Instant,
    /// What it was to do.
    pub action: ActionKind,
    /// Why.
    pub reason: Reason,
    /// Why it failed, if it did.
    pub error: Option<Arc<str>>,
}

/// One registry, in numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Whether it can be reached.
    pub reach: Reach,
    /// How long ago it was last read.
    pub read: Option<Duration>,
    /// Services that should have an entry.
    pub desired: usize,
    /// Entries of ours.
    pub entries: usize,
    /// Entries of other owners, where no service of ours should be.
    pub foreign: usize,
    /// Entries of other owners where a service of ours should be.
    pub in_the_way: usize,
    /// Entries without an owner that are not taken over.
    pub unowned: usize,
    /// The keys of services and entries of ours, by their state.
    pub states: BTreeMap<SyncState, usize>,
    /// Writes that are due or wait, by what they do.
    pub pending: Counts,
    /// Keys whose next write is to be decided.
    pub queue: usize,
    /// What the registry refuses.
    pub refused: Option<StillRefused>,
    /// When the removal guard decides, if it delays removals.
    pub guard: Option<Duration>,
}

/// Whether a registry can be reached.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Reach {
    /// It was not read yet.
    #[default]
    NotYet,
    /// It can.
    Up,
    /// It cannot.
    Down {
        /// For how long.
        since: Duration,
        /// Why.
        why: Arc<str>,
        /// How long until the next attempt.
        next: Duration,
    },
}

/// A reconciler's state, as it is when somebody asks.
pub(super) struct Answers<'a> {
    pub(super) now: Instant,
    pub(super) began: Instant,
    pub(super) records: &'a Records,
    pub(super) decider: &'a Decider,
    pub(super) conclusions: Conclusions,
    pub(super) due: &'a BTreeSet<Arc<str>>,
    pub(super) guard: &'a Guard,
    /// Writes that were told of in place of making them (`-dry-run`).
    pub(super) rehearsed: &'a HashMap<Arc<str>, u64>,
    pub(super) refusals: &'a Refusals,
    pub(super) reach: Reach,
    pub(super) read: Option<Instant>,
}

impl Answers<'_> {
    /// What would be written now, and what is left alone.
    pub(super) fn plan(&self) -> Plan {
        let mut plan = Plan::default();
        for (key, record) in self.records.iter() {
            let left = if self.is_at_rest(key, record) {
                Some(Left::Right)
            } else {
                let verdict = self.verdict(record);
                let left = match &verdict {
                    Verdict::Leave(left) => Some(left.clone()),
                    verdict => self.waits(key, record, verdict),
                };
                if left.is_none() {
                    let found = record.actual.as_ref().and_then(|entry| entry.content.as_deref().cloned());
                    plan.writes.extend(Decider::write(key, record, verdict).map(|write| Planned { write, found }));
                }
                left
            };
            if let Some(left) = left {
                *plan.left.entry(left).or_default() += 1;
            }
        }
        plan.writes.sort_by(|one, other| one.write.key.cmp(&other.write.key));
        plan
    }

    /// What is known about a key, if anything.
    pub(super) fn status(&self, key: &str) -> Option<Status> {
        let record = self.records.get(key)?;
        let state = self.state(key, record);
        let since = self.began + Duration::from_secs(record.since.into());
        let refused = record.refused();
        let foreign = record.actual.as_ref().filter(|entry| self.decider.is_foreign(entry));
        Some(Status {
            state,
            present: self.reach == Reach::Up,
            exists: record.actual.is_some(),
            owner: foreign.and_then(|entry| entry.owner.clone()),
            since: self.now.saturating_duration_since(since),
            error: refused.map(|refused| Arc::clone(&refused.text)),
            last_write: self.last_write(record),
            next: match (state, &self.reach) {
                (SyncState::Refused, _) => refused.and_then(|refused| self.refusals.next_attempt(refused.cause)),
                (SyncState::Contested, _) => record.contest().map(|contest| contest.until),
                (SyncState::Held, _) => self.guard.due(),
                (_, Reach::Down { next, .. }) => Some(self.now + *next),
                _ => None,
            },
        })
    }

    fn last_write(&self, record: &Record) -> Option<LastWrite> {
        let failed = record.trouble().and_then(|trouble| trouble.failed.as_ref());
        let (write, error) = match failed {
            Some((write, error)) => (*write, Some(Arc::clone(error))),
            None => (record.written?, None),
        };
        let at = self.began + Duration::from_secs(write.at.into());
        Some(LastWrite { at, action: write.action, reason: write.reason, error })
    }

    /// The state of a service's key; pending if nothing is known about it.
    pub(super) fn status_of(&self, service: &Service) -> Status {
        self.status(&self.decider.key(service)).unwrap_or(Status {
            state: SyncState::Pending,
            present: self.reach == Reach::Up,
            exists: false,
            owner: None,
            since: Duration::ZERO,
            error: None,
            last_write: None,
            next: None,
        })
    }

    /// The registry, in numbers.
    pub(super) fn summary(&self) -> Summary {
        let mut summary = Summary {
            reach: self.reach.clone(),
            read: self.read.map(|read| self.now.saturating_duration_since(read)),
            queue: self.due.len(),
            refused: self.refusals.all(self.now),
            guard: self.guard.due().map(|due| due.saturating_duration_since(self.now)),
            ..Summary::default()
        };
        for (key, record) in self.records.iter() {
            let wanted = matches!(record.target(), Target::Put(..));
            summary.desired += usize::from(wanted);
            let ours = match &record.actual {
                None => false,
                Some(entry) if self.decider.is_foreign(entry) => {
                    *(if wanted { &mut summary.in_the_way } else { &mut summary.foreign }) += 1;
                    false
                }
                Some(entry) if !self.is_ours(record, entry) => {
                    summary.unowned += 1;
                    false
                }
                Some(_) => true,
            };
            summary.entries += usize::from(ours);
            if self.is_at_rest(key, record) {
                *summary.states.entry(SyncState::InSync).or_default() += 1;
                continue;
            }
            let verdict = self.verdict(record);
            if wanted || ours {
                *summary.states.entry(self.state_by(key, record, &verdict)).or_default() += 1;
            }
            if let Some(write) = Decider::write(key, record, verdict) {
                count(&mut summary.pending, &write);
            }
        }
        summary
    }

    /// The next write. For a look, an entry as it should be is right, although the running instance holds it.
    fn verdict(&self, record: &Record) -> Verdict {
        match self.decider.verdict(record, &self.conclusions) {
            Verdict::Leave(Left::InTheWay(_)) if self.decider.rehearses() && self.decider.is_equal(record) => {
                Verdict::Leave(Left::Right)
            }
            verdict => verdict,
        }
    }

    fn is_ours(&self, record: &Record, entry: &Entry) -> bool {
        record.ours || entry.owner.as_ref() == Some(self.decider.owner())
    }

    /// Whether the entry was written or found to be right, and nothing has happened since.
    fn is_at_rest(&self, key: &str, record: &Record) -> bool {
        let quiet = record.ours && record.actual.is_some() && !record.in_flight && record.trouble().is_none();
        quiet && matches!(record.target(), Target::Put(..)) && !self.due.contains(key)
    }

    fn state(&self, key: &str, record: &Record) -> SyncState {
        if self.is_at_rest(key, record) {
            return SyncState::InSync;
        }
        self.state_by(key, record, &self.verdict(record))
    }

    fn state_by(&self, key: &str, record: &Record, verdict: &Verdict) -> SyncState {
        match (verdict, self.waits(key, record, verdict)) {
            _ if record.in_flight => SyncState::InFlight,
            (Verdict::Leave(Left::InTheWay(_) | Left::Unowned), _) => SyncState::Contested,
            (Verdict::Leave(_), _) => SyncState::InSync,
            (_, Some(Left::Refused)) => SyncState::Refused,
            (_, Some(Left::Contested | Left::Reappeared)) => SyncState::Contested,
            (_, Some(Left::Reaped)) => SyncState::Reaped,
            _ if record.is_in_doubt() => SyncState::InDoubt,
            (_, Some(Left::Held)) => SyncState::Held,
            _ => SyncState::Pending,
        }
    }

    /// Why a write must wait, if it must.
    fn waits(&self, key: &str, record: &Record, verdict: &Verdict) -> Option<Left> {
        let held = || match verdict {
            Verdict::Remove(_, Evidence::List) if self.guard.holds(key) && !self.rehearsed.contains_key(key) => {
                Some(Left::Held)
            }
            _ => None,
        };
        Decider::waits(record, verdict, self.now).or_else(held)
    }
}
