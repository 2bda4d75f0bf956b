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

/// What a write does to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionKind {
    /// See [`Action::Put`].
    Put,
    /// See [`Action::Remove`].
    Remove,
    /// See [`Action::Mark`].
    Mark,
    /// See [`Action::Unmark`].
    Unmark,
}

impl Action {
    /// What it does.
    #[must_use]
    pub fn kind(&self) -> ActionKind {
        match self {
            Self::Put(_) => ActionKind::Put,
            Self::Remove(_) => ActionKind::Remove,
            Self::Mark(..) => ActionKind::Mark,
            Self::Unmark(_) => ActionKind::Unmark,
        }
    }
}

impl ActionKind {
    /// A word for it: `put`, `remove`, `mark` or `unmark`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Remove => "remove",
            Self::Mark => "mark",
            Self::Unmark => "unmark",
        }
    }
}

impl Reason {
    /// In words, as in `because …`.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Missing => "it was not there",
            Self::Differs => "it was not as it should be",
            Self::Unowned => "it had no owner",
            Self::Paused => "its container is paused",
            Self::Ended => "its container ended",
            Self::Draining => "its container was told to stop",
            Self::Shutdown => "registrator was told to stop",
            Self::Recovered => "the reason for its mark is over",
            Self::Withdrawn => "it is no longer offered",
            Self::Dangling => "it has no container",
        }
    }
}

/// Why an entry is written, marked or removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// There is no entry.
    Missing,
    /// The entry differs from the desired one.
    Differs,
    /// The entry is of this host's form, but has no owner, as the replaced program wrote it.
    Unowned,
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
