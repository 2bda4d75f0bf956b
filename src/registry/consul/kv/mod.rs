//! Consul's key-value store: `prefix/<name>/<id>` = `ip:port`, for readers that watch keys instead of services.
//!
//! Stands below [`crate::registry::kv`], which decides what to write; here is how Consul does it: [`txn`] writes,
//! [`session`] makes keys expire, [`watch`] hears of other hands. Where Consul is, and who we are to it, is told as for
//! its agent. Keys begin with a slash above, and without one in Consul.

mod session;
mod txn;
mod watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::{Method, StatusCode};
use serde::Deserialize;

use crate::config::RegistryConfig;
use crate::registry::kv::{Applied, Held, KvRegistry, News, Plain, Records, Store, Write};
use crate::registry::reporter::Reporter;
use crate::registry::text::one_line;
use crate::registry::uri::Uri;
use crate::registry::{OpenError, Registry, RegistryError};

use super::client::{Answer, Client, DEADLINE};
use super::settings::{Settings, Tree};
use session::Sessions;

/// The most characters of a key that a line repeats.
const KEY_LIMIT: usize = 300;

/// Opens Consul's key-value store for `consulkv:`, `consulkv-tls:`, `consulkv-unix:`, and `consul:` with a prefix.
///
/// # Errors
/// When the URI or the `CONSUL_*` variables cannot be used.
pub(in crate::registry) fn open(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Arc<dyn Registry>, OpenError> {
    let (settings, Tree { root, records }) = Settings::of_tree(uri, config)?;
    let client =
        Client::new(settings, reporter.clone()).map_err(|error| OpenError::Settings(format!("consulkv: {error}")))?;
    let records = Records::new(&root, &records);
    let store = ConsulKv { client, sessions: Sessions::default(), reporter: reporter.clone() };
    Ok(Arc::new(KvRegistry::new(Box::new(store), Box::new(Plain::new(root)), records, config, reporter.clone())))
}

struct ConsulKv {
    client: Client,
    sessions: Sessions,
    reporter: Reporter,
}

/// A key as Consul tells it (<https://developer.hashicorp.com/consul/api-docs/kv>).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    key: String,
    /// Base64; null for nothing.
    value: Option<String>,
    modify_index: u64,
    /// What it goes with.
    session: Option<String>,
}

/// All below a prefix, at one moment.
struct Listing {
    items: Vec<Item>,
    /// What to wait for the next change with.
    index: Option<u64>,
}

impl ConsulKv {
    /// Reads what is below a prefix; with an index, when that changes or after so long.
    async fn listing(
        &self,
        prefix: &str,
        wait: Option<(u64, Duration)>,
        deadline: Duration,
    ) -> Result<Listing, RegistryError> {
        let path: Vec<_> = std::iter::once("kv").chain(inside(prefix).split('/')).collect();
        let waiting = wait.map(|(index, wait)| (index.to_string(), format!("{}s", wait.as_secs())));
        let mut query = vec![("recurse", "")];
        if let Some((index, wait)) = &waiting {
            query.extend([("index", index.as_str()), ("wait", wait.as_str())]);
        }
        let answer = self.client.ask(Method::GET, &path, &query, None, deadline).await?;
        let items = match answer.status {
            // Nothing is there, says Consul; a server that knows of no index is none.
            StatusCode::NOT_FOUND if answer.index.is_some() => Vec::new(),
            StatusCode::OK => self.parsed(&answer)?,
            _ => return Err(self.client.refusal(&answer, true, &format!("key_prefix:read on \"{}\"", inside(prefix)))),
        };
        Ok(Listing { items, index: answer.index })
    }

    fn parsed<T: for<'a> Deserialize<'a>>(&self, answer: &Answer) -> Result<T, RegistryError> {
        serde_json::from_slice(&answer.body)
            .map_err(|_| self.client.unreachable("its answer cannot be read: is this a Consul agent?"))
    }

    async fn held(&self, items: Vec<Item>) -> Result<Vec<Held>, RegistryError> {
        let ttls = self.sessions.ttls(&self.client, items.iter().filter_map(|item| item.session.as_deref())).await?;
        let held = items.into_iter().map(|item| Held {
            key: format!("/{}", item.key),
            // Whatever is none of base64, nobody can have written.
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
        let leader = self.client.leader().await?;
        self.reporter.info("leader", format!("consulkv: current leader  {}", one_line(&leader, KEY_LIMIT)));
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Held>, RegistryError> {
        let listing = self.listing(prefix, None, DEADLINE).await?;
        self.held(listing.items).await
    }

    async fn get(&self, key: &str) -> Result<Option<Held>, RegistryError> {
        let mut found = txn::get(&self.client, &[key]).await;
        match found.pop().unwrap_or(Ok(None))? {
            None => Ok(None),
            Some(item) => Ok(self.held(vec![item]).await?.pop()),
        }
    }

    async fn get_all(&self, keys: &[String]) -> Result<Vec<Option<Held>>, RegistryError> {
        let asked: Vec<_> = keys.iter().map(String::as_str).collect();
        let found: Vec<_> = txn::get(&self.client, &asked).await.into_iter().collect::<Result<_, _>>()?;
        let held = self.held(found.into_iter().flatten().collect()).await?;
        let mut held: HashMap<_, _> = held.into_iter().map(|held| (held.key.clone(), held)).collect();
        Ok(keys.iter().map(|key| held.remove(key)).collect())
    }

    async fn apply(&self, writes: &[Write]) -> Vec<Result<Applied, RegistryError>> {
        txn::apply(&self.client, &self.sessions, writes).await
    }

    async fn renew(&self, keys: &[(String, Duration)]) -> Vec<Result<(), RegistryError>> {
        let keys: Vec<_> = keys.iter().map(|(key, _)| key.as_str()).collect();
        session::renew(&self.client, &keys).await
    }

    async fn watch(&self, prefixes: &[String], tell: &(dyn Fn(News) + Send + Sync)) -> RegistryError {
        watch::watch(self, prefixes, tell).await
    }
}

/// A key or prefix as Consul has it.
fn inside(key: &str) -> &str {
    key.strip_prefix('/').unwrap_or(key)
}
