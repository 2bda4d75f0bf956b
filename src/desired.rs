//! The desired state: what hosts tell keepers about the services that should exist.

use std::sync::Arc;

use tokio::time::Instant;

use crate::service::{Service, Source};

/// The desired state of one service's entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Desired {
    /// The service exists; its entry should look like this.
    Present(Arc<Service>, Mode),
    /// The service no longer exists; its entry should be removed.
    Absent(Evidence),
    /// The container is gone; its entry stays and is no longer refreshed (`-deregister never`).
    Forgotten,
}

/// How an entry should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Equal to the service.
    Serving,
    /// Equal to the service, and marked as not to be used: the container is paused.
    Paused,
    /// The entry stays, is marked as not to be used, and is no longer refreshed.
    Kept(Kept),
}

/// Why an entry stays although its container no longer serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// The container failed (`-deregister on-success`). `-cleanup` counts it as gone.
    Failed,
    /// The container ended, and still exists (`-deregister never`).
    Ended,
    /// The container was told to stop (`-drain`). Registries without health remove the entry at once.
    Draining,
}

/// How we know that a service is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The engine sent an event.
    Event,
    /// The container is missing from a list, and no event reported its end.
    List,
}

/// The new desired state for one port of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The port.
    pub source: Source,
    /// The service that was desired before, if any.
    pub was: Option<Arc<Service>>,
    /// The desired state of its entry.
    pub desired: Desired,
}

/// All containers were listed: compare what they offer with what the registries hold.
#[derive(Clone, Debug)]
pub struct Compare {
    /// The containers that are listed but could not be described.
    pub unknown: Arc<[Unknown]>,
    /// Allow the removal of entries that this host left behind, even of those without an owner (`-cleanup`).
    pub cleanup: bool,
    /// Why.
    pub occasion: Occasion,
}

/// A container that is listed, and of which nothing else is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Its name, if the list has it.
    pub name: Option<Box<str>>,
}

/// Why everything is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The engine was listed: at a start, a reconnect, a resync.
    Listed,
    /// A person asked (SIGHUP): refused writes are tried again as well.
    Asked,
    /// The last container that could not be described is now known.
    Completed,
}

/// A message from a host to the keeper of a registry.
#[derive(Clone, Debug)]
pub enum Command {
    /// The state of these services changed; and when the engine told of it, if an event did.
    Updates(Arc<[Update]>, Option<Instant>),
    /// All containers were listed.
    Compare(Compare),
}

impl Desired {
    /// The service, if there is one.
    #[must_use]
    pub fn service(&self) -> Option<&Arc<Service>> {
        match self {
            Self::Present(service, _) => Some(service),
            Self::Absent(_) | Self::Forgotten => None,
        }
    }
}

impl Mode {
    /// Whether the container serves or is paused, rather than ended.
    #[must_use]
    pub fn is_serving(self) -> bool {
        !matches!(self, Self::Kept(_))
    }
}
