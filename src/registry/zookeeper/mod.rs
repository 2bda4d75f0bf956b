//! ZooKeeper: one ephemeral node for each service, alive as long as our session is.
//!
//! Stands below the reconciler: [`spelling`] and [`json`] say how ZooKeeper holds a service, [`session`] keeps
//! the session, [`store`] holds other layouts, [`about`] asks who answers, [`watch`] hears of changes by external writers, [`read`] and [`write`] do what is asked.
//!
//! # Whose an entry is
//!
//! The session that made a node owns it, and ZooKeeper records which one that is (`Stat.ephemeralOwner`). Our
//! session's nodes are ours. Another session's nodes belong to another owner for as long as that session lives,
//! whatever host name it writes under, and are never touched. When it ends, its nodes go, a watch reports that, and our
//! services are written. A node without a session is nobody's; one that stands at a service's key is replaced in a
//! single transaction.
//!
//! After a crash, the last run's session lives on until it times out, and its nodes look like another owner's, often
//! with exactly the data that we would write. They are left alone all the same: only ZooKeeper knows whether their
//! session is dead or belongs to another instance with the same host name, and two instances that took each other's
//! nodes would do so for ever. Readers lose nothing meanwhile, since the nodes are there; one can be out of date for
//! the session's timeout at most.
//!
//! # How it ends
//!
//! When we stop, the session is left to time out instead of being closed. So a restart within the timeout leaves a gap
//! only between the end of the old nodes and the creation of the new ones. `-on-shutdown deregister` removes the nodes
//! before. Ephemeral nodes cannot outlive their session.

mod about;
mod failure;
mod json;
mod read;
pub(super) mod reader;
mod session;
mod settings;
mod spelling;
mod store;
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

use super::kv::TraefikRegistry;
use super::reporter::Reporter;
use super::traefik;
use super::uri::Uri;
use super::{About, Action, Capabilities, Change, Entry, OpenError, Registry, RegistryError, Scope, Site, Write};

use session::Session;
use settings::Settings;
use store::Nodes;
use write::{Node, Writer};

/// The deadline of every method, whatever ZooKeeper does.
const DEADLINE: Duration = Duration::from_secs(10);
/// How many writes of a batch are sent at once.
const CONCURRENCY: usize = 128;
/// The shortest time between two reports of a change.
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
    let (layout, query) = traefik::take(uri, &config.uri)?;
    let uri = &Uri { query: query.as_deref(), ..*uri };
    let mut settings = Settings::new(uri, config)?;
    if layout.is_some() {
        if settings.base.is_empty() {
            settings.base = format!("/{}", traefik::ROOT);
        }
        settings.watched = false;
    }
    if let Some(line) = settings.unencrypted() {
        reporter.warn("unencrypted", format!("zookeeper: {line}"));
    }
    let root = settings.base.clone();
    let session = Session::new(settings, reporter.clone());
    if let Some(layout) = layout {
        let records = format!("/_registrator{root}");
        let store = Box::new(Nodes::new(session, root.clone(), TraefikRegistry::ttl_of(config)));
        return Ok(Arc::new(TraefikRegistry::new(store, (&root, &records), layout, config, reporter.clone())));
    }
    Ok(Arc::new(ZooKeeper { session, owner: config.owner.clone(), told: Mutex::default() }))
}

struct ZooKeeper {
    session: Session,
    /// Our owner, for the reconciler; to ZooKeeper, our session is the owner.
    owner: String,
    /// When the last change was reported.
    told: Mutex<Option<Instant>>,
}

impl ZooKeeper {
    fn base(&self) -> &str {
        &self.session.settings().base
    }

    /// A client, within the deadline.
    async fn client(&self, until: Instant) -> Result<Client, RegistryError> {
        timeout_at(until, self.session.client()).await.unwrap_or_else(|_| Err(failure::too_late()))
    }

    /// Writes nodes if they are valid, with one result each.
    async fn put(
        &self,
        client: &Client,
        nodes: Vec<Result<Node, RegistryError>>,
        until: Instant,
    ) -> Vec<Result<(), RegistryError>> {
        let writer = Writer { client, acls: self.session.settings().acl.acls(), until };
        let mut written = writer.put(&nodes.iter().flatten().collect::<Vec<_>>()).await.into_iter();
        nodes
            .into_iter()
            .map(|node| node.and_then(|_| written.next().unwrap_or_else(|| Err(failure::too_late()))))
            .collect()
    }

    /// Removes the nodes at these paths, and their name nodes if these are empty then. Returns one result per path.
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
    fn capabilities(&self) -> Capabilities {
        Capabilities { sessions_own: true, ..Capabilities::default() }
    }

    fn key(&self, service: &Service) -> Arc<str> {
        spelling::path(self.base(), service).into()
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        // Data that cannot be written is refused at the write; no existing node equals it.
        spelling::fingerprint(true, &spelling::data(service).unwrap_or_default())
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        let until = Instant::now() + DEADLINE;
        let client = self.client(until).await?;
        let asked = timeout_at(until, client.check_stat("/")).await.map_err(|_| failure::too_late())?;
        asked.map(drop).map_err(|error| failure::at("/", &error))
    }

    async fn read(&self, scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
        let until = Instant::now() + DEADLINE;
        let client = self.client(until).await?;
        timeout_at(until, read::entries(&client, self.base(), &self.owner, scope.contents))
            .await
            .unwrap_or_else(|_| Err(failure::too_late()))
    }

    fn site(&self) -> Site {
        about::site(self.session.settings())
    }

    async fn about(&self, written: Option<&str>) -> Result<About, RegistryError> {
        let until = Instant::now() + DEADLINE;
        let client = self.client(until).await?;
        timeout_at(until, about::about(self.session.settings(), &client, written))
            .await
            .map_err(|_| failure::too_late())
    }

    async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
        let until = Instant::now() + DEADLINE;
        let client = match self.client(until).await {
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
        tokio::select! {
            () = self.session.changed() => {}
            () = self.session.credentials_changed() => return Change::Credentials,
        }
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Change::Content
    }
}

/// Makes writes, many at once; results are in order. Writes that are not done in time have failed.
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

/// Waits for all of them, many at once; results are in order.
async fn flying<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    // Collected first: an iterator that borrows cannot be held across an await of a boxed future.
    stream::iter(all.collect::<Vec<_>>()).buffered(CONCURRENCY).collect().await
}
