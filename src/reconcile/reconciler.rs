//! The reconciler of one registry: pure, the time is passed in.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::deadlines::Deadlines;
use crate::desired::{Command, Compare, Evidence, Occasion, Unknown, Update};
use crate::event::{Event, Tally};
use crate::registry::{Action, Cause, Change, Entry, Marked, Reason, Registry, RegistryError, Scope, Write};
use crate::service::Service;

use super::answers::{Answers, Reach, Regard, Status, Summary};
use super::contests::{Contests, difference};
use super::decide::Decider;
use super::effect::{Effect, Input, Outcome};
use super::failures::FailureLines;
use super::guard::{self, Guard};
use super::plan::{Left, Plan};
use super::readings::{RECHECK, Readings};
use super::record::{Contest, LastWrite, Record, Refused};
use super::records::Records;
use super::refusals::Refusals;
use super::rules::{Conclusions, Rules, Target, Verdict};

/// The maximum number of writes in one operation.
const BATCH: usize = 512;
/// A refresh that is due within this time is made together with one that is due now.
const REFRESH_SLACK: Duration = Duration::from_millis(250);
/// The first and the longest pause between two attempts to reach a registry; jitter makes each up to twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The pause after a failure during shutdown.
const SHUTDOWN_PAUSE: Duration = Duration::from_millis(50);
/// Tolerance for the time since when a service is critical, and for when the registry looks for services to remove.
const REAP_SLACK: Duration = Duration::from_secs(20);
/// The minimum time for which a service is critical before Consul removes it.
const LEAST_REAP: Duration = Duration::from_secs(60);

/// Keeps one registry equal to what is desired.
pub struct Reconciler {
    name: Arc<str>,
    decider: Decider,
    began: Instant,

    records: Records,
    /// Keys whose next write must be decided.
    due: BTreeSet<Arc<str>>,
    /// What may be concluded while those are decided.
    conclusions: Conclusions,
    /// The containers that could not be described.
    unknown: Arc<[Unknown]>,
    /// Whether the last comparison may clean up.
    cleanup: bool,
    guard: Guard,
    refusals: Refusals,
    contests: Contests,
    failures: FailureLines,
    readings: Readings,
    refreshes: Deadlines<Arc<str>>,

    /// Whether the registry has been read. Before that, nothing is written.
    known: bool,
    /// When it was last read.
    last_read: Option<Instant>,
    /// The registry's continuity at the last read.
    continuity: u64,
    /// A person asked since the last read: what is missing then is written, whoever removed it.
    asked: bool,
    outage: Option<Outage>,
    busy: Option<Busy>,
    /// What is reported when everything due is done.
    report: Option<Report>,
    tally: Tally,
    /// The services that find an entry like theirs that another instance holds; and of how many was told.
    held_by_another: Held,
    held_by_another_told: usize,
    /// Digests of the writes that would be made and were told of, by key; empty but with `-dry-run`.
    rehearsed: HashMap<Arc<str>, u64>,
    /// When the engine told of the change that made a key's next write due, for as long as it is not made.
    waiting: HashMap<Arc<str>, Instant>,
    /// Counts the inputs.
    version: u64,
    shutdown: bool,
    effects: Vec<Effect>,
}

/// The registry is unreachable.
struct Outage {
    since: Instant,
    /// Why, at the last attempt.
    why: Arc<str>,
    backoff: Backoff,
    until: Instant,
}

/// The operation in progress.
enum Busy {
    /// A read; the value says whether a cleanup may follow.
    Reading {
        cleanup: bool,
    },
    Writing,
    Refreshing,
}

/// Services of which another instance already holds an entry like ours.
#[derive(Clone, Default)]
struct Held {
    count: usize,
    /// Whose one of them is.
    owner: Option<Arc<str>>,
}

/// What is reported when everything due is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Report {
    Compared,
    Back { away: Duration },
}

impl Reconciler {
    /// A reconciler of a registry that has not been read yet. `guard` is the removal guard's percentage.
    pub fn new(name: Arc<str>, registry: Arc<dyn Registry>, rules: Rules, guard: u8, now: Instant) -> Self {
        Self {
            name,
            decider: Decider::new(registry, rules),
            began: now,
            records: Records::default(),
            due: BTreeSet::new(),
            conclusions: Conclusions::default(),
            unknown: Arc::default(),
            cleanup: false,
            guard: Guard::new(guard),
            refusals: Refusals::default(),
            contests: Contests::default(),
            failures: FailureLines::default(),
            readings: Readings::new(now),
            refreshes: Deadlines::default(),
            known: false,
            last_read: None,
            continuity: 0,
            asked: false,
            outage: None,
            busy: None,
            report: None,
            tally: Tally::default(),
            held_by_another: Held::default(),
            held_by_another_told: 0,
            rehearsed: HashMap::new(),
            waiting: HashMap::new(),
            version: 0,
            shutdown: false,
            effects: Vec::new(),
        }
    }

