//! Several hosts on one store in memory that come and go at the same time: in the end the tree is what is asked for,
//! and when all are gone, nothing is left but what a person wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use registrator_traefik::{Addition, Place, Settings, Transport};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

use super::TraefikRegistry;
use crate::config::RegistryConfig;
use crate::container::Moment;
use crate::registry::kv::store::{Applied, Condition, Operation, Store, StoreEvent, Stored, Transaction};
use crate::registry::kv::testing::service;
use crate::registry::reporter::Reporter;
use crate::registry::{Action, Entry, Reason, Registry, RegistryError, Scope, Write};
use crate::service::{Origin, Service};

const ROOT: &str = "/traefik";
const BASE: &str = "/_registrator/traefik";

/// What all hosts see. A key expires when its time is over.
#[derive(Default)]
struct Content {
    keys: BTreeMap<String, (Stored, Option<Instant>)>,
    version: u64,
    writes: usize,
}

/// A store whose answers come in any order.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Content>>);

impl Memory {
    async fn turn(&self) {
        for _ in 0..fastrand::usize(..4) {
            yield_now().await;
        }
        let now = Instant::now();
        self.0.lock().unwrap().keys.retain(|_, (_, until)| until.is_none_or(|until| until > now));
    }

    fn tree(&self) -> BTreeMap<String, String> {
        let content = self.0.lock().unwrap();
        let below = content.keys.iter().filter_map(|(key, (stored, _))| {
            let key = key.strip_prefix(&format!("{ROOT}/"))?;
            Some((key.to_owned(), String::from_utf8_lossy(&stored.value).into_owned()))
        });
        below.collect()
    }

    fn put(&self, key: &str, value: &str) {
        let content = &mut *self.0.lock().unwrap();
        content.version += 1;
        let stored =
            Stored { key: key.to_owned(), value: value.as_bytes().to_vec(), version: content.version, ttl: None };
        content.keys.insert(key.to_owned(), (stored, None));
    }

    fn transact(&self, steps: &Transaction) -> Applied {
        let content = &mut *self.0.lock().unwrap();
        let is_met = |key: &str, condition: Condition| match (condition, content.keys.get(key)) {
            (Condition::Absent, held) => held.is_none(),
            (Condition::At(version), held) => held.is_some_and(|(held, _)| held.version == version),
        };
        let keys: BTreeSet<&String> = steps.iter().map(|step| &step.key).collect();
        assert_eq!(keys.len(), steps.len(), "a key twice in one transaction: {steps:?}");
        if !steps.iter().all(|step| is_met(&step.key, step.condition)) {
            return Applied::Conflict;
        }
        let mut versions = Vec::new();
        for step in steps {
            content.version += 1;
            let version = content.version;
            versions.push(version);
            match &step.operation {
                Operation::Check => continue,
                Operation::Delete => drop(content.keys.remove(&step.key)),
                Operation::Put { value, ttl } => {
                    let (key, value) = (step.key.clone(), value.clone().into_bytes());
                    let stored = Stored { key: key.clone(), value, version, ttl: *ttl };
                    content.keys.insert(key, (stored, ttl.map(|ttl| Instant::now() + ttl)));
                }
            }
            content.writes += usize::from(!step.key.contains("/alive/"));
        }
        Applied::Done(versions)
    }
}

#[async_trait]
impl Store for Memory {
    async fn ping(&self) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Stored>, RegistryError> {
        self.turn().await;
        let content = self.0.lock().unwrap();
        let below = content.keys.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
        Ok(below.map(|(_, (stored, _))| stored.clone()).collect())
    }

    async fn get(&self, key: &str) -> Result<Option<Stored>, RegistryError> {
        self.turn().await;
        Ok(self.0.lock().unwrap().keys.get(key).map(|(stored, _)| stored.clone()))
    }

    async fn apply(&self, transactions: &[Transaction]) -> Vec<Result<Applied, RegistryError>> {
        let mut results = Vec::new();
        for transaction in transactions {
            self.turn().await;
            results.push(Ok(self.transact(transaction)));
        }
        results
    }

