//! Consul's key-value store as a registry, against a real Consul: the contract of every registry, and what is its own.

// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

mod conformance;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use conformance::batches::{Batches as _, open};
use conformance::{Subject, assert_held, entries, register, service, with};
use registrator::config::RegistryConfig;
use registrator::registry::{Registry, RegistryError};
use registrator::service::Service;
use serde_json::{Value, json};
use testkit::consul::{Consul, Options};
use testkit::proxy::HttpRecorder;
use testkit::wait::{becomes, stays};

const OWNER: &str = "this-host";
/// What the plain service of the suite is in the store.
const KEY: &str = "r/web/host:web:80";
const VALUE: &str = "10.1.2.3:8000";
/// How long anything may take; Consul ends a session between one and two TTLs after the last sign.
const SOON: Duration = Duration::from_secs(40);

fn config(uri: &str, environment: &[(&str, &str)]) -> RegistryConfig {
    RegistryConfig {
        uri: uri.to_owned(),
        owner: OWNER.to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::new(
            environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect(),
        ),
    }
}

fn opened(uri: &str, environment: &[(&str, &str)]) -> Arc<dyn Registry> {
    open(&config(uri, environment)).expect("a registry").registry
}

fn at(address: SocketAddr) -> Arc<dyn Registry> {
    opened(&format!("consulkv://{address}/r"), &[])
}

fn plain() -> Arc<Service> {
    Arc::new(service("host:web:80"))
}

fn lasting(seconds: u64) -> Arc<Service> {
    with(service("host:web:80"), |service| service.ttl = Some(Duration::from_secs(seconds)))
}

async fn raw(consul: &Consul, key: &str) -> Value {
    consul.get(&format!("/v1/kv/{key}?raw")).await
}

/// One result of a batch of one.
fn only(results: Vec<Result<(), RegistryError>>) -> Result<(), RegistryError> {
    results.into_iter().next().expect("a result")
}

#[tokio::test]
async fn it_keeps_the_contract_of_every_registry() {
    let consul = Consul::start().await;
    let uri = format!("consulkv://{}/r", consul.address());
    let theirs = open(&RegistryConfig { owner: "other-host".to_owned(), ..config(&uri, &[]) });
    let theirs = Some(theirs.expect("a registry").registry);
    conformance::prove(&Subject { ours: at(consul.address()), theirs, owner: OWNER }).await;
}

#[tokio::test]
async fn it_keeps_the_contract_whatever_becomes_of_consul() {
    let mut consul = Consul::with(Options { keeps: true, ..Options::default() }).await;
    conformance::prove_outages(&mut consul, at).await;
}

#[tokio::test]
async fn it_keeps_the_contract_when_it_is_refused() {
    let consul = Consul::with(Options { acl: true, ..Options::default() }).await;
    let wrong = "22222222-dead-beef-0000-000000000000";
    let uri = format!("consulkv://{}/r", consul.address());
    conformance::prove_refused(&*opened(&uri, &[("CONSUL_HTTP_TOKEN", wrong)]), wrong).await;
    // One that is known, and may read and nothing else.
    let reader = consul.token("key_prefix \"\" { policy = \"read\" } session_prefix \"\" { policy = \"write\" }").await;
    let registry = opened(&uri, &[("CONSUL_HTTP_TOKEN", &reader)]);
    let Err(RegistryError::Unreachable(line) | RegistryError::Refused { text: line, .. } | RegistryError::Taken(line)) =
        only(registry.register(&[plain()]).await)
    else {
        panic!("it may write")
    };
    assert!(line.contains("Permission denied: the token needs key_prefix:write"), "{line}");
    assert_eq!(consul.get("/v1/kv/?keys&separator=/").await, json!([]));
}

