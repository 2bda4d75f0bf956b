//! Registries: the stores that services are written to.
//!
//! A registry knows nothing about Docker and decides nothing. The reconciler says what to write; a registry translates
//! services, reads its store's entries, and reports errors.
//!
//! [`Registry`] is their common interface; [`open`] creates one from a URI. The values exchanged are in a file each:
//! [`Entry`] and [`Scope`] (reading), [`Write`] (writing), [`RegistryError`].

mod advice;
mod batch;
mod chunks;
mod common;
mod consul;
mod discoverd;
mod dns;
pub mod embedded;
mod entry;
mod error;
mod etcd;
mod eureka;
mod files;
mod kv;
mod label;
pub mod names;
mod open;
mod parameters;
mod policy;
pub mod reader;
mod readers;
mod redis;
mod reporter;
mod retimed;
mod rfc2136;
mod servers;
pub mod services;
mod site;
mod skydns2;
mod text;
mod throttle;
mod tls_files;
mod traefik;
mod uri;
mod web;
mod webhook;
mod write;
#[cfg(feature = "zookeeper")]
mod zookeeper;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::service::Service;

pub use entry::{Canonical, Content, Entry, Marked, Scope};
pub use error::{Cause, OpenError, RegistryError, said_at_the_start};
pub(crate) use kv::key_part;
pub use open::{Opened, check, open, settings};
pub use policy::Policy;
pub use readers::{ReadableStore, open_reader, open_services};
pub use site::{About, Site, Store};
pub use traefik::{is_for_traefik, traefik_settings};
pub use uri::redacted;
pub use write::{Action, ActionKind, Mark, Reason, Write};

/// Optional features of a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// It has health, so that an entry can exist but not be used.
    pub marks: bool,
    /// An entry belongs to the session that made it, and not to an owner that `-owner` names.
    pub sessions_own: bool,
    /// Every entry expires unless it is refreshed, also that of a service without a TTL.
    pub heartbeats: bool,
}

/// What may have changed without our doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The store's content was changed by an external writer, or lost.
    Content,
    /// Our credentials changed (a token in a file): refused writes may be allowed now.
    Credentials,
}

/// One store that services are written to.
///
/// The contract, which the conformance suite proves for each:
///
/// - Every method ends within a deadline of the registry's own, whatever the store does.
/// - Methods may be called at any time, also while the store is away; connections are (re)made as needed.
/// - Batches are independent: one result for each element, in order, and one failing never stops its neighbours.
/// - A write is idempotent: putting again replaces, removing what is not there succeeds.
/// - What `read` gives after a successful [`Action::Put`] has an entry with the service's canonical key and fingerprint.
#[async_trait]
pub trait Registry: Send + Sync + 'static {
    /// This store's optional features.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    /// Whether this store holds the service at all. Pure and cheap.
    fn takes(&self, _service: &Service) -> bool {
        true
    }

    /// What a person should know about a service's entry that is as it should be; one line, safe to print.
    fn remark(&self, _service: &Service) -> Option<String> {
        None
    }

    /// The [`Entry::key`] of the service in this store. Pure and cheap.
    fn key(&self, service: &Service) -> Arc<str>;

    /// A digest of the service's content in this store. Cheap.
    fn fingerprint(&self, service: &Service) -> u64;

    /// The service's key and fingerprint in this store.
    fn canonical(&self, service: &Service) -> Canonical {
        Canonical { key: self.key(service), fingerprint: self.fingerprint(service) }
    }

    /// Connects to the store.
    ///
    /// # Errors
    /// When it cannot be reached, or rejects our credentials.
    async fn ping(&self) -> Result<(), RegistryError>;

    /// Reads entries: those of this owner, those without an owner, and those of others at keys that this owner might
    /// write. [`Scope`] limits them.
    ///
    /// # Errors
    /// When the store cannot be read completely; a partial answer is an error.
    async fn read(&self, scope: &Scope) -> Result<Vec<Entry>, RegistryError>;

    /// Makes writes, each for another key. Returns one result each, in order.
    async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>>;

    /// A number that changes whenever the store may have lost data: it was unreachable, or restarted. If it is equal
    /// before and after a read, missing entries were removed on purpose. See [`Entry::critical`].
    fn continuity(&self) -> u64 {
        0
    }

    /// How often [`Registry::refresh`] must be called for this service; `None` for never.
    fn refresh_interval(&self, _service: &Service) -> Option<Duration> {
        None
    }

    /// Renews the TTLs, leases or heartbeats of services. `Refused` if the entry no longer exists.
    async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        services.iter().map(|_| Ok(())).collect()
    }

    /// Returns when something may have changed without our doing.
    ///
    /// Limits its own rate, whatever the store does; never returns if a store cannot watch. Safe to cancel and call
    /// again.
    async fn changed(&self) -> Change {
        std::future::pending().await
    }

    /// Where the store is, and what of it is ours, by the settings alone. For people: nothing else depends on it.
    fn site(&self) -> Site {
        Site::default()
    }

    /// Asks the store who it is, as far as it tells. `written` is the key of an entry that was just written: a store
    /// without a clock of its own shows its time there. What it does not tell, or not to us, is left out.
    ///
    /// # Errors
    /// When it cannot be reached.
    async fn about(&self, _written: Option<&str>) -> Result<About, RegistryError> {
        Ok(About::default())
    }

    /// Releases leases and sessions, but no entries, so that the next run need not wait until they expire. The last
    /// call.
    async fn close(&self) {}
}
