//! One run: connects engines with registries, and runs until told to stop.
//!
//! A [`Host`] computes what should exist on its engine, and a [`Keeper`] for each registry writes it. They share only
//! messages, and report what happens as [`Events`].

mod alone;
mod reach;
mod rendering;
pub mod telling;

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use crate::asking::asking;
use crate::config::{Config, Mode};
use crate::docker::{self, Docker};
use crate::event::{Event, Events};
use crate::host::desired::DesiredServices;
use crate::host::pacing::Pacing;
use crate::host::{self, Address, Host, Locate};
use crate::machine::{self, HostAddress};
use crate::reconcile::{Guarded, Keeper, Rules};
use crate::registry::{self, Opened, RegistryError};
use crate::render::find::FindError;
use crate::status::view::About;
use crate::status::{self, Hub, Kept, Listeners};
use crate::template::{ForcedTags, TagsError};

pub use alone::Alone;
use rendering::Rendering;

/// How long keepers may take to end once they are told to stop.
const SHUTDOWN_DEADLINE: Duration = Duration::from_millis(1500);

/// How long registries then have to release their leases and sessions.
const CLOSE_DEADLINE: Duration = Duration::from_millis(300);

/// Tells a run what to do.
#[derive(Clone, Debug)]
pub struct Control {
    /// Cancelled: stop, within two seconds.
    pub stop: CancellationToken,
    /// Notified: compare everything now, and retry refused writes.
    pub resync: Arc<Notify>,
    /// The settings when they were read again, if they were.
    pub settings: watch::Receiver<Option<Arc<Config>>>,
    /// Notified: read the resources of `-render` again.
    pub read_again: Arc<Notify>,
}

impl Default for Control {
    /// A run whose settings stay.
    fn default() -> Self {
        Self::with_settings(watch::channel(None).1)
    }
}

impl Control {
    /// A run that follows these settings where it can ([`crate::config::Applies::AtOnce`]).
    #[must_use]
    pub fn with_settings(settings: watch::Receiver<Option<Arc<Config>>>) -> Self {
        Self { stop: CancellationToken::default(), resync: Arc::default(), settings, read_again: Arc::default() }
    }
}

