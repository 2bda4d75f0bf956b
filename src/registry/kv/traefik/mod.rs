//! Traefik's keys: containers of many hosts in one configuration, in any store.
//!
//! Beside [`super::KvRegistry`], over the same [`Store`]s, with the same leases. There, a service is one key; here, it is a
//! part of a tree that all hosts share: a server of its own, and routers, middlewares and options of a service that
//! others define as well. [`offer`] is what one service adds, stored beside the tree; [`objects`] finds who asks for what; [`tree`] decides what the tree has to
//! be for all offers together; [`write`] makes it so, [`read`] finds out, and [`watch`] hears of others.
//!
//! # Whose a key is
//!
//! An offer belongs to its owner, and only that owner changes it. A key of the tree belongs to all offers that ask for
//! it: the first writes it, the last removes it, and as long as two ask for different values, the older container counts. Every
//! host computes the same, so none undoes what another did. A host that dies loses its servers with their TTL;
//! its offer counts no longer once its lease is gone, and another host removes what only that offer asked for.
//! Keys that no offer asks for, as those written by hand, are never touched. docs/traefik.md has the whole story.

mod entries;
mod objects;
mod offer;
mod read;
#[cfg(test)]
mod tests;
mod tree;
mod watch;
mod write;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use registrator_traefik::Settings;
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use crate::config::RegistryConfig;
use crate::registry::reporter::Reporter;
use crate::registry::{About, Change, Content, Entry, Registry, RegistryError, Scope, Site, Write};
use crate::service::{self, Service};

use super::claims::ClaimKeys;
use super::engine::Engine;
use super::layout::Layout;
use super::store::Store;
use super::{DEADLINE, READING_DEADLINE, in_time, leases};

use entries::Dead;
use offer::{Offer, OfferKeys, by_object, is_server};
use tree::{Conflict, Tree};

/// How long servers live without a sign of life of their host, where no TTL is set.
const LEASE: Duration = Duration::from_secs(30);

/// Traefik's keys in a store.
pub(in crate::registry) struct TraefikRegistry {
    shared: Arc<Shared>,
    keep_alive_task: OnceLock<AbortOnDropHandle<()>>,
    watch_task: OnceLock<AbortOnDropHandle<()>>,
}

/// The state that the tasks share.
struct Shared {
    /// The store, the leases, and who lives.
    engine: Engine,
    offers: OfferKeys,
    /// The root of the tree, without a trailing slash.
    root: String,
    settings: Settings,
    owner: Arc<str>,
    /// Reading and writing take turns: each needs to know what the other did.
    turns: Semaphore,
    state: Mutex<State>,
}

/// What is known.
#[derive(Default)]
struct State {
    tree: Tree,
    /// Whether the tree is as it was read, with what we wrote since.
    is_known: bool,
    /// Instances of others that were found dead.
    dead: Dead,
    /// The conflicts that were reported.
    reported: BTreeSet<(Arc<str>, Conflict)>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a service adds, without a lease.
    fn offer(&self, service: &Service) -> Offer {
        let pieces = service::traefik::pieces(service, &self.owner, &self.settings);
        Offer {
            owner: Arc::clone(&self.owner),
            lease: "".into(),
            id: Arc::clone(&service.id),
            since: service.origin.created.0,
            ttl: ttl(service),
            objects: by_object(pieces.iter().flat_map(registrator_traefik::Piece::keys)),
        }
    }

    fn key(&self, service: &Service) -> String {
        self.offers.key(&self.owner, &service.id)
    }
}

/// Whole seconds: an offer stores them.
fn ttl(service: &Service) -> Duration {
    Duration::from_secs(service.ttl.unwrap_or(LEASE).as_secs().max(1))
}

/// Offers as a layout of one key each: what the leases' code knows of them.
struct Offers {
    keys: OfferKeys,
    owner: Arc<str>,
}

impl Layout for Offers {
    fn root(&self) -> &str {
        &self.keys.base
    }

    fn key(&self, service: &Service) -> String {
        self.keys.key(&self.owner, &service.id)
    }

    fn value(&self, service: &Service) -> String {
        service.authority()
    }

    fn service_id(&self, key: &str) -> Option<String> {
        self.keys.id(key)
    }

