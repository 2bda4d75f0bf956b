//! One engine and what belongs to it: what runs there, and the services that should therefore exist.
//!
//! ```text
//! docker::watch ─► tagging ─► pacing ─► desired ─► updates to the keepers of all registries
//!                  -tags      what      what
//!                             waits     should exist
//! ```
//!
//! One task owns all of it, and never waits for a registry. A process can have several hosts.

mod address;
pub mod desired;
pub mod pacing;
pub mod tagging;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::asking::Questions;
use crate::config::{Config, DockerConfig};
use crate::container::ContainerId;
use crate::desired::{Command, Compare, Occasion, Unknown, Update};
use crate::docker::{self, Docker, Unread};
use crate::event::{Event, Events};
use crate::template::ForcedTags;

use desired::DesiredServices;
use pacing::{Pacing, Step};
use tagging::{Seen, Tagged};

pub use address::{Address, Locate};

/// One engine with the state that belongs to it.
pub struct Host {
    /// The engine, already connected.
    pub docker: Docker,
    /// The tags of `-tags`.
    pub tagging: Arc<ForcedTags>,
    /// What is delayed before it takes effect.
    pub pacing: Pacing,
    /// The desired state.
    pub desired: DesiredServices,
    /// The host's address.
    pub address: Address,
    /// Whether to remove entries that this host left behind (`-cleanup`).
    pub cleanup: bool,
}

/// The channels of a host: what it is told, and the keepers that it tells.
pub struct Surroundings {
    /// Cancelled: stop.
    pub stop: CancellationToken,
    /// Notified: a person wants a comparison now, and a retry of refused writes (SIGHUP).
    pub asked: Arc<Notify>,
    /// Notified: list the containers again.
    pub relist: Arc<Notify>,
    /// The keepers of all registries.
    pub keepers: Vec<mpsc::UnboundedSender<Command>>,
    /// Where events go.
    pub events: Events,
    /// Questions about what runs.
    pub questions: Questions<Knowledge>,
    /// The settings when they were read again, if they were.
    pub settings: watch::Receiver<Option<Arc<Config>>>,
}

impl Host {
    /// Tells the keepers what should exist, until the host is told to stop.
    pub async fn run(self, config: &DockerConfig, surroundings: Surroundings) {
        let Self { docker, tagging, pacing, desired, address, cleanup } = self;
        let Surroundings { stop, asked, relist, keepers, events, mut questions, mut settings } = surroundings;
        let changes = docker::watch(docker, config, Arc::clone(&relist), stop.clone(), events.clone());
        let seen = tagging::tagged(changes, tagging, events.clone());
        let known = Knowledge { desired, pacing, unknown: HashMap::new(), listed: false, version: 0 };
        let mut following = Following { known, cleanup, keepers, events, occasion: Occasion::Listed };
        let (mut address, mut seen) = (address, pin!(seen));
        let mut first = true;
        loop {
            let due = following.known.pacing.due();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let steps = following.known.pacing.release(Instant::now());
                    following.follow(steps);
                }
                () = asked.notified() => {
                    following.occasion = Occasion::Asked;
                    relist.notify_one();
                }
                next = seen.next() => {
                    let Some(next) = next else { break };
                    if matches!(next, Seen::Snapshot { .. }) && !std::mem::take(&mut first) {
                        address.look_again();
                    }
                    following.see(next, Instant::now());
                }
                question = questions.next() => question(&following.known),
                config = read_again(&mut settings) => following.adopt(&config),
                found = address.found() => if let Some(found) = found {
                    let updates = following.known.desired.set_host_address(found.address);
                    following.tell(updates, None);
                }
            }
        }
    }
}

/// What a host knows of what runs; it can be asked for it.
pub struct Knowledge {
    /// The containers and the services that should exist.
    pub desired: DesiredServices,
    /// What is delayed.
    pub pacing: Pacing,
    /// Containers that the engine lists but that could not be described yet.
    pub unknown: HashMap<ContainerId, docker::Unknown>,
    /// Whether all containers have been listed once.
    pub listed: bool,
    /// Counts what was seen: it changes with everything that can be asked.
    pub version: u64,
}

/// Handles what was seen.
struct Following {
    known: Knowledge,
    cleanup: bool,
    keepers: Vec<mpsc::UnboundedSender<Command>>,
    events: Events,
    /// The occasion of the next snapshot.
    occasion: Occasion,
}

