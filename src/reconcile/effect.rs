//! What goes into a reconciler, and what comes out of it: values, so that whoever performs them is exchangeable.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::desired::Command;
use crate::event::Event;
use crate::registry::{Change, Entry, RegistryError, Scope, Write};
use crate::service::Service;

use super::record::SyncState;

/// What a reconciler is told.
#[derive(Debug)]
pub enum Input {
    /// What the hosts say.
    Command(Command),
    /// Something may have changed in the registry.
    Changed(Change),
    /// What a reading found, and how long it took.
    Read(Result<Vec<Entry>, RegistryError>, Duration),
    /// What came of writes.
    Done(Vec<Outcome>),
    /// What came of refreshes.
    Refreshed(Vec<(Arc<str>, Result<(), RegistryError>)>),
    /// The registry is free, and nothing else is to be said now.
    Tick,
    /// The program was told to stop.
    Shutdown,
}

/// What came of one write.
#[derive(Debug)]
pub struct Outcome {
    /// The write.
    pub write: Write,
    /// What the registry said.
    pub result: Result<(), RegistryError>,
    /// How long the batch took that it was part of.
    pub took: Duration,
}

/// What is to be done. One of [`Effect::Read`], [`Effect::Apply`] and [`Effect::Refresh`] is under way at most.
#[derive(Debug)]
pub enum Effect {
    /// Read the registry; answer with [`Input::Read`].
    Read(Scope),
    /// Make these writes; answer with [`Input::Done`].
    Apply(Vec<Write>),
    /// Refresh these services; answer with [`Input::Refreshed`].
    Refresh(Vec<(Arc<str>, Arc<Service>)>),
    /// Have the engine listed again; the answer is a [`Command::Compare`].
    AskEngine,
    /// Say [`Input::Tick`] again at this time; `None`: only when something happens.
    WakeAt(Option<Instant>),
    /// Tell of this.
    Emit(Event),
}
/// What is known of one key of a registry. It never says more than is true: while the registry is away, this is as of the
/// last reading.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// Whether it is as it should be.
    pub state: SyncState,
    /// For how long its entry has been as it is.
    pub since: Duration,
    /// Why the last write was refused, if it was.
    pub error: Option<Arc<str>>,
    /// When a write was tried last, if that failed.
    pub tried: Option<Instant>,
    /// When something is tried next at the latest, where that is a matter of time.
    pub next: Option<Instant>,
}
