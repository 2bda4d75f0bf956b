//! Wakes blocked readers: a blocking query subscribes to a topic, and a change wakes only those of its own topic.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::instance::fold;

/// What can be waited for. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Topic {
    /// Any instance of any service.
    Services,
    /// Any check.
    Checks,
    /// The node; it never changes while it runs.
    Node,
    /// The instances of one service.
    Service(String),
    /// The instances of one service, and their checks.
    Health(String),
}

impl Topic {
    /// The instances of a service of this name, in any case.
    pub(crate) fn service(name: &str) -> Self {
        Self::Service(fold(name))
    }

    /// Those and their checks.
    pub(crate) fn health(name: &str) -> Self {
        Self::Health(fold(name))
    }
}

/// Topics that somebody waits for; those that nobody does take no memory.
#[derive(Default)]
pub(super) struct Notifier {
    topics: Mutex<HashMap<Topic, Arc<Notify>>>,
}

/// One who waits for a topic.
pub(crate) struct Subscription<'a> {
    notifier: &'a Notifier,
    topic: Topic,
    /// Notified at each change.
    pub(crate) notify: Arc<Notify>,
}

impl Notifier {
    pub(super) fn subscribe(&self, topic: Topic) -> Subscription<'_> {
        let notify = Arc::clone(self.topics().entry(topic.clone()).or_default());
        Subscription { notifier: self, topic, notify }
    }

    pub(super) fn notify(&self, topics: BTreeSet<Topic>) {
        let waiting = self.topics();
        for topic in topics {
            if let Some(notify) = waiting.get(&topic) {
                notify.notify_waiters();
            }
        }
    }

    fn topics(&self) -> MutexGuard<'_, HashMap<Topic, Arc<Notify>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Subscription<'_> {
    fn drop(&mut self) {
        let mut topics = self.notifier.topics();
        // Ours and the map's are the last two: nobody else waits, and nobody can begin to while the map is locked.
        if Arc::strong_count(&self.notify) == 2 {
            topics.remove(&self.topic);
        }
    }
}

#[cfg(test)]
impl Notifier {
    /// Whether nobody waits.
    pub(super) fn has_no_subscriber(&self) -> bool {
        self.topics().is_empty()
    }
}
