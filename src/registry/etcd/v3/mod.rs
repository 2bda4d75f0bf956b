//! etcd's v3 API as a key-value store: ranges, transactions, leases, watches.
//!
//! Keys that are to expire are bound to a lease, one for each TTL, which belongs to this run. Renewing a key keeps its
//! lease alive, whoever granted that: so entries that a dead instance left live on without being written.

mod connection;
mod failure;
mod lease;
mod write;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use etcd_client::{EventType, GetOptions, KeyValue, Txn, TxnOp, TxnOpResponse, WatchOptions, WatchStream};
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::timeout;

use crate::registry::kv::{Applied, Store, StoreEvent, Stored, Transaction};
use crate::registry::{Cause, RegistryError};

use super::Settings;
use connection::Connection;
use failure::Failure;
use lease::Leases;

/// How many keys are read at once: an answer may not be larger than 4 MiB.
const PAGE: i64 = 2000;
/// How many are asked for by name in one transaction; servers take 128 steps.
const KEYS: usize = 120;
/// How many of these are on their way at once.
const CONCURRENCY: usize = 8;
/// How long beginning to watch may take.
const WATCH: Duration = Duration::from_secs(6);

/// An etcd cluster.
pub(in crate::registry) struct Etcd3 {
    connection: Connection,
    leases: Leases,
}

impl Etcd3 {
    pub(in crate::registry) fn new(settings: Settings) -> Self {
        Self { connection: Connection::new(settings), leases: Leases::default() }
    }

    /// Everything in a range of keys, at one moment.
    async fn range(&self, prefix: &str) -> Result<Vec<KeyValue>, Failure> {
        let (mut from, end) = (prefix.as_bytes().to_vec(), end_of(prefix));
        let mut revision = 0;
        let mut all = Vec::new();
        loop {
            let options = GetOptions::new().with_range(end.clone()).with_limit(PAGE).with_revision(revision);
            let mut page = self
                .connection
                .call(|client| {
                    let (from, options) = (from.clone(), options.clone());
                    async move { client.kv_client().get(from, Some(options)).await }
                })
                .await?;
            revision = page.header().map_or(0, etcd_client::ResponseHeader::revision);
            let more = page.more();
            let keys = page.take_kvs();
            if let Some(last) = keys.last().filter(|_| more) {
                from = [last.key(), b"\0"].concat();
                all.extend(keys);
            } else {
                all.extend(keys);
                return Ok(all);
            }
        }
    }

    /// Those of these keys that are there, at one moment.
    async fn chunk(&self, keys: &[String]) -> Result<Vec<KeyValue>, Failure> {
        let gets: Vec<_> = keys.iter().map(|key| TxnOp::get(key.as_str(), None)).collect();
        let answer = self
            .connection
            .call(|client| {
                let txn = Txn::new().and_then(gets.clone());
                async move { client.kv_client().txn(txn).await }
            })
            .await?;
        let found = answer.op_responses().into_iter().filter_map(|response| match response {
            TxnOpResponse::Get(mut found) => Some(found.take_kvs()),
            _ => None,
        });
        Ok(found.flatten().collect())
    }

    /// As the engine takes them; keys that are no text are none of ours.
    async fn held(&self, keys: Vec<KeyValue>) -> Result<Vec<Stored>, Failure> {
        let ttls = self.leases.ttls(&self.connection, keys.iter().map(KeyValue::lease)).await?;
        Ok(keys.into_iter().filter_map(|key| held(key, &ttls)).collect())
    }

