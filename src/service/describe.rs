//! Describe: a container and a policy make services, and a reason for each port that is none.
//!
//! The one door of this room. Everything that a container says of itself is judged here and behind
//! here; what comes out is fit to be written, and whatever could not be taken as it is has a note.

use std::borrow::Borrow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use litemap::LiteMap;

use crate::config::ServiceConfig;
use crate::container::{Container, ContainerPort, NetworkMode, Protocol, fitted};

use super::address::{Question, Stack};
use super::metadata::{Metadata, PortMetadata, Setting, split_tags};
use super::notes::{Notes, quote};
use super::ports::{self, Reach};
use super::{AddressOf, Check, Origin, Service};

pub use super::address::{AddressReason, Neighbours, Unreachable};

/// No name or id is longer, in bytes; what is, is not meant as one.
const LONGEST_NAME: usize = 512;

/// How many digits of an image's id stand for its name; as many as Docker shows.
const SHORT_IMAGE_ID: usize = 12;

/// What a container offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Its services, ordered by exposed port and protocol.
    pub services: Vec<Described>,
    /// Why there are no more.
    pub ignored: Vec<Ignored>,
    /// One line each on metadata that could not be taken as it is. Safe to print.
    pub notes: Vec<String>,
}

/// A service, and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The service. While its container does not run, its port may be 0 and its address empty.
    pub service: Service,
    /// Why it has that address.
    pub address_reason: AddressReason,
}

/// Why a port, or a whole container, is no service. Displays as what follows `ignored: <12> `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// The container has no port at all.
    NoPorts,
    /// This port has no place on the host.
    NotPublished(u16),
    /// `SERVICE_IGNORE` says so, for this port.
    Asked(u16),
    /// `-explicit`, and this port has no name.
    Unnamed(u16),
    /// The engine has not yet said where on the host this port is.
    NoHostPort(u16),
    /// Its address is not known.
    Unreachable(Unreachable),
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPorts => f.write_str("no published ports"),
            Self::NotPublished(port) => write!(f, "port {port} not published on host"),
            Self::Asked(port) => write!(f, "service on port {port}"),
            Self::Unnamed(port) => {
                write!(f, "service on port {port} has neither SERVICE_NAME nor SERVICE_{port}_NAME (-explicit)")
            }
            Self::NoHostPort(port) => write!(f, "port {port} is published on port 0"),
            Self::Unreachable(reason) => reason.fmt(f),
        }
    }
}

/// Describes a container: its services, the reasons for ports that are none, and notes.
///
/// `forced_tags` are those of `-tags` for this container, `host_address` is what the host's name
/// resolves to (or what was found in its place; may be empty). Never fails: whatever a container says
/// concerns its own services alone.
///
/// A container that does not run is described as far as its IDs go: what is known only while it runs
/// (a published port, an address) is left 0 or empty.
pub fn describe(
    container: &Container,
    forced_tags: &[String],
    config: &ServiceConfig,
    host_address: &str,
    neighbours: &dyn Neighbours,
) -> Description {
    let ports = ports::reachable(container, config.internal);
    if ports.is_empty() {
        return nothing(Ignored::NoPorts);
    }
    if container.network_mode == NetworkMode::None {
        return nothing(Ignored::Unreachable(Unreachable::NoNetwork));
    }
    let metadata = Metadata::read(&container.env, &container.labels);
    let mut scribe = Scribe {
        container,
        config,
        forced_tags,
        host_address,
        stack: Stack::of(container, neighbours),
        several: ports.iter().filter(|(_, reach)| *reach != Reach::Unpublished).count() > 1,
        shared: Shared::default(),
        notes: Notes::default(),
    };
    let mut description = Description::default();
    for (port, reach) in ports {
        match scribe.port(port, reach, metadata.port(port.number)) {
            Ok(described) => description.services.push(described),
            Err(reason) if description.ignored.contains(&reason) => {}
            Err(reason) => description.ignored.push(reason),
        }
    }
    description.notes = scribe.notes.into_lines();
    description
}

fn nothing(reason: Ignored) -> Description {
    Description { ignored: vec![reason], ..Description::default() }
}

