//! The whole program with a ZooKeeper: what it writes, and that readers miss it for no longer than an instant,
//! however it ends.

#![cfg(feature = "zookeeper")]
// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used)]

mod support;

use std::time::{Duration, Instant};

use support::{IP, SOON, registrator_with};
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::program::Program;
use testkit::wait::{becomes, stays};
use testkit::zookeeper::ZooKeeper;
use zookeeper_client::Client;

const WEB: &str = "/services/web/192.168.1.102:8000";
const DATA: &str = r#"{"Name":"web","IP":"192.168.1.102","PublicPort":8000,"PrivatePort":80,"ContainerID":"web.0","Tags":["a\u003cb"],"Attrs":{"region":"us2"}}"#;

/// How long a session lives in these tests, in seconds.
const TTL: u64 = 4;

fn web() -> FakeContainer {
    let container = FakeContainer::new("web.0").image("library/web").publish("80/tcp", 8000);
    container.env("SERVICE_TAGS=a<b").env("SERVICE_REGION=us2")
}

fn program(server: &ZooKeeper, engine: &FakeEngine) -> Program {
    let uri = format!("zookeeper://{}/services?ttl={TTL}", server.address());
    registrator_with(&uri, &[], &[("DOCKER_HOST", &engine.host())])
}

async fn paths(server: &ZooKeeper) -> Vec<String> {
    server.nodes("/services").await.into_keys().collect()
}

/// The session that holds the node, 0 for none, and the time until it is another's, with how long there was no node.
async fn handed_over(client: &Client, from: i64) -> (i64, Duration) {
    let deadline = Instant::now() + SOON;
    let mut missing = Duration::ZERO;
    let mut last = Instant::now();
    loop {
        let stat = client.check_stat(WEB).await.expect("a stat");
        let now = Instant::now();
        match stat {
            None => missing += now - last,
            Some(stat) if stat.ephemeral_owner != from => return (stat.ephemeral_owner, missing),
            Some(_) => {}
        }
        assert!(now < deadline, "nobody took over");
        last = now;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn holder(client: &Client) -> i64 {
    client.check_stat(WEB).await.expect("a stat").map_or(0, |stat| stat.ephemeral_owner)
}

#[tokio::test]
async fn a_container_is_a_node_while_it_runs() {
    let server = ZooKeeper::start().await;
    let engine = FakeEngine::start().await;
    let _program = program(&server, &engine);
    let id = engine.run(web());
    becomes(vec![WEB.to_owned()], SOON, || paths(&server)).await;
    assert_eq!(server.nodes("/services").await[WEB], DATA);
    engine.stop(&id, 0);
    // Nothing but the path itself is left.
    becomes(vec!["/services".to_owned()], SOON, || paths(&server)).await;
}

#[tokio::test]
async fn after_a_crash_or_a_stop_the_next_run_takes_over_with_hardly_a_gap() {
    let server = ZooKeeper::start().await;
    let client = server.client().await;
    let engine = FakeEngine::start().await;
    engine.run(web());
    let mut running = program(&server, &engine);
    becomes(vec![WEB.to_owned()], SOON, || paths(&server)).await;
    for signal in ["KILL", "TERM"] {
        let before = holder(&client).await;
        running.signal(signal);
        running.ended(SOON).await;
        running = program(&server, &engine);
        let (after, missing) = handed_over(&client, before).await;
        assert_ne!(after, 0);
        assert!(missing < Duration::from_secs(1), "SIG{signal}: missing for {missing:?}");
    }
    assert_eq!(server.nodes("/services").await[WEB], DATA);
}

#[tokio::test]
async fn a_program_that_stood_still_for_too_long_registers_again() {
    let server = ZooKeeper::start().await;
    let client = server.client().await;
    let engine = FakeEngine::start().await;
    engine.run(web());
    let program = program(&server, &engine);
    becomes(vec![WEB.to_owned()], SOON, || paths(&server)).await;
    let before = holder(&client).await;
    program.signal("STOP");
    becomes(0, SOON, || holder(&client)).await;
    program.signal("CONT");
    becomes(true, SOON, async || ![0, before].contains(&holder(&client).await)).await;
    assert_eq!(server.nodes("/services").await[WEB], DATA);
}

#[tokio::test]
async fn two_hosts_of_one_name_keep_their_hands_off_each_other() {
    let server = ZooKeeper::start().await;
    let client = server.client().await;
    let (one, two) = (FakeEngine::start().await, FakeEngine::start().await);
    one.run(web());
    let first = program(&server, &one);
    becomes(vec![WEB.to_owned()], SOON, || paths(&server)).await;
    let before = holder(&client).await;

    // The second wants the same place, and one of its own.
    let same = two.run(web());
    two.run(FakeContainer::new("api.0").image("api").publish("80/tcp", 8001));
    let second = program(&server, &two);
    let api = format!("/services/api/{IP}:8001");
    becomes(vec![api.clone(), WEB.to_owned()], SOON, || paths(&server)).await;
    second.wait_for(": 1 service is already registered by another instance; waiting for it to stop").await;
    two.stop(&same, 0);
    second.wait_for("Syncing services").await;
    stays("both", Duration::from_secs(2), async || paths(&server).await == [api.clone(), WEB.to_owned()]).await;
    assert_eq!(holder(&client).await, before);

    // The one that ends takes only its own with it.
    drop(first);
    becomes(vec![api], SOON, || paths(&server)).await;
}

#[tokio::test]
async fn a_second_instance_is_told_what_keeps_the_two_apart_in_zookeeper_where_no_owner_does() {
    let server = ZooKeeper::start().await;
    let engine = FakeEngine::start().await;
    engine.run(web());
    let _first = program(&server, &engine);
    becomes(vec![WEB.to_owned()], SOON, || paths(&server)).await;

    let cure = "give each its own -ip, or its own path in the URI";
    let same = program(&server, &engine);
    let line = same.wait_for("1 service is already registered by another instance").await;
    assert!(line.ends_with(cure) && !line.contains("-owner"), "{line}");

    let other_engine = FakeEngine::start().await;
    other_engine.run(web().env("SERVICE_REGION=eu"));
    let other = program(&server, &other_engine);
    let line = other.wait_for("register failed: ").await;
    assert!(line.ends_with("give each instance its own -ip, or its own path in the URI"), "{line}");
    assert!(!line.contains("-owner") && !line.contains("SERVICE_ID"), "{line}");
}
