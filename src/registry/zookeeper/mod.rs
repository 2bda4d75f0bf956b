//! ZooKeeper: one ephemeral node for each service, alive as long as our session is.
//!
//! Stands below the bridge: [`spelling`] and [`json`] say what a service is to ZooKeeper, [`link`] keeps
//! the session, [`watch`] hears of other hands, [`read`] and [`write`] speak, this file does.
//!
//! # Whose an entry is
//!
//! The session that made a node owns it, and ZooKeeper records which that is (`Stat.ephemeralOwner`):
//! nothing need be added to say so. Our session's nodes are ours. Another session's are another's for as
//! long as it lives, under whatever host name it writes, and are never touched; when it ends they go, a
//! watch tells, and what we want there is written. A node of no session is nobody's; one that stands
//! where a service should is replaced in a single step.
//!
//! After a crash, our last run's session lives on until it times out, and its nodes look like
//! another's, often with the very data that we would write. They are left alone all the same: that
//! whoever made them is dead, and not another instance with the same host name, nobody can know before
//! ZooKeeper does, and two that take each other's nodes would do so for ever. Readers lose nothing
//! meanwhile, since the nodes are there, and for no longer than the session's timeout can one be out
//! of date.
//!
//! # How it ends
//!
//! When we stop, the session is left to time out instead of being closed: a restart within the timeout
//! leaves no gap but the moment between the old nodes' going and the new ones' coming. Whoever wants them
//! gone at once deregisters them before. Keeping them for longer than the session is not in the nature of
//! ephemeral nodes.

mod failure;
mod json;
mod link;
mod read;
mod settings;
mod spelling;
mod watch;
mod write;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::time::{Instant, sleep_until, timeout_at};
use zookeeper_client::Client;

use crate::config::RegistryConfig;
use crate::service::Service;

use super::reporter::Reporter;
use super::uri::Uri;
use super::{Action, Change, Entry, OpenError, Registry, RegistryError, Scope, Write};

use link::Link;
use settings::Settings;
use write::{Node, Writer};

/// Within what any method ends, whatever ZooKeeper does.
const DEADLINE: Duration = Duration::from_secs(10);
/// How many writes of a batch are in flight at once.
const CONCURRENCY: usize = 128;
/// The least time between two reports of a change.
const PACE: Duration = Duration::from_secs(1);

