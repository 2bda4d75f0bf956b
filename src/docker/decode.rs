//! Decodes an engine's answers about containers into the few facts that we need.
//!
//! Pure and lenient, because engines differ: a field that is null, missing or of an unexpected type counts as absent,
//! and unknown words are accepted. Only an answer without the container's ID is an error. The shapes are those of the
//! Docker Engine API, from 1.24 to 1.52, and of Podman's version of it; `tests/fixtures/engine` has examples.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use chrono::DateTime;
use litemap::LiteMap;
use smallvec::SmallVec;

use crate::container::{
    Binding, Container, ContainerId, ContainerPort, Health, Moment, NetworkAddress, NetworkMode, Protocol, State, Stop,
};
use crate::json::Shape::{self, Each, Members, Whole};
use crate::json::{self, Entry, Limits, List, Sieve, Sifted, Value};

/// The maximum length of an ID; engines use 64 characters.
const LONGEST_ID: usize = 128;

/// The parts of a list's entry that are read.
const LISTED: Shape = Members(&[
    ("Id", Whole),
    ("Names", Whole),
    ("State", Whole),
    ("Status", Whole),
    ("Ports", Whole),
    ("NetworkSettings", Members(&[("Networks", Whole)])),
]);

/// The parts of an inspect result that are read.
const INSPECTED: Shape = Members(&[
    ("Id", Whole),
    ("Name", Whole),
    ("Created", Whole),
    (
        "State",
        Members(&[
            ("Status", Whole),
            ("Running", Whole),
            ("Paused", Whole),
            ("Restarting", Whole),
            ("Dead", Whole),
            ("ExitCode", Whole),
            ("StartedAt", Whole),
            ("Health", Members(&[("Status", Whole)])),
            ("Healthcheck", Members(&[("Status", Whole)])),
        ]),
    ),
    (
        "Config",
        Members(&[
            ("Image", Whole),
            ("Hostname", Whole),
            ("Env", Whole),
            ("Labels", Whole),
            ("ExposedPorts", Each(&Members(&[]))),
            ("StopSignal", Whole),
            ("StopTimeout", Whole),
        ]),
    ),
    ("HostConfig", Members(&[("NetworkMode", Whole), ("PortBindings", Whole)])),
    (
        "NetworkSettings",
        Members(&[
            ("IPAddress", Whole),
            ("GlobalIPv6Address", Whole),
            ("Ports", Whole),
            ("Networks", Each(&Members(&[("NetworkID", Whole), ("IPAddress", Whole), ("GlobalIPv6Address", Whole)]))),
        ]),
    ),
]);

/// All parts of an inspect result, member by member.
const EVERYTHING: Shape = Each(&Whole);

/// Limits for one container. One that exposes every port, in two protocols, takes half.
pub(super) const LARGEST: Limits = Limits { text: 8 << 20, values: 1 << 19 };

/// The maximum number of containers in a list.
const MOST_CONTAINERS: usize = 1 << 18;

/// The maximum accepted stop timeout, in seconds: a day.
const LONGEST_STOP: u64 = 86_400;

/// The length of a short ID, as engines show it. Shorter text is not taken for an ID.
const SHORT_ID: usize = 12;

/// Why an answer cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Malformed {
    /// It is no JSON.
    #[error("the answer is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    /// A required part is missing.
    #[error("the answer has no {0}")]
    Missing(&'static str),
}

/// One entry of a list of containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Which container.
    pub id: ContainerId,
    /// What the list says about it.
    pub said: Said,
}

/// What a list says about a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its names, without their slashes.
    pub names: SmallVec<[Box<str>; 1]>,
    /// Whether it runs or is paused; `None` if the engine does not say.
    pub running: Option<bool>,
    /// A digest of everything in the list that can matter, without what changes by time alone.
    pub digest: u64,
}

impl Said {
    /// Its own name: a name with a slash is a link's (`--link`).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.names.iter().map(|name| &**name).find(|name| !name.contains('/') && !name.is_empty())
    }

    /// Whether both can be the same container at the same time.
    #[must_use]
    pub fn agrees(&self, container: &Container) -> bool {
        self.running.is_none_or(|running| running == container.state.is_running())
            && (self.names.is_empty() || self.names.iter().any(|name| **name == *container.name))
    }
}