#[tokio::test]
async fn a_service_is_spelt_as_documented_in_every_spelling_of_the_uri() {
    let consul = Consul::with(Options { socket: true, tls: true, ..Options::default() }).await;
    let certificates = consul.certificates();
    let files = [&certificates.ca, &certificates.client.certificate, &certificates.client.key];
    let [ca, certificate, key] = files.map(|path| path.display().to_string());
    let tls = [("CONSUL_CACERT", &*ca), ("CONSUL_CLIENT_CERT", &*certificate), ("CONSUL_CLIENT_KEY", &*key)];
    for (uri, environment) in [
        (format!("consulkv://{}/r", consul.address()), &[][..]),
        (format!("consul://{}/r", consul.address()), &[]),
        (format!("consulkv-unix://{}:/r", consul.socket().display()), &[]),
        (format!("consulkv-tls://127.0.0.1:{}/r", consul.tls_address().port()), &tls),
    ] {
        let registry = opened(&uri, environment);
        registry.ping().await.expect("it is there");
        let v6 = with(service("v6"), |service| service.address = "2001:db8::1".into());
        register(&*registry, &[plain(), v6]).await;
        assert_held(&*registry, &[plain()]).await;
        assert_eq!(raw(&consul, KEY).await, VALUE, "{uri}");
        assert_eq!(raw(&consul, "r/web/v6").await, "[2001:db8::1]:8000");
        assert_eq!(consul.items("r/").await.len(), 2, "there is more below the prefix");
        let held: Vec<_> = entries(&*registry).await.into_values().collect();
        assert_eq!(registry.deregister(&held).await, [Ok(()), Ok(())]);
    }
}

#[tokio::test]
async fn a_value_that_consul_refuses_costs_no_neighbour() {
    let consul = Consul::start().await;
    let registry = at(consul.address());
    let huge = with(service("huge"), |service| service.address = "x".repeat(600_000).into());
    let services: Vec<_> = (0..40).map(|n| Arc::new(service(&format!("s{n}")))).chain([huge]).collect();
    let results = registry.register(&services).await;
    assert!(matches!(&results[40], Err(RegistryError::Refused { .. })), "{:?}", results[40]);
    assert!(results[..40].iter().all(Result::is_ok), "{results:?}");
    assert_eq!(consul.items("r/").await.len(), 40);
}

#[tokio::test]
async fn with_a_ttl_an_entry_lives_as_long_as_it_is_refreshed() {
    let consul = Consul::start().await;
    let registry = at(consul.address());
    register(&*registry, &[lasting(10)]).await;
    assert_held(&*registry, &[lasting(10)]).await;
    assert_eq!(raw(&consul, KEY).await, VALUE);
    let interval = registry.refresh_interval(&lasting(10)).expect("an interval");
    assert!(interval < Duration::from_secs(5), "{interval:?}");
    for _ in 0..5 {
        tokio::time::sleep(interval).await;
        assert_eq!(registry.refresh(&[lasting(10)]).await, [Ok(())]);
    }
    let version = async || consul.items(KEY).await.remove(KEY).map(|item| item["ModifyIndex"].clone());
    let before = version().await;
    assert_eq!(registry.refresh(&[lasting(10)]).await, [Ok(())]);
    assert_eq!(version().await, before, "readers were told of a refresh");
    becomes(0, SOON, async || consul.items("r/").await.len()).await;
    assert!(matches!(only(registry.refresh(&[lasting(10)]).await), Err(RegistryError::Refused { .. })));
    // The session that it went with is made again.
    register(&*registry, &[lasting(10)]).await;
    assert_held(&*registry, &[lasting(10)]).await;
}

#[tokio::test]
async fn a_session_that_another_hand_ends_is_made_again_and_its_keys_with_it() {
    let consul = Consul::start().await;
    let registry = at(consul.address());
    register(&*registry, &[lasting(30)]).await;
    let session = consul.items(KEY).await[KEY]["Session"].as_str().expect("a session").to_owned();
    while tokio::time::timeout(Duration::from_secs(3), registry.changed()).await.is_ok() {}
    let told = tokio::time::timeout(SOON, registry.changed());
    let destroy = format!("/v1/session/destroy/{session}");
    let (told, _) = tokio::join!(told, consul.put(&destroy, &Value::Null));
    assert!(told.is_ok(), "nobody told");
    assert_eq!(registry.entries().await, Ok(Vec::new()));
    register(&*registry, &[lasting(30)]).await;
    assert_held(&*registry, &[lasting(30)]).await;
    assert_ne!(consul.items(KEY).await[KEY]["Session"], session);
}

