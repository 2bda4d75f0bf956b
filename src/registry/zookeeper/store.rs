//! ZooKeeper as a key-value store, for layouts of more than one node for each service.
//!
//! A key with a TTL is an ephemeral node: it lives as long as our session. The nodes between are containers,
//! which go with their last child; a node that holds nothing is not there for us.
//!
//! Traefik reads the whole tree again only when a child of its root comes or goes (seen with 3.7). So after each batch of
//! writes, and when another session's nodes go, a child is created and removed in one transaction, which nobody sees.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::time::{Instant, sleep, timeout_at};
use zookeeper_client::{AddWatchMode, Client, CreateMode, Error, EventType, Stat, WatchedEvent};

use crate::registry::kv::{Applied, Condition, Operation, Step, Store, StoreEvent, Stored, Transaction};
use crate::registry::{About, RegistryError, Site};

use super::read::Holder;
use super::session::Session;
use super::spelling::{is_illegal, parent};
use super::{DEADLINE, about, failure, watch};

/// How many requests are sent at once.
const IN_FLIGHT: usize = 128;
/// The name of the child that is created and removed.
const BELL: &str = "registrator";
/// The pause before watching again after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// How long changes are gathered before Traefik is told.
const GATHER: Duration = Duration::from_millis(300);

/// ZooKeeper's nodes as keys.
pub(super) struct Nodes {
    session: Arc<Session>,
    /// The root of the tree, whose reader is told of changes.
    root: String,
    /// The TTL that our ephemeral nodes are asked for with.
    ttl: Duration,
}

impl Nodes {
    pub(super) fn new(session: Session, root: String, ttl: Duration) -> Self {
        Self { session: Arc::new(session), root, ttl }
    }

    async fn client(&self) -> Result<Client, RegistryError> {
        let until = Instant::now() + DEADLINE;
        timeout_at(until, self.session.client()).await.unwrap_or_else(|_| Err(failure::too_late()))
    }

    fn ttl_of(&self, client: &Client, stat: &Stat) -> Option<Duration> {
        match Holder::of(stat, client.session_id()) {
            Holder::Us => Some(self.ttl),
            // It lives as long as somebody else does.
            Holder::Session(_) => Some(Duration::ZERO),
            Holder::NoSession => None,
        }
    }

    async fn stored(&self, client: &Client, path: &str) -> Result<Option<Stored>, RegistryError> {
        match client.get_data(path).await {
            Ok((value, _)) if value.is_empty() => Ok(None),
            Ok((value, stat)) => {
                let (version, ttl) = (version(&stat), self.ttl_of(client, &stat));
                Ok(Some(Stored { key: path.to_owned(), value, version, ttl }))
            }
            // A node that we may not read is none of ours.
            Err(Error::NoNode | Error::NoAuth) => Ok(None),
            Err(error) => Err(failure::at(path, &error)),
        }
    }

    /// All paths below this one.
    async fn paths(client: &Client, root: &str) -> Result<Vec<String>, RegistryError> {
        let (mut all, mut level) = (Vec::new(), vec![root.to_owned()]);
        while !level.is_empty() {
            let lists = level.into_iter().map(|path| async move {
                match client.list_children(if path.is_empty() { "/" } else { &path }).await {
                    Ok(names) => Ok(names.into_iter().map(|name| format!("{path}/{name}")).collect()),
                    Err(Error::NoNode | Error::NoAuth) => Ok(Vec::new()),
                    Err(error) => Err(failure::at(&path, &error)),
                }
            });
            let below: Vec<Vec<String>> =
                stream::iter(lists.collect::<Vec<_>>()).buffered(IN_FLIGHT).try_collect().await?;
            level = below.into_iter().flatten().collect();
            all.extend(level.iter().cloned());
        }
        Ok(all)
    }

