//! Several instances on one store in memory, dying wherever they can: none touches what another holds, and nothing
//! is left behind. A real store cannot be made to fail between two steps of a write.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;

use super::claims::{Claim, ClaimKeys, InstanceLease, read};
use super::store::{Applied, Condition, Operation, Step, Store, StoreEvent, Stored, Transaction};
use super::testing::service;
use super::{KvRegistry, Plain};
use crate::config::RegistryConfig;
use crate::registry::reporter::Reporter;
use crate::registry::{self, Action, Entry, Reason, Registry, RegistryError, Scope};
use crate::service::Service;

const ROOT: &str = "/r";
const BASE: &str = "/_registrator/r";

/// What the instances share.
#[derive(Default)]
struct Content {
    keys: BTreeMap<String, Stored>,
    version: u64,
    /// What was done that must not be.
    broken: Vec<String>,
}

/// The store, as one instance reaches it.
struct Seen {
    content: Arc<Mutex<Content>>,
    /// The instance's owner.
    owner: &'static str,
    transactions: bool,
    /// After so many more steps, the instance is dead.
    left: Arc<Mutex<Option<usize>>>,
    run: Mutex<Option<String>>,
}

impl Seen {
    fn content(&self) -> Result<MutexGuard<'_, Content>, RegistryError> {
        if *self.left.lock().unwrap() == Some(0) {
            return Err(RegistryError::Unreachable("dead".to_owned()));
        }
        Ok(self.content.lock().unwrap())
    }

    /// Takes a step, and notes it if it was none of this instance's to take.
    fn take(&self, content: &mut Content, step: &Step) -> u64 {
        let claims = ClaimKeys::new(ROOT, BASE);
        let value = |key: &str| content.keys.get(key).map(|held| held.value.clone());
        let claim = value(&claims.claim(&step.key)).and_then(|value| read::<Claim>(&value));
        if let Some(claim) =
            claim.filter(|_| content.keys.contains_key(&step.key) && step.operation != Operation::Check)
        {
            let run = value(&claims.alive(&claim.lease)).and_then(|value| Some(read::<InstanceLease>(&value)?.run));
            if &*claim.owner != self.owner || run.is_some() && run != *self.run.lock().unwrap() {
                content.broken.push(format!("{} of {} {step:?}, which is {claim:?}'s", self.owner, step.key));
            }
        }
        if let (Some(_), Operation::Put { value, .. }) = (claims.lease(&step.key), &step.operation) {
            *self.run.lock().unwrap() = read::<InstanceLease>(value.as_bytes()).map(|sign| sign.run);
        }
        content.version += 1;
        let (key, version) = (step.key.clone(), content.version);
        match &step.operation {
            Operation::Check => {}
            Operation::Delete => drop(content.keys.remove(&key)),
            Operation::Put { value, ttl } => {
                let held = Stored { key: key.clone(), value: value.clone().into_bytes(), version, ttl: *ttl };
                content.keys.insert(key, held);
            }
        }
        version
    }

    fn apply_one(&self, write: &Transaction) -> Result<Applied, RegistryError> {
        let mut content = self.content()?;
        let holds = |content: &Content, step: &Step| {
            let there = content.keys.get(&step.key).map_or(Condition::Absent, |held| Condition::At(held.version));
            there == step.condition
        };
        if self.transactions && !write.iter().all(|step| holds(&content, step)) {
            return Ok(Applied::Conflict);
        }
        let mut versions = Vec::new();
        for (index, step) in write.iter().enumerate() {
            if !holds(&content, step) {
                return Ok(Applied::Conflict);
            }
            versions.push(self.take(&mut content, step));
            let mut left = self.left.lock().unwrap();
            if let Some(left) = left.as_mut().filter(|_| !self.transactions || index + 1 == write.len()) {
                *left -= 1;
                if *left == 0 {
                    return Err(RegistryError::Unreachable("died, and the answer with it".to_owned()));
                }
            }
        }
        Ok(Applied::Done(versions))
    }
}

