//! Writes with `WATCH`, `MULTI` and `EXEC`: many writes in one transaction, and each in its own if one of them fails
//! (<https://redis.io/docs/latest/develop/interact/transactions/>).
//!
//! Conditions are checked by reading what is watched: if any of it changes before `EXEC`, nothing is written.

use std::collections::HashMap;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value, cmd, from_redis_value, pipe};

use crate::registry::chunks::{Room, chunks, each_alone};
use crate::registry::kv::{Applied, Condition, Operation, Step, Transaction};
use crate::registry::text::one_line;
use crate::registry::{Cause, RegistryError};

use super::connection::Connection;
use super::failure::Failure;
use super::read::version;

/// How long one transaction may take.
const DEADLINE: Duration = Duration::from_secs(10);
/// The limits of a transaction: a server does nothing else while it makes one.
const ROOM: Room = Room { steps: 1000, bytes: 1_000_000 };
/// How often a transaction is begun again because something that it watches has changed.
const TRIES: usize = 4;

/// Makes writes, with one result each.
pub(super) async fn apply(connection: &Connection, writes: &[Transaction]) -> Vec<Result<Applied, RegistryError>> {
    let mut results = Vec::with_capacity(writes.len());
    for chunk in chunks(writes, ROOM, takes) {
        results.extend(apply_chunk(connection, chunk).await);
    }
    results
}

/// What a write counts towards the limits of a transaction.
fn takes(write: &Transaction) -> Room {
    let size = |step: &Step| 2 * step.key.len() + value(&step.operation).len() + 64;
    Room { steps: write.len(), bytes: write.iter().map(size).sum() }
}

fn value(operation: &Operation) -> &str {
    if let Operation::Put { value, .. } = operation { value } else { "" }
}

async fn apply_chunk(connection: &Connection, chunk: &[Transaction]) -> Vec<Result<Applied, RegistryError>> {
    match together(connection, chunk).await {
        Ok(results) => results,
        // One write failed the whole transaction, so each is tried alone.
        Err(RegistryError::Refused { .. }) if chunk.len() > 1 => {
            let attempt = |write: &Transaction| {
                let write = write.clone();
                async move {
                    let mut results = together(connection, std::slice::from_ref(&write)).await?;
                    results.pop().unwrap_or(Ok(Applied::Conflict))
                }
            };
            each_alone(chunk, 1, puts, attempt, is_common).await
        }
        Err(error) => vec![Err(error); chunk.len()],
    }
}

/// Whether a transaction takes room.
fn puts(transaction: &Transaction) -> bool {
    transaction.iter().any(|step| matches!(step.operation, Operation::Put { .. }))
}

/// Whether a failure is about more than the transaction that it came of.
fn is_common(result: &Result<Applied, RegistryError>) -> bool {
    matches!(result, Err(RegistryError::Refused { cause: Cause::Rights | Cause::Server, .. }))
}

/// Makes writes in one transaction, with one result each.
async fn together(
    connection: &Connection,
    writes: &[Transaction],
) -> Result<Vec<Result<Applied, RegistryError>>, RegistryError> {
    for _ in 0..TRIES {
        let name = connection.name();
        let made = connection.transact(DEADLINE, |mut to| async move { attempt(&mut to, name, writes).await }).await?;
        if let Some(results) = made {
            let error = |failure: Failure| connection.error(&failure);
            return Ok(results.into_iter().map(|result| result.map_err(error)).collect());
        }
    }
    Ok(vec![Ok(Applied::Conflict); writes.len()])
}

/// One attempt; `None` if something changed while it was made.
async fn attempt(
    to: &mut MultiplexedConnection,
    name: &str,
    writes: &[Transaction],
) -> Result<Option<Vec<Result<Applied, Failure>>>, Failure> {
    let keys: Vec<&str> = writes.iter().flatten().map(|step| step.key.as_str()).collect();
    let mut ask = pipe();
    ask.cmd("WATCH").arg(&keys).ignore().cmd("MGET").arg(&keys).cmd("EXISTS").arg(&keys);
    let (values, exist): (Vec<Option<Vec<u8>>>, usize) = ask.query_async(to).await?;
    // What exists without a string is of another type.
    let odd = match values.iter().flatten().count() == exist {
        true => HashMap::new(),
        false => odd_types(to, &keys, &values).await?,
    };
    let mut there =
        values.iter().map(|value| value.as_deref().map_or(Condition::Absent, |value| Condition::At(version(value))));
    let mut results = Vec::with_capacity(writes.len());
    let mut transaction = pipe();
    transaction.atomic();
    for write in writes {
        // Each step takes its own answer, whatever the others said.
        let mut holds = true;
        for step in write {
            holds &= there.next() == Some(step.condition);
        }
        let in_the_way = write.iter().find_map(|step| Some((&step.key, odd.get(step.key.as_str())?)));
        results.push(match in_the_way {
            Some((key, kind)) => Err(Failure::Key(format!(
                "{name}: {} is another program's {kind}; remove it, or choose another prefix (?prefix=)",
                one_line(key, 300)
            ))),
            None if holds => {
                write.iter().for_each(|step| command(&mut transaction, step));
                Ok(Applied::Done(write.iter().map(|step| version(value(&step.operation).as_bytes())).collect()))
            }
            None => Ok(Applied::Conflict),
        });
    }
    if transaction.is_empty() {
        cmd("UNWATCH").query_async::<()>(to).await?;
        return Ok(Some(results));
    }
    match transaction.query_async::<Option<Vec<Value>>>(to).await.map_err(Failure::from) {
        Ok(done) => Ok(done.map(|_| results)),
        // A server without room takes nothing at all in a transaction, and removals outside of one. Meanwhile nobody else
        // can have put anything there.
        Err(failure) if is_full(&failure) && !writes.iter().any(puts) => {
            let held = writes.iter().zip(&results).filter(|(_, result)| matches!(result, Ok(Applied::Done(_))));
            let gone = held.flat_map(|(write, _)| write).filter(|step| step.operation == Operation::Delete);
            let gone: Vec<&str> = gone.map(|step| step.key.as_str()).collect();
            cmd("DEL").arg(&gone).query_async::<()>(to).await?;
            Ok(Some(results))
        }
        Err(failure) => Err(failure),
    }
}

