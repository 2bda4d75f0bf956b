//! Hears of changes by keyspace events. Where the server does not send them, keys are compared now and then.
//!
//! An event says that a key has changed, not how, so it is read. Events of a TTL that begins again are passed over: they
//! are our own. A server that is emptied sends no events, and one that starts again may have forgotten that it is to send
//! them, so both are looked at from time to time.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use redis::aio::{PubSubSink, PubSubStream};
use redis::{Msg, Value};
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use super::Redis;
use super::connect::ANSWER;
use super::events::{self, Events};
use super::failure::Failure;
use super::pattern::escaped;
use super::read;
use crate::registry::RegistryError;
use crate::registry::kv::{Keys, StoreEvent};
use crate::registry::text::one_line;

/// How long reading the versions of keys may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// How often it is looked at whether the server was emptied.
const LOOK: Duration = Duration::from_secs(2);
/// And how many looks later, whether it still sends events.
const LOOKS: u32 = 15;
/// How long events are gathered that come together.
const GATHER: Duration = Duration::from_millis(50);
/// How many channels are asked for at once.
const CHANNELS: usize = 500;
/// Without events: the pause between two comparisons, and what each key adds to it.
const PACE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
const PACE_OF_A_KEY: Duration = Duration::from_millis(1);
/// Without events: how often is asked whether there are any now.
const AGAIN: Duration = Duration::from_secs(60);

type Report<'a> = &'a (dyn Fn(StoreEvent) + Send + Sync);

/// What is watched.
enum Scope<'a> {
    /// All keys with these prefixes.
    Below(&'a [String]),
    /// These keys, which may change.
    Each(&'a mut Receiver<Keys>),
}

/// Reports changes of keys with these prefixes until that fails; returns why.
pub(super) async fn below(redis: &Redis, prefixes: &[String], report: Report<'_>) -> RegistryError {
    if told(redis).await {
        match listen(redis, Scope::Below(prefixes), report).await {
            Ok(never) => match never {},
            Err(Ended::Refused(reason)) => untold(redis, &reason),
            Err(ended) => return ended.error(redis),
        }
    }
    compared(redis, prefixes, report).await
}

/// Reports what happens to each of these keys until that fails; returns why.
pub(super) async fn each(redis: &Redis, keys: &mut Receiver<Keys>, report: Report<'_>) -> RegistryError {
    if told(redis).await {
        match listen(redis, Scope::Each(keys), report).await {
            Ok(never) => match never {},
            Err(Ended::Refused(reason)) => untold(redis, &reason),
            Err(ended) => return ended.error(redis),
        }
    }
    asked(redis, keys, report).await
}

/// Whether the server tells of changes; it is set to, if it can be. A line says what was done, or what could not be.
async fn told(redis: &Redis) -> bool {
    let name = redis.connection.name();
    match events::ensure(&redis.connection, &redis.probe).await {
        Events::Told => true,
        Events::Added(flags) => {
            let text = format!(
                "{name} now tells of changes: {flags} was added to its notify-keyspace-events (in its configuration file, \
                 the setting outlives a restart)"
            );
            redis.reporter.info("keyspace_events", text);
            redis.say_untold.store(true, Ordering::Relaxed);
            true
        }
        Events::Untold(reason) => {
            untold(redis, &reason);
            false
        }
    }
}

/// Says that there are no events: once, until there are some again.
fn untold(redis: &Redis, reason: &str) {
    if redis.say_untold.swap(false, Ordering::Relaxed) {
        let text = format!(
            "{} does not tell us of changes, so keys are compared every few seconds; set its notify-keyspace-events to \
             Kg$xe or more, and let the user hear of them ({reason})",
            redis.connection.name()
        );
        redis.reporter.info("keyspace_events", text);
    }
}

/// Why listening ended.
enum Ended {
    /// Events may not be heard by us: why.
    Refused(String),
    Registry(RegistryError),
    Failure(Failure),
}

impl Ended {
    fn error(self, redis: &Redis) -> RegistryError {
        match self {
            Self::Refused(reason) => RegistryError::rights(reason),
            Self::Registry(error) => error,
            Self::Failure(failure) => redis.connection.error(&failure),
        }
    }

    /// Of a request for a channel.
    fn of_channel(failure: Failure) -> Self {
        match failure.answer() {
            Some((code, text)) => Self::Refused(format!("{code} {}", one_line(&text, 300))),
            None => Self::Failure(failure),
        }
    }
}

impl From<RegistryError> for Ended {
    fn from(error: RegistryError) -> Self {
        Self::Registry(error)
    }
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failure(failure)
    }
}