    fn content(&self, _key: &str, _value: &[u8]) -> Option<Content> {
        None
    }
}

impl TraefikRegistry {
    /// Creates the registry, with Traefik's keys below `root` and records below `base`. It connects to the store at the
    /// first request.
    pub(in crate::registry) fn new(
        store: Box<dyn Store>,
        (root, base): (&str, &str),
        settings: Settings,
        config: &RegistryConfig,
        reporter: Reporter,
    ) -> Self {
        let owner: Arc<str> = config.owner.as_str().into();
        let layout = Offers { keys: OfferKeys::new(base), owner: Arc::clone(&owner) };
        let engine = Engine::new(store, Box::new(layout), ClaimKeys::new(root, base), config, reporter);
        let shared = Shared {
            engine,
            offers: OfferKeys::new(base),
            root: root.to_owned(),
            settings,
            owner,
            turns: Semaphore::new(1),
            state: Mutex::default(),
        };
        Self { shared: Arc::new(shared), keep_alive_task: OnceLock::new(), watch_task: OnceLock::new() }
    }

    /// How long servers live without a sign of life, by the settings of the registry.
    pub(in crate::registry) fn ttl_of(config: &RegistryConfig) -> Duration {
        Duration::from_secs(config.ttl.unwrap_or(LEASE).as_secs().max(1))
    }

    /// Starts the keep-alive task of our leases.
    fn start_keep_alive(&self) {
        let shared = Arc::clone(&self.shared);
        let start = || AbortOnDropHandle::new(tokio::spawn(async move { leases::keep_alive(&shared.engine).await }));
        self.keep_alive_task.get_or_init(start);
    }
}

#[async_trait]
impl Registry for TraefikRegistry {
    fn takes(&self, service: &Service) -> bool {
        service::traefik::adds(service, &self.shared.settings)
    }

    fn remark(&self, service: &Service) -> Option<String> {
        let state = self.shared.state();
        let (key, instances) = (self.shared.key(service), &self.shared.engine.state().instances);
        let conflicts = state.tree.conflicts(&key, &state.tree.offers.get(&key)?.offer, instances);
        let said: Vec<_> = conflicts.iter().map(Conflict::to_string).collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    fn key(&self, service: &Service) -> Arc<str> {
        self.shared.key(service).into()
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        self.shared.offer(service).fingerprint()
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        in_time(DEADLINE, self.shared.engine.store.ping()).await?
    }

    async fn read(&self, scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
        if !scope.looks {
            self.start_keep_alive();
        }
        in_time(READING_DEADLINE, entries::entries(&self.shared, scope)).await?
    }

    fn site(&self) -> Site {
        let Shared { engine, root, .. } = &*self.shared;
        let records = engine.claims.as_ref().map(|claims| claims.base().to_owned());
        Site { root: root.clone(), records, ..engine.store.site() }
    }

    async fn about(&self, _written: Option<&str>) -> Result<About, RegistryError> {
        in_time(DEADLINE, self.shared.engine.store.about()).await?
    }

    async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
        self.start_keep_alive();
        let applied = in_time(DEADLINE, write::apply(&self.shared, writes)).await;
        applied.unwrap_or_else(|error| {
            // Some may have been made.
            self.shared.state().is_known = false;
            vec![Err(error); writes.len()]
        })
    }

    fn refresh_interval(&self, service: &Service) -> Option<Duration> {
        let ttl = ttl(service);
        let refresh = self.shared.engine.ttl_refresh.filter(|refresh| *refresh < ttl);
        Some(refresh.unwrap_or(ttl / 3))
    }

    async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        let refreshed = in_time(DEADLINE, write::refresh(&self.shared, services)).await;
        refreshed.unwrap_or_else(|error| vec![Err(error); services.len()])
    }

    async fn changed(&self) -> Change {
        let shared = &self.shared;
        self.watch_task.get_or_init(|| AbortOnDropHandle::new(tokio::spawn(watch::watch(Arc::clone(shared)))));
        tokio::select! {
            () = super::watch::changed(&shared.engine) => Change::Content,
            () = shared.engine.store.credentials_changed() => Change::Credentials,
        }
    }

    async fn close(&self) {
        if let Some(task) = self.keep_alive_task.get() {
            task.abort();
        }
        leases::release(&self.shared.engine).await;
    }
}
