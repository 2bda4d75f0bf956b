//! Entries of a registry, as the reconciler sees them.

use std::sync::Arc;

/// A registry's entry for one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its identity in the registry: Consul's service ID, a key, a znode's path.
    pub key: Arc<str>,
    /// The ID of its service.
    pub service_id: Arc<str>,
    /// The recorded owner; `None` if there is none.
    pub owner: Option<Arc<str>>,
    /// A digest of the stored content. If it equals that of a [`Canonical`], nothing needs to be written.
    pub fingerprint: u64,
    /// Whether it is marked as not to be used.
    pub marked: Marked,
    /// Whether a check was critical for which the registry itself removes the entry after a while
    /// (`CHECK_DEREGISTER_AFTER`). Always false if the registry never does so.
    ///
    /// The registry removed an entry by its own rule if all of this holds: it was ours and critical at the last read,
    /// its service has a `deregister_after`, it is missing now, and the registry did not lose its data. It did not if
    /// other entries of the last read still exist, or if [`Registry::continuity`](super::Registry::continuity) is
    /// unchanged. A service that turns critical or recovers is reported as [`Change::Content`](super::Change::Content)
    /// within 20 seconds; the shortest `deregister_after` in Consul is a minute. If a person removes a critical entry,
    /// that looks the same.
    pub critical: bool,
    /// Its content: always for an entry without an owner, for others if [`Scope::contents`] asks for it. `None` if the
    /// stored data are not in this registry's form.
    pub content: Option<Box<Content>>,
}

/// The content of an entry, as far as the registry stores it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The service's name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Its tags; empty if the registry stores none.
    pub tags: Vec<String>,
}

/// Whether an entry is marked as not to be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Marked {
    /// It is not.
    #[default]
    No,
    /// By us, or by an earlier run.
    Ours,
    /// By another program or a person. We never remove that mark.
    Theirs,
}

/// The registry's form of a service, for the comparison with an [`Entry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical {
    /// Its identity in the registry.
    pub key: Arc<str>,
    /// A digest of the content that would be stored.
    pub fingerprint: u64,
}

/// Which entries to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Our own entries, and the entries at these keys; `None` for all entries.
    ///
    /// A registry that many hosts write to need not read everything for this. Then, entries that an external writer
    /// made under our owner's name, and entries without an owner, may be missing.
    pub keys: Option<Vec<Arc<str>>>,
    /// Fill [`Entry::content`] of every entry, and not only of those without an owner.
    pub contents: bool,
    /// Write nothing at all: not even what makes this instance known to others, or takes over from a dead one.
    pub looks: bool,
}
