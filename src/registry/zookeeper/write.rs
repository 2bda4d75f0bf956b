//! Writes and removes nodes. Another session's node is never changed, whatever external writers do between two steps.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};
use tracing::debug;
use zookeeper_client::{Acls, Client, CreateMode, Error};

use crate::registry::RegistryError;
use crate::registry::chunks::{Room, chunks};
use crate::registry::text::one_line;
use crate::service::Service;

use super::failure::{self, LIMIT};
use super::read::Holder;
use super::spelling::{self, parent};
use super::{batch, flying};

/// How often a write is started again because an external writer was faster.
const TRIES: usize = 5;

/// The maximum size of a node with its path. ZooKeeper closes the connection on a request over 1 MiB
/// (`jute.maxbuffer`), which fails all other requests in progress as well.
const SIZE_LIMIT: usize = 1_000_000;

/// The maximum size of one transaction, in bytes of nodes.
const ROOM: Room = Room { steps: 100, bytes: 500_000 };

/// A node to write.
pub(super) struct Node {
    path: String,
    data: Vec<u8>,
}

impl Node {
    /// The node of a service below `base`, if ZooKeeper accepts it.
    pub(super) fn of(base: &str, service: &Service) -> Result<Self, RegistryError> {
        if service.name.is_empty() {
            return Err(RegistryError::service("it has no name"));
        }
        let data = spelling::data(service).map_err(|error| RegistryError::service(error.to_string()))?;
        let node = Self { path: spelling::path(base, service), data };
        let size = node.size();
        if size > SIZE_LIMIT {
            return Err(RegistryError::service(format!(
                "it takes {size} bytes, and ZooKeeper takes no more than 1 MiB"
            )));
        }
        Ok(node)
    }

    fn size(&self) -> usize {
        self.path.len() + self.data.len()
    }
}

/// Writes nodes with our access rights, until this deadline.
pub(super) struct Writer<'a> {
    pub(super) client: &'a Client,
    pub(super) acls: Acls<'a>,
    pub(super) until: Instant,
}

impl Writer<'_> {
    /// Makes nodes ours, with one result each. New nodes are created in one transaction; existing ones are replaced one
    /// by one.
    pub(super) async fn put(&self, nodes: &[&Node]) -> Vec<Result<(), RegistryError>> {
        let takes = |node: &&Node| Room { steps: 1, bytes: node.size() };
        let written = chunks(nodes, ROOM, takes).into_iter().map(|chunk| self.put_chunk(chunk));
        flying(written).await.into_iter().flatten().collect()
    }

    async fn put_chunk(&self, nodes: &[&Node]) -> Vec<Result<(), RegistryError>> {
        if nodes.len() > 1
            && let Ok(Ok(())) = timeout_at(self.until, self.create(nodes)).await
        {
            return vec![Ok(()); nodes.len()];
        }
        batch(self.until, nodes.iter().map(|node| self.put_one(node))).await
    }

    /// Creates all nodes at once, with the name nodes above them; or none of them.
    async fn create(&self, nodes: &[&Node]) -> Result<(), Error> {
        match self.transaction(nodes).await {
            Err(Error::NoNode) => {
                let names: BTreeSet<_> = nodes.iter().map(|node| parent(&node.path)).collect();
                // A name node that cannot be created is reported when its nodes are created one by one.
                join_all(names.into_iter().map(|name| make_name(self.client, name, self.acls))).await;
                self.transaction(nodes).await
            }
            done => done,
        }
    }

    async fn transaction(&self, nodes: &[&Node]) -> Result<(), Error> {
        let mut all = self.client.new_multi_writer();
        for node in nodes {
            all.add_create(&node.path, &node.data, &CreateMode::Ephemeral.with_acls(self.acls))?;
        }
        all.commit().await.map(drop).map_err(Error::from)
    }

    /// Makes a node ours with its data, and creates the nodes above it as needed.
    async fn put_one(&self, node: &Node) -> Result<(), RegistryError> {
        let Node { path, data } = node;
        for _ in 0..TRIES {
            match self.client.create(path, data, &CreateMode::Ephemeral.with_acls(self.acls)).await {
                Ok(_) => return Ok(()),
                Err(Error::NoNode) => make_name(self.client, parent(path), self.acls).await?,
                Err(Error::NodeExists) => {
                    if self.take(node).await? {
                        return Ok(());
                    }
                }
                Err(error) => return Err(failure::at(path, &error)),
            }
        }
        Err(busy(path))
    }

    /// Makes an existing node ours, if that is allowed. Returns false if it changed in the meantime.
    async fn take(&self, Node { path, data }: &Node) -> Result<bool, RegistryError> {
        let stat = match self.client.check_stat(path).await {
            Ok(Some(stat)) => stat,
            Ok(None) => return Ok(false),
            Err(error) => return Err(failure::at(path, &error)),
        };
        let done = match Holder::of(&stat, self.client.session_id()) {
            Holder::Us => self.client.set_data(path, data, Some(stat.version)).await.map(drop),
            // In one transaction, so that readers never see the node missing.
            Holder::NoSession => {
                let mut both = self.client.new_multi_writer();
                both.add_delete(path, Some(stat.version))
                    .and_then(|()| both.add_create(path, data, &CreateMode::Ephemeral.with_acls(self.acls)))
                    .map_err(|error| failure::at(path, &error))?;
                both.commit().await.map(drop).map_err(Error::from)
            }
            Holder::Session(session) => {
                return Err(RegistryError::Taken(format!(
                    "{} belongs to the session {session}, and goes with it",
                    one_line(path, LIMIT)
                )));
            }
        };
        match done {
            Ok(()) => Ok(true),
            Err(Error::NoNode | Error::BadVersion | Error::NodeExists) => Ok(false),
            Err(error) => Err(failure::at(path, &error)),
        }
    }
}

