//! Making it so: wires the engine to the registries, and runs until told to stop.
//!
//! ```text
//! docker::watch ─► tagging ─► pacing ─► desired ─► one keeper per registry ─► registry
//!                  -tags      what      what        plan, write, refresh
//!                             waits     should be
//! ```
//!
//! One task owns what is desired and never waits for a registry; each keeper owns what it knows
//! of its own registry. They share nothing but messages.

pub mod desired;
pub mod keeper;
pub mod pacing;
pub mod plan;
mod reach;
pub mod tagging;

use std::collections::HashSet;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use tracing::{info, warn};

use crate::config::Config;
use crate::container::ContainerId;
use crate::docker::{self, Docker};
use crate::event::{Event, Events};
use crate::machine::{self, HostAddress};
use crate::registry::{self, Opened, RegistryError};
use crate::template::{ForcedTags, TemplateError};
use desired::{Desired, Update};
use keeper::{Command, Keeper};
use pacing::{Pacing, Step};
use plan::{Rules, Scope};
use tagging::Seen;

/// How long keepers may take to end once they are told to stop.
const PARTING: Duration = Duration::from_millis(1500);

/// How long registries may take to let go, after that.
const CLOSING: Duration = Duration::from_millis(300);

/// How a running bridge is told what to do.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// Cancelled: stop, within two seconds.
    pub stop: CancellationToken,
    /// Notified: compare everything again, now.
    pub resync: Arc<Notify>,
}

