//! Reads keys of Consul for rendered files, and waits for changes with blocking queries.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::time::{Instant, sleep};

use super::super::client::{Client, DEADLINE};
use super::super::settings::Settings;
use super::item::Item;
use super::{listing, txn};
use crate::config::RegistryConfig;
use crate::registry::reader::{Access, KeyReader, Mark, Values, outermost};
use crate::registry::uri::Uri;
use crate::registry::{OpenError, RegistryError};

/// The wait time of a query, and its deadline: Consul adds up to a sixteenth, to spread the load. Short, because a
/// Consul that has lost its data lets a query wait whose index it has not reached yet.
const WAIT: Duration = Duration::from_secs(10);
const WAIT_DEADLINE: Duration = Duration::from_millis(10_000 + 10_000 / 16 + 10_000);
/// The shortest time between two queries, and the longest pause if they do not block.
const PACE: Duration = Duration::from_millis(100);
const BLIND_PACE: Duration = Duration::from_secs(10);

/// Opens Consul's key-value store for reading; only its first server is used, since that is an agent.
///
/// # Errors
/// When the address, the `CONSUL_*` variables or the files of TLS cannot be used.
pub(crate) fn open(access: &Access) -> Result<ConsulReader, OpenError> {
    let scheme = match (&access.socket, access.secure) {
        (Some(_), _) => "consul-unix",
        (None, true) => "consul-tls",
        (None, false) => "consul",
    };
    let place = match &access.socket {
        Some(path) => path.display().to_string(),
        None => access.servers.first().cloned().unwrap_or_default(),
    };
    let text = format!("{scheme}://{place}");
    let unusable = || OpenError::Settings(format!("{place:?} is no address of a Consul agent"));
    let uri = Uri::split(&text).ok_or_else(unusable)?;
    let config = RegistryConfig {
        uri: text.clone(),
        owner: String::new(),
        hostname: String::new(),
        record_owner: false,
        ttl: None,
        ttl_refresh: None,
        environment: access.environment.clone(),
    };
    let mut settings = Settings::new(&uri, &config)?;
    let tls = &access.tls;
    settings.tls.ca = tls.ca.clone().or(settings.tls.ca);
    settings.tls.identity = tls.identity.clone().or(settings.tls.identity);
    settings.tls.skip_verify |= tls.skip_verify;
    settings.basic = access.user.clone().or(settings.basic);
    if access.token.is_some() {
        settings.token.clone_from(&access.token);
        settings.token_file = None;
    }
    let names = access.names.tls();
    settings.names = names;
    let client = Client::new(settings, access.reporter("consul"))
        .map_err(|error| OpenError::Settings(format!("consul: {}", names.of_files(&error))))?;
    Ok(ConsulReader { client })
}

/// A reader of Consul's key-value store. A key brings along all that begin with it: `/foo` brings `/foobar`.
pub(crate) struct ConsulReader {
    client: Client,
}

impl ConsulReader {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    async fn items(&self, keys: &[String]) -> Result<Vec<Item>, RegistryError> {
        match outermost(keys, |outer, key| key.starts_with(outer)).as_slice() {
            [] => Ok(Vec::new()),
            [key] => Ok(listing::read(&self.client, key, None, DEADLINE).await?.items),
            // All as of one moment.
            several => txn::trees(&self.client, several).await,
        }
    }
}

#[async_trait]
impl KeyReader for ConsulReader {
    async fn read(&self, keys: &[String]) -> Result<Values, RegistryError> {
        let items = self.items(keys).await?;
        let value = |item: Item| {
            // A folder key ends with a slash.
            let key = format!("/{}", item.key.trim_matches('/'));
            (key, BASE64_STANDARD.decode(item.value.unwrap_or_default()).unwrap_or_default())
        };
        Ok(items.into_iter().map(value).collect())
    }

    async fn mark(&self, keys: &[String]) -> Result<Mark, RegistryError> {
        Ok(digest(&self.items(keys).await?))
    }

    async fn changed(&self, keys: &[String], since: Mark) -> Result<Mark, RegistryError> {
        let prefix = common_prefix(keys);
        let mut index = None;
        let mut pause = PACE;
        loop {
            let began = Instant::now();
            let (wait, deadline) = match index {
                None => (None, DEADLINE),
                Some(index) => (Some((index, WAIT)), WAIT_DEADLINE),
            };
            let listing = listing::read(&self.client, prefix, wait, deadline).await?;
            // The prefix may bring more than was asked for.
            let wanted = |item: &&Item| keys.iter().any(|key| item.key.starts_with(key.trim_start_matches('/')));
            let now = digest(listing.items.iter().filter(wanted));
            if now != since {
                return Ok(now);
            }
            // An index that went back is that of a new store.
            let next = listing.index.filter(|next| index.is_none_or(|index| *next >= index));
            pause = if index.is_some() && began.elapsed() < PACE { (pause * 2).min(BLIND_PACE) } else { PACE };
            if next.is_none() && index.is_some() {
                pause = pause.max(Duration::from_secs(1));
            }
            index = next;
            sleep(if listing.index.is_none() { BLIND_PACE } else { pause }).await;
        }
    }
}

/// The text that all keys begin with.
fn common_prefix(keys: &[String]) -> &str {
    let Some((first, others)) = keys.split_first() else { return "/" };
    let mut length = first.len();
    for key in others {
        let same = first.bytes().zip(key.bytes()).take_while(|(one, other)| one == other).count();
        length = length.min(same);
    }
    while !first.is_char_boundary(length) {
        length -= 1;
    }
    &first[..length]
}

/// A digest of keys and their versions.
fn digest<'a>(items: impl IntoIterator<Item = &'a Item>) -> Mark {
    let mut versions: Vec<_> = items.into_iter().map(|item| (item.key.as_str(), item.modify_index)).collect();
    versions.sort_unstable();
    versions.dedup();
    let mut hasher = DefaultHasher::new();
    versions.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_query_covers_all_keys() {
        let keys = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        assert_eq!(common_prefix(&keys(&["/database/host", "/database/port"])), "/database/");
        assert_eq!(common_prefix(&keys(&["/key"])), "/key");
        assert_eq!(common_prefix(&keys(&["/a/é", "/a/è"])), "/a/");
        assert_eq!(common_prefix(&keys(&["/a", "/b"])), "/");
        assert_eq!(common_prefix(&[]), "/");
    }
}
