//! Registries: the stores that services are written to.
//!
//! A registry knows nothing of Docker and decides nothing. The reconciler says what to write; a registry says how its
//! store spells it, what the store holds now, and what went wrong.
//!
//! [`Registry`] is what each of them can do; [`open`] makes one out of a URI. The words of both are values with a file
//! each: [`Entry`] and [`Scope`] (reading), [`Write`] (writing), [`RegistryError`].

mod advice;
mod chunks;
mod common;
mod consul;
pub mod embedded;
mod entry;
mod error;
mod etcd;
mod files;
mod kv;
pub mod memory;
mod open;
mod parameters;
mod policy;
mod reporter;
mod retimed;
mod servers;
mod skydns2;
mod text;
mod throttle;
mod uri;
mod write;
#[cfg(feature = "zookeeper")]
mod zookeeper;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use crate::service::Service;

pub use entry::{Canonical, Content, Entry, Marked, Scope};
pub use error::{Cause, OpenError, RegistryError, said_at_the_start};
pub use open::{Opened, open};
pub use policy::Policy;
pub use uri::redacted;
pub use write::{Action, Mark, Reason, Write};

/// What a store can do, and not every store can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// It tells its readers of health, so that an entry can be there and not be used.
    pub marks: bool,
    /// An entry belongs to the session that made it, and not to an owner that `-owner` names.
    pub sessions_own: bool,
}

/// What may have changed without our doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The store's content was changed by an external writer, or lost.
    Content,
    /// Our credentials, as a token in a file: what was refused may be allowed now.
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
    /// What this store can do.
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

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

    /// What the store holds now: the entries of this owner, those that carry no owner, and those of others that stand
    /// where this owner might write. [`Scope`] says how much of that.
    ///
    /// # Errors
    /// When the store cannot be read as a whole; a partial answer is an error.
    async fn read(&self, scope: &Scope) -> Result<Vec<Entry>, RegistryError>;

    /// Makes writes, each for another key: a result for each, in order.
    async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>>;

    /// A number that changes whenever the store may have lost what it held: it could not be reached, or was restarted.
    /// Equal before and after a reading, it shows that what is gone was removed on purpose. See [`Entry::critical`].
    fn continuity(&self) -> u64 {
        0
    }

    /// How often [`Registry::refresh`] must be called for this service; `None` for never.
    fn refresh_interval(&self, _service: &Service) -> Option<Duration> {
        None
    }

    /// Renews the TTL, lease or heartbeat of registered services. `Refused` where the entry is no longer there.
    async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        services.iter().map(|_| Ok(())).collect()
    }

    /// Returns when something may have changed that this program did not change itself.
    ///
    /// Paces itself, whatever the store does; never returns where a store cannot tell.
    /// May be dropped and called again at any time.
    async fn changed(&self) -> Change {
        std::future::pending().await
    }

    /// Releases what is held only for as long as this process lives, but no entry, so that the next run need
    /// not wait until it has expired. The last call.
    async fn close(&self) {}
}
