//! One task per registry: compare, plan, write, refresh, and again when something failed.
//!
//! A keeper does one thing at a time with its registry, and goes on listening to the bridge while
//! it does: so writes to one key are in order, the last state wins, and a registry that hangs
//! holds up nobody but itself. What became of a write that failed on the way is not guessed: the
//! registry is read again, and what differs is written.

mod comebacks;
mod guard;
mod parting;

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use comebacks::Comebacks;
use guard::{Guard, Verdict};

use super::desired::{Kept, Update, Want};
use super::plan::{Rules, Scope, Situation, Step, Wanted};
use crate::config::Deregister;
use crate::registry::{Canonical, Entry, Mark, Marked, Registry, RegistryError};
use crate::service::{Service, Source};

/// How many writes go to the registry in one operation.
const BATCH: usize = 512;

/// How long one operation may take before it counts as failed, whatever the registry does.
const OPERATION_DEADLINE: Duration = Duration::from_secs(60);

/// A write that failed on the way may still arrive, and what is in our way may go: when to look once more.
const SECOND_LOOK: Duration = Duration::from_secs(30);

/// Reading a registry because it changed, mostly by our own writes, may take this share of the time: one in so many.
const READING_SHARE: u32 = 20;

/// The longest that a change by another hand waits to be read.
const LONGEST_REST: Duration = Duration::from_secs(10);

/// The longest pause between two attempts to reach a registry.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How far ahead a refresh may be taken along with one that is due.
const REFRESH_SLACK: Duration = Duration::from_millis(250);

/// What the bridge tells its keepers.
#[derive(Clone, Debug)]
pub enum Command {
    /// The standing of these services changed.
    Update(Arc<[Update]>),
    /// Every container was looked at: compare what they offer with what the registry holds, and
    /// try again what it refused.
    Compare(Scope),
}

/// Keeps one registry equal to what is wanted.
pub struct Keeper {
    /// How the registry is called in the log: its URI without secrets.
    name: String,
    registry: Arc<dyn Registry>,
    rules: Rules,

    /// The key that each port of a container claims.
    keys: HashMap<Source, String>,
    /// Who claims each key; the first in rank has it.
    claims: HashMap<String, Vec<Claim>>,
    /// What should become of each key that anybody here wants, or wanted, something of.
    intents: HashMap<String, Intent>,
    /// What the registry holds, as far as is known: read by the last compare, then kept up by our writes.
    actual: HashMap<String, Entry>,
    /// Keys whose next step is to be planned.
    dirty: BTreeSet<String>,
    /// What may be concluded while those are planned.
    scope: Scope,
    /// Holds up removals that only a list speaks for.
    guard: Guard,
    /// Whether a compare that may clean up was the last.
    cleanup: bool,
    /// Notified: have the engine say everything again.
    ask: Arc<Notify>,

    /// A compare is due, with this scope.
    compare: Option<Scope>,
    /// Whether every running container is known to the bridge.
    complete: bool,
    /// Whether the registry was ever read; before that, nothing is written.
    known: bool,
    /// Keys that the registry would not take as they are, with what stood there instead.
    rejected: HashMap<String, Option<Entry>>,
    /// Tells our own late writes from those of somebody else who goes by our owner's name.
    comebacks: Comebacks,
    /// How many services find an entry like theirs that another instance holds, since the last compare.
    awaited: usize,
    /// How many of those were told of.
    awaited_said: usize,
    /// The last complaint of each key, which is said once.
    complaints: HashMap<String, String>,
    /// When each registered service is to be refreshed.
    refreshes: BTreeSet<(Instant, String)>,
    /// The keys in `refreshes`.
    refreshing: HashSet<String>,

    /// Set while the registry cannot be reached.
    outage: Option<Outage>,
    /// When to look for a write that failed on the way.
    second_look: Option<Instant>,
    /// When to look for what others may have changed.
    next_look: Option<Instant>,
    /// Before this, no change that the registry tells of has it read again.
    rested: Instant,
    operation: Option<Operation>,
}

