//! Writes as transactions: many in one while nobody is in between, each alone where somebody is.

use std::collections::BTreeSet;
use std::time::Duration;

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp};
use futures_util::{StreamExt, stream};

use crate::registry::bundles::{Room, bundles};
use crate::registry::kv::{Action, Applied, Condition, Step, Write};

use super::failure::Failure;
use super::lease::Leases;
use super::link::Link;

/// What one transaction may hold; servers take 128 steps (`--max-txn-ops`) and 1.5 MiB (`--max-request-bytes`) unless
/// they are told otherwise.
const ROOM: Room = Room { steps: 120, bytes: 1_000_000 };
/// How many transactions are on their way at once.
const CONCURRENCY: usize = 16;

/// Makes writes, with a result for each.
pub(super) async fn apply(link: &Link, leases: &Leases, writes: &[Write]) -> Vec<Result<Applied, Failure>> {
    let applied: Vec<_> =
        bundles(writes, ROOM, takes).into_iter().map(|bundle| bundle_applied(link, leases, bundle)).collect();
    stream::iter(applied).buffered(CONCURRENCY).collect::<Vec<_>>().await.into_iter().flatten().collect()
}

/// What a write takes of a transaction.
fn takes(write: &Write) -> Room {
    let size = |step: &Step| 2 * step.key.len() + value(&step.action).len() + 64;
    Room { steps: write.len(), bytes: write.iter().map(size).sum() }
}

fn value(action: &Action) -> &str {
    if let Action::Put { value, .. } = action { value } else { "" }
}

async fn bundle_applied(link: &Link, leases: &Leases, bundle: &[Write]) -> Vec<Result<Applied, Failure>> {
    match together(link, leases, bundle).await {
        Ok(Some(revision)) => bundle.iter().map(|write| Ok(done(write, revision))).collect(),
        // One of them was in the way of all.
        Ok(None) | Err(Failure::Refused(..)) if bundle.len() > 1 => {
            let alone: Vec<_> = bundle.iter().map(|write| alone(link, leases, write)).collect();
            stream::iter(alone).buffered(CONCURRENCY).collect().await
        }
        Ok(None) => vec![Ok(Applied::Changed); bundle.len()],
        Err(failure) => vec![Err(failure); bundle.len()],
    }
}

async fn alone(link: &Link, leases: &Leases, write: &Write) -> Result<Applied, Failure> {
    let applied = together(link, leases, std::slice::from_ref(write)).await?;
    Ok(applied.map_or(Applied::Changed, |revision| done(write, revision)))
}

/// One revision is the version of everything that a transaction writes.
fn done(write: &Write, revision: u64) -> Applied {
    Applied::Done(vec![revision; write.len()])
}

/// Makes writes in one transaction: gives its revision, or `None` when a condition does not hold.
async fn together(link: &Link, leases: &Leases, writes: &[Write]) -> Result<Option<u64>, Failure> {
    let ttls: BTreeSet<Duration> = writes
        .iter()
        .flatten()
        .filter_map(|step| if let Action::Put { ttl, .. } = step.action { ttl } else { None })
        .collect();
    // A lease that has expired meanwhile is made again, once.
    let mut second = false;
    loop {
        let mut granted = Vec::new();
        for ttl in &ttls {
            granted.push((*ttl, leases.lease(link, *ttl).await?));
        }
        let lease = |ttl: Duration| granted.iter().find(|(granted, _)| *granted == ttl).map_or(0, |(_, lease)| *lease);
        let txn = transaction(writes, lease);
        let answer = link
            .call(|client| {
                let txn = txn.clone();
                async move { client.kv_client().txn(txn).await }
            })
            .await;
        match answer {
            Ok(answer) => {
                let revision = answer.header().map_or(0, etcd_client::ResponseHeader::revision);
                return Ok(answer.succeeded().then(|| revision.unsigned_abs()));
            }
            Err(Failure::NoLease) if !second => {
                granted.iter().for_each(|(ttl, lease)| leases.forget(*ttl, *lease));
                second = true;
            }
            Err(failure) => return Err(failure),
        }
    }
}

fn transaction(writes: &[Write], lease: impl Fn(Duration) -> i64) -> Txn {
    let (mut conditions, mut operations) = (Vec::new(), Vec::new());
    for step in writes.iter().flatten() {
        let key = step.key.as_str();
        conditions.push(match step.condition {
            Condition::Absent => Compare::version(key, CompareOp::Equal, 0),
            Condition::At(version) => Compare::mod_revision(key, CompareOp::Equal, version.cast_signed()),
        });
        match &step.action {
            Action::Put { value, ttl } => {
                let options = ttl.map(|ttl| PutOptions::new().with_lease(lease(ttl)));
                operations.push(TxnOp::put(key, value.as_str(), options));
            }
            Action::Delete => operations.push(TxnOp::delete(key, None)),
            Action::Check => {}
        }
    }
    Txn::new().when(conditions).and_then(operations)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(keys: usize, value: usize) -> Write {
        let action = Action::Put { value: "x".repeat(value), ttl: None };
        vec![Step { key: "/k".to_owned(), condition: Condition::Absent, action }; keys]
    }

    #[test]
    fn transactions_stay_below_what_servers_take() {
        for (writes, sizes) in [
            (vec![write(2, 10); 130], vec![60, 60, 10]),
            (vec![write(2, 300_000); 3], vec![1, 1, 1]),
            (vec![write(1, 2_000_000), write(1, 1)], vec![1, 1]),
            (vec![write(2, 1)], vec![1]),
        ] {
            let cut: Vec<_> = bundles(&writes, ROOM, takes).into_iter().map(<[Write]>::len).collect();
            assert_eq!(cut, sizes);
        }
    }
}
