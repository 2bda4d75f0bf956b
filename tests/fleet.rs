//! Many hosts on one etcd: what a host is told of the others' entries, and that it misses nothing of its own.

// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use registrator::config::RegistryConfig;
use registrator::container::{ContainerId, Health, Moment, Protocol};
use registrator::registry::{Change, Entry, Registry, RegistryError};
use registrator::service::{AddressOf, Origin, Service};
use support::SOON;
use support::registry::{Batches as _, open};
use testkit::etcd::EtcdServer;
use testkit::proxy::Cutter;
use testkit::wait::becomes;
use tokio::time::timeout;

const OWNER: &str = "this-host";
const KEY: &str = "/fleet/web/this-host:web:80";

fn host(owner: &str, address: SocketAddr) -> Arc<dyn Registry> {
    let config = RegistryConfig {
        uri: format!("etcd3://{address}/fleet"),
        owner: owner.to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::default(),
    };
    open(&config).expect("a registry").registry
}

fn service(id: &str) -> Arc<Service> {
    Arc::new(Service {
        id: id.into(),
        name: "web".to_owned(),
        address: "10.1.2.3".into(),
        port: 8000,
        protocol: Protocol::Tcp,
        tags: Arc::default(),
        attributes: Arc::default(),
        ttl: None,
        check: None,
        health: Health::None,
        traefik: None,
        origin: Origin {
            container: ContainerId::from("0123"),
            container_name: Arc::default(),
            created: Moment::default(),
            started: Moment::default(),
            claimed: false,
            address_of: AddressOf::Container,
            hostname: "inside".into(),
            exposed_port: 80,
        },
    })
}

fn ours() -> Vec<Arc<Service>> {
    vec![service("this-host:web:80")]
}

/// What another host has.
fn others(count: usize) -> Vec<Arc<Service>> {
    (0..count).map(|number| service(&format!("other-host:c{number}:80"))).collect()
}

async fn register(registry: &dyn Registry, services: &[Arc<Service>]) {
    becomes(true, SOON, async || registry.register(services).await.iter().all(Result::is_ok)).await;
}

/// Reads what is this host's, as the reconciler does, and gives what stands at [`KEY`].
async fn own(registry: &dyn Registry) -> Result<Option<Entry>, RegistryError> {
    let own = registry.own_entries(&[Arc::from(KEY)]).await?;
    Ok(own.into_iter().find(|own| *own.key == *KEY))
}

/// Waits until it has told of all that was before.
async fn quiet(registry: &dyn Registry) {
    while timeout(Duration::from_secs(2), registry.changed()).await.is_ok() {}
}

/// It tells of what was just done to our entry; then the entry is put right.
async fn told_and_put_right(registry: &dyn Registry, what: &str) {
    let told = timeout(SOON, registry.changed()).await;
    assert_eq!(told, Ok(Change::Content), "{what} was not told");
    let right = registry.fingerprint(&ours()[0]);
    let is_right = async || Some(own(registry).await.ok()?.is_some_and(|own| own.fingerprint == right));
    becomes(Some(false), SOON, is_right).await;
    register(registry, &ours()).await;
    becomes(Some(true), SOON, is_right).await;
    quiet(registry).await;
}

#[tokio::test]
async fn a_host_is_told_nothing_of_other_hosts_entries_and_at_once_of_its_own() {
    let server = EtcdServer::start().await;
    let wire = Cutter::tcp(server.address()).await;
    let (this, other) = (host(OWNER, wire.address()), host("other-host", server.address()));
    assert_eq!(own(&*this).await, Ok(None));
    register(&*this, &ours()).await;
    quiet(&*this).await;
    let before = wire.received();
    let writing = async {
        register(&*other, &others(2000)).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    };
    tokio::select! {
        _ = this.changed() => panic!("it was woken by another host's entries"),
        () = writing => {}
    }
    // Signs of life go over the same connection. Each of the entries would be a hundred bytes and more.
    let told = wire.received() - before;
    assert!(told < 20_000, "it was told {told} bytes");
    for change in [&["put", KEY, "x"][..], &["del", KEY], &["del", "--prefix", "/fleet/web/this-host"]] {
        server.ctl(change);
        told_and_put_right(&*this, &format!("{change:?}")).await;
    }
}