fn is_full(failure: &Failure) -> bool {
    failure.answer().is_some_and(|(code, _)| code == "OOM")
}

/// Adds what a step does.
fn command(transaction: &mut redis::Pipeline, step: &Step) {
    match &step.operation {
        Operation::Check => {}
        Operation::Delete => drop(transaction.cmd("DEL").arg(&step.key)),
        Operation::Put { value, ttl } => {
            let set = transaction.cmd("SET").arg(&step.key).arg(value);
            if let Some(ttl) = ttl {
                set.arg("PX").arg(millis(*ttl));
            }
        }
    }
}

/// The types of the keys that hold no string.
async fn odd_types<'a>(
    to: &mut MultiplexedConnection,
    keys: &[&'a str],
    values: &[Option<Vec<u8>>],
) -> Result<HashMap<&'a str, String>, RedisError> {
    let empty: Vec<&str> = keys.iter().zip(values).filter(|(_, value)| value.is_none()).map(|(key, _)| *key).collect();
    let mut ask = pipe();
    for key in &empty {
        ask.cmd("TYPE").arg(*key);
    }
    let kinds: Vec<String> = ask.query_async(to).await?;
    Ok(empty.into_iter().zip(kinds).filter(|(_, kind)| kind != "none" && kind != "string").collect())
}

/// Restarts the TTL of keys, with one result each.
pub(super) async fn renew(
    connection: &Connection,
    keys: &[(String, Duration)],
) -> Result<Vec<Result<(), RegistryError>>, RegistryError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    connection
        .call(DEADLINE, |mut to| async move {
            // First whether it has a TTL: one that another program has put there is not given one.
            let mut ask = pipe();
            for (key, _) in keys {
                ask.cmd("PTTL").arg(key);
            }
            let left: Vec<i64> = ask.query_async(&mut to).await?;
            let mut ask = pipe();
            for ((key, ttl), _) in keys.iter().zip(&left).filter(|(_, left)| **left >= 0) {
                ask.cmd("PEXPIRE").arg(key).arg(millis(*ttl));
            }
            let done: Vec<Value> = if ask.is_empty() { Vec::new() } else { ask.query_async(&mut to).await? };
            let mut done = done.into_iter();
            left.into_iter()
                .map(|left| {
                    Ok(match left {
                        -1 => Err(RegistryError::service("it does not expire")),
                        0.. if from_redis_value::<i64>(done.next().unwrap_or(Value::Nil))? == 1 => Ok(()),
                        _ => Err(RegistryError::service("it is not there")),
                    })
                })
                .collect()
        })
        .await
}

fn millis(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transactions_stay_small() {
        let write = |keys: usize, value: usize| -> Transaction {
            let operation = Operation::Put { value: "x".repeat(value), ttl: None };
            vec![Step { key: "k".to_owned(), condition: Condition::Absent, operation }; keys]
        };
        for (writes, sizes) in [
            (vec![write(2, 10); 1100], vec![500, 500, 100]),
            (vec![write(2, 300_000); 3], vec![1, 1, 1]),
            (vec![write(1, 2_000_000), write(1, 1)], vec![1, 1]),
        ] {
            let cut: Vec<_> = chunks(&writes, ROOM, takes).into_iter().map(<[Transaction]>::len).collect();
            assert_eq!(cut, sizes);
        }
    }

    #[test]
    fn a_step_is_one_command() {
        let step = |operation| Step { key: "k".to_owned(), condition: Condition::Absent, operation };
        let put = |ttl| Operation::Put { value: "v".to_owned(), ttl };
        for (operation, words) in [
            (put(None), "*3 $3 SET $1 k $1 v"),
            (put(Some(Duration::from_secs(12))), "*5 $3 SET $1 k $1 v $2 PX $5 12000"),
            (Operation::Delete, "*2 $3 DEL $1 k"),
            (Operation::Check, ""),
        ] {
            let mut pipeline = pipe();
            command(&mut pipeline, &step(operation));
            let packed = String::from_utf8(pipeline.get_packed_pipeline()).unwrap();
            assert_eq!(packed.trim_end().replace("\r\n", " "), words);
        }
    }
}
