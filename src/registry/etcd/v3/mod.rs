//! etcd's v3 API as a key-value store: ranges, transactions, leases, watches.
//!
//! Keys with a TTL are bound to a lease of this run, one per TTL. Renewing a key keeps its lease alive, whichever
//! instance it was granted to. So entries of a dead instance stay without being written.

mod connection;
mod failure;
mod lease;
mod read;
pub(super) mod reader;
mod watch;
mod write;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::KeyValue;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::watch::Receiver;

use crate::registry::kv::{Applied, Keys, Store, StoreEvent, Stored, Transaction};
use crate::registry::{self, About, Cause, RegistryError, Site};

use super::{Settings, about};
use connection::Connection;
use failure::Failure;
use lease::Leases;
use read::CHUNK;
use watch::History;

/// How many requests for single keys are on their way at once.
const CONCURRENCY: usize = 8;

/// An etcd cluster.
pub(in crate::registry) struct Etcd3 {
    connection: Connection,
    leases: Leases,
    history: History,
}

impl Etcd3 {
    pub(in crate::registry) fn new(settings: Settings) -> Self {
        Self { connection: Connection::new(settings), leases: Leases::default(), history: History::default() }
    }

    /// In the store's form; keys that are not text are not ours.
    async fn held(&self, keys: Vec<KeyValue>) -> Result<Vec<Stored>, Failure> {
        let ttls = self.leases.ttls(&self.connection, keys.iter().map(KeyValue::lease)).await?;
        Ok(keys.into_iter().filter_map(|key| held(key, &ttls)).collect())
    }
}

#[async_trait]
impl Store for Etcd3 {
    async fn ping(&self) -> Result<(), RegistryError> {
        // The key that etcd's own tool reads for a health check.
        let asked = self.connection.call(|client| async move { client.kv_client().get("health", None).await }).await;
        match asked {
            // An answer about missing rights counts as well.
            Ok(_) | Err(Failure::Refused(Cause::Rights, _)) => Ok(()),
            Err(failure) => Err(self.connection.error(failure)),
        }
    }

    fn site(&self) -> Site {
        about::site(self.connection.settings(), registry::Store::Etcd3)
    }

    async fn about(&self) -> Result<About, RegistryError> {
        about::about(self.connection.settings()).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Stored>, RegistryError> {
        let list = async { self.held(read::range(&self.connection, prefix).await?).await };
        list.await.map_err(|failure| self.connection.error(failure))
    }

    async fn get(&self, key: &str) -> Result<Option<Stored>, RegistryError> {
        let get = async {
            let mut answer =
                self.connection.call(|client| async move { client.kv_client().get(key, None).await }).await?;
            self.held(answer.take_kvs()).await
        };
        get.await.map(|held| held.into_iter().next()).map_err(|failure| self.connection.error(failure))
    }

    async fn get_all(&self, keys: &[String]) -> Result<Vec<Option<Stored>>, RegistryError> {
        let got = async {
            let chunks: Vec<_> = keys.chunks(CHUNK).map(|keys| read::chunk(&self.connection, keys)).collect();
            let found: Vec<_> = stream::iter(chunks).buffered(CONCURRENCY).try_collect().await?;
            self.held(found.into_iter().flat_map(|(found, _)| found).collect()).await
        };
        let held = got.await.map_err(|failure| self.connection.error(failure))?;
        let mut held: HashMap<_, _> = held.into_iter().map(|held| (held.key.clone(), held)).collect();
        Ok(keys.iter().map(|key| held.remove(key)).collect())
    }

    async fn apply(&self, writes: &[Transaction]) -> Vec<Result<Applied, RegistryError>> {
        let applied = write::apply(&self.connection, &self.leases, writes).await;
        for applied in applied.iter().flatten() {
            if let Applied::Done(versions) = applied {
                versions.iter().for_each(|version| self.history.reached(*version));
            }
        }
        applied.into_iter().map(|applied| applied.map_err(|failure| self.connection.error(failure))).collect()
    }

    async fn renew(&self, keys: &[(String, Duration)]) -> Vec<Result<(), RegistryError>> {
        let keys: Vec<_> = keys.iter().map(|(key, _)| key.as_str()).collect();
        let renewed = lease::renew(&self.connection, &keys).await;
        renewed.into_iter().map(|renewed| renewed.map_err(|failure| self.connection.error(failure))).collect()
    }

    async fn credentials_changed(&self) {
        self.connection.credentials_changed().await;
    }

    async fn watch(&self, prefixes: &[String], report: &(dyn Fn(StoreEvent) + Send + Sync)) -> RegistryError {
        self.connection.error(watch::below(&self.connection, prefixes, report).await)
    }

    fn hears_of_single_keys(&self) -> bool {
        true
    }

    async fn watch_keys(
        &self,
        keys: &mut Receiver<Keys>,
        report: &(dyn Fn(StoreEvent) + Send + Sync),
    ) -> RegistryError {
        self.connection.error(watch::keys(&self.connection, &self.history, keys, report).await)
    }
}

fn held(key: KeyValue, ttls: &HashMap<i64, Duration>) -> Option<Stored> {
    let (version, lease) = (key.mod_revision().unsigned_abs(), key.lease());
    let (key, value) = key.into_key_value();
    let ttl = (lease != 0).then(|| ttls.get(&lease).copied().unwrap_or_default());
    Some(Stored { key: String::from_utf8(key).ok()?, value, version, ttl })
}