async fn listen(redis: &Redis, mut scope: Scope<'_>, report: Report<'_>) -> Result<std::convert::Infallible, Ended> {
    let (mut sink, mut stream) = redis.connection.subscription().await?.split();
    let channel = format!("__keyspace@{}__:", redis.connection.reach().database);
    let mut watched = Keys::default();
    if let Scope::Below(prefixes) = &scope {
        let patterns: Vec<_> = prefixes.iter().map(|prefix| format!("{channel}{}*", escaped(prefix))).collect();
        in_time(sink.psubscribe(&patterns)).await.map_err(Ended::of_channel)?;
    }
    report(StoreEvent::Started);
    let mut looks = 0;
    let mut look = interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if let Scope::Each(keys) = &mut scope {
            let now = keys.borrow_and_update().clone();
            if *now != *watched {
                follow(redis, &mut sink, &channel, (&watched, &now), report).await?;
                watched = now;
            }
        }
        tokio::select! {
            message = stream.next() => {
                let first = message.ok_or_else(|| Failure::Other("the connection for events was lost".to_owned()))?;
                let changed = gathered(first, &mut stream, &channel).await;
                report_versions(redis, changed.into_iter().collect(), report).await?;
            }
            _ = look.tick() => {
                looks += 1;
                in_time(sink.ping::<Value>()).await?;
                if redis.has_lost_anything().await? {
                    report(StoreEvent::Started);
                }
                if !redis.connection.is_still_master().await? {
                    return Err(Failure::Other("another server is the master now".to_owned()).into());
                }
                if looks % LOOKS == 0 && !events::tells(&redis.connection, &redis.probe).await {
                    return Err(Failure::Other("it no longer tells of changes".to_owned()).into());
                }
            }
            () = changed(&mut scope) => {}
        }
    }
}

/// Returns when other keys are to be watched.
async fn changed(scope: &mut Scope<'_>) {
    if let Scope::Each(keys) = scope
        && keys.changed().await.is_ok()
    {
        return;
    }
    // All are, or whoever says which has gone.
    std::future::pending().await
}

/// Watches other keys than before, and reports how the new ones stand.
async fn follow(
    redis: &Redis,
    sink: &mut PubSubSink,
    channel: &str,
    (before, now): (&Keys, &Keys),
    report: Report<'_>,
) -> Result<(), Ended> {
    let channels = |keys: &[&String]| keys.iter().map(|key| format!("{channel}{key}")).collect::<Vec<_>>();
    let gone: Vec<_> = before.difference(now).collect();
    for gone in gone.chunks(CHANNELS) {
        in_time(sink.unsubscribe(channels(gone))).await?;
    }
    let new: Vec<_> = now.difference(before).collect();
    for new in new.chunks(CHANNELS) {
        in_time(sink.subscribe(channels(new))).await.map_err(Ended::of_channel)?;
    }
    report_versions(redis, new.into_iter().cloned().collect(), report).await?;
    Ok(())
}

async fn in_time<T>(asked: impl Future<Output = Result<T, redis::RedisError>>) -> Result<T, Failure> {
    match timeout(ANSWER, asked).await {
        Ok(answer) => answer.map_err(Failure::from),
        Err(_) => Err(Failure::Late),
    }
}

/// The keys that have changed: those of a message, and of the ones that come with it.
async fn gathered(first: Msg, stream: &mut PubSubStream, channel: &str) -> BTreeSet<String> {
    sleep(GATHER).await;
    let mut messages = vec![first];
    while let Some(Some(message)) = stream.next().now_or_never() {
        messages.push(message);
    }
    messages
        .iter()
        .filter_map(|message| changed_key(message.get_channel_name(), message.get_payload_bytes(), channel))
        .collect()
}

/// The key that an event is about, unless only its TTL has begun again.
fn changed_key(name: &str, event: &[u8], channel: &str) -> Option<String> {
    let key = name.strip_prefix(channel)?;
    (event != b"expire").then(|| key.to_owned())
}

async fn report_versions(redis: &Redis, keys: Vec<String>, report: Report<'_>) -> Result<(), RegistryError> {
    if keys.is_empty() {
        return Ok(());
    }
    let asked = keys.as_slice();
    let found = redis.connection.call(DEADLINE, |mut to| async move { read::versions(&mut to, asked).await }).await?;
    for (key, version) in keys.into_iter().zip(found) {
        report(StoreEvent::Seen { key, version, at: u64::MAX });
    }
    Ok(())
}

