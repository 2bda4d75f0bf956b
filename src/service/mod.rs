//! `Service`: what a container offers, as registries store it.
//!
//! Pure: [`describe`] turns a [`crate::container::Container`] and settings into services and reasons. Nothing here reads
//! a file, a clock or a socket.

pub mod address;
pub mod check;
pub mod decision;
pub mod describe;
mod explained;
pub mod id;
pub mod ignored;
pub mod metadata;
pub mod notes;
pub mod ports;
pub mod traefik;

use std::sync::Arc;
use std::time::Duration;

use litemap::LiteMap;

pub use check::{Check, CheckKind, Heartbeat};
pub use registrator_traefik::Addition;
pub use registrator_words::{authority, duration};

use crate::container::{ContainerId, Health, Moment, Protocol};

/// One port of one container, as other programs find it.
///
/// Services share the values that they have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `<hostname>:<container name>:<exposed port>[:udp|:sctp]`, or `SERVICE_ID`.
    pub id: Arc<str>,
    /// `SERVICE_NAME` or the base of the image's name, with the port if there are several.
    pub name: String,
    /// The address to connect to: an IP address, or the value of `SERVICE_IP` or `-ip`.
    pub address: Arc<str>,
    /// The port to connect to; never 0.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// `SERVICE_TAGS`, then `-tags`, then `udp` or `sctp`.
    pub tags: Arc<[String]>,
    /// All other `SERVICE_` keys, in lower case.
    pub attributes: Arc<LiteMap<String, String>>,
    /// How long its entry may live without a refresh (`-ttl`).
    pub ttl: Option<Duration>,
    /// Its health check.
    pub check: Option<Box<Check>>,
    /// The result of its container's HEALTHCHECK; only registries with health use it.
    pub health: Health,
    /// What its container adds to Traefik's configuration; `None` where nobody asks for that.
    pub traefik: Option<Arc<Addition>>,
    /// Where it comes from.
    pub origin: Origin,
}

impl Service {
    /// The container port that it stands for, whatever its ID.
    #[must_use]
    pub fn source(&self) -> Source {
        let Origin { container, exposed_port, .. } = &self.origin;
        Source { container: container.clone(), port: *exposed_port, protocol: self.protocol }
    }

    /// Whether it stands for this container port.
    #[must_use]
    pub fn is_from(&self, source: &Source) -> bool {
        let Origin { container, exposed_port, .. } = &self.origin;
        (container, exposed_port, self.protocol) == (&source.container, &source.port, source.protocol)
    }

    /// `address:port`, an IPv6 address in brackets.
    #[must_use]
    pub fn authority(&self) -> String {
        authority(&self.address, self.port)
    }
}

/// One port of one container: the identity of a service. It never changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    /// The container.
    pub container: ContainerId,
    /// The port inside the container.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

/// The container facts that a service was described from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The container.
    pub container: ContainerId,
    /// When the container was created. If two containers claim one ID, the older gets it.
    pub created: Moment,
    /// When its process last started. After a new start, given-up writes are tried again.
    pub started: Moment,
    /// Whether the container claims the ID (`SERVICE_ID`), rather than having the default one.
    pub claimed: bool,
    /// Who set the address.
    pub address_of: AddressOf,
    /// The container's name.
    pub container_name: Arc<str>,
    /// The host name inside the container.
    pub hostname: Arc<str>,
    /// The port inside the container.
    pub exposed_port: u16,
}

/// Who set the address of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressOf {
    /// The engine or an option: the address leads to the container.
    Container,
    /// The container's metadata only: the address may lead anywhere.
    Metadata,
}
