//! What is known about each container, what must be inspected, and what is still to be reported.
//!
//! The deciding part of the watch. Pure, except that the clock is passed in; [`super::watch()`] sends the requests and
//! returns the answers. Nothing is lost, because everything is state rather than messages: a hint marks a container as
//! dirty until an inspect that began after the hint is answered, and a change stays queued until it is taken.
//!
//! A *pass* inspects everything once and ends in a [`Snapshot`]. A *check* compares a list with the one before, and
//! inspects what is different, new or missing.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::decode::{Listed, Said};
use super::{Change, Snapshot, Unknown, Unread};
use crate::backoff::Backoff;
use crate::container::{Container, ContainerId};
use crate::deadlines::Deadlines;

/// The first and the longest pause before a failed inspect is retried; jitter makes each up to twice as long.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// The same for one that is larger than is read, which only a change of the engine itself can mend.
const TOO_LARGE_PAUSES: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));
/// The maximum number of simultaneous inspects.
const SLOTS: usize = 32;
/// How many of them may be for hints, and how many for passes and retries: neither delays the other, even if inspects
/// hang.
const SHARE: usize = 24;
/// How long a pass waits for the next answer. Then it ends without the missing ones.
const STALL: Duration = Duration::from_secs(3);
/// While this many changes wait to be taken, nothing more is inspected: a dirty container takes no memory.
const BACKLOG: usize = 64;

/// The state of one watch.
#[derive(Debug, Default)]
pub(super) struct Tracker {
    /// Whether containers that do not run are tracked as well.
    list_all: bool,
    /// By ID, so that snapshots are ordered.
    entries: BTreeMap<ContainerId, Entry>,
    /// To be inspected because of hints; those no longer [`Work::Queued`] are skipped.
    hot: VecDeque<ContainerId>,
    /// To be inspected because of a pass or a failure.
    cold: VecDeque<ContainerId>,
    /// When those in [`Work::Waiting`] are due.
    retries: Deadlines<ContainerId>,
    hot_in_flight: usize,
    cold_in_flight: usize,
    pass: Option<Pass>,
    passes: u64,
    /// Whether a snapshot was reported, so that changes may follow.
    synced: bool,
    /// The last list, without containers that have changed since it was requested.
    listed: HashMap<ContainerId, Said>,
    /// Containers that have changed since the list in flight was requested.
    moved: HashSet<ContainerId>,
    changes: VecDeque<Change>,
}

#[derive(Debug, Default)]
struct Entry {
    /// As last inspected, if it counts.
    known: Option<Arc<Container>>,
    reported: Reported,
    work: Work,
    /// Whether its last inspect failed.
    failing: Option<Box<Failing>>,
    /// Whether an event has arrived that no inspect has followed up yet.
    had_event: bool,
    /// Whether its stop signal was reported since the last answer.
    stopping: bool,
}

/// Inspects that fail.
#[derive(Debug)]
struct Failing {
    backoff: Backoff,
    /// The engine says more of it than is read; its name.
    too_large: Option<String>,
}

/// What was last reported about a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Reported {
    /// Nothing.
    #[default]
    Nothing,
    /// Only that it exists.
    Unknown,
    /// [`Entry::known`].
    Known,
    /// That it no longer runs, if only running containers are tracked. It may be removed later.
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Urgency {
    Hot,
    Cold,
}

/// The work on a container.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Work {
    #[default]
    None,
    Queued(Urgency),
    /// `again`: it became dirty in the meantime. `passes`: how many passes had begun.
    InFlight {
        urgency: Urgency,
        again: Option<Urgency>,
        passes: u64,
    },
    /// Until the retry.
    Waiting,
}

#[derive(Debug)]
struct Pass {
    remaining: BTreeSet<ContainerId>,
    last_answer: Instant,
}

/// The result of an inspect.
#[derive(Debug)]
pub(super) enum Inspected {
    Is(Arc<Container>),
    Gone,
    Failed,
    /// It is larger than is read; its name.
    TooLarge(String),
}

impl Tracker {
    pub(super) fn new(list_all: bool) -> Self {
        Self { list_all, ..Self::default() }
    }

