//! SkyDNS 2 and CoreDNS as registries, on real etcds of both APIs: the contract of every registry, and that what is
//! written resolves.
//!
//! Neither server is to be had as a package, so a reader stands in for them that does with names, keys and records what
//! their documentation says (SkyDNS's README; CoreDNS's `etcd` plugin).

// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

mod conformance;
mod skydns;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use conformance::batches::{Batches as _, open};
use conformance::{Subject, assert_held, at_port, entries, register, service, with};
use registrator::config::RegistryConfig;
use registrator::registry::{Registry, RegistryError};
use registrator::service::Service;
use skydns::{Reader, keys_of_v2};
use testkit::etcd::{EtcdServer, Options};

const OWNER: &str = "this-host";

fn config(uri: &str) -> RegistryConfig {
    RegistryConfig {
        uri: uri.to_owned(),
        owner: OWNER.to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::default(),
    }
}

fn opened(uri: &str) -> Arc<dyn Registry> {
    open(&config(uri)).expect("a registry").registry
}

fn of_another_owner(uri: &str) -> Arc<dyn Registry> {
    open(&RegistryConfig { owner: "other-host".to_owned(), ..config(uri) }).expect("a registry").registry
}

fn skydns(address: SocketAddr) -> String {
    format!("skydns2://{address}/cluster.local")
}

fn coredns(address: SocketAddr) -> String {
    format!("coredns://{address}/skydns?zone=cluster.local")
}

/// An etcd that serves both APIs.
async fn both() -> EtcdServer {
    EtcdServer::with(Options { v2: true, ..Options::default() }).await
}

#[tokio::test]
async fn skydns_keeps_the_contract_of_every_registry() {
    let server = both().await;
    let uri = skydns(server.address());
    let theirs = Some(of_another_owner(&uri));
    conformance::prove(&Subject { ours: opened(&uri), theirs, owner: OWNER }).await;
}

#[tokio::test]
async fn skydns_keeps_the_contract_whatever_becomes_of_etcd() {
    let mut server = both().await;
    conformance::prove_outages(&mut server, |address| opened(&skydns(address))).await;
}

#[tokio::test]
async fn coredns_keeps_the_contract_of_every_registry() {
    let server = EtcdServer::start().await;
    let uri = coredns(server.address());
    let theirs = Some(of_another_owner(&uri));
    conformance::prove(&Subject { ours: opened(&uri), theirs, owner: OWNER }).await;
}

#[tokio::test]
async fn coredns_keeps_the_contract_when_it_is_refused() {
    let server = EtcdServer::start().await;
    server.enable_users();
    let uri = format!("coredns://root:wrong-sesame@{}/skydns?zone=cluster.local", server.address());
    conformance::prove_refused(&*opened(&uri), "wrong-sesame").await;
}

/// Services whose names and IDs are labels, and services whose are not.
fn services() -> Vec<Arc<Service>> {
    let named = |id: &str, port, name: &str, address: &str| {
        with(at_port(id, port), |service| {
            name.clone_into(&mut service.name);
            service.address = address.into();
        })
    };
    vec![
        named("nginx", 1, "nginx", "10.0.0.1"),
        named("hostname:nginx.0:80", 2, "nginx", "10.0.0.2"),
        named("hostname:nginx.1:80", 3, "nginx", "2001:db8::3"),
        named("Nginx", 4, "nginx", "10.0.0.4"),
        named("hostname:db:5432", 5, "My_DB", "10.0.0.5"),
        named("hostname:odd:80", 6, "a.b c/..", "10.0.0.6"),
        named(&"x".repeat(255), 7, &"y".repeat(255), "10.0.0.7"),
        named("日本", 8, "é", "10.0.0.8"),
    ]
}

