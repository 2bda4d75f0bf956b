//! Programs that people use with Consul work with the embedded registry as they are: Consul's own
//! command line, Debian's Prometheus, a Python client.

// A test that cannot be set up has failed: saying so at once is the point.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "support/registry.rs"]
mod batches;

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use batches::Batches as _;
use registrator::config::RegistryConfig;
use registrator::container::{Health, Moment, Protocol};
use registrator::registry::embedded::Embedded;
use registrator::service::{Origin, Service};
use serde_json::Value;
use testkit::prometheus::Prometheus;
use testkit::servers::binary;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::{Instant, sleep, timeout};

/// How long a client may take on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

fn embedded() -> Embedded {
    let config = RegistryConfig {
        uri: "embedded://127.0.0.1:0?dns=off&node=n1&address=127.0.0.1".to_owned(),
        owner: "owner".to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::default(),
    };
    Embedded::start(&config).unwrap()
}

async fn register(registry: &Embedded, id: &str, name: &str, port: u16) {
    let service = Service {
        id: id.into(),
        name: name.to_owned(),
        address: "127.0.0.1".into(),
        port,
        protocol: Protocol::Tcp,
        tags: vec!["blue".to_owned()].into(),
        attributes: Arc::new([("team".to_owned(), "a".to_owned())].into_iter().collect()),
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
    };
    assert_eq!(registry.register(&[Arc::new(service)]).await, [Ok(())]);
}

/// What a program prints; it must succeed.
async fn output(program: &str, arguments: &[&str]) -> String {
    let running = Command::new(binary(program)).args(arguments).kill_on_drop(true).output();
    let output = timeout(DEADLINE, running).await.expect("it ends").unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{program} {arguments:?}: {out}{err}");
    out.into_owned()
}

#[tokio::test]
async fn consuls_own_command_line_lists_what_runs() {
    let registry = embedded();
    register(&registry, "web:80", "web", 8000).await;
    register(&registry, "db:1", "db", 8001).await;
    let address = format!("-http-addr={}", registry.http_address().unwrap());
    let consul = async |arguments: &[&str]| output("consul", &[arguments, &[&address]].concat()).await;
    assert_eq!(consul(&["catalog", "services"]).await, "db\nweb\n");
    let tags = consul(&["catalog", "services", "-tags"]).await;
    assert_eq!(tags.split_whitespace().collect::<Vec<_>>(), ["db", "blue", "web", "blue"]);
    assert!(consul(&["catalog", "nodes"]).await.contains("n1"));
    assert!(consul(&["catalog", "nodes", "-service=web", "-detailed"]).await.contains("127.0.0.1"));
    assert_eq!(consul(&["catalog", "datacenters"]).await, "dc1\n");
    assert!(consul(&["members"]).await.contains("alive"));
    let watched = consul(&["watch", "-type=service", "-service=web"]).await;
    let watched: Value = serde_json::from_str(&watched).unwrap();
    assert_eq!(watched[0]["Service"]["Port"], 8000);
}

