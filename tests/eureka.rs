//! The whole program with a stand-in for Eureka's server: what becomes of its entries however the program, or the server, ends.

// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

mod support;

use std::cell::Cell;
use std::time::Duration;

use support::{SOON, registrator_with};
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::eureka::{Eureka, Options};
use testkit::program::Program;
use testkit::wait::becomes;

fn container(name: &str, port: u16) -> FakeContainer {
    FakeContainer::new(name).image("library/web").publish("80/tcp", port)
}

fn program(server: &Eureka, engine: &FakeEngine, options: &[&str]) -> Program {
    registrator_with(&server.uri(), options, &[("DOCKER_HOST", &engine.host())])
}

fn keys(names: &[&str]) -> Vec<String> {
    let mut keys: Vec<_> = names.iter().map(|name| format!("WEB/hostname:{name}:80")).collect();
    keys.sort();
    keys
}

#[tokio::test]
async fn what_a_crashed_run_left_goes_at_the_next_start_though_the_server_lets_nothing_expire() {
    let server = Eureka::with(Options { cache: Some(Duration::from_secs(30)), ..Options::default() }).await;
    let engine = FakeEngine::start().await;
    engine.run(container("stays", 8000));
    let gone = engine.run(container("gone", 8001));
    let mut crashed = program(&server, &engine, &[]);
    becomes(keys(&["stays", "gone"]), SOON, async || server.keys()).await;
    crashed.signal("KILL");
    crashed.ended(SOON).await;
    let before = server.instance("WEB", "hostname:stays:80").map(|instance| instance["lastDirtyTimestamp"].clone());
    engine.stop(&gone, 0);
    server.pass(Duration::from_secs(3600));
    assert_eq!(server.keys(), keys(&["gone", "stays"]), "it expired by itself");
    let _next = program(&server, &engine, &[]);
    becomes(keys(&["stays"]), SOON, async || server.keys()).await;
    let after = server.instance("WEB", "hostname:stays:80").map(|instance| instance["lastDirtyTimestamp"].clone());
    assert_eq!(before, after, "what was right was written");
}

#[tokio::test]
async fn a_server_that_lost_everything_is_filled_again_and_heartbeats_go_on() {
    let mut server = Eureka::start().await;
    let engine = FakeEngine::start().await;
    engine.run(container("one", 8000));
    engine.run(container("two", 8001));
    let _program = program(&server, &engine, &["-ttl", "6", "-ttl-refresh", "1"]);
    becomes(keys(&["one", "two"]), SOON, async || server.keys()).await;
    server.restart_empty().await;
    becomes(keys(&["one", "two"]), SOON, async || server.keys()).await;
    let _ = server.take_seen();
    let beats = Cell::new(0);
    becomes(true, SOON, async || {
        let is_beat = |path: &str| path.starts_with("apps/WEB/hostname:one:80?status=UP&lastDirtyTimestamp=");
        let new = server.take_seen().iter().filter(|seen| seen.method == "PUT" && is_beat(&seen.path)).count();
        beats.set(beats.get() + new);
        beats.get() >= 3
    })
    .await;
}

#[tokio::test]
async fn cleanup_and_adoption_leave_an_application_that_registered_itself_alone() {
    let server = Eureka::start().await;
    let engine = FakeEngine::start().await;
    engine.run(container("mine", 8000));
    let spring = serde_json::json!({"instance": {"instanceId": "hostname:spring:80", "app": "WEB", "hostName": "10.9.9.9",
        "ipAddr": "10.9.9.9", "status": "UP", "port": {"$": 80, "@enabled": "true"}, "vipAddress": "web",
        "dataCenterInfo": {"@class": "com.netflix.appinfo.MyDataCenterInfo", "name": "MyOwn"}}});
    let request = testkit::http::Request {
        method: "POST".to_owned(),
        path: "/eureka/apps/WEB".to_owned(),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: spring.to_string().into_bytes(),
    };
    let place = testkit::net::Place::Tcp(server.address());
    assert_eq!(testkit::http::send(&place, &request).await.expect("an answer").status, 204);
    let program = program(&server, &engine, &["-cleanup", "-adopt", "-resync", "1"]);
    becomes(keys(&["mine", "spring"]), SOON, async || server.keys()).await;
    // Several rounds of comparing everything.
    let _ = server.take_seen();
    let lists = Cell::new(0);
    becomes(true, SOON, async || {
        let new = server.take_seen().iter().filter(|seen| seen.path == "apps/").count();
        lists.set(lists.get() + new);
        lists.get() >= 3
    })
    .await;
    assert_eq!(server.keys(), keys(&["mine", "spring"]));
    assert_eq!(program.logged("removed: "), 0);
}
