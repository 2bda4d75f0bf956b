//! What every registry promises, whatever its store: the contract of `Registry`, proven against a real one.
//!
//! A registry's own test calls these, and adds what is its own:
//!
//! - [`prove`], with a registry on a store and another owner's on the same one;
//! - [`prove_outages`], with the store's server, which is refused, slowed, frozen and restarted;
//! - [`prove_refused`], with a registry whose credentials are wrong.
//!
//! A store inside this process has no server and no credentials, and one with a single owner no second:
//! those parts are not for it.

#![allow(dead_code, unused_imports, reason = "each registry's test uses what is for it")]

#[path = "../support/registry.rs"]
pub(crate) mod batches;
mod odd;
mod outages;
mod owners;
mod services;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use batches::Batches as _;
use futures_util::future::join_all;
use litemap::LiteMap;
use registrator::container::Protocol;
use registrator::registry::{Entry, Mark, Marked, Registry, RegistryError};
use registrator::service::{CheckKind, Service};

pub(crate) use outages::{assert_unreachable, prove_outages};
pub(crate) use services::{at_port, check, service, with};

/// A registry on a store, and another owner's on the same one.
pub(crate) struct Subject {
    /// The registry to prove.
    pub(crate) ours: Arc<dyn Registry>,
    /// Writes to the same store under another name; `None` where a store can have but one owner.
    pub(crate) theirs: Option<Arc<dyn Registry>>,
    /// The owner under which `ours` writes.
    pub(crate) owner: &'static str,
}

/// Registers services, each of which must be taken.
pub(crate) async fn register(registry: &dyn Registry, services: &[Arc<Service>]) {
    for (result, service) in registry.register(services).await.into_iter().zip(services) {
        assert_eq!(result, Ok(()), "registering {service:?}");
    }
}

/// The entries of a store by key, each key once.
pub(crate) async fn entries(registry: &dyn Registry) -> HashMap<Arc<str>, Entry> {
    let entries = registry.entries().await.expect("the entries");
    let count = entries.len();
    let by_key: HashMap<_, _> = entries.into_iter().map(|entry| (entry.key.clone(), entry)).collect();
    assert_eq!(by_key.len(), count, "a key is listed twice");
    by_key
}

/// The store holds the service exactly as the registry meant it.
pub(crate) async fn assert_held(registry: &dyn Registry, services: &[Arc<Service>]) {
    let entries = entries(registry).await;
    for service in services {
        let canonical = registry.canonical(service);
        let entry = entries.get(&canonical.key).unwrap_or_else(|| panic!("{service:?} is not there"));
        assert_eq!(entry.fingerprint, canonical.fingerprint, "{service:?} is held otherwise than it was meant");
        // A store that does not record IDs has the key in their place.
        assert!(*entry.service_id == *service.id || entry.service_id == entry.key, "{entry:?} of {service:?}");
    }
}

async fn remove_all(registry: &dyn Registry) {
    let entries: Vec<_> = entries(registry).await.into_values().collect();
    for (result, entry) in registry.deregister(&entries).await.into_iter().zip(&entries) {
        assert_eq!(result, Ok(()), "removing {entry:?}");
    }
    assert_eq!(registry.entries().await, Ok(Vec::new()));
}

/// Proves the whole contract, one promise after the other, on a store that is empty before and after each.
pub(crate) async fn prove(subject: &Subject) {
    prove_spread(subject, 1).await;
}

/// As [`prove`], for a store that holds fewer than a thousand instances of one name: where there are many services, they
/// have so many names.
pub(crate) async fn prove_spread(subject: &Subject, names: u16) {
    subject.ours.ping().await.expect("it is there");
    assert_eq!(subject.ours.entries().await, Ok(Vec::new()), "the store is not empty");
    what_is_registered_is_read_back_as_it_was_meant(subject).await;
    every_difference_is_seen_and_registering_again_replaces(subject).await;
    removing_is_final_and_removing_again_succeeds(subject).await;
    results_come_in_order_and_nothing_stops_a_neighbour(subject).await;
    refreshing_is_for_what_is_there(subject).await;
    a_mark_is_seen_and_goes_when_it_is_taken_off_or_the_service_is_written(subject).await;
    many_callers_at_once_do_not_get_in_each_others_way(subject).await;
    a_thousand_services_are_one_batch(subject, names).await;
    odd::odd_names_cost_at_most_their_own_service(subject).await;
    odd::whatever_a_service_is_it_is_read_back_as_it_was_meant(subject).await;
    if let Some(theirs) = &subject.theirs {
        owners::an_entry_says_whose_it_is(subject, &**theirs).await;
        owners::among_many_of_others_our_own_are_read(subject, &**theirs, names).await;
        owners::two_owners_who_want_one_place_agree_on_whose_it_is(subject, theirs).await;
    }
}

