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
    /// Whether a check was critical that makes the store itself remove the entry after a while.
    /// Always false where a store removes nothing by itself.
    pub critical: bool,
    /// What it says, where [`Scope::contents`] asked for it and the entry is not ours.
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
    /// Fill [`Entry::content`] of the entries that are not ours.
    pub contents: bool,
}
