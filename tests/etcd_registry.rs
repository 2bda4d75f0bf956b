//! The etcd registries against real etcds: the contract of every registry, and what is etcd's own.

// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

mod conformance;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use conformance::batches::{Batches as _, open};
use conformance::{Subject, assert_held, assert_unreachable, at_port, entries, register, service, with};
use registrator::config::RegistryConfig;
use registrator::registry::{Entry, Registry, RegistryError};
use registrator::service::Service;
use testkit::etcd::{EtcdServer, Options};
use testkit::wait::{becomes, eventually};

const OWNER: &str = "this-host";

/// What the plain service of the suite is to etcd.
const KEY: &str = "/r/web/host:web:80";
const VALUE: &str = "10.1.2.3:8000";

/// How long anything may take that should happen at once; machines are slow at times.
const SOON: Duration = Duration::from_secs(30);

const V2: Options = Options { v2: true, tls: false, token_ttl: None, quota: None };

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

fn of_another_owner(uri: &str) -> Arc<dyn Registry> {
    open(&RegistryConfig { owner: "other-host".to_owned(), ..config(uri, &[]) }).expect("a registry").registry
}

fn v2(address: SocketAddr) -> Arc<dyn Registry> {
    opened(&format!("etcd2://{address}/r"))
}

fn v3(address: SocketAddr) -> Arc<dyn Registry> {
    opened(&format!("etcd3://{address}/r"))
}

fn plain() -> Arc<Service> {
    Arc::new(service("host:web:80"))
}

/// One result of a batch of one.
fn only(results: Vec<Result<(), RegistryError>>) -> Result<(), RegistryError> {
    results.into_iter().next().expect("a result")
}

async fn register_one(registry: &dyn Registry) -> Result<(), RegistryError> {
    only(registry.register(&[plain()]).await)
}

async fn entry(registry: &dyn Registry) -> Option<Entry> {
    entries(registry).await.remove(KEY)
}

async fn owner(registry: &dyn Registry) -> Option<Arc<str>> {
    entry(registry).await.expect("the entry").owner
}

/// Waits until it has told of all that was before.
async fn quiet(registry: &dyn Registry) {
    while tokio::time::timeout(Duration::from_secs(2), registry.changed()).await.is_ok() {}
}

/// One of the fields of a key that are not its value, by v3: `ModRevision`, `Lease`.
fn field(server: &EtcdServer, key: &str, name: &str) -> String {
    let printed = server.ctl(&["get", key, "-w", "fields"]);
    let line = printed.lines().find_map(|line| line.strip_prefix(&format!("\"{name}\" : ")));
    line.unwrap_or_else(|| panic!("{key} has no {name}: {printed}")).to_owned()
}

#[tokio::test]
async fn v2_keeps_the_contract_of_every_registry() {
    let server = EtcdServer::with(V2).await;
    let theirs = Some(of_another_owner(&format!("etcd2://{}/r", server.address())));
    conformance::prove(&Subject { ours: v2(server.address()), theirs, owner: OWNER }).await;
}

#[tokio::test]
async fn v3_keeps_the_contract_of_every_registry() {
    let server = EtcdServer::start().await;
    let theirs = Some(of_another_owner(&format!("etcd3://{}/r", server.address())));
    conformance::prove(&Subject { ours: v3(server.address()), theirs, owner: OWNER }).await;
}

#[tokio::test]
async fn v2_keeps_the_contract_whatever_becomes_of_etcd() {
    let mut server = EtcdServer::with(V2).await;
    conformance::prove_outages(&mut server, v2).await;
}

#[tokio::test]
async fn v3_keeps_the_contract_whatever_becomes_of_etcd() {
    let mut server = EtcdServer::start().await;
    conformance::prove_outages(&mut server, v3).await;
}

#[tokio::test]
async fn v2_keeps_the_contract_when_it_is_refused() {
    let server = EtcdServer::with(V2).await;
    server.enable_users();
    for user in ["root:wrong-sesame@", ""] {
        conformance::prove_refused(&*opened(&format!("etcd2://{user}{}/r", server.address())), "wrong-sesame").await;
    }
    let registry = opened(&format!("etcd2://root:sesame@{}/r", server.address()));
    register(&*registry, &[plain()]).await;
    assert_held(&*registry, &[plain()]).await;
}

