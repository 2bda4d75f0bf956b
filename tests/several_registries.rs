//! Several URIs at once: each registry is kept by itself, whatever becomes of the others.

#![cfg(feature = "zookeeper")]
// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

mod support;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use support::{SOON, id, ids, registrator, set};
use testkit::consul::Consul;
use testkit::docker::{Container, Spec, unique};
use testkit::http::{Request, send};
use testkit::net::Place;
use testkit::program::Program;
use testkit::proxy::{Cutter, HttpRecorder, Mode};
use testkit::wait::becomes;
use testkit::zookeeper::ZooKeeper;

const EMBEDDED: &str = "embedded://127.0.0.1:0?dns=off";

/// Sooner than a registry that hangs gives up an answer.
const AT_ONCE: Duration = Duration::from_secs(8);

/// The name of a container's service, here that of the container.
fn named(name: &str) -> Container {
    Spec::new(name).publish("80/tcp").env(&format!("SERVICE_NAME={name}")).start()
}

async fn embedded(program: &Program) -> SocketAddr {
    let line = program.wait_for("embedded: HTTP on ").await;
    let address = line.split_once("HTTP on ").and_then(|(_, rest)| rest.split(',').next()).expect("an address");
    address.trim().parse().expect("an address")
}

/// The names of services that begin so.
async fn in_embedded(http: SocketAddr, mark: &str) -> Vec<String> {
    let request = Request { method: "GET".to_owned(), path: "/v1/catalog/services".to_owned(), ..Request::default() };
    let reply = send(&Place::Tcp(http), &request).await.expect("an answer");
    let services: Value = serde_json::from_slice(&reply.body).expect("JSON");
    services.as_object().expect("services").keys().filter(|name| name.starts_with(mark)).cloned().collect()
}

/// The same, below a path of ZooKeeper.
async fn in_zookeeper(server: &ZooKeeper, path: &str, mark: &str) -> Vec<String> {
    let below =
        |node: &String| node.strip_prefix(path)?.strip_prefix('/')?.split_once('/').map(|(name, _)| name.to_owned());
    server.nodes(path).await.keys().filter_map(below).filter(|name| name.starts_with(mark)).collect()
}

async fn in_consul(consul: &Consul, mark: &str) -> Vec<String> {
    let services = consul.services().await;
    let names = services.values().filter_map(|service| service["Service"].as_str().map(str::to_owned));
    names.filter(|name| name.starts_with(mark)).collect()
}

#[tokio::test]
async fn one_that_hangs_delays_no_other_and_catches_up_by_itself() {
    let (consul, server) = (Consul::start().await, ZooKeeper::start().await);
    let (in_consul_uri, in_zookeeper_uri) = (consul.uri(), format!("zookeeper://{}/r", server.address()));
    let name = unique("hangs");
    let program = registrator(&in_consul_uri, &[&in_zookeeper_uri, EMBEDDED]);
    let http = embedded(&program).await;
    let first = named(&format!("{name}-0"));
    let everywhere = async || {
        [in_consul(&consul, &name).await, in_zookeeper(&server, "/r", &name).await, in_embedded(http, &name).await]
    };
    let everywhere_is = |names: Vec<String>| [names.clone(), names.clone(), names];
    becomes(everywhere_is(vec![first.name.clone()]), SOON, everywhere).await;

    // Consul stands still: one goes, one comes, and the others know at once.
    consul.freeze();
    drop(first);
    let second = named(&format!("{name}-1"));
    let others = async || [in_zookeeper(&server, "/r", &name).await, in_embedded(http, &name).await];
    becomes([vec![second.name.clone()], vec![second.name.clone()]], AT_ONCE, others).await;
    consul.thaw();
    becomes(everywhere_is(vec![second.name.clone()]), SOON, everywhere).await;

    // And the other way round.
    server.freeze();
    drop(second);
    let third = named(&format!("{name}-2"));
    let others = async || [in_consul(&consul, &name).await, in_embedded(http, &name).await];
    becomes([vec![third.name.clone()], vec![third.name.clone()]], AT_ONCE, others).await;
    server.thaw();
    becomes(everywhere_is(vec![third.name.clone()]), SOON, everywhere).await;
}

