//! What real servers say when they do not do what they are asked, and what the program takes it for: that the store is
//! away, that it wants other rights, that it does not take this service, or that it could not.

// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

mod conformance;

use std::ffi::OsString;
use std::sync::Arc;

use conformance::batches::{Batches as _, open};
use conformance::{check, service, with};
use registrator::config::RegistryConfig;
use registrator::registry::{Cause, Registry, RegistryError};
use registrator::service::{CheckKind, Service};
use testkit::consul::{self, Consul};
use testkit::etcd::{self, EtcdServer};
use testkit::proxy::{HttpRecorder, Mode};

/// What a failure is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Away,
    Rights,
    Service,
    Server,
}

fn about<T: std::fmt::Debug>(result: &Result<T, RegistryError>) -> About {
    match result {
        Err(RegistryError::Unreachable(_)) => About::Away,
        Err(RegistryError::Refused { cause: Cause::Rights, .. }) => About::Rights,
        Err(RegistryError::Refused { cause: Cause::Service, .. }) => About::Service,
        Err(RegistryError::Refused { cause: Cause::Server, .. }) => About::Server,
        other => panic!("{other:?} is no failure"),
    }
}

fn opened(uri: &str, environment: &[(&str, &str)]) -> Arc<dyn Registry> {
    let config = RegistryConfig {
        uri: uri.to_owned(),
        owner: "this-host".to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::new(
            environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect(),
        ),
    };
    open(&config).expect("a registry").registry
}

/// What a registry makes of reading everything, and of writing this service.
async fn both(registry: &dyn Registry, service: &Arc<Service>) -> (About, About) {
    (about(&registry.entries().await), write(registry, service).await)
}

async fn write(registry: &dyn Registry, service: &Arc<Service>) -> About {
    about(&registry.register(std::slice::from_ref(service)).await.remove(0))
}

fn plain() -> Arc<Service> {
    Arc::new(service("host:web:80"))
}

fn with_check(kind: CheckKind) -> Arc<Service> {
    with(service("host:web:80"), |service| service.check = Some(Box::new(check(kind))))
}

const UNKNOWN: &str = "22222222-dead-beef-0000-000000000000";