    /// Takes an input, and returns effects. Operations start only on [`Input::Tick`].
    pub fn on(&mut self, input: Input, now: Instant) -> Vec<Effect> {
        if !matches!(input, Input::Tick) {
            self.version += 1;
        }
        match input {
            Input::Command(Command::Updates(updates, since)) => {
                if !self.known {
                    self.records.reserve(updates.len());
                }
                for update in &*updates {
                    self.update(update, since, now);
                }
            }
            Input::Command(Command::Compare(compare)) => self.compare(compare, now),
            Input::Changed(change) => self.changed(change, now),
            Input::Read(result, took) => self.read(result, took, now),
            Input::Done(outcomes) => self.done(outcomes, now),
            Input::Refreshed(outcomes) => self.refreshed(outcomes, now),
            Input::Tick => self.tick(now),
            Input::Shutdown => self.shut_down(now),
        }
        std::mem::take(&mut self.effects)
    }

    /// What would be written now, and what is left alone.
    #[must_use]
    pub fn plan(&self, now: Instant) -> Plan {
        self.answers(now).plan()
    }

    /// What is known about a key, if anything.
    #[must_use]
    pub fn status(&self, key: &str, now: Instant) -> Option<Status> {
        self.answers(now).status(key)
    }

    /// What is known about the keys of these services.
    #[must_use]
    pub fn statuses<'a>(&self, services: impl IntoIterator<Item = &'a Arc<Service>>, now: Instant) -> Vec<Status> {
        let answers = self.answers(now);
        services.into_iter().map(|service| answers.status_of(service)).collect()
    }

    /// Whether the registry holds a service at all, and what a person should know about its entry.
    #[must_use]
    pub fn regard(&self, service: &Service) -> Regard {
        if self.decider.takes(service) { Regard::Taken(self.decider.remark(service)) } else { Regard::NotTaken }
    }

    /// The registry, in numbers.
    #[must_use]
    pub fn summary(&self, now: Instant) -> Summary {
        self.answers(now).summary()
    }

    /// Whether all that is due was looked at once: containers were listed, and the registry was read.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        let decided = self.due.is_empty() && !self.guard.is_gathering();
        self.known && self.records.compared && self.busy.is_none() && decided
    }

    /// Whether the registry can be reached.
    #[must_use]
    pub fn reach(&self, now: Instant) -> Reach {
        self.answers(now).reach
    }

    /// A number that changes with everything that can be asked.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    fn answers(&self, now: Instant) -> Answers<'_> {
        let reach = match &self.outage {
            Some(outage) => Reach::Down {
                since: now.saturating_duration_since(outage.since),
                why: Arc::clone(&outage.why),
                next: outage.until.saturating_duration_since(now),
            },
            None if self.known => Reach::Up,
            None => Reach::NotYet,
        };
        Answers {
            now,
            began: self.began,
            records: &self.records,
            decider: &self.decider,
            conclusions: self.all_conclusions(),
            due: &self.due,
            guard: &self.guard,
            rehearsed: &self.rehearsed,
            refusals: &self.refusals,
            reach,
            read: self.last_read,
        }
    }

    // === what the hosts say ===

    /// `since`: when the engine told of it, if it did.
    fn update(&mut self, update: &Update, since: Option<Instant>, now: Instant) {
        let updated = self.records.update(update, &self.decider);
        for (loser, winner) in updated.rivals {
            self.effects.push(Effect::Emit(Event::IdTaken { registry: Arc::clone(&self.name), loser, winner }));
        }
        if updated.forgotten && self.decider.marks() && self.known {
            self.readings.again();
        }
        for key in updated.keys {
            self.guard.clear(&key);
            if let Some(record) = self.records.get(&key)
                && let Some(refused) = record.refused()
                && refused.fingerprint != self.decider.fingerprint(record)
            {
                self.no_longer_refused(&key, now);
            }
            if let Some(since) = since {
                self.waiting.insert(Arc::clone(&key), since);
            }
            self.due.insert(key);
        }
    }

    fn compare(&mut self, compare: Compare, now: Instant) {
        let Compare { unknown, cleanup, occasion } = compare;
        self.unknown = unknown;
        self.records.compared = true;
        self.guard.answered();
        self.readings.compare(cleanup);
        if occasion != Occasion::Completed {
            self.report.get_or_insert(Report::Compared);
        }
        let retried = match occasion {
            Occasion::Asked => {
                self.asked = true;
                self.records.change_all(|_, record| {
                    record.if_trouble(|trouble| {
                        trouble.reaped = None;
                        trouble.contest = None;
                    });
                });
                self.contests = Contests::default();
                self.refusals.release_at_once(None, now)
            }
            Occasion::Listed | Occasion::Completed => self.refusals.release(None, now),
        };
        self.retry(retried);
    }

    // === what the registry says ===

    fn changed(&mut self, change: Change, now: Instant) {
        match change {
            Change::Content if self.known => self.readings.changed(now),
            Change::Content => {}
            Change::Credentials => {
                let retried = self.refusals.release_at_once(Some(Cause::Rights), now);
                self.retry(retried);
                if let Some(outage) = &mut self.outage {
                    outage.until = now;
                }
            }
        }
    }

    fn read(&mut self, result: Result<Vec<Entry>, RegistryError>, took: Duration, now: Instant) {
        let cleanup = matches!(self.busy.take(), Some(Busy::Reading { cleanup: true }));
        self.effects.push(Effect::Emit(Event::ReadDone {
            registry: Arc::clone(&self.name),
            error: result.as_ref().err().map(ToString::to_string),
            took,
        }));
        let entries = match result {
            Ok(entries) => entries,
            Err(error) => {
                self.readings.failed(cleanup);
                self.lost(&error, now);
                return;
            }
        };
        self.readings.done(took, entries.len(), now);
        if self.outage.is_some() {
            let retried = self.refusals.release(None, now);
            self.retry(retried);
        }
        self.known = true;
        self.last_read = Some(now);
        self.tally = Tally::default();
        let found = self.records.hold(entries, &self.decider, now);
        found.rewritten.iter().for_each(|key| self.rewritten(key, now));
        let before = std::mem::replace(&mut self.continuity, self.decider.continuity());
        let asked = std::mem::take(&mut self.asked);
        self.missed(found.gone, before == self.continuity && !asked, now);
        // Changes during the read count as well. The removals that the guard delays come from a comparison that allowed
        // them.
        let Self { guard, records, .. } = self;
        guard.begin(|key| records.get(key).is_some_and(|record| record.actual.is_some()));
        self.cleanup = cleanup || (self.cleanup && self.guard.is_busy());
        self.conclusions = self.all_conclusions();
        self.decide_all(now);
    }

    /// What may be concluded now that everything that can be known is known.
    fn all_conclusions(&self) -> Conclusions {
        let all_but = self.records.compared.then(|| Arc::clone(&self.unknown));
        Conclusions { all_but, cleanup: self.cleanup }
    }

    /// An external writer changed this entry of ours.
    fn rewritten(&mut self, key: &Arc<str>, now: Instant) {
        let Some(record) = self.records.get(key) else { return };
        let Some(entry) = &record.actual else { return };
        let verdict = self.decider.verdict(record, &self.all_conclusions());
        if !matches!(verdict, Verdict::Put(_) | Verdict::Mark(_) | Verdict::Unmark) {
            return;
        }
        let contest = Contest::after(record.contest(), now);
        if self.contests.contested(key, &contest) {
            let both = record.service().zip(entry.content.as_deref());
            let event = Event::Contested {
                registry: Arc::clone(&self.name),
                owner: Arc::clone(self.decider.owner()),
                id: Arc::clone(&entry.service_id),
                difference: both.and_then(|(service, content)| difference(service, content)),
            };
            self.effects.push(Effect::Emit(event));
        }
        self.records.change(key, |record| record.trouble_mut(|trouble| trouble.contest = Some(contest)));
    }

    /// Entries of ours that were there are not there any more. Where only services went that had been critical for as long as
    /// their check allows, and the registry was there all the time, it removed them by its own rule.
    fn missed(&mut self, gone: Vec<Arc<str>>, was_there: bool, now: Instant) {
        let overdue = |record: &Record| {
            let Target::Put(service, _) = record.target() else { return false };
            let after = service.check.as_ref().and_then(|check| check.deregister_after);
            let since = record.trouble().and_then(|trouble| trouble.critical_since);
            let (Some(after), Some(since)) = (after, since) else { return false };
            now + REAP_SLACK >= since + after.max(LEAST_REAP)
        };
        let reaped = was_there && gone.iter().all(|key| self.records.get(key).is_none_or(overdue));
        for key in gone {
            let Some(record) = self.records.get(&key).filter(|record| reaped && overdue(record)) else {
                self.records.change_known(&key, |record| record.if_trouble(|trouble| trouble.critical_since = None));
                continue;
            };
            let Target::Put(service, _) = record.target() else { continue };
            let service = Arc::clone(service);
            self.effects
                .push(Effect::Emit(Event::Reaped { registry: Arc::clone(&self.name), service: Arc::clone(&service) }));
            self.records.change(&key, |record| {
                record.trouble_mut(|trouble| {
                    trouble.critical_since = None;
                    trouble.reaped = Some(service);
                });
            });
        }
    }

    /// Finds the keys that need a decision; most need none.
    fn decide_all(&mut self, now: Instant) {
        let (mut due, mut right) = (Vec::new(), Vec::new());
        let mut held_by_another = Held::default();
        for (key, record) in self.records.iter() {
            match (self.decider.verdict(record, &self.conclusions), record.target()) {
                // As after a crash, when our own entries must expire first.
                (Verdict::Leave(Left::InTheWay(owner)), _) if self.decider.is_equal(record) => {
                    held_by_another.count += 1;
                    held_by_another.owner = Some(owner);
                    due.push(Arc::clone(key));
                }
                (Verdict::Leave(Left::Right), Target::Put(service, _)) if record.is_quiet() => {
                    right.push((Arc::clone(key), self.decider.refresh_interval(service).is_some()));
                }
                (Verdict::Leave(_), Target::Nothing) if record.refused().is_none() => {}
                _ => due.push(Arc::clone(key)),
            }
        }
        self.due.extend(due);
        self.held_by_another = held_by_another;
        self.tally.right += right.len();
        for (key, refreshed) in right {
            self.due.remove(&key);
            self.found_right(&key, refreshed, now);
        }
    }

    /// An entry is as desired without a write of ours.
    fn found_right(&mut self, key: &Arc<str>, refreshed: bool, now: Instant) {
        let since = self.clock(now);
        self.records.change_known(key, |record| {
            if !record.ours {
                record.since = since;
            }
            record.ours = true;
            if let Some(entry) = &mut record.actual {
                entry.content = None;
            }
        });
        if refreshed {
            // Its remaining lifetime is unknown.
            self.refreshes.set_if_absent(Arc::clone(key), self.began);
        }
    }

    fn done(&mut self, outcomes: Vec<Outcome>, now: Instant) {
        self.busy = None;
        let mut lost = None;
        for Outcome { write, result, took } in outcomes {
            self.records.change_known(&write.key, |record| record.in_flight = false);
            self.measure(&write, result.as_ref().err(), took, now);
            match result {
                Ok(()) => self.succeeded(write, now),
                Err(error) => self.failed(&write, error, &mut lost, now),
            }
        }
        match lost {
            Some(error) => {
                self.readings.recheck_at(now + RECHECK);
                self.lost(&error, now);
            }
            None => self.reached(now),
        }
    }

    /// Reports the attempt of a write.
    fn measure(&mut self, write: &Write, error: Option<&RegistryError>, took: Duration, now: Instant) {
        let service = match &write.action {
            Action::Put(service) => Some(service),
            _ => self.records.get(&write.key).and_then(Record::service),
        };
        let waited = if error.is_none() { self.waiting.remove(&write.key) } else { None };
        self.effects.push(Effect::Emit(Event::Wrote {
            registry: Arc::clone(&self.name),
            action: write.action.kind().as_str(),
            id: match &write.action {
                Action::Put(service) => Arc::clone(&service.id),
                Action::Remove(entry) | Action::Mark(entry, _) | Action::Unmark(entry) => Arc::clone(&entry.service_id),
            },
            service: service.cloned(),
            reason: write.reason.in_words(),
            error: error.map(ToString::to_string),
            took,
            waited: waited.map(|since| now.saturating_duration_since(since)),
        }));
    }

    fn succeeded(&mut self, write: Write, now: Instant) {
        let Write { key, action, reason } = write;
        let registry = Arc::clone(&self.name);
        if let Some(refused) = self.records.get(&key).and_then(Record::refused) {
            let cause = refused.cause;
            self.no_longer_refused(&key, now);
            let retried = self.refusals.eased(cause, now);
            self.retry(retried);
        }
        let since = self.clock(now);
        let written = LastWrite { at: since, action: action.kind(), reason };
        let event = match action {
            Action::Put(service) => {
                match reason {
                    Reason::Missing => self.tally.added += 1,
                    _ => self.tally.changed += 1,
                }
                let entry = self.decider.entry(&key, &service);
                self.records.change(&key, |record| {
                    record.actual = Some(entry);
                    record.ours = true;
                    record.if_trouble(|trouble| {
                        trouble.filled();
                        trouble.critical_since = None;
                    });
                });
                if let Some(interval) = self.decider.refresh_interval(&service) {
                    self.refreshes.set(Arc::clone(&key), now + interval);
                }
                Event::Added { registry, service, reason: reason.in_words() }
            }
            Action::Remove(entry) => {
                self.tally.removed += 1;
                let event = match (reason, self.records.get(&key).and_then(Record::service)) {
                    (Reason::Dangling, _) | (_, None) => {
                        Event::Dangling { registry, id: Arc::clone(&entry.service_id) }
                    }
                    (_, Some(service)) => {
                        Event::Removed { registry, service: Arc::clone(service), reason: reason.in_words() }
                    }
                };
                self.records.change_known(&key, |record| {
                    record.actual = None;
                    record.ours = false;
                    if reason == Reason::Dangling {
                        record.trouble_mut(|trouble| trouble.emptied(now));
                    }
                });
                self.guard.clear(&key);
                event
            }
            Action::Mark(entry, mark) => {
                self.marked(&key, Marked::Ours);
                let service = self.records.get(&key).and_then(Record::service).cloned();
                let id = service.as_ref().map_or(entry.service_id, |service| Arc::clone(&service.id));
                Event::MarkedCritical { registry, id, service, reason: mark.reason() }
            }
            Action::Unmark(entry) => {
                self.marked(&key, Marked::No);
                let service = self.records.get(&key).and_then(Record::service).cloned();
                let id = service.as_ref().map_or(entry.service_id, |service| Arc::clone(&service.id));
                Event::Unmarked { registry, id, service }
            }
        };
        self.effects.push(Effect::Emit(event));
        self.records.change_known(&key, |record| {
            record.since = since;
            record.written = Some(written);
            record.if_trouble(|trouble| {
                trouble.complaint = None;
                trouble.failed = None;
            });
        });
        // The desired state may have changed in the meantime, or a mark may be due.
        self.due.insert(key);
    }

    fn marked(&mut self, key: &str, marked: Marked) {
        self.records.change_known(key, |record| {
            record.ours = true;
            if let Some(entry) = &mut record.actual {
                entry.marked = marked;
            }
        });
    }

    fn failed(&mut self, write: &Write, error: RegistryError, lost: &mut Option<RegistryError>, now: Instant) {
        let Write { key, action, reason } = write;
        let (what, id) = match action {
            Action::Put(service) => ("register", &service.id),
            Action::Remove(entry) => ("deregister", &entry.service_id),
            Action::Mark(entry, _) | Action::Unmark(entry) => ("marking", &entry.service_id),
        };
        self.complain(key, what, id, &error, now);
        let fingerprint = self.decider.written(action);
        let tried = LastWrite { at: self.clock(now), action: action.kind(), reason: *reason };
        let answer: Arc<str> = error.to_string().into();
        self.records.change(key, |record| record.trouble_mut(|trouble| trouble.failed = Some((tried, answer))));
        match error {
            RegistryError::Refused { cause, text } => self.refuse(key, cause, text.into(), fingerprint, now),
            // It may disappear unnoticed: not every registry reports that.
            RegistryError::Taken(_) => self.readings.at(now + RECHECK),
            RegistryError::Unreachable(_) => {
                if let Some(fingerprint) = fingerprint {
                    self.records.change(key, |record| record.trouble_mut(|trouble| trouble.in_doubt(fingerprint, now)));
                }
                *lost = Some(error);
            }
        }
    }

    /// The registry refuses this write.
    fn refuse(&mut self, key: &Arc<str>, cause: Cause, text: Arc<str>, fingerprint: Option<u64>, now: Instant) {
        // If the desired state changed in the meantime, it is tried at once.
        // At the end there is no next state to try.
        let changed = !self.shutdown
            && self.due.contains(key)
            && self.records.get(key).is_some_and(|record| self.decider.fingerprint(record) != fingerprint);
        if !changed {
            self.refusals.refused(key, cause, &text, now);
        }
        self.records.change(key, |record| {
            record.trouble_mut(|trouble| {
                let before = trouble.refused.take();
                let (since, attempts) = before.map_or((now, 0), |before| (before.since, before.attempts));
                let attempts = attempts + 1;
                trouble.refused = Some(Refused { cause, text, fingerprint, since, attempts, waits: !changed });
            });
        });
    }

    fn no_longer_refused(&mut self, key: &str, now: Instant) {
        self.records.change_known(key, |record| record.if_trouble(|trouble| trouble.refused = None));
        if let Some(since) = self.refusals.over(key, now) {
            self.effects.push(Effect::Emit(Event::RefusalOver { registry: Arc::clone(&self.name), since }));
        }
    }

    /// The refused writes of these keys are tried again.
    fn retry(&mut self, keys: Vec<Arc<str>>) {
        if !keys.is_empty() && self.known {
            // The refused write may be the removal of an entry that has no container.
            self.conclusions = self.all_conclusions();
        }
        for key in keys {
            self.records.change_known(&key, |record| {
                record.if_trouble(|trouble| {
                    if let Some(refused) = &mut trouble.refused {
                        refused.waits = false;
                    }
                });
            });
            self.due.insert(key);
        }
    }

    fn refreshed(&mut self, outcomes: Vec<(Arc<str>, Result<(), RegistryError>)>, now: Instant) {
        self.busy = None;
        let mut lost = None;
        let failed = outcomes.iter().filter(|(_, result)| result.is_err()).count();
        let (registry, succeeded) = (Arc::clone(&self.name), outcomes.len() - failed);
        self.effects.push(Effect::Emit(Event::RefreshesDone { registry, succeeded, failed }));
        for (key, result) in outcomes {
            let Some(Target::Put(service, _)) = self.records.get(&key).map(Record::target) else { continue };
            let service = Arc::clone(service);
            let next = now + self.decider.refresh_interval(&service).unwrap_or(RECHECK);
            match result {
                Ok(()) => {
                    self.refreshes.set(key, next);
                    let registry = Arc::clone(&self.name);
                    self.effects.push(Effect::Emit(Event::Refreshed { registry, service }));
                }
                Err(error) => {
                    self.complain(&key, "refresh", &service.id, &error, now);
                    if let RegistryError::Unreachable(_) = error {
                        self.refreshes.set(key, now);
                        lost = Some(error);
                    } else {
                        self.readings.again();
                        self.refreshes.set(key, next);
                    }
                }
            }
        }
        if let Some(error) = lost {
            self.lost(&error, now);
        }
    }

    /// The registry was unreachable: it is read again after a growing pause.
    fn lost(&mut self, error: &RegistryError, now: Instant) {
        self.readings.again();
        if self.outage.is_none() {
            self.effects
                .push(Effect::Emit(Event::RegistryLost { registry: Arc::clone(&self.name), why: error.to_string() }));
        }
        let outage = self.outage.get_or_insert_with(|| Outage {
            since: now,
            why: Arc::default(),
            backoff: Backoff::new(FIRST_PAUSE, LONGEST_PAUSE),
            until: now,
        });
        outage.why = error.to_string().into();
        outage.until = now + if self.shutdown { SHUTDOWN_PAUSE } else { outage.backoff.pause() };
    }

    /// The registry is reachable.
    fn reached(&mut self, now: Instant) {
        if let Some(outage) = self.outage.take() {
            self.report = Some(Report::Back { away: now - outage.since });
        }
    }

    /// Reports once why a write of this key failed.
    fn complain(
        &mut self,
        key: &Arc<str>,
        what: &'static str,
        id: &Arc<str>,
        why: &dyn std::fmt::Display,
        now: Instant,
    ) {
        let why = why.to_string();
        let mut digest = DefaultHasher::new();
        (what, &why).hash(&mut digest);
        let digest = Some(digest.finish());
        let said = self.records.change(key, |record| {
            record.trouble_mut(|trouble| std::mem::replace(&mut trouble.complaint, digest) == digest)
        });
        if said || !self.failures.permit(|| format!("{what} failed: {id}: {why}"), now) {
            return;
        }
        self.effects.push(Effect::Emit(Event::WriteFailed {
            registry: Arc::clone(&self.name),
            what,
            id: Arc::clone(id),
            service: self.records.get(key).and_then(Record::service).cloned(),
            why,
        }));
    }

    // === what is done next ===

    fn tick(&mut self, now: Instant) {
        if self.busy.is_some() {
            return;
        }
        self.wake(now);
        if let Some(until) = self.outage.as_ref().map(|outage| outage.until).filter(|until| *until > now) {
            self.effects.push(Effect::WakeAt(Some(until)));
            return;
        }
        if let Some((busy, operation)) = self.operation(now) {
            self.busy = Some(busy);
            self.effects.push(operation);
        } else {
            let guard = self.guard.due().filter(|_| self.known);
            let others =
                [self.readings.next(), self.refreshes.next(), self.refusals.next(), self.contests.next(), guard];
            let wake = others.into_iter().flatten().min().filter(|_| !self.shutdown);
            self.effects.push(Effect::WakeAt(wake));
        }
    }

    /// Handles what has become due.
    fn wake(&mut self, now: Instant) {
        let retried = self.refusals.due(now);
        self.retry(retried);
        if let Some(reminder) = self.refusals.reminder(now) {
            self.effects.push(Effect::Emit(Event::StillRefused {
                registry: Arc::clone(&self.name),
                count: reminder.count,
                since: reminder.since,
                example: reminder.example.to_string(),
            }));
        }
        while let Some(key) = self.contests.due(now) {
            let contest = self.records.get(&key).and_then(Record::contest).copied();
            if contest.is_none_or(|contest| self.contests.is_over(&key, &contest, now)) {
                self.records.change_known(&key, |record| record.if_trouble(|trouble| trouble.contest = None));
            }
            self.due.insert(key);
        }
        if let Some(since) = self.contests.ended(now) {
            self.effects.push(Effect::Emit(Event::ContestOver { registry: Arc::clone(&self.name), since }));
        }
    }

    /// The next operation: a read, writes or refreshes, in this order.
    fn operation(&mut self, now: Instant) -> Option<(Busy, Effect)> {
        if self.shutdown {
            return self.last_operation(now);
        }
        if let Some(cleanup) = self.readings.begin(now) {
            // Only a cleanup concerns entries of others at keys that we do not write.
            let everything = cleanup || self.cleanup || !self.known;
            let scope = Scope {
                keys: (!everything).then(|| self.records.wanted_keys()),
                contents: self.contests.any() || self.decider.rehearses(),
                looks: self.decider.rehearses(),
            };
            return Some((Busy::Reading { cleanup }, Effect::Read(scope)));
        }
        if !self.known {
            return None;
        }
        let mut writes = self.batch(now);
        if writes.is_empty() {
            self.judge(now);
            writes = self.batch(now);
        }
        if self.decider.rehearses() {
            while !writes.is_empty() {
                self.rehearse(writes);
                writes = self.batch(now);
            }
        }
        if !writes.is_empty() {
            for write in &writes {
                self.records.change_known(&write.key, |record| record.in_flight = true);
            }
            return Some((Busy::Writing, Effect::Apply(writes)));
        }
        self.reached(now);
        self.all_done(now);
        let refreshes = self.refreshes_due(now);
        (!refreshes.is_empty()).then_some((Busy::Refreshing, Effect::Refresh(refreshes)))
    }

    /// The next writes.
    fn batch(&mut self, now: Instant) -> Vec<Write> {
        let mut writes = Vec::new();
        while writes.len() < BATCH
            && let Some(key) = self.due.pop_first()
        {
            let Some(record) = self.records.get(&key) else { continue };
            let verdict = self.decider.verdict(record, &self.conclusions);
            if let Verdict::Leave(left) = verdict {
                self.leave(&key, left, now);
                continue;
            }
            if let Some(left) = Decider::waits(record, &verdict, now) {
                if left == Left::Reappeared {
                    self.tell_that_it_reappeared(&key, now);
                }
                continue;
            }
            if let Verdict::Remove(_, Evidence::List) = verdict
                && !self.guard.permits(&key, now)
            {
                continue;
            }
            writes.extend(Decider::write(&key, record, verdict));
        }
        writes
    }

    /// Tells once of each write that would be made (`-dry-run`).
    fn rehearse(&mut self, writes: Vec<Write>) {
        for write in writes {
            let Write { key, action, reason } = write;
            let service = self.records.get(&key).and_then(Record::service).cloned();
            let (what, id) = match &action {
                Action::Put(service) => (if reason == Reason::Missing { "add" } else { "change" }, &service.id),
                Action::Remove(entry) => ("remove", &entry.service_id),
                Action::Mark(entry, _) => ("mark", &entry.service_id),
                Action::Unmark(entry) => ("unmark", &entry.service_id),
            };
            let mut digest = DefaultHasher::new();
            (what, self.decider.written(&action)).hash(&mut digest);
            let digest = digest.finish();
            if self.rehearsed.insert(Arc::clone(&key), digest) == Some(digest) {
                continue;
            }
            let (registry, id) = (Arc::clone(&self.name), Arc::clone(id));
            self.effects.push(Effect::Emit(Event::Would { registry, what, id, service, reason: reason.in_words() }));
        }
    }

    /// Everything that was due is done.
    fn all_done(&mut self, now: Instant) {
        self.conclusions = Conclusions::default();
        let registry = Arc::clone(&self.name);
        let Held { count, owner } = self.held_by_another.clone();
        if count > self.held_by_another_told {
            let owner = owner.filter(|_| self.decider.names_owners());
            self.effects.push(Effect::Emit(Event::HeldByAnother { registry: Arc::clone(&registry), count, owner }));
        }
        self.held_by_another_told = count;
        if let Some((count, example)) = self.failures.take_left_out() {
            let event = Event::WritesFailed { registry: Arc::clone(&registry), count, example };
            self.effects.push(Effect::Emit(event));
        }
        // What the removal guard has not decided yet would be missing in a rehearsal's sum.
        if self.decider.rehearses() && self.guard.is_gathering() {
            return;
        }
        let event = match self.report.take() {
            Some(Report::Compared) if self.decider.rehearses() => {
                let plan = self.plan(now);
                let (would, others) = (plan.counts(), plan.of_others());
                Event::Rehearsed { registry, would, others }
            }
            Some(Report::Compared) => Event::Resynced { registry, tally: self.tally },
            Some(Report::Back { away }) => Event::RegistryBack { registry, away, caught_up: self.tally },
            None => return,
        };
        self.effects.push(Effect::Emit(event));
    }

    /// The removal guard's decision on the removals that it delays.
    fn judge(&mut self, now: Instant) {
        if self.guard.due().is_none_or(|due| due > now) {
            return;
        }
        let held = self.records.iter().filter(|(_, record)| self.decider.owned(record).is_some()).count();
        match self.guard.verdict(held, now) {
            Some(guard::Verdict::Go(keys)) => {
                self.conclusions = self.all_conclusions();
                self.due.extend(keys);
            }
            Some(guard::Verdict::Wait(doubts)) => {
                let (registry, pause) = (Arc::clone(&self.name), guard::ASK_AFTER);
                self.effects.push(Effect::Emit(Event::GuardHolds { registry, doubts, held, pause }));
            }
            Some(guard::Verdict::Ask) => self.effects.push(Effect::AskEngine),
            None => {}
        }
    }

    /// Nothing should be written for this key.
    fn leave(&mut self, key: &Arc<str>, left: Left, now: Instant) {
        self.waiting.remove(key);
        if left != Left::Undecided {
            self.no_longer_refused(key, now);
        }
        let Some(record) = self.records.get(key) else { return };
        match record.target() {
            Target::Remove(..) => {
                self.records.change_known(key, |record| {
                    record.forget_withdrawn();
                    record.if_trouble(|trouble| trouble.complaint = None);
                });
            }
            Target::Put(service, _) => match left {
                Left::Right => {
                    let refreshed = self.decider.refresh_interval(service).is_some();
                    self.records.change_known(key, |record| record.if_trouble(|trouble| trouble.complaint = None));
                    self.found_right(key, refreshed, now);
                }
                Left::InTheWay(owner) => {
                    let equal = self.decider.is_equal(record);
                    let id = Arc::clone(&service.id);
                    // The blocking entry may have disappeared, or may do so: not every registry reports that.
                    self.readings.at(now + RECHECK);
                    if !equal {
                        let why = self.decider.why_in_the_way(&owner);
                        self.complain(key, "register", &id, &why, now);
                    }
                }
                Left::Unowned => {
                    let id = Arc::clone(&service.id);
                    self.readings.at(now + RECHECK);
                    let why = "an entry without an owner is already there, and is not this host's: give the container \
                               another SERVICE_ID, or take it over with -adopt";
                    self.complain(key, "register", &id, &why, now);
                }
                _ => {}
            },
            Target::Keep(..) | Target::Nothing => {}
        }
    }

    fn tell_that_it_reappeared(&mut self, key: &Arc<str>, now: Instant) {
        let Some(id) =
            self.records.get(key).and_then(|record| record.actual.as_ref()).map(|e| Arc::clone(&e.service_id))
        else {
            return;
        };
        let digest = Some(u64::MAX);
        let said = self.records.change(key, |record| {
            record.trouble_mut(|trouble| std::mem::replace(&mut trouble.complaint, digest) == digest)
        });
        if !said && self.failures.permit(|| format!("dangling: {id} is there again"), now) {
            let (registry, owner) = (Arc::clone(&self.name), Arc::clone(self.decider.owner()));
            self.effects.push(Effect::Emit(Event::Reappeared { registry, id, owner }));
        }
    }

    /// The refreshes that are due.
    fn refreshes_due(&mut self, now: Instant) -> Vec<(Arc<str>, Arc<Service>)> {
        let mut services = Vec::new();
        if self.decider.rehearses() {
            self.refreshes = Deadlines::default();
        }
        if self.refreshes.next().is_none_or(|due| due > now) {
            return services;
        }
        while services.len() < BATCH
            && let Some(key) = self.refreshes.pop(now + REFRESH_SLACK)
        {
            let Some(record) = self.records.get(&key) else { continue };
            if let (Target::Put(service, _), Some(entry)) = (record.target(), &record.actual)
                && !self.decider.is_foreign(entry)
                && Some(entry.fingerprint) == self.decider.fingerprint(record)
            {
                services.push((key, Arc::clone(service)));
            }
        }
        services
    }

    /// A time in seconds since the start, as in records.
    fn clock(&self, now: Instant) -> u32 {
        u32::try_from((now - self.began).as_secs()).unwrap_or(u32::MAX)
    }

    // === the end ===

    /// Starts the shutdown that `-on-shutdown` asks for.
    fn shut_down(&mut self, now: Instant) {
        self.shutdown = true;
        if let Some(outage) = &mut self.outage {
            outage.until = now;
        }
        // Refused writes are tried once more.
        let retried = self.refusals.release_at_once(None, now);
        self.retry(retried);
        if let Some(Some(why)) = self.decider.leaves_all() {
            self.effects.push(Effect::Emit(Event::LeftAsItIs { registry: Arc::clone(&self.name), why }));
        }
    }

    /// Whether the shutdown is finished, or cannot go on.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.decider.leaves_all().is_some() || self.busy.is_none() && self.unfinished() == Some(0)
    }

    /// How many entries are not yet in their final state; `None` if the registry was never read.
    #[must_use]
    pub fn unfinished(&self) -> Option<usize> {
        self.known.then(|| self.last_writes().count())
    }

    fn last_writes(&self) -> impl Iterator<Item = Write> {
        self.records.iter().filter_map(|(key, record)| self.decider.last_write(key, record))
    }

    /// The next shutdown operation.
    fn last_operation(&mut self, now: Instant) -> Option<(Busy, Effect)> {
        if self.is_finished() {
            return None;
        }
        if !self.known {
            self.readings.begin(now);
            let scope = Scope { keys: None, contents: false, looks: self.decider.rehearses() };
            return Some((Busy::Reading { cleanup: false }, Effect::Read(scope)));
        }
        // Ordered by key, so that equal states lead to equal writes.
        let mut writes: Vec<_> = self.last_writes().collect();
        writes.sort_unstable_by(|one, other| one.key.cmp(&other.key));
        writes.truncate(BATCH);
        Some((Busy::Writing, Effect::Apply(writes)))
    }
}

#[cfg(test)]
mod tests;
