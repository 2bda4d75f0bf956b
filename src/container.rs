//! `Container`: the facts of an engine's inspect result that services are made of.
//!
//! The interface between [`crate::docker`] and [`crate::service`]: the former fills it from the engine's JSON, the
//! latter reads nothing else.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use litemap::LiteMap;

/// The engine's full ID of a container: 64 hexadecimal digits on Docker and Podman.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerId(Arc<str>);

impl ContainerId {
    /// The first 12 characters, as people and log lines write them.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.char_indices().nth(12).map_or(&self.0, |(end, _)| &self.0[..end])
    }

    /// The whole ID.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole ID, shared.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl From<&str> for ContainerId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

/// The prefix of the environment variables and labels that describe services.
pub const SETTING: &str = "SERVICE_";

/// The labels that Compose sets: the project, and the service in it.
pub const COMPOSE: [&str; 2] = ["com.docker.compose.project", "com.docker.compose.service"];

/// The prefixes of the labels that are for Traefik: its own, and those of traefik-kop.
const TRAEFIK: [&str; 2] = ["traefik.", "kop."];

/// The label that Swarm sets on the containers of its tasks.
const SWARM_TASK: &str = "com.docker.swarm.task.id";

/// The network mode of a container without a network (`--net=none`).
const NO_NETWORK: &str = "none";

/// One container, as last inspected.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    /// The engine's ID.
    pub id: ContainerId,
    /// Its name, without the slash that the engine prepends.
    pub name: Arc<str>,
    /// The image as named at creation: `registry:5000/team/app:1.2` (`Config.Image`).
    pub image: Arc<str>,
    /// The host name inside the container (`Config.Hostname`).
    pub hostname: Arc<str>,
    /// `KEY=value` lines, in the engine's order (`Config.Env`); some may have no `=`. A watch keeps only settings.
    pub env: Arc<[String]>,
    /// Labels (`Config.Labels`). A watch keeps only settings, addresses, and what is for Traefik, Swarm and Compose.
    pub labels: LiteMap<String, String>,
    /// Whose network namespace it uses (`HostConfig.NetworkMode`).
    pub network_mode: NetworkMode,
    /// The networks it is attached to, by name, with its addresses on them.
    pub networks: LiteMap<String, NetworkAddress>,
    /// All its ports, each once, ordered by number and protocol.
    ///
    /// The union of `Config.ExposedPorts` and `NetworkSettings.Ports`. A container that does not run has no
    /// `NetworkSettings.Ports`; then `HostConfig.PortBindings` is used.
    pub ports: Vec<ContainerPort>,
    /// What it is doing.
    pub state: State,
    /// When its process last started. Distinguishes one run of it from the next.
    pub started: Moment,
    /// How it is told to stop.
    pub stop: Stop,
    /// When it was created. Orders containers by age.
    pub created: Moment,
    /// The whole inspect result, kept only if tag templates need it.
    pub inspect: Option<Arc<serde_json::Value>>,
}

/// The time of something that happened to a container: nanoseconds since 1970, UTC; the earliest value if the engine
/// does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(pub i64);

impl Default for Moment {
    fn default() -> Self {
        Self(i64::MIN)
    }
}

/// How a container is told to stop (`docker stop`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stop {
    /// The number of the stop signal (`Config.StopSignal`).
    pub signal: u32,
    /// How long it then has until it is killed (`Config.StopTimeout`).
    pub timeout: Duration,
}

impl Default for Stop {
    /// SIGTERM and 10 seconds, the defaults.
    fn default() -> Self {
        Self { signal: 15, timeout: Duration::from_secs(10) }
    }
}