    /// An event says that this container may have changed.
    pub(super) fn hint(&mut self, id: ContainerId) {
        self.distrust(&id);
        self.request(id.clone(), Urgency::Hot);
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.had_event = true;
        }
    }

    /// An event says that this container was sent a signal; reported if it is its stop signal.
    pub(super) fn signalled(&mut self, id: &ContainerId, signal: u32) {
        if let Some(entry) = self.entries.get_mut(id)
            && entry.reported == Reported::Known
            && entry.known.as_ref().is_some_and(|known| known.state.is_running() && known.stop.signal == signal)
            && !std::mem::replace(&mut entry.stopping, true)
        {
            self.changes.push_back(Change::Stopping(id.clone()));
        }
    }

    /// The last list is older than what is known now: if the next one is equal, that must not count as unchanged.
    fn distrust(&mut self, id: &ContainerId) {
        self.listed.remove(id);
        self.moved.insert(id.clone());
    }

    /// A list is requested.
    pub(super) fn listing(&mut self) {
        self.moved.clear();
    }

    /// The list of a pass: everything in it, and everything known, is inspected.
    pub(super) fn begin_pass(&mut self, list: Vec<Listed>, now: Instant) {
        let listed = list.iter().map(|entry| entry.id.clone());
        let remaining: BTreeSet<_> = self.entries.keys().cloned().chain(listed).collect();
        self.remember(list);
        self.cold.clear();
        for id in &remaining {
            if self.entries.get(id).is_some_and(|entry| entry.work == Work::Queued(Urgency::Cold)) {
                self.cold.push_back(id.clone());
            }
            self.request(id.clone(), Urgency::Cold);
        }
        self.passes += 1;
        self.pass = Some(Pass { remaining, last_answer: now });
        self.end_pass_if_done();
    }

    /// The list of a check: what differs from the one before is inspected.
    pub(super) fn check(&mut self, list: Vec<Listed>) {
        let now: HashSet<_> = list.iter().map(|entry| &entry.id).collect();
        let same = |entry: &Listed| self.listed.get(&entry.id).is_some_and(|before| before.digest == entry.said.digest);
        let differing = list.iter().filter(|entry| !same(entry)).map(|entry| &entry.id);
        let known = self.entries.iter().filter(|(_, entry)| entry.known.is_some()).map(|(id, _)| id);
        let missing = self.listed.keys().chain(known).filter(|id| !now.contains(id));
        let dirty: BTreeSet<_> = differing.chain(missing).cloned().collect();
        self.remember(list);
        for id in dirty {
            self.request(id, Urgency::Hot);
        }
    }

    /// Replaces the list before: two of ten thousand containers take megabytes.
    fn remember(&mut self, list: Vec<Listed>) {
        let now: HashSet<_> = list.iter().map(|entry| &entry.id).filter(|id| !self.moved.contains(id)).collect();
        self.listed.retain(|id, _| now.contains(id));
        for Listed { id, said } in list {
            if !self.moved.contains(&id) {
                // Known IDs are shared, not stored twice.
                let id = self.entries.get_key_value(&id).map_or(id, |(known, _)| known.clone());
                self.listed.insert(id, said);
            }
        }
        self.moved.clear();
    }

    /// The engine is lost: requests in flight are repeated later.
    pub(super) fn abandon_pass(&mut self) {
        self.pass = None;
    }

    /// Whether a pass is in progress.
    pub(super) fn in_pass(&self) -> bool {
        self.pass.is_some()
    }

    fn request(&mut self, id: ContainerId, urgency: Urgency) {
        let entry = self.entries.entry(id.clone()).or_default();
        let is_too_large = entry.too_large().is_some();
        match (&mut entry.work, urgency) {
            (Work::Queued(Urgency::Hot), _) | (Work::Queued(Urgency::Cold), Urgency::Cold) => return,
            (Work::InFlight { again, .. }, _) => {
                if *again != Some(Urgency::Hot) {
                    *again = Some(urgency);
                }
                return;
            }
            // Reading it costs much, and will fail again: no event makes that sooner.
            (Work::Waiting, Urgency::Hot) if is_too_large => return,
            (Work::Waiting, _) => self.retries.remove(&id),
            (Work::None | Work::Queued(Urgency::Cold), _) => {}
        }
        entry.work = Work::Queued(urgency);
        match urgency {
            Urgency::Hot => self.hot.push_back(id),
            Urgency::Cold => self.cold.push_back(id),
        }
    }

    /// The next container to inspect, if one is allowed now.
    pub(super) fn next(&mut self, now: Instant) -> Option<ContainerId> {
        while let Some(id) = self.retries.pop(now)
            && let Some(entry) = self.entries.get_mut(&id)
        {
            entry.work = Work::Queued(Urgency::Cold);
            self.cold.push_back(id);
        }
        if self.changes.len() >= BACKLOG || self.hot_in_flight + self.cold_in_flight >= SLOTS {
            return None;
        }
        if self.hot_in_flight < SHARE
            && let Some(id) = self.start(Urgency::Hot)
        {
            self.hot_in_flight += 1;
            return Some(id);
        }
        if self.cold_in_flight < SHARE
            && let Some(id) = self.start(Urgency::Cold)
        {
            self.cold_in_flight += 1;
            return Some(id);
        }
        None
    }

    fn start(&mut self, urgency: Urgency) -> Option<ContainerId> {
        loop {
            let id = match urgency {
                Urgency::Hot => self.hot.pop_front()?,
                Urgency::Cold => self.cold.pop_front()?,
            };
            if let Some(entry) = self.entries.get_mut(&id)
                && entry.work == Work::Queued(urgency)
            {
                entry.work = Work::InFlight { urgency, again: None, passes: self.passes };
                return Some(id);
            }
        }
    }

    /// Takes the answer to an inspect that [`Tracker::next`] requested. Returns whether it is the first of several
    /// failures.
    pub(super) fn inspected(&mut self, id: &ContainerId, said: Inspected, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(id) else { return false };
        let Work::InFlight { urgency, again, passes } = entry.work else { return false };
        match urgency {
            Urgency::Hot => self.hot_in_flight -= 1,
            Urgency::Cold => self.cold_in_flight -= 1,
        }
        entry.work = Work::None;
        let is_failure = matches!(said, Inspected::Failed | Inspected::TooLarge(_));
        let first_failure = is_failure && entry.failing.is_none();
        if is_failure {
            // Even if it became dirty in the meantime: the retry follows.
            let due = now + entry.fail(said);
            entry.work = Work::Waiting;
            self.retries.set(id.clone(), due);
        } else {
            entry.failing = None;
            let confirmed = entry.confirms(self.listed.get(id), &said);
            entry.stopping = false;
            let is_there = matches!(said, Inspected::Is(_));
            let change = entry.learn(id, said, self.list_all, self.synced);
            entry.had_event &= !is_there || again.is_some();
            self.changes.extend(change);
            if entry.is_over() && again.is_none() {
                self.entries.remove(id);
            }
            if let Some(urgency) = again {
                self.request(id.clone(), urgency);
            }
            if !confirmed {
                // It changed after the list, perhaps without an event.
                self.distrust(id);
            }
        }
        if let Some(pass) = &mut self.pass {
            pass.last_answer = now;
            if passes == self.passes {
                pass.remaining.remove(id);
            }
            self.end_pass_if_done();
        }
        first_failure
    }

    fn end_pass_if_done(&mut self) {
        if self.pass.as_ref().is_some_and(|pass| pass.remaining.is_empty()) {
            self.end_pass();
        }
    }

    fn end_pass(&mut self) {
        let Some(pass) = self.pass.take() else { return };
        let mut snapshot = Snapshot::default();
        for (id, entry) in &mut self.entries {
            match &entry.known {
                Some(container) if entry.failing.is_none() && !pass.remaining.contains(id) => {
                    entry.reported = Reported::Known;
                    snapshot.containers.push(Arc::clone(container));
                }
                None if entry.work == Work::None => {}
                known => {
                    // Its last known state, if it was not reported yet because the engine was lost.
                    snapshot.containers.extend(known.clone().filter(|_| entry.reported == Reported::Nothing));
                    entry.reported = Reported::Unknown;
                    let name = entry.name().or_else(|| self.listed.get(id)?.name()).map(Box::from);
                    let why = if entry.too_large().is_some() { Unread::TooLarge } else { Unread::NotYet };
                    snapshot.unknown.push(Unknown { id: id.clone(), name, why });
                }
            }
        }
        self.synced = true;
        self.changes.push_back(Change::Snapshot(snapshot));
    }

    /// When [`Tracker::next`] or [`Tracker::tick`] is due next.
    pub(super) fn due(&self) -> Option<Instant> {
        let retry = self.retries.next().filter(|_| self.cold_in_flight < SHARE);
        let stall = self.pass.as_ref().filter(|_| self.is_asking()).map(|pass| pass.last_answer + STALL);
        retry.into_iter().chain(stall).min()
    }

    /// Handles time: a pass without answers ends.
    pub(super) fn tick(&mut self, now: Instant) {
        if self.is_asking() && self.pass.as_ref().is_some_and(|pass| now >= pass.last_answer + STALL) {
            self.end_pass();
        }
    }

    fn is_asking(&self) -> bool {
        self.hot_in_flight + self.cold_in_flight > 0
    }

    /// Whether a change waits to be taken.
    pub(super) fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// The oldest change that was not taken yet.
    pub(super) fn take_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }
}

