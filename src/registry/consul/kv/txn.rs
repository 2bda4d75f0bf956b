//! Reads and writes with Consul's transactions (<https://developer.hashicorp.com/consul/api-docs/txn>): many operations
//! in one transaction, and each in its own if one of them fails.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::{StreamExt, stream};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::registry::chunks::{Room, chunks, each_alone};
use crate::registry::kv::{Applied, Condition, Operation, Step, Transaction};
use crate::registry::text::one_line;
use crate::registry::{Cause, RegistryError};

use super::super::client::{Client, Question};
use super::item::{Item, KEY_LIMIT, inside, parsed};
use super::session::Sessions;

/// The limits of a transaction: 64 operations on older servers, 128 on newer ones, and 512 KiB.
const ROOM: Room = Room { steps: 64, bytes: 400_000 };
/// How many transactions are sent at once.
const CONCURRENCY: usize = 8;
/// The rights that writing needs, for the message when they are missing.
const RIGHT: &str = "key_prefix:write on the prefix, and on _registrator/ or where records= says";

/// The result of a transaction.
enum Outcome {
    /// The keys that it wrote or read.
    Done(Vec<Item>),
    /// It changed nothing, for these reasons: the operation's index, and Consul's message.
    RolledBack(Vec<(usize, String)>),
}

/// The answer to a transaction.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Body {
    #[serde(default)]
    results: Option<Vec<Row>>,
    #[serde(default)]
    errors: Option<Vec<Problem>>,
}

