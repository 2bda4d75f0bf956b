//! The whole program with etcd: what it writes by either API, and what becomes of it however the program ends.

// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use support::{HOST, SOON, registrator_with};
use testkit::docker::Spec;
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::etcd::{EtcdServer, Options};
use testkit::program::Program;
use testkit::wait::{becomes, stays};

const WEB: &str = "/services/web/hostname:web.0:80";

fn container(name: &str, port: u16) -> FakeContainer {
    FakeContainer::new(name).image("library/web").publish("80/tcp", port)
}

fn program(server: &EtcdServer, engine: &FakeEngine) -> Program {
    let uri = format!("etcd://{}/services", server.address());
    registrator_with(&uri, &[], &[("DOCKER_HOST", &engine.host())])
}

fn held(entries: &[(&str, u16)]) -> BTreeMap<String, String> {
    let entry =
        |(name, port): &(&str, u16)| (format!("/services/web/{HOST}:{name}:80"), format!("192.168.1.102:{port}"));
    entries.iter().map(entry).collect()
}

fn mod_revision(server: &EtcdServer) -> String {
    let printed = server.ctl(&["get", WEB, "-w", "fields"]);
    printed.lines().find(|line| line.contains("ModRevision")).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn the_documented_example_comes_out_exactly_by_either_api() {
    let v2 = EtcdServer::with(Options { v2: true, ..Options::default() });
    let (v2, v3) = tokio::join!(v2, EtcdServer::start());
    let start = |server: &EtcdServer| {
        let uri = format!("etcd://{}", server.address());
        let arguments = ["-hostname", HOST, "-ip", "10.100.194.202", &uri];
        Program::start(Path::new(env!("CARGO_BIN_EXE_registrator")), arguments, [])
    };
    let _programs = [start(&v2), start(&v3)];
    let spec = Spec::new("nginx").image("nginx").publish_at("80/tcp", "", "1234");
    let nginx = spec.env("SERVICE_NAME=nginx").env("SERVICE_ID=nginx").start();
    let value = || Some("10.100.194.202:1234".to_owned());
    becomes(value(), SOON, async || v2.keys_v2("/nginx").remove("/nginx/nginx")).await;
    becomes(value(), SOON, async || v3.keys("/nginx/nginx").remove("/nginx/nginx")).await;
    drop(nginx);
    becomes(None, SOON, async || v2.keys_v2("/nginx").remove("/nginx/nginx")).await;
    becomes(None, SOON, async || v3.keys("/nginx/nginx").remove("/nginx/nginx")).await;
}

#[tokio::test]
async fn after_a_crash_the_next_run_writes_what_is_new_at_once_and_takes_over_the_rest_without_writing_it() {
    let server = EtcdServer::start().await;
    let engine = FakeEngine::start().await;
    engine.run(container("web.0", 8000));
    let gone = engine.run(container("gone", 8001));
    let mut crashed = program(&server, &engine);
    becomes(held(&[("web.0", 8000), ("gone", 8001)]), SOON, async || server.keys("/services/")).await;
    let before = mod_revision(&server);
    crashed.signal("KILL");
    crashed.ended(SOON).await;
    engine.stop(&gone, 0);
    engine.run(container("new", 8002));
    let mut second = program(&server, &engine);
    // What went meanwhile goes when the dead instance's sign of life has.
    becomes(held(&[("web.0", 8000), ("new", 8002)]), SOON, async || server.keys("/services/")).await;
    assert_eq!(mod_revision(&server), before);
    // The next one inherits from both.
    second.signal("KILL");
    second.ended(SOON).await;
    engine.run(container("newer", 8003));
    let _third = program(&server, &engine);
    becomes(held(&[("web.0", 8000), ("new", 8002), ("newer", 8003)]), SOON, async || server.keys("/services/")).await;
    assert_eq!(mod_revision(&server), before);
}

#[tokio::test]
async fn a_stop_leaves_the_entries_and_the_lease_to_the_next_run() {
    let server = EtcdServer::start().await;
    let engine = FakeEngine::start().await;
    let gone = engine.run(container("gone", 8001));
    engine.run(container("web.0", 8000));
    let mut first = program(&server, &engine);
    becomes(held(&[("web.0", 8000), ("gone", 8001)]), SOON, async || server.keys("/services/")).await;
    first.signal("TERM");
    first.ended(SOON).await;
    assert!(server.keys("/_registrator/services/alive/").is_empty());
    assert_eq!(server.keys("/services/"), held(&[("web.0", 8000), ("gone", 8001)]));
    engine.stop(&gone, 0);
    let second = program(&server, &engine);
    becomes(held(&[("web.0", 8000)]), SOON, async || server.keys("/services/")).await;
    assert_eq!(second.logged("register failed"), 0);
}

#[tokio::test]
async fn what_another_hand_does_to_our_entries_is_repaired_at_once() {
    let server = EtcdServer::start().await;
    let engine = FakeEngine::start().await;
    engine.run(container("web.0", 8000));
    let program = program(&server, &engine);
    let expected = held(&[("web.0", 8000)]);
    becomes(expected.clone(), SOON, async || server.keys("/services/")).await;
    program.wait_for("added: ").await;
    for change in [&["put", WEB, "x"][..], &["del", WEB], &["del", "--prefix", "/_registrator/services/"]] {
        server.ctl(change);
        becomes(expected.clone(), SOON, async || server.keys("/services/")).await;
    }
}

#[tokio::test]
async fn two_hosts_of_one_name_keep_their_hands_off_each_other() {
    let server = EtcdServer::start().await;
    let (one, two) = (FakeEngine::start().await, FakeEngine::start().await);
    one.run(container("web.0", 8000));
    let first = program(&server, &one);
    becomes(held(&[("web.0", 8000)]), SOON, async || server.keys("/services/")).await;

    // The second wants the same key, with another value, and one of its own.
    let same = two.run(container("web.0", 9000));
    two.run(container("api", 8001));
    let second = program(&server, &two);
    let both = held(&[("web.0", 8000), ("api", 8001)]);
    becomes(both.clone(), SOON, async || server.keys("/services/")).await;
    second.wait_for(&format!("register failed: {HOST}:web.0:80: it belongs to the owner")).await;
    two.stop(&same, 0);
    stays("both", Duration::from_secs(3), async || server.keys("/services/") == both).await;

    // When the first dies, nothing stands behind its entry where the second is.
    drop(first);
    becomes(held(&[("api", 8001)]), SOON, async || server.keys("/services/")).await;
}
