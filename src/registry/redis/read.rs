//! Reads keys: those with a prefix by `SCAN`, and many at once with their remaining time.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, Value, cmd, from_redis_value, pipe};

use super::pattern::escaped;

/// How many keys the server looks at for one answer of a scan, and how many are asked for at once.
pub(super) const SCAN: usize = 1000;
const CHUNK: usize = 1000;

/// A key as it is there: its value, and how long it will stay if it expires.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) value: Vec<u8>,
    pub(super) remaining: Option<Duration>,
}

/// The names that match a pattern.
pub(super) async fn names(to: &mut MultiplexedConnection, pattern: &str) -> Result<BTreeSet<Vec<u8>>, RedisError> {
    let mut names = BTreeSet::new();
    let mut cursor = 0_u64;
    loop {
        let (next, found): (u64, Vec<Vec<u8>>) =
            cmd("SCAN").arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SCAN).query_async(to).await?;
        names.extend(found);
        cursor = next;
        if cursor == 0 {
            return Ok(names);
        }
    }
}

/// The keys that begin with a prefix; those that are not text are not ours.
pub(super) async fn keys(to: &mut MultiplexedConnection, prefix: &str) -> Result<Vec<String>, RedisError> {
    let names = names(to, &format!("{}*", escaped(prefix))).await?;
    Ok(names.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect())
}

/// Keys with their remaining time, in order. A key that holds no string counts as missing.
pub(super) async fn found(to: &mut MultiplexedConnection, keys: &[String]) -> Result<Vec<Option<Found>>, RedisError> {
    let mut all = Vec::with_capacity(keys.len());
    for keys in keys.chunks(CHUNK) {
        let mut ask = pipe();
        ask.cmd("MGET").arg(keys);
        for key in keys {
            ask.cmd("PTTL").arg(key);
        }
        let mut said: Vec<Value> = ask.query_async(to).await?;
        let times = said.split_off(said.len().min(1));
        let values: Vec<Option<Vec<u8>>> = from_redis_value(said.pop().unwrap_or(Value::Nil))?;
        for (value, time) in values.into_iter().zip(times) {
            let time: i64 = from_redis_value(time)?;
            all.push(value.and_then(|value| held(value, time)));
        }
    }
    Ok(all)
}

/// A value with the answer of `PTTL`: milliseconds, -1 without an end, -2 for a key that has gone since.
fn held(value: Vec<u8>, time: i64) -> Option<Found> {
    match time {
        -1 => Some(Found { value, remaining: None }),
        0.. => Some(Found { value, remaining: Some(Duration::from_millis(time.unsigned_abs())) }),
        _ => None,
    }
}

/// The versions of keys, in order.
pub(super) async fn versions(to: &mut MultiplexedConnection, keys: &[String]) -> Result<Vec<Option<u64>>, RedisError> {
    let mut all = Vec::with_capacity(keys.len());
    for keys in keys.chunks(CHUNK) {
        let values: Vec<Option<Vec<u8>>> = cmd("MGET").arg(keys).query_async(to).await?;
        all.extend(values.iter().map(|value| value.as_deref().map(version)));
    }
    Ok(all)
}

/// Redis counts no versions, so a value stands for its own: what is the same again is the same.
pub(super) fn version(value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_a_time_left_or_none_or_is_gone() {
        let found = |time| held(b"x".to_vec(), time).map(|found| found.remaining);
        assert_eq!(found(-1), Some(None));
        assert_eq!(found(1500), Some(Some(Duration::from_millis(1500))));
        assert_eq!(found(0), Some(Some(Duration::ZERO)));
        assert_eq!((found(-2), found(i64::MIN)), (None, None));
    }
}
