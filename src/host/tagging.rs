//! Puts the tags of `-tags` on what the watch says, before anything is described.
//!
//! A stage of its own because a template may fetch a URL (`httpGet`): such templates run on
//! blocking threads, several at a time, while the order of changes is kept.

use std::sync::Arc;

use futures_util::stream::{self, Stream, StreamExt};
use tokio::sync::mpsc;

use crate::container::{Container, ContainerId};
use crate::docker::Change;
use crate::event::{Event, Events};
use crate::template::ForcedTags;

/// How many templates may wait for something at a time.
const PARALLEL: usize = 16;

/// A container with the tags that `-tags` gives its services.
#[derive(Clone, Debug)]
pub struct Tagged {
    /// The container.
    pub container: Arc<Container>,
    /// Its forced tags; empty where the template failed on it.
    pub tags: Arc<[String]>,
}

/// A [`Change`] with its tags.
#[derive(Clone, Debug)]
pub enum Seen {
    /// All that there is, and what is listed but could not be inspected.
    Snapshot {
        /// Every container.
        containers: Vec<Tagged>,
        /// Listed, but not known: it stays as it was.
        unknown: Vec<ContainerId>,
        /// Known, but not to be taken in yet: it stays as it was as well.
        held: Vec<ContainerId>,
    },
    /// One container, as it is now.
    Changed(Tagged),
    /// A container that was told to stop.
    Stopping(ContainerId),
    /// A container that no longer exists.
    Gone(ContainerId),
    /// The same, though no event told of its end.
    Missing(ContainerId),
}

/// The template, and where its failures are told.
#[derive(Clone)]
struct Tagging {
    tags: Arc<ForcedTags>,
    events: Events,
}

/// The changes with their tags, in the same order.
pub fn tagged(changes: mpsc::Receiver<Change>, tags: Arc<ForcedTags>, events: Events) -> impl Stream<Item = Seen> {
    let tags = Tagging { tags, events };
    stream::unfold(changes, async |mut changes| changes.recv().await.map(|change| (change, changes)))
        .map(move |change| see(change, tags.clone()))
        .buffered(PARALLEL)
}

async fn see(change: Change, tags: Tagging) -> Seen {
    match change {
        Change::Changed(container) => Seen::Changed(tag(container, tags).await),
        Change::Stopping(id) => Seen::Stopping(id),
        Change::Gone(id) => Seen::Gone(id),
        Change::Missing(id) => Seen::Missing(id),
        Change::Snapshot(snapshot) => Seen::Snapshot {
            containers: stream::iter(snapshot.containers)
                .map(|container| tag(container, tags.clone()))
                .buffered(PARALLEL)
                .collect()
                .await,
            unknown: snapshot.unknown,
            held: Vec::new(),
        },
    }
}

async fn tag(container: Arc<Container>, tags: Tagging) -> Tagged {
    if tags.tags.may_block() {
        let subject = Arc::clone(&container);
        let evaluated = tokio::task::spawn_blocking(move || evaluate(&subject, &tags)).await;
        Tagged { container, tags: evaluated.unwrap_or_default() }
    } else {
        let tags = evaluate(&container, &tags);
        Tagged { container, tags }
    }
}

fn evaluate(container: &Container, tagging: &Tagging) -> Arc<[String]> {
    match tagging.tags.evaluate(container) {
        Ok(tags) => tags.into(),
        Err(error) => {
            tagging.events.emit(Event::TagsFailed { container: container.id.clone(), why: error.to_string() });
            Arc::default()
        }
    }
}
