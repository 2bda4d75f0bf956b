//! A registry in memory: the reference for the conformance suite and the keeper's own tests. It can be told to fail as
//! real registries do.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use registrator::registry::{
    Action, Canonical, Capabilities, Change, Entry, Mark, Marked, Registry, RegistryError, Scope, Write,
};
use registrator::service::Service;

/// A registry in memory. Clones share the same registry.
#[derive(Clone, Debug)]
pub struct Memory {
    owner: String,
    /// Whether it has health.
    marks: bool,
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<Held>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    entries: BTreeMap<String, Entry>,
    requests: Vec<Request>,
    faults: Faults,
}

/// A request to the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Its entries were read.
    Read,
    /// This service was written.
    Register(String),
    /// The entry of this service was removed.
    Deregister(String),
    /// The entry of this service was marked, or its mark was removed.
    Mark(String, Option<Mark>),
    /// This service was refreshed.
    Refresh(String),
}

/// How it fails.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// It is unreachable.
    pub away: bool,
    /// It never answers.
    pub hung: bool,
    /// It performs the request, but reports that it was unreachable.
    pub mute: bool,
    /// It refuses services whose ID contains this text.
    pub refuses: Option<String>,
    /// An unread entry of another owner has the key of this service.
    pub taken: Option<String>,
    /// It answers after this time.
    pub delay: Duration,
}

impl Memory {
    /// An empty registry that this owner writes to.
    #[must_use]
    pub fn new(owner: &str) -> Self {
        Self { owner: owner.to_owned(), marks: true, inner: Arc::default() }
    }

    /// The same registry, for another owner.
    #[must_use]
    pub fn seen_by(&self, owner: &str) -> Self {
        Self { owner: owner.to_owned(), ..self.clone() }
    }

    /// The same registry, without health.
    #[must_use]
    pub fn without_marks(self) -> Self {
        Self { marks: false, ..self }
    }

    /// Its entries, by key.
    #[must_use]
    pub fn held(&self) -> BTreeMap<String, Entry> {
        self.lock().entries.clone()
    }

    /// The requests since the last call of this function.
    #[must_use]
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.lock().requests)
    }

    /// Fails in this way from now on.
    pub fn fail(&self, faults: Faults) {
        self.lock().faults = faults;
    }

    /// An external writer writes an entry.
    pub fn put(&self, entry: Entry) {
        self.lock().entries.insert(entry.key.to_string(), entry);
        self.inner.changed.notify_waiters();
    }

    /// An entry disappears without a notification.
    pub fn expire(&self, key: &str) {
        self.lock().entries.remove(key);
    }

    /// An external writer removes everything.
    pub fn wipe(&self) {
        self.lock().entries.clear();
        self.inner.changed.notify_waiters();
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self) -> Result<(), RegistryError> {
        let faults = self.lock().faults.clone();
        tokio::time::sleep(faults.delay).await;
        if faults.hung {
            std::future::pending::<()>().await;
        }
        if faults.away { Err(RegistryError::Unreachable("away".to_owned())) } else { Ok(()) }
    }

    /// Applies a write, and returns the reported result.
    async fn write(&self, request: Request, apply: impl FnOnce(&mut Held)) -> Result<(), RegistryError> {
        self.answer().await?;
        let mut held = self.lock();
        if let Request::Register(id) = &request
            && held.faults.refuses.as_ref().is_some_and(|part| id.contains(part.as_str()))
        {
            held.requests.push(request);
            return Err(RegistryError::service("refused"));
        }
        if let Request::Register(id) = &request
            && held.faults.taken.as_ref() == Some(id)
        {
            held.requests.push(request);
            return Err(RegistryError::Taken("taken".to_owned()));
        }
        held.requests.push(request);
        apply(&mut held);
        if held.faults.mute { Err(RegistryError::Unreachable("mute".to_owned())) } else { Ok(()) }
    }

    async fn put_one(&self, service: &Service) -> Result<(), RegistryError> {
        if service.id.is_empty() || service.name.is_empty() {
            return Err(RegistryError::service("it has no ID or no name"));
        }
        let Canonical { key, fingerprint } = self.canonical(service);
        let entry = Entry {
            service_id: Arc::clone(&key),
            key,
            owner: Some(self.owner.as_str().into()),
            fingerprint,
            marked: Marked::No,
            critical: false,
            content: None,
        };
        let request = Request::Register(service.id.to_string());
        self.write(request, |held| drop(held.entries.insert(service.id.to_string(), entry))).await
    }

    async fn mark_one(&self, entry: &Entry, mark: Option<Mark>) -> Result<(), RegistryError> {
        let request = Request::Mark(entry.service_id.to_string(), mark);
        let apply = |held: &mut Held| {
            if let Some(entry) = held.entries.get_mut(&*entry.key) {
                entry.marked = if mark.is_some() { Marked::Ours } else { Marked::No };
            }
        };
        self.write(request, apply).await
    }
}

#[async_trait]
impl Registry for Memory {
    fn capabilities(&self) -> Capabilities {
        Capabilities { marks: self.marks, ..Capabilities::default() }
    }

    fn key(&self, service: &Service) -> Arc<str> {
        Arc::clone(&service.id)
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        let mut digest = DefaultHasher::new();
        (&self.owner, &service.name, &service.address, service.port, &service.tags, &service.attributes)
            .hash(&mut digest);
        digest.finish()
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        self.answer().await
    }

    async fn read(&self, _scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
        self.answer().await?;
        let mut held = self.lock();
        held.requests.push(Request::Read);
        Ok(held.entries.values().cloned().collect())
    }

    async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
        let mut results = Vec::new();
        for write in writes {
            results.push(match &write.action {
                Action::Put(service) => self.put_one(service).await,
                Action::Remove(entry) => {
                    let request = Request::Deregister(entry.service_id.to_string());
                    self.write(request, |held| drop(held.entries.remove(&*entry.key))).await
                }
                Action::Mark(entry, mark) => self.mark_one(entry, Some(*mark)).await,
                Action::Unmark(entry) => self.mark_one(entry, None).await,
            });
        }
        results
    }

    fn refresh_interval(&self, service: &Service) -> Option<Duration> {
        service.ttl.map(|ttl| ttl / 2)
    }

    async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        let mut results = Vec::new();
        for service in services {
            let there = self.lock().entries.contains_key(&*service.id);
            let done = self.write(Request::Refresh(service.id.to_string()), |_| {}).await;
            results.push(done.and_then(|()| if there { Ok(()) } else { Err(RegistryError::service("no such entry")) }));
        }
        results
    }

    async fn changed(&self) -> Change {
        self.inner.changed.notified().await;
        Change::Content
    }
}
