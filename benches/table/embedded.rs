//! How fast the embedded registry answers, beside a real Consul on the same machine.
//!
//! Both hold the same services; the same load comes to one after the other: `wrk` over HTTP, and our own
//! load over DNS.

use std::net::SocketAddr;
use std::sync::Arc;

use litemap::LiteMap;
use registrator::config::RegistryConfig;
use registrator::container::{Health, Moment, Protocol};
use registrator::registry::embedded::Embedded;
use registrator::registry::{Action, Reason, Registry, Write};
use registrator::service::{Origin, Service};
use serde_json::json;
use testkit::consul::{Consul, Options};
use testkit::servers::binary;
use tokio::process::Command;

use crate::Bench;
use crate::report::Cell;

/// Services, and instances of the one that is asked for.
const SERVICES: u16 = 200;
const INSTANCES: u16 = 10;

/// How long each row is measured for.
const DURATION: &str = "5s";

fn service(name: &str, number: u16) -> Service {
    Service {
        id: format!("host:{name}.{number}:80").into(),
        name: name.to_owned(),
        address: "10.1.2.3".into(),
        port: 10_000 + number,
        protocol: Protocol::Tcp,
        tags: vec!["blue".to_owned(), format!("n{number}")].into(),
        attributes: Arc::new(LiteMap::from_iter([("region".to_owned(), "us2".to_owned())])),
        ttl: None,
        check: None,
        health: Health::None,
        traefik: None,
        origin: Origin {
            container: "0123456789abcdef".into(),
            container_name: "web".into(),
            created: Moment::default(),
            started: Moment::default(),
            claimed: false,
            address_of: registrator::service::AddressOf::Container,
            hostname: "inside".into(),
            exposed_port: 80,
        },
    }
}

fn services() -> Vec<Service> {
    let others = (0..SERVICES).map(|number| service(&format!("service{number}"), number));
    others.chain((0..INSTANCES).map(|number| service("web", number))).collect()
}

/// Requests per second that `wrk` gets answered; every answer must be a good one.
async fn requests_per_second(server: SocketAddr, path: &str, connections: u16) -> f64 {
    let output = Command::new(binary("wrk"))
        .args(["-t1", &format!("-c{connections}"), &format!("-d{DURATION}"), &format!("http://{server}{path}")])
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && !text.contains("Non-2xx"), "{path}: {text}");
    let line = text.lines().find_map(|line| line.strip_prefix("Requests/sec:")).unwrap_or_else(|| panic!("{text}"));
    line.trim().parse().unwrap()
}

async fn queries_per_second(server: SocketAddr, name: &str, kind: u16) -> f64 {
    testkit::dns_load::load(server, name, kind, 50_000, 32).await.per_second()
}

fn row(bench: &mut Bench, what: &str, consul: f64, embedded: f64) {
    let numbers = [Cell::Number(consul, 0), Cell::Number(embedded, 0), Cell::Number(embedded / consul, 1)];
    bench.report.row([what.into()].into_iter().chain(numbers));
}

/// Requests per second, of the one and the other.
pub async fn measure(bench: &mut Bench) {
    let consul = Consul::with(Options { dns: true, ..Options::default() }).await;
    let config = RegistryConfig {
        uri: "embedded://127.0.0.1:0?dns=127.0.0.1:0".to_owned(),
        owner: "host".to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::default(),
    };
    let embedded = Embedded::start(&config).unwrap();
    for service in services() {
        let spelled = json!({
            "ID": service.id, "Name": service.name, "Address": service.address, "Port": service.port,
            "Tags": service.tags, "Meta": {"region": "us2"},
        });
        consul.put("/v1/agent/service/register", &spelled).await;
        let service = Arc::new(service);
        let key = embedded.key(&service);
        let write = Write { key, action: Action::Put(service), reason: Reason::Missing };
        assert_eq!(embedded.apply(&[write]).await, [Ok(())]);
    }
    let (theirs, ours) = (consul.address(), embedded.http_address().unwrap());
    let title = format!("The embedded registry beside Consul, {SERVICES} services");
    bench.report.table(&title, &["request", "Consul 1.8.7, per second", "embedded, per second", "ratio"]);
    for (path, connections) in [
        ("/v1/health/service/web", 32),
        ("/v1/health/service/web?passing", 32),
        ("/v1/health/service/service1", 32),
        ("/v1/health/service/web?tag=blue", 32),
        ("/v1/catalog/service/web", 32),
        ("/v1/catalog/services", 32),
        ("/v1/health/service/web", 1),
    ] {
        let there = requests_per_second(theirs, path, connections).await;
        let here = requests_per_second(ours, path, connections).await;
        let plural = if connections == 1 { "" } else { "s" };
        row(bench, &format!("`GET {path}`, {connections} connection{plural}"), there, here);
    }
    let (theirs, ours) = (consul.dns_address(), embedded.dns_address().unwrap());
    for (name, kind, kind_name) in [("web.service.consul.", 1, "A"), ("web.service.consul.", 33, "SRV")] {
        let there = queries_per_second(theirs, name, kind).await;
        let here = queries_per_second(ours, name, kind).await;
        row(bench, &format!("`{name} {kind_name}`, 32 in flight"), there, here);
    }
}