    async fn renew(&self, keys: &[(String, Duration)]) -> Vec<Result<(), RegistryError>> {
        self.turn().await;
        let content = &mut *self.0.lock().unwrap();
        let renewed = keys.iter().map(|(key, ttl)| match content.keys.get_mut(key) {
            Some((_, until)) => {
                *until = Some(Instant::now() + *ttl);
                Ok(())
            }
            None => Err(RegistryError::service("it is not there")),
        });
        renewed.collect()
    }

    async fn watch(&self, _: &[String], _: &(dyn Fn(StoreEvent) + Send + Sync)) -> RegistryError {
        std::future::pending().await
    }
}

/// A host, and what it offers.
struct Host {
    registry: TraefikRegistry,
    offered: BTreeMap<String, Service>,
}

impl Host {
    fn new(store: &Memory, owner: &str) -> Self {
        let config = RegistryConfig {
            uri: String::new(),
            owner: owner.to_owned(),
            hostname: owner.to_owned(),
            record_owner: true,
            ttl: None,
            ttl_refresh: None,
            environment: Arc::default(),
        };
        let store = Box::new(store.clone());
        let registry = TraefikRegistry::new(store, (ROOT, BASE), Settings::default(), &config, Reporter::silent());
        Self { registry, offered: BTreeMap::new() }
    }

    fn put(service: &Service) -> Write {
        let action = Action::Put(Arc::new(service.clone()));
        Write { key: "".into(), action, reason: Reason::Missing }
    }

    async fn apply(&self, writes: Vec<Write>) {
        for result in self.registry.apply(&writes).await {
            if let Err(error) = result {
                // Others may be too fast now and then: the next comparison is another chance.
                assert!(error.to_string().contains("being changed by others"), "{error}");
            }
        }
    }

    async fn entries(&self) -> Vec<Entry> {
        self.registry.read(&Scope::default()).await.unwrap()
    }

    /// Makes what is stored equal to what is offered, as a keeper does. Returns how much differed.
    async fn compare(&self) -> usize {
        let entries: BTreeMap<String, Entry> =
            self.entries().await.into_iter().map(|entry| (entry.key.to_string(), entry)).collect();
        let mut writes = Vec::new();
        let mut wanted = BTreeSet::new();
        for service in self.offered.values() {
            let key = self.registry.key(service).to_string();
            let fingerprint = self.registry.fingerprint(service);
            if entries.get(&key).is_none_or(|entry| entry.fingerprint != fingerprint) {
                writes.push(Self::put(service));
            }
            wanted.insert(key);
        }
        let left = entries.into_iter().filter(|(key, _)| !wanted.contains(key));
        writes.extend(left.map(|(key, entry)| Write {
            key: key.into(),
            action: Action::Remove(entry),
            reason: Reason::Dangling,
        }));
        let differed = writes.len();
        self.apply(writes).await;
        differed
    }
}

/// A service of one of few names, so that hosts share much and differ in some of it.
fn offered(host: usize, number: usize) -> Service {
    let name = ["shop", "bank"][fastrand::usize(..2)];
    let rule = ["Host(`a`)", "Host(`b`)"][usize::from(fastrand::u8(..6) == 0)];
    let labels = [
        (format!("traefik.http.routers.{name}.rule"), rule.to_owned()),
        (format!("traefik.http.services.{name}.loadbalancer.server.port"), "80".to_owned()),
        (format!("traefik.http.middlewares.{name}.headers.stsseconds"), fastrand::u8(1..3).to_string()),
        (format!("traefik.http.middlewares.{name}.headers.framedeny"), "true".to_owned()),
    ];
    let labels = labels.iter().take(2 + fastrand::usize(..3)).map(|(label, value)| (label.as_str(), value.as_str()));
    let places = [Place { exposed: 80, registered: 8000, transport: Transport::Tcp }];
    let (addition, left_out) = Addition::read("web", labels, &places);
    assert_eq!(left_out, []);
    let base = service(&format!("h{host}:web{number}:80"));
    let origin = Origin { created: Moment(fastrand::i64(0..5)), ..base.origin.clone() };
    Service { traefik: Some(Arc::new(addition)), origin, ..base }
}