/// Parses JSON from any bytes: invalid UTF-8 becomes U+FFFD.
pub(super) fn value(bytes: &[u8]) -> Result<serde_json::Value, Malformed> {
    Ok(serde_json::from_str(&json::text(bytes))?)
}

/// Parses an ID. It becomes part of a URL later, so nothing else is accepted.
pub(super) fn container_id(text: &str) -> Option<ContainerId> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    let good = !text.is_empty() && text.len() <= LONGEST_ID && !text.starts_with('.') && text.bytes().all(plain);
    good.then(|| ContainerId::from(text))
}

/// Decodes the answer to `GET /containers/json`; entries without an ID are left out.
///
/// # Errors
/// When it is not an array.
pub fn list(bytes: &[u8]) -> Result<Vec<Listed>, Malformed> {
    let mut listing = Listing::default();
    listing.push(bytes)?;
    listing.end()
}

/// As above, while the answer arrives.
#[derive(Debug)]
pub(super) struct Listing {
    list: List,
    entries: Vec<Listed>,
}

impl Default for Listing {
    fn default() -> Self {
        Self { list: List::array(&LISTED, LARGEST, MOST_CONTAINERS), entries: Vec::new() }
    }
}

impl Listing {
    /// Takes the next bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        let Self { list, entries } = self;
        list.push(bytes, |Entry { text, .. }| {
            // The beginning of a container that is too large is enough to know that it exists.
            entries.extend(listed(&json::read(&json::text(text), &LISTED)?));
            Ok(())
        })
    }

    /// Takes the end of the answer.
    pub(super) fn end(self) -> Result<Vec<Listed>, Malformed> {
        self.list.end()?;
        Ok(self.entries)
    }
}

fn listed(entry: &Value<'_>) -> Option<Listed> {
    let id = container_id(entry["Id"].as_str()?)?;
    let mut hasher = DefaultHasher::new();
    id.as_str().hash(&mut hasher);
    text(&entry["State"]).hash(&mut hasher);
    // Engines make these lists from maps, so their order is random.
    unordered(&entry["Names"]).hash(&mut hasher);
    unordered(&entry["Ports"]).hash(&mut hasher);
    entry["NetworkSettings"]["Networks"].hash(&mut hasher);
    // `Up 5 minutes (healthy)`, `Exited (137) 2 days ago`: everything but the time is in parentheses.
    for part in text(&entry["Status"]).split('(').skip(1) {
        part.split(')').next().hash(&mut hasher);
    }
    let said = Said {
        names: entry["Names"].elements().iter().map(text).map(without_slash).map(Box::from).collect(),
        running: entry["State"].as_str().map(|state| matches!(state, "running" | "paused")),
        digest: hasher.finish(),
    };
    Some(Listed { id, said })
}

fn without_slash(name: &str) -> &str {
    name.trim_start_matches('/')
}

/// A digest of an array's elements, in any order.
fn unordered(array: &Value<'_>) -> u64 {
    let digest = |element: &Value| {
        let mut hasher = DefaultHasher::new();
        element.hash(&mut hasher);
        hasher.finish()
    };
    array.elements().iter().map(digest).fold(0, u64::wrapping_add)
}

/// Reduces a large answer to `GET /containers/{id}/json` to the parts that [`inspect`] reads; with `keep`, to
/// everything.
pub(super) fn sieve(keep: bool) -> Sieve {
    Sieve::new(if keep { &EVERYTHING } else { &INSPECTED }, LARGEST)
}

/// The name of a container whose description is too large, if the name was before the limit.
pub(super) fn name(sifted: &Sifted) -> String {
    let text = json::text(&sifted.text);
    let said = json::read(&text, &INSPECTED).unwrap_or_default();
    without_slash(said["Name"].as_str().unwrap_or_default()).to_owned()
}