#[tokio::test]
async fn a_host_with_nearly_all_of_the_entries_is_told_of_its_own() {
    let server = EtcdServer::start().await;
    let this = host(OWNER, server.address());
    let many: Vec<_> = (0..1100).map(|number| service(&format!("this-host:c{number}:80"))).chain(ours()).collect();
    register(&*this, &many).await;
    quiet(&*this).await;
    for change in [["put", KEY, "x"].as_slice(), &["del", KEY]] {
        server.ctl(change);
        told_and_put_right(&*this, &format!("{change:?}")).await;
    }
}

#[tokio::test]
async fn after_a_cut_a_silence_and_a_compaction_nothing_was_missed() {
    let server = EtcdServer::start().await;
    let mut wire = Cutter::tcp(server.address()).await;
    let (this, other) = (host(OWNER, wire.address()), host("other-host", server.address()));
    register(&*this, &ours()).await;
    quiet(&*this).await;

    wire.cut();
    server.ctl(&["put", KEY, "after the stream was cut"]);
    told_and_put_right(&*this, "what followed a cut").await;

    wire.silence();
    server.ctl(&["put", KEY, "while the stream was silent"]);
    told_and_put_right(&*this, "what was done while the stream was silent").await;

    // Everything that happened while it was away is compacted.
    wire.refuse().await;
    server.ctl(&["put", KEY, "while it was away"]);
    register(&*other, &others(10)).await;
    let status: serde_json::Value =
        serde_json::from_str(&server.ctl(&["endpoint", "status", "-w", "json"])).expect("JSON");
    server.ctl(&["compact", &status[0]["Status"]["header"]["revision"].to_string()]);
    wire.restore().await;
    told_and_put_right(&*this, "what was compacted").await;
    server.ctl(&["put", KEY, "after the compaction"]);
    told_and_put_right(&*this, "what followed a compaction").await;
}

#[tokio::test]
async fn after_a_restart_and_the_loss_of_everything_nothing_was_missed() {
    let mut server = EtcdServer::start().await;
    let mut wire = Cutter::tcp(server.address()).await;
    let (this, other) = (host(OWNER, wire.address()), host("other-host", server.address()));
    register(&*this, &ours()).await;
    quiet(&*this).await;

    server.restart().await;
    server.ctl(&["put", KEY, "after the restart"]);
    told_and_put_right(&*this, "what followed a restart").await;

    // Its history is another one, which has come further than the one before.
    wire.refuse().await;
    server.restart_empty().await;
    register(&*other, &others(500)).await;
    wire.restore().await;
    told_and_put_right(&*this, "the loss of everything").await;
    server.ctl(&["put", KEY, "in the new history"]);
    told_and_put_right(&*this, "what followed the loss of everything").await;
}

#[tokio::test]
async fn among_many_of_others_all_that_carries_our_owners_name_is_found_by_a_host_that_starts() {
    let server = EtcdServer::start().await;
    let (other, crashed) = (host("other-host", server.address()), host(OWNER, server.address()));
    register(&*other, &others(1500)).await;
    register(&*crashed, &ours()).await;
    drop(crashed);
    // An external writer, under our owner's name, at a key that no host ever used.
    let claim = format!(r#"{{"owner":"{OWNER}","lease":"dead","id":"by hand"}}"#);
    server.ctl(&["put", "/_registrator/fleet/claims/web/by hand", &claim]);
    server.ctl(&["put", "/fleet/web/by hand", "10.1.2.3:1"]);
    let this = host(OWNER, server.address());
    // What a crashed run holds is ours as soon as its lease has expired.
    let found = async || {
        let own = this.own_entries(&[]).await.expect("our own entries");
        let mut own: Vec<_> = own.into_iter().map(|own| (own.key.to_string(), own.owner)).collect();
        own.sort();
        own
    };
    let both = ["/fleet/web/by hand", KEY].map(|key| (key.to_owned(), Some(Arc::from(OWNER))));
    becomes(both.to_vec(), SOON, found).await;
}