impl Container {
    /// Whether it is attached to a network now, whatever its network mode.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.networks.keys().any(|network| network != NO_NETWORK)
    }

    /// Whether it is a task of a Swarm service.
    #[must_use]
    pub fn is_swarm_task(&self) -> bool {
        self.labels.contains_key(SWARM_TASK)
    }

    /// Drops what no service is made of: all environment variables and labels but the settings, the label with this
    /// name, those for Traefik, and those that Swarm and Compose set. On a host with ten thousand containers, that is most of the memory.
    pub fn forget_what_is_not_ours(&mut self, label: Option<&str>) {
        self.env = self.env.iter().filter(|line| line.starts_with(SETTING)).cloned().collect();
        let for_traefik = |key: &str| {
            TRAEFIK.iter().any(|prefix| key.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)))
        };
        let ours = |key: &str| {
            key.starts_with(SETTING)
                || key == SWARM_TASK
                || Some(key) == label
                || COMPOSE.contains(&key)
                || for_traefik(key)
        };
        self.labels.retain(|key, _| ours(key));
        self.labels = fitted(std::mem::take(&mut self.labels));
        self.networks = fitted(std::mem::take(&mut self.networks));
        self.ports.iter_mut().for_each(|port| port.bindings.shrink_to_fit());
        self.ports.shrink_to_fit();
    }
}

/// Shrinks a map to its size: most have one entry or none, and room for four.
pub(crate) fn fitted<K, V>(map: LiteMap<K, V>) -> LiteMap<K, V> {
    let mut pairs = map.into_tuple_vec();
    pairs.shrink_to_fit();
    LiteMap::from_sorted_store_unchecked(pairs)
}

/// Whose network namespace a container uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkMode {
    /// The host's own (`--net=host`).
    Host,
    /// No network (`--net=none`).
    None,
    /// Another container's (`--net=container:…`), given by its ID or name.
    Container(String),
    /// Its own, on the network with this name; `default` and `bridge` are the engine's bridge.
    Network(String),
}

/// A container's addresses on one network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkAddress {
    /// Its IPv4 address, if any.
    pub ipv4: Option<IpAddr>,
    /// Its global IPv6 address, if any.
    pub ipv6: Option<IpAddr>,
}

impl NetworkAddress {
    /// The address to use: IPv4 before IPv6.
    #[must_use]
    pub fn preferred(&self) -> Option<IpAddr> {
        self.ipv4.or(self.ipv6)
    }
}

/// A port of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort {
    /// Its number inside the container.
    pub number: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// Whether the image or `--expose` names it (`Config.ExposedPorts`).
    pub exposed: bool,
    /// The host bindings, in the engine's order; empty if it is not published.
    pub bindings: Vec<Binding>,
}

/// A host binding: one address and port of the host where a port is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The host address; `None` if the engine names none.
    pub ip: Option<IpAddr>,
    /// The host port; 0 if the engine chooses one at the next start.
    pub port: u16,
}

/// A transport protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// `tcp`, the default.
    Tcp,
    /// `udp`.
    Udp,
    /// `sctp`.
    Sctp,
}

impl Protocol {
    /// The engine's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }

    /// Parses the engine's spelling, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|protocol| text.eq_ignore_ascii_case(protocol.as_str()))
    }
}

/// The state of a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Created, never started.
    Created,
    /// Its process runs or is paused.
    Running {
        /// Whether it is paused.
        paused: bool,
        /// The result of its HEALTHCHECK.
        health: Health,
    },
    /// Its process ended; it may be waiting for a restart.
    Exited {
        /// The exit code of its process.
        code: i64,
    },
}

impl State {
    /// Whether its ports can serve.
    #[must_use]
    pub fn is_running(self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// The result of its HEALTHCHECK; none if it does not run.
    #[must_use]
    pub fn health(self) -> Health {
        match self {
            Self::Running { health, .. } => health,
            Self::Created | Self::Exited { .. } => Health::None,
        }
    }
}

/// The result of a container's HEALTHCHECK (`State.Health.Status`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It has no HEALTHCHECK.
    #[default]
    None,
    /// Not yet known.
    Starting,
    /// The last probe succeeded.
    Healthy,
    /// Too many probes in a row failed.
    Unhealthy,
}