impl Entry {
    /// Takes in a failure, and returns the pause before it is tried again.
    fn fail(&mut self, said: Inspected) -> Duration {
        let too_large = if let Inspected::TooLarge(name) = said { Some(name) } else { None };
        let (first, longest) = if too_large.is_some() { TOO_LARGE_PAUSES } else { (FIRST_PAUSE, LONGEST_PAUSE) };
        let was_too_large = self.too_large().is_some();
        let failing = match &mut self.failing {
            Some(failing) if was_too_large == too_large.is_some() => failing,
            failing => failing.insert(Box::new(Failing { backoff: Backoff::new(first, longest), too_large: None })),
        };
        failing.too_large = too_large;
        failing.backoff.pause()
    }

    /// Its name, as far as inspects reported it.
    fn name(&self) -> Option<&str> {
        let known = self.known.as_ref().map(|known| &*known.name);
        known.or(self.too_large()).filter(|name| !name.is_empty())
    }

    /// The name of one that is larger than is read.
    fn too_large(&self) -> Option<&str> {
        self.failing.as_ref()?.too_large.as_deref()
    }

    /// Takes the result of an inspect, and returns what must be reported.
    fn learn(&mut self, id: &ContainerId, said: Inspected, list_all: bool, synced: bool) -> Option<Change> {
        match said {
            Inspected::Is(container) => {
                let counts = list_all || container.state.is_running();
                let is_news = match self.reported {
                    Reported::Known => self.known.as_ref() != Some(&container),
                    Reported::Unknown => true,
                    Reported::Nothing | Reported::Ended => counts,
                };
                // Unchanged values are kept: a pass should not double the memory.
                let container = self.known.take().filter(|known| *known == container).unwrap_or(container);
                self.known = counts.then(|| Arc::clone(&container));
                if !synced || !is_news {
                    return None;
                }
                self.reported = if counts { Reported::Known } else { Reported::Ended };
                Some(Change::Changed(container))
            }
            Inspected::Gone => {
                self.known = None;
                let reported = std::mem::take(&mut self.reported);
                let change = if self.had_event { Change::Gone } else { Change::Missing };
                (reported != Reported::Nothing).then(|| change(id.clone()))
            }
            Inspected::Failed | Inspected::TooLarge(_) => None,
        }
    }

    /// Whether the result equals what was known and listed.
    fn confirms(&self, listed: Option<&Said>, said: &Inspected) -> bool {
        let Inspected::Is(container) = said else { return false };
        self.known.as_ref().is_none_or(|known| known == container)
            && listed.is_some_and(|listed| listed.agrees(container))
    }

    /// Whether there is nothing to remember.
    fn is_over(&self) -> bool {
        self.known.is_none() && self.reported == Reported::Nothing && self.work == Work::None
    }
}

#[cfg(test)]
mod tests;
