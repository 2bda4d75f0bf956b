//! Several instances on one store in memory, which crash at any step: none changes another's entries, and nothing is
//! left behind. A real store cannot be made to fail between two steps of a write.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use proptest::prelude::*;
use tokio::time::{Instant, timeout};

use super::claims::{Claim, ClaimKeys, InstanceLease, read};
use super::store::{Applied, Condition, Operation, Step, Store, StoreEvent, Stored, Transaction};
use super::testing::service;
use super::watch::{Concern, concern};
use super::{KvRegistry, Plain};
use crate::config::RegistryConfig;
use crate::registry::reporter::Reporter;
use crate::registry::{self, Action, Change, Entry, Reason, Registry, RegistryError, Scope};
use crate::service::Service;

const ROOT: &str = "/r";
const BASE: &str = "/_registrator/r";

/// The state that the instances share.
#[derive(Default)]
struct Content {
    keys: BTreeMap<String, Stored>,
    version: u64,
    /// Forbidden changes that were made.
    broken: Vec<String>,
}

/// The store as one instance sees it.
struct Seen {
    content: Arc<Mutex<Content>>,
    /// The instance's owner.
    owner: &'static str,
    transactions: bool,
    /// After this many more steps, the instance is dead.
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

    /// Makes a step, and records it if the instance was not allowed to.
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

impl Content {
    /// An external writer puts this, whatever stands there.
    fn by_hand(&mut self, key: &str, value: &str) {
        self.version += 1;
        let held = Stored { key: key.to_owned(), value: value.into(), version: self.version, ttl: None };
        self.keys.insert(key.to_owned(), held);
    }
}

/// The store, and its instances.
struct World {
    content: Arc<Mutex<Content>>,
    transactions: bool,
    instances: Vec<Instance>,
}

struct Instance {
    registry: KvRegistry,
    owner: &'static str,
    left: Arc<Mutex<Option<usize>>>,
    /// What it saw at its last read.
    seen: Vec<Entry>,
}

/// Two hosts with the same name by mistake, and another.
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
        let registry = KvRegistry::new(Box::new(store), Box::new(layout), claims, &config, Reporter::silent());
        // However few there are: what it reads is its own part.
        registry.engine.state().census.narrow = true;
        Instance { registry, owner, left, seen: Vec::new() }
    }

    /// The leases of dead runs expire.
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
                let counts = instance.registry.engine.state().census.is_due(Instant::now());
                let (part, all) = {
                    let registry = &instance.registry;
                    let keys = Some(vec![format!("{ROOT}/web/s{name}").into()]);
                    let part = registry.read(&Scope { keys, contents: false, looks: false }).await;
                    (part, registry.read(&Scope::default()).await)
                };
                if let (Ok(part), Ok(all)) = (part, all) {
                    let missing = all.iter().find(|entry| {
                        let asked = *entry.service_id == format!("s{name}");
                        let known = instance.seen.iter().any(|seen| seen.key == entry.key && seen.owner == entry.owner);
                        let ours = entry.owner.as_deref() == Some(instance.owner);
                        (asked || ours && (known || counts)) && !part.contains(entry)
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
            // However old its knowledge is, and whoever owns the entry.
            Act::Remove(index, ours) => {
                let instance = &self.instances[index];
                let is_ours = |entry: &&Entry| !ours || entry.owner.as_deref() == Some(instance.owner);
                let entries: Vec<_> = instance.seen.iter().filter(is_ours).cloned().collect();
                apply(&instance.registry, entries.iter().cloned().map(Action::Remove)).await;
                // A removed entry may be written again by an external writer, which our own part does not show.
                let content = self.content.lock().unwrap();
                let gone = |entry: &Entry| entries.contains(entry) && !content.keys.contains_key(&*entry.key);
                self.instances[index].seen.retain(|entry| !gone(entry));
            }
            Act::Dying(index, steps) => *self.instances[index].left.lock().unwrap() = Some(steps),
            Act::Restart(index) => self.instances[index] = self.instance(OWNERS[index]),
            Act::Expire => self.expire(),
            Act::Wait => tokio::time::advance(Duration::from_secs(600)).await,
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

/// What is ours, and what stands at no other key.
fn ours() -> Scope {
    Scope { keys: Some(Vec::new()), contents: false, looks: false }
}

fn named(name: u8, port: u16) -> Service {
    Service { port, ..service(&format!("s{name}")) }
}

/// A possible event for an instance, given by its number.
#[derive(Clone, Debug)]
enum Act {
    Register(usize, u8, u16),
    Look(usize),
    /// For its own services, and for this one.
    LookAtOwn(usize, u8),
    /// For everything it saw, or for its own part.
    Remove(usize, bool),
    /// It dies after this many steps.
    Dying(usize, usize),
    Restart(usize),
    Expire,
    /// For so long that everything is counted again.
    Wait,
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
        1 => Just(Act::Wait),
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
            // One after the other, the owners return alone and remove everything.
            world.instances.clear();
            world.expire();
            for owner in ["a", "b"] {
                let heir = world.instance(owner);
                let seen = heir.registry.read(&Scope::default()).await.unwrap();
                let ours: Vec<_> = seen.into_iter().filter(|entry| entry.owner.as_deref() == Some(owner)).collect();
                for removed in apply(&heir.registry, ours.into_iter().map(Action::Remove)).await {
                    prop_assert_eq!(removed, Ok(()));
                }
                // A claim left over from a crash is removed when it is seen.
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

#[tokio::test(start_paused = true)]
async fn what_carries_our_name_at_a_key_that_we_never_used_is_found_when_everything_is_counted() {
    let world = World::new(true);
    let registry = &world.instances[0].registry;
    assert_eq!(registry.read(&ours()).await, Ok(Vec::new()));
    let claim = r#"{"owner":"a","lease":"dead","id":"s9"}"#;
    world.content.lock().unwrap().by_hand(&format!("{BASE}/claims/web/s9"), claim);
    world.content.lock().unwrap().by_hand(&format!("{ROOT}/web/s9"), "x");
    // Nobody tells of it, and nobody asks.
    assert!(timeout(Duration::from_secs(200), registry.changed()).await.is_err());
    assert_eq!(registry.read(&ours()).await, Ok(Vec::new()));
    assert_eq!(timeout(Duration::from_secs(200), registry.changed()).await, Ok(Change::Content));
    let found = registry.read(&ours()).await.unwrap();
    assert_eq!(
        found.iter().map(|entry| (&*entry.service_id, entry.owner.as_deref())).collect::<Vec<_>>(),
        [("s9", Some("a"))]
    );
    // And after that it is one of those that are read each time.
    assert_eq!(registry.read(&ours()).await, Ok(found));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_tells_of_no_single_keys_is_asked_for_them() {
    let world = World::new(true);
    let registry = &world.instances[0].registry;
    apply(registry, [1, 2].map(|name| Action::Put(Arc::new(named(name, 1))))).await;
    while timeout(Duration::from_secs(10), registry.changed()).await.is_ok() {}
    let key = format!("{ROOT}/web/s1");
    for change in [Some("x"), None] {
        {
            let mut content = world.content.lock().unwrap();
            match change {
                Some(value) => content.by_hand(&key, value),
                None => drop(content.keys.remove(&key)),
            }
        }
        let told = timeout(Duration::from_secs(5), registry.changed()).await;
        assert_eq!(told, Ok(Change::Content), "{change:?}");
        apply(registry, [Action::Put(Arc::new(named(1, 1)))]).await;
        assert!(timeout(Duration::from_secs(10), registry.changed()).await.is_err(), "our own write was told");
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_heard_concerns_us_if_it_is_news_of_a_key_of_ours() {
    let world = World::new(true);
    let [one, _, other] = world.instances.as_slice() else { panic!("three instances") };
    apply(&other.registry, [Action::Put(Arc::new(named(2, 1)))]).await;
    // The second is another owner's.
    apply(&one.registry, [1, 2].map(|name| Action::Put(Arc::new(named(name, 1))))).await;
    let engine = &one.registry.engine;
    let version = |name: &str| world.content.lock().unwrap().keys[&format!("{ROOT}/web/{name}")].version;
    let (ours, theirs) = (version("s1"), version("s2"));
    for (name, version, at, expected) in [
        ("s1", Some(ours), ours, Concern::Nobody),
        ("s1", Some(ours), u64::MAX, Concern::Nobody),
        ("s1", Some(ours + 1), ours + 1, Concern::Ours),
        ("s1", None, ours + 1, Concern::Ours),
        ("s1", None, u64::MAX, Concern::Ours),
        // We have written since.
        ("s1", Some(ours - 1), ours - 1, Concern::Nobody),
        ("s1", None, ours - 1, Concern::Nobody),
        // Another history of the store, in which it was written earlier.
        ("s1", Some(ours - 1), ours + 7, Concern::Ours),
        // We wait for this one.
        ("s2", Some(theirs), theirs, Concern::Nobody),
        ("s2", Some(theirs + 9), theirs + 9, Concern::Others),
        ("s2", None, theirs + 9, Concern::Ours),
        ("s3", Some(1), 1, Concern::Others),
        ("s3", None, 9, Concern::Nobody),
    ] {
        let key = format!("{ROOT}/web/{name}");
        assert_eq!(concern(engine, &engine.state(), &key, version, at), expected, "{name} {version:?} {at}");
    }
    let sign = format!("{BASE}/alive/nobody");
    assert_eq!(concern(engine, &engine.state(), &sign, None, 99), Concern::Nobody);
}