/// Since when its container is there, its owner, its ID, and the keys.
type Definition = (i64, String, String, Vec<(String, String)>);

/// The tree for these offers, by the words of docs/ownership.md.
fn expected(hosts: &[Host]) -> BTreeMap<String, String> {
    let mut objects: BTreeMap<String, Vec<Definition>> = BTreeMap::new();
    for host in hosts {
        for service in host.offered.values() {
            let owner = host.registry.shared.owner.to_string();
            for piece in crate::service::traefik::pieces(service, &owner, &Settings::default()) {
                let definition = (service.origin.created.0, owner.clone(), service.id.to_string(), piece.keys());
                objects.entry(piece.object.to_string()).or_default().push(definition);
            }
        }
    }
    let winners = objects.into_values().filter_map(|definitions| definitions.into_iter().min());
    winners.flat_map(|(_, _, _, keys)| keys).collect()
}

async fn settles(hosts: &[Host]) {
    for _ in 0..10 {
        let mut differed = 0;
        for host in hosts {
            differed += host.compare().await;
        }
        if differed == 0 {
            return;
        }
    }
    panic!("they write for ever");
}

/// Something that happens to a host.
async fn act(host: &mut Host, number: usize) {
    let mut writes = Vec::new();
    for service in 0..4 {
        match fastrand::u8(..4) {
            0 => {
                let service = offered(number, service);
                writes.push(Host::put(&service));
                host.offered.insert(service.id.to_string(), service);
            }
            1 => {
                let id = format!("h{number}:web{service}:80");
                if let Some(gone) = host.offered.remove(&id) {
                    let entry = Entry {
                        key: host.registry.key(&gone),
                        service_id: Arc::clone(&gone.id),
                        owner: None,
                        fingerprint: 0,
                        marked: crate::registry::Marked::No,
                        critical: false,
                        content: None,
                    };
                    let action = Action::Remove(entry);
                    writes.push(Write { key: host.registry.key(&gone), action, reason: Reason::Withdrawn });
                }
            }
            _ => {}
        }
    }
    host.apply(writes).await;
}

