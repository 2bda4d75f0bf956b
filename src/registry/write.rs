//! A change of one entry, as a value: the action, the key and the reason.

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
    /// The reason, for the plan, the log and the audit. A registry may ignore it.
    pub reason: Reason,
}

/// What to do with an entry.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Write the service, and replace the entry at its key. Removes our mark.
    Put(Arc<Service>),
    /// Remove the entry.
    Remove(Entry),
    /// Mark the entry as not to be used. Only where [`Capabilities::marks`](super::Capabilities::marks).
    Mark(Entry, Mark),
    /// Remove our mark.
    Unmark(Entry),
}

/// Why an entry is written, marked or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// There is no entry.
    Missing,
    /// The entry differs from the desired one.
    Differs,
    /// The container is paused.
    Paused,
    /// The container ended, and its entry is kept.
    Ended,
    /// The container was told to stop.
    Draining,
    /// This program stops.
    Shutdown,
    /// The reason for the mark is over.
    Recovered,
    /// The service is no longer offered.
    Withdrawn,
    /// The entry is ours, but has no container.
    Dangling,
}

/// Why an entry is marked as not to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// Its container was told to stop.
    Draining,
    /// Its container is paused.
    Paused,
    /// Its container ended, but the entry stays.
    Ended,
    /// This program stopped, so the entry is no longer kept up to date.
    Left,
}

impl Mark {
    /// The text that the store shows.
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