/// Every service is among the answers for its name, and the target of its answer is found by itself.
fn assert_resolves(reader: &Reader, services: &[Arc<Service>]) {
    for service in services {
        let name = reader.name_of(service.port);
        let (_, rest) = name.split_once('.').expect("a name below a name");
        let answers = reader.srv(rest);
        let ours: Vec<_> = answers.iter().filter(|answer| answer.port == service.port).collect();
        assert_eq!(ours.len(), 1, "{service:?} among {answers:?}");
        assert_eq!(reader.addresses(&ours[0].target), [&*service.address], "{ours:?}");
        // And by its own name alone.
        assert_eq!(reader.srv(&name).len(), 1, "{name}");
    }
    assert_eq!(reader.srv("nginx.cluster.local").len(), 4);
    assert_eq!(reader.srv("NGINX.Cluster.Local").len(), 4);
    assert_eq!(reader.addresses("my_db.cluster.local"), ["10.0.0.5"]);
    assert_eq!(reader.srv("cluster.local").len(), services.len(), "there is more in the domain than services");
}

#[tokio::test]
async fn what_is_written_by_v2_is_spelt_as_documented_and_resolves() {
    let server = both().await;
    let registry = opened(&skydns(server.address()));
    register(&*registry, &services()).await;
    assert_held(&*registry, &services()).await;
    let keys = keys_of_v2(server.address(), "/skydns").await;
    assert_eq!(keys["/skydns/local/cluster/nginx/nginx"], r#"{"host":"10.0.0.1","port":1}"#);
    assert_resolves(&Reader(keys), &services());
    assert!(server.keys("/").is_empty(), "it is written by v3, though v2 is served");
}

#[tokio::test]
async fn where_only_v3_is_served_both_spellings_of_the_uri_are_one() {
    for uri in [skydns, coredns] {
        let server = EtcdServer::start().await;
        let registry = opened(&uri(server.address()));
        register(&*registry, &services()).await;
        assert_held(&*registry, &services()).await;
        let keys = server.keys("/skydns");
        assert_eq!(keys["/skydns/local/cluster/nginx/nginx"], r#"{"host":"10.0.0.1","port":1}"#);
        assert_resolves(&Reader(keys), &services());
    }
}

#[tokio::test]
async fn priority_weight_and_text_are_answered_as_the_container_says() {
    let server = EtcdServer::start().await;
    let registry = opened(&coredns(server.address()));
    let chosen = with(service("chosen"), |service| {
        service.ttl = Some(Duration::from_secs(30));
        let attributes = [("priority", "20"), ("weight", "5"), ("text", "a b")];
        Arc::make_mut(&mut service.attributes)
            .extend(attributes.map(|(key, value)| (key.to_owned(), value.to_owned())));
    });
    register(&*registry, &[chosen, Arc::new(at_port("plain", 8001))]).await;
    let reader = Reader(server.keys("/skydns"));
    let answer = |name| {
        let answer = reader.srv(name).remove(0);
        (answer.priority, answer.weight, answer.text.clone(), answer.ttl)
    };
    assert_eq!(answer("chosen.web.cluster.local"), (20, 5, "a b".to_owned(), Some(30)));
    assert_eq!(answer("plain.web.cluster.local"), (10, 0, String::new(), None));
}

#[tokio::test]
async fn two_instances_of_one_owner_keep_their_hands_off_each_other() {
    let server = both().await;
    for uri in [skydns(server.address()), coredns(server.address())] {
        let (first, second) = (opened(&uri), opened(&uri));
        let mine = Arc::new(service("host:web:80"));
        register(&*first, std::slice::from_ref(&mine)).await;
        register(&*second, &[Arc::new(at_port("host:api:80", 8001))]).await;
        let foreign = entries(&*second).await[&second.canonical(&mine).key].clone();
        assert!(foreign.owner.as_deref().is_some_and(|owner| owner != OWNER), "{foreign:?}");
        assert!(matches!(
            second.register(std::slice::from_ref(&mine)).await.as_slice(),
            [Err(RegistryError::Taken(_))]
        ));
        assert_eq!(second.deregister(&[foreign]).await, [Ok(())]);
        assert_held(&*first, &[mine]).await;
    }
}
