//! etcd's v2 API as a key-value store: plain HTTP, one request per key.
//!
//! It has no transactions. The steps of a write are made one by one, each on condition that nothing changed in between.
//! A TTL belongs to a key; renewing it notifies no watcher.

mod answer;
mod connection;
pub(super) mod reader;

use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, stream};
use http::Method;
use tokio::time::{Instant, sleep};

use crate::registry::kv::{Applied, Condition, Operation, Step, Store, StoreEvent, Stored, Transaction};
use crate::registry::{self, About, RegistryError, Site};

use super::{Settings, about};
use answer::Failure;
use connection::{Connection, Request};

/// How many requests are sent at once.
const CONCURRENCY: usize = 32;
/// How long is waited, for each key that was asked for, before all are asked for again: each takes a request, and the
/// agreement of the cluster.
const PAUSE_EACH: Duration = Duration::from_millis(250);
/// A wait that ends sooner than this without a change is not valid.
const TOO_SOON: Duration = Duration::from_secs(1);

/// An etcd cluster.
pub(in crate::registry) struct Etcd2 {
    connection: Connection,
    root: String,
    ttl: Option<Duration>,
}

impl Etcd2 {
    /// The TTL of entries.
    pub(in crate::registry) fn new(settings: Settings, ttl: Option<Duration>) -> Self {
        Self { root: settings.root.clone(), connection: Connection::new(settings), ttl }
    }

    /// Whether the server offers this API.
    pub(super) async fn served(&self) -> Result<bool, RegistryError> {
        match self.get_node("/", &[]).await {
            Err(Failure::NotServed) => Ok(false),
            Err(failure @ Failure::Away(_)) => {
                self.connection.read_files();
                Err(self.connection.error(failure))
            }
            Ok(_) | Err(_) => Ok(true),
        }
    }

    async fn get_node(&self, key: &str, query: &[(&str, &str)]) -> Result<Vec<Stored>, Failure> {
        let query = [&[("quorum", "true")], query].concat();
        let answer = self.connection.ask(Request { method: &Method::GET, key, query: &query, form: &[] }).await?;
        Ok(answer.node.map(|node| node.held(self.ttl)).unwrap_or_default())
    }

    async fn find(&self, key: &str) -> Result<Option<Stored>, Failure> {
        match self.get_node(key, &[]).await {
            Err(Failure::Missing) => Ok(None),
            found => Ok(found?.into_iter().find(|held| held.key == key)),
        }
    }

    /// Makes the steps of a write in turn.
    async fn write(&self, write: &Transaction) -> Result<Applied, Failure> {
        let mut versions = Vec::with_capacity(write.len());
        for step in write {
            match self.take(step).await {
                Ok(version) => versions.push(version),
                Err(Failure::Conflict | Failure::Missing) => return Ok(Applied::Conflict),
                Err(failure) => return Err(failure),
            }
        }
        Ok(Applied::Done(versions))
    }

    /// Makes one step. Returns the key's version.
    async fn take(&self, step: &Step) -> Result<u64, Failure> {
        let key = step.key.as_str();
        let version;
        let condition = match step.condition {
            Condition::Absent => ("prevExist", "false"),
            Condition::At(at) => {
                version = at.to_string();
                ("prevIndex", version.as_str())
            }
        };
        let query = [condition];
        let answer = match &step.operation {
            Operation::Check => {
                let there = self.find(key).await?.map_or(Condition::Absent, |held| Condition::At(held.version));
                return if there == step.condition { Ok(0) } else { Err(Failure::Conflict) };
            }
            Operation::Put { value, ttl } => {
                let seconds = ttl.map(seconds);
                let mut form = vec![("value", value.as_str())];
                form.extend(seconds.as_ref().map(|seconds| ("ttl", seconds.as_str())));
                self.connection.ask(Request { method: &Method::PUT, key, query: &query, form: &form }).await?
            }
            Operation::Delete => {
                self.connection.ask(Request { method: &Method::DELETE, key, query: &query, form: &[] }).await?
            }
        };
        Ok(answer.node.map_or(0, |node| node.modified_index))
    }

    async fn renew_one(&self, key: &str, ttl: Duration) -> Result<(), Failure> {
        let seconds = seconds(ttl);
        let form = [("ttl", seconds.as_str()), ("refresh", "true")];
        let query = [("prevExist", "true")];
        self.connection.ask(Request { method: &Method::PUT, key, query: &query, form: &form }).await.map(drop)
    }