/// Why a bridge cannot run; each prints as one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `-tags` is not a template.
    #[error("-tags: {0}")]
    Tags(#[from] TemplateError),
    /// A registry's URI or settings are wrong.
    #[error(transparent)]
    Registry(#[from] registry::OpenError),
    /// The engine cannot be reached.
    #[error(transparent)]
    Docker(#[from] docker::ConnectError),
    /// No registry can be reached, after all attempts. Holds what each said.
    #[error("{}", registry::said_at_the_start(.0))]
    Unreachable(Vec<RegistryError>),
}

/// Keeps the registries equal to what runs, until it is told to stop.
///
/// # Errors
/// When it cannot start: the engine or a registry cannot be reached, or a setting is wrong. Once
/// it runs, it never fails.
pub async fn run(config: Config, control: Control) -> Result<(), Error> {
    let surroundings = tokio::select! {
        biased;
        () = control.stop.cancelled() => return Ok(()),
        opened = open(&config) => opened?,
    };
    serve(surroundings, config, control).await
}

/// All that a bridge has to do with, opened and not yet reached.
pub struct Surroundings {
    /// The engine, which has answered.
    pub docker: Docker,
    /// A registry for each of [`Config::registries`].
    pub registries: Vec<Opened>,
    /// Finds out how others reach this host.
    pub locate: Locate,
}

/// A question for the host's address.
pub type Locate = Arc<dyn Fn() -> BoxFuture<'static, HostAddress> + Send + Sync>;

/// Opens what the settings name.
async fn open(config: &Config) -> Result<Surroundings, Error> {
    // What is wrong with the command line is said before anybody is asked anything.
    ForcedTags::parse(config.service.tags.as_deref().unwrap_or_default())?;
    let events = Events::to_log();
    let mut registries = Vec::new();
    for settings in &config.registries {
        let opened = registry::open(settings, &events)?;
        let Opened { name, adapter, .. } = &opened;
        info!(registry = &**name, "Using {adapter} adapter: {name}");
        registries.push(opened);
    }
    let docker = docker::reach(&config.docker, config.bridge.retry(), &Events::to_log()).await?;
    let hostname = config.service.hostname.clone();
    let locate: Locate = Arc::new(move || {
        let hostname = hostname.clone();
        Box::pin(async move { machine::address(&hostname).await })
    });
    Ok(Surroundings { docker, registries, locate })
}

/// [`run`] between these surroundings.
///
/// # Errors
/// As for [`run`].
pub async fn serve(surroundings: Surroundings, config: Config, control: Control) -> Result<(), Error> {
    let Surroundings { docker, registries, locate } = surroundings;
    let stop = control.stop.clone();
    let tags = Arc::new(ForcedTags::parse(config.service.tags.as_deref().unwrap_or_default())?);
    let (host, _reaching) = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        started = start(&config, &registries, &locate) => started?,
    };
    let keepers = TaskTracker::new();
    let closing: Vec<_> = registries.iter().map(|opened| Arc::clone(&opened.registry)).collect();
    let mut commands = Vec::new();
    for Opened { name, owner, policy, registry, .. } in registries {
        let (sender, receiver) = mpsc::unbounded_channel();
        let rules = Rules {
            owner,
            hostname: config.service.hostname.clone(),
            policy,
            deregister: config.bridge.deregister,
            on_shutdown: config.bridge.on_shutdown,
        };
        let keeper = Keeper::new(name.to_string(), registry, rules)
            .guarded(config.bridge.removal_guard, Arc::clone(&control.resync));
        keepers.spawn(keeper.run(receiver, stop.clone()));
        commands.push(sender);
    }
    keepers.close();

    let desired = Desired::new(config.service.clone(), config.bridge.deregister, host.address);
    let changes = docker::watch(docker, &config.docker, control.resync, stop.clone(), Events::to_log());
    let bridge = Bridge {
        locate,
        cleanup: config.bridge.cleanup,
        desired,
        pacing: Pacing::new(config.bridge.drain),
        keepers: commands,
        unknown: HashSet::new(),
        relocating: None,
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = bridge.run(changes, tags) => {}
    }
    if timeout(PARTING, keepers.wait()).await.is_err() {
        warn!("a registry is still busy; leaving it as it is");
    }
    // What cannot be let go of in time expires by itself.
    let _ = timeout(CLOSING, join_all(closing.iter().map(|registry| registry.close()))).await;
    Ok(())
}

/// Waits for everything that must be there before anything is done. The second goes on trying the
/// registries that have not answered yet.
async fn start(
    config: &Config,
    registries: &[Opened],
    locate: &Locate,
) -> Result<(HostAddress, AbortOnDropHandle<()>), Error> {
    let reaching = reach::one_of(registries, &config.bridge).await.map_err(Error::Unreachable)?;
    let host = locate().await;
    if config.service.ip.is_none() {
        info!(address = host.address, "{}", host.how);
    }
    // With -internal, containers' own addresses are what is wanted.
    let found = Some(&*host.address).filter(|_| config.service.ip.is_none() && !config.service.internal);
    if let Some(text) = machine::advice(&config.service.hostname, found) {
        Events::to_log().emit(Event::Advice { about: "container", text });
    }
    Ok((host, reaching))
}

/// The task that owns what is desired.
struct Bridge {
    locate: Locate,
    cleanup: bool,
    desired: Desired,
    pacing: Pacing,
    keepers: Vec<mpsc::UnboundedSender<Command>>,
    /// Containers that the engine lists but could not describe yet.
    unknown: HashSet<ContainerId>,
    /// Finding out whether the host's address changed.
    relocating: Option<JoinHandle<HostAddress>>,
}

impl Bridge {
    async fn run(mut self, changes: mpsc::Receiver<docker::Change>, tags: Arc<ForcedTags>) {
        let mut seen = pin!(tagging::tagged(changes, tags));
        let mut first = true;
        loop {
            let due = self.pacing.due();
            tokio::select! {
                biased;
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                    let steps = self.pacing.release(Instant::now());
                    self.follow(steps);
                }
                next = seen.next() => {
                    let Some(next) = next else { break };
                    if matches!(next, Seen::Snapshot { .. }) && !std::mem::take(&mut first) {
                        self.relocating = Some(tokio::spawn((self.locate)()));
                    }
                    let now = Instant::now();
                    match next {
                        Seen::Stopping(id) => {
                            if self.pacing.stopping(&id, now) {
                                let updates = self.desired.drain(&id, true);
                                self.update(updates);
                            }
                        }
                        next => {
                            let steps = self.pacing.see(next, now);
                            self.follow(steps);
                        }
                    }
                }
                host = relocated(&mut self.relocating) => {
                    self.relocating = None;
                    if let Some(host) = host {
                        let updates = self.desired.set_host_address(host.address);
                        self.update(updates);
                    }
                }
            }
        }
    }

    fn follow(&mut self, steps: Vec<Step>) {
        for step in steps {
            match step {
                Step::Take(seen) => self.take(seen),
                Step::Undrain(id) => {
                    let updates = self.desired.drain(&id, false);
                    self.update(updates);
                }
            }
        }
    }

    fn take(&mut self, seen: Seen) {
        match seen {
            Seen::Stopping(_) => {}
            Seen::Snapshot { containers, unknown, held } => {
                info!("Syncing services on {} containers", containers.len() + held.len());
                let as_before: Vec<_> = unknown.iter().cloned().chain(held).collect();
                let updates = self.desired.replace(containers, &as_before);
                self.unknown = unknown.into_iter().collect();
                self.update(updates);
                self.compare();
            }
            Seen::Changed(tagged) => {
                let id = tagged.container.id.clone();
                let updates = self.desired.set(tagged);
                self.update(updates);
                self.known(&id);
            }
            Seen::Gone(id) => {
                let updates = self.desired.remove(&id);
                self.update(updates);
                self.known(&id);
            }
            Seen::Missing(id) => {
                let updates = self.desired.lose(&id);
                self.update(updates);
                self.known(&id);
            }
        }
    }

    /// The last container that could not be described is known now: what stands behind no container can go.
    fn known(&mut self, id: &ContainerId) {
        if self.unknown.remove(id) && self.unknown.is_empty() {
            self.compare();
        }
    }

    fn update(&self, updates: Vec<Update>) {
        if !updates.is_empty() {
            self.tell(&Command::Update(updates.into()));
        }
    }

    fn compare(&self) {
        self.tell(&Command::Compare(Scope { complete: self.unknown.is_empty(), cleanup: self.cleanup }));
    }

    fn tell(&self, command: &Command) {
        for keeper in &self.keepers {
            // A keeper only ends when the bridge does.
            let _ = keeper.send(command.clone());
        }
    }
}

/// The host's address, once it is found out.
async fn relocated(relocating: &mut Option<JoinHandle<HostAddress>>) -> Option<HostAddress> {
    match relocating {
        Some(task) => task.await.ok(),
        None => std::future::pending().await,
    }
}
