//! The address of a service, and which rule gave it.
//!
//! The first rule that applies wins: `SERVICE_IP`; the container whose network it shares; `-useIpFromLabel`;
//! `-internal`; `-ip`; the binding's own address; the host's address. So a host port always goes with a host address,
//! and an exposed port with a container address.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::config::ServiceConfig;
use crate::container::{Container, NetworkMode};

use super::decision::{Decision, Field, Recorder, Rule};
use super::metadata::{PortMetadata, Setting};
use super::notes::{Notes, quote};
use super::ports::Reach;

/// The maximum length of a chain of containers that share a network.
const LONGEST_CHAIN: usize = 32;

/// The maximum length of an address, in bytes: that of a DNS name.
const LONGEST_ADDRESS: usize = 253;

/// Swarm's network for published ports. It leads to all tasks of a service, not to this one.
const INGRESS: &str = "ingress";

/// The other containers of the engine.
pub trait Neighbours {
    /// The container with this ID, ID prefix or name.
    fn find(&self, reference: &str) -> Option<Arc<Container>>;
}

/// Whose network namespace a container uses in the end.
#[derive(Clone, Debug, PartialEq)]
pub enum Stack {
    /// Its own.
    Own,
    /// Another container's (`--net=container:…`), at the end of the chain.
    Shared(Arc<Container>),
    /// The host's, directly or at the end of a chain.
    Host,
}

impl Stack {
    /// Follows `--net=container:…` to its end.
    ///
    /// # Errors
    /// When the chain has no end, or there is no network at its end.
    pub fn of(container: &Container, neighbours: &dyn Neighbours) -> Result<Self, Unreachable> {
        let mut end: Option<Arc<Container>> = None;
        for _ in 0..LONGEST_CHAIN {
            let reference = match &end.as_deref().unwrap_or(container).network_mode {
                NetworkMode::Host => return Ok(Self::Host),
                NetworkMode::Container(reference) => reference,
                NetworkMode::None if !end.as_deref().unwrap_or(container).is_connected() => {
                    return Err(Unreachable::NoNetwork);
                }
                NetworkMode::Network(_) | NetworkMode::None => return Ok(end.map_or(Self::Own, Self::Shared)),
            };
            let next = neighbours.find(reference).ok_or_else(|| Unreachable::SharedMissing(reference.clone()))?;
            if !next.state.is_running() {
                return Err(Unreachable::SharedStopped(next.name.to_string()));
            }
            end = Some(next);
        }
        Err(Unreachable::SharedEndlessly)
    }
}

/// Why there is no address. Displays as it follows `ignored: <12> `.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Unreachable {
    /// `--net=none`, directly or at the end of a chain, and no network attached since.
    NoNetwork,
    /// The container whose network it shares does not exist.
    SharedMissing(String),
    /// The container with this name, whose network it shares, does not run.
    SharedStopped(String),
    /// The chain of containers that share their network has no end, or is too long.
    SharedEndlessly,
    /// The container has no address of its own to register.
    NoContainerAddress,
    /// The container's only address is on Swarm's ingress network.
    OnlyIngress,
    /// The host's address is needed, but unknown.
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
            Self::OnlyIngress => f.write_str(
                "no address but on Swarm's ingress network, which leads to all tasks of its service; \
                 SERVICE_NETWORK=ingress registers that",
            ),
            Self::NoHostAddress => f.write_str("the address of this host is not known; -ip sets it"),
        }
    }
}

/// The inputs of the rules, for one port.
pub struct Question<'a> {
    /// The container.
    pub container: &'a Container,
    /// Whose network it uses.
    pub stack: &'a Result<Stack, Unreachable>,
    /// The metadata of the port.
    pub metadata: PortMetadata<'a>,
    /// How the port is reached.
    pub reach: Reach,
    /// The policy.
    pub config: &'a ServiceConfig,
    /// What the host's name resolves to, or what was chosen instead; may be empty.
    pub host_address: &'a str,
}

impl<'a> Question<'a> {
    /// The address by the first rule that applies, and that rule.
    ///
    /// # Errors
    /// When that rule yields no address.
    pub(super) fn answer(
        &self,
        notes: &mut Notes,
        decisions: &mut impl Recorder,
    ) -> Result<(Cow<'a, str>, Because<'a>), Unreachable> {
        let (address, because) = self.rule(notes)?;
        decisions.decide(|| Decision::new(Field::Address, &*address, because));
        Ok((address, because))
    }

