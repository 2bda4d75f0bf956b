//! One task per registry: compare, plan, write, refresh, and again when something failed.
//!
//! A keeper does one thing at a time with its registry, and goes on listening to the bridge while
//! it does: so writes to one key are in order, the last state wins, and a registry that hangs
//! holds up nobody but itself. What became of a write that failed on the way is not guessed: the
//! registry is read again, and what differs is written.

mod comebacks;
mod guard;
mod intents;
mod next;
mod operations;
mod outcomes;
mod parting;
mod places;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use comebacks::Comebacks;
use guard::{Guard, Verdict};
use operations::{Operation, finished};
use places::Places;

use super::desired::Update;
use super::plan::{Rules, Scope};
use crate::registry::{Entry, Registry};

/// A write that failed on the way may still arrive, and what is in our way may go: when to look once more.
const SECOND_LOOK: Duration = Duration::from_secs(30);

/// The longest pause between two attempts to reach a registry.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

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

    /// What is known of each key.
    places: Places,
    /// Keys whose next step is to be planned.
    dirty: BTreeSet<Arc<str>>,
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
    rejected: HashMap<Arc<str>, Option<Entry>>,
    /// Tells our own late writes from those of somebody else who goes by our owner's name.
    comebacks: Comebacks,
    /// How many services find an entry like theirs that another instance holds, since the last compare.
    awaited: usize,
    /// How many of those were told of.
    awaited_said: usize,
    /// The last complaint of each key, which is said once.
    complaints: HashMap<Arc<str>, String>,
    /// When each registered service is to be refreshed.
    refreshes: BTreeSet<(Instant, Arc<str>)>,
    /// The keys in `refreshes`.
    refreshing: HashSet<Arc<str>>,

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

struct Outage {
    backoff: ExponentialBackoff,
    until: Instant,
}

impl Keeper {
    /// A keeper of a registry that has not been read yet.
    #[must_use]
    pub fn new(name: String, registry: Arc<dyn Registry>, rules: Rules) -> Self {
        Self {
            name,
            registry,
            rules,
            places: Places::default(),
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
        let ours = |(entry, wanted): &(&Entry, bool)| self.rules.owns(entry, *wanted);
        let held = if self.guard.due().is_some() { self.places.held().filter(ours).count() } else { 0 };
        let name = &self.name;
        match self.guard.verdict(held, Instant::now()) {
            Some(Verdict::Go(keys)) => {
                self.scope = Scope { complete: self.complete, cleanup: self.cleanup };
                self.dirty.extend(keys.into_iter().map(Arc::from));
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

#[cfg(test)]
mod tests;
