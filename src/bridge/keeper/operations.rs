//! One operation at a registry: reading it, a batch of writes, or a batch of refreshes; each ends in time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::bridge::plan::Scope;
use crate::registry::{self, Action, Canonical, Entry, Mark, Reason, Registry, RegistryError, Write};
use crate::service::Service;

/// How long one operation may take before it counts as failed, whatever the registry does.
pub(super) const OPERATION_DEADLINE: Duration = Duration::from_secs(60);

pub(super) type Operation = Pin<Box<dyn Future<Output = Outcome> + Send>>;

/// What came of an operation.
pub(super) enum Outcome {
    /// With the time that it took.
    Compared(Scope, Result<Vec<Entry>, RegistryError>, Duration),
    Written {
        added: Vec<(Arc<Service>, Canonical, Attempt)>,
        removed: Vec<(Entry, Removal, Attempt)>,
        marked: Vec<(Entry, Option<Mark>, Attempt)>,
    },
    Refreshed(Vec<(Arc<str>, Arc<Service>, Attempt)>),
}

pub(super) type Attempt = Result<(), RegistryError>;

/// Why an entry is removed.
#[derive(Clone, Debug)]
pub(super) enum Removal {
    /// This service is no longer offered.
    Withdrawn(Arc<Service>),
    /// Nothing stands behind it.
    Dangling,
}

pub(super) async fn finished(operation: &mut Option<Operation>) -> Outcome {
    match operation {
        Some(operation) => operation.await,
        None => std::future::pending().await,
    }
}

/// Reads what concerns us: everything, or our own and what stands at these keys.
pub(super) fn compare(registry: Arc<dyn Registry>, scope: Scope, keys: Option<Vec<Arc<str>>>) -> Operation {
    Box::pin(async move {
        let began = Instant::now();
        let part = registry::Scope { keys, contents: false };
        let entries = timeout(OPERATION_DEADLINE, registry.read(&part)).await.unwrap_or_else(|_| Err(too_late()));
        Outcome::Compared(scope, entries, began.elapsed())
    })
}

pub(super) fn write(
    registry: Arc<dyn Registry>,
    added: Vec<(Arc<Service>, Canonical)>,
    removed: Vec<(Entry, Removal)>,
    marked: Vec<(Entry, Option<Mark>)>,
) -> Operation {
    Box::pin(async move {
        let write = |key: &Arc<str>, action, reason| Write { key: Arc::clone(key), action, reason };
        let puts = added
            .iter()
            .map(|(service, canonical)| write(&canonical.key, Action::Put(Arc::clone(service)), Reason::Missing));
        let removals = removed.iter().map(|(entry, why)| {
            let reason = if matches!(why, Removal::Dangling) { Reason::Dangling } else { Reason::Withdrawn };
            write(&entry.key, Action::Remove(entry.clone()), reason)
        });
        let marks = marked.iter().map(|(entry, mark)| match mark {
            Some(mark) => write(&entry.key, Action::Mark(entry.clone(), *mark), reason(*mark)),
            None => write(&entry.key, Action::Unmark(entry.clone()), Reason::Recovered),
        });
        let writes: Vec<_> = puts.chain(removals).chain(marks).collect();
        let mut attempts = batch(writes.len(), registry.apply(&writes)).await.into_iter();
        let mut next = || attempts.next().unwrap_or_else(|| Err(too_late()));
        Outcome::Written {
            added: added.into_iter().map(|(service, canonical)| (service, canonical, next())).collect(),
            removed: removed.into_iter().map(|(entry, why)| (entry, why, next())).collect(),
            marked: marked.into_iter().map(|(entry, mark)| (entry, mark, next())).collect(),
        }
    })
}

fn reason(mark: Mark) -> Reason {
    match mark {
        Mark::Draining => Reason::Draining,
        Mark::Paused => Reason::Paused,
        Mark::Ended => Reason::Ended,
        Mark::Left => Reason::Shutdown,
    }
}

pub(super) fn refresh(registry: Arc<dyn Registry>, due: Vec<(Arc<str>, Arc<Service>)>) -> Operation {
    Box::pin(async move {
        let services: Vec<_> = due.iter().map(|(_, service)| Arc::clone(service)).collect();
        let attempts = batch(services.len(), registry.refresh(&services)).await;
        Outcome::Refreshed(
            due.into_iter().zip(attempts).map(|((key, service), attempt)| (key, service, attempt)).collect(),
        )
    })
}

/// The results of a batch of this size, or as many failures when it takes too long; a registry is
/// not asked to do nothing.
async fn batch(size: usize, attempts: impl Future<Output = Vec<Attempt>>) -> Vec<Attempt> {
    if size == 0 {
        return Vec::new();
    }
    timeout(OPERATION_DEADLINE, attempts).await.unwrap_or_else(|_| vec![Err(too_late()); size])
}

fn too_late() -> RegistryError {
    RegistryError::Unreachable(format!("the registry gave no answer in {} s", OPERATION_DEADLINE.as_secs()))
}