/// Decodes the answer to `GET /containers/{id}/json`; `None` for a container that is being removed, or whose removal
/// failed.
///
/// With `keep`, the whole answer is kept with the container.
///
/// # Errors
/// When it is not about a container, or does not contain its state.
pub fn inspect(bytes: &[u8], keep: bool) -> Result<Option<Container>, Malformed> {
    let whole = json::text(bytes);
    let said = json::read(&whole, &INSPECTED)?;
    let id = container_id(text(&said["Id"])).ok_or(Malformed::Missing("Id"))?;
    let Some(state) = state(&said["State"])? else { return Ok(None) };
    let config = &said["Config"];
    let mut container = Container {
        id,
        name: without_slash(text(&said["Name"])).into(),
        image: text(&config["Image"]).into(),
        hostname: text(&config["Hostname"]).into(),
        env: config["Env"].elements().iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        labels: config["Labels"]
            .members()
            .iter()
            .filter_map(|(key, value)| Some((key.clone().into_owned(), value.as_str()?.to_owned())))
            .collect(),
        network_mode: by_name(network_mode(text(&said["HostConfig"]["NetworkMode"])), &said["NetworkSettings"]),
        networks: networks(&said["NetworkSettings"]),
        ports: ports(&said, state),
        state,
        created: moment(text(&said["Created"])),
        started: moment(text(&said["State"]["StartedAt"])),
        stop: stop(config),
        inspect: None,
    };
    if keep {
        container.inspect = Some(Arc::new(serde_json::from_str(&whole)?));
    }
    Ok(Some(container))
}

/// Parses a time: RFC 3339, or Podman's format before 4, `2021-03-04 05:06:07.08 +0100 CET`.
fn moment(text: &str) -> Moment {
    let spelled = DateTime::parse_from_rfc3339(text)
        .or_else(|_| DateTime::parse_and_remainder(text, "%Y-%m-%d %H:%M:%S%.f %z").map(|(time, _)| time));
    // The year 1 is Go's "never", and out of the range of nanoseconds.
    spelled.ok().and_then(|time| time.timestamp_nanos_opt()).map_or_else(Moment::default, Moment)
}

fn stop(config: &Value<'_>) -> Stop {
    let unless_said = Stop::default();
    // -1 means to wait for ever. The longest timeout is as good.
    let timeout = config["StopTimeout"].as_i64().map(|seconds| u64::try_from(seconds).unwrap_or(u64::MAX));
    Stop {
        signal: signal(text(&config["StopSignal"])).unwrap_or(unless_said.signal),
        timeout: timeout.map_or(unless_said.timeout, |seconds| Duration::from_secs(seconds.min(LONGEST_STOP))),
    }
}

