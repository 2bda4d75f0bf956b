//! What the parts of this folder share: the store, how services are spelt in it, and what is known of its content.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::RegistryConfig;
use crate::pool::Pool;
use crate::registry::RegistryError;
use crate::registry::reporter::Reporter;
use crate::registry::text::one_line;

use super::claims::{Claim, ClaimKeys, InstanceLease, read};
use super::key::{Instances, Known, Seen};
use super::layout::Layout;
use super::store::{Store, Stored};

/// While at least this many entries are others', only our own part is read.
const MANY: usize = 1000;

/// What the parts share.
pub(super) struct Engine {
    pub(super) store: Box<dyn Store>,
    pub(super) layout: Box<dyn Layout>,
    /// Where claims are stored, if they are made.
    pub(super) claims: Option<ClaimKeys>,
    /// The name of this run of the process.
    pub(super) run: String,
    /// From how many entries of others on only our own part is read.
    pub(super) many: usize,
    /// How often TTLs are refreshed, where the settings say.
    pub(super) ttl_refresh: Option<Duration>,
    pub(super) reporter: Reporter,
    state: Mutex<State>,
    /// Wakes whoever waits for changes by external writers.
    pub(super) notifier: Notify,
}

/// What is known of the store.
#[derive(Default)]
pub(super) struct State {
    /// When everything is to be read again, even if most of it is others'; `None` before it was read once.
    pub(super) everything_due: Option<Instant>,
    /// How many entries are others', at most.
    pub(super) others: usize,
    /// By key. A tree, which grows piece by piece: a table would need half as much again for a moment while it grows.
    /// Boxed, since the tree's nodes are half empty.
    pub(super) keys: BTreeMap<Box<str>, Box<Known>>,
    /// The owners and leases that claims name, each stored once.
    pub(super) names: Pool<str>,
    /// Keys whose last write of ours may or may not have arrived, since everything was read.
    pub(super) in_doubt: BTreeSet<String>,
    pub(super) instances: Instances,
    /// How many batches of writes are under way, and how many were ever started.
    pub(super) writing: usize,
    pub(super) started: u64,
    /// When a change was reported last.
    pub(super) reported: Option<Instant>,
}

impl Engine {
    pub(super) fn new(
        store: Box<dyn Store>,
        layout: Box<dyn Layout>,
        claims: ClaimKeys,
        config: &RegistryConfig,
        reporter: Reporter,
    ) -> Self {
        let instances = Instances { owner: config.owner.as_str().into(), ..Instances::default() };
        Self {
            store,
            layout,
            claims: config.record_owner.then_some(claims),
            run: token(),
            many: MANY,
            ttl_refresh: config.ttl_refresh,
            reporter,
            state: Mutex::new(State { instances, ..State::default() }),
            notifier: Notify::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Notes what stands at a key, and the claim on it.
    pub(super) fn saw(&mut self, key: &str, entry: Option<Seen<u64>>, claim: Option<Seen<Option<Claim>>>) {
        let written = self.keys.get(key).is_some_and(|before| before.written);
        let claim = claim.map(|claim| self.shared(claim));
        match (Known { entry, claim, written }) {
            Known { entry: None, claim: None, written: false } => self.keys.remove(key),
            known => self.keys.insert(key.into(), known.into()),
        };
    }

    /// Notes who holds a lease, if anybody does.
    pub(super) fn saw_lease(&mut self, lease: &str, stored: Option<&Stored>) {
        match stored.and_then(|stored| read::<InstanceLease>(&stored.value)) {
            Some(holder) => self.instances.alive.insert(lease.to_owned(), holder),
            None => self.instances.alive.remove(lease),
        };
    }

    /// The same claim, sharing the memory of its names with other claims.
    pub(super) fn shared(&mut self, mut seen: Seen<Option<Claim>>) -> Seen<Option<Claim>> {
        if let Some(claim) = &mut seen.content {
            self.names.share(&mut claim.owner);
            self.names.share(&mut claim.lease);
        }
        seen
    }
}

/// A name that nobody else has.
pub(super) fn token() -> String {
    format!("{:016x}", fastrand::u64(..))
}

/// Why a key could not be written though everybody answered.
pub(super) fn busy(key: &str) -> RegistryError {
    RegistryError::Unreachable(format!("{} is being changed by others all the time", one_line(key, 300)))
}