#[tokio::test]
async fn a_ttl_that_comes_goes_or_changes_is_put_right_without_readers_seeing_it_gone() {
    let consul = Consul::start().await;
    let registry = at(consul.address());
    for service in [plain(), lasting(20), lasting(40), plain()] {
        register(&*registry, std::slice::from_ref(&service)).await;
        assert_held(&*registry, &[service]).await;
        assert_eq!(raw(&consul, KEY).await, VALUE);
    }
    assert!(consul.items(KEY).await[KEY].get("Session").is_none());
}

#[tokio::test]
async fn what_another_hand_does_is_told_and_what_we_do_is_not() {
    let consul = Consul::start().await;
    let registry = at(consul.address());
    register(&*registry, &[plain()]).await;
    while tokio::time::timeout(Duration::from_secs(2), registry.changed()).await.is_ok() {}
    let other = with(service("other"), |service| service.port = 1);
    let own = async {
        register(&*registry, &[other]).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
    };
    tokio::select! {
        _ = registry.changed() => panic!("our own write is told as another's"),
        () = own => {}
    }
    for body in [json!("other"), Value::Null] {
        let told = tokio::time::timeout(Duration::from_secs(10), registry.changed());
        let foreign = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            consul.put(&format!("/v1/kv/{KEY}"), &body).await;
        };
        let (told, ()) = tokio::join!(told, foreign);
        assert!(told.is_ok(), "{body}: nobody told");
        register(&*registry, &[plain()]).await;
        assert_eq!(raw(&consul, KEY).await, VALUE);
        while tokio::time::timeout(Duration::from_secs(2), registry.changed()).await.is_ok() {}
    }
}

#[tokio::test]
async fn two_instances_of_one_owner_keep_their_hands_off_each_other_while_both_live() {
    let consul = Consul::start().await;
    let (first, second) = (at(consul.address()), at(consul.address()));
    let (mine, yours) = (plain(), with(service("host:api:80"), |service| service.port = 8001));
    register(&*first, std::slice::from_ref(&mine)).await;
    register(&*second, std::slice::from_ref(&yours)).await;
    let seen = entries(&*second).await;
    let foreign = seen[&second.canonical(&mine).key].clone();
    assert!(foreign.owner.as_deref().is_some_and(|owner| owner != OWNER), "{foreign:?}");
    // Neither by asking nor by mistake.
    assert!(matches!(only(second.register(std::slice::from_ref(&mine)).await), Err(RegistryError::Taken(_))));
    assert_eq!(second.deregister(std::slice::from_ref(&foreign)).await, [Ok(())]);
    let moved = with(Service::clone(&mine), |service| service.port = 9);
    assert!(matches!(only(second.register(&[moved]).await), Err(RegistryError::Taken(_))));
    assert_eq!(raw(&consul, KEY).await, VALUE);
    stays("the other's entry", Duration::from_secs(2), async || raw(&consul, KEY).await == VALUE).await;
    // When the first is dead for long enough, it is the second's, without having been written.
    let before = consul.items(KEY).await;
    drop(first);
    let ours = async || entries(&*second).await[&second.canonical(&mine).key].owner.as_deref() == Some(OWNER);
    becomes(true, SOON, ours).await;
    assert_eq!(consul.items(KEY).await, before);
}

#[tokio::test]
async fn a_registry_that_is_right_is_not_written_to_after_a_restart() {
    let consul = Consul::start().await;
    let services: Vec<_> = (0..100).map(|n| Arc::new(service(&format!("host:web-{n}:80")))).collect();
    let first = at(consul.address());
    register(&*first, &services).await;
    drop(first);
    let recorder = HttpRecorder::start(consul.address()).await;
    let next = at(recorder.address());
    becomes(true, SOON, async || {
        let held = entries(&*next).await;
        services.iter().all(|service| held[&next.canonical(service).key].owner.as_deref() == Some(OWNER))
    })
    .await;
    assert_held(&*next, &services).await;
    let wrote = recorder.requests().iter().filter(|request| request.path.starts_with("/v1/txn")).count();
    // It takes the lease of its dead self, and nothing else.
    assert!(wrote <= 4, "{wrote} transactions");
}
