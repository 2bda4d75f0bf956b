//! What should exist: the words in which hosts tell keepers what registries are to be made equal to.

use std::sync::Arc;

use crate::service::{Service, Source};

/// What should become of the entry of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Desired {
    /// There is such a service, and its entry is to be like this.
    Present(Arc<Service>, Mode),
    /// There is no such service any more, and its entry is to go.
    Absent(Evidence),
    /// Its container is gone; whatever is there stays, and nobody looks after it (`-deregister never`).
    Forgotten,
}

/// How the entry of a service is to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mode {
    /// Exactly like the service.
    Serving,
    /// The same, and marked as not to be used: its container is paused.
    Paused,
    /// Whatever is there stays, is marked as not to be used, and is no longer refreshed.
    Kept(Kept),
}

/// Why an entry stays whose service can no longer be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// Its container failed (`-deregister on-success`). For `-cleanup`, no container is behind it.
    Failed,
    /// Its container ended, and is still there (`-deregister never`).
    Ended,
    /// Its container was told to stop (`-drain`). Removed at once where there is no health.
    Draining,
}

/// How it is known that a service is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// The engine told of it.
    Event,
    /// It is missing from a list, and no event told of its end.
    List,
}

/// The new state of what one port of one container offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    /// The port.
    pub source: Source,
    /// Its service, as it was desired before, if it was.
    pub was: Option<Arc<Service>>,
    /// What should become of its entry.
    pub desired: Desired,
}

/// Every container was looked at: what they offer is to be compared with what the registries hold.
#[derive(Clone, Debug)]
pub struct Compare {
    /// The containers that are listed and could not be described.
    pub unknown: Arc<[Unknown]>,
    /// Entries that this host left behind may be removed, also those without an owner (`-cleanup`).
    pub cleanup: bool,
    /// Why.
    pub occasion: Occasion,
}

/// A container that is there, and of which nothing else is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Its name, if the list tells it.
    pub name: Option<Box<str>>,
}

/// Why everything is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The engine was listed: at a start, a reconnect, a resync.
    Listed,
    /// A person asks for it (SIGHUP): what was given up is tried again, too.
    Asked,
    /// The last container that could not be described is known now.
    Completed,
}

/// What the keeper of a registry is told.
#[derive(Clone, Debug)]
pub enum Command {
    /// The state of these services changed.
    Updates(Arc<[Update]>),
    /// Every container was looked at.
    Compare(Compare),
}

impl Desired {
    /// The service, where there is one.
    #[must_use]
    pub fn service(&self) -> Option<&Arc<Service>> {
        match self {
            Self::Present(service, _) => Some(service),
            Self::Absent(_) | Self::Forgotten => None,
        }
    }
}

impl Mode {
    /// Whether its container serves, or is only paused.
    #[must_use]
    pub fn is_serving(self) -> bool {
        !matches!(self, Self::Kept(_))
    }
}