/// Why a run cannot start. Each prints as one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `-tags` is not a template.
    #[error("-tags: {0}")]
    Tags(#[from] TagsError),
    /// `-render` names no folder of resources.
    #[error("-render: {0}; give the folder that holds conf.d and templates")]
    Render(#[from] FindError),
    /// A registry's URI or settings are wrong.
    #[error(transparent)]
    Registry(#[from] registry::OpenError),
    /// The engine cannot be reached.
    #[error(transparent)]
    Docker(#[from] docker::ConnectError),
    /// No registry could be reached in all attempts. Holds the error of each.
    #[error("{}", registry::said_at_the_start(.0))]
    Unreachable(Vec<RegistryError>),
}

/// Keeps the registries equal to what runs, until it is told to stop.
///
/// # Errors
/// When it cannot start: the engine or a registry cannot be reached, or a setting is wrong. Once
/// it runs, it never fails.
pub async fn run(config: Config, control: Control, events: Events) -> Result<(), Error> {
    run_asked(config, control, events, None).await
}

/// As [`run`]; what it knows can be asked while it runs.
///
/// # Errors
/// As for [`run`].
pub async fn run_asked(
    config: Config,
    control: Control,
    events: Events,
    watching: Option<Watching>,
) -> Result<(), Error> {
    let surroundings = tokio::select! {
        biased;
        () = control.stop.cancelled() => return Ok(()),
        opened = open(&config, &events) => opened?,
    };
    serve_asked(surroundings, config, control, events, watching).await
}

/// What listens to events, and what gets the hub to ask when everything runs.
pub struct Watching {
    /// The listeners of these events.
    pub listeners: Listeners,
    /// Gets the hub.
    pub ready: oneshot::Sender<Hub>,
    /// Whether to wait at the start until a registry is reached, as a run does; a mere look does not.
    pub waits: bool,
}

/// Everything that a run works with: opened, but the registries are not yet reached.
pub struct Surroundings {
    /// The engine, already connected.
    pub docker: Docker,
    /// A registry for each of [`Config::registries`].
    pub registries: Vec<Opened>,
    /// Finds the host's address.
    pub locate: Locate,
}

/// Opens the engine and the registries that the settings name.
async fn open(config: &Config, events: &Events) -> Result<Surroundings, Error> {
    // Errors in the command line are reported before any server is asked.
    ForcedTags::parse(config.service.tags.as_deref().unwrap_or_default())?;
    Rendering::open(config)?;
    let mut registries = Vec::new();
    for settings in &config.registries {
        let opened = registry::open(settings, events)?;
        let (registry, scheme) = (Arc::clone(&opened.name), opened.adapter.to_owned());
        events.emit(Event::UsingAdapter { registry, scheme });
        registries.push(opened);
    }
    let docker = docker::reach(&config.docker, config.bridge.retry(), events).await?;
    let hostname = config.service.hostname.clone();
    let locate: Locate = Arc::new(move || {
        let hostname = hostname.clone();
        Box::pin(async move { machine::address(&hostname).await })
    });
    Ok(Surroundings { docker, registries, locate })
}

/// As [`run`], with the given surroundings.
///
/// # Errors
/// As for [`run`].
pub async fn serve(surroundings: Surroundings, config: Config, control: Control, events: Events) -> Result<(), Error> {
    serve_asked(surroundings, config, control, events, None).await
}

async fn serve_asked(
    surroundings: Surroundings,
    config: Config,
    control: Control,
    events: Events,
    watching: Option<Watching>,
) -> Result<(), Error> {
    let Surroundings { docker, registries, locate } = surroundings;
    let Control { stop, resync, settings, read_again } = control;
    let tagging = Arc::new(ForcedTags::parse(config.service.tags.as_deref().unwrap_or_default())?);
    let waits = watching.as_ref().is_none_or(|watching| watching.waits);
    let (address, _reaching) = tokio::select! {
        biased;
        () = stop.cancelled() => return Ok(()),
        started = start(&config, &registries, &locate, &events, waits) => started?,
    };
    // A mere look leaves files alone.
    let rendering = if waits { Rendering::open(&config)? } else { None };
    let relist = Arc::new(Notify::new());
    let tasks = TaskTracker::new();
    let closing: Vec<_> = registries.iter().map(|opened| Arc::clone(&opened.registry)).collect();
    let (mut keepers, mut kept) = (Vec::new(), Vec::new());
    for Opened { name, owner, policy, registry, adapter } in registries {
        let (sender, receiver) = mpsc::unbounded_channel();
        let rules = Rules {
            owner: Arc::clone(&owner),
            hostname: config.service.hostname.clone(),
            policy,
            deregister: config.bridge.deregister,
            on_shutdown: config.bridge.on_shutdown,
            adopt: config.bridge.adopt,
            dry_run: config.mode != Mode::Write,
        };
        let guard = Guarded { percent: config.bridge.removal_guard, ask: Arc::clone(&relist) };
        let site = Some(registry.site());
        let keeper = Keeper::guarded(Arc::clone(&name), registry, rules, events.clone(), guard);
        kept.push(Kept { name, adapter, owner, site, asker: keeper.asker() });
        tasks.spawn(keeper.run(receiver, stop.clone()));
        keepers.push(sender);
    }
    if let Some(rendering) = rendering {
        let surroundings = rendering::Surroundings {
            config: &config,
            docker: &docker,
            relist: &relist,
            read_again: &read_again,
            events: &events,
        };
        keepers.push(rendering.begin(&surroundings, &tasks, &stop));
    }
    tasks.close();

    let host = Host {
        docker,
        tagging,
        pacing: Pacing::new(config.bridge.drain),
        desired: DesiredServices::new(config.service.clone(), config.bridge.deregister, address.address),
        address: Address::new(locate),
        cleanup: config.bridge.cleanup,
    };
    let (asker, questions) = asking();
    if let Some(Watching { listeners, ready, .. }) = watching {
        let about = About {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            hostname: config.service.hostname.clone(),
            started: status::clock::seconds(),
            dry_run: config.mode != Mode::Write,
        };
        listeners.engine.lock().unwrap_or_else(PoisonError::into_inner).endpoint = host.docker.endpoint().to_owned();
        kept.iter().for_each(|kept| listeners.meter.expect(&kept.name));
        // Whoever asked may have gone away.
        let _ = ready.send(Hub { about: Arc::new(about), host: asker, registries: kept.into(), listeners });
    }
    let events_of_host = events.clone();
    let surroundings =
        host::Surroundings { stop, asked: resync, relist, keepers, events: events_of_host, questions, settings };
    host.run(&config.docker, surroundings).await;
    if timeout(SHUTDOWN_DEADLINE, tasks.wait()).await.is_err() {
        events.emit(Event::StillBusy);
    }
    // What is not released in time expires by itself.
    let _ = timeout(CLOSE_DEADLINE, join_all(closing.iter().map(|registry| registry.close()))).await;
    Ok(())
}

/// Waits until one registry is reached and the host's address is known. The returned task goes on trying the other
/// registries.
async fn start(
    config: &Config,
    registries: &[Opened],
    locate: &Locate,
    events: &Events,
    waits: bool,
) -> Result<(HostAddress, Option<AbortOnDropHandle<()>>), Error> {
    let mut reaching = None;
    if waits {
        reaching = Some(reach::one_of(registries, &config.bridge, events).await.map_err(Error::Unreachable)?);
    }
    let host = locate().await;
    if config.service.ip.is_none() {
        events.emit(Event::HostAddress { address: host.address.clone(), how: host.how.to_string() });
    }
    // With -internal, the containers' own addresses are intended.
    let found = Some(&*host.address).filter(|_| config.service.ip.is_none() && !config.service.internal);
    if let Some(text) = machine::advice(&config.service.hostname, found) {
        events.emit(Event::Advice { about: "container", text });
    }
    Ok((host, reaching))
}