#[tokio::test]
async fn v3_keeps_the_contract_when_it_is_refused() {
    let server = EtcdServer::start().await;
    server.enable_users();
    for user in ["root:wrong-sesame@", ""] {
        conformance::prove_refused(&*opened(&format!("etcd3://{user}{}/r", server.address())), "wrong-sesame").await;
    }
    assert!(server.keys_as(&["--user=root:sesame"], "/").is_empty());
    let registry = opened(&format!("etcd3://root:sesame@{}/r", server.address()));
    register(&*registry, &[plain()]).await;
    assert_held(&*registry, &[plain()]).await;
}

#[tokio::test]
async fn v3_spells_a_service_as_documented_and_nothing_else_is_below_the_prefix() {
    let server = EtcdServer::start().await;
    for (path, key) in [("/r", KEY), ("/a/b%20c", "/a/b c/web/host:web:80")] {
        let registry = opened(&format!("etcd3://{}{path}", server.address()));
        register(&*registry, &[plain()]).await;
        let root = key.trim_end_matches("/web/host:web:80");
        let keys: Vec<_> = server.keys(root).into_iter().collect();
        assert_eq!(keys, [(key.to_owned(), VALUE.to_owned())]);
        assert_eq!(server.keys(&format!("/_registrator{root}/")).len(), 2, "its claim, and the sign of life");
    }
}

#[tokio::test]
async fn v3_reads_more_keys_than_one_answer_holds() {
    let server = EtcdServer::start().await;
    let registry = v3(server.address());
    let services: Vec<_> = (0..4500).map(|n| Arc::new(at_port(&format!("host:s{n}:80"), 1000 + n))).collect();
    register(&*registry, &services).await;
    assert_held(&*registry, &services).await;
    assert_eq!(entries(&*registry).await.len(), services.len());
}

#[tokio::test]
async fn v2_spells_a_service_as_documented_and_hides_everything_else() {
    let server = EtcdServer::with(V2).await;
    for (path, key) in [("", "/web/host:web:80"), ("/r", KEY), ("/a/b%20c", "/a/b c/web/host:web:80")] {
        let registry = opened(&format!("etcd2://{}{path}", server.address()));
        register(&*registry, &[plain()]).await;
        let root = key.trim_end_matches("/web/host:web:80");
        let shown: Vec<_> = server.keys_v2(&format!("{root}/")).into_iter().filter(|(shown, _)| shown == key).collect();
        assert_eq!(shown, [(key.to_owned(), VALUE.to_owned())]);
        assert!(server.keys_v2("/").keys().all(|key| key.ends_with("/web/host:web:80")), "{:?}", server.keys_v2("/"));
    }
    assert_eq!(server.keys_v2("/r/_registrator/alive").len(), 1);
}

#[tokio::test]
async fn v2_is_used_where_it_is_served_and_v3_elsewhere() {
    let (mut older, newer) = tokio::join!(EtcdServer::with(V2), EtcdServer::start());
    for (server, is_v2) in [(&older, true), (&newer, false)] {
        let registry = opened(&format!("etcd://{}/r", server.address()));
        register(&*registry, &[plain()]).await;
        assert_held(&*registry, &[plain()]).await;
        assert_eq!(server.keys(KEY).is_empty(), is_v2);
        if is_v2 {
            assert_eq!(server.keys_v2("/r").get(KEY).map(String::as_str), Some(VALUE));
        }
    }
    let reason = v2(newer.address()).ping().await.expect_err("no v2").to_string();
    assert!(reason.contains("does not serve the v2 API"), "{reason}");
    // What cannot be found out is found out later.
    older.kill();
    let registry = opened(&format!("etcd://{}/r", older.address()));
    assert_unreachable(&*registry).await;
    older.restart().await;
    becomes(Ok(()), SOON, || register_one(&*registry)).await;
    assert_eq!(entry(&*registry).await.map(|entry| entry.service_id).as_deref(), Some("host:web:80"));
}