#[tokio::test(start_paused = true)]
async fn hosts_that_come_and_go_at_the_same_time_agree_and_leave_nothing() {
    for seed in 0..150 {
        fastrand::seed(seed);
        let store = Memory::default();
        store.put("/traefik/http/routers/static/rule", "by hand");
        let mut hosts: Vec<Host> = ["one", "two", "three"].iter().map(|owner| Host::new(&store, owner)).collect();
        for _ in 0..6 {
            let [one, two, three] = &mut hosts[..] else { unreachable!() };
            tokio::join!(act(one, 0), act(two, 1), act(three, 2));
        }
        settles(&hosts).await;
        let mut tree = store.tree();
        assert_eq!(tree.remove("http/routers/static/rule").as_deref(), Some("by hand"), "seed {seed}");
        assert_eq!(tree, expected(&hosts), "seed {seed}");
        // What is right is not written again.
        let writes = store.0.lock().unwrap().writes;
        settles(&hosts).await;
        assert_eq!(store.0.lock().unwrap().writes, writes, "seed {seed}");
        // All go at once.
        hosts.iter_mut().for_each(|host| host.offered.clear());
        let [one, two, three] = &hosts[..] else { unreachable!() };
        tokio::join!(one.compare(), two.compare(), three.compare());
        settles(&hosts).await;
        assert_eq!(store.tree().into_keys().collect::<Vec<_>>(), ["http/routers/static/rule"], "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_dies_loses_its_servers_and_later_what_only_it_asked_for() {
    fastrand::seed(7);
    let store = Memory::default();
    let mut hosts: Vec<Host> = ["one", "two"].iter().map(|owner| Host::new(&store, owner)).collect();
    for (number, host) in hosts.iter_mut().enumerate() {
        for service in 0..3 {
            let service = offered(number, service);
            host.offered.insert(service.id.to_string(), service);
        }
    }
    settles(&hosts).await;
    let dead = hosts.pop().unwrap();
    let servers = |tree: BTreeMap<String, String>| tree.keys().filter(|key| key.contains("/servers/")).count();
    assert_eq!(servers(store.tree()), 6);
    // Dropped, it renews nothing any more.
    drop(dead);
    for _ in 0..20 {
        sleep(Duration::from_secs(10)).await;
        let services: Vec<_> = hosts[0].offered.values().map(|service| Arc::new(service.clone())).collect();
        assert!(hosts[0].registry.refresh(&services).await.iter().all(Result::is_ok));
        settles(&hosts).await;
    }
    assert_eq!(store.tree(), expected(&hosts));
    let offers = store.0.lock().unwrap().keys.keys().filter(|key| key.contains("/offers/")).count();
    assert_eq!(offers, 3);
}

/// A service with so many keys of its own.
fn of_keys(count: usize) -> Service {
    let header =
        |number| (format!("traefik.http.middlewares.m.headers.customrequestheaders.X{number}"), "1".to_owned());
    let labels: Vec<_> = (0..count).map(header).collect();
    let labels = labels.iter().map(|(label, value)| (label.as_str(), value.as_str()));
    let places = [Place { exposed: 80, registered: 8000, transport: Transport::Tcp }];
    let (addition, _) = Addition::read("web", labels, &places);
    Service { traefik: Some(Arc::new(addition)), ..service("h:web:80") }
}

#[tokio::test(start_paused = true)]
async fn a_service_of_many_keys_comes_changes_and_goes_in_parts_and_leaves_nothing() {
    let store = Memory::default();
    let mut hosts = [Host::new(&store, "one")];
    for count in [90, 3, 90, 45, 0] {
        let service = of_keys(count);
        hosts[0].offered = BTreeMap::from([(service.id.to_string(), service)]);
        settles(&hosts).await;
        assert_eq!(store.tree(), expected(&hosts), "{count}");
    }
    hosts[0].offered = BTreeMap::from([("h:web:80".to_owned(), of_keys(90))]);
    settles(&hosts).await;
    hosts[0].offered.clear();
    settles(&hosts).await;
    assert_eq!(store.tree(), BTreeMap::new());
}

#[tokio::test(start_paused = true)]
async fn many_instances_of_one_service_are_written_at_once() {
    let store = Memory::default();
    let mut hosts = [Host::new(&store, "one")];
    let instance = |number: usize| {
        let service = offered(0, number);
        (service.id.to_string(), service)
    };
    fastrand::seed(5);
    hosts[0].offered = (0..2_000).map(instance).collect();
    settles(&hosts).await;
    assert_eq!(store.tree(), expected(&hosts));
}

#[tokio::test(start_paused = true)]
async fn two_instances_of_one_owner_leave_each_other_alone_and_a_restart_takes_over_without_writing() {
    fastrand::seed(3);
    let store = Memory::default();
    let mut first = Host::new(&store, "one");
    let service = offered(0, 0);
    first.offered.insert(service.id.to_string(), service.clone());
    settles(std::slice::from_ref(&first)).await;
    let second = Host::new(&store, "one");
    let results = second.registry.apply(&[Host::put(&service)]).await;
    assert!(matches!(&results[0], Err(RegistryError::Taken(text)) if text.contains("another instance")), "{results:?}");
    let owner = second.entries().await[0].owner.clone();
    assert!(owner.is_some_and(|owner| owner.contains("another instance")));
    // The first one dies; the other takes its part over as it is.
    let offered = first.offered.clone();
    drop(first);
    sleep(Duration::from_secs(14)).await;
    let writes = store.0.lock().unwrap().writes;
    let second = Host { offered, ..second };
    assert_eq!(second.compare().await, 0);
    assert_eq!(store.0.lock().unwrap().writes, writes);
}
