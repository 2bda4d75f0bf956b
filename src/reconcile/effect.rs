//! Inputs and effects of a reconciler. They are values, so that the real keeper and a simulation can both perform them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::desired::Command;
use crate::event::Event;
use crate::registry::{Change, Entry, RegistryError, Scope, Write};
use crate::service::Service;

/// An input for a reconciler.
#[derive(Debug)]
pub enum Input {
    /// A message from a host.
    Command(Command),
    /// Something may have changed in the registry.
    Changed(Change),
    /// The result of a read, and how long it took.
    Read(Result<Vec<Entry>, RegistryError>, Duration),
    /// The outcomes of writes.
    Done(Vec<Outcome>),
    /// The results of refreshes.
    Refreshed(Vec<(Arc<str>, Result<(), RegistryError>)>),
    /// The registry is idle, and there is no other input.
    Tick,
    /// The program was told to stop.
    Shutdown,
}

/// The outcome of one write.
#[derive(Debug)]
pub struct Outcome {
    /// The write.
    pub write: Write,
    /// The registry's answer.
    pub result: Result<(), RegistryError>,
    /// How long its batch took.
    pub took: Duration,
}

/// What the keeper should do. At most one of [`Effect::Read`], [`Effect::Apply`] and [`Effect::Refresh`] is in
/// progress.
#[derive(Debug)]
pub enum Effect {
    /// Read the registry; the answer is [`Input::Read`].
    Read(Scope),
    /// Make these writes; the answer is [`Input::Done`].
    Apply(Vec<Write>),
    /// Refresh these services; the answer is [`Input::Refreshed`].
    Refresh(Vec<(Arc<str>, Arc<Service>)>),
    /// Ask the engine for a new list; the answer is a [`Command::Compare`].
    AskEngine,
    /// Send [`Input::Tick`] at this time; with `None`, wait for other inputs only.
    WakeAt(Option<Instant>),
    /// Tell of this.
    Emit(Event),
}