/// Opens ZooKeeper for `zookeeper:` and `zookeeper-tls:`.
///
/// # Errors
/// When the URI, the `ZOOKEEPER_*` variables or the files that they name cannot be used.
pub(super) fn open(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Arc<dyn Registry>, OpenError> {
    let link = Link::new(Settings::new(uri, config)?, reporter.clone());
    Ok(Arc::new(ZooKeeper { link, owner: config.owner.clone(), told: Mutex::default() }))
}

struct ZooKeeper {
    link: Link,
    /// What we call ourselves; ZooKeeper knows us by our session.
    owner: String,
    /// When a change was reported last.
    told: Mutex<Option<Instant>>,
}

impl ZooKeeper {
    fn base(&self) -> &str {
        &self.link.settings().base
    }

    /// A client, within the deadline.
    async fn client(&self, until: Instant) -> Result<Client, RegistryError> {
        timeout_at(until, self.link.client()).await.unwrap_or_else(|_| Err(failure::too_late()))
    }

    /// A client to write with. That we are refused altogether is no reason to give up a single service.
    async fn writer(&self, until: Instant) -> Result<Client, RegistryError> {
        self.client(until).await.map_err(|error| match error {
            RegistryError::Refused { text, .. } | RegistryError::Taken(text) => RegistryError::Unreachable(text),
            RegistryError::Unreachable(_) => error,
        })
    }

    /// Writes nodes, those that are any, with a result for each.
    async fn put(
        &self,
        client: &Client,
        nodes: Vec<Result<Node, RegistryError>>,
        until: Instant,
    ) -> Vec<Result<(), RegistryError>> {
        let writer = Writer { client, acls: self.link.settings().acl.acls(), until };
        let mut written = writer.put(&nodes.iter().flatten().collect::<Vec<_>>()).await.into_iter();
        nodes
            .into_iter()
            .map(|node| node.and_then(|_| written.next().unwrap_or_else(|| Err(failure::too_late()))))
            .collect()
    }

    /// Removes the nodes at these paths, and the names above them that are empty then, with a result for each path.
    async fn remove(&self, client: &Client, paths: &[&str], until: Instant) -> Vec<Result<(), RegistryError>> {
        let removed = batch(until, paths.iter().map(|path| write::remove(client, path))).await;
        let emptied: BTreeSet<_> = paths
            .iter()
            .zip(&removed)
            .filter(|(_, removed)| removed.is_ok())
            .map(|(path, _)| spelling::parent(path))
            .filter(|name| name.len() > self.base().len())
            .collect();
        let emptied = emptied.into_iter().map(|name| write::remove_if_empty(client, name));
        // If time runs out, they stay.
        let _ = timeout_at(until, flying(emptied)).await;
        removed
    }
}

#[async_trait]
impl Registry for ZooKeeper {
    fn key(&self, service: &Service) -> Arc<str> {
        spelling::path(self.base(), service).into()
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        // Data that cannot be written is refused when it is; no node looks like that.
        spelling::fingerprint(true, &spelling::data(service).unwrap_or_default())
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        let until = Instant::now() + DEADLINE;
        let client = self.client(until).await?;
        let asked = timeout_at(until, client.check_stat("/")).await.map_err(|_| failure::too_late())?;
        asked.map(drop).map_err(|error| failure::at("/", &error))
    }

    async fn read(&self, _scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
        let until = Instant::now() + DEADLINE;
        let client = self.client(until).await?;
        timeout_at(until, read::entries(&client, self.base(), &self.owner))
            .await
            .unwrap_or_else(|_| Err(failure::too_late()))
    }

    async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
        let until = Instant::now() + DEADLINE;
        let client = match self.writer(until).await {
            Ok(client) => client,
            Err(error) => return vec![Err(error); writes.len()],
        };
        let (mut nodes, mut gone) = (Vec::new(), Vec::new());
        for write in writes {
            match &write.action {
                Action::Put(service) => nodes.push(Node::of(self.base(), service)),
                Action::Remove(entry) => gone.push(&*entry.key),
                Action::Mark(..) | Action::Unmark(_) => {}
            }
        }
        let (put, removed) = tokio::join!(self.put(&client, nodes, until), self.remove(&client, &gone, until));
        let (mut put, mut removed) = (put.into_iter(), removed.into_iter());
        let results = writes.iter().map(|write| match &write.action {
            Action::Put(_) => put.next(),
            Action::Remove(_) => removed.next(),
            Action::Mark(..) | Action::Unmark(_) => Some(Ok(())),
        });
        results.map(|result| result.unwrap_or_else(|| Err(failure::too_late()))).collect()
    }

    async fn changed(&self) -> Change {
        let told = *self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(told) = told {
            sleep_until(told + PACE).await;
        }
        self.link.changed().await;
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Change::Content
    }
}

/// Does each write, many at once, and gives the results in order; what is not done in time has failed.
async fn batch<F>(until: Instant, writes: impl Iterator<Item = F>) -> Vec<Result<(), RegistryError>>
where
    F: Future<Output = Result<(), RegistryError>>,
{
    let in_time = |write: F| async move {
        if Instant::now() >= until {
            return Err(failure::too_late());
        }
        timeout_at(until, write).await.unwrap_or_else(|_| Err(failure::too_late()))
    };
    flying(writes.map(in_time)).await
}

/// Waits for all of them, many at once; what came of each, in order.
async fn flying<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    // Gathered first: an iterator that borrows cannot be held over an await of a boxed future.
    stream::iter(all.collect::<Vec<_>>()).buffered(CONCURRENCY).collect().await
}