/// The number of a signal given as `15`, `SIGTERM`, `term` or `SIGRTMIN+3`.
pub(super) fn signal(text: &str) -> Option<u32> {
    if let Ok(number) = text.parse::<u32>() {
        return (1..=64).contains(&number).then_some(number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    // The kernel's signals, from 1 on (signal(7)).
    const NAMES: [&str; 31] = [
        "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];
    if let Some(index) = NAMES.iter().position(|known| *known == name) {
        return u32::try_from(index + 1).ok();
    }
    let offset =
        |text: &str, sign| if text.is_empty() { Some(0) } else { text.strip_prefix(sign)?.parse::<u32>().ok() };
    let number = if let Some(rest) = name.strip_prefix("RTMIN") {
        // As engines number them; the first two belong to the C library.
        34_u32.checked_add(offset(rest, '+')?)?
    } else {
        64_u32.checked_sub(offset(name.strip_prefix("RTMAX")?, '-')?)?
    };
    (34..=64).contains(&number).then_some(number)
}

/// Its state; `None` if it is being removed.
fn state(said: &Value<'_>) -> Result<Option<State>, Malformed> {
    let status = text(&said["Status"]);
    if said["Running"].is_null() && status.is_empty() {
        return Err(Malformed::Missing("State"));
    }
    let flag = |name: &str| said[name].as_bool();
    let restarting = flag("Restarting").unwrap_or(status == "restarting");
    // A restarting container counts as running between two runs of its process.
    if flag("Running").unwrap_or(matches!(status, "running" | "paused")) && !restarting {
        let paused = flag("Paused").unwrap_or(status == "paused");
        return Ok(Some(State::Running { paused, health: health(said) }));
    }
    Ok(match status {
        "removing" | "dead" => None,
        _ if flag("Dead") == Some(true) => None,
        // The last two are Podman's.
        "created" | "configured" | "initialized" => Some(State::Created),
        _ => Some(State::Exited { code: said["ExitCode"].as_i64().unwrap_or_default() }),
    })
}

fn health(state: &Value<'_>) -> Health {
    // Podman before 4 named it `Healthcheck`.
    let said = [&state["Health"]["Status"], &state["Healthcheck"]["Status"]].into_iter().find_map(Value::as_str);
    match said.unwrap_or_default() {
        "starting" => Health::Starting,
        "healthy" => Health::Healthy,
        "unhealthy" => Health::Unhealthy,
        _ => Health::None,
    }
}

fn network_mode(text: &str) -> NetworkMode {
    match (text, text.strip_prefix("container:")) {
        ("host", _) => NetworkMode::Host,
        ("none", _) => NetworkMode::None,
        ("", _) => NetworkMode::Network("default".to_owned()),
        (_, Some(other)) => NetworkMode::Container(other.to_owned()),
        (name, None) => NetworkMode::Network(name.to_owned()),
    }
}

/// The same mode with the name of its network, where the engine repeats the ID that the container was started with.
fn by_name(mode: NetworkMode, settings: &Value<'_>) -> NetworkMode {
    let NetworkMode::Network(given) = &mode else { return mode };
    let is_id = given.len() >= SHORT_ID && given.bytes().all(|byte| byte.is_ascii_hexdigit());
    let networks = settings["Networks"].members();
    if !is_id || networks.iter().any(|(name, _)| **name == **given) {
        return mode;
    }
    let meant = networks.iter().find(|(_, network)| text(&network["NetworkID"]).starts_with(given.as_str()));
    meant.map_or_else(|| mode.clone(), |(name, _)| NetworkMode::Network(name.clone().into_owned()))
}

fn networks(settings: &Value<'_>) -> LiteMap<String, NetworkAddress> {
    let named = settings["Networks"].members().iter();
    let networks: LiteMap<_, _> =
        named.map(|(name, network)| (name.clone().into_owned(), addresses(network))).collect();
    let bridge = addresses(settings);
    // Engines before 1.9, and Podman before 3.1, have no map of networks.
    if networks.is_empty() && bridge.preferred().is_some() {
        return LiteMap::from_iter([("bridge".to_owned(), bridge)]);
    }
    networks
}

fn addresses(network: &Value<'_>) -> NetworkAddress {
    NetworkAddress {
        ipv4: text(&network["IPAddress"]).parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        ipv6: text(&network["GlobalIPv6Address"]).parse::<Ipv6Addr>().ok().map(IpAddr::V6),
    }
}

fn ports(said: &Value<'_>, state: State) -> Vec<ContainerPort> {
    let mut published = &said["NetworkSettings"]["Ports"];
    if !state.is_running() && published.members().is_empty() {
        published = &said["HostConfig"]["PortBindings"];
    }
    let mut ports = BTreeMap::new();
    for (key, _) in said["Config"]["ExposedPorts"].members() {
        if let Some(port) = entry(&mut ports, key) {
            port.exposed = true;
        }
    }
    for (key, bindings) in published.members() {
        if let Some(port) = entry(&mut ports, key) {
            port.bindings.extend(bindings.elements().iter().filter_map(binding));
        }
    }
    ports.into_values().collect()
}

/// The port in a key such as `80/tcp`, or `80`, which means tcp.
fn entry<'a>(ports: &'a mut BTreeMap<(u16, Protocol), ContainerPort>, key: &str) -> Option<&'a mut ContainerPort> {
    let (number, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
    let number = number.parse().ok().filter(|number| *number != 0)?;
    let protocol = Protocol::parse(protocol)?;
    let port = ContainerPort { number, protocol, exposed: false, bindings: Vec::new() };
    Some(ports.entry((number, protocol)).or_insert(port))
}

fn binding(said: &Value<'_>) -> Option<Binding> {
    let Value::Object(_) = said else { return None };
    let port = match &said["HostPort"] {
        Value::Text(text) if text.is_empty() => 0,
        // A port of a range, of which the engine will choose one.
        Value::Text(text) if text.contains('-') => 0,
        Value::Text(text) => text.parse().ok()?,
        Value::Number(number) => number.as_u64()?.try_into().ok()?,
        Value::Null => 0,
        _ => return None,
    };
    Some(Binding { ip: text(&said["HostIp"]).trim_matches(['[', ']']).parse().ok(), port })
}

fn text<'a>(value: &'a Value<'_>) -> &'a str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests;
