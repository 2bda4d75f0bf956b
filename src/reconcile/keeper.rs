//! The task that keeps one registry equal to the desired state. It performs the reconciler's effects, one operation at
//! a time, and reports the results back. It goes on receiving messages during an operation.

use std::future::{Future, pending};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::asking::{Asker, Questions, asking};
use crate::desired::Command;
use crate::event::{Event, Events};
use crate::registry::{Change, Registry, RegistryError};

use super::effect::{Effect, Input, Outcome};
use super::reconciler::Reconciler;
use super::rules::Rules;

/// An operation that takes longer counts as failed.
pub const OPERATION_DEADLINE: Duration = Duration::from_secs(60);
/// How long the shutdown may take; the whole program has two seconds.
const SHUTDOWN_DEADLINE: Duration = Duration::from_millis(1300);

/// Keeps one registry equal to what is desired.
pub struct Keeper {
    name: Arc<str>,
    registry: Arc<dyn Registry>,
    reconciler: Reconciler,
    events: Events,
    /// Notified: ask the engine for a new list.
    ask: Arc<Notify>,
    questions: Questions<Reconciler>,
    asker: Asker<Reconciler>,
    operation: Option<Operation>,
    alarm: Option<Instant>,
}

/// The operation in progress; it resolves to its result.
type Operation = Pin<Box<dyn Future<Output = Input> + Send>>;

impl Keeper {
    /// A keeper of a registry that has not been read yet. `name` is the registry's name in the log.
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, registry: Arc<dyn Registry>, rules: Rules, events: Events) -> Self {
        Self::guarded(name, registry, rules, events, Guarded { percent: 0, ask: Arc::default() })
    }

    /// The same with a removal guard.
    #[must_use]
    pub fn guarded(
        name: impl Into<Arc<str>>,
        registry: Arc<dyn Registry>,
        rules: Rules,
        events: Events,
        guard: Guarded,
    ) -> Self {
        let name = name.into();
        let Guarded { percent, ask } = guard;
        let reconciler = Reconciler::new(Arc::clone(&name), Arc::clone(&registry), rules, percent, Instant::now());
        let (asker, questions) = asking();
        Self { name, registry, reconciler, events, ask, questions, asker, operation: None, alarm: None }
    }

    /// Asks its reconciler while it runs.
    #[must_use]
    pub fn asker(&self) -> Asker<Reconciler> {
        self.asker.clone()
    }

    /// Runs until it is told to stop, or until all senders are gone. Then it does what `-on-shutdown` says. Writes
    /// nothing before the first [`Command::Compare`].
    pub async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>, stop: CancellationToken) {
        let (changed, mut changes) = mpsc::channel(1);
        let watch = AbortOnDropHandle::new(tokio::spawn(watch(Arc::clone(&self.registry), changed)));
        loop {
            // Take all waiting messages before the next operation starts.
            while let Ok(command) = commands.try_recv() {
                self.tell(Input::Command(command));
            }
            self.tell(Input::Tick);
            let alarm = self.alarm.filter(|_| self.operation.is_none());
            // A fixed order, so that nothing depends on chance.
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                outcome = finished(&mut self.operation) => self.end(outcome),
                command = commands.recv() => match command {
                    Some(command) => self.tell(Input::Command(command)),
                    None => break,
                },
                Some(change) = changes.recv() => self.tell(Input::Changed(change)),
                question = self.questions.next() => question(&self.reconciler),
                () = sleep_until(alarm.unwrap_or_else(Instant::now)), if alarm.is_some() => {}
            }
        }
        drop(watch);
        self.shut_down().await;
    }

    /// Performs the shutdown writes, if there is time.
    async fn shut_down(mut self) {
        let deadline = Instant::now() + SHUTDOWN_DEADLINE;
        self.tell(Input::Shutdown);
        while !self.reconciler.is_finished() {
            self.tell(Input::Tick);
            // Wait for the write in progress: if a later write overtook it, the older state would win.
            let next = async {
                match &mut self.operation {
                    Some(operation) => Some(operation.await),
                    None => {
                        sleep_until(self.alarm.unwrap_or(deadline)).await;
                        None
                    }
                }
            };
            match timeout_at(deadline, next).await {
                Ok(Some(outcome)) => self.end(outcome),
                Ok(None) => {}
                Err(_) => {
                    let entries = self.reconciler.unfinished();
                    self.events.emit(Event::LeftUnfinished { registry: self.name, entries });
                    return;
                }
            }
        }
    }

    fn end(&mut self, outcome: Input) {
        self.operation = None;
        self.tell(outcome);
    }

    /// Passes an input to the reconciler and performs its effects.
    fn tell(&mut self, input: Input) {
        for effect in self.reconciler.on(input, Instant::now()) {
            match effect {
                Effect::Emit(event) => self.events.emit(event),
                Effect::AskEngine => self.ask.notify_one(),
                Effect::WakeAt(time) => self.alarm = time,
                Effect::Read(scope) => {
                    let registry = Arc::clone(&self.registry);
                    self.operation = Some(Box::pin(async move {
                        let began = Instant::now();
                        let read = timeout(OPERATION_DEADLINE, registry.read(&scope)).await;
                        Input::Read(read.unwrap_or_else(|_| Err(too_late())), began.elapsed())
                    }));
                }
                Effect::Apply(writes) => {
                    let registry = Arc::clone(&self.registry);
                    self.operation = Some(Box::pin(async move {
                        let began = Instant::now();
                        let results = batch(writes.len(), registry.apply(&writes)).await;
                        let took = began.elapsed();
                        let outcomes = writes.into_iter().zip(results);
                        Input::Done(outcomes.map(|(write, result)| Outcome { write, result, took }).collect())
                    }));
                }
                Effect::Refresh(due) => {
                    let registry = Arc::clone(&self.registry);
                    self.operation = Some(Box::pin(async move {
                        let services: Vec<_> = due.iter().map(|(_, service)| Arc::clone(service)).collect();
                        let results = batch(services.len(), registry.refresh(&services)).await;
                        Input::Refreshed(due.into_iter().map(|(key, _)| key).zip(results).collect())
                    }));
                }
            }
        }
    }
}

/// A removal guard, and how it asks the engine.
#[derive(Clone, Debug)]
pub struct Guarded {
    /// If only a list suggests removals, and they are at least this percentage of the entries, they wait for another
    /// list. 0 turns the guard off.
    pub percent: u8,
    /// Notified: list the containers again, and answer with a [`Command::Compare`].
    pub ask: Arc<Notify>,
}

/// Forwards the changes of a registry; several unread changes of one kind become one.
async fn watch(registry: Arc<dyn Registry>, changed: mpsc::Sender<Change>) {
    while changed.send(registry.changed().await).await.is_ok() {}
}

async fn finished(operation: &mut Option<Operation>) -> Input {
    match operation {
        Some(operation) => operation.await,
        None => pending().await,
    }
}

/// The results of a batch of this size; if it takes too long, that many failures.
async fn batch(
    size: usize,
    attempts: impl Future<Output = Vec<Result<(), RegistryError>>>,
) -> Vec<Result<(), RegistryError>> {
    timeout(OPERATION_DEADLINE, attempts).await.unwrap_or_else(|_| vec![Err(too_late()); size])
}

fn too_late() -> RegistryError {
    RegistryError::Unreachable(format!("the registry gave no answer in {} s", OPERATION_DEADLINE.as_secs()))
}
