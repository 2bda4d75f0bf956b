//! Reads keys of Redis: strings, and the fields of hashes as keys below them.
//!
//! Changes are heard of by keyspace notifications (<https://redis.io/docs/latest/develop/use/keyspace-notifications/>),
//! which servers do not send unless they are told to. So the keys are compared from time to time as well.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use redis::aio::MultiplexedConnection;
use redis::{RedisError, cmd, pipe};
use tokio::time::{Instant, sleep, timeout_at};

use super::connect::Reach;
use super::connection::Connection;
use super::pattern::escaped;
use super::read::{self, SCAN};
use crate::registry::reader::{Access, KeyReader, Mark, Values, is_below, outermost};
use crate::registry::reporter::Reporter;
use crate::registry::{OpenError, RegistryError};

/// How long one reading may take.
const DEADLINE: Duration = Duration::from_secs(20);
/// How often keys are compared if the server tells of changes, which shows a connection that is silently dead, and if it
/// does not.
const TOLD: Duration = Duration::from_secs(20);
const UNTOLD: Duration = Duration::from_secs(5);
/// After an event, the ones that follow soon are waited for.
const PACE: Duration = Duration::from_millis(100);

/// Opens Redis for reading; only its first server is used. `separator` stands in keys where others have a slash.
///
/// # Errors
/// When the address or the files of TLS cannot be used.
pub(crate) fn open(access: &Access, separator: &str) -> Result<RedisReader, OpenError> {
    let connection = Connection::new(Reach::of_access(access)?, access.names);
    let spelling = if separator.is_empty() || separator == "/" {
        Spelling::Slashes
    } else {
        Spelling::Separator(separator.to_owned())
    };
    Ok(RedisReader { spelling, ..RedisReader::new(connection, access.reporter("redis"), false) })
}

/// A reader of one database.
pub(crate) struct RedisReader {
    connection: Connection,
    spelling: Spelling,
    reporter: Reporter,
    /// Whether the log has said that the server sends no notifications.
    told_of_events: AtomicBool,
}

impl RedisReader {
    /// A reader of keys that have slashes. `bare`: the first slash is not there.
    pub(super) fn new(connection: Connection, reporter: Reporter, bare: bool) -> Self {
        let spelling = if bare { Spelling::Bare } else { Spelling::Slashes };
        Self { connection, spelling, reporter, told_of_events: AtomicBool::new(false) }
    }
}

/// How keys are spelled there.
#[derive(Debug)]
enum Spelling {
    /// As they are here.
    Slashes,
    /// Without the first slash.
    Bare,
    /// With this in the place of slashes, and without the first.
    Separator(String),
}

impl Spelling {
    /// The name of a key there.
    fn there(&self, key: &str) -> String {
        match self {
            Self::Slashes => key.to_owned(),
            Self::Bare => key.trim_start_matches('/').to_owned(),
            Self::Separator(separator) => key.trim_start_matches('/').replace('/', separator),
        }
    }

    /// The key of a name there.
    fn here(&self, name: &str) -> String {
        let key = match self {
            Self::Slashes | Self::Bare => name.to_owned(),
            Self::Separator(separator) => name.replace(separator, "/"),
        };
        if key.starts_with('/') { key } else { format!("/{key}") }
    }

    /// The pattern of all names below a key.
    fn below(&self, key: &str) -> String {
        let folder = format!("{}/", key.trim_end_matches('/'));
        format!("{}*", escaped(&self.there(&folder)))
    }
}

/// The key without the wildcard that people write behind it.
fn plain(key: &str) -> String {
    let key = key.replace("/*", "");
    if key.is_empty() { "/".to_owned() } else { key }
}

impl RedisReader {
    async fn values(&self, keys: &[String]) -> Result<Values, RegistryError> {
        let keys: Vec<_> = keys.iter().map(|key| plain(key)).collect();
        let keys = &outermost(&keys, is_below);
        self.connection
            .call(DEADLINE, |mut connection| async move {
                let mut values = Values::new();
                for key in keys {
                    self.take(&mut connection, key, &mut values).await?;
                }
                Ok(values)
            })
            .await
    }

    /// Reads one key: a string, a hash, or all below it.
    async fn take(&self, to: &mut MultiplexedConnection, key: &str, values: &mut Values) -> Result<(), RedisError> {
        let name = self.spelling.there(key);
        let mut names = BTreeSet::new();
        match kind(to, &name).await?.as_str() {
            "string" | "hash" => drop(names.insert(name.into_bytes())),
            _ => {
                names.append(&mut read::names(to, &self.spelling.below(key)).await?);
                // It may be a field of a hash.
                if names.is_empty()
                    && let Some((parent, field)) = key.rsplit_once('/')
                    && !parent.is_empty()
                {
                    let parent = self.spelling.there(parent);
                    if kind(to, &parent).await? == "hash" {
                        let value: Option<Vec<u8>> = cmd("HGET").arg(parent).arg(field).query_async(to).await?;
                        values.extend(value.map(|value| (key.to_owned(), value)));
                    }
                }
            }
        }
        let names: Vec<_> = names.into_iter().collect();
        for names in names.chunks(SCAN) {
            self.take_named(to, names, values).await?;
        }
        Ok(())
    }