#[tokio::test]
async fn two_instances_of_one_owner_leave_what_the_other_holds_alive_and_inherit_it_when_that_is_dead() {
    let (older, newer) = tokio::join!(EtcdServer::with(V2), EtcdServer::start());
    for (scheme, server) in [("etcd2", &older), ("etcd3", &newer)] {
        let uri = format!("{scheme}://{}/r", server.address());
        let (one, two) = (opened(&uri), opened(&uri));
        register(&*one, &[plain()]).await;
        assert_eq!(owner(&*one).await.as_deref(), Some(OWNER));
        let theirs = entry(&*two).await.expect("the entry");
        assert_eq!(theirs.owner.as_deref(), Some("this-host (another instance of that name)"), "{scheme}");
        assert_eq!(theirs.fingerprint, two.canonical(&plain()).fingerprint);
        // Whatever it is asked to do, the second does nothing.
        assert_eq!(only(two.deregister(&[theirs]).await), Ok(()));
        let refused = register_one(&*two).await.expect_err("it is another's").to_string();
        assert_eq!(refused, format!("{KEY} belongs to the owner this-host (another instance of that name)"));
        assert_eq!(owner(&*one).await.as_deref(), Some(OWNER));
        quiet(&*two).await;
        let before = (scheme == "etcd3").then(|| field(server, KEY, "ModRevision"));

        // What the first leaves behind when it dies, the second is told of, and has it without writing it.
        drop(one);
        tokio::time::timeout(SOON, two.changed()).await.expect("it tells of the death");
        assert_eq!(owner(&*two).await.as_deref(), Some(OWNER), "{scheme}");
        assert_eq!(before, (scheme == "etcd3").then(|| field(server, KEY, "ModRevision")));
        let three = opened(&uri);
        assert_ne!(owner(&*three).await.as_deref(), Some(OWNER), "{scheme}: now the second holds it alive");
        let ours = entry(&*two).await.expect("the entry");
        assert_eq!(only(two.deregister(&[ours]).await), Ok(()));
        assert_eq!(entry(&*two).await, None, "{scheme}");
    }
}

