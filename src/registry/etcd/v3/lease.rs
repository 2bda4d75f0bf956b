//! etcd's leases. Keys with a TTL are bound to one.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use etcd_client::{GetOptions, Txn, TxnOp, TxnOpResponse};
use futures_util::{StreamExt, stream};

use crate::registry::Cause;

use super::connection::Connection;
use super::failure::Failure;

/// How many leases are queried or kept alive at once.
const CONCURRENCY: usize = 32;
/// How many keys are queried for their leases at once.
const KEYS: usize = 120;

/// The leases that are known.
#[derive(Default)]
pub(super) struct Leases(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// The leases of this run, one per TTL.
    ours: HashMap<Duration, i64>,
    /// The TTL of each lease; for our own, the requested one.
    ttls: HashMap<i64, Duration>,
}

impl Leases {
    /// Our lease for this TTL; granted if there is none yet.
    pub(super) async fn lease(&self, connection: &Connection, ttl: Duration) -> Result<i64, Failure> {
        let known = self.known().ours.get(&ttl).copied();
        if let Some(lease) = known {
            return Ok(lease);
        }
        let seconds = i64::try_from(ttl.as_secs().max(1)).unwrap_or(i64::MAX);
        let granted = connection.call(|client| async move { client.lease_client().grant(seconds, None).await }).await?;
        let mut known = self.known();
        // If two were granted at once, the second is left to expire.
        let lease = *known.ours.entry(ttl).or_insert_with(|| granted.id());
        known.ttls.insert(lease, ttl);
        Ok(lease)
    }

    /// Forgets this lease of ours, which no longer exists.
    pub(super) fn forget(&self, ttl: Duration, lease: i64) {
        let mut known = self.known();
        if known.ours.get(&ttl) == Some(&lease) {
            known.ours.remove(&ttl);
        }
    }

    /// The TTLs of leases.
    pub(super) async fn ttls(
        &self,
        connection: &Connection,
        leases: impl Iterator<Item = i64>,
    ) -> Result<HashMap<i64, Duration>, Failure> {
        let leases: BTreeSet<_> = leases.filter(|lease| *lease != 0).collect();
        let unknown: Vec<_> = {
            let known = self.known();
            leases.iter().copied().filter(|lease| !known.ttls.contains_key(lease)).collect()
        };
        let mut answers = stream::iter(unknown)
            .map(|lease| {
                connection.call(move |client| async move { client.lease_client().time_to_live(lease, None).await })
            })
            .buffer_unordered(CONCURRENCY);
        while let Some(answer) = answers.next().await {
            let answer = answer?;
            // A lease that no longer exists has no TTL.
            let ttl = Duration::from_secs(answer.granted_ttl().unsigned_abs());
            self.known().ttls.insert(answer.id(), ttl);
        }
        let mut known = self.known();
        let ours: BTreeSet<_> = known.ours.values().copied().collect();
        let found = leases.iter().filter_map(|lease| Some((*lease, *known.ttls.get(lease)?))).collect();
        if known.ttls.len() > 10_000 {
            known.ttls.retain(|lease, _| ours.contains(lease));
        }
        Ok(found)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the leases of these keys alive, whichever instance they were granted to. Returns one result per key.
pub(super) async fn renew(connection: &Connection, keys: &[&str]) -> Vec<Result<(), Failure>> {
    let mut held: Vec<Result<i64, Failure>> = Vec::with_capacity(keys.len());
    for some in keys.chunks(KEYS) {
        match leases_of(connection, some).await {
            Ok(leases) => held.extend(leases),
            Err(failure) => held.extend(some.iter().map(|_| Err(failure.clone()))),
        }
    }
    let leases: BTreeSet<_> = held.iter().flatten().copied().collect();
    let kept: HashMap<_, _> = stream::iter(leases)
        .map(async |lease| {
            let kept = connection.call(|client| async move { client.lease_client().keep_alive(lease).await.map(drop) });
            (lease, kept.await)
        })
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    held.into_iter().map(|lease| kept.get(&lease?).cloned().unwrap_or(Err(Failure::NoLease))).collect()
}

/// The lease of each key, all read at the same revision.
async fn leases_of(connection: &Connection, keys: &[&str]) -> Result<Vec<Result<i64, Failure>>, Failure> {
    let gets: Vec<_> = keys.iter().map(|key| TxnOp::get(*key, Some(GetOptions::new().with_keys_only()))).collect();
    let answer = connection
        .call(|client| {
            let txn = Txn::new().and_then(gets.clone());
            async move { client.kv_client().txn(txn).await }
        })
        .await?;
    let leases = answer.op_responses().into_iter().map(|response| {
        let TxnOpResponse::Get(found) = response else { return Err(Failure::NoLease) };
        match found.kvs().first().map(etcd_client::KeyValue::lease) {
            None => Err(Failure::Refused(Cause::Service, "it is not there".to_owned())),
            Some(0) => Err(Failure::Refused(Cause::Service, "it does not expire".to_owned())),
            Some(lease) => Ok(lease),
        }
    });
    let mut leases: Vec<_> = leases.collect();
    leases.resize(keys.len(), Err(Failure::NoLease));
    Ok(leases)
}