async fn what_is_registered_is_read_back_as_it_was_meant(subject: &Subject) {
    let services = [
        Arc::new(service("host:web:80")),
        with(at_port("bare", 8001), |service| {
            service.tags = Arc::default();
            service.attributes = Arc::default();
        }),
        with(service("host:dns:53:udp"), |service| {
            service.protocol = Protocol::Udp;
            service.address = "2001:db8::1".into();
            service.port = u16::MAX;
            service.tags = [&*service.tags, &["udp".to_owned()]].concat().into();
        }),
    ];
    register(&*subject.ours, &services).await;
    assert_held(&*subject.ours, &services).await;
    assert_eq!(entries(&*subject.ours).await.len(), services.len());
    register(&*subject.ours, &services).await;
    assert_held(&*subject.ours, &services).await;
    assert_eq!(entries(&*subject.ours).await.len(), services.len(), "registering twice is not as once");
    remove_all(&*subject.ours).await;
}

async fn every_difference_is_seen_and_registering_again_replaces(subject: &Subject) {
    let ours = &*subject.ours;
    let first = Arc::new(service("id"));
    register(ours, std::slice::from_ref(&first)).await;
    // Every store tells the first three apart; of tags and attributes, what it keeps.
    type Change = fn(&mut Service);
    let changes: [(bool, Change); 7] = [
        (true, |service| service.address = "10.1.2.4".into()),
        (true, |service| service.port = 8001),
        (true, |service| service.name = "api".to_owned()),
        (false, |service| service.tags = [&*service.tags, &["c".to_owned()]].concat().into()),
        (false, |service| service.tags = Arc::default()),
        (false, |service| service.attributes = Arc::new(LiteMap::from_iter([("region".to_owned(), "eu".to_owned())]))),
        (false, |service| service.attributes = Arc::default()),
    ];
    for (always, change) in changes {
        let changed = with(service("id"), change);
        let canonical = ours.canonical(&changed);
        if canonical == ours.canonical(&first) {
            assert!(!always, "{changed:?} is nothing else than {first:?}");
            continue;
        }
        assert!(
            entries(ours).await.get(&canonical.key).is_none_or(|entry| entry.fingerprint != canonical.fingerprint),
            "{changed:?} passes for {first:?}"
        );
        // Where the key holds what has changed, the old entry is the bridge's to remove.
        register(ours, std::slice::from_ref(&changed)).await;
        assert_held(ours, std::slice::from_ref(&changed)).await;
        register(ours, std::slice::from_ref(&first)).await;
        assert_held(ours, std::slice::from_ref(&first)).await;
    }
    remove_all(ours).await;
}

async fn removing_is_final_and_removing_again_succeeds(subject: &Subject) {
    let ours = &*subject.ours;
    let stays = Arc::new(at_port("stays", 8001));
    register(ours, &[Arc::new(service("gone")), Arc::clone(&stays)]).await;
    let gone = entries(ours).await.remove(&ours.canonical(&service("gone")).key).expect("the entry");
    for _ in 0..2 {
        assert_eq!(ours.deregister(std::slice::from_ref(&gone)).await, [Ok(())]);
        let left: Vec<_> = entries(ours).await.into_keys().collect();
        assert_eq!(left, [ours.canonical(&stays).key]);
    }
    remove_all(ours).await;
}

async fn results_come_in_order_and_nothing_stops_a_neighbour(subject: &Subject) {
    let ours = &*subject.ours;
    assert_eq!(ours.register(&[]).await, []);
    assert_eq!(ours.deregister(&[]).await, []);
    assert_eq!(ours.refresh(&[]).await, []);
    // No store takes a service without an ID and a name.
    let batch: Vec<_> = (0..30)
        .map(|n| {
            with(at_port(&format!("n{n}"), 8000 + n), |service| {
                if n % 3 == 1 {
                    service.id = Arc::default();
                    service.name.clear();
                }
            })
        })
        .collect();
    for (n, result) in ours.register(&batch).await.into_iter().enumerate() {
        match n % 3 {
            1 => assert!(matches!(result, Err(RegistryError::Refused { .. })), "{n}: {result:?}"),
            _ => assert_eq!(result, Ok(()), "{n}"),
        }
    }
    assert_eq!(entries(ours).await.len(), 20);
    remove_all(ours).await;
}

