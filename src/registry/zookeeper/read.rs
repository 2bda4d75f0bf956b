//! Reads the nodes below the path: one node per name, and below it one per entry.

use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt, stream};
use zookeeper_client::{Client, Error, SessionId, Stat};

use crate::registry::{Entry, Marked, RegistryError};

use super::failure;
use super::spelling::{content, fingerprint};

/// How many requests are sent at once; the servers answer them in order.
const IN_FLIGHT: usize = 256;

/// The `ephemeralOwner` of a container node (ZooKeeper's `EphemeralType.CONTAINER_EPHEMERAL_OWNER`).
const CONTAINER: i64 = i64::MIN;

/// Whose a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// Our session's.
    Us,
    /// No session: it stays until it is removed.
    NoSession,
    /// Another live session.
    Session(SessionId),
}

impl Holder {
    /// The owner of a node with this stat, seen from our session.
    pub(super) fn of(stat: &Stat, us: SessionId) -> Self {
        match stat.ephemeral_owner {
            0 | CONTAINER => Self::NoSession,
            owner if owner == us.0 => Self::Us,
            owner => Self::Session(SessionId(owner)),
        }
    }
}

/// All entries below `base`. Other nodes are ignored.
pub(super) async fn entries(
    client: &Client,
    base: &str,
    us: &str,
    all_contents: bool,
) -> Result<Vec<Entry>, RegistryError> {
    let root = if base.is_empty() { "/" } else { base };
    let names = match client.list_children(root).await {
        Err(Error::NoNode) => return Ok(Vec::new()),
        names => names.map_err(|error| failure::at(root, &error))?,
    };
    let paths: Vec<Vec<String>> = stream::iter(names.into_iter().map(|name| paths(client, format!("{base}/{name}"))))
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await?;
    stream::iter(paths.into_iter().flatten().map(|path| entry(client, path, us, all_contents)))
        .buffer_unordered(IN_FLIGHT)
        .try_filter_map(|entry| async { Ok(entry) })
        .try_collect()
        .await
}

/// The paths of the nodes below a name that look like entries.
async fn paths(client: &Client, name: String) -> Result<Vec<String>, RegistryError> {
    match client.list_children(&name).await {
        Ok(children) => {
            Ok(children.iter().filter(|child| is_authority(child)).map(|child| format!("{name}/{child}")).collect())
        }
        // It was removed in the meantime, or belongs to another program.
        Err(Error::NoNode | Error::NoAuth) => Ok(Vec::new()),
        Err(error) => Err(failure::at(&name, &error)),
    }
}

/// Whether a node's name is `<anything>:<port>`.
fn is_authority(name: &str) -> bool {
    name.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

/// The entry at this path, if it still exists.
async fn entry(client: &Client, path: String, us: &str, all_contents: bool) -> Result<Option<Entry>, RegistryError> {
    let (data, stat) = match client.get_data(&path).await {
        Ok((data, stat)) => (Some(data), stat),
        Err(Error::NoNode) => return Ok(None),
        // A node that we may not read was written by another instance; its owner is in the stat, which can be read.
        Err(Error::NoAuth) => match client.check_stat(&path).await {
            Ok(Some(stat)) => (None, stat),
            Ok(None) | Err(Error::NoNode) => return Ok(None),
            Err(error) => return Err(failure::at(&path, &error)),
        },
        Err(error) => return Err(failure::at(&path, &error)),
    };
    let holder = Holder::of(&stat, client.session_id());
    let fingerprint = data.as_ref().map_or(0, |data| fingerprint(holder != Holder::NoSession, data));
    let content = data.filter(|_| all_contents || holder == Holder::NoSession).and_then(|data| content(&data));
    let owner = match holder {
        Holder::Us => Some(us.into()),
        Holder::NoSession => None,
        Holder::Session(session) => Some(format!("session {session}").into()),
    };
    // The data do not contain the service's ID, so the path is used.
    let key: Arc<str> = path.into();
    Ok(Some(Entry {
        service_id: Arc::clone(&key),
        key,
        owner,
        fingerprint,
        marked: Marked::No,
        critical: false,
        content: content.map(Box::new),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_belongs_to_our_session_another_one_or_none() {
        let us = SessionId(0x1000_0000_0001);
        for (owner, holder) in [
            (0, Holder::NoSession),
            (CONTAINER, Holder::NoSession),
            (us.0, Holder::Us),
            (us.0 + 1, Holder::Session(SessionId(us.0 + 1))),
            (-1, Holder::Session(SessionId(-1))),
        ] {
            let stat = Stat {
                czxid: 1,
                mzxid: 1,
                pzxid: 1,
                ctime: 0,
                mtime: 0,
                version: 0,
                cversion: 0,
                aversion: 0,
                ephemeral_owner: owner,
                data_length: 0,
                num_children: 0,
            };
            assert_eq!(Holder::of(&stat, us), holder);
        }
    }

    #[test]
    fn an_entry_is_named_by_an_address_and_a_port() {
        for (name, expected) in [
            ("10.0.0.1:80", true),
            ("[::1]:80", true),
            ("a b:1", true),
            (":1", true),
            ("config", false),
            ("a:", false),
            ("a:99999", false),
        ] {
            assert_eq!(is_authority(name), expected, "{name}");
        }
    }
}
