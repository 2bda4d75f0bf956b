//! `Service`: what a container offers, as every registry is told it.
//!
//! Pure: [`describe`] turns a [`crate::container::Container`] and a policy into services and
//! reasons; nothing here reads a file, a clock or a socket. A `Service` is all that
//! [`crate::bridge`] and [`crate::registry`] exchange.

pub mod address;
pub mod check;
pub mod decision;
pub mod describe;
pub mod id;
pub mod ignored;
pub mod metadata;
pub mod notes;
pub mod ports;

use std::sync::Arc;
use std::time::Duration;

use litemap::LiteMap;

pub use check::{Check, CheckKind, Heartbeat};
pub use registrator_words::{authority, duration};

use crate::container::{ContainerId, Health, Moment, Protocol};

/// One port of one container, as other programs find it.
///
/// What the services of a container have in common, they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// `<hostname>:<container name>:<exposed port>[:udp|:sctp]`, or `SERVICE_ID`.
    pub id: Arc<str>,
    /// `SERVICE_NAME` or the base of the image, with the port where there are several.
    pub name: String,
    /// Where it is reached: an address, or whatever `SERVICE_IP` or `-ip` say.
    pub address: Arc<str>,
    /// The port to reach it at; never 0.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// `SERVICE_TAGS`, then `-tags`, then `udp` or `sctp`.
    pub tags: Arc<[String]>,
    /// Every other `SERVICE_` key, lower case.
    pub attributes: Arc<LiteMap<String, String>>,
    /// How long its entry may live without a refresh (`-ttl`).
    pub ttl: Option<Duration>,
    /// How its health is to be checked.
    pub check: Option<Box<Check>>,
    /// What Docker's HEALTHCHECK says of its container; only registries that tell health use it.
    pub health: Health,
    /// Where it comes from.
    pub origin: Origin,
}

impl Service {
    /// What it stands for, whatever it is called.
    #[must_use]
    pub fn source(&self) -> Source {
        let Origin { container, exposed_port, .. } = &self.origin;
        Source { container: container.clone(), port: *exposed_port, protocol: self.protocol }
    }

    /// Whether this is what it stands for.
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

/// One port of one container: what a service stands for, and the only thing of it that never changes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    /// The container.
    pub container: ContainerId,
    /// The port inside the container.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
}

/// What a service was described from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The container.
    pub container: ContainerId,
    /// When that was created. Of two that claim one place, the older has it.
    pub created: Moment,
    /// When its process last started. Another start is another life: what was given up for the last one is tried again.
    pub started: Moment,
    /// Whether the id is one that the container claims (`SERVICE_ID`), rather than the host's own form.
    pub claimed: bool,
    /// Who said where it is reached.
    pub address_of: AddressOf,
    /// The container's name.
    pub container_name: Arc<str>,
    /// The host name inside the container.
    pub hostname: Arc<str>,
    /// The port inside the container.
    pub exposed_port: u16,
}

/// Who said where a service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AddressOf {
    /// The engine, and whoever started us: the address leads to the container.
    Container,
    /// The container's metadata alone: the address may lead anywhere.
    Metadata,
}