#[tokio::test]
async fn consul() {
    let plainest = Consul::start().await;
    let acl = Consul::with(consul::Options { acl: true, ..consul::Options::default() }).await;
    let other = acl.token(r#"service "other" { policy = "write" }"#).await;
    for (what, token, expected) in
        [("a token that it does not know", UNKNOWN, About::Rights), ("none", "", About::Rights)]
    {
        let registry = opened(&acl.uri(), &[("CONSUL_HTTP_TOKEN", token)]);
        assert_eq!(write(&*registry, &plain()).await, expected, "{what}");
    }
    let registry = opened(&acl.uri(), &[("CONSUL_HTTP_TOKEN", UNKNOWN)]);
    assert_eq!(about(&registry.entries().await), About::Rights);
    let registry = opened(&acl.uri(), &[("CONSUL_HTTP_TOKEN", &other)]);
    assert_eq!(write(&*registry, &plain()).await, About::Rights, "a policy for something else");
    let registry = opened(&plainest.uri(), &[]);
    let odd = with(service("host:web:80"), |service| service.address = "0.0.0.0".into());
    for (what, service) in [
        ("an address that is none", odd),
        ("a check that the agent does not run", with_check(CheckKind::Script("true".to_owned()))),
        ("an ID that could not be removed", Arc::new(service(".."))),
    ] {
        assert_eq!(write(&*registry, &service).await, About::Service, "{what}");
    }
    let (away, server) = ((About::Away, About::Away), (About::Away, About::Server));
    let recorder = HttpRecorder::start(plainest.address()).await;
    let registry = opened(&format!("consul://{}", recorder.address()), &[]);
    for (status, words, expected) in [
        (401, "who are you", (About::Rights, About::Rights)),
        (403, "rpc error making call: Permission denied", (About::Rights, About::Rights)),
        (413, "Request body(513 bytes) too large", (About::Service, About::Service)),
        (429, "slow down", away),
        (500, "No cluster leader", away),
        (500, "rpc error making call: EOF", away),
        (500, "write /data/services/8a8b.tmp: no space left on device", server),
        (500, "the flux capacitor is empty", server),
        (502, "<html>", away),
        (503, "", away),
    ] {
        recorder.set(Mode::Answer(status, words.to_owned()));
        assert_eq!(both(&*registry, &plain()).await, expected, "{status} {words}");
    }
}

#[tokio::test]
async fn consuls_key_value_store() {
    let consul = Consul::with(consul::Options { acl: true, ..consul::Options::default() }).await;
    let uri = format!("consulkv://{}/r", consul.address());
    let registry = |token: &str| opened(&uri, &[("CONSUL_HTTP_TOKEN", token)]);
    assert_eq!(both(&*registry(UNKNOWN), &plain()).await, (About::Rights, About::Rights));
    let sessions = r#"session_prefix "" { policy = "write" }"#;
    let only_entries = consul.token(&format!("{sessions} key_prefix \"r/\" {{ policy = \"write\" }}")).await;
    assert_eq!(write(&*registry(&only_entries), &plain()).await, About::Rights, "no right to the records");
    let no_session = consul.token(r#"key_prefix "" { policy = "write" }"#).await;
    assert_eq!(write(&*registry(&no_session), &plain()).await, About::Rights, "no right to sessions");
    let all = consul.token(&format!("{sessions} key_prefix \"\" {{ policy = \"write\" }}")).await;
    let big = with(service("host:web:80"), |service| service.address = "x".repeat(600_000).into());
    assert_eq!(write(&*registry(&all), &big).await, About::Service);
}

#[tokio::test]
async fn etcd_v3() {
    let server = EtcdServer::with(etcd::Options { quota: Some(3 << 20), ..etcd::Options::default() }).await;
    let uri = |user: &str| format!("etcd3://{user}{}/r", server.address());
    let registry = opened(&uri(""), &[]);
    let big = with(service("host:web:80"), |service| service.address = "x".repeat(2_000_000).into());
    assert_eq!(write(&*registry, &big).await, About::Service, "too large for a request");
    // So that it holds a lease before there is no room for one.
    assert_eq!(registry.register(&[plain()]).await, [Ok(())]);
    server.fill();
    let more = Arc::new(service("host:more:80"));
    assert_eq!(write(&*registry, &more).await, About::Server, "no room");
    server.make_room();
    server.enable_users();
    let root = |arguments: &[&str]| drop(server.ctl(&[&["--user=root:sesame"], arguments].concat()));
    root(&["user", "add", "me:right"]);
    for (what, user) in [("no user", ""), ("a wrong password", "me:wrong@"), ("another user", "you:right@")] {
        assert_eq!(both(&*opened(&uri(user), &[]), &plain()).await, (About::Rights, About::Rights), "{what}");
    }
    let registry = opened(&uri("me:right@"), &[]);
    assert_eq!(both(&*registry, &plain()).await, (About::Rights, About::Rights), "no role");
    root(&["role", "add", "reader"]);
    root(&["user", "grant-role", "me", "reader"]);
    for prefix in ["/r/", "/_registrator/r/"] {
        root(&["role", "grant-permission", "reader", "--prefix=true", "read", prefix]);
    }
    assert!(registry.entries().await.is_ok());
    assert_eq!(write(&*registry, &more).await, About::Rights, "it may only read");
    drop(server);
    assert_eq!(both(&*registry, &more).await, (About::Away, About::Away), "it is not there");
}

#[tokio::test]
async fn etcd_v2() {
    let server = EtcdServer::with(etcd::Options { v2: true, ..etcd::Options::default() }).await;
    let uri = |user: &str| format!("etcd2://{user}{}/r", server.address());
    // What stands where an entry's folder should be.
    server.ctl_v2(&["set", "/r/web", "by hand"]);
    let registry = opened(&uri(""), &[]);
    assert_eq!(write(&*registry, &plain()).await, About::Service);
    server.ctl_v2(&["rm", "/r/web"]);
    server.enable_users();
    for (what, user) in [("no user", ""), ("a wrong password", "root:wrong@"), ("another user", "you:sesame@")] {
        assert_eq!(both(&*opened(&uri(user), &[]), &plain()).await, (About::Rights, About::Rights), "{what}");
    }
    let recorder = HttpRecorder::start(server.address()).await;
    let registry = opened(&format!("etcd2://{}/r", recorder.address()), &[]);
    for (status, words, expected) in [
        (500, r#"{"errorCode":300,"message":"Raft Internal Error","cause":"etcdserver: no leader"}"#, About::Away),
        (500, "the flux capacitor is empty", About::Away),
        (503, "", About::Away),
    ] {
        recorder.set(Mode::Answer(status, words.to_owned()));
        assert_eq!(both(&*registry, &plain()).await, (expected, expected), "{status} {words}");
    }
}

#[cfg(feature = "zookeeper")]
#[tokio::test]
async fn zookeeper() {
    use testkit::zookeeper::{Options, ZooKeeper};

    let server = ZooKeeper::with(Options { sasl: true, ..Options::default() }).await;
    let mine = opened(&format!("zookeeper://me:pass@{}/r", server.address()), &[]);
    assert_eq!(mine.register(&[plain()]).await, [Ok(())]);
    let uri = format!("zookeeper://you:other@{}/r", server.address());
    let theirs = opened(&uri, &[]);
    let more = with(service("host:more:80"), |service| service.name = "more".to_owned());
    assert_eq!(write(&*theirs, &more).await, About::Rights, "an ACL");
    let wrong = opened(&format!("{uri}?auth=sasl"), &[]);
    assert_eq!(both(&*wrong, &more).await, (About::Rights, About::Rights), "a wrong password");
    let big = with(service("host:web:80"), |service| service.tags = vec!["x".repeat(2_000_000)].into());
    assert_eq!(write(&*mine, &big).await, About::Service, "too large for a request");
    drop(server);
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(both(&*mine, &more).await, (About::Away, About::Away), "it is not there");
}