#[async_trait]
impl Store for Seen {
    async fn ping(&self) -> Result<(), RegistryError> {
        self.content().map(drop)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Stored>, RegistryError> {
        Ok(self.content()?.keys.values().filter(|held| held.key.starts_with(prefix)).cloned().collect())
    }

    async fn get(&self, key: &str) -> Result<Option<Stored>, RegistryError> {
        Ok(self.content()?.keys.get(key).cloned())
    }

    async fn apply(&self, writes: &[Transaction]) -> Vec<Result<Applied, RegistryError>> {
        writes.iter().map(|write| self.apply_one(write)).collect()
    }

    async fn renew(&self, keys: &[(String, Duration)]) -> Vec<Result<(), RegistryError>> {
        keys.iter().map(|_| self.content().map(drop)).collect()
    }

    async fn watch(&self, _: &[String], _: &(dyn Fn(StoreEvent) + Send + Sync)) -> RegistryError {
        std::future::pending().await
    }
}

/// The store, and whoever writes to it.
struct World {
    content: Arc<Mutex<Content>>,
    transactions: bool,
    instances: Vec<Instance>,
}

struct Instance {
    registry: KvRegistry,
    owner: &'static str,
    left: Arc<Mutex<Option<usize>>>,
    /// What it was seen the last time it asked.
    seen: Vec<Entry>,
}

/// Two hosts of one name by mistake, and another.
const OWNERS: [&str; 3] = ["a", "a", "b"];

impl World {
    fn new(transactions: bool) -> Self {
        let mut world = Self { content: Arc::default(), transactions, instances: Vec::new() };
        world.instances = OWNERS.iter().map(|owner| world.instance(owner)).collect();
        world
    }

    fn instance(&self, owner: &'static str) -> Instance {
        let left = Arc::new(Mutex::new(None));
        let (content, transactions) = (Arc::clone(&self.content), self.transactions);
        let store = Seen { content, owner, transactions, left: Arc::clone(&left), run: Mutex::default() };
        let config = RegistryConfig {
            uri: String::new(),
            owner: owner.to_owned(),
            hostname: "host".to_owned(),
            record_owner: true,
            ttl: None,
            ttl_refresh: None,
            environment: Arc::default(),
        };
        let (layout, claims) = (Plain::new(ROOT.to_owned()), ClaimKeys::new(ROOT, BASE));
        let mut registry = KvRegistry::new(Box::new(store), Box::new(layout), claims, &config, Reporter::silent());
        // However few there are: what it reads is its own part.
        Arc::get_mut(&mut registry.engine).unwrap().many = 0;
        Instance { registry, owner, left, seen: Vec::new() }
    }

    /// The signs of life of runs that are dead expire.
    fn expire(&self) {
        let alive: Vec<_> = self.instances.iter().map(|instance| instance.registry.engine.run.clone()).collect();
        let lives = |held: &Stored| read::<InstanceLease>(&held.value).is_none_or(|sign| alive.contains(&sign.run));
        let signs = format!("{BASE}/alive/");
        self.content.lock().unwrap().keys.retain(|key, held| !key.starts_with(&signs) || lives(held));
    }