/// A service that is to stand at a key.
#[derive(Debug)]
struct Claim {
    service: Arc<Service>,
    standing: Standing,
}

/// How it is to stand there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// Just so, and marked for this reason.
    Registered(Option<Mark>),
    /// Whatever stands there stays.
    Kept(Kept),
}

/// What should become of one key.
#[derive(Debug, PartialEq, Eq)]
enum Intent {
    Register(Arc<Service>, Canonical, Option<Mark>),
    Keep(Arc<Service>, Kept),
    /// Whether an event told of it, and not only a list.
    Withdraw(Arc<Service>, bool),
}

struct Outage {
    backoff: ExponentialBackoff,
    until: Instant,
}

type Operation = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What came of an operation.
enum Outcome {
    /// With the time that it took.
    Compared(Scope, Result<Vec<Entry>, RegistryError>, Duration),
    Written {
        added: Vec<(Arc<Service>, Canonical, Attempt)>,
        removed: Vec<(Entry, Removal, Attempt)>,
        marked: Vec<(Entry, Option<Mark>, Attempt)>,
    },
    Refreshed(Vec<(String, Arc<Service>, Attempt)>),
}

type Attempt = Result<(), RegistryError>;

/// Why an entry is removed.
#[derive(Clone, Debug)]
enum Removal {
    /// This service is no longer offered.
    Withdrawn(Arc<Service>),
    /// Nothing stands behind it.
    Dangling,
}

impl Keeper {
    /// A keeper of a registry that has not been read yet.
    #[must_use]
    pub fn new(name: String, registry: Arc<dyn Registry>, rules: Rules) -> Self {
        Self {
            name,
            registry,
            rules,
            keys: HashMap::new(),
            claims: HashMap::new(),
            intents: HashMap::new(),
            actual: HashMap::new(),
            dirty: BTreeSet::new(),
            scope: Scope::default(),
            guard: Guard::default(),
            cleanup: false,
            ask: Arc::default(),
            compare: None,
            complete: false,
            known: false,
            rejected: HashMap::new(),
            comebacks: Comebacks::default(),
            awaited: 0,
            awaited_said: 0,
            complaints: HashMap::new(),
            refreshes: BTreeSet::new(),
            refreshing: HashSet::new(),
            outage: None,
            second_look: None,
            next_look: None,
            rested: Instant::now(),
            operation: None,
        }
    }

    /// Removes so large a share of what it holds (percent, 0 for any) only after `ask` was notified and answered
    /// with a [`Command::Compare`], where nothing but a list of containers speaks for it.
    #[must_use]
    pub fn guarded(self, percent: u8, ask: Arc<Notify>) -> Self {
        Self { guard: Guard::new(percent), ask, ..self }
    }

