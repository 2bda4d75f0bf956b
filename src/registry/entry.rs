//! What a store holds, as everything above the registries sees it.

use std::sync::Arc;

/// What a store holds for one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The store's own identity of it: Consul's service ID, a key, a znode's path.
    pub key: Arc<str>,
    /// The ID of the service it stands for.
    pub service_id: Arc<str>,
    /// The owner that is recorded with it; `None` where none is.
    pub owner: Option<Arc<str>>,
    /// A digest of what the store holds: equal to that of a [`Canonical`] when nothing need be written.
    pub fingerprint: u64,
    /// Whether it is marked as not to be used.
    pub marked: Marked,
    /// Whether the check was critical for which the store itself removes the entry after a while
    /// (`CHECK_DEREGISTER_AFTER`). Always false where a store removes nothing by itself.
    ///
    /// An entry of ours that was critical when it was last read, whose service has a `deregister_after`, and that is
    /// gone now, was removed by the store, if the store did not lose it: other entries of the last reading are still
    /// there, or [`Registry::continuity`](super::Registry::continuity) is the same as then. A service that turns
    /// critical, or recovers, is reported as [`Change::Content`](super::Change::Content) within 20 seconds; the least
    /// that Consul takes for `deregister_after` is a minute. An entry that somebody removes by hand while it is
    /// critical looks the same.
    pub critical: bool,
    /// What it says: of an entry without an owner always, of any other where [`Scope::contents`] asked for it. `None` as
    /// well where it says nothing that this store's entries say.
    pub content: Option<Box<Content>>,
}

/// What an entry says, as far as the store's form of it tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The service's name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its port.
    pub port: u16,
    /// Its tags; empty where the store holds none.
    pub tags: Vec<String>,
}

/// Whether an entry is marked as not to be used, though it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Marked {
    /// It is not.
    #[default]
    No,
    /// By us, or by an instance before us.
    Ours,
    /// By somebody else, who alone takes that away.
    Theirs,
}

/// How a store would hold a service: its desired form, to be compared with an [`Entry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canonical {
    /// The store's own identity of it.
    pub key: Arc<str>,
    /// A digest of what the store would hold.
    pub fingerprint: u64,
}

/// What of a store is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Our own entries, and what stands at these keys; `None` for everything.
    ///
    /// A store that holds what many hosts write need not read all of it for this. An entry that an external writer
    /// made under our owner's name, or one without an owner, may then be missing.
    pub keys: Option<Vec<Arc<str>>>,
    /// Fill [`Entry::content`] of every entry, and not only of those without an owner.
    pub contents: bool,
}
