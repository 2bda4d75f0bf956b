//! What a key-value store can do, as far as the engine above needs it.

use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::registry::RegistryError;

/// How many keys are read at once, one by one.
const CONCURRENCY: usize = 32;

/// A key with what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) struct Held {
    /// The whole key.
    pub(in crate::registry) key: String,
    /// Its value; other programs may have written anything.
    pub(in crate::registry) value: Vec<u8>,
    /// Grows with each write of this key, and is never used twice for it.
    pub(in crate::registry) version: u64,
    /// How long it lives when it is not renewed, as it was asked for; `None` for ever. A store that knows only
    /// what is left of it says the TTL of its settings as long as it is no more than that.
    pub(in crate::registry) ttl: Option<Duration>,
}

/// What a key must be for a step to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Condition {
    /// Not there.
    Absent,
    /// There, in this version.
    At(u64),
}

/// What becomes of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Action {
    /// It holds this value, for so long unless it is renewed.
    Put { value: String, ttl: Option<Duration> },
    /// It goes.
    Delete,
    /// It stays as it is; the step is its condition.
    Check,
}

/// One key of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) struct Step {
    pub(in crate::registry) key: String,
    pub(in crate::registry) condition: Condition,
    pub(in crate::registry) action: Action,
}

/// Steps that belong together, each to another key: all are taken or none, where the store has transactions. Where it
/// has not, they are taken in this order, up to the first that cannot be.
pub(in crate::registry) type Write = Vec<Step>;

/// What came of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Applied {
    /// It is done; the version of each step's key now (of no meaning where nothing was put).
    Done(Vec<u64>),
    /// A condition did not hold: another hand was there.
    Changed,
}

/// Something that happened to a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) enum News {
    /// From here on everything is told; what was before was not.
    Begun,
    /// A key was written, or is gone.
    Changed { key: String, version: u64, gone: bool },
}

/// A key-value store: etcd's two APIs, Consul KV.
///
/// The contract:
///
/// - Keys are whole, as the [`super::Layout`] and [`super::Records`] spell them; the store adds nothing and
///   hides nothing but what it keeps for itself.
/// - Every method ends within a deadline of the store's own (except [`Store::watch`]), tries other
///   servers where there are several, and tells `Unreachable` (nobody can be served now) from `Refused` (this will not be
///   taken as things are). What cannot be told apart is `Unreachable`: the engine reads again, and writes again.
/// - A write whose answer was lost may have been made. Its conditions make it harmless to try again.
/// - One result for each element of a batch, in order; one failing never stops its neighbours.
#[async_trait]
pub(in crate::registry) trait Store: Send + Sync + 'static {
    /// Reaches it.
    async fn ping(&self) -> Result<(), RegistryError>;

    /// Every key that begins with `prefix` (which ends with a slash), with all that is below it. None is no error.
    async fn list(&self, prefix: &str) -> Result<Vec<Held>, RegistryError>;

    /// One key.
    async fn get(&self, key: &str) -> Result<Option<Held>, RegistryError>;

    /// Several keys, in order.
    async fn get_all(&self, keys: &[String]) -> Result<Vec<Option<Held>>, RegistryError> {
        let gets: Vec<_> = keys.iter().map(|key| self.get(key)).collect();
        stream::iter(gets).buffered(CONCURRENCY).try_collect().await
    }

    /// Makes writes. They belong to different keys, so their order does not matter; many may go in one transaction, as
    /// long as each still has its own result.
    async fn apply(&self, writes: &[Write]) -> Vec<Result<Applied, RegistryError>>;

    /// Begins the TTL of keys again, without their readers' being told. Refused where a key is not there, or does
    /// not expire.
    async fn renew(&self, keys: &[(String, Duration)]) -> Vec<Result<(), RegistryError>>;

    /// Tells what happens to keys that begin with one of these prefixes, until that can no longer be told: says why.
    /// A store that cannot watch returns never, and tells nothing.
    async fn watch(&self, prefixes: &[String], tell: &(dyn Fn(News) + Send + Sync)) -> RegistryError;
}
