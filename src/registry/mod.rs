//! Registries: the stores that services are written to.
//!
//! A registry knows nothing of Docker and decides nothing: [`crate::bridge`] says what to
//! write, a registry says how its store spells it, what the store holds now, and what went wrong.

mod bundles;
mod common;
mod consul;
pub mod embedded;
mod etcd;
mod kv;
pub mod memory;
mod open;
mod parameters;
mod servers;
mod skydns2;
mod text;
mod throttle;
mod uri;
mod zookeeper;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::service::Service;

pub use common::{Policy, policy};
pub use open::{OpenError, open};
pub use uri::{redacted, scheme};

/// What a store holds for one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The store's own identity of it: Consul's service ID, a key, a znode's path.
    pub key: Arc<str>,
    /// The ID of the service it stands for.
    pub service_id: Arc<str>,
    /// The owner that is recorded with it; `None` where none is.
    pub owner: Option<Arc<str>>,
    /// A digest of what the store holds: equal to that of a [`Canonical`] when nothing need be written.
    pub fingerprint: u64,
    /// Whether it is marked as not to be used.
    pub marked: Marked,
}

/// Whether an entry is marked as not to be used, though it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Marked {
    /// It is not.
    #[default]
    No,
    /// By us, or by an instance before us.
    Ours,
    /// By somebody else, who alone takes that away.
    Theirs,
}

/// Why we mark an entry as not to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Its container was told to stop.
    Draining,
    /// Its container is paused.
    Paused,
    /// Its container ended, and the entry stays.
    Ended,
    /// Nobody looks after it: we ended.
    Left,
}

impl Mark {
    /// In words, as the store shows them.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Draining => "its container was told to stop",
            Self::Paused => "its container is paused",
            Self::Ended => "its container ended",
            Self::Left => "registrator was stopped",
        }
    }
}

/// How a store would hold a service: its desired form, to be compared with an [`Entry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical {
    /// The store's own identity of it.
    pub key: Arc<str>,
    /// A digest of what the store would hold.
    pub fingerprint: u64,
}

/// One store that services are written to.
///
/// The contract, which the conformance suite proves for each:
///
/// - Every method ends within a deadline of the registry's own, whatever the store does.
/// - Methods may be called at any time, also while the store is away; connections are (re)made as needed.
/// - Batches are independent: one result for each element, in order, and one failing never stops its neighbours.
/// - A write is idempotent: registering again replaces, deregistering what is not there succeeds.
/// - `entries` read after a successful `register` has an entry with the service's canonical key and fingerprint.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    /// Where this store would hold the service: the [`Entry::key`] of its entry. Pure and cheap.
    fn key(&self, service: &Service) -> Arc<str>;

    /// A digest of what this store would hold for the service. Cheap.
    fn fingerprint(&self, service: &Service) -> u64;

    /// How this store would hold the service.
    fn canonical(&self, service: &Service) -> Canonical {
        Canonical { key: self.key(service), fingerprint: self.fingerprint(service) }
    }

    /// Reaches the store.
    ///
    /// # Errors
    /// When it cannot be reached, or refuses us altogether.
    async fn ping(&self) -> Result<(), RegistryError>;

    /// What it holds now: the entries of this owner, those that carry no owner, and those of others
    /// that stand where this owner might write.
    ///
    /// # Errors
    /// When the store cannot be read as a whole; a partial answer is an error.
    async fn entries(&self) -> Result<Vec<Entry>, RegistryError>;

    /// The same as far as this owner needs it to keep its entries as they are: its own, and what stands at these keys.
    ///
    /// A store that holds what many hosts write need not read all of that. What another hand wrote under our
    /// owner's name, or what carries no owner, may then be missing.
    ///
    /// # Errors
    /// As for [`Registry::entries`].
    async fn own_entries(&self, _keys: &[Arc<str>]) -> Result<Vec<Entry>, RegistryError> {
        self.entries().await
    }

    /// Writes services, replacing what stands at their keys.
    async fn register(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>>;

    /// Removes entries.
    async fn deregister(&self, entries: &[Entry]) -> Vec<Result<(), RegistryError>>;

    /// How often [`Registry::refresh`] must be called for this service; `None` for never.
    fn refresh_interval(&self, _service: &Service) -> Option<Duration> {
        None
    }

    /// Renews the TTL, lease or heartbeat of registered services. Rejected where the entry is no longer there.
    async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        services.iter().map(|_| Ok(())).collect()
    }

    /// Whether this store tells its readers of health, so that an entry can be there and not be used.
    fn marks(&self) -> bool {
        false
    }

    /// Marks entries as critical, for this reason, or takes our mark away again. Registering takes it away as well.
    /// Only called where [`Registry::marks`].
    async fn mark(&self, entries: &[(Entry, Option<Mark>)]) -> Vec<Result<(), RegistryError>> {
        entries.iter().map(|_| Ok(())).collect()
    }

    /// Returns when the store's content may have changed by another hand, or may have been lost.
    ///
    /// Paces itself, whatever the store does; never returns where a store cannot tell.
    /// May be dropped and called again at any time.
    async fn changed(&self) {
        std::future::pending().await
    }

    /// Lets go of what is held only for as long as this process lives, but of no entry, so that the next run need
    /// not wait until it has expired. The last that is asked of it.
    async fn close(&self) {}
}

/// Why a registry did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
    /// It could not be reached, did not answer in time, or cannot serve anyone now: try everything again later.
    /// The text names the store and where it is.
    #[error("{0}")]
    Unreachable(String),
    /// It will not take this as it is: try again only when it changes, or at a resync.
    #[error("{0}")]
    Rejected(String),
    /// Another's entry stood in its place when it was written, whatever was read before: look again.
    #[error("{0}")]
    Taken(String),
}