    /// Runs until it is told to stop, or the bridge is gone; then does what `-on-shutdown` says. Writes nothing before the first [`Command::Compare`].
    pub async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>, stop: CancellationToken) {
        let changed = Arc::new(Notify::new());
        let watcher = tokio::spawn(watch(Arc::clone(&self.registry), Arc::clone(&changed)));
        loop {
            // The next operation is begun with all that the bridge has said.
            while let Ok(command) = commands.try_recv() {
                self.take(command);
            }
            if self.operation.is_none() {
                self.operation = self.next_operation();
            }
            let alarm = self.alarm();
            // In this order, so that chance has no part in it.
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                outcome = finished(&mut self.operation) => {
                    self.operation = None;
                    self.settle(outcome);
                }
                command = commands.recv() => {
                    let Some(command) = command else { break };
                    self.take(command);
                }
                () = changed.notified(), if self.known && self.compare.is_none() => self.changed(),
                () = sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => self.wake(),
            }
        }
        watcher.abort();
        self.part().await;
    }

    // === what the bridge says ===

    fn take(&mut self, command: Command) {
        match command {
            Command::Update(updates) => updates.iter().for_each(|update| self.update(update)),
            Command::Compare(scope) => {
                self.rejected.clear();
                self.complete = scope.complete;
                self.guard.answered();
                let cleanup = scope.cleanup || self.compare.is_some_and(|due| due.cleanup);
                self.compare = Some(Scope { complete: scope.complete, cleanup });
            }
        }
    }

    fn update(&mut self, update: &Update) {
        let standing = match &update.want {
            Want::Registered(_) => Some(Standing::Registered(None)),
            Want::Paused(_) => Some(Standing::Registered(Some(Mark::Paused))),
            Want::Kept(_, Kept::Draining) if !self.registry.marks() => None,
            Want::Kept(_, why) => Some(Standing::Kept(*why)),
            Want::Absent | Want::Missing | Want::Forgotten => None,
        };
        let claim = standing
            .zip(update.want.service())
            .map(|(standing, service)| Claim { service: Arc::clone(service), standing });
        let key = claim.as_ref().map(|claim| self.registry.canonical(&claim.service).key);
        let old = match &key {
            Some(key) => self.keys.insert(update.source.clone(), key.clone()),
            None => self.keys.remove(&update.source),
        };
        if let Some(claims) = old.as_ref().and_then(|old| self.claims.get_mut(old)) {
            claims.retain(|claim| claim.service.source() != update.source);
        }
        if let (Some(key), Some(claim)) = (&key, claim) {
            let claims = self.claims.entry(key.clone()).or_default();
            claims.push(claim);
            claims.sort_by(Claim::rank);
        }
        if let Some(old) = old.filter(|old| Some(old) != key.as_ref()) {
            if update.want == Want::Forgotten && self.claims.get(&old).is_none_or(Vec::is_empty) {
                self.forget(&old);
            } else {
                self.intend(old, update.want != Want::Missing);
            }
        }
        if let Some(key) = key {
            self.intend(key, true);
        }
    }

    /// Makes out of the claims on a key what should become of it; `told` is whether an event told of the change.
    fn intend(&mut self, key: String, told: bool) {
        let claims = self.claims.get(&key).map(Vec::as_slice).unwrap_or_default();
        let claimed = |service: &Service| claims.iter().any(|claim| claim.service.source() == service.source());
        let intent = match (claims.first(), self.intents.get(&key)) {
            // What stands there is not what failed, but what served in its place afterwards, and no longer does.
            (
                Some(Claim { standing: Standing::Kept(Kept::Failed), .. }),
                Some(Intent::Register(served, ..) | Intent::Withdraw(served, _)),
            ) if !claimed(served) => Intent::Withdraw(Arc::clone(served), told),
            (Some(Claim { service, standing: Standing::Kept(why) }), _) => Intent::Keep(Arc::clone(service), *why),
            (Some(Claim { service, standing: Standing::Registered(mark) }), _) => {
                Intent::Register(Arc::clone(service), self.registry.canonical(service), *mark)
            }
            (None, Some(intent)) => Intent::Withdraw(Arc::clone(intent.service()), told),
            (None, None) => {
                self.claims.remove(&key);
                return;
            }
        };
        if let Some((winner, losers)) = claims.split_first() {
            for loser in losers.iter().filter(|loser| matches!(loser.standing, Standing::Registered(_))) {
                say_ignored(&self.name, &loser.service, &winner.service);
            }
        } else {
            self.claims.remove(&key);
        }
        if self.intents.get(&key) != Some(&intent) {
            self.rejected.remove(&key);
            self.guard.clear(&key);
            self.dirty.insert(key.clone());
            self.intents.insert(key, intent);
        }
    }

    /// Nobody looks after this key any more; whatever stands there stays.
    fn forget(&mut self, key: &str) {
        self.claims.remove(key);
        self.intents.remove(key);
        self.rejected.remove(key);
        self.complaints.remove(key);
        if self.registry.marks() && self.known {
            self.look_again();
        }
    }

    /// Why the entry at this key is to be marked, if it is.
    fn mark(&self, key: &str) -> Option<Mark> {
        let mark = match self.intents.get(key) {
            Some(Intent::Register(_, _, mark)) => *mark,
            Some(Intent::Keep(_, Kept::Draining)) => Some(Mark::Draining),
            Some(Intent::Keep(..)) => Some(Mark::Ended),
            Some(Intent::Withdraw(..)) => None,
            None => (self.rules.deregister == Deregister::Never).then_some(Mark::Ended),
        };
        mark.filter(|_| self.registry.marks())
    }

    // === what to do next ===

    fn next_operation(&mut self) -> Option<Operation> {
        if self.outage.as_ref().is_some_and(|outage| outage.until > Instant::now()) {
            return None;
        }
        if let Some(scope) = self.compare.take() {
            self.next_look = None;
            return Some(compare(Arc::clone(&self.registry), scope));
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
    fn write(&mut self) -> Option<Operation> {
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
            let situation = Situation {
                wanted: self.intents.get(&key).map_or(Wanted::Unknown, Intent::wanted),
                marked: mark.is_some(),
                actual: self.actual.get(&key),
            };
            match self.rules.step(situation, self.scope) {
                Step::Leave => self.leave(&key),
                Step::Conflict(owner) => self.refuse(&key, &owner),
                step @ (Step::Add | Step::Change) => {
                    if let Some(Intent::Register(service, canonical, _)) = self.intents.get(&key) {
                        debug!(registry = self.name, service = service.id, ?step, "registering {}", service.id);
                        added.push((Arc::clone(service), canonical.clone()));
                    }
                }
                Step::Mark | Step::Unmark => marked.extend(self.actual.get(&key).map(|entry| (entry.clone(), mark))),
                Step::Dangling if self.comebacks.is_anothers(&key) => self.spare(&key),
                Step::Remove | Step::Dangling => {
                    let told = matches!(self.intents.get(&key), Some(Intent::Withdraw(_, true)));
                    if (told || self.guard.permits(&key, Instant::now()))
                        && let Some(entry) = self.actual.get(&key)
                    {
                        let why = match self.intents.get(&key) {
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
    fn leave(&mut self, key: &str) {
        match self.intents.get(key) {
            Some(Intent::Withdraw(..)) => {
                self.intents.remove(key);
                self.complaints.remove(key);
            }
            // It stood there before us: nobody knows how long it has to live.
            Some(Intent::Register(service, ..)) => self.schedule(key.to_owned(), &Arc::clone(service), Duration::ZERO),
            Some(Intent::Keep(..)) | None => {}
        }
    }

    fn refuse(&mut self, key: &str, owner: &str) {
        // It may be gone already, or go: not every store would tell.
        self.look_at(Instant::now() + SECOND_LOOK);
        if let Some(Intent::Register(service, canonical, _)) = self.intents.get(key) {
            // As after a crash of ours, where our own entries have yet to expire.
            if self.actual.get(key).is_some_and(|entry| entry.fingerprint == canonical.fingerprint) {
                self.awaited += 1;
                return;
            }
            let (id, us) = (&service.id, &self.rules.owner);
            let why = format!("it belongs to the owner {owner:?}, and this is {us:?}: give it another SERVICE_ID");
            self.complain(key, &format!("register failed: {id}: {why}"));
        }
    }

    /// Says once how many services wait for entries like theirs.
    fn say_awaited(&mut self) {
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
    fn spare(&mut self, key: &str) {
        let Some(id) = self.actual.get(key).map(|entry| entry.service_id.clone()) else { return };
        let us = &self.rules.owner;
        let why =
            format!("another instance registers it under our name, {us:?}: give each its own -owner or -hostname");
        self.complain(key, &format!("dangling: {id} is there again, and stays: {why}"));
    }

    /// What is due to be refreshed.
    fn refresh(&mut self) -> Option<Operation> {
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
            if let Some(Intent::Register(service, canonical, _)) = self.intents.get(&key)
                && self.actual.get(&key).is_some_and(|entry| entry.fingerprint == canonical.fingerprint)
            {
                services.push((key, Arc::clone(service)));
            }
        }
        (!services.is_empty()).then(|| refresh(Arc::clone(&self.registry), services))
    }

    fn schedule(&mut self, key: String, service: &Service, after: Duration) {
        if self.registry.refresh_interval(service).is_some() && self.refreshing.insert(key.clone()) {
            self.refreshes.insert((Instant::now() + after, key));
        }
    }

    fn schedule_next(&mut self, key: String, service: &Service) {
        if let Some(interval) = self.registry.refresh_interval(service) {
            self.schedule(key, service, interval);
        }
    }

    /// When there is something to do that nobody will say.
    fn alarm(&self) -> Option<Instant> {
        if self.operation.is_some() {
            return None;
        }
        let now = Instant::now();
        match &self.outage {
            Some(outage) if outage.until > now => Some(outage.until),
            _ => {
                let refresh = self.refreshes.first().map(|(due, _)| *due);
                let guard = self.guard.due().filter(|_| self.known && self.compare.is_none());
                [self.second_look, self.next_look, refresh, guard].into_iter().flatten().min()
            }
        }
    }

    fn wake(&mut self) {
        let now = Instant::now();
        let looks = [&mut self.second_look, &mut self.next_look];
        if looks.into_iter().filter_map(|look| look.take_if(|due| *due <= now)).count() > 0 {
            self.look_again();
        } else if self.dirty.is_empty() {
            self.judge();
        }
    }

    /// What the deletion guard says of the removals that it holds up.
    fn judge(&mut self) {
        let ours = |entry: &&Entry| self.rules.owns(entry, self.intents.contains_key(&entry.key));
        let held = if self.guard.due().is_some() { self.actual.values().filter(ours).count() } else { 0 };
        let name = &self.name;
        match self.guard.verdict(held, Instant::now()) {
            Some(Verdict::Go(keys)) => {
                self.scope = Scope { complete: self.complete, cleanup: self.cleanup };
                self.dirty.extend(keys);
            }
            Some(Verdict::Wait(doubts)) => {
                let pause = guard::SECOND_LOOK;
                warn!(
                    registry = name,
                    "{name}: {doubts} of {held} entries are without a container, though no event told of an end: the \
                     engine is asked again in {pause:?} before they are removed (-removal-guard)"
                );
            }
            Some(Verdict::Ask) => self.ask.notify_one(),
            None => {}
        }
    }

    /// Something may have changed by another hand. Draws no conclusion that only a resync may draw.
    fn look_again(&mut self) {
        self.compare.get_or_insert(Scope { complete: self.complete, cleanup: false });
    }

    /// The registry says that it changed.
    fn changed(&mut self) {
        self.look_at(self.rested.max(Instant::now()));
    }

    /// Has the registry read again at this time at the latest.
    fn look_at(&mut self, time: Instant) {
        self.next_look = Some(self.next_look.map_or(time, |due| due.min(time)));
    }

    // === what came of it ===

    fn settle(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Compared(scope, Ok(entries), took) => {
                self.rested = Instant::now() + (took * READING_SHARE).min(LONGEST_REST);
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

    fn compared(&mut self, scope: Scope, entries: Vec<Entry>) {
        if self.outage.is_some() {
            self.rejected.clear();
        }
        self.known = true;
        // What the bridge said while the registry was read counts, too.
        // What the guard holds up was concluded in a compare that could conclude it.
        let held: HashMap<_, _> = entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
        self.guard.begin(|key| held.contains_key(key));
        self.cleanup = scope.cleanup || (self.cleanup && self.guard.is_busy());
        self.scope = Scope { complete: self.complete, cleanup: self.cleanup };
        self.comebacks.settle();
        self.awaited = 0;
        self.actual = held;
        // What was in the way may be gone.
        self.rejected.retain(|key, stood| self.actual.get(key) == stood.as_ref());
        self.dirty = self.intents.keys().chain(self.actual.keys()).cloned().collect();
    }

    fn written(
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

    fn added(&mut self, service: &Arc<Service>, canonical: Canonical) {
        let container = service.origin.container.short();
        info!(registry = self.name, container, service = service.id, "added: {container} {}", service.id);
        let Canonical { key, fingerprint } = canonical;
        self.complaints.remove(&key);
        self.comebacks.filled(&key);
        self.schedule_next(key.clone(), service);
        let owner = Some(self.rules.owner.clone());
        if self.mark(&key).is_some() {
            self.dirty.insert(key.clone());
        }
        let entry = Entry { key: key.clone(), service_id: service.id.clone(), owner, fingerprint, marked: Marked::No };
        self.actual.insert(key, entry);
    }

    fn marked(&mut self, entry: &Entry, mark: Option<Mark>) {
        let id = &entry.service_id;
        let container = self.intents.get(&entry.key).map_or("-", |intent| intent.service().origin.container.short());
        match mark {
            Some(mark) => {
                info!(registry = self.name, container, service = id, "critical: {container} {id}: {}", mark.reason());
            }
            None => info!(registry = self.name, container, service = id, "critical no more: {container} {id}"),
        }
        self.complaints.remove(&entry.key);
        if let Some(entry) = self.actual.get_mut(&entry.key) {
            entry.marked = if mark.is_some() { Marked::Ours } else { Marked::No };
        }
        // What is wanted may have changed meanwhile.
        self.dirty.insert(entry.key.clone());
    }

    fn removed(&mut self, entry: &Entry, why: &Removal) {
        let id = &entry.service_id;
        match why {
            Removal::Withdrawn(service) => {
                let container = service.origin.container.short();
                info!(registry = self.name, container, service = id, "removed: {container} {id}");
            }
            Removal::Dangling => {
                info!(registry = self.name, service = id, "dangling: {id}");
                self.comebacks.emptied(&entry.key);
            }
        }
        self.actual.remove(&entry.key);
        self.guard.clear(&entry.key);
        // Withdrawn still, or wanted again meanwhile: planning it once more tells.
        self.dirty.insert(entry.key.clone());
    }

    fn failed(&mut self, key: String, error: RegistryError, said: &str, lost: &mut Option<RegistryError>) {
        self.complain(&key, said);
        match error {
            RegistryError::Rejected(_) => {
                // Unless it changed meanwhile: then it is dirty, and its next state is tried.
                if !self.dirty.contains(&key) {
                    let stood = self.actual.get(&key).cloned();
                    self.rejected.insert(key, stood);
                }
            }
            RegistryError::Unreachable(_) => *lost = Some(error),
        }
    }

    fn refreshed(&mut self, refreshed: Vec<(String, Arc<Service>, Attempt)>) {
        let mut lost = None;
        for (key, service, attempt) in refreshed {
            let id = &service.id;
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
                        RegistryError::Rejected(_) => {
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
    fn lost(&mut self, error: &RegistryError) {
        self.look_again();
        let name = &self.name;
        let outage = self.outage.get_or_insert_with(|| {
            warn!(registry = name, "{error}; trying again");
            Outage { backoff: backoff(), until: Instant::now() }
        });
        outage.until = Instant::now() + outage.backoff.next().unwrap_or(LONGEST_PAUSE);
    }

    fn recovered(&mut self) {
        if self.outage.take().is_some() {
            info!(registry = self.name, "{}: reached again", self.name);
        }
    }

    fn complain(&mut self, key: &str, text: &str) {
        if self.complaints.get(key).is_none_or(|said| said != text) {
            warn!(registry = self.name, "{text}");
            self.complaints.insert(key.to_owned(), text.to_owned());
        }
    }
}

impl Claim {
    /// What runs comes before what failed, then the older container, then the lower port.
    fn rank(&self, other: &Self) -> Ordering {
        fn order(claim: &Claim) -> (bool, &str, Source) {
            let Claim { service, standing } = claim;
            (matches!(standing, Standing::Kept(_)), &service.origin.created, service.source())
        }
        order(self).cmp(&order(other))
    }
}

fn say_ignored(registry: &str, loser: &Service, winner: &Service) {
    let (container, id) = (loser.origin.container.short(), &loser.id);
    let other = winner.origin.container.short();
    warn!(
        registry,
        container,
        service = id,
        "ignored: {container} service on port {}: {id} is that of port {} of {other}; give one of them another SERVICE_ID",
        loser.origin.exposed_port,
        winner.origin.exposed_port,
    );
}

impl Intent {
    fn wanted(&self) -> Wanted<'_> {
        match self {
            Self::Register(_, canonical, _) => Wanted::Service(canonical),
            Self::Keep(_, why) => Wanted::Kept { dangling: *why == Kept::Failed },
            Self::Withdraw(..) => Wanted::Withdrawn,
        }
    }

    fn service(&self) -> &Arc<Service> {
        let (Self::Register(service, ..) | Self::Keep(service, _) | Self::Withdraw(service, _)) = self;
        service
    }
}

fn backoff() -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(LONGEST_PAUSE)
        .without_max_times()
        .with_jitter()
        .with_jitter_seed(fastrand::u64(..))
        .build()
}

async fn watch(registry: Arc<dyn Registry>, changed: Arc<Notify>) {
    loop {
        registry.changed().await;
        changed.notify_one();
    }
}

async fn finished(operation: &mut Option<Operation>) -> Outcome {
    match operation {
        Some(operation) => operation.await,
        None => std::future::pending().await,
    }
}

// === operations ===

fn compare(registry: Arc<dyn Registry>, scope: Scope) -> Operation {
    Box::pin(async move {
        let began = Instant::now();
        let entries = timeout(OPERATION_DEADLINE, registry.entries()).await.unwrap_or_else(|_| Err(too_late()));
        Outcome::Compared(scope, entries, began.elapsed())
    })
}

fn write(
    registry: Arc<dyn Registry>,
    added: Vec<(Arc<Service>, Canonical)>,
    removed: Vec<(Entry, Removal)>,
    marked: Vec<(Entry, Option<Mark>)>,
) -> Operation {
    Box::pin(async move {
        let services: Vec<_> = added.iter().map(|(service, _)| Arc::clone(service)).collect();
        let entries: Vec<_> = removed.iter().map(|(entry, _)| entry.clone()).collect();
        let (registered, deregistered, attempts) = tokio::join!(
            batch(services.len(), registry.register(&services)),
            batch(entries.len(), registry.deregister(&entries)),
            batch(marked.len(), registry.mark(&marked)),
        );
        Outcome::Written {
            added: added
                .into_iter()
                .zip(registered)
                .map(|((service, canonical), attempt)| (service, canonical, attempt))
                .collect(),
            removed: removed
                .into_iter()
                .zip(deregistered)
                .map(|((entry, why), attempt)| (entry, why, attempt))
                .collect(),
            marked: marked.into_iter().zip(attempts).map(|((entry, mark), attempt)| (entry, mark, attempt)).collect(),
        }
    })
}

fn refresh(registry: Arc<dyn Registry>, due: Vec<(String, Arc<Service>)>) -> Operation {
    Box::pin(async move {
        let services: Vec<_> = due.iter().map(|(_, service)| Arc::clone(service)).collect();
        let attempts = batch(services.len(), registry.refresh(&services)).await;
        Outcome::Refreshed(
            due.into_iter().zip(attempts).map(|((key, service), attempt)| (key, service, attempt)).collect(),
        )
    })
}

/// The results of a batch of this size, or as many failures when it takes too long; a registry is
/// not asked to do nothing.
async fn batch(size: usize, attempts: impl Future<Output = Vec<Attempt>>) -> Vec<Attempt> {
    if size == 0 {
        return Vec::new();
    }
    timeout(OPERATION_DEADLINE, attempts).await.unwrap_or_else(|_| vec![Err(too_late()); size])
}

fn too_late() -> RegistryError {
    RegistryError::Unreachable(format!("the registry gave no answer in {} s", OPERATION_DEADLINE.as_secs()))
}

#[cfg(test)]
mod tests;