    /// Reports changes below one prefix until that fails.
    async fn watch_one(&self, prefix: &str, tell: &(dyn Fn(StoreEvent) + Send + Sync)) -> Failure {
        let key = prefix.trim_end_matches('/');
        let query = [("quorum", "true")];
        let asked = self.connection.ask_from(Request { method: &Method::GET, key, query: &query, form: &[] }).await;
        let mut index = match asked {
            Ok((Err(failure @ Failure::NotServed | failure @ Failure::Refused(..)), _)) | Err(failure) => {
                return failure;
            }
            Ok((_, None)) => return Failure::Away("it does not say how far its history is".to_owned()),
            Ok((_, Some(index))) => index + 1,
        };
        tell(StoreEvent::Started);
        loop {
            let start = Instant::now();
            match self.connection.wait(key, index).await {
                Ok(answer) => {
                    let Some(node) = answer.node else { continue };
                    index = node.modified_index + 1;
                    let gone = matches!(answer.action.as_str(), "delete" | "expire" | "compareAndDelete");
                    if node.dir {
                        // The keys below it disappeared without an event.
                        tell(StoreEvent::Started);
                    } else {
                        let version = (!gone).then_some(node.modified_index);
                        tell(StoreEvent::Seen { key: node.key, version, at: node.modified_index });
                    }
                }
                // Nothing seems to have happened.
                Err(Failure::Away(_)) if start.elapsed() > TOO_SOON => sleep(TOO_SOON).await,
                Err(failure) => return failure,
            }
        }
    }
}

#[async_trait]
impl Store for Etcd2 {
    async fn ping(&self) -> Result<(), RegistryError> {
        match self.get_node(&self.root, &[]).await {
            Ok(_) | Err(Failure::Missing) => Ok(()),
            Err(failure) => {
                // At the first contact nobody watches the files yet.
                self.connection.read_files();
                Err(self.connection.error(failure))
            }
        }
    }

    fn site(&self) -> Site {
        about::site(self.connection.settings(), registry::Store::Etcd2)
    }

    async fn about(&self) -> Result<About, RegistryError> {
        about::about(self.connection.settings()).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Stored>, RegistryError> {
        match self.get_node(prefix.trim_end_matches('/'), &[("recursive", "true")]).await {
            Err(Failure::Missing) => Ok(Vec::new()),
            Err(failure) => Err(self.connection.error(failure)),
            Ok(held) => Ok(held.into_iter().filter(|held| held.key.starts_with(prefix)).collect()),
        }
    }

    async fn get(&self, key: &str) -> Result<Option<Stored>, RegistryError> {
        self.find(key).await.map_err(|failure| self.connection.error(failure))
    }

    async fn apply(&self, writes: &[Transaction]) -> Vec<Result<Applied, RegistryError>> {
        let writes: Vec<_> = writes.iter().map(|write| self.write(write)).collect();
        let applied = stream::iter(writes).buffered(CONCURRENCY);
        applied.map(|applied| applied.map_err(|failure| self.connection.error(failure))).collect().await
    }

    async fn renew(&self, keys: &[(String, Duration)]) -> Vec<Result<(), RegistryError>> {
        let keys: Vec<_> = keys.iter().map(|(key, ttl)| self.renew_one(key, *ttl)).collect();
        let renewed = stream::iter(keys).buffered(CONCURRENCY);
        renewed.map(|renewed| renewed.map_err(|failure| self.connection.error(failure))).collect().await
    }

    async fn credentials_changed(&self) {
        self.connection.credentials_changed().await;
    }

    async fn watch(&self, prefixes: &[String], tell: &(dyn Fn(StoreEvent) + Send + Sync)) -> RegistryError {
        let mut watches: FuturesUnordered<_> = prefixes.iter().map(|prefix| self.watch_one(prefix, tell)).collect();
        let failure = watches.next().await.unwrap_or(Failure::Away("nothing to watch".to_owned()));
        self.connection.error(failure)
    }

    fn pause_of_each_key(&self) -> Duration {
        PAUSE_EACH
    }
}

/// A TTL in the API's form.
fn seconds(ttl: Duration) -> String {
    ttl.as_secs().max(1).to_string()
}
