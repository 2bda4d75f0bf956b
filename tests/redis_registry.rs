//! Redis as a registry, against a real Redis: the contract of every registry, and what is its own.

// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

mod conformance;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use conformance::batches::{Batches as _, open};
use conformance::{Subject, assert_held, at_port, entries, register, service, with};
use registrator::config::RegistryConfig;
use registrator::registry::{Cause, Entry, Registry, RegistryError};
use registrator::service::Service;
use testkit::redis::{Options, Redis};
use testkit::redis_sentinel::RedisSentinel;
use testkit::wait::{becomes, eventually};

const OWNER: &str = "this-host";
/// What the plain service of the suite is in the store.
const KEY: &str = "r/web/host:web:80";
const VALUE: &str = "10.1.2.3:8000";
/// How long anything may take that should happen within seconds; machines are slow at times.
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

fn opened(uri: &str) -> Arc<dyn Registry> {
    open(&config(uri, &[])).expect("a registry").registry
}

fn at(address: SocketAddr) -> Arc<dyn Registry> {
    opened(&uri(address))
}

fn uri(address: SocketAddr) -> String {
    format!("redis://{address}?prefix=r")
}

fn of_another_owner(uri: &str) -> Arc<dyn Registry> {
    open(&RegistryConfig { owner: "other-host".to_owned(), ..config(uri, &[]) }).expect("a registry").registry
}