#[tokio::test]
async fn what_a_crash_between_two_writes_has_left_is_recognised_and_removed() {
    let (older, newer) = tokio::join!(EtcdServer::with(V2), EtcdServer::start());
    let claim = |owner: &str| format!(r#"{{"owner":"{owner}","lease":"dead","id":"x"}}"#);
    older.ctl_v2(&["set", "/r/_registrator/claims/web/gone", &claim(OWNER)]);
    older.ctl_v2(&["set", "/r/_registrator/claims/web/host:web:80", &claim("other-host")]);
    newer.ctl(&["put", "/_registrator/r/claims/web/gone", &claim(OWNER)]);
    newer.ctl(&["put", "/_registrator/r/claims/web/host:web:80", &claim("other-host")]);
    for registry in [v2(older.address()), v3(newer.address())] {
        assert_eq!(registry.entries().await, Ok(Vec::new()));
        // A claim of a dead one on nothing is in nobody's way.
        register(&*registry, &[plain()]).await;
        assert_eq!(owner(&*registry).await.as_deref(), Some(OWNER));
    }
    assert_eq!(older.keys_v2("/r/_registrator/claims").len(), 1);
    assert_eq!(newer.keys("/_registrator/r/claims/").len(), 1);
}

#[tokio::test]
async fn an_entry_of_nobody_is_adopted_without_being_written() {
    let (older, newer) = tokio::join!(EtcdServer::with(V2), EtcdServer::start());
    older.ctl_v2(&["set", KEY, VALUE]);
    newer.ctl(&["put", KEY, VALUE]);
    let before = field(&newer, KEY, "ModRevision");
    for registry in [v2(older.address()), v3(newer.address())] {
        let found = entry(&*registry).await.expect("the entry");
        assert_eq!((found.owner, &*found.service_id), (None, "host:web:80"));
        let said = found.content.map(|content| (content.name, content.address, content.port));
        assert_eq!(said, Some(("web".to_owned(), "10.1.2.3".to_owned(), 8000)), "what decides whose it is");
        assert_ne!(found.fingerprint, registry.canonical(&plain()).fingerprint, "it has to be claimed");
        register(&*registry, &[plain()]).await;
        assert_held(&*registry, &[plain()]).await;
        assert_eq!(owner(&*registry).await.as_deref(), Some(OWNER));
    }
    assert_eq!(field(&newer, KEY, "ModRevision"), before);
}

#[tokio::test]
async fn without_records_only_entries_are_written() {
    let (older, newer) = tokio::join!(EtcdServer::with(V2), EtcdServer::start());
    for uri in [format!("etcd2://{}/r", older.address()), format!("etcd3://{}/r", newer.address())] {
        let registry = open(&RegistryConfig { record_owner: false, ..config(&uri, &[]) }).expect("a registry").registry;
        register(&*registry, &[plain()]).await;
        assert_held(&*registry, &[plain()]).await;
        assert_eq!(owner(&*registry).await, None);
    }
    assert!(older.keys_v2("/r/_registrator").is_empty());
    assert_eq!(newer.keys("").into_keys().collect::<Vec<_>>(), [KEY]);
}

#[tokio::test]
async fn what_another_hand_does_to_our_entries_is_told_at_once() {
    let (older, newer) = tokio::join!(EtcdServer::with(V2), EtcdServer::start());
    type Hand<'a> = &'a (dyn Fn(&[&str]) + Sync);
    let by_v2: Hand<'_> = &|done| drop(older.ctl_v2(done));
    let by_v3: Hand<'_> = &|done| drop(newer.ctl(done));
    let cases: [(_, Hand<'_>, [&[&str]; 3]); 2] = [
        (v2(older.address()), by_v2, [&["set", KEY, "x"], &["rm", KEY], &["rm", "--recursive", "/r/web"]]),
        (v3(newer.address()), by_v3, [&["put", KEY, "x"], &["del", KEY], &["del", "--prefix", "/r/web"]]),
    ];
    for (registry, hand, changes) in cases {
        for change in changes {
            register(&*registry, &[plain()]).await;
            quiet(&*registry).await;
            hand(change);
            tokio::time::timeout(SOON, registry.changed()).await.unwrap_or_else(|_| panic!("{change:?} was not told"));
            let found = entry(&*registry).await;
            assert!(found.is_none_or(|found| found.fingerprint != registry.canonical(&plain()).fingerprint));
        }
        register(&*registry, &[plain()]).await;
        assert_held(&*registry, &[plain()]).await;
    }
}

#[tokio::test]
async fn with_a_ttl_an_entry_expires_unless_it_is_refreshed() {
    let (older, newer) = tokio::join!(EtcdServer::with(V2), EtcdServer::start());
    for uri in [format!("etcd2://{}/r?ttl=3", older.address()), format!("etcd3://{}/r?ttl=3", newer.address())] {
        let registry = opened(&uri);
        let both = [plain(), Arc::new(at_port("other", 8001))];
        register(&*registry, &both).await;
        assert_held(&*registry, &both).await;
        let interval = registry.refresh_interval(&plain()).expect("an interval");
        assert_eq!(interval, Duration::from_secs(1));
        for _ in 0..5 {
            tokio::time::sleep(interval).await;
            assert_eq!(registry.refresh(&both).await, [Ok(()), Ok(())]);
        }
        assert_held(&*registry, &both).await;
        becomes(Ok(Vec::new()), SOON, || registry.entries()).await;
        for refreshed in registry.refresh(&both).await {
            assert!(matches!(refreshed, Err(RegistryError::Refused { .. })), "{refreshed:?}");
        }
        register(&*registry, &both).await;
        assert_held(&*registry, &both).await;
    }
}

#[tokio::test]
async fn v2_is_refreshed_without_waking_who_watches() {
    let server = EtcdServer::with(V2).await;
    let registry = opened(&format!("etcd2://{}/r?ttl=30", server.address()));
    register(&*registry, &[plain()]).await;
    let extended = server.ctl_v2(&["-o", "extended", "get", KEY]);
    let index = extended.lines().find_map(|line| line.strip_prefix("Modified-Index: ")).expect("its index");
    assert_eq!(only(registry.refresh(&[plain()]).await), Ok(()));
    server.ctl_v2(&["set", "/r/web/end", "x"]);
    let next = server.ctl_v2(&["watch", "--recursive", "--after-index", index, "/r"]);
    assert_eq!(next.lines().next(), Some("[set] /r/web/end"));
}

#[tokio::test]
async fn v3_has_one_lease_for_all_entries_and_another_run_keeps_it_alive() {
    let server = EtcdServer::start().await;
    let uri = format!("etcd3://{}/r?ttl=60", server.address());
    let one = opened(&uri);
    let services: Vec<_> = (0..300).map(|n| Arc::new(at_port(&format!("s{n}"), 8000 + n))).chain([plain()]).collect();
    register(&*one, &services).await;
    let lease = field(&server, KEY, "Lease");
    for other in ["/r/web/s0", "/r/web/s299", "/_registrator/r/claims/web/s299"] {
        assert_eq!(field(&server, other, "Lease"), lease);
    }
    drop(one);
    // It is dead; its sign of life need not be waited for.
    server.ctl(&["del", "--prefix", "/_registrator/r/alive/"]);
    let two = opened(&uri);
    assert_held(&*two, &services).await;
    let before = field(&server, KEY, "ModRevision");
    for refreshed in two.refresh(&services).await {
        assert_eq!(refreshed, Ok(()));
    }
    assert_eq!(field(&server, KEY, "ModRevision"), before);
    assert_eq!(field(&server, KEY, "Lease"), lease);
    // Another TTL is another lease.
    let three = opened(&uri.replace("60", "90"));
    server.ctl(&["del", "--prefix", "/_registrator/r/alive/"]);
    drop(two);
    let found = eventually("the lease is free", SOON, async || {
        server.ctl(&["del", "--prefix", "/_registrator/r/alive/"]);
        entry(&*three).await.filter(|entry| entry.owner.as_deref() == Some(OWNER))
    });
    assert_ne!(
        found.await.fingerprint,
        three
            .canonical(&with(service("host:web:80"), |service| service.ttl = Some(Duration::from_secs(90))))
            .fingerprint
    );
}

#[tokio::test]
async fn v3_makes_a_lost_lease_anew() {
    let server = EtcdServer::start().await;
    let registry = opened(&format!("etcd3://{}/r?ttl=60", server.address()));
    register(&*registry, &[plain()]).await;
    quiet(&*registry).await;
    let lease: i64 = field(&server, KEY, "Lease").parse().expect("a number");
    server.ctl(&["lease", "revoke", &format!("{lease:x}")]);
    tokio::time::timeout(SOON, registry.changed()).await.expect("it tells of the loss");
    assert_eq!(entry(&*registry).await, None);
    let refreshed = only(registry.refresh(&[plain()]).await);
    assert!(matches!(refreshed, Err(RegistryError::Refused { .. })), "{refreshed:?}");
    register(&*registry, &[plain()]).await;
    assert_held(&*registry, &[plain()]).await;
    assert_ne!(field(&server, KEY, "Lease"), lease.to_string());
}

#[tokio::test]
async fn a_sign_of_life_that_is_lost_is_given_again() {
    let server = EtcdServer::start().await;
    let registry = v3(server.address());
    register(&*registry, &[plain()]).await;
    let before = server.keys("/_registrator/r/alive/");
    assert_eq!(before.len(), 1);
    server.ctl(&["del", "--prefix", "/_registrator/r/alive/"]);
    becomes(before, SOON, async || server.keys("/_registrator/r/alive/")).await;
    assert_eq!(owner(&*registry).await.as_deref(), Some(OWNER));
}

#[tokio::test]
async fn a_member_that_dies_or_hangs_is_left_for_another() {
    for scheme in ["etcd2", "etcd3"] {
        let mut servers = EtcdServer::cluster(V2).await;
        let addresses: Vec<_> = servers.iter().map(|server| server.address().to_string()).collect();
        let registry = opened(&format!("{scheme}://{}/r", addresses.join(",")));
        register(&*registry, &[plain()]).await;
        quiet(&*registry).await;
        servers[0].kill();
        // While another leader is chosen, nobody is served.
        becomes(Ok(()), SOON, || register_one(&*registry)).await;
        assert_held(&*registry, &[plain()]).await;
        servers[0].restart().await;
        servers[1].freeze();
        becomes(Ok(()), SOON, || register_one(&*registry)).await;
        assert_held(&*registry, &[plain()]).await;
        // What others do is heard of by way of another member.
        quiet(&*registry).await;
        let uri = format!("{scheme}://{}/r", servers[2].address());
        let heedless = open(&RegistryConfig { record_owner: false, ..config(&uri, &[]) }).expect("a registry").registry;
        let held = [eventually("it is read", SOON, async || heedless.entries().await.ok()?.pop()).await];
        becomes(vec![Ok(())], SOON, || heedless.deregister(&held)).await;
        tokio::time::timeout(SOON, registry.changed()).await.expect("it is told");
        servers[1].thaw();
    }
}

#[tokio::test]
async fn tls_is_spoken_with_a_certificate_of_our_own_and_a_trusted_server() {
    let server = EtcdServer::with(Options { tls: true, ..V2 }).await;
    let (certificates, address) = (server.certificates(), server.address());
    let ca = certificates.ca.display().to_string();
    let (cert, key) =
        (certificates.client.certificate.display().to_string(), certificates.client.key.display().to_string());
    let variables =
        [("ETCD_CA_CERT_FILE", ca.as_str()), ("ETCD_CERT_FILE", cert.as_str()), ("ETCD_KEY_FILE", key.as_str())];
    for scheme in ["etcd", "etcd2", "etcd3"] {
        let endpoint = format!("https://{address}");
        for registry in [
            opened(&format!("{scheme}://{address}/r?ca={ca}&cert={cert}&key={key}")),
            open(&config(&format!("{scheme}-tls://{address}/r"), &variables)).expect("a registry").registry,
            open(&config(&format!("{scheme}:///r"), &[&variables[..], &[("ETCD_ENDPOINTS", &endpoint)]].concat()))
                .expect("a registry")
                .registry,
        ] {
            register(&*registry, &[plain()]).await;
            assert_held(&*registry, &[plain()]).await;
            let held = entry(&*registry).await.expect("the entry");
            assert_eq!(only(registry.deregister(&[held]).await), Ok(()));
        }
        // Without a certificate, with a server that nobody trusts, and without TLS.
        for uri in [
            format!("{scheme}://{address}/r?ca={ca}"),
            format!("{scheme}-tls://{address}/r"),
            format!("{scheme}://{address}/r"),
        ] {
            let refused = opened(&uri).entries().await;
            assert!(
                matches!(refused, Err(RegistryError::Unreachable(_) | RegistryError::Refused { .. })),
                "{uri}: {refused:?}"
            );
        }
    }
}

#[tokio::test]
async fn v3_renews_its_token_and_needs_no_more_rights_than_documented() {
    let server = EtcdServer::with(Options { token_ttl: Some(1), ..Options::default() }).await;
    server.enable_users();
    let root = |arguments: &[&str]| drop(server.ctl(&[&["--user=root:sesame"], arguments].concat()));
    for (user, prefixes) in [("least", &["/r/", "/_registrator/r/"][..]), ("less", &["/r/"])] {
        root(&["user", "add", &format!("{user}:open")]);
        root(&["role", "add", user]);
        root(&["user", "grant-role", user, user]);
        for prefix in prefixes {
            root(&["role", "grant-permission", user, "--prefix=true", "readwrite", prefix]);
        }
    }
    let registry = opened(&format!("etcd3://least:open@{}/r?ttl=60", server.address()));
    register(&*registry, &[plain()]).await;
    for _ in 0..2 {
        // A token that is not used for a second is good for nothing; nothing else tells that it has gone.
        tokio::time::sleep(Duration::from_millis(2500)).await;
        assert_held(&*registry, &[plain()]).await;
        assert_eq!(only(registry.refresh(&[plain()]).await), Ok(()));
        register(&*registry, &[Arc::new(at_port("other", 8001))]).await;
    }
    quiet(&*registry).await;
    root(&["del", KEY]);
    tokio::time::timeout(SOON, registry.changed()).await.expect("it is told");

    let uri = format!("etcd3://less:open@{}/r", server.address());
    let reason = opened(&uri).entries().await.expect_err("no right to the records").to_string();
    assert!(reason.contains("readwrite on the prefix") && reason.contains("?records="), "{reason}");
    // Then the records can be had elsewhere, or not at all.
    register(&*opened(&format!("{uri}?records=/r/_of-registrator")), &[plain()]).await;
    let without = open(&RegistryConfig { record_owner: false, ..config(&uri, &[]) }).expect("a registry").registry;
    register(&*without, &[plain()]).await;
}