    async fn transact(&self, client: &Client, steps: &[Step]) -> Result<Applied, RegistryError> {
        let stats: Vec<Option<Stat>> =
            stream::iter(steps.iter().map(|step| client.check_stat(&step.key)).collect::<Vec<_>>())
                .buffered(IN_FLIGHT)
                .map(|stat| match stat {
                    Err(Error::NoNode) => Ok(None),
                    other => other,
                })
                .try_collect()
                .await
                .map_err(|error| failure::unreachable(&error))?;
        let acls = self.session.settings().acl.acls();
        for (step, stat) in steps.iter().zip(&stats) {
            let held = stat.as_ref().filter(|stat| stat.data_length > 0).map(version);
            let is_met = match step.condition {
                Condition::Absent => held.is_none(),
                Condition::At(version) => held == Some(version),
            };
            if !is_met {
                return Ok(Applied::Conflict);
            }
            if stat.is_none() && matches!(step.operation, Operation::Put { .. }) {
                make_above(client, &step.key, acls).await?;
            }
        }
        let mut writer = client.new_multi_writer();
        let mut add = |step: &Step, stat: Option<&Stat>| -> Result<(), Error> {
            let path = step.key.as_str();
            match (&step.operation, stat) {
                (Operation::Check | Operation::Delete, None) => Ok(()),
                (Operation::Check, Some(stat)) => writer.add_check_version(path, stat.version),
                (Operation::Delete, Some(stat)) if stat.num_children > 0 => {
                    writer.add_set_data(path, b"", Some(stat.version))
                }
                (Operation::Delete, Some(stat)) => writer.add_delete(path, Some(stat.version)),
                (Operation::Put { value, ttl }, stat) => {
                    let mode = if ttl.is_some() { CreateMode::Ephemeral } else { CreateMode::Persistent };
                    let is_ephemeral = |stat: &Stat| Holder::of(stat, client.session_id()) == Holder::Us;
                    let stays = |stat: &Stat| {
                        let kept = Holder::of(stat, client.session_id()) == Holder::NoSession;
                        if ttl.is_some() { is_ephemeral(stat) } else { kept }
                    };
                    match stat {
                        Some(stat) if stays(stat) => writer.add_set_data(path, value.as_bytes(), Some(stat.version)),
                        stat => {
                            if let Some(stat) = stat {
                                writer.add_delete(path, Some(stat.version))?;
                            }
                            writer.add_create(path, value.as_bytes(), &mode.with_acls(acls))
                        }
                    }
                }
            }
        };
        for (step, stat) in steps.iter().zip(&stats) {
            add(step, stat.as_ref()).map_err(|error| failure::at(&step.key, &error))?;
        }
        let committed = writer.commit().await.map_err(Error::from);
        match committed {
            Ok(_) => {}
            Err(Error::NoNode | Error::BadVersion | Error::NodeExists | Error::RuntimeInconsistent) => {
                return Ok(Applied::Conflict);
            }
            Err(error) => {
                let first = steps.first().map_or("", |step| step.key.as_str());
                return Err(failure::at(first, &error));
            }
        }
        self.tidy(client, steps).await;
        // What a server says of a created node in a transaction is wrong in some versions.
        let after = steps.iter().map(|step| client.check_stat(&step.key)).collect::<Vec<_>>();
        let after: Vec<_> = stream::iter(after).buffered(IN_FLIGHT).collect().await;
        let versions = after.into_iter().map(|stat| stat.ok().flatten().map_or(0, |stat| version(&stat)));
        Ok(Applied::Done(versions.collect()))
    }

    /// Removes the nodes above what was removed, as far as they are empty: Traefik takes an empty one for an object
    /// without options, and the servers remove containers only now and then.
    async fn tidy(&self, client: &Client, steps: &[Step]) {
        let removed = steps.iter().filter(|step| step.operation == Operation::Delete);
        let mut emptied: BTreeSet<&str> = removed.map(|step| parent(&step.key)).collect();
        while let Some(path) = emptied.pop_last() {
            // `http` itself stays for now: of a tree without any node, Traefik takes nothing, and keeps what it had.
            let below = path.strip_prefix(&self.root).and_then(|path| path.strip_prefix('/'));
            if !below.is_some_and(|below| below.contains('/')) {
                continue;
            }
            if client.delete(path, None).await.is_ok() {
                emptied.insert(parent(path));
            }
        }
    }

    /// Has Traefik read everything again.
    async fn ring(&self, client: &Client) {
        let path = format!("{}/{BELL}", self.root);
        let acls = self.session.settings().acl.acls();
        let mut both = client.new_multi_writer();
        let added = both
            .add_create(&path, b"", &CreateMode::Persistent.with_acls(acls))
            .and_then(|()| both.add_delete(&path, None));
        if added.is_ok() {
            // Where the root is not there, nobody reads it.
            let _ = both.commit().await;
        }
    }
}

/// The version of a node: that of its last change in the whole store.
fn version(stat: &Stat) -> u64 {
    stat.mzxid.unsigned_abs()
}

/// Creates the nodes above a path.
async fn make_above(client: &Client, path: &str, acls: zookeeper_client::Acls<'_>) -> Result<(), RegistryError> {
    let mut missing = Vec::new();
    let mut above = parent(path);
    while !above.is_empty() {
        match client.check_stat(above).await {
            Ok(Some(_)) => break,
            Ok(None) | Err(Error::NoNode) => missing.push(above),
            Err(error) => return Err(failure::at(above, &error)),
        }
        above = parent(above);
    }
    let mut mode = CreateMode::Container;
    for above in missing.into_iter().rev() {
        loop {
            match client.create(above, b"", &mode.with_acls(acls)).await {
                Ok(_) | Err(Error::NodeExists) => break,
                // Older servers have none.
                Err(Error::Unimplemented) if mode == CreateMode::Container => mode = CreateMode::Persistent,
                Err(error) => return Err(failure::at(above, &error)),
            }
        }
    }
    Ok(())
}

#[async_trait]
impl Store for Nodes {
    async fn ping(&self) -> Result<(), RegistryError> {
        let client = self.client().await?;
        client.check_stat("/").await.map(drop).map_err(|error| failure::at("/", &error))
    }

    fn site(&self) -> Site {
        about::site(self.session.settings())
    }

