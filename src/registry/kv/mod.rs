//! Registries that are key-value stores: one engine over what a store can do ([`Store`]) and how a service is
//! spelt in it ([`Layout`]).
//!
//! Stands below the bridge: [`slot`] decides what to write for one key, [`records`] says what stands beside entries,
//! [`seats`] keeps the signs of life, [`watch`] hears of other hands, [`read`] and [`write`] do what the bridge asks. A
//! new store implements [`Store`], a new spelling [`Layout`]; neither knows of owners.
//!
//! # Whose an entry is
//!
//! Keys and values are documented, so who wrote an entry is recorded beside it: a claim names the owner, and the
//! *seat* that an instance of that owner holds as long as it lives. What an owner's dead instance left is taken over
//! by taking its seat, which writes one record, and no entry. docs/ownership.md has the whole story.

mod encode;
mod layout;
mod read;
mod records;
mod seats;
mod slot;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod watch;
mod write;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::config::RegistryConfig;
use crate::pool::Pool;
use crate::registry;
use crate::service::Service;

use super::reporter::Reporter;
use super::text::one_line;
use super::{Change, Entry, Registry, RegistryError, Scope};

pub(in crate::registry) use layout::{Layout, Plain};
pub(in crate::registry) use records::Records;
pub(in crate::registry) use store::{Action, Applied, Condition, Held, News, Step, Store, Write};

use slot::{Company, Slot, digest, fingerprint};

/// Within what any method ends, whatever the store does.
const DEADLINE: Duration = Duration::from_secs(15);
/// The same for reading everything, which goes on page by page: begun anew, it would take as long again.
const READING_DEADLINE: Duration = Duration::from_secs(45);
/// While so many entries are others', only our own part is read.
const MANY: usize = 1000;

/// A registry that is a key-value store.
pub(in crate::registry) struct KvRegistry {
    engine: Arc<Engine>,
    heart: OnceLock<AbortOnDropHandle<()>>,
    ears: OnceLock<AbortOnDropHandle<()>>,
}

/// What its tasks share.
struct Engine {
    store: Box<dyn Store>,
    layout: Box<dyn Layout>,
    /// Where claims are made, if they are.
    records: Option<Records>,
    /// What this run is called.
    run: String,
    /// From how many entries of others on only our own part is read.
    many: usize,
    /// How often TTLs are refreshed, where the settings say.
    ttl_refresh: Option<Duration>,
    reporter: Reporter,
    state: Mutex<State>,
    /// Something may have changed by another hand.
    bell: Notify,
}

/// What is known of the store.
#[derive(Default)]
struct State {
    /// When everything is to be read again, even if most of it is others'; `None` before it was read once.
    everything: Option<Instant>,
    /// How many entries are others', at most.
    others: usize,
    /// By key. A tree, which grows piece by piece: of a table, half as much again would be needed for a moment. Boxed,
    /// since its nodes are half empty.
    slots: BTreeMap<Box<str>, Box<Slot>>,
    /// The owners and seats that claims name, each kept once.
    names: Pool<str>,
    /// Keys of which it is not known whether our last write of them arrived, since everything was read.
    unsure: BTreeSet<String>,
    company: Company,
    /// Writes that are on their way, and those that were ever begun.
    writing: usize,
    begun: u64,
    /// When a change was reported last.
    told: Option<Instant>,
}
impl KvRegistry {
    /// A registry that speaks to the store when it is first asked something.
    pub(in crate::registry) fn new(
        store: Box<dyn Store>,
        layout: Box<dyn Layout>,
        records: Records,
        config: &RegistryConfig,
        reporter: Reporter,
    ) -> Self {
        let company = Company { owner: config.owner.as_str().into(), ..Company::default() };
        let engine = Engine {
            store,
            layout,
            records: config.record_owner.then_some(records),
            run: seats::token(),
            many: MANY,
            ttl_refresh: config.ttl_refresh,
            reporter,
            state: Mutex::new(State { company, ..State::default() }),
            bell: Notify::new(),
        };
        Self { engine: Arc::new(engine), heart: OnceLock::new(), ears: OnceLock::new() }
    }

    /// Begins to show signs of life, if there is anything to show them for.
    fn live(&self) {
        if self.engine.records.is_some() {
            let engine = &self.engine;
            self.heart.get_or_init(|| AbortOnDropHandle::new(tokio::spawn(seats::beat(Arc::clone(engine)))));
        }
    }
}

#[async_trait]
impl Registry for KvRegistry {
    fn key(&self, service: &Service) -> Arc<str> {
        self.engine.layout.key(service).into()
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        let Engine { layout, records, .. } = &*self.engine;
        fingerprint(digest(layout.value(service).as_bytes()), service.ttl, records.is_some())
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        in_time(DEADLINE, self.engine.store.ping()).await?
    }

    async fn read(&self, scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
        self.live();
        in_time(READING_DEADLINE, self.engine.entries(scope.keys.as_deref())).await?
    }

    async fn apply(&self, writes: &[registry::Write]) -> Vec<Result<(), RegistryError>> {
        self.live();
        let written = in_time(DEADLINE, self.engine.apply(writes)).await;
        written.unwrap_or_else(|error| vec![Err(error); writes.len()])
    }

    fn refresh_interval(&self, service: &Service) -> Option<Duration> {
        service.ttl.map(|ttl| self.engine.ttl_refresh.filter(|refresh| *refresh < ttl).unwrap_or(ttl / 3))
    }

    async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        let refreshed = in_time(DEADLINE, self.engine.refresh(services)).await;
        refreshed.unwrap_or_else(|error| vec![Err(error); services.len()])
    }

    async fn changed(&self) -> Change {
        let engine = &self.engine;
        self.ears.get_or_init(|| AbortOnDropHandle::new(tokio::spawn(watch::listen(Arc::clone(engine)))));
        watch::changed(engine).await;
        Change::Content
    }

    async fn close(&self) {
        if let Some(heart) = self.heart.get() {
            heart.abort();
        }
        self.engine.rise().await;
    }
}

impl Engine {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn busy(key: &str) -> RegistryError {
    RegistryError::Unreachable(format!("{} is being changed by others all the time", one_line(key, 300)))
}

async fn in_time<F: Future>(deadline: Duration, future: F) -> Result<F::Output, RegistryError> {
    let late = || RegistryError::Unreachable(format!("no answer within {} s", deadline.as_secs()));
    timeout(deadline, future).await.map_err(|_| late())
}