/// Creates the node of a name, and those above it. A container node, so that it goes with its last entry; older servers
/// do not support that and keep it.
async fn make_name(client: &Client, path: &str, acls: Acls<'_>) -> Result<(), RegistryError> {
    let mut mode = CreateMode::Container;
    for _ in 0..TRIES {
        match client.create(path, b"", &mode.with_acls(acls)).await {
            Ok(_) | Err(Error::NodeExists) => return Ok(()),
            Err(Error::Unimplemented) => mode = CreateMode::Persistent,
            Err(Error::NoNode) => {
                let above = parent(path);
                client
                    .mkdir(above, &CreateMode::Persistent.with_acls(acls))
                    .await
                    .map_err(|error| failure::at(above, &error))?;
            }
            Err(error) => return Err(failure::at(path, &error)),
        }
    }
    Err(busy(path))
}

/// Removes a node, unless it belongs to another session: then ours no longer exists.
pub(super) async fn remove(client: &Client, path: &str) -> Result<(), RegistryError> {
    for _ in 0..TRIES {
        let stat = match client.check_stat(path).await {
            Ok(Some(stat)) => stat,
            Ok(None) => return Ok(()),
            Err(error) => return Err(failure::at(path, &error)),
        };
        if let Holder::Session(_) = Holder::of(&stat, client.session_id()) {
            return Ok(());
        }
        match client.delete(path, Some(stat.version)).await {
            Ok(()) | Err(Error::NoNode) => return Ok(()),
            Err(Error::BadVersion) => {}
            Err(error) => return Err(failure::at(path, &error)),
        }
    }
    Err(busy(path))
}

/// Removes the node of a name, if it has no children. If it stays, that does no harm.
pub(super) async fn remove_if_empty(client: &Client, path: &str) {
    match client.delete(path, None).await {
        Ok(()) | Err(Error::NoNode | Error::NotEmpty) => {}
        Err(error) => debug!("zookeeper: {path} stays, though empty: {error}"),
    }
}

fn busy(path: &str) -> RegistryError {
    RegistryError::Unreachable(format!("{} is being changed by others all the time", one_line(path, LIMIT)))
}