    async fn act(&mut self, act: &Act) {
        match *act {
            Act::Register(index, name, port) => {
                let service = Arc::new(named(name, port));
                apply(&self.instances[index].registry, [Action::Put(service)]).await;
            }
            Act::Look(index) => {
                let instance = &mut self.instances[index];
                if let Ok(seen) = instance.registry.read(&Scope::default()).await {
                    instance.seen = seen;
                }
            }
            Act::LookAtOwn(index, name) => {
                let instance = &mut self.instances[index];
                let (part, all) = {
                    let registry = &instance.registry;
                    let keys = Some(vec![format!("{ROOT}/web/s{name}").into()]);
                    let part = registry.read(&Scope { keys, contents: false }).await;
                    (part, registry.read(&Scope::default()).await)
                };
                if let (Ok(part), Ok(all)) = (part, all) {
                    let missing = all.iter().find(|entry| {
                        let asked = *entry.service_id == format!("s{name}");
                        let known = instance.seen.iter().any(|seen| seen.key == entry.key && seen.owner == entry.owner);
                        let ours = entry.owner.as_deref() == Some(instance.owner);
                        (asked || ours && known) && !part.contains(entry)
                    });
                    if let Some(entry) = missing {
                        self.content
                            .lock()
                            .unwrap()
                            .broken
                            .push(format!("{} was not seen of {entry:?}", instance.owner));
                    }
                    instance.seen = part;
                }
            }
            // However old its knowledge is, and whosever the entry.
            Act::Remove(index, ours) => {
                let instance = &self.instances[index];
                let is_ours = |entry: &&Entry| !ours || entry.owner.as_deref() == Some(instance.owner);
                let entries: Vec<_> = instance.seen.iter().filter(is_ours).cloned().collect();
                apply(&instance.registry, entries.iter().cloned().map(Action::Remove)).await;
                // What is gone may come back by another's hand, of which one's own part says nothing.
                let content = self.content.lock().unwrap();
                let gone = |entry: &Entry| entries.contains(entry) && !content.keys.contains_key(&*entry.key);
                self.instances[index].seen.retain(|entry| !gone(entry));
            }
            Act::Dying(index, steps) => *self.instances[index].left.lock().unwrap() = Some(steps),
            Act::Restart(index) => self.instances[index] = self.instance(OWNERS[index]),
            Act::Expire => self.expire(),
            Act::ByHand(name) => {
                let mut content = self.content.lock().unwrap();
                content.version += 1;
                let (key, version) = (format!("{ROOT}/web/s{name}"), content.version);
                let held = Stored { key: key.clone(), value: b"by hand".to_vec(), version, ttl: None };
                content.keys.entry(key).or_insert(held);
            }
        }
    }
}

/// Makes these changes in one batch.
async fn apply(registry: &KvRegistry, actions: impl IntoIterator<Item = Action>) -> Vec<Result<(), RegistryError>> {
    let write = |action: Action| {
        let key = match &action {
            Action::Put(service) => registry.key(service),
            Action::Remove(entry) | Action::Mark(entry, _) | Action::Unmark(entry) => Arc::clone(&entry.key),
        };
        registry::Write { key, action, reason: Reason::Differs }
    };
    registry.apply(&actions.into_iter().map(write).collect::<Vec<_>>()).await
}

fn named(name: u8, port: u16) -> Service {
    Service { port, ..service(&format!("s{name}")) }
}

/// What may happen: to an instance, by its number.
#[derive(Clone, Debug)]
enum Act {
    Register(usize, u8, u16),
    Look(usize),
    /// At what is its own, and at this one.
    LookAtOwn(usize, u8),
    /// Everything that it was seen of, or what it was seen is its own.
    Remove(usize, bool),
    /// It dies after so many steps.
    Dying(usize, usize),
    Restart(usize),
    Expire,
    ByHand(u8),
}

fn act() -> impl Strategy<Value = Act> {
    let who = || 0..OWNERS.len();
    prop_oneof![
        6 => (who(), 0u8..3, 1u16..3).prop_map(|(who, name, port)| Act::Register(who, name, port)),
        4 => who().prop_map(Act::Look),
        4 => (who(), 0u8..3).prop_map(|(who, name)| Act::LookAtOwn(who, name)),
        3 => (who(), any::<bool>()).prop_map(|(who, ours)| Act::Remove(who, ours)),
        2 => (who(), 1usize..5).prop_map(|(who, steps)| Act::Dying(who, steps)),
        2 => who().prop_map(Act::Restart),
        2 => Just(Act::Expire),
        1 => (0u8..3).prop_map(Act::ByHand),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn whoever_dies_when_nobody_touches_what_another_holds_and_nothing_is_left_behind(
        transactions in any::<bool>(),
        acts in proptest::collection::vec(act(), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let mut world = World::new(transactions);
            for act in &acts {
                world.act(act).await;
                let broken = world.content.lock().unwrap().broken.clone();
                prop_assert!(broken.is_empty(), "{act:?}: {broken:?}");
            }
            // One after the other, the owners come back alone, and let everything go.
            world.instances.clear();
            world.expire();
            for owner in ["a", "b"] {
                let heir = world.instance(owner);
                let seen = heir.registry.read(&Scope::default()).await.unwrap();
                let ours: Vec<_> = seen.into_iter().filter(|entry| entry.owner.as_deref() == Some(owner)).collect();
                for removed in apply(&heir.registry, ours.into_iter().map(Action::Remove)).await {
                    prop_assert_eq!(removed, Ok(()));
                }
                // What a crash has left of a claim goes when it is seen.
                heir.registry.read(&Scope::default()).await.unwrap();
                drop(heir);
                world.expire();
            }
            let content = world.content.lock().unwrap();
            for (key, held) in &content.keys {
                prop_assert_eq!(held.value.as_slice(), b"by hand", "{} is left", key);
            }
            Ok(())
        })?;
    }
}