    /// Begins to watch, on one server.
    async fn watching(&self, prefixes: &[String]) -> Result<(WatchStream, u64), (Failure, Option<u64>)> {
        let (client, generation) = self.connection.client().await.map_err(|failure| (failure, None))?;
        let begun = async {
            let mut stream: Option<WatchStream> = None;
            for prefix in prefixes {
                let options = WatchOptions::new().with_range(end_of(prefix));
                match &mut stream {
                    None => stream = Some(client.watch_client().watch(prefix.as_str(), Some(options)).await?),
                    Some(stream) => stream.watch(prefix.as_str(), Some(options)).await?,
                }
            }
            stream.ok_or_else(|| Failure::Refused(Cause::Server, "nothing to watch".to_owned()))
        };
        match timeout(WATCH, begun).await {
            Ok(Ok(stream)) => Ok((stream, generation)),
            Ok(Err(failure)) => Err((failure, Some(generation))),
            Err(_) => Err((Failure::Away("no answer in time".to_owned()), Some(generation))),
        }
    }
}

#[async_trait]
impl Store for Etcd3 {
    async fn ping(&self) -> Result<(), RegistryError> {
        // What its own tool asks for to see whether a server is well.
        let asked = self.connection.call(|client| async move { client.kv_client().get("health", None).await }).await;
        match asked {
            // Who has no right to this key is answered.
            Ok(_) | Err(Failure::Refused(Cause::Rights, _)) => Ok(()),
            Err(failure) => Err(self.connection.error(failure)),
        }
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Stored>, RegistryError> {
        let list = async { self.held(self.range(prefix).await?).await };
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
            let chunks: Vec<_> = keys.chunks(KEYS).map(|keys| self.chunk(keys)).collect();
            let found: Vec<_> = stream::iter(chunks).buffered(CONCURRENCY).try_collect().await?;
            self.held(found.concat()).await
        };
        let held = got.await.map_err(|failure| self.connection.error(failure))?;
        let mut held: HashMap<_, _> = held.into_iter().map(|held| (held.key.clone(), held)).collect();
        Ok(keys.iter().map(|key| held.remove(key)).collect())
    }

    async fn apply(&self, writes: &[Transaction]) -> Vec<Result<Applied, RegistryError>> {
        let applied = write::apply(&self.connection, &self.leases, writes).await;
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

    async fn watch(&self, prefixes: &[String], tell: &(dyn Fn(StoreEvent) + Send + Sync)) -> RegistryError {
        let (mut stream, generation) = match self.watching(prefixes).await {
            Ok(watching) => watching,
            Err((failure, generation)) => {
                self.connection.leave(generation);
                return self.connection.error(failure);
            }
        };
        let mut created = 0;
        let failure = loop {
            match stream.message().await {
                Ok(Some(answer)) if answer.canceled() => {
                    return self
                        .connection
                        .error(Failure::Away(format!("the watch was ended: {}", answer.cancel_reason())));
                }
                Ok(Some(answer)) => {
                    if answer.created() {
                        created += 1;
                        if created == prefixes.len() {
                            tell(StoreEvent::Started);
                        }
                    }
                    for event in answer.events() {
                        let Some((key, kv)) = event.kv().and_then(|kv| Some((kv.key_str().ok()?.to_owned(), kv)))
                        else {
                            continue;
                        };
                        let gone = event.event_type() == EventType::Delete;
                        tell(StoreEvent::Changed { key, version: kv.mod_revision().unsigned_abs(), gone });
                    }
                }
                Ok(None) => break Failure::Away("the watch has ended".to_owned()),
                Err(error) => break Failure::from(error),
            }
        };
        self.connection.leave(Some(generation));
        self.connection.error(failure)
    }
}

fn held(key: KeyValue, ttls: &HashMap<i64, Duration>) -> Option<Stored> {
    let (version, lease) = (key.mod_revision().unsigned_abs(), key.lease());
    let (key, value) = key.into_key_value();
    let ttl = (lease != 0).then(|| ttls.get(&lease).copied().unwrap_or_default());
    Some(Stored { key: String::from_utf8(key).ok()?, value, version, ttl })
}

/// The first key behind all that begin with this, which ends with a slash.
fn end_of(prefix: &str) -> Vec<u8> {
    let mut end = prefix.as_bytes().to_vec();
    if let Some(last) = end.last_mut() {
        *last += 1;
    }
    end
}
