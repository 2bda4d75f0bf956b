//! Writes and removes single nodes, each step such that another's node is left alone whatever happens
//! in between.

use tracing::debug;
use zookeeper_client::{Acls, Client, CreateMode, Error};

use crate::registry::RegistryError;
use crate::registry::text::one_line;

use super::failure::{self, LIMIT};
use super::read::Holder;
use super::spelling::parent;

/// How often a write is begun again when another hand was in between.
const TRIES: usize = 5;

/// The most that a node may hold with its path: ZooKeeper ends the connection at a request over 1 MiB
/// (`jute.maxbuffer`), and with it everything else that is on its way.
const SIZE_LIMIT: usize = 1_000_000;

/// One node to be written.
pub(super) struct Node<'a> {
    /// The name of the service, for which there is a node as well.
    pub(super) name: &'a str,
    pub(super) path: &'a str,
    pub(super) data: &'a [u8],
    pub(super) acls: Acls<'a>,
}

impl Node<'_> {
    /// Makes it ours with this data, the nodes above it as needed.
    pub(super) async fn put(&self, client: &Client) -> Result<(), RegistryError> {
        if self.name.is_empty() {
            return Err(RegistryError::Rejected("it has no name".to_owned()));
        }
        let size = self.path.len() + self.data.len();
        if size > SIZE_LIMIT {
            return Err(RegistryError::Rejected(format!(
                "it takes {size} bytes, and ZooKeeper takes no more than 1 MiB"
            )));
        }
        for _ in 0..TRIES {
            match client.create(self.path, self.data, &CreateMode::Ephemeral.with_acls(self.acls)).await {
                Ok(_) => return Ok(()),
                Err(Error::NoNode) => make_name(client, parent(self.path), self.acls).await?,
                Err(Error::NodeExists) => {
                    if self.take(client).await? {
                        return Ok(());
                    }
                }
                Err(error) => return Err(failure::at(self.path, &error)),
            }
        }
        Err(busy(self.path))
    }

    /// Makes the node that stands there ours, if it may be. False when it changed on the way.
    async fn take(&self, client: &Client) -> Result<bool, RegistryError> {
        let stat = match client.check_stat(self.path).await {
            Ok(Some(stat)) => stat,
            Ok(None) => return Ok(false),
            Err(error) => return Err(failure::at(self.path, &error)),
        };
        let done = match Holder::of(&stat, client.session_id()) {
            Holder::Us => client.set_data(self.path, self.data, Some(stat.version)).await.map(drop),
            // No reader sees it gone in between.
            Holder::Nobody => {
                let mut both = client.new_multi_writer();
                both.add_delete(self.path, Some(stat.version))
                    .and_then(|()| both.add_create(self.path, self.data, &CreateMode::Ephemeral.with_acls(self.acls)))
                    .map_err(|error| failure::at(self.path, &error))?;
                both.commit().await.map(drop).map_err(Error::from)
            }
            Holder::Session(session) => {
                return Err(RegistryError::Taken(format!(
                    "{} belongs to the session {session}, and goes with it",
                    one_line(self.path, LIMIT)
                )));
            }
        };
        match done {
            Ok(()) => Ok(true),
            Err(Error::NoNode | Error::BadVersion | Error::NodeExists) => Ok(false),
            Err(error) => Err(failure::at(self.path, &error)),
        }
    }
}

/// Makes the node of a name, and those above it. Its node goes by itself when its last entry has gone
/// with a session; older servers cannot do that, and keep it.
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

/// Removes a node, unless another session has it: then ours is gone already.
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

/// Removes the node of a name, if nothing is below it. If it stays, that does no harm.
pub(super) async fn remove_if_empty(client: &Client, path: &str) {
    match client.delete(path, None).await {
        Ok(()) | Err(Error::NoNode | Error::NotEmpty) => {}
        Err(error) => debug!("zookeeper: {path} stays, though empty: {error}"),
    }
}

fn busy(path: &str) -> RegistryError {
    RegistryError::Unreachable(format!("{} is being changed by others all the time", one_line(path, LIMIT)))
}
