//! Registries that are key-value stores: one engine over what a store can do ([`Store`]) and how a service is
//! spelt in it ([`Layout`]).
//!
//! Stands below the reconciler. [`key`] decides the next transaction for one key; [`claims`] spells what stands beside
//! entries; [`leases`] keeps this instance's sign of life; [`watch`] hears of external writers; [`read`], [`write`] and
//! [`entries`] do what the reconciler asks, and [`census`] says how much of a large store they need. A new store implements [`Store`], a new spelling [`Layout`]; neither knows
//! of owners.
//!
//! # Whose an entry is
//!
//! Keys and values are documented, so who wrote an entry is stored beside it: a claim names the owner, and the
//! lease that an instance of that owner holds as long as it lives. What a dead instance of our owner left is taken over
//! by taking its lease, which writes one key, and no entry. docs/ownership.md has the whole story.

mod census;
mod claims;
pub(super) mod encode;
mod engine;
mod entries;
mod key;
mod layout;
mod leases;
mod read;
mod store;
#[cfg(test)]
pub(in crate::registry) mod testing;
#[cfg(test)]
mod tests;
mod traefik;
mod watch;
mod write;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use crate::config::RegistryConfig;
use crate::service::Service;

use super::reporter::Reporter;
use super::{About, Change, Entry, Registry, RegistryError, Scope, Site, Write};

pub(in crate::registry) use claims::ClaimKeys;
pub(crate) use encode::part as key_part;
pub(in crate::registry) use layout::{Layout, Plain};
pub(in crate::registry) use store::{
    Applied, Condition, Keys, Operation, Step, Store, StoreEvent, Stored, Transaction,
};
pub(in crate::registry) use traefik::TraefikRegistry;

use engine::Engine;
use key::{digest, fingerprint};

/// The deadline of every method, whatever the store does.
const DEADLINE: Duration = Duration::from_secs(15);
/// The deadline of reading everything, page by page: starting again would take as long.
const READING_DEADLINE: Duration = Duration::from_secs(45);

/// A registry that is a key-value store.
pub(in crate::registry) struct KvRegistry {
    engine: Arc<Engine>,
    keep_alive_task: OnceLock<AbortOnDropHandle<()>>,
    watch_task: OnceLock<AbortOnDropHandle<()>>,
}

impl KvRegistry {
    /// Creates the registry. It connects to the store at the first request.
    pub(in crate::registry) fn new(
        store: Box<dyn Store>,
        layout: Box<dyn Layout>,
        claims: ClaimKeys,
        config: &RegistryConfig,
        reporter: Reporter,
    ) -> Self {
        let engine = Engine::new(store, layout, claims, config, reporter);
        Self { engine: Arc::new(engine), keep_alive_task: OnceLock::new(), watch_task: OnceLock::new() }
    }

    /// Starts the keep-alive task of our leases, if claims are used.
    fn start_keep_alive(&self) {
        if self.engine.claims.is_some() {
            let engine = Arc::clone(&self.engine);
            let start = || AbortOnDropHandle::new(tokio::spawn(async move { leases::keep_alive(&engine).await }));
            self.keep_alive_task.get_or_init(start);
        }
    }
}

#[async_trait]
impl Registry for KvRegistry {
    fn key(&self, service: &Service) -> Arc<str> {
        self.engine.layout.key(service).into()
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        let Engine { layout, claims, .. } = &*self.engine;
        fingerprint(digest(layout.value(service).as_bytes()), service.ttl, claims.is_some())
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        in_time(DEADLINE, self.engine.store.ping()).await?
    }

    async fn read(&self, scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
        if !scope.looks {
            self.start_keep_alive();
        }
        in_time(READING_DEADLINE, entries::entries(&self.engine, scope)).await?
    }

    fn site(&self) -> Site {
        let Engine { store, layout, claims, .. } = &*self.engine;
        let records = claims.as_ref().map(|claims| claims.base().to_owned());
        Site { root: layout.root().to_owned(), records, ..store.site() }
    }

    async fn about(&self, _written: Option<&str>) -> Result<About, RegistryError> {
        in_time(DEADLINE, self.engine.store.about()).await?
    }

    async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
        self.start_keep_alive();
        let applied = in_time(DEADLINE, write::apply(&self.engine, writes)).await;
        applied.unwrap_or_else(|error| vec![Err(error); writes.len()])
    }

    fn refresh_interval(&self, service: &Service) -> Option<Duration> {
        service.ttl.map(|ttl| self.engine.ttl_refresh.filter(|refresh| *refresh < ttl).unwrap_or(ttl / 3))
    }

    async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        let refreshed = in_time(DEADLINE, write::refresh(&self.engine, services)).await;
        refreshed.unwrap_or_else(|error| vec![Err(error); services.len()])
    }

    async fn changed(&self) -> Change {
        let engine = &self.engine;
        self.watch_task.get_or_init(|| AbortOnDropHandle::new(tokio::spawn(watch::watch(Arc::clone(engine)))));
        tokio::select! {
            () = watch::changed(engine) => Change::Content,
            () = engine.store.credentials_changed() => Change::Credentials,
        }
    }

    async fn close(&self) {
        if let Some(task) = self.keep_alive_task.get() {
            task.abort();
        }
        leases::release(&self.engine).await;
    }
}

async fn in_time<F: Future>(deadline: Duration, future: F) -> Result<F::Output, RegistryError> {
    let late = || RegistryError::Unreachable(format!("no answer within {} s", deadline.as_secs()));
    timeout(deadline, future).await.map_err(|_| late())
}
