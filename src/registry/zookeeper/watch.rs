//! Watches the path while a connection lasts.
//!
//! It only reports that something changed. The reconciler then reads everything again, so a lost event does no harm.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Notify;
use tokio::time::sleep;
use tracing::debug;
use zookeeper_client::{AddWatchMode, Client, Error, EventType, SessionState};

/// The pause after setting a watch failed, and between two rounds of setting many.
const PAUSE: Duration = Duration::from_secs(1);

/// Reports changes below `base`, if there is one, until the connection is lost. Returns the new state.
pub(super) async fn follow(client: &Client, base: Option<&String>, changes: &Notify) -> SessionState {
    let Some(base) = base else { return lost(client).await };
    tokio::select! {
        end = lost(client) => end,
        never = tree(client, base, changes) => match never {},
    }
}

/// Waits until the connection is lost. Returns the new state.
pub(super) async fn lost(client: &Client) -> SessionState {
    let mut states = client.state_watcher();
    let mut state = client.state();
    while state == SessionState::SyncConnected {
        state = states.changed().await;
    }
    state
}

/// Watches the whole tree at once (ZooKeeper 3.6 and later), otherwise node by node.
async fn tree(client: &Client, base: &str, changes: &Notify) -> Infallible {
    let root = if base.is_empty() { "/" } else { base };
    loop {
        match client.watch(root, AddWatchMode::PersistentRecursive).await {
            Ok(mut watcher) => {
                // Changes before this point were not reported.
                changes.notify_one();
                loop {
                    let event = watcher.changed().await;
                    match event.event_type {
                        // A node was created where none was. If it replaced one of ours, the deletion was reported.
                        EventType::NodeCreated => {}
                        // The connection is lost; [`follow`] handles that.
                        EventType::Session => return pending().await,
                        _ => changes.notify_one(),
                    }
                }
            }
            Err(Error::Unimplemented) => return children(client, root, changes).await,
            Err(error) => {
                debug!("zookeeper: {root} cannot be watched: {error}");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Watches the children of `root` and their children. Notices created and deleted nodes, not changed data.
pub(super) async fn children(client: &Client, root: &str, changes: &Notify) -> Infallible {
    loop {
        match next_change(client, root, changes).await {
            Ok(()) => changes.notify_one(),
            Err(error) => debug!("zookeeper: {root} cannot be watched: {error}"),
        }
        // All watches are set again in each round, so there is a pause between rounds.
        sleep(PAUSE).await;
    }
}

/// Sets a watch on every node, reports a change (the tree may have changed before), and waits for the first watch to
/// fire.
async fn next_change(client: &Client, root: &str, changes: &Notify) -> Result<(), Error> {
    let (names, watcher) = match client.list_and_watch_children(root).await {
        Err(Error::NoNode) => {
            let (stat, watcher) = client.check_and_watch_stat(root).await?;
            if stat.is_none() {
                watcher.changed().await;
            }
            return Ok(());
        }
        listed => listed?,
    };
    let mut watchers = FuturesUnordered::from_iter([watcher.changed()]);
    for name in names {
        let path = if root == "/" { format!("/{name}") } else { format!("{root}/{name}") };
        match client.list_and_watch_children(&path).await {
            Ok((_, watcher)) => watchers.push(watcher.changed()),
            Err(Error::NoNode | Error::NoAuth) => {}
            Err(error) => return Err(error),
        }
    }
    changes.notify_one();
    watchers.next().await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use testkit::zookeeper::ZooKeeper;
    use tokio::time::timeout;
    use zookeeper_client::{Acls, CreateMode, CreateOptions};

    use super::*;

    const NODE: CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());

    async fn reported(changes: &Notify) -> bool {
        timeout(PAUSE * 5, changes.notified()).await.is_ok()
    }

    /// Waits until the initial change was reported.
    async fn quiet(changes: &Notify) {
        while timeout(PAUSE * 3 / 2, changes.notified()).await.is_ok() {}
    }

    #[tokio::test]
    async fn a_server_that_cannot_watch_a_tree_is_watched_node_by_node() {
        let server = ZooKeeper::start().await;
        let (client, other) = (server.client().await, server.client().await);
        let changes = Notify::new();
        let meddle = async {
            quiet(&changes).await;
            for path in ["/r", "/r/a", "/r/a/1.2.3.4:1"] {
                other.create(path, b"", &NODE).await.unwrap();
                assert!(reported(&changes).await, "{path} was created, but not reported");
                quiet(&changes).await;
            }
            for path in ["/r/a/1.2.3.4:1", "/r/a"] {
                other.delete(path, None).await.unwrap();
                assert!(reported(&changes).await, "{path} was removed, but not reported");
                quiet(&changes).await;
            }
        };
        tokio::select! {
            never = children(&client, "/r", &changes) => match never {},
            () = meddle => {}
        }
    }
}
