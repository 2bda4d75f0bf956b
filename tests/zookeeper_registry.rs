//! The ZooKeeper registry against real ZooKeepers: the contract of every registry, and what is ZooKeeper's own.

#![cfg(feature = "zookeeper")]
// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

mod conformance;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use conformance::batches::{Batches as _, open};
use conformance::{Subject, assert_held, entries, register, service, with};
use registrator::config::RegistryConfig;
use registrator::registry::{Entry, Marked, Registry, RegistryError};
use registrator::service::Service;
use testkit::certificates::Certificates;
use testkit::proxy::Cutter;
use testkit::zookeeper::{Options, SASL_USER, ZooKeeper};
use zookeeper_client::{Acl, Acls, Client, CreateMode, Permission};

const OWNER: &str = "this-host";

/// What the plain service of the suite is to ZooKeeper.
const PATH: &str = "/r/web/10.1.2.3:8000";
const DATA: &str = r#"{"Name":"web","IP":"10.1.2.3","PublicPort":8000,"PrivatePort":80,"ContainerID":"inside","Tags":["www","b"],"Attrs":{"region":"us2"}}"#;

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

fn opened(uri: &str) -> Arc<dyn Registry> {
    open(&config(uri, &[])).expect("a registry").registry
}

/// A registry with a session that outlives it for so long.
fn with_timeout(uri: &str, seconds: u64) -> Arc<dyn Registry> {
    open(&RegistryConfig { ttl: Some(Duration::from_secs(seconds)), ..config(uri, &[]) }).expect("a registry").registry
}

fn at(address: SocketAddr) -> Arc<dyn Registry> {
    opened(&format!("zookeeper://{address}/r"))
}

fn plain() -> Arc<Service> {
    Arc::new(service("host:web:80"))
}

/// One result of a batch of one.
fn only(results: Vec<Result<(), RegistryError>>) -> Result<(), RegistryError> {
    results.into_iter().next().expect("a result")
}

async fn register_one(registry: &dyn Registry, service: &Arc<Service>) -> Result<(), RegistryError> {
    only(registry.register(std::slice::from_ref(service)).await)
}

fn rejected(result: Result<(), RegistryError>) -> String {
    match result {
        Err(RegistryError::Refused { text: reason, .. } | RegistryError::Taken(reason)) => reason,
        other => panic!("{other:?} is no refusal"),
    }
}

fn unreachable(result: Result<(), RegistryError>) -> String {
    match result {
        Err(RegistryError::Unreachable(reason)) => reason,
        other => panic!("{other:?}: it was reached"),
    }
}

