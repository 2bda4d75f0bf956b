//! A real Consul and an embedded registry, side by side.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use registrator::config::RegistryConfig;
use registrator::container::{Health, Moment, Protocol};
use registrator::registry::embedded::Embedded;
use registrator::service::{Check, CheckKind, Origin, Service};
use serde_json::{Value, json};
use testkit::consul::{Consul, Options};
use testkit::http::{Reply, Request, send};
use testkit::net::Place;

use super::support::registry::Batches as _;

/// An answer, as far as tests compare it.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn index(&self) -> u64 {
        self.headers["x-consul-index"].parse().unwrap()
    }
}

/// Asks a server; gives up after a minute.
pub(crate) async fn ask(server: SocketAddr, method: &str, path: &str) -> Answer {
    let request = Request { method: method.to_owned(), path: path.to_owned(), ..Request::default() };
    let place = Place::Tcp(server);
    let asked = tokio::time::timeout(Duration::from_secs(60), send(&place, &request));
    let Reply { status, headers, body } =
        asked.await.unwrap_or_else(|_| panic!("no answer to {path}")).unwrap_or_else(|error| panic!("{path}: {error}"));
    Answer { status, headers: headers.into_iter().collect(), text: String::from_utf8(body).unwrap() }
}

/// GETs a path.
pub(crate) async fn get(server: SocketAddr, path: &str) -> Answer {
    ask(server, "GET", path).await
}

/// An embedded registry on ports of its own; `options` are further parameters of its URI.
pub(crate) fn embedded(node: &str, options: &str) -> Embedded {
    let config = RegistryConfig {
        uri: format!("embedded://127.0.0.1:0?dns=127.0.0.1:0&address=127.0.0.1&node={node}{options}"),
        owner: "owner".to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::default(),
    };
    Embedded::start(&config).unwrap()
}

/// Both, with the same in them.
pub(crate) struct Beside {
    pub(crate) consul: Consul,
    pub(crate) embedded: Embedded,
}

impl Beside {
    pub(crate) async fn start(services: &[Service]) -> Self {
        let consul = Consul::with(Options { script_checks: true, ..Options::default() }).await;
        let embedded = embedded(&consul.node(), "&script-checks=true");
        let both = Self { consul, embedded };
        for service in services {
            both.register(service).await;
        }
        both
    }

    pub(crate) fn ours(&self) -> SocketAddr {
        self.embedded.http_address().unwrap()
    }

    /// Registers with both.
    pub(crate) async fn register(&self, service: &Service) {
        self.consul.put("/v1/agent/service/register?replace-existing-checks=true", &spelled(service)).await;
        let registered = self.embedded.register(&[Arc::new(service.clone())]).await;
        assert_eq!(registered, [Ok(())]);
    }

    /// Deregisters from both.
    pub(crate) async fn deregister(&self, id: &str) {
        self.consul.put(&format!("/v1/agent/service/deregister/{id}"), &Value::Null).await;
        let entries = self.embedded.entries().await.unwrap();
        let entries: Vec<_> = entries.into_iter().filter(|entry| *entry.key == *id).collect();
        assert_eq!(self.embedded.deregister(&entries).await, [Ok(())]);
    }

    /// Asks both the same.
    pub(crate) async fn get(&self, path: &str) -> (Answer, Answer) {
        (get(self.consul.address(), path).await, get(self.ours(), path).await)
    }
}

/// A service as it is written to Consul's agent.
fn spelled(service: &Service) -> Value {
    let meta: BTreeMap<_, _> = service.attributes.iter().collect();
    let mut value = json!({
        "ID": service.id, "Name": service.name, "Address": service.address, "Port": service.port,
        "Tags": service.tags, "Meta": meta,
    });
    let Some(check) = &service.check else { return value };
    let authority = service.authority();
    let mut spelled = match &check.kind {
        CheckKind::Ttl(ttl) => json!({"TTL": format!("{}ms", ttl.as_millis()), "Status": "passing"}),
        CheckKind::Tcp => json!({"TCP": authority}),
        CheckKind::Grpc { .. } => json!({"GRPC": authority}),
        CheckKind::Http { path, method, .. } => json!({"HTTP": format!("http://{authority}{path}"), "Method": method}),
        CheckKind::Script(script) => json!({"Args": ["sh", "-c", script]}),
        CheckKind::Command(_) => panic!("no such test"),
    };
    if !matches!(check.kind, CheckKind::Ttl(_)) {
        spelled["Interval"] = json!(format!("{}ms", check.interval.as_millis()));
    }
    if let Some(status) = &check.initial_status {
        spelled["Status"] = json!(status);
    }
    value["Check"] = spelled;
    value
}

/// A plain service.
pub(crate) fn service(id: &str, name: &str, address: &str, port: u16) -> Service {
    Service {
        id: id.into(),
        name: name.to_owned(),
        address: address.into(),
        port,
        protocol: Protocol::Tcp,
        tags: Arc::default(),
        attributes: Arc::default(),
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

/// The service with tags.
pub(crate) fn tagged(mut service: Service, tags: &[&str]) -> Service {
    service.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    service
}

/// The service with a check that looks once a second.
pub(crate) fn checked(mut service: Service, kind: CheckKind, status: Option<&str>) -> Service {
    let interval = Duration::from_secs(1);
    let initial_status = status.map(str::to_owned);
    service.check = Some(Box::new(Check {
        kind,
        interval,
        timeout: None,
        initial_status,
        deregister_after: None,
        heartbeat: None,
    }));
    service
}

/// The services that most tests compare with.
pub(crate) fn services() -> Vec<Service> {
    let mut web = tagged(service("h:web:80", "web", "10.0.0.1", 80), &["a", "b"]);
    let attributes = [("region", "us"), ("x", "1"), ("html", "<a & b>")].map(|(k, v)| (k.into(), v.into()));
    web.attributes = Arc::new(attributes.into_iter().collect());
    let long = Duration::from_secs(3600);
    vec![
        web,
        checked(tagged(service("h:web2:80", "web", "10.0.0.2", 81), &["b"]), CheckKind::Ttl(long), None),
        checked(
            tagged(service("H:WEB3:80", "web", "10.0.0.3", 82), &["B", "ü"]),
            CheckKind::Ttl(long),
            Some("warning"),
        ),
        checked(service("h:db:5432", "db", "127.0.0.1", 1), CheckKind::Tcp, None),
        service("h:six:1", "six", "fd00::1", 1),
        service("h:up:9", "UPPER", "10.0.0.9", 9),
        service("h:name:1", "named", "example.com", 1),
    ]
}

/// Asks both until they say the same, or for half a minute: results of checks come when they come.
pub(crate) async fn until_equal(both: &Beside, path: &str, shape: impl Fn(Value) -> Value) {
    until_same(both.consul.address(), both.ours(), path, shape).await;
}

/// The same for any two servers: Consul's, and ours.
pub(crate) async fn until_same(theirs: SocketAddr, ours: SocketAddr, path: &str, shape: impl Fn(Value) -> Value) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    let servers = (theirs, ours);
    loop {
        let (theirs, ours) = (get(servers.0, path).await, get(servers.1, path).await);
        assert_eq!(ours.status, theirs.status, "{path}: {} and {}", ours.text, theirs.text);
        let (theirs, ours) = (shape(theirs.json()), shape(ours.json()));
        if ours == theirs {
            return;
        }
        if tokio::time::Instant::now() > deadline {
            pretty_difference(path, &theirs, &ours);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

fn pretty_difference(path: &str, theirs: &Value, ours: &Value) -> ! {
    panic!("{path}\n Consul: {theirs:#}\n ours: {ours:#}");
}
