//! Redis and Valkey: a key-value store for services, and a reader of keys for rendered files.
//!
//! `<prefix>/<name>/<id>` = `ip:port`. [`crate::registry::kv`] decides what to write; this module talks to the server:
//! [`settings`] reads the URI, [`connect`] and [`connection`] reach the server or the master that sentinels name, [`read`]
//! and [`write`] are what they say, [`watch`] hears of changes by [`events`], and [`failure`] says what went wrong.
//! Redis has neither versions of keys nor leases: a value is its own version ([`read::version`]), and each key has its own
//! TTL ([`ttls`]).

mod about;
mod address;
mod anchors;
mod connect;
mod connection;
mod events;
mod failure;
mod pattern;
mod read;
pub(super) mod reader;
mod settings;
mod ttls;
mod watch;
mod write;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use redis::cmd;
use tokio::sync::watch::Receiver;

use crate::config::RegistryConfig;

use super::kv::{
    Applied, ClaimKeys, Keys, KvRegistry, Operation, Plain, Store, StoreEvent, Stored, TraefikRegistry, Transaction,
};
use super::reporter::Reporter;
use super::services::{ServiceReader, StoredServices};
use super::traefik;
use super::uri::Uri;
use super::{About, Cause, OpenError, Registry, RegistryError, Site};
use anchors::Anchors;
use connection::Connection;
use read::Found;
use reader::RedisReader;
use settings::Settings;
use ttls::Ttls;

/// How long a request for a few keys may take, and one for all keys with a prefix.
const DEADLINE: Duration = Duration::from_secs(9);
const LISTING: Duration = Duration::from_secs(40);

