//! Whoever answers without an end is not listened to for ever: not an engine, not a registry, not what a
//! template asks for.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "support/registry.rs"]
mod batches;

use std::sync::Arc;
use std::time::Duration;

use batches::{Batches as _, open};
use registrator::config::{DockerConfig, RegistryConfig};
use registrator::container::{ContainerId, Moment, Protocol};
use registrator::docker::Docker;
use registrator::registry::{Entry, Marked, Registry};
use registrator::service::{Origin, Service};
use testkit::endless::{Endless, Part};

const VERSION: (&str, &str) =
    ("/version", r#"{"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12","Os":"linux"}"#);

/// What the sockets between hold, beyond what was read.
const UNDERWAY: u64 = 16 << 20;

fn docker(server: &Endless) -> DockerConfig {
    DockerConfig {
        host: Some(format!("tcp://{}", server.address())),
        tls_verify: false,
        cert_path: None,
        api_version: None,
        keep_inspect: false,
        ip_label: None,
        list_all: false,
        resync: None,
    }
}

fn assert_read_at_most(server: &Endless, mebibytes: u64) {
    let sent = server.sent();
    assert!(sent <= (mebibytes << 20) + UNDERWAY, "{sent} bytes were taken, of {mebibytes} MiB that may be");
}

#[tokio::test]
async fn an_engine_that_does_not_end_its_answer_is_refused_at_a_limit() {
    for part in [Part::Body, Part::Complaint, Part::Headers] {
        let server = Endless::start(part, &[]).await;
        let refusal = Docker::connect(&docker(&server)).await.unwrap_err().to_string();
        assert!(refusal.len() < 1000, "{refusal}");
        assert_read_at_most(&server, 1);
    }
    let id = ContainerId::from("0123456789ab");
    for part in [Part::Body, Part::Complaint, Part::Headers] {
        let server = Endless::start(part, &[VERSION]).await;
        let docker = Docker::connect(&docker(&server)).await.unwrap();
        let refusal = docker.list().await.unwrap_err().to_string();
        assert!(refusal.len() < 1000, "{refusal}");
        assert_read_at_most(&server, 64);
        let before = server.sent();
        let refusal = docker.inspect(&id).await.unwrap_err().to_string();
        assert!(refusal.len() < 1000, "{refusal}");
        assert!(server.sent() - before <= (8 << 20) + UNDERWAY);
    }
}

#[tokio::test]
async fn an_event_that_does_not_end_is_skipped_and_not_kept() {
    let server = Endless::start(Part::Body, &[VERSION]).await;
    let docker = Docker::connect(&docker(&server)).await.unwrap();
    let mut stream = docker.events().await.unwrap();
    let before = resident();
    while server.sent() < 256 << 20 {
        let heard = stream.next().await.unwrap();
        assert!(heard.hints.is_empty());
    }
    let grown = resident().saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more are held");
}

/// How many bytes of memory this process holds.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).and_then(|kibibytes| kibibytes.parse::<u64>().ok()).unwrap() << 10
}

fn opened(scheme: &str, server: &Endless) -> Arc<dyn Registry> {
    open(&RegistryConfig {
        uri: format!("{scheme}://{}", server.address()),
        owner: "host".to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::default(),
    })
    .unwrap()
    .registry
}

fn service() -> Arc<Service> {
    Arc::new(Service {
        id: "host:web:80".into(),
        name: "web".to_owned(),
        address: "192.0.2.1".into(),
        port: 80,
        protocol: Protocol::Tcp,
        tags: Arc::default(),
        attributes: Arc::new(litemap::LiteMap::new()),
        ttl: None,
        check: None,
        health: registrator::container::Health::None,
        traefik: None,
        origin: Origin {
            container: ContainerId::from("0123456789ab"),
            container_name: "web".into(),
            hostname: "host".into(),
            exposed_port: 80,
            created: Moment::default(),
            started: Moment::default(),
            claimed: false,
            address_of: registrator::service::AddressOf::Container,
        },
    })
}

#[tokio::test]
async fn a_consul_that_does_not_end_its_answer_is_refused_at_a_limit() {
    for part in [Part::Body, Part::Complaint, Part::Headers] {
        let server = Endless::start(part, &[]).await;
        let registry = opened("consul", &server);
        let entry = Entry {
            key: "a".into(),
            service_id: "a".into(),
            owner: Some("host".into()),
            fingerprint: 0,
            marked: Marked::No,
            critical: false,
            content: None,
        };
        let refusals = [
            registry.ping().await.unwrap_err(),
            registry.entries().await.unwrap_err(),
            registry.register(&[service()]).await.remove(0).unwrap_err(),
            registry.deregister(&[entry]).await.remove(0).unwrap_err(),
        ];
        for refusal in refusals {
            assert!(refusal.to_string().len() < 1000, "{refusal}");
        }
        assert_read_at_most(&server, 4 * 64 + 3 * 16);
        // The watch asks too, and goes on living.
        let _ = tokio::time::timeout(Duration::from_millis(300), registry.changed()).await;
    }
}

#[tokio::test]
async fn an_etcd_that_does_not_end_its_answer_is_refused_at_a_limit() {
    for (scheme, part) in
        [("etcd2", Part::Body), ("etcd2", Part::Complaint), ("etcd2", Part::Headers), ("etcd3", Part::Body)]
    {
        let server = Endless::start(part, &[]).await;
        let registry = opened(scheme, &server);
        let refusals = [registry.ping().await.unwrap_err(), registry.entries().await.unwrap_err()];
        for refusal in refusals {
            assert!(refusal.to_string().len() < 1000, "{refusal}");
        }
        // Some of it is asked for again within one call.
        assert_read_at_most(&server, 6 * 64);
    }
}

#[tokio::test]
async fn whatever_a_consul_answers_is_entries_or_one_line() {
    let bodies = [
        "",
        "null",
        "[]",
        "{}",
        "1",
        "\"\"",
        "{",
        "\u{0}",
        "[[[[[[[[",
        r#"{"a":null}"#,
        r#"{"a":{"Service":1,"Port":-1}}"#,
        r#"{"a":{"Service":"x","Port":99999999999999999999,"Tags":"y","Meta":[1]}}"#,
        r#"{"a":{"Service":"x","Port":1.5,"Tags":[1,null,"t"],"Meta":{"registrator-owner":{}}},"service:a":{"Notes":1}}"#,
    ];
    let deep = "[".repeat(100_000);
    for body in bodies.into_iter().chain([deep.as_str()]) {
        let server = Endless::start(Part::Body, &[("", body)]).await;
        let registry = opened("consul", &server);
        for outcome in [registry.ping().await.map(|()| Vec::new()), registry.entries().await] {
            if let Err(error) = outcome {
                let line = error.to_string();
                assert!(!line.contains(char::is_control) && line.len() < 1000, "{line:?}");
            }
        }
        if let Err(error) = registry.register(&[service()]).await.remove(0) {
            assert!(error.to_string().len() < 1000, "{error}");
        }
    }
}
