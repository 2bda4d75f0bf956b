//! Health checks: what a probe finds, and how it is told, beside a real Consul.

use std::net::SocketAddr;
use std::time::Duration;

use registrator::service::{CheckKind, Service};
use serde_json::Value;
use tokio::time::Instant;

use super::beside::{Beside, checked, embedded, get, service};
use super::support::registry::Batches as _;
use super::targets::{grpc_server, web_server};

fn http(path: &str, method: Option<&str>) -> CheckKind {
    CheckKind::Http { tls: false, path: path.to_owned(), method: method.map(str::to_owned), skip_verify: false }
}

/// Status and output of a service's check, as the agent tells it.
async fn result(server: SocketAddr, id: &str) -> Value {
    let check = get(server, "/v1/agent/checks").await.json()[format!("service:{id}")].take();
    serde_json::json!([check["Status"], check["Output"], check["Type"]])
}

#[tokio::test]
async fn a_probe_finds_and_says_what_consuls_does() {
    let web = web_server().await;
    let (serving, not_serving) = (grpc_server(1).await, grpc_server(2).await);
    let at = |id: &str, target: SocketAddr, kind: CheckKind| {
        checked(service(id, "web", &target.ip().to_string(), target.port()), kind, None)
    };
    let closed: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let grpc = || CheckKind::Grpc { tls: false, skip_verify: false };
    let script = |line: &str| CheckKind::Script(line.to_owned());
    let services: Vec<Service> = vec![
        at("http-ok", web, http("/ok", None)),
        at("http-get", web, http("/ok", Some("GET"))),
        at("http-busy", web, http("/busy", None)),
        at("http-broken", web, http("/broken", None)),
        at("http-moved", web, http("/moved", None)),
        at("http-closed", closed, http("/ok", None)),
        at("tcp-ok", web, CheckKind::Tcp),
        at("tcp-closed", closed, CheckKind::Tcp),
        at("grpc-ok", serving, grpc()),
        at("grpc-not", not_serving, grpc()),
        at("grpc-closed", closed, grpc()),
        at("script-ok", web, script("echo out; echo err >&2")),
        at("script-warn", web, script("echo so; exit 1")),
        at("script-bad", web, script("echo no; exit 2")),
        at("script-long", web, script("head -c 10000 /dev/zero | tr '\\0' y")),
    ];
    let both = Beside::start(&services).await;
    for service in &services {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let theirs = result(both.consul.address(), &service.id).await;
            let ours = result(both.ours(), &service.id).await;
            let probed = !theirs[1].as_str().unwrap().is_empty();
            if probed && ours == theirs {
                break;
            }
            assert!(Instant::now() < deadline, "{}: ours {ours} Consul's {theirs}", service.id);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn a_long_answer_of_a_service_is_cut() {
    let web = web_server().await;
    let registry = embedded("n", "");
    let server = registry.http_address().unwrap();
    let long = checked(service("i", "web", "127.0.0.1", web.port()), http("/long", None), None);
    registry.register(&[long.into()]).await;
    let index = get(server, "/v1/health/service/web").await.index();
    let told = get(server, &format!("/v1/health/service/web?index={index}")).await.json();
    let output = told[0]["Checks"][1]["Output"].as_str().unwrap().to_owned();
    assert!(output.ends_with('y') && output.len() < 4200, "{output}");
}

#[tokio::test]
async fn results_that_are_the_same_wake_nobody_and_a_check_ends_with_its_service() {
    let web = web_server().await;
    let registry = embedded("n", "");
    let server = registry.http_address().unwrap();
    registry.register(&[checked(service("i", "web", "127.0.0.1", web.port()), CheckKind::Tcp, None).into()]).await;
    let index = get(server, "/v1/health/state/any").await.index();
    let passing = get(server, &format!("/v1/health/state/any?index={index}&wait=20s")).await;
    assert_eq!(passing.json()[1]["Status"], "passing");
    let started = Instant::now();
    let after = get(server, &format!("/v1/health/state/any?index={}&wait=2500ms", passing.index())).await;
    assert_eq!(after.index(), passing.index());
    assert!(started.elapsed() >= Duration::from_millis(2500));
    registry.deregister(&registry.entries().await.unwrap()).await;
    let index = get(server, "/v1/health/state/any").await.index();
    let after = get(server, &format!("/v1/health/state/any?index={index}&wait=2500ms")).await;
    assert_eq!((after.index(), after.json().as_array().unwrap().len()), (index, 1));
}
