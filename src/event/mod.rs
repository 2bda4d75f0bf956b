//! What happens, as values. The log and all other reports listen here.
//!
//! Whatever the running program reports is an [`Event`], emitted in one place. Its level, log line and fields are in
//! `line.rs`, so a new event is one row there. Lines for developers only (`tracing::debug!`) are not events.

mod file;
mod line;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::container::ContainerId;
use crate::service::Service;

pub use file::FileEvent;
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
    /// `-ip` sets the address of all published ports.
    ForcingIp {
        /// That address.
        ip: String,
    },
    /// The address of this host was found out.
    HostAddress {
        /// The address.
        address: String,
        /// Where the address comes from, as a line.
        how: String,
    },
    /// A setting works, but is probably not intended. One line that says what to do.
    Advice {
        /// The kind of advice: a word that never changes.
        about: &'static str,
        /// The line.
        text: String,
    },
    /// The settings were read again.
    SettingsRead {
        /// What has changed and when it counts, a line.
        change: String,
    },
    /// It was told to stop.
    Stopping {
        /// The number of the signal.
        signal: u8,
    },
    /// What is known can be asked here (`-status`).
    StatusListening {
        /// Where.
        address: SocketAddr,
        /// Whether over TLS.
        https: bool,
    },
    /// A line about the present state (SIGUSR1).
    State {
        /// The line.
        text: String,
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
    /// An attempt to connect to the engine for the first time.
    ConnectingToDocker {
        /// Which attempt this is, from 0.
        attempt: u64,
        /// The number of attempts beyond the first; -1 if unlimited.
        attempts: String,
    },
    /// That attempt failed.
    DockerAway {
        /// What went wrong, where, and what to do.
        why: String,
        /// The pause before the next attempt.
        pause: Duration,
    },
    /// The connection to the engine failed.
    DockerLost {
        /// Where it is.
        endpoint: String,
        /// What failed.
        why: String,
    },
    /// The engine has been unreachable for a while: what to do.
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
        /// How long it was unreachable.
        away: Duration,
    },
    /// The engine, or a proxy in front of it, refuses a request.
    DockerRefuses {
        /// Where it is.
        endpoint: String,
        /// The path of the request.
        path: &'static str,
        /// The answer, and the missing right.
        why: String,
    },
    /// A refused request is answered again.
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
    /// The engine's description of a container exceeds what is read.
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
        /// The reason, as it follows `ignored: <12> `.
        reason: String,
    },
    /// Something in a container's metadata could not be used as it is.
    Metadata {
        /// The container.
        container: ContainerId,
        /// What it is, and what was done instead.
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
        /// The URL and the reason, as a line.
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
    /// Two services claim the same ID.
    IdTaken {
        /// The registry.
        registry: Arc<str>,
        /// The service that is not registered.
        loser: Arc<Service>,
        /// The service that has the ID.
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
    /// An attempt to reach a registry for the first time.
    Connecting {
        /// The registry.
        registry: Arc<str>,
        /// Which attempt this is, from 0.
        attempt: u64,
        /// The number of attempts beyond the first; -1 if unlimited.
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
    /// The program starts with the other registries, and goes on trying this one.
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
        /// How long it was unreachable.
        away: Duration,
        /// What was written to catch up.
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
    /// An entry without a container was removed.
    Dangling {
        /// The registry.
        registry: Arc<str>,
        /// The ID of its service.
        id: Arc<str>,
    },
    /// A service would be written, marked or removed (`-dry-run`).
    Would {
        /// The registry.
        registry: Arc<str>,
        /// What would be done: `add`, `change`, `remove`, `mark` or `unmark`.
        what: &'static str,
        /// The ID of the service.
        id: Arc<str>,
        /// The service, if it is known.
        service: Option<Arc<Service>>,
        /// Why.
        reason: &'static str,
    },
    /// Everything was compared, and nothing was written (`-dry-run`).
    Rehearsed {
        /// The registry.
        registry: Arc<str>,
        /// What would be done.
        would: Counts,
        /// How many entries are left alone because they belong to others.
        others: usize,
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
        /// The service, if it is known.
        service: Option<Arc<Service>>,
        /// Why.
        reason: &'static str,
    },
    /// Our mark was removed.
    Unmarked {
        /// The registry.
        registry: Arc<str>,
        /// The ID of its service.
        id: Arc<str>,
        /// The service, if it is known.
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
        /// The service, if it is known.
        service: Option<Arc<Service>>,
        /// Why, and what to do.
        why: String,
    },
    /// Many writes failed for the same reason; not all have their own line.
    WritesFailed {
        /// The registry.
        registry: Arc<str>,
        /// How many have no line of their own.
        count: usize,
        /// The failure of one of them.
        example: String,
    },
    /// A registry continues to refuse services.
    StillRefused {
        /// The registry.
        registry: Arc<str>,
        /// How many services.
        count: usize,
        /// For how long.
        since: Duration,
        /// Its refusal of one of them.
        example: String,
    },
    /// The registry has accepted everything that it had refused.
    RefusalOver {
        /// The registry.
        registry: Arc<str>,
        /// How long it had refused something.
        since: Duration,
    },
    /// Services are already registered: by another instance with our owner's name, or by another owner with equal
    /// entries.
    HeldByAnother {
        /// The registry.
        registry: Arc<str>,
        /// How many.
        count: usize,
        /// The owner of one of them, if it is set by `-owner`.
        owner: Option<Arc<str>>,
    },
    /// An entry of ours without a container came back after its removal.
    Reappeared {
        /// The registry.
        registry: Arc<str>,
        /// The ID of its service.
        id: Arc<str>,
        /// The owner named in the entry, which is ours.
        owner: Arc<str>,
    },
    /// Another instance rewrites our entries under our owner's name.
    Contested {
        /// The registry.
        registry: Arc<str>,
        /// The owner name that both instances use.
        owner: Arc<str>,
        /// The ID of one of the entries.
        id: Arc<str>,
        /// How the entry differs: our value, then the other's.
        difference: Option<(String, String)>,
    },
    /// No other instance rewrites our entries any more.
    ContestOver {
        /// The registry.
        registry: Arc<str>,
        /// How long it lasted.
        since: Duration,
    },
    /// A registry removed the entry of a failing service by its own rule.
    Reaped {
        /// The registry.
        registry: Arc<str>,
        /// The service.
        service: Arc<Service>,
    },
    /// The removal guard delays removals.
    GuardHolds {
        /// The registry.
        registry: Arc<str>,
        /// How many entries have no container.
        doubts: usize,
        /// Out of how many entries of ours.
        held: usize,
        /// How long until the engine is asked again.
        pause: Duration,
    },
    /// At shutdown, a registry is left as it is, although `-on-shutdown` asks for something else.
    LeftAsItIs {
        /// The registry.
        registry: Arc<str>,
        /// Why.
        why: &'static str,
    },
    /// The shutdown ended before the work on a registry was finished.
    LeftUnfinished {
        /// The registry.
        registry: Arc<str>,
        /// How many entries stay as they are; `None` if that is unknown.
        entries: Option<usize>,
    },
    /// The health of a service in the embedded registry changed.
    HealthChanged {
        /// The registry.
        registry: Arc<str>,
        /// The ID of the service.
        id: Arc<str>,
        /// Its health before and now, and the reason, as it follows the ID.
        change: String,
    },
    // === rendered files ===
    /// Something happened with a rendered file (`-render`).
    File {
        /// The file, or the folder of several.
        dest: Arc<str>,
        /// What.
        what: FileEvent,
    },

    // === measurements: for metrics and the audit, not for the log ===
    /// A registry was read.
    ReadDone {
        /// The registry.
        registry: Arc<str>,
        /// Why it could not be read, if so.
        error: Option<String>,
        /// How long it took.
        took: Duration,
    },
    /// One write was tried.
    Wrote {
        /// The registry.
        registry: Arc<str>,
        /// What was tried: `put`, `remove`, `mark` or `unmark`.
        action: &'static str,
        /// The ID of the service.
        id: Arc<str>,
        /// The service, if it is known.
        service: Option<Arc<Service>>,
        /// Why it was tried.
        reason: &'static str,
        /// Why it failed, if it did.
        error: Option<String>,
        /// How long its batch took.
        took: Duration,
        /// The time since the engine told of it, if it succeeded and an event was its cause.
        waited: Option<Duration>,
    },
    /// Leases, TTLs or heartbeats were renewed.
    RefreshesDone {
        /// The registry.
        registry: Arc<str>,
        /// How many.
        succeeded: usize,
        /// How many failed.
        failed: usize,
    },
    /// The engine's list was read.
    DockerListed {
        /// How many containers it has.
        containers: usize,
        /// How long it took.
        took: Duration,
    },
    /// The engine sent events about containers.
    DockerEvents {
        /// What happened, each from [`crate::docker::events::ACTIONS`].
        actions: Vec<&'static str>,
    },

    /// Something specific to one kind of registry.
    Adapter {
        /// The registry.
        registry: Arc<str>,
        /// The topic: a word that never changes.
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

/// How many writes there are, by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries that are missing.
    pub add: usize,
    /// Entries that differ.
    pub change: usize,
    /// Entries without an owner, as the replaced program wrote them, that get ours.
    pub take_over: usize,
    /// Entries without a container.
    pub remove: usize,
    /// Entries whose mark is set or removed.
    pub mark: usize,
}

impl Counts {
    /// All together.
    #[must_use]
    pub fn sum(&self) -> usize {
        let Self { add, change, take_over, remove, mark } = self;
        add + change + take_over + remove + mark
    }
}

/// Where events go. Clones share the destination.
#[derive(Clone)]
pub struct Events(Arc<dyn Fn(&Event) + Send + Sync>);

impl Events {
    /// Passes each event to this function. Each emitter's events arrive in order; the function must not block.
    #[must_use]
    pub fn new(listen: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listen))
    }

    /// Each event becomes a line of the log.
    #[must_use]
    pub fn to_log() -> Self {
        Self::new(|event| {
            if !event.is_measurement() {
                event.line().log();
            }
        })
    }

    /// Passes on an event of another emitter.
    pub fn pass(&self, event: &Event) {
        (self.0)(event);
    }

    /// Emits an event.
    pub fn emit(&self, event: Event) {
        (self.0)(&event);
    }
}

impl Event {
    /// Whether it is a figure, and nothing that a person wants to read.
    #[must_use]
    pub fn is_measurement(&self) -> bool {
        match self {
            Self::ReadDone { .. }
            | Self::Wrote { .. }
            | Self::RefreshesDone { .. }
            | Self::DockerListed { .. }
            | Self::DockerEvents { .. } => true,
            Self::File { what, .. } => what.is_measurement(),
            _ => false,
        }
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}