    fn rule(&self, notes: &mut Notes) -> Result<(Cow<'a, str>, Because<'a>), Unreachable> {
        if let Some(answer) = self.by_metadata(notes) {
            return Ok(answer);
        }
        let stack = self.stack.as_ref().map_err(Clone::clone)?;
        if let Stack::Shared(other) = stack {
            let (network, address) = self.own_address(other, notes)?;
            return Ok((address.to_string().into(), Because::Own { network, container: Some(&other.name) }));
        }
        if let Some(answer) = self.by_label(notes) {
            return Ok(answer);
        }
        if self.config.internal && *stack == Stack::Own {
            let (network, address) = self.own_address(self.container, notes)?;
            return Ok((address.to_string().into(), Because::Own { network, container: None }));
        }
        if let Some(ip) = &self.config.ip {
            return Ok((ip.into(), Because::Forced(ip)));
        }
        if let Reach::Published { ip: Some(ip), .. } = self.reach {
            return Ok((ip.to_string().into(), Because::Published));
        }
        if self.host_address.is_empty() {
            return Err(Unreachable::NoHostAddress);
        }
        Ok((self.host_address.into(), Because::Host))
    }

    fn by_metadata(&self, notes: &mut Notes) -> Option<(Cow<'a, str>, Because<'a>)> {
        let setting = self.metadata.get("ip")?;
        if is_address(setting.value) {
            return Some((setting.value.into(), Because::Setting(setting)));
        }
        notes.add(format!("{setting}={} is no usable address; the usual one is registered", quote(setting.value)));
        None
    }

    fn by_label(&self, notes: &mut Notes) -> Option<(Cow<'a, str>, Because<'a>)> {
        let label = self.config.ip_label.as_ref()?;
        let value = self.container.labels.get(label).map_or("", String::as_str);
        let address = value.rsplit_once('/').map_or(value, |(address, _mask)| address);
        if is_address(address) {
            return Some((address.into(), Because::Label { label, value }));
        }
        let fault =
            if value.is_empty() { "not set".to_owned() } else { format!("no usable address: {}", quote(value)) };
        notes.add(format!("label {} is {fault}; the usual address is registered", quote(label)));
        None
    }

    /// A container's own address, and its network: `SERVICE_NETWORK`, else the network it was started on, else the
    /// first by name.
    fn own_address(&self, whose: &'a Container, notes: &mut Notes) -> Result<(&'a str, IpAddr), Unreachable> {
        let on = |name: &str| {
            let (network, address) = whose.networks.iter().find(|(network, _)| *network == name)?;
            Some((network.as_str(), address.preferred()?))
        };
        if let Some(setting) = self.metadata.get("network") {
            if let Some(found) = on(setting.value) {
                return Ok(found);
            }
            notes.add(format!("{setting}={} is no network that it has an address on", quote(setting.value)));
        }
        let started_on = match &whose.network_mode {
            NetworkMode::Network(name) if name == "default" => Some("bridge"),
            NetworkMode::Network(name) => Some(name.as_str()),
            _ => None,
        };
        let may_be_meant = |network: &str| !(network == INGRESS && whose.is_swarm_task());
        started_on
            .filter(|network| may_be_meant(network))
            .and_then(on)
            .or_else(|| whose.networks.keys().filter(|network| may_be_meant(network)).find_map(|network| on(network)))
            .ok_or_else(|| match on(INGRESS) {
                Some(_) => Unreachable::OnlyIngress,
                None => Unreachable::NoContainerAddress,
            })
    }
}

/// The rule that gave an address. Turned into a [`Rule`] only if it is asked for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Because<'a> {
    /// `SERVICE_IP`.
    Setting(Setting<'a>),
    /// `-useIpFromLabel`.
    Label { label: &'a str, value: &'a str },
    /// Its own, or that of the container whose network it shares.
    Own { network: &'a str, container: Option<&'a str> },
    /// `-ip`.
    Forced(&'a str),
    /// The host publishes the port on this address only.
    Published,
    /// This host's.
    Host,
    /// Unknown, because the container does not run.
    NotRunning,
}

impl From<Because<'_>> for Rule {
    fn from(because: Because<'_>) -> Self {
        match because {
            Because::Setting(setting) => setting.into(),
            Because::Label { label, value } => Self::Label { label: label.to_owned(), value: value.to_owned() },
            Because::Own { network, container } => {
                Self::Own { network: network.to_owned(), container: container.map(str::to_owned) }
            }
            Because::Forced(ip) => Self::option("-ip", ip),
            Because::Published => Self::Published,
            Because::Host => Self::Host,
            Because::NotRunning => Self::NotRunning,
        }
    }
}

/// Whether others can connect to it. Names are allowed, because some readers resolve them.
pub(super) fn is_address(text: &str) -> bool {
    (1..=LONGEST_ADDRESS).contains(&text.len())
        && !text.contains(|character: char| character.is_whitespace() || character.is_control())
        && !text.parse().is_ok_and(|ip: IpAddr| ip.is_unspecified())
}
