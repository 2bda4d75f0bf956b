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

use futures_util::StreamExt;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::config::DockerConfig;
use crate::container::ContainerId;
use crate::desired::{Command, Compare, Occasion, Unknown, Update};
use crate::docker::{self, Docker, Unread};
use crate::event::{Event, Events};
use crate::template::ForcedTags;

use desired::DesiredServices;
use pacing::{Pacing, Step};
use tagging::Seen;

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
}

impl Host {
    /// Tells the keepers what should exist, until the host is told to stop.
    pub async fn run(self, config: &DockerConfig, surroundings: Surroundings) {
        let Self { docker, tagging, pacing, desired, address, cleanup } = self;
        let Surroundings { stop, asked, relist, keepers, events } = surroundings;
        let changes = docker::watch(docker, config, Arc::clone(&relist), stop.clone(), events.clone());
        let seen = tagging::tagged(changes, tagging, events.clone());
        let mut following = Following {
            pacing,
            desired,
            cleanup,
            keepers,
            events,
            unknown: HashMap::new(),
            occasion: Occasion::Listed,
        };
        let (mut address, mut seen) = (address, pin!(seen));
        let mut first = true;
        loop {
            let due = following.pacing.due();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let steps = following.pacing.release(Instant::now());
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
                found = address.found() => if let Some(found) = found {
                    let updates = following.desired.set_host_address(found.address);
                    following.tell(updates);
                }
            }
        }
    }
}

/// Handles what was seen.
struct Following {
    pacing: Pacing,
    desired: DesiredServices,
    cleanup: bool,
    keepers: Vec<mpsc::UnboundedSender<Command>>,
    events: Events,
    /// Containers that the engine lists but that could not be described yet.
    unknown: HashMap<ContainerId, docker::Unknown>,
    /// The occasion of the next snapshot.
    occasion: Occasion,
}

impl Following {
    fn see(&mut self, seen: Seen, now: Instant) {
        if let Seen::Stopping(id) = seen {
            if self.pacing.stopping(&id, now) {
                let updates = self.desired.drain(&id, true);
                self.tell(updates);
            }
        } else {
            let steps = self.pacing.see(seen, now);
            self.follow(steps);
        }
    }

    fn follow(&mut self, steps: Vec<Step>) {
        for event in self.pacing.take_events() {
            self.events.emit(event);
        }
        for step in steps {
            match step {
                Step::Take(seen) => self.take(seen),
                Step::Undrain(id) => {
                    let updates = self.desired.drain(&id, false);
                    self.tell(updates);
                }
            }
        }
    }

    fn take(&mut self, seen: Seen) {
        match seen {
            Seen::Stopping(_) => {}
            Seen::Snapshot { containers, unknown, held } => {
                self.events.emit(Event::Syncing { containers: containers.len() + held.len() });
                let as_before: Vec<_> = unknown.iter().map(|unknown| unknown.id.clone()).chain(held).collect();
                let updates = self.desired.replace(containers, &as_before);
                self.unknown = unknown.into_iter().map(|unknown| (unknown.id.clone(), unknown)).collect();
                self.tell(updates);
                let occasion = std::mem::replace(&mut self.occasion, Occasion::Listed);
                self.compare(occasion);
            }
            Seen::Changed(tagged) => {
                let id = tagged.container.id.clone();
                let updates = self.desired.set(tagged);
                self.tell(updates);
                self.known(&id);
            }
            Seen::Gone(id) => {
                let updates = self.desired.remove(&id);
                self.tell(updates);
                self.known(&id);
            }
            Seen::Missing(id) => {
                let updates = self.desired.lose(&id);
                self.tell(updates);
                self.known(&id);
            }
        }
    }

    /// A container that could not be described is now known: removals that waited for it may be made.
    fn known(&mut self, id: &ContainerId) {
        // A container that is too large stays unknown, and is not waited for.
        let is_awaited = |unknown: &docker::Unknown| unknown.why == Unread::NotYet;
        if self.unknown.remove(id).is_some() && !self.unknown.values().any(is_awaited) {
            self.compare(Occasion::Completed);
        }
    }

    fn tell(&mut self, updates: Vec<Update>) {
        for event in self.desired.take_events() {
            self.events.emit(event);
        }
        if !updates.is_empty() {
            self.send(&Command::Updates(updates.into()));
        }
    }

    fn compare(&self, occasion: Occasion) {
        let unknown = self.unknown.values().map(|unknown| Unknown { name: unknown.name.clone() }).collect();
        self.send(&Command::Compare(Compare { unknown, cleanup: self.cleanup, occasion }));
    }

    fn send(&self, command: &Command) {
        for keeper in &self.keepers {
            // A keeper ends only with the program.
            let _ = keeper.send(command.clone());
        }
    }
}
