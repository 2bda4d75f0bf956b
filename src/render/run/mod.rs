//! One run of one resource, in confd's order: fetch, render, compare, check, replace, reload.
//!
//! Only what differs is written. Whatever fails leaves the file as it was, is one line, and is tried again by the next
//! run.

mod apply;
mod error;
mod lines;
mod prepare;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::task::spawn_blocking;

pub use error::RunError;

use super::command;
use super::diff::Look;
use super::pending::Pending;
use super::resource::{CommandLine, Resource, Signal};
use super::source::{Reading, Source, Trust, Wanted};
use super::step::{Step, Steps};
use crate::template::{Data, Keys};

use prepare::Prepared;

/// What the caller wants, for all resources.
#[derive(Clone)]
pub struct Rules {
    /// The folder of templates.
    pub templates: PathBuf,
    /// The general prefix.
    pub prefix: Prefix,
    /// Only look (`-noop`).
    pub noop: bool,
    /// Leave the staged file (`-keep-stage-file`).
    pub keep_stage_file: bool,
    /// Run no commands (`-sync-only`).
    pub sync_only: bool,
    /// With `noop`: show what would change.
    pub diff: Option<Look>,
    /// Sends signals; `None` where the operator does not allow them.
    pub signaller: Option<Arc<dyn Signaller>>,
}

/// The general prefix (`-prefix`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    /// The prefix; empty for none.
    pub general: String,
    /// Whether it stands before a resource's own prefix, rather than in its place.
    pub joined: bool,
}

impl Prefix {
    /// The prefix of a resource.
    #[must_use]
    pub fn of(&self, resource: &Resource) -> String {
        let own = resource.prefix.as_deref().unwrap_or("/");
        match (self.general.as_str(), self.joined) {
            ("", _) => own.to_owned(),
            (general, false) => general.to_owned(),
            (general, true) => super::source::clean(&format!("/{general}/{own}")),
        }
    }
}

/// Sends a signal to a process or a container.
#[async_trait]
pub trait Signaller: Send + Sync {
    /// Sends it.
    ///
    /// # Errors
    /// In one line, when it cannot be sent.
    async fn send(&self, signal: &Signal) -> Result<(), String>;
}

/// Brings the file, or the files, of one resource up to date.
#[derive(Clone, Debug)]
pub struct Renderer {
    resource: Arc<Resource>,
    rules: Arc<Rules>,
    steps: Steps,
}

/// How far what was read is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Belief {
    /// It counts.
    Sure,
    /// There are suspiciously few services: nothing is changed before the source was read again.
    Doubted,
}

/// What a run came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The files that have a new content.
    pub changed: Vec<PathBuf>,
    /// How many files were removed (`for_each`).
    pub removed: usize,
    /// How many files could not be made, each told as a [`Step::Refused`].
    pub refused: usize,
    /// Something would have changed, but what was read is doubted.
    pub held: bool,
    /// A reload is due, by this run or an earlier one.
    pub reload: bool,
}

/// What was read for one resource.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// What templates see.
    pub data: Arc<Data>,
    /// How many services it has, as `min_services` counts them.
    pub services: usize,
    /// How far the source believes itself.
    pub trust: Trust,
}

impl Renderer {
    /// For this resource.
    #[must_use]
    pub fn new(resource: Arc<Resource>, rules: Arc<Rules>, steps: Steps) -> Self {
        Self { resource, rules, steps }
    }

    /// The same for another resource.
    #[must_use]
    pub fn of(self, resource: Arc<Resource>) -> Self {
        Self { resource, ..self }
    }

    /// The same, telling its steps there.
    #[must_use]
    pub fn telling(self, steps: Steps) -> Self {
        Self { steps, ..self }
    }

    /// Its resource.
    #[must_use]
    pub fn resource(&self) -> &Arc<Resource> {
        &self.resource
    }

    /// Where its steps go.
    #[must_use]
    pub fn steps(&self) -> &Steps {
        &self.steps
    }