#[derive(Deserialize)]
struct Row {
    #[serde(rename = "KV")]
    item: Option<Item>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Problem {
    op_index: usize,
    #[serde(default)]
    what: String,
}

async fn transact(client: &Client, operations: &[Value]) -> Result<Outcome, RegistryError> {
    let body = serde_json::to_vec(operations).map_err(|error| RegistryError::service(error.to_string()))?;
    let answer = client.ask(Question { body: Some(body), ..Question::put(&["txn"]) }).await?;
    if !answer.status.is_success() && answer.status != StatusCode::CONFLICT {
        return Err(client.refusal(&answer, false, RIGHT));
    }
    let body: Body = parsed(client, &answer)?;
    let problems: Vec<_> = body.errors.unwrap_or_default();
    Ok(if problems.is_empty() && answer.status.is_success() {
        Outcome::Done(body.results.unwrap_or_default().into_iter().filter_map(|row| row.item).collect())
    } else {
        Outcome::RolledBack(problems.into_iter().map(|problem| (problem.op_index, problem.what)).collect())
    })
}

/// Reads keys, with one result per key: its value, or that it does not exist.
pub(super) async fn get(client: &Client, keys: &[&str]) -> Vec<Result<Option<Item>, RegistryError>> {
    let chunks: Vec<_> = keys.chunks(ROOM.steps).map(|keys| get_some(client, keys)).collect();
    stream::iter(chunks).buffered(CONCURRENCY).collect::<Vec<_>>().await.into_iter().flatten().collect()
}

/// Reads all keys that begin with these, up to the limit of a transaction at a time, as of one moment each. The root is
/// none of them.
pub(super) async fn trees(client: &Client, prefixes: &[String]) -> Result<Vec<Item>, RegistryError> {
    let mut found = Vec::new();
    for prefixes in prefixes.chunks(ROOM.steps) {
        let operations: Vec<_> = prefixes.iter().map(|prefix| operation("get-tree", prefix, [])).collect();
        match transact(client, &operations).await? {
            Outcome::Done(items) => found.extend(items),
            Outcome::RolledBack(problems) => {
                let what = problems.first().map_or("it does not say why", |(_, what)| what);
                return Err(if what.contains("Permission denied") {
                    let rules: Vec<_> = prefixes.iter().map(|prefix| format!("\"{}\"", inside(prefix))).collect();
                    let text = format!("Permission denied: the token needs key_prefix:read on {}", rules.join(", "));
                    RegistryError::rights(text)
                } else {
                    client.unreachable(&one_line(what, KEY_LIMIT))
                });
            }
        }
    }
    Ok(found)
}

async fn get_some(client: &Client, keys: &[&str]) -> Vec<Result<Option<Item>, RegistryError>> {
    let mut left: BTreeSet<&str> = keys.iter().copied().collect();
    let mut found = HashMap::new();
    let failed = |error: RegistryError| keys.iter().map(|_| Err(error.clone())).collect();
    // A missing key fails the whole transaction, so missing keys are left out and the rest is tried again. This ends
    // when no key is left at the latest, even if more keys disappear in the meantime.
    while !left.is_empty() {
        let asked: Vec<_> = left.iter().copied().collect();
        let operations: Vec<_> = asked.iter().map(|key| operation("get", key, [])).collect();
        match transact(client, &operations).await {
            Ok(Outcome::Done(items)) => {
                found.extend(items.into_iter().map(|item| (format!("/{}", item.key), item)));
                break;
            }
            Ok(Outcome::RolledBack(problems)) => {
                if let Some((_, what)) = problems.iter().find(|(_, what)| !is_missing(what)) {
                    return failed(refused(what));
                }
                let before = left.len();
                for (index, _) in problems {
                    asked.get(index).map(|key| left.remove(key));
                }
                if left.len() == before {
                    return failed(client.unreachable("its answer cannot be read: is this a Consul agent?"));
                }
            }
            Err(error) => return failed(error),
        }
    }
    keys.iter().map(|key| Ok(found.remove(*key))).collect()
}

/// Makes writes, with one result each.
pub(super) async fn apply(
    client: &Client,
    sessions: &Sessions,
    writes: &[Transaction],
) -> Vec<Result<Applied, RegistryError>> {
    let applied = chunks(writes, ROOM, takes).into_iter().map(|chunk| apply_chunk(client, sessions, chunk));
    stream::iter(applied.collect::<Vec<_>>())
        .buffered(CONCURRENCY)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .flatten()
        .collect()
}

/// What a write counts towards the limits of a transaction.
fn takes(write: &Transaction) -> Room {
    Room { steps: write.iter().map(width).sum(), bytes: write.iter().map(weight).sum() }
}

/// The number of operations of a step.
fn width(step: &Step) -> usize {
    operations(step, |_| String::new()).len()
}

/// The approximate size of a step in bytes, with its value as base64.
fn weight(step: &Step) -> usize {
    let value = if let Operation::Put { value, .. } = &step.operation { value.len() } else { 0 };
    width(step) * (step.key.len() + 120) + value * 4 / 3
}

async fn apply_chunk(
    client: &Client,
    sessions: &Sessions,
    chunk: &[Transaction],
) -> Vec<Result<Applied, RegistryError>> {
    match together(client, sessions, chunk).await {
        Ok(Some(versions)) => chunk.iter().map(|write| Ok(done(write, &versions))).collect(),
        // One write failed the whole transaction, so each is tried alone.
        Ok(None) | Err(RegistryError::Refused { .. }) if chunk.len() > 1 => {
            let attempt = |write: &Transaction| {
                let write = write.clone();
                async move {
                    let versions = together(client, sessions, std::slice::from_ref(&write)).await?;
                    Ok(versions.map_or(Applied::Conflict, |versions| done(&write, &versions)))
                }
            };
            each_alone(chunk, CONCURRENCY, |_| true, attempt, is_common).await
        }
        Ok(None) => vec![Ok(Applied::Conflict); chunk.len()],
        Err(error) => vec![Err(error); chunk.len()],
    }
}

/// Whether a failure is about more than the transaction that it came of.
fn is_common(result: &Result<Applied, RegistryError>) -> bool {
    matches!(result, Err(RegistryError::Refused { cause: Cause::Rights | Cause::Server, .. }))
}

fn done(write: &Transaction, versions: &HashMap<String, u64>) -> Applied {
    Applied::Done(write.iter().map(|step| versions.get(inside(&step.key)).copied().unwrap_or_default()).collect())
}

/// Makes writes in one transaction. Returns the new versions of their keys, or `None` if a condition failed.
async fn together(
    client: &Client,
    sessions: &Sessions,
    writes: &[Transaction],
) -> Result<Option<HashMap<String, u64>>, RegistryError> {
    let ttls: BTreeSet<Duration> = writes
        .iter()
        .flatten()
        .filter_map(|step| if let Operation::Put { ttl, .. } = step.operation { ttl } else { None })
        .collect();
    // A session that has expired in the meantime is replaced, once.
    let mut second = false;
    loop {
        let mut held = HashMap::new();
        for ttl in &ttls {
            held.insert(*ttl, sessions.of(client, *ttl).await?);
        }
        let session = |ttl: Duration| held.get(&ttl).cloned().unwrap_or_default();
        let all: Vec<_> = writes.iter().flatten().flat_map(|step| operations(step, session)).collect();
        match transact(client, &all).await? {
            Outcome::Done(items) => {
                let mut versions = HashMap::new();
                // A key appears once per operation on it; the last one counts.
                for item in items {
                    versions.insert(item.key, item.modify_index);
                }
                return Ok(Some(versions));
            }
            Outcome::RolledBack(problems) => {
                if !second && problems.iter().any(|(_, what)| is_sessions(what)) {
                    sessions.forget(&held);
                    second = true;
                    continue;
                }
                return match problems.iter().find(|(_, what)| !is_condition(what)) {
                    Some((_, what)) => Err(refused(what)),
                    None => Ok(None),
                };
            }
        }
    }
}

/// The operations of a step: its condition, then the change of the key. A key that is bound to a session stays bound
/// whoever writes it, so a replaced key is removed first, in the same transaction; readers never see it missing.
fn operations(step: &Step, session: impl Fn(Duration) -> String) -> Vec<Value> {
    let key = step.key.as_str();
    let condition = match step.condition {
        Condition::Absent => operation("check-not-exists", key, []),
        Condition::At(version) => operation("check-index", key, [("Index", json!(version))]),
    };
    let replaced = matches!(step.condition, Condition::At(_)).then(|| operation("delete", key, []));
    match &step.operation {
        Operation::Check => vec![condition],
        Operation::Delete => std::iter::once(condition).chain(replaced).collect(),
        Operation::Put { value, ttl } => {
            let value = ("Value", json!(BASE64_STANDARD.encode(value)));
            let put = match ttl {
                None => operation("set", key, [value]),
                Some(ttl) => operation("lock", key, [value, ("Session", json!(session(*ttl)))]),
            };
            std::iter::once(condition).chain(replaced).chain([put]).collect()
        }
    }
}

fn operation<const N: usize>(verb: &str, key: &str, fields: [(&str, Value); N]) -> Value {
    let mut operation = json!({"Verb": verb, "Key": inside(key)});
    for (name, value) in fields {
        operation[name] = value;
    }
    json!({"KV": operation})
}

/// Consul's message for a missing key.
fn is_missing(what: &str) -> bool {
    what.contains("doesn't exist")
}

/// Consul's message for a failed condition.
fn is_condition(what: &str) -> bool {
    is_missing(what) || what.contains("index") || what.contains("exists")
}

/// Consul's message for a session that no longer exists.
fn is_sessions(what: &str) -> bool {
    what.contains("invalid session")
}

/// The error for one refused operation.
fn refused(what: &str) -> RegistryError {
    if what.contains("Permission denied") {
        RegistryError::rights(format!("Permission denied: the token needs {RIGHT}"))
    } else {
        RegistryError::service(one_line(what, KEY_LIMIT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(condition: Condition, operation: Operation) -> Step {
        Step { key: "/s/web/id".to_owned(), condition, operation }
    }

    fn put(value: &str, ttl: Option<u64>) -> Operation {
        Operation::Put { value: value.to_owned(), ttl: ttl.map(Duration::from_secs) }
    }

    #[test]
    fn a_step_is_its_condition_and_what_becomes_of_the_key() {
        use Condition::{Absent, At};
        for (step, verbs) in [
            (step(Absent, put("x", None)), &["check-not-exists", "set"][..]),
            (step(At(7), put("x", None)), &["check-index", "delete", "set"]),
            (step(Absent, put("x", Some(9))), &["check-not-exists", "lock"]),
            (step(At(7), put("x", Some(9))), &["check-index", "delete", "lock"]),
            (step(At(7), Operation::Delete), &["check-index", "delete"]),
            (step(Absent, Operation::Delete), &["check-not-exists"]),
            (step(At(7), Operation::Check), &["check-index"]),
            (step(Absent, Operation::Check), &["check-not-exists"]),
        ] {
            let all = operations(&step, |ttl| format!("session-{}", ttl.as_secs()));
            let spelt: Vec<_> = all.iter().map(|operation| operation["KV"]["Verb"].as_str().unwrap()).collect();
            assert_eq!(spelt, verbs);
            for operation in &all {
                assert_eq!(operation["KV"]["Key"], "s/web/id");
            }
        }
        let lock = operations(&step(Absent, put("1.2.3.4:5", Some(9))), |_| "s".to_owned()).remove(1);
        let expected = json!({"Verb": "lock", "Key": "s/web/id", "Value": "MS4yLjMuNDo1", "Session": "s"});
        assert_eq!(lock["KV"], expected);
    }

    #[test]
    fn transactions_stay_below_what_older_servers_take() {
        let write = |steps, bytes: usize| vec![step(Condition::At(1), put(&"x".repeat(bytes), None)); steps];
        for (writes, sizes) in [
            (vec![write(2, 10); 25], vec![10, 10, 5]),
            (vec![write(1, 200_000); 3], vec![1, 1, 1]),
            (vec![write(1, 600_000), write(1, 1)], vec![1, 1]),
            (vec![write(1, 1)], vec![1]),
        ] {
            assert_eq!(chunks(&writes, ROOM, takes).into_iter().map(<[Transaction]>::len).collect::<Vec<_>>(), sizes);
        }
    }

    #[test]
    fn consuls_words_tell_what_is_in_the_way() {
        for (what, condition, session) in [
            ("failed to delete key \"a\", index is stale", true, false),
            ("failed index check for key \"a\", current modify index 5 != 4", true, false),
            ("key \"a\" doesn't exist", true, false),
            ("key \"a\" exists", true, false),
            ("invalid session \"x\"", false, true),
            ("Permission denied", false, false),
            ("failed to lock key \"a\" due to lock delay", false, false),
        ] {
            assert_eq!((is_condition(what), is_sessions(what)), (condition, session), "{what}");
        }
    }
}