/// Without events: compares all keys with these prefixes.
async fn compared(redis: &Redis, prefixes: &[String], report: Report<'_>) -> RegistryError {
    let mut seen: Option<HashMap<String, Option<u64>>> = None;
    let mut again = Instant::now() + AGAIN;
    loop {
        if Instant::now() >= again {
            if told(redis).await {
                return now_told();
            }
            again = Instant::now() + AGAIN;
        }
        let asked = redis.connection.call(super::LISTING, |mut to| async move {
            let mut all = Vec::new();
            for prefix in prefixes {
                all.extend(read::keys(&mut to, prefix).await?);
            }
            let versions = read::versions(&mut to, &all).await?;
            Ok(all.into_iter().zip(versions).collect::<HashMap<_, _>>())
        });
        let now = match asked.await {
            Ok(now) => now,
            Err(error) => return error,
        };
        match seen {
            None => report(StoreEvent::Started),
            Some(seen) => differences(&seen, &now).for_each(report),
        }
        sleep(pace(now.len())).await;
        seen = Some(now);
    }
}

/// Without events: asks for each of these keys.
async fn asked(redis: &Redis, keys: &mut Receiver<Keys>, report: Report<'_>) -> RegistryError {
    let mut seen = HashMap::new();
    let mut again = Instant::now() + AGAIN;
    loop {
        if Instant::now() >= again {
            if told(redis).await {
                return now_told();
            }
            again = Instant::now() + AGAIN;
        }
        let wanted: Vec<_> = keys.borrow_and_update().iter().cloned().collect();
        let these = wanted.as_slice();
        let asked = redis.connection.call(DEADLINE, |mut to| async move { read::versions(&mut to, these).await });
        let versions = match asked.await {
            Ok(versions) => versions,
            Err(error) => return error,
        };
        let now: HashMap<_, _> = wanted.into_iter().zip(versions).collect();
        differences(&seen, &now)
            .filter(|event| !matches!(event, StoreEvent::Seen { key, .. } if !now.contains_key(key)))
            .for_each(report);
        sleep(pace(now.len())).await;
        seen = now;
    }
}

fn now_told() -> RegistryError {
    RegistryError::Unreachable("it tells of changes now".to_owned())
}

fn pace(keys: usize) -> Duration {
    (PACE_OF_A_KEY * u32::try_from(keys).unwrap_or(u32::MAX)).clamp(PACE.0, PACE.1)
}

/// What differs between two looks.
fn differences<'a>(
    before: &'a HashMap<String, Option<u64>>,
    now: &'a HashMap<String, Option<u64>>,
) -> impl Iterator<Item = StoreEvent> + 'a {
    let event = |key: &String, version| StoreEvent::Seen { key: key.clone(), version, at: u64::MAX };
    let changed = now.iter().filter(|(key, version)| before.get(*key) != Some(version));
    let gone = before.keys().filter(|key| !now.contains_key(*key));
    changed.map(move |(key, version)| event(key, *version)).chain(gone.map(move |key| event(key, None)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_its_key_unless_only_a_ttl_has_begun_again() {
        let channel = "__keyspace@0__:";
        for (name, event, expected) in [
            ("__keyspace@0__:services/web/a", "set", Some("services/web/a")),
            ("__keyspace@0__:services/web/a", "del", Some("services/web/a")),
            ("__keyspace@0__:services/web/a", "expired", Some("services/web/a")),
            ("__keyspace@0__:services/web/a", "expire", None),
            ("__keyspace@1__:services/web/a", "set", None),
            ("odd", "set", None),
        ] {
            assert_eq!(changed_key(name, event.as_bytes(), channel).as_deref(), expected, "{name} {event}");
        }
    }

    #[test]
    fn what_differs_between_two_looks_is_reported() {
        let looked = |keys: &[(&str, Option<u64>)]| -> HashMap<_, _> {
            keys.iter().map(|(key, version)| ((*key).to_owned(), *version)).collect()
        };
        let before = looked(&[("a", Some(1)), ("b", Some(2)), ("c", Some(3)), ("d", None)]);
        let now = looked(&[("a", Some(1)), ("b", Some(5)), ("d", None), ("e", Some(4))]);
        let mut found: Vec<_> = differences(&before, &now)
            .filter_map(|event| match event {
                StoreEvent::Seen { key, version, .. } => Some((key, version)),
                StoreEvent::Started => None,
            })
            .collect();
        found.sort();
        assert_eq!(found, [("b".to_owned(), Some(5)), ("c".to_owned(), None), ("e".to_owned(), Some(4))]);
    }
}
