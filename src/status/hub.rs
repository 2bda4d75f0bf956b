//! The places to ask: the host's task, the keepers' tasks, the last events and the figures.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use registrator_traefik::Overruled;

use crate::asking::Asker;
use crate::event::{Event, Events};
use crate::host::Knowledge;
use crate::reconcile::Reconciler;
use crate::registry::Site;

use super::clock::{nanoseconds, seconds};
use super::files::Files;
use super::journal::Journal;
use super::meter::Meter;
use super::view::About;

/// One running program, as it can be asked. Clones ask the same.
#[derive(Clone)]
pub struct Hub {
    /// The program.
    pub about: Arc<About>,
    /// The host: what runs, and what should exist.
    pub host: Asker<Knowledge>,
    /// The registries, in the order of their URIs.
    pub registries: Arc<[Kept]>,
    /// What listens to events.
    pub listeners: Listeners,
}

/// One registry and its keeper.
#[derive(Clone)]
pub struct Kept {
    /// Its name: the URI without secrets.
    pub name: Arc<str>,
    /// The scheme of its URI.
    pub adapter: &'static str,
    /// The owner under which this instance writes.
    pub owner: Arc<str>,
    /// Where it is; `None` for what has no place of its own.
    pub site: Option<Site>,
    /// Its reconciler.
    pub asker: Asker<Reconciler>,
}

/// What listens to events for those who ask later.
#[derive(Clone)]
pub struct Listeners {
    /// The last events.
    pub journal: Arc<Journal>,
    /// The figures.
    pub meter: Arc<Meter>,
    /// The state of the engine.
    pub engine: Arc<Mutex<Engine>>,
    /// The state of rendered files.
    pub files: Arc<Files>,
    /// The definitions for Traefik that were said not to count.
    pub overruled: Arc<Mutex<BTreeSet<Overruled>>>,
    /// When they began, in nanoseconds since 1970: tells two runs within one second apart.
    pub born: u64,
    /// Whether anybody may ask for events and figures; otherwise they are not kept.
    told: bool,
}

/// The state of the connection to the engine.
#[derive(Clone, Debug, Default)]
pub struct Engine {
    /// Where it is, once an event told.
    pub endpoint: String,
    /// Whether it answers.
    pub up: bool,
    /// Since when, in seconds since 1970.
    pub since: u64,
    /// Why it does not, and what to do.
    pub error: Option<String>,
    /// Whether it listed its containers.
    pub listed: bool,
}

impl Listeners {
    /// Listeners that have heard nothing. If nothing is told, only the state of the engine is followed.
    ///
    /// # Errors
    /// When a metric is invalid, which a test excludes.
    pub fn new(version: &str, told: bool) -> Result<Self, prometheus::Error> {
        let meter = Meter::new(version)?;
        meter.reloaded(true);
        Ok(Self {
            journal: Arc::default(),
            meter: Arc::new(meter),
            engine: Arc::new(Mutex::new(Engine { since: seconds(), ..Engine::default() })),
            files: Arc::default(),
            overruled: Arc::default(),
            born: nanoseconds(),
            told,
        })
    }

    /// Events that go to the log, and here.
    #[must_use]
    pub fn events(&self) -> Events {
        let listeners = self.clone();
        Events::new(move |event| {
            if listeners.told {
                listeners.meter.take(event);
            }
            listeners.files.take(event);
            if event.is_measurement() {
                return;
            }
            listeners.follow(event);
            let line = event.line();
            line.log();
            if listeners.told {
                listeners.journal.take(&line);
            }
        })
    }

    /// The same events, but nothing for the log: for a look.
    #[must_use]
    pub fn silent_events(&self) -> Events {
        let listeners = self.clone();
        Events::new(move |event| {
            listeners.meter.take(event);
            if !event.is_measurement() {
                listeners.follow(event);
                listeners.journal.take(&event.line());
            }
        })
    }

    /// Follows the state of the engine.
    fn follow(&self, event: &Event) {
        let mut engine = self.engine.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Listening => engine.is_up(true, None),
            Event::DockerLost { endpoint, why } => {
                engine.endpoint.clone_from(endpoint);
                engine.is_up(false, Some(why.clone()));
            }
            Event::DockerAway { why, .. } => engine.is_up(false, Some(why.clone())),
            Event::DockerStillLost { hint, .. } => {
                let why = engine.error.take().unwrap_or_default();
                engine.error = Some(if why.ends_with(hint) { why } else { format!("{why}; {hint}") });
            }
            Event::DockerBack { .. } => engine.is_up(true, None),
            Event::Syncing { .. } => engine.listed = true,
            _ => {}
        }
    }

    /// The state of the engine.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Engine {
    fn is_up(&mut self, up: bool, error: Option<String>) {
        if self.up != up {
            self.since = seconds();
        }
        self.up = up;
        self.error = error;
    }
}

/// The time that was so long ago.
#[must_use]
pub fn ago(passed: Duration) -> u64 {
    seconds().saturating_sub(passed.as_secs())
}

/// The time that is so far ahead.
#[must_use]
pub fn ahead(rest: Duration) -> u64 {
    seconds() + rest.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Otherwise a reader who has the state of the run before is told that nothing has changed.
    #[test]
    fn two_runs_within_one_second_are_told_apart() {
        let born = || Listeners::new("1.0.0", true).unwrap().born;
        assert_ne!(born(), born());
    }
}
