//! `Container`: the few facts of an engine's inspect that services are made of.
//!
//! All that [`crate::docker`] and [`crate::service`] share: the former fills it
//! from whatever JSON an engine sends, the latter reads nothing else.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use litemap::LiteMap;

/// The engine's full identifier of a container: 64 hexadecimal digits on Docker and Podman.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContainerId(Arc<str>);

impl ContainerId {
    /// The first 12 characters, as people and log lines write it.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.char_indices().nth(12).map_or(&self.0, |(end, _)| &self.0[..end])
    }

    /// The whole identifier.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The whole identifier, shared.
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

/// How the environment variables and labels begin that say something of services.
pub const SETTING: &str = "SERVICE_";

/// The label that Swarm gives the containers of its tasks.
const SWARM_TASK: &str = "com.docker.swarm.task.id";

/// The network of a container that has none (`--net=none`).
const NO_NETWORK: &str = "none";

/// One container, as it was when it was last inspected.
#[derive(Clone, Debug, PartialEq)]
pub struct Container {
    /// The engine's identifier.
    pub id: ContainerId,
    /// Its name, without the slash that the engine puts before it.
    pub name: Arc<str>,
    /// The image as it was named at creation: `registry:5000/team/app:1.2` (`Config.Image`).
    pub image: Arc<str>,
    /// The host name inside the container (`Config.Hostname`).
    pub hostname: Arc<str>,
    /// `KEY=value` lines, in the engine's order (`Config.Env`); not every one need have a `=`. A watch tells
    /// only those that are settings.
    pub env: Arc<[String]>,
    /// Labels (`Config.Labels`). A watch tells only those that are settings, hold an address, or tell a Swarm task.
    pub labels: LiteMap<String, String>,
    /// Whose network stack it uses (`HostConfig.NetworkMode`).
    pub network_mode: NetworkMode,
    /// The networks it is attached to, by name, with its addresses there.
    pub networks: LiteMap<String, NetworkAddress>,
    /// Every port it has, ordered by number and protocol, each once.
    ///
    /// The union of `Config.ExposedPorts` and `NetworkSettings.Ports`; for a container that does
    /// not run, whose `NetworkSettings.Ports` is empty, `HostConfig.PortBindings` stands in.
    pub ports: Vec<ContainerPort>,
    /// What it is doing.
    pub state: State,
    /// When its process last started. Tells one life from the next.
    pub started: Moment,
    /// How it is told to stop.
    pub stop: Stop,
    /// When it was created. Orders containers by age.
    pub created: Moment,
    /// The whole inspect result, kept only where tag templates need it.
    pub inspect: Option<Arc<serde_json::Value>>,
}

/// When something happened to a container: nanoseconds since 1970, UTC; the earliest where the engine does not say.
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
    /// The number of the signal that asks it to (`Config.StopSignal`).
    pub signal: u32,
    /// How long it then has before it is killed (`Config.StopTimeout`).
    pub timeout: Duration,
}

impl Default for Stop {
    /// SIGTERM and 10 seconds, as for a container that says nothing else.
    fn default() -> Self {
        Self { signal: 15, timeout: Duration::from_secs(10) }
    }
}

impl Container {
    /// Whether it is on any network now, whatever it was started with.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.networks.keys().any(|network| network != NO_NETWORK)
    }

    /// Whether it is a task of a Swarm service.
    #[must_use]
    pub fn is_swarm_task(&self) -> bool {
        self.labels.contains_key(SWARM_TASK)
    }

    /// Forgets what no service is made of: of environment and labels all but the settings, the label of
    /// this name, and what tells a Swarm task. On a host with ten thousand containers that is most of what they are.
    pub fn forget_what_is_not_ours(&mut self, label: Option<&str>) {
        self.env = self.env.iter().filter(|line| line.starts_with(SETTING)).cloned().collect();
        let ours = |key: &str| key.starts_with(SETTING) || key == SWARM_TASK || Some(key) == label;
        self.labels.retain(|key, _| ours(key));
        self.labels = fitted(std::mem::take(&mut self.labels));
        self.networks = fitted(std::mem::take(&mut self.networks));
        self.ports.iter_mut().for_each(|port| port.bindings.shrink_to_fit());
        self.ports.shrink_to_fit();
    }
}

/// A map in no more room than it takes: most have one entry or none, in room for four.
pub(crate) fn fitted<K, V>(map: LiteMap<K, V>) -> LiteMap<K, V> {
    let mut pairs = map.into_tuple_vec();
    pairs.shrink_to_fit();
    LiteMap::from_sorted_store_unchecked(pairs)
}

/// Whose network stack a container uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NetworkMode {
    /// The host's own (`--net=host`).
    Host,
    /// None at all (`--net=none`).
    None,
    /// That of another container (`--net=container:…`), given by its id or name.
    Container(String),
    /// Its own, on the network of this name; `default` and `bridge` are the engine's bridge.
    Network(String),
}

/// A container's addresses on one network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetworkAddress {
    /// IPv4 address, if it has one.
    pub ipv4: Option<IpAddr>,
    /// Global IPv6 address, if it has one.
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
    /// Named by the image or by `--expose` (`Config.ExposedPorts`).
    pub exposed: bool,
    /// Where the host publishes it, in the engine's order; empty when it does not.
    pub bindings: Vec<Binding>,
}

/// One place on the host where a port is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The host address it listens on; `None` where the engine names none.
    pub ip: Option<IpAddr>,
    /// The host's port; 0 where the engine would choose one at the next start.
    pub port: u16,
}

/// A transport protocol that an engine can publish.
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

    /// Reads the engine's spelling, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Tcp, Self::Udp, Self::Sctp].into_iter().find(|protocol| text.eq_ignore_ascii_case(protocol.as_str()))
    }
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Created and never started.
    Created,
    /// Its process runs, or is paused.
    Running {
        /// Whether it is paused.
        paused: bool,
        /// What its HEALTHCHECK says.
        health: Health,
    },
    /// Its process ended; it may be waiting for its restart policy.
    Exited {
        /// The exit code of its process.
        code: i64,
    },
}

impl State {
    /// Whether its ports can be served.
    #[must_use]
    pub fn is_running(self) -> bool {
        matches!(self, Self::Running { .. })
    }

    /// What its HEALTHCHECK says; nothing where it does not run.
    #[must_use]
    pub fn health(self) -> Health {
        match self {
            Self::Running { health, .. } => health,
            Self::Created | Self::Exited { .. } => Health::None,
        }
    }
}

/// What Docker's HEALTHCHECK says of a container (`State.Health.Status`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It has no HEALTHCHECK.
    #[default]
    None,
    /// Not yet known.
    Starting,
    /// The last probe succeeded.
    Healthy,
    /// Too many probes failed.
    Unhealthy,
}
