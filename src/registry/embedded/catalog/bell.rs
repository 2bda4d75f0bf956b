//! Who waits for what: blocking queries subscribe to a topic, and a change rings only its own.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::instance::fold;

/// What can be waited for. Names are in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in super::super) enum Topic {
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
    pub(in super::super) fn service(name: &str) -> Self {
        Self::Service(fold(name))
    }

    /// Those and their checks.
    pub(in super::super) fn health(name: &str) -> Self {
        Self::Health(fold(name))
    }
}

/// Topics that somebody waits for; those that nobody does take no memory.
#[derive(Default)]
pub(super) struct Bell {
    topics: Mutex<HashMap<Topic, Arc<Notify>>>,
}

/// One who waits for a topic.
pub(in super::super) struct Subscription<'a> {
    bell: &'a Bell,
    topic: Topic,
    /// Notified at each change.
    pub(in super::super) notify: Arc<Notify>,
}

impl Bell {
    pub(super) fn subscribe(&self, topic: Topic) -> Subscription<'_> {
        let notify = Arc::clone(self.topics().entry(topic.clone()).or_default());
        Subscription { bell: self, topic, notify }
    }

    pub(super) fn ring(&self, topics: BTreeSet<Topic>) {
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
        let mut topics = self.bell.topics();
        // Ours and the map's are the last two: nobody else waits, and nobody can begin to while the map is locked.
        if Arc::strong_count(&self.notify) == 2 {
            topics.remove(&self.topic);
        }
    }
}

#[cfg(test)]
impl Bell {
    /// Whether nobody waits.
    pub(super) fn is_silent(&self) -> bool {
        self.topics().is_empty()
    }
}
