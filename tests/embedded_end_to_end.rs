//! One machine needs nothing else: containers of a real engine, found over HTTP and DNS.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};
use support::{IP, SOON, addresses, id, registrator, served};
use testkit::docker::{IMAGE, Spec, unique};
use testkit::http::{Request, send};
use testkit::net::Place;
use testkit::wait::{becomes, eventually};

const ANYWHERE: &str = "embedded://127.0.0.1:0?dns=127.0.0.1:0";

async fn get(http: SocketAddr, path: &str) -> Value {
    let request = Request { method: "GET".to_owned(), path: path.to_owned(), ..Request::default() };
    let reply = send(&Place::Tcp(http), &request).await.unwrap();
    serde_json::from_slice(&reply.body).unwrap_or(Value::Null)
}

/// What `dig` prints of the answers alone, in order.
fn dig(dns: SocketAddr, name: &str, kind: &str) -> Vec<String> {
    let server = format!("@{}", dns.ip());
    let port = dns.port().to_string();
    let found = Command::new("dig").args([&server, "-p", &port, "+short", name, kind]).output().unwrap();
    let mut lines: Vec<_> = String::from_utf8_lossy(&found.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn a_container_is_found_over_http_and_dns_while_it_runs() {
    let program = registrator(ANYWHERE, &[]);
    let (http, dns) = addresses(&program).await;
    let name = unique("embedded");
    let container =
        Spec::new(&name).publish("80/tcp").env(&format!("SERVICE_NAME={name}")).env("SERVICE_TAGS=blue").start();
    let port = container.host_port("80/tcp");
    let found = async || {
        let found = get(http, &format!("/v1/health/service/{name}?passing&tag=blue")).await;
        found.as_array().into_iter().flatten().map(|entry| entry["Service"]["Port"].clone()).collect::<Vec<_>>()
    };
    becomes(vec![json!(port)], SOON, found).await;
    assert_eq!(dig(dns, &format!("{name}.service.consul"), "A"), [IP]);
    assert_eq!(dig(dns, &format!("blue.{name}.service.dc1.consul"), "A"), [IP]);
    let srv = dig(dns, &format!("_{name}._blue.service.consul"), "SRV");
    assert!(srv.len() == 1 && srv[0].starts_with(&format!("1 1 {port} ")), "{srv:?}");
    container.act("kill");
    becomes(vec![], SOON, found).await;
    assert_eq!(dig(dns, &format!("{name}.service.consul"), "A"), [""; 0]);
}

#[tokio::test]
async fn a_restart_rebuilds_everything_from_what_runs() {
    let name = unique("rebuilt");
    let container = Spec::new(&name).publish("80/tcp").start();
    for _ in 0..2 {
        let program = registrator(ANYWHERE, &[]);
        let (http, _) = addresses(&program).await;
        let held = async || !get(http, "/v1/agent/services").await[id(&container, "80")].is_null();
        becomes(true, SOON, held).await;
    }
}

/// The address of the host on the engine's own bridge (`docker0`), which containers reach it at.
fn bridge_address() -> String {
    let probe = Spec::new(&unique("bridge")).start();
    probe.inspect()["NetworkSettings"]["Gateway"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_container_pings_a_service_by_its_bare_name() {
    let bridge = bridge_address();
    let uri = format!("embedded://127.0.0.1:0?dns={bridge}:53");
    // There is one such port: another run of this test may have it for a while.
    let program = eventually("port 53 of docker0 is free for the registry", 4 * SOON, async || {
        let program = registrator(&uri, &["-internal"]);
        let started =
            async || Some(program.log().concat()).filter(|log| log.contains("HTTP on") || log.contains("is taken"));
        let log = eventually("it starts", SOON, started).await;
        log.contains("HTTP on").then_some(program)
    });
    let program = program.await;
    let name = unique("pinged");
    let web = Spec::new(&name).expose("80/tcp").env(&format!("SERVICE_NAME={name}")).start();
    program.wait_for(&format!("added: {} {}", web.short(), id(&web, "80"))).await;
    let address = web.inspect()["NetworkSettings"]["IPAddress"].as_str().unwrap().to_owned();
    let run = ["run", "--rm", "--dns", &bridge, "--dns-search", "service.consul", IMAGE];
    let ping = Command::new("docker").args(run).args(["ping", "-c", "1", "-w", "20", &name]).output().unwrap();
    let said = String::from_utf8_lossy(&ping.stdout);
    assert!(said.contains(&format!("PING {name} ({address})")) && said.contains("1 packets received"), "{ping:?}");
}

/// Which of two instances are told of, as the last part of their addresses.
async fn told(http: SocketAddr, path: &str) -> Vec<String> {
    let instances = get(http, path).await;
    let address = |one: &Value| one["Service"]["Address"].as_str().unwrap_or_default().replace("10.0.0.", "");
    instances.as_array().into_iter().flatten().map(address).collect()
}

#[tokio::test]
async fn an_instance_that_the_engine_finds_ill_is_known_and_nobody_is_led_to_it() {
    let program = registrator(ANYWHERE, &[]);
    let (http, dns) = addresses(&program).await;
    let name = unique("health");
    let second = 1_000_000_000_u64;
    let web = |number: u8| {
        Spec::new(&format!("{name}-{number}"))
            .publish("80/tcp")
            .env(&format!("SERVICE_NAME={name}"))
            .env(&format!("SERVICE_IP=10.0.0.{number}"))
    };
    let _well = web(1).start();
    let test = json!(["CMD", "test", "-e", "/well"]);
    let health = json!({"Test": test, "Interval": 2 * second, "StartPeriod": 600 * second, "Retries": 1});
    let container = web(2).with("Healthcheck", health).start();
    let status = async || {
        let checks = get(http, &format!("/v1/health/checks/{name}")).await;
        checks[0]["Status"].clone()
    };
    let answers = async || {
        let names = dig(dns, &format!("{name}.service.consul"), "A");
        let names: Vec<_> = names.iter().map(|address| address.replace("10.0.0.", "")).collect();
        let passing = told(http, &format!("/v1/health/service/{name}?passing")).await;
        let all = told(http, &format!("/v1/health/service/{name}")).await;
        [all, names, passing].map(|list| list.join(" "))
    };
    let inside = |line: &str| {
        let done = Command::new("docker").args(["exec", &container.id, "sh", "-c", line]).status().unwrap();
        assert!(done.success(), "{line}");
    };
    for (line, is, expected) in [
        ("true", "warning", ["1 2", "1 2", "1"]),
        ("touch /well", "passing", ["1 2", "1 2", "1 2"]),
        ("rm /well", "critical", ["1 2", "1", "1"]),
        ("touch /well", "passing", ["1 2", "1 2", "1 2"]),
    ] {
        inside(line);
        becomes(json!(is), SOON, status).await;
        becomes(expected.map(str::to_owned), SOON, answers).await;
    }
}

#[tokio::test]
async fn two_of_them_serve_in_one_run_each_its_own_zone() {
    let options = ["embedded://127.0.0.1:0?dns=127.0.0.1:0&domain=other.example&datacenter=dc2"];
    let program = registrator(ANYWHERE, &options);
    let name = unique("two");
    let _web = Spec::new(&name).publish("80/tcp").env(&format!("SERVICE_NAME={name}")).start();
    let started = async || program.logged("embedded: HTTP on ");
    becomes(2, SOON, started).await;
    let log = program.log();
    let mut datacenters = Vec::new();
    for (http, dns) in log.iter().filter_map(|line| served(line)) {
        let listed = async || get(http, &format!("/v1/catalog/service/{name}")).await[0]["ServiceName"].clone();
        becomes(json!(name), SOON, listed).await;
        datacenters.push(get(http, "/v1/catalog/datacenters").await[0].clone());
        let zones = ["service.consul", "service.dc2.other.example"];
        let found = zones.map(|zone| dig(dns, &format!("{name}.{zone}"), "A").len());
        assert_eq!(found.iter().sum::<usize>(), 1, "{found:?}");
    }
    datacenters.sort_by_key(ToString::to_string);
    assert_eq!(datacenters, ["dc1", "dc2"]);
}

#[tokio::test]
async fn a_taken_port_is_one_line_that_names_it_and_the_option() {
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = held.local_addr().unwrap();
    for uri in [format!("embedded://{address}?dns=off"), format!("embedded://127.0.0.1:0?dns={address}")] {
        let mut program = registrator(&uri, &[]);
        let line = program.wait_for(&address.to_string()).await;
        assert!(!line.is_empty());
        let line = program.wait_for("that port is taken").await;
        assert!(line.contains(&address.to_string()) && line.contains("embedded://"), "{line}");
        assert_eq!(program.ended(SOON).await.code(), Some(1));
    }
}