fn without_records(uri: &str) -> Arc<dyn Registry> {
    open(&RegistryConfig { record_owner: false, ..config(uri, &[]) }).expect("a registry").registry
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

/// Waits until it tells of something, and is right again afterwards.
async fn is_repaired(registry: &dyn Registry, services: &[Arc<Service>]) {
    tokio::time::timeout(SOON, registry.changed()).await.expect("it tells of what was lost");
    becomes(true, SOON, async || registry.register(services).await.iter().all(Result::is_ok)).await;
    assert_held(registry, services).await;
}

#[tokio::test]
async fn it_keeps_the_contract_of_every_registry() {
    let server = Redis::start().await;
    let theirs = Some(of_another_owner(&uri(server.address())));
    conformance::prove(&Subject { ours: at(server.address()), theirs, owner: OWNER }).await;
}

#[tokio::test]
async fn it_keeps_the_contract_whatever_becomes_of_redis() {
    let mut server = Redis::with(Options { keeps: true, ..Options::default() }).await;
    conformance::prove_outages(&mut server, at).await;
}

#[tokio::test]
async fn it_keeps_the_contract_when_it_is_refused() {
    let server = Redis::with(Options { password: Some("open-sesame"), ..Options::default() }).await;
    for user in ["me:wrong-sesame@", ":wrong-sesame@", ""] {
        let registry = opened(&format!("redis://{user}{}?prefix=r", server.address()));
        conformance::prove_refused(&*registry, "wrong-sesame").await;
    }
    for user in [":open-sesame@", "default:open-sesame@"] {
        let registry = opened(&format!("redis://{user}{}?prefix=r", server.address()));
        register(&*registry, &[plain()]).await;
        assert_held(&*registry, &[plain()]).await;
        registry.close().await;
    }
    let registry =
        open(&config(&uri(server.address()), &[("REDIS_USER", ":open-sesame")])).expect("a registry").registry;
    assert_held(&*registry, &[plain()]).await;
}

#[tokio::test]
async fn a_service_is_spelt_as_documented_and_nothing_else_is_below_the_prefix() {
    let server = Redis::with(Options { tls: true, ..Options::default() }).await;
    let made = server.certificates();
    let file = |path: &std::path::Path| path.display().to_string();
    let tls = format!("?ca={}&cert={}&key={}", file(&made.ca), file(&made.client.certificate), file(&made.client.key));
    for (uri, database, root) in [
        (format!("redis://{}", server.address()), "0", "services"),
        (format!("valkey://{}/2?prefix=a/b%20c", server.address()), "2", "a/b c"),
        (format!("redis://{}?prefix=/r", server.address()), "0", "/r"),
        (format!("redis://{}/3?prefix=", server.address()), "3", ""),
        (format!("rediss://{}/4{tls}", server.tls_address()), "4", "services"),
    ] {
        let registry = opened(&uri);
        registry.ping().await.expect("it is there");
        let v6 = with(at_port("v6", 8001), |service| service.address = "2001:db8::1".into());
        register(&*registry, &[plain(), Arc::clone(&v6)]).await;
        assert_held(&*registry, &[plain(), v6]).await;
        let below = server.keys_of(database, &format!("{root}/*")).await;
        let below: Vec<_> = below.into_iter().filter(|(key, _)| !key.starts_with("/_registrator")).collect();
        let expected = [
            (format!("{root}/web/host:web:80"), VALUE.to_owned()),
            (format!("{root}/web/v6"), "[2001:db8::1]:8001".to_owned()),
        ];
        assert_eq!(below, expected, "{uri}");
        let all = server.keys_of(database, "*_registrator/*").await;
        assert!(all.len() >= 3, "a claim on each, and the sign of life: {all:?}");
        let held: Vec<_> = entries(&*registry).await.into_values().collect();
        assert_eq!(registry.deregister(&held).await, [Ok(()), Ok(())]);
    }
}

#[tokio::test]
async fn without_records_only_entries_are_written() {
    let server = Redis::start().await;
    let registry = without_records(&uri(server.address()));
    register(&*registry, &[plain()]).await;
    assert_held(&*registry, &[plain()]).await;
    assert_eq!(owner(&*registry).await, None);
    assert_eq!(server.keys("*").await.into_keys().collect::<Vec<_>>(), [KEY]);
}

#[tokio::test]
async fn two_instances_of_one_owner_leave_what_the_other_holds_alive_and_inherit_it_when_that_is_dead() {
    let server = Redis::start().await;
    let uri = uri(server.address());
    let (one, two) = (opened(&uri), opened(&uri));
    register(&*one, &[plain()]).await;
    assert_eq!(owner(&*one).await.as_deref(), Some(OWNER));
    let theirs = entry(&*two).await.expect("the entry");
    assert_eq!(theirs.owner.as_deref(), Some("this-host (another instance of that name)"));
    // Whatever it is asked to do, the second does nothing.
    assert_eq!(only(two.deregister(&[theirs]).await), Ok(()));
    let refused = register_one(&*two).await.expect_err("it is another's").to_string();
    assert_eq!(refused, format!("{KEY} belongs to the owner this-host (another instance of that name)"));
    quiet(&*two).await;
    // What the first leaves behind when it dies, the second is told of.
    drop(one);
    tokio::time::timeout(SOON, two.changed()).await.expect("it tells of the death");
    assert_eq!(owner(&*two).await.as_deref(), Some(OWNER));
    let ours = entry(&*two).await.expect("the entry");
    assert_eq!(only(two.deregister(&[ours]).await), Ok(()));
    assert_eq!(entry(&*two).await, None);
}

#[tokio::test]
async fn what_a_crash_between_two_writes_has_left_is_recognised_and_removed() {
    let server = Redis::start().await;
    let claim = |owner: &str| format!(r#"{{"owner":"{owner}","lease":"dead","id":"x"}}"#);
    server.command(&["SET", "_registrator/r/claims/web/gone", &claim(OWNER)]).await;
    server.command(&["SET", "_registrator/r/claims/web/host:web:80", &claim("other-host")]).await;
    let registry = at(server.address());
    assert_eq!(registry.entries().await, Ok(Vec::new()));
    // A claim of a dead one on nothing is in nobody's way.
    register(&*registry, &[plain()]).await;
    assert_eq!(owner(&*registry).await.as_deref(), Some(OWNER));
    assert_eq!(server.keys("_registrator/r/claims/*").await.len(), 1);
}

#[tokio::test]
async fn what_another_program_keeps_is_left_alone_and_named() {
    let server = Redis::start().await;
    // Another program's hash where an entry belongs, and keys of others below the prefix and beside it.
    server.command(&["HSET", KEY, "field", "value"]).await;
    server.command(&["SADD", "r/web/set", "member"]).await;
    server.command(&["SET", "r", "text"]).await;
    server.command(&["SET", "rx/web/a", VALUE]).await;
    server.command(&["SET", "r/web/a/b", "text"]).await;
    let registry = at(server.address());
    let other = Arc::new(at_port("other", 8001));
    let results = registry.register(&[plain(), Arc::clone(&other)]).await;
    let Err(RegistryError::Refused { cause: Cause::Service, text }) = &results[0] else { panic!("{results:?}") };
    let expected = format!(
        "Redis at {}: {KEY} is another program's hash; remove it, or choose another prefix (?prefix=)",
        server.address()
    );
    assert_eq!((text, &results[1]), (&expected, &Ok(())));
    assert_eq!(server.command(&["HGET", KEY, "field"]).await, "value");
    assert_eq!(entries(&*registry).await.into_keys().collect::<Vec<_>>(), [Arc::<str>::from("r/web/other")]);
    // Room is made for it.
    server.command(&["DEL", KEY]).await;
    register(&*registry, &[plain()]).await;
    assert_held(&*registry, &[plain(), other]).await;
    assert_eq!(server.command(&["GET", "rx/web/a"]).await, VALUE);
    assert_eq!(server.command(&["GET", "r/web/a/b"]).await, "text");
}

#[tokio::test]
async fn an_entry_of_nobody_is_adopted_without_being_written() {
    let server = Redis::start().await;
    server.command(&["SET", KEY, VALUE]).await;
    let registry = at(server.address());
    let found = entry(&*registry).await.expect("the entry");
    assert_eq!((found.owner, &*found.service_id), (None, "host:web:80"));
    register(&*registry, &[plain()]).await;
    assert_held(&*registry, &[plain()]).await;
    assert_eq!(owner(&*registry).await.as_deref(), Some(OWNER));
}

#[tokio::test]
async fn what_another_hand_does_to_our_entries_is_told_at_once_and_what_we_do_is_not() {
    let server = Redis::start().await;
    let registry = at(server.address());
    for change in
        [&["SET", KEY, "x"][..], &["DEL", KEY], &["UNLINK", KEY], &["RENAME", KEY, "away"], &["PEXPIRE", KEY, "1"]]
    {
        register(&*registry, &[plain()]).await;
        quiet(&*registry).await;
        server.command(change).await;
        tokio::time::timeout(SOON, registry.changed()).await.unwrap_or_else(|_| panic!("{change:?} was not told"));
        let found = entry(&*registry).await;
        assert!(found.is_none_or(|found| found.fingerprint != registry.canonical(&plain()).fingerprint), "{change:?}");
    }
    register(&*registry, &[plain()]).await;
    quiet(&*registry).await;
    // Its own writes, and a lease that is renewed all the time.
    register(&*registry, &[Arc::new(at_port("other", 8001))]).await;
    let told = tokio::time::timeout(Duration::from_secs(8), registry.changed()).await;
    assert!(told.is_err(), "it tells of what it did itself");
}

#[tokio::test]
async fn the_server_is_set_to_tell_of_changes_and_keeps_what_others_have_set() {
    let server = Redis::with(Options { more: &["--notify-keyspace-events", "Elsh"], ..Options::default() }).await;
    let registry = at(server.address());
    register(&*registry, &[plain()]).await;
    let setting = async || {
        let said = server.words(&["CONFIG", "GET", "notify-keyspace-events"]).await;
        said.last().cloned().unwrap_or_default().chars().collect::<BTreeSet<_>>()
    };
    let expected = "KEg$xelsh".chars().collect::<BTreeSet<_>>();
    let telling = registry.changed();
    tokio::pin!(telling);
    tokio::select! {
        _ = &mut telling => {}
        () = becomes(expected.clone(), SOON, setting) => {}
    }
    // Somebody takes it away: it is set again, and nothing is missed in the end.
    quiet(&*registry).await;
    server.command(&["CONFIG", "SET", "notify-keyspace-events", ""]).await;
    server.command(&["DEL", KEY]).await;
    tokio::time::timeout(Duration::from_secs(90), registry.changed()).await.expect("it tells in the end");
    assert_eq!(entry(&*registry).await, None);
}

#[tokio::test]
async fn an_emptied_server_is_told_of_within_seconds() {
    let server = Redis::start().await;
    let services = [plain(), Arc::new(at_port("other", 8001))];
    for (registry, flush) in [
        (at(server.address()), "FLUSHALL"),
        (at(server.address()), "FLUSHDB"),
        (without_records(&uri(server.address())), "FLUSHALL"),
    ] {
        server.command(&["FLUSHALL"]).await;
        register(&*registry, &services).await;
        quiet(&*registry).await;
        server.command(&[flush]).await;
        is_repaired(&*registry, &services).await;
        registry.close().await;
    }
}

#[tokio::test]
async fn a_server_that_restarts_without_its_data_is_filled_again() {
    let mut server = Redis::start().await;
    let registry = at(server.address());
    register(&*registry, &[plain()]).await;
    quiet(&*registry).await;
    server.restart_empty().await;
    is_repaired(&*registry, &[plain()]).await;
    // And it tells of changes again, though it had forgotten that it is to.
    quiet(&*registry).await;
    server.command(&["DEL", KEY]).await;
    is_repaired(&*registry, &[plain()]).await;
}

#[tokio::test]
async fn a_user_without_the_right_to_configure_compares_or_hears_if_the_server_tells_anyway() {
    for more in [&[][..], &["--notify-keyspace-events", "AK"]] {
        let server = Redis::with(Options { more, ..Options::default() }).await;
        server.command(&["ACL", "SETUSER", "me", "on", ">sesame", "allkeys", "allchannels", "+@all", "-config"]).await;
        let registry = opened(&format!("redis://me:sesame@{}?prefix=r", server.address()));
        register(&*registry, &[plain()]).await;
        quiet(&*registry).await;
        server.command(&["DEL", KEY]).await;
        is_repaired(&*registry, &[plain()]).await;
        quiet(&*registry).await;
        server.command(&["FLUSHALL"]).await;
        is_repaired(&*registry, &[plain()]).await;
        assert_eq!(server.keys("*probe*").await.len(), 0);
    }
    // May configure, but not hear.
    let server = Redis::start().await;
    server.command(&["ACL", "SETUSER", "me", "on", ">sesame", "allkeys", "resetchannels", "+@all"]).await;
    for registry in [
        opened(&format!("redis://me:sesame@{}?prefix=r", server.address())),
        without_records(&format!("redis://me:sesame@{}?prefix=s", server.address())),
    ] {
        register(&*registry, &[plain()]).await;
        quiet(&*registry).await;
        server.command(&["FLUSHALL"]).await;
        is_repaired(&*registry, &[plain()]).await;
    }
}

#[tokio::test]
async fn with_a_ttl_an_entry_expires_unless_it_is_refreshed() {
    let server = Redis::start().await;
    let registry = opened(&format!("redis://{}?prefix=r&ttl=3", server.address()));
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
    // What another program keeps there without an end is not given one.
    server.command(&["SET", KEY, "theirs"]).await;
    assert!(matches!(registry.refresh(&both).await[0], Err(RegistryError::Refused { .. })));
    assert_eq!(server.command(&["PTTL", KEY]).await, ":-1");
}

#[tokio::test]
async fn a_ttl_that_comes_goes_or_changes_is_put_right() {
    let server = Redis::start().await;
    let (none, short, long) = (
        at(server.address()),
        opened(&format!("redis://{}?prefix=r&ttl=60", server.address())),
        opened(&format!("redis://{}?prefix=r&ttl=600", server.address())),
    );
    for (registry, least, most) in [(&none, -1, -1), (&short, 1, 60_000), (&long, 60_001, 600_000), (&none, -1, -1)] {
        becomes(Ok(()), SOON, || register_one(&**registry)).await;
        assert_held(&**registry, &[plain()]).await;
        let left = server.command(&["PTTL", KEY]).await;
        let left: i64 = left.trim_start_matches(':').parse().expect("a number");
        assert!((least..=most).contains(&left), "{left}");
        registry.close().await;
    }
}

#[tokio::test]
async fn a_server_without_room_takes_removals_and_is_said_to_have_none() {
    let server = Redis::with(Options { more: &["--maxmemory-policy", "noeviction"], ..Options::default() }).await;
    let registry = at(server.address());
    let services: Vec<_> = (0..20).map(|n| Arc::new(at_port(&format!("s{n}"), 8000 + n))).collect();
    register(&*registry, &services).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;
    let new: Vec<_> = (20..40).map(|n| Arc::new(at_port(&format!("s{n}"), 8000 + n))).collect();
    for result in registry.register(&new).await {
        let Err(RegistryError::Refused { cause: Cause::Server, text }) = result else { panic!("{result:?}") };
        let expected =
            format!("Redis at {} has no room left: raise its maxmemory, or make room in it", server.address());
        assert_eq!(text, expected);
    }
    let held: Vec<_> = entries(&*registry).await.into_values().collect();
    assert_eq!(registry.deregister(&held).await, vec![Ok(()); 20]);
    server.command(&["CONFIG", "SET", "maxmemory", "0"]).await;
    register(&*registry, &new).await;
}

#[tokio::test]
async fn a_replica_names_its_master_as_the_cure_and_serves_when_it_is_one() {
    let master = Redis::start().await;
    let replica = Redis::with(Options { replica_of: Some(master.address()), ..Options::default() }).await;
    let registry = at(replica.address());
    eventually("it follows", SOON, async || {
        let said = replica.command(&["INFO", "replication"]).await;
        said.contains("master_link_status:up").then_some(())
    })
    .await;
    let refused = register_one(&*registry).await.expect_err("a replica").to_string();
    let expected = format!(
        "Redis at {} is a replica, which takes no writes; name its master, or its sentinels (redis+sentinel://)",
        replica.address()
    );
    assert_eq!(refused, expected);
    replica.command(&["REPLICAOF", "NO", "ONE"]).await;
    becomes(Ok(()), SOON, || register_one(&*registry)).await;
}

#[tokio::test]
async fn a_failover_that_sentinels_decide_is_followed_within_seconds() {
    let mut master = Redis::start().await;
    let replica = Redis::with(Options { replica_of: Some(master.address()), ..Options::default() }).await;
    let sentinel = RedisSentinel::watching("mine", master.address()).await;
    // The first sentinel is away.
    let uri = |name: &str| format!("redis+sentinel://127.0.0.1:1,{}/{name}?prefix=r", sentinel.address());
    let unknown = opened(&uri("other")).ping().await.expect_err("no such master").to_string();
    assert!(unknown.ends_with("its sentinels know no master \"other\"; correct the name in the URI"), "{unknown}");
    let registry = opened(&uri("mine"));
    register(&*registry, &[plain()]).await;
    becomes(VALUE.to_owned(), SOON, || replica.command(&["GET", KEY])).await;
    quiet(&*registry).await;

    master.kill();
    tokio::time::timeout(SOON, registry.changed()).await.expect("it tells of the other master");
    becomes(Ok(()), SOON, || register_one(&*registry)).await;
    let other = Arc::new(at_port("other", 8001));
    becomes(vec![Ok(())], SOON, || registry.register(std::slice::from_ref(&other))).await;
    assert_held(&*registry, &[plain(), other]).await;
    let role = replica.words(&["ROLE"]).await;
    assert_eq!(role.first().map(String::as_str), Some("master"), "{}", sentinel.log());
    assert_eq!(replica.keys("r/*").await.len(), 2);
}

#[tokio::test]
async fn a_master_that_was_demoted_while_it_runs_is_left() {
    let master = Redis::start().await;
    let replica = Redis::with(Options { replica_of: Some(master.address()), ..Options::default() }).await;
    let sentinel = RedisSentinel::watching("mine", master.address()).await;
    let registry = opened(&format!("redis+sentinel://{}/mine?prefix=r", sentinel.address()));
    register(&*registry, &[plain()]).await;
    quiet(&*registry).await;
    sentinel.fail_over("mine").await;
    becomes(Some("master".to_owned()), SOON, async || replica.words(&["ROLE"]).await.into_iter().next()).await;
    let new = Arc::new(at_port("new", 8002));
    // What the old one has taken in its last moments is lost, and written again.
    becomes((true, 1), SOON, async || {
        let taken = registry.register(std::slice::from_ref(&new)).await;
        (taken == [Ok(())], replica.keys("r/web/new").await.len())
    })
    .await;
}
