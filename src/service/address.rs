//! Address: which address a service is reached at, and why that one.
//!
//! The rules, of which the first that applies wins: `SERVICE_IP`; the container whose network it
//! shares; `-useIpFromLabel`; `-internal`; `-ip`; the binding's own address; the host's address. So
//! the host's port goes with the host's address, and the exposed port with the container's.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::config::ServiceConfig;
use crate::container::{Container, NetworkMode};

use super::metadata::{PortMetadata, Setting};
use super::notes::{Notes, quote};
use super::ports::Reach;

/// How long a chain of containers that share a network may be.
const LONGEST_CHAIN: usize = 32;

/// The other containers of the engine.
pub trait Neighbours {
    /// The container of this id, id prefix or name.
    fn find(&self, reference: &str) -> Option<Arc<Container>>;
}

/// Whose network stack a container uses in the end.
#[derive(Clone, Debug, PartialEq)]
pub enum Stack {
    /// Its own.
    Own,
    /// That of another container (`--net=container:…`), at the end of the chain.
    Shared(Arc<Container>),
    /// The host's, by itself or at the end of a chain.
    Host,
}

impl Stack {
    /// Follows `--net=container:…` to its end.
    ///
    /// # Errors
    /// When there is no network at the end, or no end.
    pub fn of(container: &Container, neighbours: &dyn Neighbours) -> Result<Self, Unreachable> {
        let mut end: Option<Arc<Container>> = None;
        for _ in 0..LONGEST_CHAIN {
            let reference = match &end.as_deref().unwrap_or(container).network_mode {
                NetworkMode::Network(_) => return Ok(end.map_or(Self::Own, Self::Shared)),
                NetworkMode::Host => return Ok(Self::Host),
                NetworkMode::None => return Err(Unreachable::NoNetwork),
                NetworkMode::Container(reference) => reference,
            };
            let next = neighbours.find(reference).ok_or_else(|| Unreachable::SharedMissing(reference.clone()))?;
            if !next.state.is_running() {
                return Err(Unreachable::SharedStopped(next.name.clone()));
            }
            end = Some(next);
        }
        Err(Unreachable::SharedEndlessly)
    }
}

/// Why no address is known. Displays as what follows `ignored: <12> `.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unreachable {
    /// `--net=none`, by itself or at the end of a chain.
    NoNetwork,
    /// The container whose network it shares is not there.
    SharedMissing(String),
    /// The container of this name, whose network it shares, does not run.
    SharedStopped(String),
    /// The chain of containers that share their network has no end, or a very far one.
    SharedEndlessly,
    /// The container whose own address is to be registered has none.
    NoContainerAddress,
    /// This host's address is needed and not known.
    NoHostAddress,
}

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNetwork => f.write_str("no network (--net=none)"),
            Self::SharedMissing(reference) => {
                write!(f, "shares the network of container {}, which is not there", quote(reference))
            }
            Self::SharedStopped(name) => {
                write!(f, "shares the network of container {}, which does not run", quote(name))
            }
            Self::SharedEndlessly => f.write_str("shares a network through a chain of containers without an end"),
            Self::NoContainerAddress => f.write_str("no address on any network"),
            Self::NoHostAddress => f.write_str("the address of this host is not known; -ip sets it"),
        }
    }
}

/// Why a service has the address that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressReason {
    /// `SERVICE_IP` says so; holds the variable's whole name.
    Metadata(String),
    /// Its network is that of another container.
    Shared {
        /// The other container's name.
        container: String,
        /// The network that the address is on.
        network: String,
    },
    /// `-useIpFromLabel`; holds the label.
    Label(String),
    /// `-internal`; holds the network that the address is on.
    Internal(String),
    /// `-ip`.
    Forced,
    /// The host publishes the port on this address alone.
    Binding,
    /// The address of this host.
    Host,
    /// None is known, because the container does not run; the address is empty.
    NotRunning,
}

impl fmt::Display for AddressReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata(variable) => write!(f, "{variable} says so"),
            Self::Shared { container, network } => {
                write!(f, "the address on network {} of container {}", quote(network), quote(container))?;
                f.write_str(", whose network it shares")
            }
            Self::Label(label) => write!(f, "label {} says so (-useIpFromLabel)", quote(label)),
            Self::Internal(network) => write!(f, "its own address on network {} (-internal)", quote(network)),
            Self::Forced => f.write_str("-ip says so"),
            Self::Binding => f.write_str("the address of this host that the port is published on"),
            Self::Host => f.write_str("the address of this host"),
            Self::NotRunning => f.write_str("not known while the container does not run"),
        }
    }
}

