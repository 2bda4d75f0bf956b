//! The shared state of this folder: the store, the layout of services, and the known content.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::RegistryConfig;
use crate::pool::Pool;
use crate::registry::RegistryError;
use crate::registry::reporter::Reporter;
use crate::registry::text::one_line;

use super::census::Census;
use super::claims::{Claim, ClaimKeys, InstanceLease, read};
use super::key::{Desired, Instances, Known, Seen};
use super::layout::Layout;
use super::store::{Store, Stored, Transaction};

/// The shared state.
pub(super) struct Engine {
    pub(super) store: Box<dyn Store>,
    pub(super) layout: Box<dyn Layout>,
    /// Where claims are stored, if there are any.
    pub(super) claims: Option<ClaimKeys>,
    /// The ID of this run of the process.
    pub(super) run: String,
    /// How often TTLs are refreshed, by the settings.
    pub(super) ttl_refresh: Option<Duration>,
    pub(super) reporter: Reporter,
    state: Mutex<State>,
    /// Wakes callers that wait for changes by external writers.
    pub(super) notifier: Notify,
    /// Wakes the watch task: other keys may concern us than before.
    pub(super) concerns: Notify,
}

/// What is known about the store.
#[derive(Default)]
pub(super) struct State {
    /// How much of it is others'.
    pub(super) census: Census,
    /// By key. A tree, which grows in small steps: a hash table would briefly need half as much memory again. Boxed,
    /// because the tree's nodes are half empty.
    pub(super) keys: BTreeMap<Box<str>, Box<Known>>,
    /// The owners and leases in claims, each stored once.
    pub(super) names: Pool<str>,
    /// Keys that may hold what is ours though nothing is known of it, since everything was counted: our last write may or
    /// may not have arrived, or our owner's name was found there.
    pub(super) in_doubt: BTreeSet<String>,
    pub(super) instances: Instances,
    /// How many batches of writes are in progress, and how many were started in total.
    pub(super) writing: usize,
    pub(super) started: u64,
    /// When the last change was reported.
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
            ttl_refresh: config.ttl_refresh,
            reporter,
            state: Mutex::new(State { instances, ..State::default() }),
            notifier: Notify::new(),
            concerns: Notify::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Stores the entry of a key, and the claim on it.
    pub(super) fn saw(&mut self, key: &str, entry: Option<Seen<u64>>, claim: Option<Seen<Option<Claim>>>) {
        let (written, wanted) = self.keys.get(key).map_or((false, false), |before| (before.written, before.wanted));
        let claim = claim.map(|claim| self.shared(claim));
        match (Known { entry, claim, written, wanted }) {
            known if known.is_nothing() => self.keys.remove(key),
            known => self.keys.insert(key.into(), known.into()),
        };
    }

    /// Notes that these are the keys where services of this host belong.
    pub(super) fn now_wanted(&mut self, keys: &[Arc<str>]) {
        self.keys.values_mut().for_each(|known| known.wanted = false);
        keys.iter().for_each(|key| self.want(key));
        self.keys.retain(|_, known| !known.is_nothing());
    }

    /// Notes that services of this host belong where entries are desired, and no longer where none is.
    pub(super) fn are_wanted(&mut self, desired: &[(String, Desired)]) {
        for (key, desired) in desired {
            match (desired, self.keys.get_mut(key.as_str())) {
                (Desired::Entry { .. }, _) => self.want(key),
                (Desired::Absent, Some(known)) => known.wanted = false,
                (Desired::Absent, None) => {}
            }
        }
    }

    fn want(&mut self, key: &str) {
        match self.keys.get_mut(key) {
            Some(known) => known.wanted = true,
            None => drop(self.keys.insert(key.into(), Known { wanted: true, ..Known::default() }.into())),
        }
    }

    /// Notes what a transaction has done that was made for this desired state.
    pub(super) fn wrote(&mut self, key: &str, desired: &Desired, transaction: &Transaction, versions: &[u64]) {
        let known = self.keys.entry(key.into()).or_default();
        known.wrote(key, desired, transaction, versions);
        if known.is_nothing() {
            self.keys.remove(key);
        }
    }

    /// Stores the holder of a lease, if there is one.
    pub(super) fn saw_lease(&mut self, lease: &str, stored: Option<&Stored>) {
        match stored.and_then(|stored| read::<InstanceLease>(&stored.value)) {
            Some(holder) => self.instances.alive.insert(lease.to_owned(), holder),
            None => self.instances.alive.remove(lease),
        };
    }

    /// The same claim, with shared strings.
    pub(super) fn shared(&mut self, mut seen: Seen<Option<Claim>>) -> Seen<Option<Claim>> {
        if let Some(claim) = &mut seen.content {
            self.names.share(&mut claim.owner);
            self.names.share(&mut claim.lease);
        }
        seen
    }
}

/// A name that no other run has.
pub(super) fn token() -> String {
    format!("{:016x}", fastrand::u64(..))
}

/// Why a key could not be written although the store answered.
pub(super) fn busy(key: &str) -> RegistryError {
    RegistryError::Unreachable(format!("{} is being changed by others all the time", one_line(key, 300)))
}
