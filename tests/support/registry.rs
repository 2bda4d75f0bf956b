//! Batches of one kind, for tests that speak to a registry itself.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(unreachable_pub, reason = "a module of several test programs")]

use std::sync::Arc;

use registrator::config::RegistryConfig;
use registrator::event::Events;
use registrator::registry::{
    self, Action, Entry, Mark, OpenError, Opened, Reason, Registry, RegistryError, Scope, Write,
};
use registrator::service::Service;

/// Opens a registry that tells the log what it has to say.
pub fn open(config: &RegistryConfig) -> Result<Opened, OpenError> {
    registry::open(config, &Events::to_log())
}

/// What came of each element of a batch.
pub type Results = Vec<Result<(), RegistryError>>;

/// What tests ask of a registry, in one word each.
pub trait Batches: Registry {
    /// Writes services.
    async fn register(&self, services: &[Arc<Service>]) -> Results {
        let put = |service: &Arc<Service>| Write {
            key: self.key(service),
            action: Action::Put(Arc::clone(service)),
            reason: Reason::Missing,
        };
        self.apply(&services.iter().map(put).collect::<Vec<_>>()).await
    }

    /// Removes entries.
    async fn deregister(&self, entries: &[Entry]) -> Results {
        let remove = |entry: &Entry| Write {
            key: Arc::clone(&entry.key),
            action: Action::Remove(entry.clone()),
            reason: Reason::Withdrawn,
        };
        self.apply(&entries.iter().map(remove).collect::<Vec<_>>()).await
    }

    /// Marks entries, or takes our mark away.
    async fn mark(&self, entries: &[(Entry, Option<Mark>)]) -> Results {
        let mark = |(entry, mark): &(Entry, Option<Mark>)| Write {
            key: Arc::clone(&entry.key),
            action: match mark {
                Some(mark) => Action::Mark(entry.clone(), *mark),
                None => Action::Unmark(entry.clone()),
            },
            reason: Reason::Paused,
        };
        self.apply(&entries.iter().map(mark).collect::<Vec<_>>()).await
    }

    /// Everything that concerns this owner.
    async fn entries(&self) -> Result<Vec<Entry>, RegistryError> {
        self.read(&Scope::default()).await
    }

    /// What is ours, and what stands at these keys.
    async fn own_entries(&self, keys: &[Arc<str>]) -> Result<Vec<Entry>, RegistryError> {
        self.read(&Scope { keys: Some(keys.to_vec()), contents: false, looks: false }).await
    }
}

impl<R: Registry + ?Sized> Batches for R {}