    /// What it reads.
    #[must_use]
    pub fn wanted(&self) -> Wanted {
        Wanted::new(&self.rules.prefix.of(&self.resource), &self.resource.keys)
    }

    /// What is told of: the file, or the folder of several.
    #[must_use]
    pub fn subject(&self) -> PathBuf {
        self.resource.subject()
    }

    /// Reads what its template needs.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub async fn fetch(&self, source: &dyn Source) -> Result<Fetched, RunError> {
        let wanted = self.wanted();
        self.steps.tell(&Step::Retrieving { prefix: wanted.prefix.clone() });
        let reading = source.fetch(&wanted).await?;
        let keys: Keys = reading.stripped(&wanted.prefix).collect();
        let Reading { instances, trust, .. } = reading;
        let names = keys.iter().map(|(key, _)| key.to_owned()).collect();
        self.steps.tell(&Step::Retrieved { keys: names, instances: instances.len() });
        let services = if self.resource.keys.is_empty() { instances.len() } else { keys.len() };
        Ok(Fetched { data: Arc::new(Data { keys, instances }), services, trust })
    }

    /// Renders what was read, and replaces what differs. The reload is not part of it.
    ///
    /// # Errors
    /// When nothing could be changed; every file is as it was.
    pub async fn render(&self, data: Arc<Data>, belief: Belief) -> Result<Outcome, RunError> {
        let this = self.clone();
        let prepared = blocking(move || prepare::prepare(&this, &data, belief)).await?;
        if self.rules.noop || prepared.held || prepared.is_right() {
            return Ok(self.looked(prepared));
        }
        prepared.tell_out_of_sync(&self.steps);
        if let (Some(check), false) = (&self.resource.check, self.rules.sync_only) {
            let line = lines::check(&check.text, prepared.src(), prepared.dest())?;
            command::run(&line, check.deadline, &self.steps).await.map_err(RunError::Check)?;
        }
        let this = self.clone();
        blocking(move || apply::apply(&this, prepared)).await
    }

    /// A run that changes nothing.
    fn looked(&self, prepared: Prepared) -> Outcome {
        let reload = !self.rules.noop && self.reloads() && self.pending().is_set();
        let outcome = Outcome { refused: prepared.refused, held: prepared.held, reload, ..Outcome::default() };
        prepared.leave(self);
        outcome
    }

    /// Whether anything follows a change.
    #[must_use]
    pub fn reloads(&self) -> bool {
        self.resource.reload.is_wanted() && !self.rules.sync_only
    }

    fn pending(&self) -> Pending {
        prepare::pending(&self.resource)
    }

    /// Makes its program read the file: sends the signal, runs the command.
    ///
    /// # Errors
    /// When either fails.
    pub async fn reload(&self) -> Result<(), RunError> {
        let reload = &self.resource.reload;
        if let Some(signal) = &reload.signal {
            let Some(signaller) = &self.rules.signaller else { return Err(RunError::SignalsForbidden) };
            signaller.send(signal).await.map_err(RunError::Signal)?;
        }
        if let Some(CommandLine { text, deadline }) = &reload.command {
            let line = lines::reload(text, &self.subject())?;
            command::run(&line, *deadline, &self.steps).await.map_err(RunError::Reload)?;
        }
        Ok(())
    }

    /// Remembers, also over a restart, that no reload is due any more. Not while a run is in progress, which may make
    /// one due.
    pub async fn settle(&self) {
        let pending = self.pending();
        // A mark that stays leads to one reload too many.
        let _ = spawn_blocking(move || pending.clear()).await;
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("templates", &self.templates).field("noop", &self.noop).finish_non_exhaustive()
    }
}

/// Runs what waits for disks on a thread that may wait.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RunError> + Send + 'static,
) -> Result<T, RunError> {
    spawn_blocking(work).await.unwrap_or_else(|fault| Err(RunError::Fault(fault.to_string())))
}

#[cfg(test)]
mod tests;
