//! What happens, as values: the log, and whoever else tells of it, listens here.
//!
//! Everything that the running program has to say is an [`Event`], emitted in one place. Its level, its log line and
//! its fields stand in [`line`](self::line), so that a new event is one row there. Lines for developers alone
//! (`tracing::debug!`) are no events.

mod line;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::container::ContainerId;
use crate::service::Service;

pub use line::{Fields, Level, Line};

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    // === the program ===
    /// It starts.
    Starting {
        /// Its version.
        version: &'static str,
    },
    /// `-ip` is the address of everything that is published.
    ForcingIp {
        /// That address.
        ip: String,
    },
    /// The address of this host was found out.
    HostAddress {
        /// The address.
        address: String,
        /// Where it comes from, as a line.
        how: String,
    },
    /// A setting works, and is most likely not what is meant: one line with what to do.
    Advice {
        /// Which advice, as a word that stays the same.
        about: &'static str,
        /// The line.
        text: String,
    },
    /// It was told to stop.
    Stopping {
        /// The number of the signal.
        signal: u8,
    },
    /// A registry did not finish in time when the program was told to stop.
    StillBusy,

    // === the engine ===
    /// The event stream is open.
    Listening,
    /// All containers were listed and are compared.
    Syncing {
        /// How many there are.
        containers: usize,
    },
    /// The engine is connected to for the first time, or tried to be.
    ConnectingToDocker {
        /// Which attempt this is, from 0.
        attempt: u64,
        /// How many there are at most beyond the first; -1 for no end.
        attempts: String,
    },
    /// That attempt failed.
    DockerAway {
        /// What went wrong, where, and what to do.
        why: String,
        /// The pause before it is tried again.
        pause: Duration,
    },
    /// The connection to the engine failed.
    DockerLost {
        /// Where it is.
        endpoint: String,
        /// What failed.
        why: String,
    },
    /// The engine has been away for a while: what to do.
    DockerStillLost {
        /// Where it is.
        endpoint: String,
        /// For how long.
        away: Duration,
        /// What a person can do about it.
        hint: String,
    },
    /// The engine answers again.
    DockerBack {
        /// Where it is.
        endpoint: String,
        /// How long it was away.
        away: Duration,
    },
    /// The engine, or a proxy before it, refuses a request.
    DockerRefuses {
        /// Where it is.
        endpoint: String,
        /// The path of the request.
        path: &'static str,
        /// What it said, and the right that is missing.
        why: String,
    },
    /// What was refused is answered.
    DockerAllows {
        /// Where it is.
        endpoint: String,
        /// The path of the request.
        path: &'static str,
        /// For how long it was refused.
        refused_for: Duration,
    },
    /// A container cannot be inspected.
    InspectFailed {
        /// The container.
        container: ContainerId,
        /// Why.
        why: String,
    },
    /// The engine sent events that cannot be read.
    EventsSkipped {
        /// How many.
        count: usize,
    },
    /// What the engine tells of a container is larger than is read.
    ContainerTooLarge {
        /// The container, as far as it is known.
        container: ContainerId,
        /// What is too large, in words.
        what: String,
    },

    // === what containers offer ===
    /// A port, or a container, is no service.
    Ignored {
        /// The container.
        container: ContainerId,
        /// Why, as what follows `ignored: <12> `.
        reason: String,
    },
    /// Something in a container's metadata could not be taken as it is.
    Metadata {
        /// The container.
        container: ContainerId,
        /// What, and what was done instead.
        note: String,
    },
    /// `-tags` failed on a container.
    TagsFailed {
        /// The container.
        container: ContainerId,
        /// Why.
        why: String,
    },
    /// `httpGet` in `-tags` failed.
    HttpGetFailed {
        /// Where from, and why, as a line.
        why: String,
    },
    /// A container ends again and again.
    Flapping {
        /// The container.
        container: ContainerId,
        /// Its name.
        name: String,
        /// How often it ended.
        ends: usize,
        /// Within what time.
        window: Duration,
        /// How long it must run before it is registered.
        pause: Duration,
    },
    /// A container was told to stop and did not.
    RunsOn {
        /// The container.
        container: ContainerId,
    },
    /// Two services claim one ID.
    IdTaken {
        /// The registry.
        registry: Arc<str>,
        /// The service that is not registered.
        loser: Arc<Service>,
        /// The one that has the ID.
        winner: Arc<Service>,
    },

    // === registries ===
    /// A registry's URI was understood.
    UsingAdapter {
        /// The registry.
        registry: Arc<str>,
        /// The scheme of its URI.
        scheme: String,
    },
    /// A registry is reached for the first time, or tried to be.
    Connecting {
        /// The registry.
        registry: Arc<str>,
        /// Which attempt this is, from 0.
        attempt: u64,
        /// How many there are at most beyond the first; -1 for no end.
        attempts: String,
    },
    /// That attempt failed.
    ConnectFailed {
        /// The registry.
        registry: Arc<str>,
        /// Why.
        why: String,
        /// The pause before the next.
        pause: Duration,
    },
    /// The program starts with other registries, and goes on trying this one.
    StartingWithout {
        /// The registry.
        registry: Arc<str>,
        /// Why.
        why: String,
    },
    /// A registry cannot be reached, or does not answer.
    RegistryLost {
        /// The registry.
        registry: Arc<str>,
        /// Why.
        why: String,
    },
    /// It answers again.
    RegistryBack {
        /// The registry.
        registry: Arc<str>,
        /// How long it was away.
        away: Duration,
        /// What was caught up.
        caught_up: Tally,
    },
    /// Everything was compared: at the start, a resync, or when the guard asked.
    Resynced {
        /// The registry.
        registry: Arc<str>,
        /// What was right, and what was written.
        tally: Tally,
    },
    /// A service was written.
    Added {
        /// The registry.
        registry: Arc<str>,
        /// The service.
        service: Arc<Service>,
        /// Why it was written.
        reason: &'static str,
    },
    /// The entry of a service was removed.
    Removed {
        /// The registry.
        registry: Arc<str>,
        /// The service.
        service: Arc<Service>,
        /// Why.
        reason: &'static str,
    },
    /// An entry was removed that no container is behind.
    Dangling {
        /// The registry.
        registry: Arc<str>,
        /// The ID of its service.
        id: Arc<str>,
    },
    /// A TTL was renewed.
    Refreshed {
        /// The registry.
        registry: Arc<str>,
        /// The service.
        service: Arc<Service>,
    },
    /// An entry was marked as not to be used.
    MarkedCritical {
        /// The registry.
        registry: Arc<str>,
        /// The ID of its service.
        id: Arc<str>,
        /// The service, where one is known.
        service: Option<Arc<Service>>,
        /// Why.
        reason: &'static str,
    },
    /// Our mark was taken away.
    Unmarked {
        /// The registry.
        registry: Arc<str>,
        /// The ID of its service.
        id: Arc<str>,
        /// The service, where one is known.
        service: Option<Arc<Service>>,
    },
    /// A write or a refresh failed for one service.
    WriteFailed {
        /// The registry.
        registry: Arc<str>,
        /// What was tried: `register`, `deregister`, `refresh` or `mark`.
        what: &'static str,
        /// The ID of the service.
        id: Arc<str>,
        /// The service, where one is known.
        service: Option<Arc<Service>>,
        /// Why, and what to do.
        why: String,
    },
    /// Many writes failed for one reason; not each has a line.
    WritesFailed {
        /// The registry.
        registry: Arc<str>,
        /// How many have no line of their own.
        count: usize,
        /// What was said of one of them.
        example: String,
    },
    /// A registry goes on refusing services.
    StillRefused {
        /// The registry.
        registry: Arc<str>,
        /// How many services.
        count: usize,
        /// For how long.
        since: Duration,
        /// What it says of one of them.
        example: String,
    },
    /// What a registry refused is in it now.
    RefusalOver {
        /// The registry.
        registry: Arc<str>,
        /// For how long it had refused something.
        since: Duration,
    },
    /// Services are already registered by another instance of our owner's name, or by another owner in equal form.
    HeldByAnother {
        /// The registry.
        registry: Arc<str>,
        /// How many.
        count: usize,
        /// The other owner.
        owner: Arc<str>,
    },
    /// An entry of ours that no container is behind is there again after it was removed.
    Reappeared {
        /// The registry.
        registry: Arc<str>,
        /// The ID of its service.
        id: Arc<str>,
        /// The owner that it names, which is ours.
        owner: Arc<str>,
    },
    /// Another instance rewrites our entries under our owner's name.
    Contested {
        /// The registry.
        registry: Arc<str>,
        /// The owner that both write under.
        owner: Arc<str>,
        /// The ID of one of the entries.
        id: Arc<str>,
        /// How the entry differs: what we write, and what the other does.
        difference: Option<(String, String)>,
    },
    /// Nobody rewrites our entries any more.
    ContestOver {
        /// The registry.
        registry: Arc<str>,
        /// For how long somebody did.
        since: Duration,
    },
    /// A registry removed the entry of a failing service by its own rule.
    Reaped {
        /// The registry.
        registry: Arc<str>,
        /// The service.
        service: Arc<Service>,
    },
    /// The removal guard waits.
    GuardHolds {
        /// The registry.
        registry: Arc<str>,
        /// How many entries are without a container.
        doubts: usize,
        /// Of how many that we hold.
        held: usize,
        /// How long until the engine is asked again.
        pause: Duration,
    },
    /// Told to stop, the program leaves a registry as it is, though it was told otherwise.
    LeftAsItIs {
        /// The registry.
        registry: Arc<str>,
        /// Why.
        why: &'static str,
    },
    /// Told to stop, the program had no time to finish with a registry.
    LeftUnfinished {
        /// The registry.
        registry: Arc<str>,
        /// How many entries stay as they are; `None` where that is not known.
        entries: Option<usize>,
    },
    /// The health of a service in the embedded registry changed.
    HealthChanged {
        /// The registry.
        registry: Arc<str>,
        /// The ID of the service.
        id: Arc<str>,
        /// Its health before and now, and why, as what follows the ID.
        change: String,
    },
    /// Something that only one kind of registry has to say.
    Adapter {
        /// The registry.
        registry: Arc<str>,
        /// What it is about, as a word that stays the same.
        about: &'static str,
        /// How much it matters.
        level: Level,
        /// The line.
        text: String,
    },
}

/// How many services were right, and what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Nothing had to be written.
    pub right: usize,
    /// Written where nothing was.
    pub added: usize,
    /// Written where something else was.
    pub changed: usize,
    /// Removed.
    pub removed: usize,
}

/// Where events go. Clones go to the same place.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(&Event) + Send + Sync>);

impl Events {
    /// Each event is handed to this, one after the other for each emitter; it must not block.
    #[must_use]
    pub fn new(listen: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listen))
    }

    /// Each event becomes a line of the log.
    #[must_use]
    pub fn to_log() -> Self {
        Self::new(|event| event.line().log())
    }

    /// Tells of an event.
    pub fn emit(&self, event: Event) {
        (self.0)(&event);
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}
