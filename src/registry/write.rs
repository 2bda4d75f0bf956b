//! One change of one entry, as a value: what to do, to which key, and why.

use std::sync::Arc;

use crate::service::Service;

use super::entry::Entry;

/// A change of one entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The entry's key.
    pub key: Arc<str>,
    /// What to do.
    pub action: Action,
    /// Why, for the plan, the log and the audit. A registry need not look at it.
    pub reason: Reason,
}

/// What to do with an entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Write the service, replacing what stands at its key. Takes a mark of ours away.
    Put(Arc<Service>),
    /// Remove the entry.
    Remove(Entry),
    /// Mark the entry as not to be used. Only where [`Capabilities::marks`](super::Capabilities::marks).
    Mark(Entry, Mark),
    /// Take our mark away.
    Unmark(Entry),
}

/// Why an entry is written, marked or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Nothing stands there.
    Missing,
    /// What stands there is not as it should be.
    Differs,
    /// The container is paused.
    Paused,
    /// The container ended, and its entry is kept.
    Ended,
    /// The container was told to stop.
    Draining,
    /// This program stops.
    Shutdown,
    /// What it was marked for is over.
    Recovered,
    /// The service is no longer offered.
    Withdrawn,
    /// The entry is ours, and no container is behind it.
    Dangling,
}

/// Why an entry is marked as not to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Its container was told to stop.
    Draining,
    /// Its container is paused.
    Paused,
    /// Its container ended, and the entry stays.
    Ended,
    /// This program was stopped, and nobody looks after the entry.
    Left,
}

impl Mark {
    /// In words, as the store shows them.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Draining => "its container was told to stop",
            Self::Paused => "its container is paused",
            Self::Ended => "its container ended",
            Self::Left => "registrator was stopped",
        }
    }
}