/// What the rules look at, for one port.
pub struct Question<'a> {
    /// The container.
    pub container: &'a Container,
    /// Whose network it uses.
    pub stack: &'a Result<Stack, Unreachable>,
    /// What it says of the port.
    pub metadata: PortMetadata<'a>,
    /// How the port is reached.
    pub reach: Reach,
    /// The policy.
    pub config: &'a ServiceConfig,
    /// What the host's name resolves to, or what was found in its place; may be empty.
    pub host_address: &'a str,
}

impl Question<'_> {
    /// The address, by the first rule that applies, and that rule.
    ///
    /// # Errors
    /// When the rule that applies knows none.
    pub fn answer(&self, notes: &mut Notes) -> Result<(String, AddressReason), Unreachable> {
        if let Some(answer) = self.by_metadata(notes) {
            return Ok(answer);
        }
        let stack = self.stack.as_ref().map_err(Clone::clone)?;
        if let Stack::Shared(other) = stack {
            let (network, address) = self.own_address(other, notes).ok_or(Unreachable::NoContainerAddress)?;
            return Ok((address.to_string(), AddressReason::Shared { container: other.name.clone(), network }));
        }
        if let Some(answer) = self.by_label(notes) {
            return Ok(answer);
        }
        if self.config.internal && *stack == Stack::Own {
            let (network, address) = self.own_address(self.container, notes).ok_or(Unreachable::NoContainerAddress)?;
            return Ok((address.to_string(), AddressReason::Internal(network)));
        }
        if let Some(ip) = &self.config.ip {
            return Ok((ip.clone(), AddressReason::Forced));
        }
        if let Reach::Published { ip: Some(ip), .. } = self.reach {
            return Ok((ip.to_string(), AddressReason::Binding));
        }
        if self.host_address.is_empty() {
            return Err(Unreachable::NoHostAddress);
        }
        Ok((self.host_address.to_owned(), AddressReason::Host))
    }

    fn by_metadata(&self, notes: &mut Notes) -> Option<(String, AddressReason)> {
        let Setting { variable, value, .. } = self.metadata.get("ip")?;
        if is_address(value) {
            return Some((value.to_owned(), AddressReason::Metadata(variable)));
        }
        notes.add(format!("{variable}={} is no address; the usual one is registered", quote(value)));
        None
    }

    fn by_label(&self, notes: &mut Notes) -> Option<(String, AddressReason)> {
        let label = self.config.ip_label.as_ref()?;
        let value = self.container.labels.get(label).map_or("", String::as_str);
        let address = value.rsplit_once('/').map_or(value, |(address, _mask)| address);
        if is_address(address) {
            return Some((address.to_owned(), AddressReason::Label(label.clone())));
        }
        let fault = if value.is_empty() { "not set".to_owned() } else { format!("no address: {}", quote(value)) };
        notes.add(format!("label {} is {fault}; the usual address is registered", quote(label)));
        None
    }

    /// A container's own address and the network that it is on: that of `SERVICE_NETWORK`, else the one
    /// it was started on, else the first by name.
    fn own_address(&self, whose: &Container, notes: &mut Notes) -> Option<(String, IpAddr)> {
        let on = |network: &str| Some((network.to_owned(), whose.networks.get(network)?.preferred()?));
        if let Some(Setting { variable, value, .. }) = self.metadata.get("network") {
            if let Some(found) = on(value) {
                return Some(found);
            }
            notes.add(format!("{variable}={} is no network that it has an address on", quote(value)));
        }
        let started_on = match &whose.network_mode {
            NetworkMode::Network(name) if name == "default" => on("bridge"),
            NetworkMode::Network(name) => on(name),
            _ => None,
        };
        started_on.or_else(|| whose.networks.keys().find_map(|network| on(network)))
    }
}

/// Whether this can be written where an address stands; names count, as some readers resolve them.
fn is_address(text: &str) -> bool {
    !text.is_empty() && !text.contains(|character: char| character.is_whitespace() || character.is_control())
}
