//! Reads the nodes below keys, and watches each of them.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep, timeout_at};
use zookeeper_client::{Client, Error, OneshotWatcher};

use super::session::Session;
use super::settings::Settings;
use super::{DEADLINE, failure, spelling, watch};
use crate::config::RegistryConfig;
use crate::registry::reader::{Access, KeyReader, Mark, Values, is_below, outermost};
use crate::registry::reporter::Reporter;
use crate::registry::services::{ServiceReader, StoredServices};
use crate::registry::uri::Uri;
use crate::registry::{OpenError, RegistryError};

/// How many nodes are read at once.
const IN_FLIGHT: usize = 128;
/// The shortest time between two readings of a watch.
const PACE: Duration = Duration::from_millis(100);

/// Opens ZooKeeper for reading.
///
/// # Errors
/// When the servers cannot be used.
pub(crate) fn open(access: &Access) -> Result<ZooKeeperReader, OpenError> {
    let session = Session::new(Settings::of_access(access)?, access.reporter("zookeeper"));
    Ok(ZooKeeperReader { session, needs_all: true })
}

/// Opens the services in ZooKeeper for reading.
///
/// # Errors
/// When the URI, the `ZOOKEEPER_*` variables or the files that they name cannot be used.
pub(in crate::registry) fn services(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Arc<dyn ServiceReader>, OpenError> {
    let settings = Settings { watched: false, ..Settings::new(uri, config)? };
    let base = settings.base.clone();
    let reader = ZooKeeperReader { session: Session::new(settings, reporter.clone()), needs_all: false };
    // The data do not contain the service's ID, so the node's own name is used.
    let decode = |path: &str, data: &[u8]| Some((path.rsplit('/').next()?.to_owned(), spelling::content(data)?));
    Ok(StoredServices::below(Box::new(reader), &base, decode))
}

/// A reader of leaves: a node that has others below it gives no value of its own.
pub(crate) struct ZooKeeperReader {
    session: Session,
    /// Whether a key that is not there is an error.
    needs_all: bool,
}

/// What a walk over nodes found.
#[derive(Default)]
struct Walk {
    values: Values,
    /// One for each list and value, if they were asked for.
    watchers: Vec<OneshotWatcher>,
    /// Keys that are not there.
    missing: Vec<String>,
}

/// What one node is.
enum Node {
    Folder(Vec<String>),
    Leaf(Vec<u8>),
    Missing,
}

/// The key without the wildcard that people write behind it.
fn plain(key: &str) -> String {
    let key = key.replace("/*", "");
    if key.is_empty() { "/".to_owned() } else { key }
}

async fn look(client: &Client, path: &str, watched: bool) -> Result<(Node, Vec<OneshotWatcher>), Error> {
    let mut watchers = Vec::new();
    let children = if watched {
        match client.list_and_watch_children(path).await {
            Ok((children, watcher)) => {
                watchers.push(watcher);
                Ok(children)
            }
            Err(error) => Err(error),
        }
    } else {
        client.list_children(path).await
    };
    let node = match children {
        Ok(children) if !children.is_empty() => Node::Folder(children),
        Ok(_) if watched => match client.get_and_watch_data(path).await {
            Ok((data, _, watcher)) => {
                watchers.push(watcher);
                Node::Leaf(data)
            }
            Err(Error::NoNode) => Node::Missing,
            Err(error) => return Err(error),
        },
        Ok(_) => match client.get_data(path).await {
            Ok((data, _)) => Node::Leaf(data),
            Err(Error::NoNode) => Node::Missing,
            Err(error) => return Err(error),
        },
        Err(Error::NoNode) => Node::Missing,
        Err(error) => return Err(error),
    };
    if watched && matches!(node, Node::Missing) {
        let (_, watcher) = client.check_and_watch_stat(path).await?;
        watchers.push(watcher);
    }
    Ok((node, watchers))
}

impl ZooKeeperReader {
    async fn walk(&self, keys: &[String], watched: bool) -> Result<(Client, Walk), RegistryError> {
        let until = Instant::now() + DEADLINE;
        let client = timeout_at(until, self.session.client()).await.map_err(|_| failure::too_late())??;
        let walk = timeout_at(until, walk(&client, keys, watched)).await.map_err(|_| failure::too_late())??;
        Ok((client, walk))
    }

    /// The error, with the name of the server.
    fn named(&self, error: RegistryError) -> RegistryError {
        match error {
            RegistryError::Unreachable(text) if !text.starts_with("ZooKeeper") => {
                RegistryError::Unreachable(format!("ZooKeeper at {}: {text}", self.session.settings().place()))
            }
            other => other,
        }
    }
}

async fn walk(client: &Client, keys: &[String], watched: bool) -> Result<Walk, RegistryError> {
    let keys: Vec<_> = keys.iter().map(|key| plain(key)).collect();
    let keys = outermost(&keys, is_below);
    let mut found = Walk::default();
    let mut level = keys.clone();
    while !level.is_empty() {
        let asked = level.into_iter().map(|path| async move {
            let looked = look(client, &path, watched).await.map_err(|error| failure::at(&path, &error));
            looked.map(|(node, watchers)| (path, node, watchers))
        });
        let mut answers = futures_util::stream::iter(asked.collect::<Vec<_>>()).buffer_unordered(IN_FLIGHT);
        let mut next = Vec::new();
        while let Some(answer) = answers.next().await {
            let (path, node, watchers) = answer?;
            found.watchers.extend(watchers);
            match node {
                Node::Leaf(data) => drop(found.values.insert(path, data)),
                Node::Folder(children) => {
                    next.extend(children.into_iter().map(|child| format!("{}/{child}", path.trim_end_matches('/'))));
                }
                // Below a key, it was removed meanwhile.
                Node::Missing if keys.contains(&path) => found.missing.push(path),
                Node::Missing => {}
            }
        }
        drop(answers);
        level = next;
    }
    Ok(found)
}

fn digest(walk: &Walk) -> Mark {
    let mut hasher = DefaultHasher::new();
    walk.values.hash(&mut hasher);
    hasher.finish()
}

#[async_trait]
impl KeyReader for ZooKeeperReader {
    async fn read(&self, keys: &[String]) -> Result<Values, RegistryError> {
        let (_, walk) = self.walk(keys, false).await.map_err(|error| self.named(error))?;
        match walk.missing.first().filter(|_| self.needs_all) {
            None => Ok(walk.values),
            Some(path) => Err(RegistryError::service(format!("zk: node does not exist: {path}"))),
        }
    }

    async fn mark(&self, keys: &[String]) -> Result<Mark, RegistryError> {
        let (_, walk) = self.walk(keys, false).await.map_err(|error| self.named(error))?;
        Ok(digest(&walk))
    }

    async fn changed(&self, keys: &[String], since: Mark) -> Result<Mark, RegistryError> {
        loop {
            let (client, walk) = self.walk(keys, true).await.map_err(|error| self.named(error))?;
            let now = digest(&walk);
            if now != since {
                return Ok(now);
            }
            let mut watchers: FuturesUnordered<_> = walk.watchers.into_iter().map(OneshotWatcher::changed).collect();
            tokio::select! {
                // First, because the client's watchers panic when its connection is dropped, which follows its loss.
                biased;
                _ = watch::lost(&client) => {
                    drop(watchers);
                    return Err(self.named(RegistryError::Unreachable("the connection was lost".to_owned())));
                }
                _ = watchers.next() => {}
            }
            sleep(PACE).await;
        }
    }
}