#[tokio::test]
async fn consul_watch_hears_of_every_change() {
    let registry = embedded();
    register(&registry, "web:80", "web", 8000).await;
    let mut watch = Command::new(binary("consul"))
        .args(["watch", "-type=service", "-service=web", "-passingonly=true"])
        .arg(format!("-http-addr={}", registry.http_address().unwrap()))
        .args(["sh", "-c", "cat; echo"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut heard = async |wanted: usize| {
        timeout(DEADLINE, async {
            loop {
                let line = lines.next_line().await.unwrap().expect("it goes on");
                if serde_json::from_str::<Value>(&line).is_ok_and(|it| it.as_array().map(Vec::len) == Some(wanted)) {
                    return;
                }
            }
        })
        .await
        .unwrap_or_else(|_| panic!("it does not hear of {wanted} instances"));
    };
    heard(1).await;
    register(&registry, "web2:80", "web", 8001).await;
    heard(2).await;
    let entries = registry.entries().await.unwrap();
    registry.deregister(&entries).await;
    heard(0).await;
}

#[tokio::test]
async fn a_python_client_reads_and_waits() {
    const PROGRAM: &str = r#"
import sys, consul
c = consul.Consul(host="127.0.0.1", port=int(sys.argv[1]))
index, services = c.catalog.services()
assert services == {"web": ["blue"]}, services
index, nodes = c.health.service("web", passing=True, tag="blue")
assert nodes[0]["Service"]["Port"] == 8000, nodes
assert c.catalog.nodes()[1][0]["Node"] == "n1"
assert c.catalog.service("web")[1][0]["ServiceMeta"] == {"team": "a"}
assert c.catalog.datacenters() == ["dc1"]
assert c.status.leader() == "127.0.0.1:8300"
assert list(c.agent.services()) == ["web:80"]
assert c.agent.checks() == {}
assert c.agent.members()[0]["Name"] == "n1"
assert c.agent.self()["Config"]["Datacenter"] == "dc1"
assert c.health.node("n1")[1][0]["CheckID"] == "serfHealth"
assert c.health.state("passing")[1][0]["Status"] == "passing"
print("waiting", flush=True)
later, nodes = c.health.service("web", index=index, wait="50s")
assert int(later) > int(index) and len(nodes) == 2, nodes
try:
    c.agent.service.register("x")
except consul.ConsulException as error:
    assert "read-only" in str(error), error
else:
    sys.exit("a write was taken")
print("well")
"#;
    let registry = embedded();
    register(&registry, "web:80", "web", 8000).await;
    let mut python = Command::new(binary("python-client"))
        .args(["-c", PROGRAM, &registry.http_address().unwrap().port().to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(python.stdout.take().unwrap()).lines();
    let said = timeout(DEADLINE, lines.next_line()).await.expect("it goes on").unwrap();
    assert_eq!(said.as_deref(), Some("waiting"));
    sleep(Duration::from_millis(300)).await;
    register(&registry, "web2:80", "web", 8001).await;
    let said = timeout(DEADLINE, lines.next_line()).await.expect("it ends").unwrap();
    assert_eq!(said.as_deref(), Some("well"));
}

#[tokio::test]
async fn a_client_of_eureka_discovers_services_without_a_server() {
    const PROGRAM: &str = r#"
import asyncio, sys
from py_eureka_client import eureka_client as c, eureka_basic as b
async def main():
    server = f"http://127.0.0.1:{sys.argv[1]}/eureka/"
    client = c.EurekaClient(eureka_server=server, should_register=False, renewal_interval_in_secs=1)
    await client.start()
    web = client.applications.get_application("WEB").up_instances
    assert [(i.instanceId, i.hostName, i.port.port, i.vipAddress, i.metadata["team"]) for i in web] == \
        [("web:80", "127.0.0.1", 8000, "web", "a")], web
    assert len((await c.get_vip(server, "web")).get_application("web").instances) == 1
    assert (await c.get_app_instance(server, "WEB", "web:80")).status == "UP"
    print("waiting", flush=True)
    # It follows by deltas: web:80 is replaced by web2:80, so that the number of instances stays the same.
    for _ in range(300):
        ids = sorted(i.instanceId for i in client.applications.get_application("WEB").up_instances)
        if ids == ["web2:80"]:
            break
        await asyncio.sleep(0.1)
    else:
        sys.exit(f"it does not follow: {ids}")
    try:
        await b._register(server, {"app": "X"})
    except Exception as error:
        assert "405" in str(error), error
    else:
        sys.exit("a write was taken")
    print("well", flush=True)
    import os; os._exit(0)
asyncio.run(main())
"#;
    let registry = embedded();
    register(&registry, "web:80", "web", 8000).await;
    let mut python = Command::new(binary("eureka-python"))
        .args(["-c", PROGRAM, &registry.http_address().unwrap().port().to_string()])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(python.stdout.take().unwrap()).lines();
    let said = timeout(DEADLINE, lines.next_line()).await.expect("it goes on").unwrap();
    assert_eq!(said.as_deref(), Some("waiting"));
    let before = registry.entries().await.unwrap();
    register(&registry, "web2:80", "web", 8001).await;
    assert_eq!(registry.deregister(&before).await, [Ok(())]);
    let said = timeout(DEADLINE, lines.next_line()).await.expect("it ends").unwrap();
    assert_eq!(said.as_deref(), Some("well"));
}

/// What is answered to a GET with this `Accept`.
async fn get(registry: &Embedded, path: &str, accept: &str) -> testkit::http::Reply {
    let request = testkit::http::Request {
        method: "GET".to_owned(),
        path: path.to_owned(),
        headers: vec![("accept".to_owned(), accept.to_owned())],
        ..Default::default()
    };
    testkit::http::send(&testkit::net::Place::Tcp(registry.http_address().unwrap()), &request).await.unwrap()
}

#[tokio::test]
async fn eurekas_list_is_json_or_xml_as_is_asked() {
    let registry = embedded();
    register(&registry, "web:80", "web", 8000).await;
    for path in ["/eureka/apps/", "/eureka/v2/apps", "/eureka/apps/delta"] {
        let json = get(&registry, path, "application/json, application/*+json").await;
        assert_eq!((json.status, json.header("content-type")), (200, Some("application/json")));
        let said: Value = serde_json::from_slice(&json.body).unwrap();
        assert_eq!(said["applications"]["apps__hashcode"], "UP_1_");
        assert_eq!(said["applications"]["application"][0]["instance"][0]["port"]["$"], 8000);
        let xml = get(&registry, path, "*/*").await;
        assert_eq!((xml.status, xml.header("content-type")), (200, Some("application/xml")));
        let text = String::from_utf8(xml.body).unwrap();
        assert!(text.starts_with("<applications>") && text.contains("<port enabled=\"true\">8000</port>"), "{text}");
    }
    assert_eq!(get(&registry, "/eureka/apps/NONE", "*/*").await.status, 404);
}

/// Starts the program of this name with one job, `sd`, that discovers its targets so.
fn prometheus(program: &str, discovery: &str) -> Prometheus {
    let job = "scrape_configs:\n- job_name: sd\n  scrape_interval: 1h\n  scrape_timeout: 1s\n";
    Prometheus::start(program, &format!("{job}{discovery}"))
}

/// The discovered labels of the targets, by address, as soon as these addresses are what it knows.
async fn discovered(prometheus: &Prometheus, wanted: &[&str]) -> BTreeMap<String, Value> {
    let deadline = Instant::now() + DEADLINE;
    loop {
        let known = targets(prometheus).await;
        if known.keys().map(String::as_str).eq(wanted.iter().copied()) {
            return known;
        }
        assert!(Instant::now() < deadline, "{known:#?}");
        sleep(Duration::from_millis(200)).await;
    }
}

/// The discovered labels of every target that Prometheus knows, by address.
async fn targets(prometheus: &Prometheus) -> BTreeMap<String, Value> {
    let told = prometheus.ask("/api/v1/targets?state=active").await;
    let active = told["data"]["activeTargets"].as_array().cloned().unwrap_or_default();
    let labels = active.into_iter().map(|target| target["discoveredLabels"].clone());
    labels.map(|labels| (labels["__address__"].as_str().unwrap_or_default().to_owned(), labels)).collect()
}

/// Registers, deregisters, and sees that Prometheus follows; returns the first target's labels.
async fn follows(registry: &Embedded, prometheus: &Prometheus) -> Value {
    register(registry, "web:80", "web", 1).await;
    let labels = discovered(prometheus, &["127.0.0.1:1"]).await["127.0.0.1:1"].clone();
    register(registry, "db:1", "db", 2).await;
    discovered(prometheus, &["127.0.0.1:1", "127.0.0.1:2"]).await;
    let web: Vec<_> = registry.entries().await.unwrap().into_iter().filter(|entry| &*entry.key == "web:80").collect();
    registry.deregister(&web).await;
    discovered(prometheus, &["127.0.0.1:2"]).await;
    labels
}

#[tokio::test]
async fn prometheus_discovers_as_from_consul() {
    let registry = embedded();
    let server = registry.http_address().unwrap();
    let discovery = format!("  consul_sd_configs:\n  - server: {server}\n    refresh_interval: 1s\n");
    let labels = follows(&registry, &prometheus("prometheus-consul", &discovery)).await;
    for (label, value) in [
        ("__meta_consul_service", "web"),
        ("__meta_consul_service_id", "web:80"),
        ("__meta_consul_tags", ",blue,"),
        ("__meta_consul_service_metadata_team", "a"),
        ("__meta_consul_node", "n1"),
        ("__meta_consul_dc", "dc1"),
    ] {
        assert_eq!(labels[label], value, "{label}");
    }
}

#[tokio::test]
async fn prometheus_discovers_over_http() {
    let registry = embedded();
    let server = registry.http_address().unwrap();
    let url = format!("http://{server}/sd/prometheus");
    let discovery = format!("  http_sd_configs:\n  - url: {url}\n    refresh_interval: 1s\n");
    let labels = follows(&registry, &prometheus("prometheus", &discovery)).await;
    for (label, value) in [
        ("__meta_registrator_service", "web"),
        ("__meta_registrator_tags", ",blue,"),
        ("__meta_registrator_attribute_team", "a"),
        ("__meta_registrator_health", "passing"),
    ] {
        assert_eq!(labels[label], value, "{label}");
    }
}