async fn refreshing_is_for_what_is_there(subject: &Subject) {
    let ours = &*subject.ours;
    let ttl = Duration::from_secs(30);
    let here = with(service("here"), |service| {
        service.ttl = Some(ttl);
        service.check = Some(Box::new(check(CheckKind::Ttl(ttl))));
    });
    let away = with(Service::clone(&here), |service| (service.id, service.port) = ("away".into(), 8001));
    register(ours, std::slice::from_ref(&here)).await;
    let results = ours.refresh(&[Arc::clone(&here), Arc::clone(&away)]).await;
    assert_eq!(results[0], Ok(()));
    if let Some(interval) = ours.refresh_interval(&here) {
        assert!(interval < ttl && !interval.is_zero(), "{interval:?}");
        assert!(matches!(results[1], Err(RegistryError::Refused { .. })), "{:?}", results[1]);
    }
    assert_eq!(entries(ours).await.len(), 1, "refreshing is not registering");
    let plain = ours.refresh_interval(&service("plain"));
    assert_eq!(plain.is_some(), ours.capabilities().heartbeats, "what has no TTL is refreshed: {plain:?}");
    remove_all(ours).await;
}

async fn a_mark_is_seen_and_goes_when_it_is_taken_off_or_the_service_is_written(subject: &Subject) {
    let registry = &*subject.ours;
    if !registry.capabilities().marks {
        return;
    }
    let services = [with(service("marked"), |_| {}), with(service("mark/ed: 2"), |_| {})];
    register(registry, &services).await;
    let marks = async || {
        let entries = entries(registry).await;
        services.each_ref().map(|service| entries[&registry.canonical(service).key].marked)
    };
    let mark = async |mark: Option<Mark>| {
        let entries = entries(registry).await;
        let [first, second] = services.each_ref().map(|service| entries[&registry.canonical(service).key].clone());
        assert_eq!(registry.mark(&[(first, mark), (second, Some(Mark::Draining))]).await, [Ok(()), Ok(())]);
    };
    assert_eq!(marks().await, [Marked::No, Marked::No]);
    for _ in 0..2 {
        mark(Some(Mark::Paused)).await;
        assert_eq!(marks().await, [Marked::Ours, Marked::Ours]);
    }
    assert_held(registry, &services).await;
    for _ in 0..2 {
        mark(None).await;
        assert_eq!(marks().await, [Marked::No, Marked::Ours]);
    }
    register(registry, &services).await;
    assert_eq!(marks().await, [Marked::No, Marked::No]);
    remove_all(registry).await;
}

async fn a_thousand_services_are_one_batch(subject: &Subject, names: u16) {
    let ours = &*subject.ours;
    let one = |n| spread(at_port(&format!("host:web-{n}:80"), 10_000 + n), n, names);
    let services: Vec<_> = (0..1000).map(one).collect();
    register(ours, &services).await;
    assert_held(ours, &services).await;
    remove_all(ours).await;
}

/// One of many services that have so many names.
fn spread(service: Service, number: u16, names: u16) -> Arc<Service> {
    with(service, |service| {
        if names > 1 {
            service.name = format!("{}-{}", service.name, number % names);
        }
    })
}

async fn many_callers_at_once_do_not_get_in_each_others_way(subject: &Subject) {
    let ours = &*subject.ours;
    let one = async |caller: u16| {
        let services: Vec<_> =
            (0..20).map(|n| Arc::new(at_port(&format!("host:c{caller}-{n}:80"), 9000 + 100 * caller + n))).collect();
        register(ours, &services).await;
        assert_held(ours, &services).await;
        let (stay, go) = services.split_at(10);
        let mut held = entries(ours).await;
        let gone: Vec<_> = go.iter().filter_map(|service| held.remove(&ours.canonical(service).key)).collect();
        assert_eq!(ours.deregister(&gone).await, vec![Ok(()); 10]);
        assert_held(ours, stay).await;
    };
    join_all((0..8).map(one)).await;
    assert_eq!(entries(ours).await.len(), 80);
    remove_all(ours).await;
}

/// Proves what holds of a registry that the store refuses: each method ends, and says so in a line without the secret.
pub(crate) async fn prove_refused(registry: &dyn Registry, secret: &str) {
    let services = [Arc::new(service("host:web:80")), Arc::new(at_port("host:api:80", 8001))];
    let gone = services.each_ref().map(|service| outages::entry_of(registry, service));
    let mut said = vec![registry.entries().await.map(drop)];
    said.extend(registry.register(&services).await);
    said.extend(registry.deregister(&gone).await);
    assert_eq!(said.len(), 5);
    // Whoever is there can be told to anyone.
    let reached = registry.ping().await;
    for result in said.iter().chain(reached.is_err().then_some(&reached)) {
        let Err(
            RegistryError::Refused { text: line, .. } | RegistryError::Taken(line) | RegistryError::Unreachable(line),
        ) = result
        else {
            panic!("it is not refused: {said:?}")
        };
        assert!(!line.is_empty() && !line.contains(secret) && !line.chars().any(char::is_control), "{line:?}");
    }
}