    async fn about(&self) -> Result<About, RegistryError> {
        let client = self.client().await?;
        Ok(about::about(self.session.settings(), &client, None).await)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Stored>, RegistryError> {
        let client = self.client().await?;
        let paths = Self::paths(&client, prefix.trim_end_matches('/')).await?;
        let held = paths.iter().map(|path| self.stored(&client, path)).collect::<Vec<_>>();
        let held: Vec<_> = stream::iter(held).buffered(IN_FLIGHT).try_collect().await?;
        Ok(held.into_iter().flatten().collect())
    }

    async fn get(&self, key: &str) -> Result<Option<Stored>, RegistryError> {
        self.stored(&self.client().await?, key).await
    }

    async fn apply(&self, transactions: &[Transaction]) -> Vec<Result<Applied, RegistryError>> {
        let client = match self.client().await {
            Ok(client) => client,
            Err(error) => return vec![Err(error); transactions.len()],
        };
        let client = &client;
        let made = transactions.iter().map(|steps| async move {
            if let Some(step) = steps.iter().find(|step| step.key.split('/').any(|name| name.contains(is_illegal))) {
                let text = format!("{}: ZooKeeper could not have such a path", step.key.escape_debug());
                return Err(RegistryError::service(text));
            }
            self.transact(client, steps).await
        });
        let made: Vec<_> = stream::iter(made.collect::<Vec<_>>()).buffered(IN_FLIGHT).collect().await;
        if made.iter().any(|applied| matches!(applied, Ok(Applied::Done(_)))) {
            self.ring(client).await;
        }
        made
    }

    async fn renew(&self, keys: &[(String, Duration)]) -> Vec<Result<(), RegistryError>> {
        let client = match self.client().await {
            Ok(client) => client,
            Err(error) => return vec![Err(error); keys.len()],
        };
        let client = &client;
        // The session does it; this only finds out whether they are of our session.
        let looked = keys.iter().map(|(key, _)| async move {
            match client.check_stat(key).await {
                Ok(Some(stat)) if Holder::of(&stat, client.session_id()) == Holder::Us => Ok(()),
                Ok(_) | Err(Error::NoNode) => Err(RegistryError::service("it is not there")),
                Err(error) => Err(failure::at(key, &error)),
            }
        });
        stream::iter(looked.collect::<Vec<_>>()).buffered(IN_FLIGHT).collect().await
    }

    async fn credentials_changed(&self) {
        self.session.credentials_changed().await;
    }

    async fn watch(&self, prefixes: &[String], report: &(dyn Fn(StoreEvent) + Send + Sync)) -> RegistryError {
        let client = match self.client().await {
            Ok(client) => client,
            Err(error) => return error,
        };
        tokio::select! {
            _ = watch::lost(&client) => RegistryError::Unreachable("the connection was lost".to_owned()),
            error = self.follow(&client, prefixes, report) => error,
        }
    }
}

impl Nodes {
    /// Reports what happens below these prefixes, and tells Traefik of what its own watch does not show.
    async fn follow(
        &self,
        client: &Client,
        prefixes: &[String],
        report: &(dyn Fn(StoreEvent) + Send + Sync),
    ) -> RegistryError {
        let roots: BTreeSet<&str> = prefixes.iter().map(|prefix| prefix.trim_end_matches('/')).collect();
        let mut watchers = Vec::new();
        for root in roots {
            match client.watch(root, AddWatchMode::PersistentRecursive).await {
                Ok(watcher) => watchers.push(watcher),
                Err(error) => {
                    // Older servers cannot watch a tree: then everything is read again now and then.
                    sleep(PAUSE * 10).await;
                    return failure::at(root, &error);
                }
            }
        }
        report(StoreEvent::Started);
        let bell = format!("{}/{BELL}", self.root);
        let mut events = stream::select_all(watchers.into_iter().map(|watcher| {
            Box::pin(stream::unfold(watcher, async |mut watcher| Some((watcher.changed().await, watcher))))
        }));
        while let Some(event) = events.next().await {
            let mut paths = BTreeSet::new();
            let mut gone = false;
            let mut take = |event: WatchedEvent| {
                let is_ours = event.path == bell;
                if event.event_type != EventType::Session && !is_ours {
                    gone |= event.event_type == EventType::NodeDeleted;
                    paths.insert(event.path);
                }
            };
            take(event);
            let until = Instant::now() + GATHER;
            while let Ok(Some(event)) = timeout_at(until, events.next()).await {
                take(event);
            }
            if gone {
                self.ring(client).await;
            }
            // Servers before 3.9 do not say in which version a node is.
            let paths: Vec<String> = paths.into_iter().collect();
            let stats = paths.iter().map(|path| client.check_stat(path)).collect::<Vec<_>>();
            let stats: Vec<_> = stream::iter(stats).buffered(IN_FLIGHT).collect().await;
            for (key, stat) in paths.into_iter().zip(stats) {
                let held = stat.ok().flatten().filter(|stat| stat.data_length > 0);
                report(StoreEvent::Seen { key, version: held.as_ref().map(version), at: u64::MAX });
            }
        }
        failure::too_late()
    }
}