/// Waits until it is so.
async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !so().await {
        assert!(Instant::now() < deadline, "{what}: not so in time");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether `changed` returns before that time is up.
async fn changes_within(registry: &dyn Registry, seconds: u64) -> bool {
    tokio::time::timeout(Duration::from_secs(seconds), registry.changed()).await.is_ok()
}

/// Waits until nothing has changed for two seconds: what was written before has been told of.
async fn settled(registry: &dyn Registry) {
    until("quiet", async || !changes_within(registry, 2).await).await;
}

async fn entry(registry: &dyn Registry, key: &str) -> Option<Entry> {
    entries(registry).await.remove(key)
}

async fn exists(client: &Client, path: &str) -> bool {
    client.check_stat(path).await.expect("a stat").is_some()
}

const EPHEMERAL: zookeeper_client::CreateOptions<'static> = CreateMode::Ephemeral.with_acls(Acls::anyone_all());
const PERSISTENT: zookeeper_client::CreateOptions<'static> = CreateMode::Persistent.with_acls(Acls::anyone_all());

#[tokio::test]
async fn it_keeps_the_contract_of_every_registry() {
    let server = ZooKeeper::start().await;
    let uri = format!("zookeeper://{}/r", server.address());
    let theirs = open(&RegistryConfig { owner: "other-host".to_owned(), ..config(&uri, &[]) });
    let theirs = Some(theirs.expect("a registry").registry);
    conformance::prove(&Subject { ours: at(server.address()), theirs, owner: OWNER }).await;
}

#[tokio::test]
async fn it_keeps_the_contract_whatever_becomes_of_zookeeper() {
    let mut server = ZooKeeper::start().await;
    conformance::prove_outages(&mut server, |address| with_timeout(&format!("zookeeper://{address}/r"), 60)).await;
}

#[tokio::test]
async fn it_keeps_the_contract_when_it_is_refused() {
    let server = ZooKeeper::with(Options { sasl: true, ..Options::default() }).await;
    let uri = format!("zookeeper://registrator:wrong-sesame@{}/r?auth=sasl", server.address());
    conformance::prove_refused(&*opened(&uri), "wrong-sesame").await;
    assert!(server.nodes("/r").await.is_empty());
}

#[tokio::test]
async fn a_service_is_written_as_documented_and_its_parents_come_and_go_with_it() {
    let server = ZooKeeper::start().await;
    let client = server.client().await;
    for base in ["", "/r", "/a/b/c ü"] {
        let registry = opened(&format!("zookeeper://{}{}", server.address(), base.replace(' ', "%20")));
        let services = [plain(), with(service("x"), |service| service.port = 8001)];
        register(&*registry, &services).await;
        assert_held(&*registry, &services).await;
        let path = format!("{base}/web/10.1.2.3:8000");
        let (data, stat) = client.get_data(&path).await.expect("the node");
        assert_eq!(String::from_utf8(data).as_deref(), Ok(DATA));
        assert_ne!(stat.ephemeral_owner, 0);
        let mut held: Vec<_> = entries(&*registry).await.into_values().collect();
        held.sort_by(|a, b| b.key.cmp(&a.key));
        for entry in held {
            assert!(exists(&client, &format!("{base}/web")).await);
            assert_eq!(registry.deregister(&[entry]).await, [Ok(())]);
        }
        assert!(!exists(&client, &format!("{base}/web")).await, "the empty node stays");
        assert!(base.is_empty() || exists(&client, base).await, "the path itself goes");
    }
}

#[tokio::test]
async fn a_service_named_zookeeper_lives_beside_zookeepers_own_nodes() {
    let server = ZooKeeper::start().await;
    let registry = opened(&format!("zookeeper://{}", server.address()));
    let named = with(service("id"), |service| service.name = "zookeeper".to_owned());
    register(&*registry, std::slice::from_ref(&named)).await;
    assert_held(&*registry, &[named]).await;
    let held: Vec<_> = entries(&*registry).await.into_values().collect();
    assert_eq!(held.len(), 1);
    assert_eq!(registry.deregister(&held).await, [Ok(())]);
    assert!(exists(&server.client().await, "/zookeeper/quota").await);
}

#[tokio::test]
async fn a_node_that_nobody_holds_is_replaced_and_other_nodes_are_not_touched() {
    let server = ZooKeeper::start().await;
    let client = server.client().await;
    client.mkdir("/r/web", &PERSISTENT).await.expect("made");
    for (path, data) in [(PATH, DATA), ("/r/web/config", "x"), ("/r/web/10.9.9.9:1", "{}"), ("/r/data", "y")] {
        client.create(path, data.as_bytes(), &PERSISTENT).await.expect("made");
    }
    let registry = at(server.address());
    let found = entry(&*registry, PATH).await.expect("the entry");
    assert_eq!(found.owner, None);
    let said = found.content.as_ref().map(|content| (content.name.as_str(), content.address.as_str(), content.port));
    assert_eq!(said, Some(("web", "10.1.2.3", 8000)), "what decides whose it is");
    assert_ne!(found.fingerprint, registry.canonical(&plain()).fingerprint, "a node that stays passes for ours");
    register(&*registry, &[plain()]).await;
    assert_held(&*registry, &[plain()]).await;
    let mine = entry(&*registry, PATH).await.expect("the entry");
    assert_eq!(mine.owner.as_deref(), Some(OWNER));
    assert_eq!(registry.deregister(&[mine]).await, [Ok(())]);
    let left: Vec<_> = server.nodes("/r").await.into_keys().collect();
    assert_eq!(left, ["/r/data", "/r/web/10.9.9.9:1", "/r/web/config"]);
}

#[tokio::test]
async fn a_node_with_others_below_it_is_left_with_one_line() {
    let server = ZooKeeper::start().await;
    let client = server.client().await;
    client.mkdir(&format!("{PATH}/below"), &PERSISTENT).await.expect("made");
    let registry = at(server.address());
    assert_eq!(rejected(register_one(&*registry, &plain()).await), format!("{PATH} has nodes below it, and stays"));
    let found = entry(&*registry, PATH).await.expect("the entry");
    rejected(only(registry.deregister(&[found]).await));
    assert!(exists(&client, &format!("{PATH}/below")).await);
}

#[tokio::test]
async fn two_owners_even_of_one_name_never_touch_what_the_other_holds_alive() {
    let server = ZooKeeper::start().await;
    let uri = format!("zookeeper://{}/r", server.address());
    let (ours, theirs) = (with_timeout(&uri, 2), with_timeout(&uri, 2));
    register(&*theirs, &[plain()]).await;
    let found = entry(&*ours, PATH).await.expect("the entry");
    assert!(found.owner.as_deref().is_some_and(|owner| owner.starts_with("session 0x")), "{found:?}");
    // The very same service, and another one at the same place.
    for service in [plain(), with(service("other"), |service| service.tags = Arc::default())] {
        let reason = rejected(register_one(&*ours, &service).await);
        assert!(reason.starts_with(&format!("{PATH} belongs to the session 0x")), "{reason}");
    }
    assert_eq!(ours.deregister(&[found]).await, [Ok(())]);
    assert_held(&*theirs, &[plain()]).await;

    // When the other dies, its node goes and we are told, so that ours can come.
    settled(&*ours).await;
    drop(theirs);
    assert!(changes_within(&*ours, 10).await, "nobody told");
    assert_eq!(entry(&*ours, PATH).await, None);
    register(&*ours, &[plain()]).await;
    assert_held(&*ours, &[plain()]).await;
}

#[tokio::test]
async fn a_registry_that_is_dropped_leaves_its_nodes_until_the_session_times_out() {
    let server = ZooKeeper::start().await;
    let client = server.client().await;
    let registry = with_timeout(&format!("zookeeper://{}/r", server.address()), 3);
    register(&*registry, &[plain()]).await;
    let dropped = Instant::now();
    drop(registry);
    until("gone", async || !exists(&client, PATH).await).await;
    assert!(dropped.elapsed() > Duration::from_secs(2), "the session was closed");
    // The node of the name goes by itself.
    until("emptied", async || !exists(&client, "/r/web").await).await;
}

#[tokio::test]
async fn a_connection_that_breaks_costs_no_node() {
    let server = ZooKeeper::start().await;
    let cutter = Cutter::tcp(server.address()).await;
    let registry = with_timeout(&format!("zookeeper://{}/r", cutter.address()), 10);
    register(&*registry, &[plain()]).await;
    let (_, before) = server.client().await.get_data(PATH).await.expect("the node");
    settled(&*registry).await;
    cutter.cut();
    assert!(changes_within(&*registry, 10).await, "events may be lost, and nobody told");
    assert_held(&*registry, &[plain()]).await;
    let held = entry(&*registry, PATH).await.expect("the entry");
    assert_eq!(held.owner.as_deref(), Some(OWNER));
    let (_, after) = server.client().await.get_data(PATH).await.expect("the node");
    assert_eq!((after.czxid, after.ephemeral_owner), (before.czxid, before.ephemeral_owner));
}

#[tokio::test]
async fn a_session_that_expires_is_followed_by_a_new_one_and_we_are_told() {
    let server = ZooKeeper::start().await;
    let mut cutter = Cutter::tcp(server.address()).await;
    let registry = with_timeout(&format!("zookeeper://{}/r", cutter.address()), 2);
    register(&*registry, &[plain()]).await;
    settled(&*registry).await;
    let client = server.client().await;
    cutter.refuse().await;
    until("expired", async || !exists(&client, PATH).await).await;
    cutter.restore().await;
    assert!(changes_within(&*registry, 10).await, "nobody told");
    assert_eq!(registry.entries().await, Ok(Vec::new()));
    register(&*registry, &[plain()]).await;
    assert_held(&*registry, &[plain()]).await;
}

#[tokio::test]
async fn a_server_that_restarts_with_its_data_keeps_our_session_however_long_it_was_away() {
    let mut server = ZooKeeper::start().await;
    let registry = with_timeout(&format!("zookeeper://{}/r", server.address()), 4);
    register(&*registry, &[plain()]).await;
    let (_, before) = server.client().await.get_data(PATH).await.expect("the node");
    server.kill();
    // Longer than the session would live.
    tokio::time::sleep(Duration::from_secs(7)).await;
    unreachable(registry.ping().await);
    server.restart().await;
    until("back", async || registry.ping().await.is_ok()).await;
    assert_held(&*registry, &[plain()]).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (_, after) = server.client().await.get_data(PATH).await.expect("the node");
    assert_eq!((after.czxid, after.ephemeral_owner), (before.czxid, before.ephemeral_owner));
}

#[tokio::test]
async fn a_server_that_hangs_holds_nobody_up_for_long() {
    let server = ZooKeeper::start().await;
    let registry = with_timeout(&format!("zookeeper://{}/r", server.address()), 60);
    register(&*registry, &[plain()]).await;
    server.freeze();
    let start = Instant::now();
    let services = [plain()];
    let gone = [Entry {
        key: "/r/x/y:1".into(),
        service_id: "".into(),
        owner: None,
        fingerprint: 0,
        marked: Marked::No,
        critical: false,
        content: None,
    }];
    let (ping, listed, registered, removed) =
        tokio::join!(registry.ping(), registry.entries(), registry.register(&services), registry.deregister(&gone),);
    assert!(start.elapsed() < Duration::from_secs(11), "{:?}", start.elapsed());
    unreachable(ping);
    unreachable(listed.map(drop));
    unreachable(only(registered));
    unreachable(only(removed));
    let reason = unreachable(registry.ping().await);
    assert!(reason.contains("accepts connections and begins no session"), "{reason}");
    server.thaw();
    until("back", async || registry.ping().await.is_ok()).await;
    assert_held(&*registry, &[plain()]).await;
}

#[tokio::test]
async fn what_other_hands_do_is_told_within_the_second_and_not_more_often() {
    let server = ZooKeeper::start().await;
    let client = server.client().await;
    let registry = at(server.address());
    register(&*registry, &[plain()]).await;
    settled(&*registry).await;
    let meddle: [fn(&Client) -> futures_util::future::BoxFuture<'_, ()>; 2] = [
        |client| Box::pin(async { assert!(client.set_data(PATH, b"{}", None).await.is_ok()) }),
        |client| Box::pin(async { client.delete(PATH, None).await.expect("removed") }),
    ];
    for meddle in meddle {
        meddle(&client).await;
        assert!(changes_within(&*registry, 3).await, "nobody told");
        let found = entry(&*registry, PATH).await;
        assert_ne!(found.map(|entry| entry.fingerprint), Some(registry.canonical(&plain()).fingerprint));
        register(&*registry, &[plain()]).await;
        assert_held(&*registry, &[plain()]).await;
        settled(&*registry).await;
    }
    // What others register is no news to us.
    client.create("/r/web/10.9.9.9:1", b"{}", &EPHEMERAL).await.expect("made");
    assert!(!changes_within(&*registry, 2).await, "a new node of another is told of");
    // Many changes are few reports.
    let start = Instant::now();
    let mut reports = 0;
    while start.elapsed() < Duration::from_secs(4) {
        client.set_data(PATH, b"{}", None).await.expect("changed");
        if tokio::time::timeout(Duration::from_millis(100), registry.changed()).await.is_ok() {
            reports += 1;
        }
    }
    assert!((2..=6).contains(&reports), "{reports} reports");
}

#[tokio::test]
async fn of_several_servers_any_will_do() {
    let mut servers = ZooKeeper::ensemble().await;
    let hosts: Vec<_> = servers.iter().map(|server| server.address().to_string()).collect();
    let registry = with_timeout(&format!("zookeeper://{}/r", hosts.join(",")), 20);
    register(&*registry, &[plain()]).await;
    let (_, before) = servers[0].client().await.get_data(PATH).await.expect("the node");
    // Wherever we were connected, it is gone once.
    for server in &mut servers {
        server.kill();
        until("moved", async || registry.ping().await.is_ok()).await;
        assert_held(&*registry, &[plain()]).await;
        server.restart().await;
    }
    let (_, after) = servers[0].client().await.get_data(PATH).await.expect("the node");
    assert_eq!((after.czxid, after.ephemeral_owner), (before.czxid, before.ephemeral_owner));
    // Without a quorum nobody is served, and that is said.
    servers[0].kill();
    servers[1].kill();
    until("nobody", async || registry.ping().await.is_err()).await;
    let reason = unreachable(registry.ping().await);
    assert!(!reason.contains('\n') && reason.contains("127.0.0.1:"), "{reason}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_with_the_reason() {
    let reason = unreachable(opened("zookeeper://127.0.0.1:1/r").ping().await);
    assert!(reason.starts_with("ZooKeeper at 127.0.0.1:1: Connection refused"), "{reason}");
    let reason = unreachable(opened("zookeeper://no-such-host.invalid,127.0.0.1:1").ping().await);
    assert!(reason.contains("no-such-host.invalid:2181: ") && reason.contains("127.0.0.1:1: "), "{reason}");
}

#[tokio::test]
async fn with_a_user_others_may_read_and_not_write() {
    let server = ZooKeeper::start().await;
    let registry = opened(&format!("zookeeper://me:p%40ss@{}/r", server.address()));
    register(&*registry, &[plain()]).await;
    assert_held(&*registry, &[plain()]).await;
    let stranger = server.client().await;
    assert_eq!(
        stranger.get_data(PATH).await.map(|(data, _)| String::from_utf8(data).expect("text")).as_deref(),
        Ok(DATA)
    );
    for path in ["/r", "/r/web", PATH] {
        let (acl, _) = stranger.get_acl(path).await.expect("the ACL");
        assert_eq!(acl.len(), 2, "{path}");
        assert!(acl.contains(&Acl::new_const(Permission::READ, "world", "anyone")), "{path}: {acl:?}");
        assert!(acl.iter().any(|acl| acl.scheme() == "digest" && acl.id().starts_with("me:")), "{path}: {acl:?}");
    }
    // Somebody else, or nobody, may read where it stands and not write there.
    for uri in [format!("zookeeper://you:x@{}/r", server.address()), format!("zookeeper://{}/r", server.address())] {
        let other = opened(&uri);
        assert_eq!(entries(&*other).await.len(), 1);
        for service in [
            with(service("x"), |service| service.port = 1),
            with(service("y"), |service| service.name = "y".to_owned()),
        ] {
            let reason = rejected(register_one(&*other, &service).await);
            assert!(reason.contains("gives us no right to do that"), "{reason}");
        }
    }
    // The same user elsewhere may, and by the environment as well.
    let same = open(&config(&format!("zookeeper://{}/r", server.address()), &[("ZOOKEEPER_AUTH", "me:p@ss")]))
        .expect("a registry");
    register(&*same.registry, &[with(service("x"), |service| service.port = 1)]).await;
}

#[tokio::test]
async fn an_acl_is_as_wide_as_the_uri_says() {
    let server = ZooKeeper::start().await;
    for (acl, expected) in [("open", 1), ("readable", 2), ("private", 1)] {
        let registry = opened(&format!("zookeeper://me:pass@{}/{acl}?acl={acl}", server.address()));
        register(&*registry, &[plain()]).await;
        assert_held(&*registry, &[plain()]).await;
        let connector = Client::connector().with_auth("digest", b"me:pass");
        let client = connector.connect(&server.address().to_string()).await.expect("a session");
        let (found, _) = client.get_acl(&format!("/{acl}/web")).await.expect("the ACL");
        assert_eq!(found.len(), expected, "{found:?}");
        assert_eq!(found.iter().any(|acl| acl.scheme() == "world"), acl != "private", "{found:?}");
    }
    // A name that we may not look into is passed over.
    let stranger = opened(&format!("zookeeper://{}", server.address()));
    register(&*stranger, &[plain()]).await;
    assert_held(&*stranger, &[plain()]).await;
}

#[tokio::test]
async fn sasl_proves_who_we_are_and_a_wrong_password_is_said() {
    let server = ZooKeeper::with(Options { sasl: true, ..Options::default() }).await;
    let (user, password) = SASL_USER;
    let registry = opened(&format!("zookeeper://{user}:{password}@{}/r?auth=sasl", server.address()));
    register(&*registry, &[plain()]).await;
    assert_held(&*registry, &[plain()]).await;
    let (acl, _) = server.client().await.get_acl(PATH).await.expect("the ACL");
    assert!(acl.iter().any(|acl| acl.scheme() == "sasl" && acl.id() == user), "{acl:?}");

    let wrong = opened(&format!("zookeeper://{user}:hunter2@{}/r?auth=sasl", server.address()));
    let reason = rejected(wrong.ping().await);
    assert!(reason.contains("authentication failed") && !reason.contains("hunter2"), "{reason}");
    rejected(register_one(&*wrong, &plain()).await);
}

#[tokio::test]
async fn tls_is_spoken_with_a_certificate_of_our_own_and_a_trusted_server() {
    let server = ZooKeeper::with(Options { tls: true, ..Options::default() }).await;
    let certificates = server.certificates();
    let ca = certificates.ca.display().to_string();
    let certificate = certificates.client.certificate.display().to_string();
    let key = certificates.client.key.display().to_string();
    let port = server.tls_address().port();
    let parameters = format!("ca={ca}&cert={certificate}&key={key}");
    for (uri, environment) in [
        (format!("zookeeper-tls://127.0.0.1:{port}/r?{parameters}"), vec![]),
        (
            format!("zookeeper-tls://localhost:{port}/r"),
            vec![("ZOOKEEPER_CACERT", &*ca), ("ZOOKEEPER_CLIENT_CERT", &*certificate), ("ZOOKEEPER_CLIENT_KEY", &*key)],
        ),
    ] {
        let registry = open(&config(&uri, &environment)).expect("a registry").registry;
        register(&*registry, &[plain()]).await;
        assert_held(&*registry, &[plain()]).await;
        let mine = entry(&*registry, PATH).await.expect("the entry");
        assert_eq!(registry.deregister(&[mine]).await, [Ok(())]);
    }
    // The certificate is who we are.
    let registry = opened(&format!("zookeeper-tls://127.0.0.1:{port}/x?acl=readable&{parameters}"));
    register(&*registry, &[plain()]).await;

    // Without one, with another authority's, and without TLS, we are not served.
    let other = Certificates::make(&tempfile::tempdir().expect("a folder").keep());
    for (uri, said) in [
        (format!("zookeeper-tls://127.0.0.1:{port}/r?ca={ca}"), "it wants a certificate of ours"),
        (
            format!("zookeeper-tls://127.0.0.1:{port}/r?ca={}&cert={certificate}&key={key}", other.ca.display()),
            "its certificate is signed by no authority that is trusted here",
        ),
        (format!("zookeeper://127.0.0.1:{port}/r"), "it speaks only TLS there"),
    ] {
        let reason = unreachable(opened(&uri).ping().await);
        assert!(reason.contains(said), "{reason}");
    }
}

#[tokio::test]
async fn many_are_made_at_once_and_one_that_cannot_be_costs_no_other() {
    let server = ZooKeeper::start().await;
    let client = server.client().await;
    let (ours, theirs) = (at(server.address()), at(server.address()));
    // Of ten names that are not there yet, and of ten that are.
    let services = |first: u16| -> Vec<Arc<Service>> {
        (first..first + 60)
            .map(|n| {
                with(service(&format!("id{n}")), |service| {
                    service.name = format!("web-{}", n % 10);
                    service.port = 8000 + n;
                })
            })
            .collect()
    };
    for services in [services(0), services(100)] {
        register(&*ours, &services).await;
        assert_held(&*ours, &services).await;
        let mut transactions = BTreeSet::new();
        for service in &services {
            let stat = client.check_stat(&ours.canonical(service).key).await.expect("a stat").expect("the node");
            transactions.insert(stat.czxid);
        }
        assert_eq!(transactions.len(), 1, "each waited for the one before");
    }

    let services = services(200);
    let path = |n: usize| ours.canonical(&services[n]).key;
    register(&*theirs, &services[7..8]).await;
    client.create(&path(20), b"", &PERSISTENT).await.expect("made");
    client.mkdir(&format!("{}/below", path(40)), &PERSISTENT).await.expect("made");
    for (n, result) in ours.register(&services).await.into_iter().enumerate() {
        match n {
            7 => assert!(matches!(result, Err(RegistryError::Taken(_))), "{result:?}"),
            40 => assert!(matches!(result, Err(RegistryError::Refused { .. })), "{result:?}"),
            _ => assert_eq!(result, Ok(()), "{n}"),
        }
    }
    assert_eq!(entry(&*ours, &path(20)).await.expect("the entry").owner.as_deref(), Some(OWNER));
}

#[tokio::test]
async fn a_service_too_big_for_a_request_is_refused_and_its_neighbours_are_not() {
    let server = ZooKeeper::start().await;
    let registry = at(server.address());
    let of_size = |port, bytes| {
        with(service("big"), |service| {
            service.port = port;
            Arc::make_mut(&mut service.attributes).insert("big".to_owned(), "x".repeat(bytes));
        })
    };
    let results = registry.register(&[plain(), of_size(1, 2_000_000), of_size(2, 900_000)]).await;
    assert_eq!((&results[0], &results[2]), (&Ok(()), &Ok(())));
    let reason = rejected(results[1].clone());
    assert!(reason.starts_with("it takes 2000") && reason.ends_with("ZooKeeper takes no more than 1 MiB"), "{reason}");
    assert_held(&*registry, &[plain(), of_size(2, 900_000)]).await;
}