/// Describes the ports of one container.
struct Scribe<'a> {
    container: &'a Container,
    config: &'a ServiceConfig,
    forced_tags: &'a [String],
    host_address: &'a str,
    stack: Result<Stack, Unreachable>,
    /// Whether more than one port is registered, so that names need the port.
    several: bool,
    shared: Shared,
    notes: Notes,
}

/// What the service before this one was told to have, which most have in common with it.
#[derive(Default)]
struct Shared {
    address: Arc<str>,
    tags: Arc<[String]>,
    attributes: Arc<LiteMap<String, String>>,
}

impl Scribe<'_> {
    fn port(&mut self, port: &ContainerPort, reach: Reach, metadata: PortMetadata<'_>) -> Result<Described, Ignored> {
        let published = match reach {
            Reach::Exposed => port.number,
            Reach::Published { port, .. } => port,
            Reach::Unpublished => return Err(Ignored::NotPublished(port.number)),
        };
        if metadata.get("ignore").is_some() {
            return Err(Ignored::Asked(port.number));
        }
        let name = self.name(port.number, metadata)?;
        let (address, address_reason) = self.address(reach, metadata)?;
        let service_port = self.replacement_port(metadata).unwrap_or(published);
        if service_port == 0 && self.container.state.is_running() {
            return Err(Ignored::NoHostPort(port.number));
        }
        // Checks connect over TCP: the same number in another protocol is another's.
        let hosts_port = service_port == published && port.protocol == Protocol::Tcp;
        let address_of = self.address_of(&address, &address_reason, reach, hosts_port);
        let check = Check::wanted(metadata, &address, service_port, &mut self.notes);
        let tags = self.tags(port.protocol, metadata);
        let (id, claimed) = self.id(port, metadata);
        let service = Service {
            id: id.into(),
            name,
            address: shared(&mut self.shared.address, address),
            port: service_port,
            protocol: port.protocol,
            tags: shared(&mut self.shared.tags, tags),
            attributes: shared(&mut self.shared.attributes, fitted(metadata.attributes())),
            ttl: self.config.ttl,
            check: check.map(Box::new),
            health: self.container.state.health(),
            origin: Origin {
                container: self.container.id.clone(),
                created: self.container.created,
                started: self.container.started,
                claimed,
                address_of,
                hostname: self.container.hostname.clone(),
                exposed_port: port.number,
            },
        };
        Ok(Described { service, address_reason })
    }

    fn name(&mut self, port: u16, metadata: PortMetadata<'_>) -> Result<String, Ignored> {
        let name = match self.word(metadata.get("name"), "a name") {
            Some(Setting { value, specific: true, .. }) => return Ok(value.to_owned()),
            Some(Setting { value, .. }) => value.to_owned(),
            None if self.config.explicit => return Err(Ignored::Unnamed(port)),
            None => base_of_image(&self.container.image).unwrap_or_else(|| name_of(self.container)),
        };
        Ok(if self.several { format!("{name}-{port}") } else { name })
    }

    /// The id, and whether the container claims it.
    fn id(&mut self, port: &ContainerPort, metadata: PortMetadata<'_>) -> (String, bool) {
        if let Some(Setting { value, .. }) = self.word(metadata.get("id"), "an id") {
            return (value.to_owned(), true);
        }
        let suffix = match port.protocol {
            Protocol::Tcp => "",
            Protocol::Udp => ":udp",
            Protocol::Sctp => ":sctp",
        };
        (format!("{}:{}:{}{suffix}", self.config.hostname, name_of(self.container), port.number), false)
    }

    /// The setting, if it can be a name or an id: on one line, and not a book.
    fn word<'m>(&mut self, setting: Option<Setting<'m>>, what: &str) -> Option<Setting<'m>> {
        let setting = setting?;
        if setting.value.len() <= LONGEST_NAME && !setting.value.contains(char::is_control) {
            return Some(setting);
        }
        let Setting { variable, value, .. } = setting;
        self.notes.add(format!("{variable}={} cannot be {what}; the usual one is registered", quote(value)));
        None
    }

    fn address(&mut self, reach: Reach, metadata: PortMetadata<'_>) -> Result<(String, AddressReason), Ignored> {
        let Self { container, config, host_address, ref stack, .. } = *self;
        let answer = Question { container, stack, metadata, reach, config, host_address }.answer(&mut self.notes);
        match answer {
            Err(_) if !container.state.is_running() => Ok((String::new(), AddressReason::NotRunning)),
            answer => answer.map_err(Ignored::Unreachable),
        }
    }

    /// Whether an address leads to the container, or wherever its metadata says; `hosts_port` where the host
    /// leads TCP at that port to the container.
    fn address_of(&self, address: &str, reason: &AddressReason, reach: Reach, hosts_port: bool) -> AddressOf {
        let own = match reason {
            AddressReason::Metadata(_) | AddressReason::Label(_) => {
                self.is_own_address(address) || (hosts_port && self.is_published_at(address, reach))
            }
            // Every port of that address is the container's.
            AddressReason::Shared { .. } | AddressReason::Internal(_) => true,
            // Other ports of this host are others'.
            AddressReason::Forced | AddressReason::Binding | AddressReason::Host => hosts_port,
            AddressReason::NotRunning => false,
        };
        if own { AddressOf::Container } else { AddressOf::Metadata }
    }

    /// Whether the container has this address on one of its networks.
    fn is_own_address(&self, address: &str) -> bool {
        let whose = match &self.stack {
            Ok(Stack::Own) => self.container,
            Ok(Stack::Shared(other)) => other,
            Ok(Stack::Host) | Err(_) => return false,
        };
        let ip = address.parse().ok();
        ip.is_some() && whose.networks.values().any(|on| on.ipv4 == ip || on.ipv6 == ip)
    }

    /// Whether the port of the service leads to the container at this address of the host.
    fn is_published_at(&self, address: &str, reach: Reach) -> bool {
        let ip = address.parse::<IpAddr>().ok();
        let host = || {
            let named = self.config.ip.as_deref() == Some(address) || self.host_address == address;
            named || ip.is_some_and(|ip| ip.is_loopback())
        };
        match reach {
            Reach::Published { ip: Some(only), .. } => ip == Some(only),
            Reach::Published { ip: None, .. } => host(),
            Reach::Exposed => self.stack == Ok(Stack::Host) && host(),
            Reach::Unpublished => false,
        }
    }

    fn replacement_port(&mut self, metadata: PortMetadata<'_>) -> Option<u16> {
        let Setting { variable, value, .. } = metadata.get("port")?;
        let port = value.parse().ok().filter(|&port| port != 0);
        if port.is_none() {
            let value = quote(value);
            self.notes.add(format!("{variable}={value} is no port from 1 to 65535; the usual one is registered"));
        }
        port
    }

    fn tags(&self, protocol: Protocol, metadata: PortMetadata<'_>) -> Vec<String> {
        let mut tags = split_tags(metadata.value("tags").unwrap_or_default());
        tags.extend_from_slice(self.forced_tags);
        if protocol != Protocol::Tcp {
            tags.push(protocol.as_str().to_owned());
        }
        tags
    }
}

/// What is the same as before is not kept twice.
fn shared<T, N>(before: &mut Arc<T>, now: N) -> Arc<T>
where
    T: PartialEq + ?Sized,
    N: Borrow<T>,
    Arc<T>: From<N>,
{
    if **before != *now.borrow() {
        *before = now.into();
    }
    Arc::clone(before)
}

/// What stands in an image's name behind the last slash, without tag and digest. An image that is
/// known by its id alone is called by the beginning of that.
fn base_of_image(image: &str) -> Option<String> {
    if let Some(id) = image.strip_prefix("sha256:") {
        return Some(printable(id).chars().take(SHORT_IMAGE_ID).collect()).filter(|id: &String| !id.is_empty());
    }
    let named = image.split('@').next()?;
    let base = named.trim_end_matches('/').rsplit('/').next()?;
    let base = printable(base.split(':').next()?);
    (!base.is_empty() && base.len() <= LONGEST_NAME).then_some(base)
}

/// What a container is called in an ID: its name, or its id where an engine names none.
fn name_of(container: &Container) -> String {
    let name = printable(&container.name);
    if name.is_empty() { printable(container.id.short()) } else { name }
}

/// The text without what could end a line.
fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

#[cfg(test)]
mod tests;
