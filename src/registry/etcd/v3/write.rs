//! Writes with etcd's transactions: many writes in one transaction, and each in its own if one of them fails.

use std::collections::BTreeSet;
use std::time::Duration;

use etcd_client::{Compare, CompareOp, PutOptions, Txn, TxnOp};
use futures_util::{StreamExt, stream};

use crate::registry::Cause;
use crate::registry::chunks::{Room, chunks, each_alone};
use crate::registry::kv::{Applied, Condition, Operation, Step, Transaction};

use super::connection::Connection;
use super::failure::Failure;
use super::lease::Leases;

/// The limits of a transaction. By default, servers accept 128 steps (`--max-txn-ops`) and 1.5 MiB
/// (`--max-request-bytes`).
const ROOM: Room = Room { steps: 120, bytes: 1_000_000 };
/// How many transactions are sent at once.
const CONCURRENCY: usize = 16;

/// Makes writes, with one result each.
pub(super) async fn apply(
    connection: &Connection,
    leases: &Leases,
    writes: &[Transaction],
) -> Vec<Result<Applied, Failure>> {
    let applied: Vec<_> =
        chunks(writes, ROOM, takes).into_iter().map(|chunk| apply_chunk(connection, leases, chunk)).collect();
    stream::iter(applied).buffered(CONCURRENCY).collect::<Vec<_>>().await.into_iter().flatten().collect()
}

/// What a write counts towards the limits of a transaction.
fn takes(write: &Transaction) -> Room {
    let size = |step: &Step| 2 * step.key.len() + value(&step.operation).len() + 64;
    Room { steps: write.len(), bytes: write.iter().map(size).sum() }
}

fn value(action: &Operation) -> &str {
    if let Operation::Put { value, .. } = action { value } else { "" }
}

async fn apply_chunk(connection: &Connection, leases: &Leases, chunk: &[Transaction]) -> Vec<Result<Applied, Failure>> {
    match together(connection, leases, chunk).await {
        Ok(Some(revision)) => chunk.iter().map(|write| Ok(done(write, revision))).collect(),
        // One write failed the whole transaction, so each is tried alone.
        Ok(None) | Err(Failure::Refused(..)) if chunk.len() > 1 => {
            let attempt = |write: &Transaction| {
                let write = write.clone();
                async move { alone(connection, leases, &write).await }
            };
            each_alone(chunk, CONCURRENCY, puts, attempt, is_common).await
        }
        Ok(None) => vec![Ok(Applied::Conflict); chunk.len()],
        Err(failure) => vec![Err(failure); chunk.len()],
    }
}

/// Whether a transaction takes room.
fn puts(transaction: &Transaction) -> bool {
    transaction.iter().any(|step| matches!(step.operation, Operation::Put { .. }))
}

/// Whether a failure is about more than the transaction that it came of.
fn is_common(result: &Result<Applied, Failure>) -> bool {
    matches!(result, Err(Failure::Refused(Cause::Rights | Cause::Server, _)))
}

async fn alone(connection: &Connection, leases: &Leases, write: &Transaction) -> Result<Applied, Failure> {
    let applied = together(connection, leases, std::slice::from_ref(write)).await?;
    Ok(applied.map_or(Applied::Conflict, |revision| done(write, revision)))
}

/// All keys that a transaction writes have its revision as their version.
fn done(write: &Transaction, revision: u64) -> Applied {
    Applied::Done(vec![revision; write.len()])
}

/// Makes writes in one transaction. Returns its revision, or `None` if a condition failed.
async fn together(connection: &Connection, leases: &Leases, writes: &[Transaction]) -> Result<Option<u64>, Failure> {
    let ttls: BTreeSet<Duration> = writes
        .iter()
        .flatten()
        .filter_map(|step| if let Operation::Put { ttl, .. } = step.operation { ttl } else { None })
        .collect();
    // A lease that has expired in the meantime is replaced, once.
    let mut second = false;
    loop {
        let mut granted = Vec::new();
        for ttl in &ttls {
            granted.push((*ttl, leases.lease(connection, *ttl).await?));
        }
        let lease = |ttl: Duration| granted.iter().find(|(granted, _)| *granted == ttl).map_or(0, |(_, lease)| *lease);
        let txn = transaction(writes, lease);
        let answer = connection
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

fn transaction(writes: &[Transaction], lease: impl Fn(Duration) -> i64) -> Txn {
    let (mut conditions, mut operations) = (Vec::new(), Vec::new());
    for step in writes.iter().flatten() {
        let key = step.key.as_str();
        conditions.push(match step.condition {
            Condition::Absent => Compare::version(key, CompareOp::Equal, 0),
            Condition::At(version) => Compare::mod_revision(key, CompareOp::Equal, version.cast_signed()),
        });
        match &step.operation {
            Operation::Put { value, ttl } => {
                let options = ttl.map(|ttl| PutOptions::new().with_lease(lease(ttl)));
                operations.push(TxnOp::put(key, value.as_str(), options));
            }
            Operation::Delete => operations.push(TxnOp::delete(key, None)),
            Operation::Check => {}
        }
    }
    Txn::new().when(conditions).and_then(operations)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(keys: usize, value: usize) -> Transaction {
        let operation = Operation::Put { value: "x".repeat(value), ttl: None };
        vec![Step { key: "/k".to_owned(), condition: Condition::Absent, operation }; keys]
    }

    #[test]
    fn transactions_stay_below_what_servers_take() {
        for (writes, sizes) in [
            (vec![write(2, 10); 130], vec![60, 60, 10]),
            (vec![write(2, 300_000); 3], vec![1, 1, 1]),
            (vec![write(1, 2_000_000), write(1, 1)], vec![1, 1]),
            (vec![write(2, 1)], vec![1]),
        ] {
            let cut: Vec<_> = chunks(&writes, ROOM, takes).into_iter().map(<[Transaction]>::len).collect();
            assert_eq!(cut, sizes);
        }
    }
}
