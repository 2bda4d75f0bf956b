//! The interface of a key-value store, as far as this folder needs it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::sync::watch;
use tokio::time::sleep;

use crate::registry::{About, RegistryError, Site};

/// How many keys are read at once, each with its own request.
const CONCURRENCY: usize = 32;
/// The least and the longest pause before keys that are not watched are asked for again.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// A key and its value in a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) struct Stored {
    /// The whole key.
    pub(in crate::registry) key: String,
    /// Its value; other programs may have written anything.
    pub(in crate::registry) value: Vec<u8>,
    /// Increases with each write of this key, and is never reused for it.
    pub(in crate::registry) version: u64,
    /// The TTL of the key as it was requested; `None` without one. A store that knows only the remaining time returns
    /// the TTL of its settings, unless the remaining time is longer.
    pub(in crate::registry) ttl: Option<Duration>,
}

/// The condition of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Condition {
    /// Not there.
    Absent,
    /// The key exists, with this version.
    At(u64),
}

/// The effect of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Operation {
    /// Stores this value, with this TTL.
    Put { value: String, ttl: Option<Duration> },
    /// Removes it.
    Delete,
    /// Changes nothing: the step only checks its condition.
    Check,
}

/// One key of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) struct Step {
    pub(in crate::registry) key: String,
    pub(in crate::registry) condition: Condition,
    pub(in crate::registry) operation: Operation,
}

/// Steps that belong together, each for another key. If the store has transactions, all steps are made or none.
/// Otherwise they are made in this order, up to the first that fails.
pub(in crate::registry) type Transaction = Vec<Step>;

/// The result of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Applied {
    /// Done. Holds the version of each step's key (meaningless without a put).
    Done(Vec<u64>),
    /// A condition failed: an external writer was faster.
    Conflict,
}

/// Something that was heard of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) enum StoreEvent {
    /// Every change from here on is reported; earlier ones are not. Or: everything may have changed at once.
    Started,
    /// A key was in this version, or not there, at some moment of the store's history: with every write of ours whose
    /// version is lower, and none whose version is higher. `u64::MAX` where the store does not tell the moment.
    Seen { key: String, version: Option<u64>, at: u64 },
}

/// The keys that are watched one by one.
pub(in crate::registry) type Keys = Arc<BTreeSet<String>>;

/// A key-value store: etcd's two APIs, Consul KV.
///
/// The contract:
///
/// - Keys are whole, as the [`super::Layout`] and [`super::ClaimKeys`] spell them; the store adds nothing and
///   hides nothing but what it keeps for itself.
/// - Every method ends within a deadline of the store's own (except [`Store::watch`]) and tries other
///   servers where there are several. It tells `Unreachable` (nobody can be served now) from `Refused` (this request
///   fails as things are). What it cannot tell apart is `Unreachable`: the engine then reads and writes again.
/// - A transaction whose answer was lost may have been made. Its conditions make it harmless to try again.
/// - One result for each element of a batch, in order; one failing never stops its neighbours.
#[async_trait]
pub(in crate::registry) trait Store: Send + Sync + 'static {
    /// Reaches it.
    async fn ping(&self) -> Result<(), RegistryError>;

    /// All keys that begin with `prefix` (which ends with a slash). An empty list is not an error.
    async fn list(&self, prefix: &str) -> Result<Vec<Stored>, RegistryError>;

    /// One key.
    async fn get(&self, key: &str) -> Result<Option<Stored>, RegistryError>;

    /// Several keys, in order.
    async fn get_all(&self, keys: &[String]) -> Result<Vec<Option<Stored>>, RegistryError> {
        let gets: Vec<_> = keys.iter().map(|key| self.get(key)).collect();
        stream::iter(gets).buffered(CONCURRENCY).try_collect().await
    }

    /// Makes transactions. They are for different keys, so their order does not matter; several may share one request
    /// if each has its own result.
    async fn apply(&self, transactions: &[Transaction]) -> Vec<Result<Applied, RegistryError>>;

    /// As [`crate::registry::Registry::site`], without what the layout and the claims decide.
    fn site(&self) -> Site {
        Site::default()
    }

    /// As [`crate::registry::Registry::about`].
    async fn about(&self) -> Result<About, RegistryError> {
        Ok(About::default())
    }

    /// Restarts the TTL of keys without notifying their readers. `Refused` if a key does not exist or has no TTL.
    async fn renew(&self, keys: &[(String, Duration)]) -> Vec<Result<(), RegistryError>>;

    /// Returns when our credentials have changed, as a file that holds them. Never returns where they cannot.
    async fn credentials_changed(&self) {
        std::future::pending().await
    }

    /// Reports changes of keys with these prefixes until that fails; returns why. A store without watches never returns
    /// and reports nothing.
    async fn watch(&self, prefixes: &[String], report: &(dyn Fn(StoreEvent) + Send + Sync)) -> RegistryError;

    /// Whether [`Store::watch_keys`] costs nothing while nothing happens, and hears of changes at once.
    fn hears_of_single_keys(&self) -> bool {
        false
    }

    /// Reports what happens to each key of a set that may change meanwhile, until it no longer can: returns why. How each
    /// stands when it begins to be watched is reported as well, so nothing is missed from one call to the next.
    ///
    /// A store that has no such watch is asked for the keys again and again.
    async fn watch_keys(
        &self,
        keys: &mut watch::Receiver<Keys>,
        report: &(dyn Fn(StoreEvent) + Send + Sync),
    ) -> RegistryError {
        let mut seen = HashMap::<String, Option<u64>>::new();
        loop {
            let asked: Vec<_> = keys.borrow_and_update().iter().cloned().collect();
            let found = match self.get_all(&asked).await {
                Ok(found) => found,
                Err(error) => return error,
            };
            let versions = found.into_iter().map(|stored| stored.map(|stored| stored.version));
            let now: HashMap<_, _> = asked.into_iter().zip(versions).collect();
            for (key, version) in now.iter().filter(|(key, version)| seen.get(*key) != Some(version)) {
                report(StoreEvent::Seen { key: key.clone(), version: *version, at: u64::MAX });
            }
            let each = self.pause_of_each_key() * u32::try_from(now.len()).unwrap_or(u32::MAX);
            seen = now;
            sleep(each.clamp(PAUSE.0, PAUSE.1)).await;
        }
    }

    /// How long is waited, for each key that was asked for, before all are asked for again.
    fn pause_of_each_key(&self) -> Duration {
        Duration::from_millis(50)
    }
}