impl Following {
    /// Takes over what can be changed while it runs ([`crate::config::Applies::AtOnce`]).
    fn adopt(&mut self, config: &Config) {
        self.cleanup = config.bridge.cleanup;
        self.known.pacing.set_drain(config.bridge.drain);
        let updates = self.known.desired.set_config(&config.service);
        self.known.version += 1;
        self.tell(updates, None);
    }

    fn see(&mut self, seen: Seen, now: Instant) {
        // Also of what takes effect only later: it can be asked for at once.
        self.known.version += 1;
        if let Seen::Stopping(id) = seen {
            if self.known.pacing.stopping(&id, now) {
                let updates = self.known.desired.drain(&id, true);
                self.tell(updates, Some(now));
            }
        } else {
            let steps = self.known.pacing.see(seen, now);
            self.follow(steps);
        }
    }

    fn follow(&mut self, steps: Vec<Step>) {
        for event in self.known.pacing.take_events() {
            self.events.emit(event);
        }
        for step in steps {
            match step {
                Step::Take(seen) => self.take(seen),
                Step::Undrain(id) => {
                    let updates = self.known.desired.drain(&id, false);
                    self.tell(updates, None);
                }
            }
        }
    }

    fn take(&mut self, seen: Seen) {
        self.known.version += 1;
        match seen {
            Seen::Stopping(_) => {}
            Seen::Snapshot { containers, unknown, held } => {
                self.events.emit(Event::Syncing { containers: containers.len() + held.len() });
                let as_before: Vec<_> = unknown.iter().map(|unknown| unknown.id.clone()).chain(held).collect();
                let updates = self.known.desired.replace(containers, &as_before);
                self.known.unknown = unknown.into_iter().map(|unknown| (unknown.id.clone(), unknown)).collect();
                self.tell(updates, None);
                self.known.listed = true;
                let occasion = std::mem::replace(&mut self.occasion, Occasion::Listed);
                self.compare(occasion);
            }
            Seen::Changed(tagged) => {
                let id = tagged.container.id.clone();
                let since = begun(&tagged, Instant::now());
                let updates = self.known.desired.set(tagged);
                self.tell(updates, Some(since));
                self.recognized(&id);
            }
            Seen::Gone(id) => {
                let updates = self.known.desired.remove(&id);
                self.tell(updates, Some(Instant::now()));
                self.recognized(&id);
            }
            Seen::Missing(id) => {
                let updates = self.known.desired.lose(&id);
                self.tell(updates, None);
                self.recognized(&id);
            }
        }
    }

    /// A container that could not be described is now known: removals that waited for it may be made.
    fn recognized(&mut self, id: &ContainerId) {
        // A container that is too large stays unknown, and is not waited for.
        let is_awaited = |unknown: &docker::Unknown| unknown.why == Unread::NotYet;
        if self.known.unknown.remove(id).is_some() && !self.known.unknown.values().any(is_awaited) {
            self.compare(Occasion::Completed);
        }
    }

    /// `since`: when the engine told of it, if an event did.
    fn tell(&mut self, updates: Vec<Update>, since: Option<Instant>) {
        for event in self.known.desired.take_events() {
            self.events.emit(event);
        }
        if !updates.is_empty() {
            self.send(&Command::Updates(updates.into(), since));
        }
    }

    fn compare(&self, occasion: Occasion) {
        let unknown = self.known.unknown.values().map(|unknown| Unknown { name: unknown.name.clone() }).collect();
        self.send(&Command::Compare(Compare { unknown, cleanup: self.cleanup, occasion }));
    }

    fn send(&self, command: &Command) {
        for keeper in &self.keepers {
            // A keeper ends only with the program.
            let _ = keeper.send(command.clone());
        }
    }
}

/// The settings, when they were read again.
async fn read_again(settings: &mut watch::Receiver<Option<Arc<Config>>>) -> Arc<Config> {
    loop {
        if settings.changed().await.is_err() {
            // Nobody reads them again.
            return std::future::pending().await;
        }
        if let Some(config) = settings.borrow_and_update().clone() {
            return config;
        }
    }
}

/// The latest that a container's start is believed to have been before we heard of it. The engine's clock is another one.
const LATEST_NEWS: Duration = Duration::from_secs(60);

/// When what is now seen of a container happened: its start, if that was just now; otherwise now.
fn begun(tagged: &Tagged, now: Instant) -> Instant {
    let started = tagged.container.started.0;
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let passed = i64::try_from(clock.as_nanos()).unwrap_or(i64::MAX).saturating_sub(started);
    let passed = u64::try_from(passed).map(Duration::from_nanos).ok().filter(|passed| *passed <= LATEST_NEWS);
    passed.and_then(|passed| now.checked_sub(passed)).unwrap_or(now)
}
