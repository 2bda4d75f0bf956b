//! discoverd as a registry, on a stand-in for its server: what every registry promises, and what is discoverd's own.

// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

mod conformance;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use conformance::batches::{Batches as _, open};
use conformance::{Subject, assert_held, at_port, entries, register, service, with};
use registrator::config::RegistryConfig;
use registrator::registry::{Registry, RegistryError};
use registrator::service::Service;
use testkit::discoverd::Discoverd;

const OWNER: &str = "this-host";
/// How long anything may take on a busy machine.
const SOON: Duration = Duration::from_secs(60);

fn of(owner: &str, uri: &str) -> Arc<dyn Registry> {
    let config = RegistryConfig {
        uri: uri.to_owned(),
        owner: owner.to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::default(),
    };
    open(&config).expect("a registry").registry
}

fn opened(uri: &str) -> Arc<dyn Registry> {
    of(OWNER, uri)
}

fn web() -> Arc<Service> {
    Arc::new(service("host:web:80"))
}

#[tokio::test]
async fn it_keeps_the_contract_of_every_registry() {
    let server = Discoverd::start().await;
    let uri = server.uri();
    conformance::prove(&Subject { ours: opened(&uri), theirs: Some(of("other-host", &uri)), owner: OWNER }).await;
}

#[tokio::test]
async fn it_keeps_the_contract_whatever_becomes_of_the_server() {
    let mut server = Discoverd::start().await;
    conformance::prove_outages(&mut server, |address: SocketAddr| opened(&format!("discoverd://{address}"))).await;
}

#[tokio::test]
async fn a_server_that_is_not_the_leader_sends_us_on_to_it() {
    let leader = Discoverd::start().await;
    let follower = Discoverd::follower(leader.address()).await;
    let further = Discoverd::follower(follower.address()).await;
    let registry = opened(&further.uri());
    registry.ping().await.expect("the leader answers");
    register(&*registry, &[web()]).await;
    assert_held(&*registry, &[web()]).await;
    assert_eq!(leader.addresses("web"), Some(vec!["10.1.2.3:8000".to_owned()]));
    let entry = entries(&*registry).await.remove(&registry.key(&web())).expect("it is there");
    assert_eq!(registry.deregister(&[entry]).await, [Ok(())]);
    // Round and round.
    let mut lost = Discoverd::start().await;
    let address = lost.address();
    lost.kill().await;
    let nowhere = opened(&Discoverd::follower(address).await.uri());
    let text = nowhere.ping().await.expect_err("nobody is there").to_string();
    assert!(text.starts_with("discoverd at http://"), "{text}");
    let sent = opened(&Discoverd::follower(address).await.uri()).ping().await;
    assert!(matches!(sent, Err(RegistryError::Unreachable(_))), "{sent:?}");
}

#[tokio::test]
async fn registering_is_the_heartbeat_and_without_it_an_instance_is_gone_in_ten_seconds() {
    let server = Discoverd::start().await;
    let registry = opened(&server.uri());
    register(&*registry, &[web()]).await;
    let interval = registry.refresh_interval(&web()).expect("it is refreshed");
    for _ in 0..10 {
        server.pass(2 * interval);
        assert_eq!(registry.refresh(&[web()]).await, [Ok(())]);
    }
    server.pass(Duration::from_secs(10));
    assert_eq!(server.addresses("web"), Some(Vec::new()));
    assert!(matches!(registry.refresh(&[web()]).await.as_slice(), [Err(RegistryError::Refused { .. })]));
}

#[tokio::test]
async fn what_another_program_registered_is_never_touched() {
    let server = Discoverd::start().await;
    let registry = opened(&server.uri());
    server.put("web", "10.1.2.3:8000");
    assert!(matches!(registry.register(&[web()]).await.as_slice(), [Err(RegistryError::Taken(_))]));
    register(&*registry, &[Arc::new(at_port("mine", 8001))]).await;
    let theirs = entries(&*registry).await.remove(&registry.key(&web())).expect("it is seen");
    assert_eq!(theirs.owner.as_deref(), Some("a program other than registrator"));
    assert_eq!(registry.deregister(&[theirs]).await, [Ok(())]);
    let refreshed = registry.refresh(&[web()]).await;
    assert!(matches!(refreshed.as_slice(), [Err(RegistryError::Taken(_))]), "{refreshed:?}");
    assert_eq!(server.addresses("web").map(|all| all.len()), Some(2));
}

#[tokio::test]
async fn two_services_of_one_name_and_address_are_one_instance() {
    let registry = opened("discoverd://127.0.0.1:1");
    let (one, two) = (web(), with(service("other"), |_| {}));
    assert_eq!(registry.key(&one), registry.key(&two));
    for change in [
        (|service| service.port = 1) as fn(&mut Service),
        |service| service.address = "10.0.0.9".into(),
        |service| service.name = "api".to_owned(),
        |service| service.protocol = registrator::container::Protocol::Udp,
    ] {
        assert_ne!(registry.key(&one), registry.key(&with(service("other"), change)));
    }
}

#[tokio::test]
async fn what_is_no_discoverd_and_what_the_uri_must_not_have_are_each_one_line() {
    let eureka = testkit::eureka::Eureka::start().await;
    let text = opened(&format!("discoverd://{}", eureka.address())).ping().await.expect_err("it is none").to_string();
    assert!(text.contains("is no discoverd (404 Not Found to /ping); check the host and the port"), "{text}");
    for (uri, part) in [
        ("discoverd://h/path", "discoverd has no paths: write discoverd://host:1111"),
        ("discoverd://me:hunter2@h", "discoverd knows no user; leave it out"),
        ("discoverd://h?token=hunter2", "it does not know the parameter \"token\"; it knows ttl, policy"),
    ] {
        let config = RegistryConfig {
            uri: uri.to_owned(),
            owner: OWNER.to_owned(),
            hostname: "host".to_owned(),
            record_owner: true,
            ttl: None,
            ttl_refresh: None,
            environment: Arc::default(),
        };
        let text = open(&config).err().map(|error| error.to_string()).unwrap_or_default();
        assert!(text.contains(part) && !text.contains("hunter2"), "{uri}: {text}");
    }
}

#[tokio::test]
async fn what_somebody_removed_is_noticed() {
    let server = Discoverd::start().await;
    let registry = opened(&server.uri());
    register(&*registry, &[web()]).await;
    let told = tokio::time::timeout(SOON, registry.changed());
    let (told, ()) = tokio::join!(told, async { server.clear("web") });
    assert!(told.is_ok(), "nobody told of it");
    assert_eq!(registry.entries().await, Ok(Vec::new()));
}

#[tokio::test]
async fn of_several_servers_the_next_one_is_asked_when_one_is_away() {
    let mut first = Discoverd::start().await;
    let second = Discoverd::start().await;
    let registry = opened(&format!("discoverd://{},{}", first.address(), second.address()));
    register(&*registry, &[web()]).await;
    assert_eq!((first.addresses("web").is_some(), second.addresses("web")), (true, None));
    first.kill().await;
    register(&*registry, &[web()]).await;
    assert_eq!(second.addresses("web").map(|all| all.len()), Some(1));
}