#[tokio::test]
async fn those_that_are_away_at_the_start_are_said_tried_on_and_served_when_they_come() {
    let (away, hung, well) = (Consul::start().await, Consul::start().await, ZooKeeper::start().await);
    let mut cutter = Cutter::tcp(away.address()).await;
    cutter.refuse().await;
    let recorder = HttpRecorder::start(hung.address()).await;
    recorder.set(Mode::Hang);
    let name = unique("start");
    let container = named(&name);
    let uris = [
        format!("consul://{}", cutter.address()),
        format!("consul://{}", recorder.address()),
        format!("zookeeper://{}/r", well.address()),
    ];
    let program = registrator(&uris[0], &[&uris[1], &uris[2], EMBEDDED]);
    let http = embedded(&program).await;
    becomes(vec![name.clone()], AT_ONCE, || in_zookeeper(&well, "/r", &name)).await;
    becomes(vec![name.clone()], AT_ONCE, || in_embedded(http, &name)).await;
    for uri in &uris[..2] {
        program.wait_for(&format!("{uri}: starting without it, and trying again: ")).await;
    }
    cutter.restore().await;
    becomes(set([id(&container, "80")]), SOON, || ids(&away, &name)).await;
    recorder.set(Mode::Pass);
    becomes(set([id(&container, "80")]), SOON, || ids(&hung, &name)).await;
    for uri in &uris[..2] {
        program.wait_for(&format!("{uri}: reached again")).await;
    }
}

#[tokio::test]
async fn only_when_none_can_be_reached_is_there_nothing_to_run_for() {
    let mut first = Cutter::tcp(([127, 0, 0, 1], 1).into()).await;
    let mut second = Cutter::tcp(([127, 0, 0, 1], 1).into()).await;
    first.refuse().await;
    second.refuse().await;
    let uris = [&first, &second].map(|cutter| format!("consul://{}", cutter.address()));
    let mut program = registrator(&uris[0], &["-retry-attempts", "1", "-retry-interval", "50", &uris[1]]);
    assert_eq!(program.ended(SOON).await.code(), Some(1));
    assert_eq!(program.logged("Connecting to backend (1/1)"), 2);
    let log = program.log();
    let last = log.last().expect("a line");
    for cutter in [&first, &second] {
        assert!(last.contains(&format!("http://{}: ", cutter.address())), "{last}");
    }
    assert_eq!(last.matches("check the URI and that it runs").count(), 1);
}

#[tokio::test]
async fn ttl_and_policy_are_each_registrys_own() {
    let (plain, upserted, server) = (Consul::start().await, Consul::start().await, ZooKeeper::start().await);
    let name = unique("own");
    let uris = [
        format!("consul://{}?policy=sync", plain.address()),
        format!("consul://{}?policy=upsert-only", upserted.address()),
        format!("zookeeper://{}/short?ttl=3", server.address()),
        format!("zookeeper://{}/long?ttl=50", server.address()),
    ];
    let mut program = registrator(&uris[0], &[&uris[1], &uris[2], &uris[3]]);
    let (goes, stays) = (named(&format!("{name}-goes")), named(&format!("{name}-stays")));
    let all = |names: &[&Container]| names.iter().map(|container| container.name.clone()).collect::<Vec<_>>();
    let (both, one) = (all(&[&goes, &stays]), all(&[&stays]));
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    let seen = async || {
        [
            sorted(in_consul(&plain, &name).await),
            sorted(in_consul(&upserted, &name).await),
            in_zookeeper(&server, "/short", &name).await,
            in_zookeeper(&server, "/long", &name).await,
        ]
    };
    becomes([&both, &both, &both, &both].map(Clone::clone), SOON, seen).await;
    drop(goes);
    becomes([&one, &both, &one, &one].map(Clone::clone), SOON, seen).await;
    // After a crash, entries live as long as each registry was told.
    program.signal("KILL");
    program.ended(SOON).await;
    becomes([&one, &both, &Vec::new(), &one].map(Clone::clone), SOON, seen).await;
}