    /// Reads the strings and hashes with these names; others hold nothing that a template could use.
    async fn take_named(
        &self,
        to: &mut MultiplexedConnection,
        names: &[Vec<u8>],
        values: &mut Values,
    ) -> Result<(), RedisError> {
        let mut ask = pipe();
        for name in names {
            ask.cmd("TYPE").arg(name);
        }
        let kinds: Vec<String> = ask.query_async(to).await?;
        let of_kind = |wanted: &str| {
            names.iter().zip(&kinds).filter(|(_, kind)| *kind == wanted).map(|(name, _)| name).collect::<Vec<_>>()
        };
        let key = |name: &[u8]| std::str::from_utf8(name).ok().map(|name| self.spelling.here(name));
        let strings = of_kind("string");
        if !strings.is_empty() {
            let mut ask = cmd("MGET");
            for name in &strings {
                ask.arg(name);
            }
            let found: Vec<Option<Vec<u8>>> = ask.query_async(to).await?;
            for (name, value) in strings.into_iter().zip(found) {
                values.extend(key(name).zip(value));
            }
        }
        for name in of_kind("hash") {
            let fields: Vec<(Vec<u8>, Vec<u8>)> = cmd("HGETALL").arg(name).query_async(to).await?;
            let Some(key) = key(name) else { continue };
            for (field, value) in fields {
                let Ok(field) = String::from_utf8(field) else { continue };
                values.insert(format!("{key}/{field}"), value);
            }
        }
        Ok(())
    }

    /// Whether the server tells of changes of keys; `None` if it does not say.
    async fn tells(&self) -> Option<bool> {
        let asked = self.connection.call(DEADLINE, |mut to| async move {
            cmd("CONFIG").arg("GET").arg("notify-keyspace-events").query_async::<Vec<String>>(&mut to).await
        });
        let said = asked.await.ok()?;
        let flags = said.get(1)?;
        // K: by key. And the classes of events: A for all, or generic, string and hash ones.
        Some(flags.contains('K') && (flags.contains('A') || ['g', '$', 'h'].iter().all(|class| flags.contains(*class))))
    }

    /// How often keys are compared besides, with one line the first time that it is often.
    async fn compare_every(&self) -> Duration {
        if self.tells().await == Some(true) {
            return TOLD;
        }
        if !self.told_of_events.swap(true, Ordering::Relaxed) {
            self.reporter.info(
                "keyspace_events",
                format!(
                    "{} does not say that it tells of changes: its keys are compared every {} s; to hear of changes at \
                     once, set notify-keyspace-events to KA there",
                    self.connection.name(),
                    UNTOLD.as_secs()
                ),
            );
        }
        UNTOLD
    }
}

async fn kind(to: &mut MultiplexedConnection, name: &str) -> Result<String, RedisError> {
    cmd("TYPE").arg(name).query_async(to).await
}

fn digest(values: &Values) -> Mark {
    let mut hasher = DefaultHasher::new();
    values.hash(&mut hasher);
    hasher.finish()
}

#[async_trait]
impl KeyReader for RedisReader {
    async fn read(&self, keys: &[String]) -> Result<Values, RegistryError> {
        self.values(keys).await
    }

    async fn mark(&self, keys: &[String]) -> Result<Mark, RegistryError> {
        Ok(digest(&self.values(keys).await?))
    }

    async fn changed(&self, keys: &[String], since: Mark) -> Result<Mark, RegistryError> {
        let every = self.compare_every().await;
        let mut events = self.connection.subscription().await?;
        for key in keys {
            let key = plain(key);
            let names = escaped(&self.spelling.there(&key));
            let pattern = format!("__keyspace@{}__:{names}*", self.connection.reach().database);
            events.psubscribe(pattern).await.map_err(|error| self.connection.error(&error.into()))?;
            // A field of a hash is told of under the name of the hash.
            if let Some((parent, _)) = key.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) {
                let pattern = format!(
                    "__keyspace@{}__:{}",
                    self.connection.reach().database,
                    escaped(&self.spelling.there(parent))
                );
                events.psubscribe(pattern).await.map_err(|error| self.connection.error(&error.into()))?;
            }
        }
        let mut heard = events.on_message();
        loop {
            let now = digest(&self.values(keys).await?);
            if now != since {
                return Ok(now);
            }
            // An event, or time to compare; an end means that the connection is lost.
            if let Ok(None) = timeout_at(Instant::now() + every, heard.next()).await {
                return Err(RegistryError::Unreachable(format!("{}: the connection was lost", self.connection.name())));
            }
            sleep(PACE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_separator_stands_in_the_place_of_slashes_and_the_first_is_left_out() {
        let colon = Spelling::Separator(":".to_owned());
        assert_eq!(colon.there("/app/db/host"), "app:db:host");
        assert_eq!(colon.here("app:db:host"), "/app/db/host");
        assert_eq!(colon.below("/app"), "app:*");
        assert_eq!(colon.below("/"), "*");
        let slash = Spelling::Slashes;
        assert_eq!(slash.there("/app/db"), "/app/db");
        assert_eq!(slash.here("app/db"), "/app/db");
        assert_eq!(slash.below("/"), "/*");
        let bare = Spelling::Bare;
        assert_eq!(
            (bare.there("/services").as_str(), bare.here("services/web/a").as_str()),
            ("services", "/services/web/a")
        );
        assert_eq!(bare.below("/services"), "services/*");
    }

    #[test]
    fn the_wildcard_behind_a_key_is_left_out() {
        assert_eq!(plain("/a/*"), "/a");
        assert_eq!(plain("/*"), "/");
    }
}