/// Opens Redis for `redis:`, `rediss:`, `redis+sentinel:` and `rediss+sentinel:`, and the same with `valkey`.
///
/// # Errors
/// When the URI, the `REDIS_*` variables or the files that they name cannot be used.
pub(super) fn open(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Arc<dyn Registry>, OpenError> {
    let (layout, query) = traefik::take(uri, &config.uri)?;
    let uri = &Uri { query: query.as_deref(), ..*uri };
    let settings = match &layout {
        Some(_) => Settings::below(traefik::ROOT, uri, config)?,
        None => Settings::new(uri, config)?,
    };
    if let Some(line) = settings.unencrypted() {
        reporter.warn("unencrypted", format!("redis: {line}"));
    }
    let Settings { reach, root, records, names } = settings;
    let ttl = layout.as_ref().map(|_| TraefikRegistry::ttl_of(config)).or(config.ttl);
    let store = Box::new(Redis {
        connection: Connection::new(reach, names),
        ttls: Ttls::new(ttl),
        anchors: Anchors::default(),
        probe: format!("{records}/probe-{:016x}", fastrand::u64(..)),
        say_untold: AtomicBool::new(true),
        reporter: reporter.clone(),
    });
    Ok(match layout {
        Some(layout) => Arc::new(TraefikRegistry::new(store, (&root, &records), layout, config, reporter.clone())),
        None => {
            let claims = ClaimKeys::new(&root, &records);
            Arc::new(KvRegistry::new(store, Box::new(Plain::new(root)), claims, config, reporter.clone()))
        }
    })
}

/// Opens the services in Redis for reading.
///
/// # Errors
/// As [`open`].
pub(super) fn services(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Arc<dyn ServiceReader>, OpenError> {
    let Settings { reach, root, names, .. } = Settings::new(uri, config)?;
    // Keys begin with a slash where they are read, whether or not they do in Redis.
    let layout = Plain::new(if root.is_empty() || root.starts_with('/') { root.clone() } else { format!("/{root}") });
    let is_bare = layout_is_bare(&root);
    let reader = RedisReader::new(Connection::new(reach, names), reporter.clone(), is_bare);
    Ok(StoredServices::of_layout(Box::new(reader), layout))
}

/// Whether keys with this prefix begin without a slash in Redis.
fn layout_is_bare(root: &str) -> bool {
    !root.is_empty() && !root.starts_with('/')
}

/// A database of a Redis server.
pub(super) struct Redis {
    connection: Connection,
    ttls: Ttls,
    anchors: Anchors,
    /// The key that is written to find out whether the server tells of changes, where it does not say.
    probe: String,
    /// Whether to say so if the server does not tell of changes.
    say_untold: AtomicBool,
    reporter: Reporter,
}

impl Redis {
    fn stored(&self, key: String, found: Found) -> Stored {
        let Found { value, remaining } = found;
        let version = read::version(&value);
        Stored { key, value, version, ttl: remaining.map(|remaining| self.ttls.of(remaining)) }
    }

    /// Whether a key that must be there is not. Each is told of once.
    async fn has_lost_anything(&self) -> Result<bool, RegistryError> {
        let keys = self.anchors.all();
        if keys.is_empty() {
            return Ok(false);
        }
        let asked = keys.as_slice();
        let versions =
            self.connection.call(DEADLINE, |mut to| async move { read::versions(&mut to, asked).await }).await?;
        let lost: Vec<_> =
            keys.into_iter().zip(versions).filter(|(_, version)| version.is_none()).map(|(key, _)| key).collect();
        self.anchors.lost(&lost);
        Ok(!lost.is_empty())
    }
}

#[async_trait]
impl Store for Redis {
    async fn ping(&self) -> Result<(), RegistryError> {
        let asked = self
            .connection
            .call(DEADLINE, |mut to| async move { cmd("PING").query_async::<String>(&mut to).await })
            .await;
        match asked {
            // Who may not even ping may have other rights.
            Ok(_) => Ok(()),
            Err(RegistryError::Refused { cause: Cause::Rights, text }) if text.contains("denies it") => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn site(&self) -> Site {
        self.connection.reach().site()
    }

    async fn about(&self) -> Result<About, RegistryError> {
        about::about(&self.connection).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Stored>, RegistryError> {
        let read = self.connection.call(LISTING, |mut to| async move {
            let keys = read::keys(&mut to, prefix).await?;
            let found = read::found(&mut to, &keys).await?;
            Ok(keys.into_iter().zip(found).collect::<Vec<_>>())
        });
        let read = read.await?;
        let stored = read.into_iter().filter_map(|(key, found)| Some(self.stored(key, found?)));
        let stored: Vec<_> = stored.collect();
        self.anchors.found(stored.iter().map(|stored| &stored.key));
        Ok(stored)
    }

    async fn get(&self, key: &str) -> Result<Option<Stored>, RegistryError> {
        let mut found = self.get_all(&[key.to_owned()]).await?;
        Ok(found.pop().flatten())
    }

    async fn get_all(&self, keys: &[String]) -> Result<Vec<Option<Stored>>, RegistryError> {
        let found = self.connection.call(LISTING, |mut to| async move { read::found(&mut to, keys).await }).await?;
        Ok(keys.iter().zip(found).map(|(key, found)| Some(self.stored(key.clone(), found?))).collect())
    }

    async fn apply(&self, writes: &[Transaction]) -> Vec<Result<Applied, RegistryError>> {
        for step in writes.iter().flatten() {
            if let Operation::Put { ttl: Some(ttl), .. } = step.operation {
                self.ttls.give(ttl);
            }
        }
        let results = write::apply(&self.connection, writes).await;
        self.anchors.wrote(writes, &results);
        results
    }

    async fn renew(&self, keys: &[(String, Duration)]) -> Vec<Result<(), RegistryError>> {
        match write::renew(&self.connection, keys).await {
            Ok(results) => results,
            Err(error) => vec![Err(error); keys.len()],
        }
    }

    async fn credentials_changed(&self) {
        self.connection.credentials_changed().await;
    }

    async fn watch(&self, prefixes: &[String], report: &(dyn Fn(StoreEvent) + Send + Sync)) -> RegistryError {
        watch::below(self, prefixes, report).await
    }

    fn hears_of_single_keys(&self) -> bool {
        true
    }

    async fn watch_keys(
        &self,
        keys: &mut Receiver<Keys>,
        report: &(dyn Fn(StoreEvent) + Send + Sync),
    ) -> RegistryError {
        watch::each(self, keys, report).await
    }
}
