//! Consul's key-value store: `prefix/<name>/<id>` = `ip:port`, for readers that watch keys instead of services.
//!
//! [`crate::registry::kv`] decides what to write; this module talks to Consul: [`listing`] and [`txn`] read, [`txn`]
//! writes, [`session`] and [`renew`] make keys expire, [`watch`] waits for changes. Address and credentials are set as
//! for the agent. Keys start with a slash in `kv`, and without one in Consul.

mod item;
mod listing;
pub(in crate::registry) mod reader;
mod renew;
mod session;
mod txn;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::config::RegistryConfig;
use crate::registry::kv::{
    Applied, ClaimKeys, KvRegistry, Plain, Store, StoreEvent, Stored, TraefikRegistry, Transaction,
};
use crate::registry::reporter::Reporter;
use crate::registry::services::{ServiceReader, StoredServices};
use crate::registry::text::one_line;
use crate::registry::traefik;
use crate::registry::uri::Uri;
use crate::registry::{self, About, OpenError, Registry, RegistryError, Site};

use super::client::{Client, DEADLINE};
use super::settings::{Settings, TLS_NAMES, Tree};
pub(super) use item::parsed;
use item::{Item, KEY_LIMIT};
use reader::ConsulReader;
use session::Sessions;

/// Opens Consul's key-value store for `consulkv:`, `consulkv-tls:`, `consulkv-unix:`, and `consul:` with a prefix.
///
/// # Errors
/// When the URI or the `CONSUL_*` variables cannot be used.
pub(in crate::registry) fn open(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Arc<dyn Registry>, OpenError> {
    let (layout, query) = traefik::take(uri, &config.uri)?;
    let uri = &Uri { query: query.as_deref(), ..*uri };
    let (settings, Tree { root, records }) = Settings::of_tree(uri, config)?;
    let client = Client::new(settings, reporter.clone())
        .map_err(|error| OpenError::Settings(format!("consulkv: {}", TLS_NAMES.of_files(&error))))?;
    if let Some(advice) = config.ttl.and_then(session::advice) {
        reporter.warn("ttl", advice);
    }
    if let Some(layout) = layout {
        let (root, records) = match root.as_str() {
            "" => (format!("/{}", traefik::ROOT), format!("{records}/{}", traefik::ROOT)),
            _ => (root, records),
        };
        let store = Box::new(ConsulKv { client, sessions: Sessions::default(), reporter: reporter.clone() });
        return Ok(Arc::new(TraefikRegistry::new(store, (&root, &records), layout, config, reporter.clone())));
    }
    let claims = ClaimKeys::new(&root, &records);
    let store = ConsulKv { client, sessions: Sessions::default(), reporter: reporter.clone() };
    Ok(Arc::new(KvRegistry::new(Box::new(store), Box::new(Plain::new(root)), claims, config, reporter.clone())))
}

/// Opens the services in Consul's key-value store for reading.
///
/// # Errors
/// As [`open`].
pub(in crate::registry) fn services(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Arc<dyn ServiceReader>, OpenError> {
    let (settings, Tree { root, .. }) = Settings::of_tree(uri, config)?;
    let client = Client::new(settings, reporter.clone())
        .map_err(|error| OpenError::Settings(format!("consulkv: {}", TLS_NAMES.of_files(&error))))?;
    Ok(StoredServices::of_layout(Box::new(ConsulReader::new(client)), Plain::new(root)))
}

struct ConsulKv {
    client: Client,
    sessions: Sessions,
    reporter: Reporter,
}

impl ConsulKv {
    async fn held(&self, items: Vec<Item>) -> Result<Vec<Stored>, RegistryError> {
        let ttls = self.sessions.ttls(&self.client, items.iter().filter_map(|item| item.session.as_deref())).await?;
        let held = items.into_iter().map(|item| Stored {
            key: format!("/{}", item.key),
            // Consul sends values as base64; anything else is not from Consul.
            value: BASE64_STANDARD.decode(item.value.unwrap_or_default()).unwrap_or_default(),
            version: item.modify_index,
            ttl: item.session.map(|session| ttls.get(&session).copied().unwrap_or_default()),
        });
        Ok(held.collect())
    }
}

#[async_trait]
impl Store for ConsulKv {
    async fn ping(&self) -> Result<(), RegistryError> {
        let leader = self.client.reach().await?;
        self.reporter.info("leader", format!("consulkv: current leader  {}", one_line(&leader, KEY_LIMIT)));
        Ok(())
    }

    fn site(&self) -> Site {
        self.client.site(registry::Store::ConsulKv)
    }

    async fn about(&self) -> Result<About, RegistryError> {
        self.client.about().await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Stored>, RegistryError> {
        let listing = listing::read(&self.client, prefix, None, DEADLINE).await?;
        self.held(listing.items).await
    }

    async fn get(&self, key: &str) -> Result<Option<Stored>, RegistryError> {
        let mut found = txn::get(&self.client, &[key]).await;
        match found.pop().unwrap_or(Ok(None))? {
            None => Ok(None),
            Some(item) => Ok(self.held(vec![item]).await?.pop()),
        }
    }

    async fn get_all(&self, keys: &[String]) -> Result<Vec<Option<Stored>>, RegistryError> {
        let asked: Vec<_> = keys.iter().map(String::as_str).collect();
        let found: Vec<_> = txn::get(&self.client, &asked).await.into_iter().collect::<Result<_, _>>()?;
        let held = self.held(found.into_iter().flatten().collect()).await?;
        let mut held: HashMap<_, _> = held.into_iter().map(|held| (held.key.clone(), held)).collect();
        Ok(keys.iter().map(|key| held.remove(key)).collect())
    }

    async fn apply(&self, writes: &[Transaction]) -> Vec<Result<Applied, RegistryError>> {
        txn::apply(&self.client, &self.sessions, writes).await
    }

    async fn renew(&self, keys: &[(String, Duration)]) -> Vec<Result<(), RegistryError>> {
        let keys: Vec<_> = keys.iter().map(|(key, _)| key.as_str()).collect();
        renew::keys(&self.client, &keys).await
    }

    async fn credentials_changed(&self) {
        self.client.credentials_changed().await;
    }

    async fn watch(&self, prefixes: &[String], report: &(dyn Fn(StoreEvent) + Send + Sync)) -> RegistryError {
        watch::watch(&self.client, prefixes, report).await
    }
}
