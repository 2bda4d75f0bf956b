//! Keyspace events: whether the server sends those that we need, and what it has to be set to so that it does
//! (<https://redis.io/docs/latest/develop/use/keyspace-notifications/>).

use std::time::Duration;

use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, cmd, pipe};
use tokio::time::timeout;

use super::connection::Connection;
use crate::registry::RegistryError;

/// How long asking for the setting may take.
const DEADLINE: Duration = Duration::from_secs(6);
/// How long the key of a probe is there at most, and how long its event is waited for.
const PROBE_LASTS: Duration = Duration::from_secs(10);
const PROBE_WAITS: Duration = Duration::from_secs(2);
/// The name of the setting.
const SETTING: &str = "notify-keyspace-events";
/// The events that we need: by key (K); of any kind of key (g: removed), strings ($), expired (x) and evicted (e) ones.
const NEEDED: [char; 5] = ['K', 'g', '$', 'x', 'e'];
/// Stands for all classes of events, but not for K.
const ALL: char = 'A';

/// Whether the server tells of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Events {
    /// It does.
    Told,
    /// It does now: this was added to its setting.
    Added(String),
    /// It does not, or does not say: why.
    Untold(String),
}

/// Finds out, and has the server send what is missing if we may. Nothing is removed from its setting. Who may not read the
/// setting writes the key `probe`, and waits for the event.
pub(super) async fn ensure(connection: &Connection, probe: &str) -> Events {
    let missing = match lacks(connection).await {
        Ok(missing) if missing.is_empty() => return Events::Told,
        Ok(missing) => missing,
        Err(RegistryError::Unreachable(reason)) => return Events::Untold(reason),
        Err(error) if hears(connection, probe).await != Ok(true) => return Events::Untold(error.to_string()),
        Err(_) => return Events::Told,
    };
    let set = connection.call(DEADLINE, |mut to| async move {
        // As it is now: nothing that others need is taken away.
        let flags = setting(&mut to).await?;
        cmd("CONFIG")
            .arg("SET")
            .arg(SETTING)
            .arg(format!("{flags}{}", self::missing(&flags)))
            .query_async::<()>(&mut to)
            .await
    });
    match set.await {
        Ok(()) => Events::Added(missing),
        Err(error) => Events::Untold(error.to_string()),
    }
}

/// Whether it still sends what we need.
pub(super) async fn tells(connection: &Connection, probe: &str) -> bool {
    match lacks(connection).await {
        Ok(missing) => missing.is_empty(),
        Err(RegistryError::Unreachable(_)) => false,
        Err(_) => hears(connection, probe).await == Ok(true),
    }
}

/// What its setting lacks.
async fn lacks(connection: &Connection) -> Result<String, RegistryError> {
    let asked = connection.call(DEADLINE, |mut to| async move { setting(&mut to).await });
    Ok(missing(&asked.await?))
}

async fn setting(to: &mut MultiplexedConnection) -> Result<String, RedisError> {
    let said: Vec<String> = cmd("CONFIG").arg("GET").arg(SETTING).query_async(to).await?;
    Ok(said.into_iter().nth(1).unwrap_or_default())
}

/// Whether an event comes of a key that is written, and removed again.
async fn hears(connection: &Connection, probe: &str) -> Result<bool, RegistryError> {
    let mut events = connection.subscription().await?;
    let channel = format!("__keyspace@{}__:{probe}", connection.reach().database);
    let subscribed = timeout(DEADLINE, events.subscribe(channel)).await;
    if !matches!(subscribed, Ok(Ok(()))) {
        return Ok(false);
    }
    connection
        .call(DEADLINE, |mut to| async move {
            let expires = PROBE_LASTS.as_millis().to_string();
            pipe().cmd("SET").arg(probe).arg("").arg("PX").arg(expires).ignore().query_async::<()>(&mut to).await
        })
        .await?;
    let mut messages = events.on_message();
    let heard = timeout(PROBE_WAITS, messages.next()).await.is_ok_and(|message| message.is_some());
    connection.call(DEADLINE, |mut to| async move { cmd("DEL").arg(probe).query_async::<()>(&mut to).await }).await?;
    Ok(heard)
}

/// What has to be added to the setting.
fn missing(flags: &str) -> String {
    let has = |needed: char| flags.contains(needed) || needed != 'K' && flags.contains(ALL);
    NEEDED.into_iter().filter(|needed| !has(*needed)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_added() {
        for (flags, expected) in [
            ("", "Kg$xe"),
            ("AKE", ""),
            ("AE", "K"),
            ("AK", ""),
            ("K$", "gxe"),
            ("Kg$xe", ""),
            ("Elsh", "Kg$xe"),
            ("gxeK", "$"),
        ] {
            assert_eq!(missing(flags), expected, "{flags:?}");
            assert_eq!(missing(&format!("{flags}{expected}")), "", "{flags:?}");
        }
    }
}
