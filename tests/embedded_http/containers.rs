//! The same containers of a real engine, registered by one run of the program in a real Consul and in the
//! embedded registry: what both answer of them.

use std::net::SocketAddr;
use std::process::Command;

use serde_json::{Value, json};
use testkit::consul::{Consul, Options};
use testkit::docker::{Container, Spec, unique};
use testkit::wait::becomes;

use super::answers::comparable;
use super::beside::{get, until_same};
use super::support::{SOON, addresses, registrator};

/// Two of one name with a check that passes and one that does not, one on UDP, one with two ports.
fn containers(name: &str) -> Vec<Container> {
    let spec = |suffix: &str| Spec::new(&format!("{name}-{suffix}")).env("SERVICE_CHECK_INTERVAL=1s");
    let web = |suffix: &str, tags: &str| {
        spec(suffix)
            .publish_at("80/tcp", "127.0.0.1", "")
            .env(&format!("SERVICE_NAME={name}-web"))
            .env("SERVICE_IP=127.0.0.1")
            .env(&format!("SERVICE_TAGS={tags}"))
            .env("SERVICE_CHECK_HTTP=/health")
            .env("SERVICE_REGION=us2")
    };
    vec![
        web("well", "a,b\\,c").shell("mkdir -p /www && echo fine > /www/health && httpd -f -p 80 -h /www").start(),
        web("ill", "b").shell("httpd -f -p 80 -h /bin").start(),
        spec("udp").publish("53/udp").env(&format!("SERVICE_NAME={name}-dns")).start(),
        spec("two").publish("1/tcp").publish("2/tcp").env(&format!("SERVICE_NAME={name}-two")).start(),
    ]
}

/// Makes equal what may differ; and this Consul's node has texts for other tests, which ours cannot be given.
fn same(mut value: Value) -> Value {
    fn without_texts(value: &mut Value) {
        match value {
            Value::Array(elements) => elements.iter_mut().for_each(without_texts),
            Value::Object(fields) => {
                fields.retain(|name, _| !["rack", "rfc1035-note"].contains(&name.as_str()));
                fields.values_mut().for_each(without_texts);
            }
            _ => {}
        }
    }
    without_texts(&mut value);
    comparable(value)
}

/// The answers that `dig` prints, sorted.
fn dig(dns: SocketAddr, name: &str, kind: &str) -> Vec<String> {
    let (server, port) = (format!("@{}", dns.ip()), dns.port().to_string());
    let found = Command::new("dig").args([&server, "-p", &port, "+noall", "+answer", name, kind]).output().unwrap();
    let mut lines: Vec<_> = String::from_utf8_lossy(&found.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn the_same_containers_are_told_of_with_the_same_words() {
    let consul = Consul::with(Options { dns: true, ..Options::default() }).await;
    let node = consul.node();
    let uri = format!("embedded://127.0.0.1:0?dns=127.0.0.1:0&address=127.0.0.1&node={node}");
    // Without the owner's mark, which only a registry of several owners needs.
    let program = registrator(&uri, &["-owner-meta=false", &consul.uri()]);
    let (ours, dns) = addresses(&program).await;
    let name = unique("same");
    let containers = containers(&name);
    let known = async |server: SocketAddr| {
        let services = get(server, "/v1/agent/services").await.json();
        services.as_object().unwrap().keys().filter(|id| id.contains(&name)).count()
    };
    for server in [consul.address(), ours] {
        becomes(containers.len() + 1, SOON, async || known(server).await).await;
    }
    for service in ["web", "dns", "two-1", "two-2"] {
        let service = format!("{name}-{service}");
        for path in [
            format!("/v1/catalog/service/{service}"),
            format!("/v1/catalog/service/{service}?tag=b"),
            format!("/v1/health/service/{service}"),
            format!("/v1/health/service/{service}?passing"),
            format!("/v1/health/service/{service}?tag=b,c&passing"),
            format!("/v1/health/checks/{service}"),
            format!("/v1/health/state/any?filter=ServiceName==\"{service}\""),
            format!("/v1/health/node/{node}?filter=ServiceName==\"{service}\""),
            format!("/v1/catalog/node/{node}?filter=Service==\"{service}\""),
            format!("/v1/agent/services?filter=Service==\"{service}\""),
            format!("/v1/agent/checks?filter=ServiceName==\"{service}\""),
        ] {
            until_same(consul.address(), ours, &path.replace('"', "%22"), same).await;
        }
        for label in [service.clone(), format!("b.{service}"), format!("_{service}._tcp"), format!("udp.{service}")] {
            let label = format!("{label}.service.consul");
            for kind in ["A", "SRV", "ANY"] {
                assert_eq!(dig(dns, &label, kind), dig(consul.dns_address(), &label, kind), "{label} {kind}");
            }
        }
    }
    let states = get(ours, &format!("/v1/health/checks/{name}-web")).await.json();
    let states: Vec<_> = states.as_array().unwrap().iter().map(|check| check["Status"].clone()).collect();
    assert_eq!(states.len(), 2);
    assert!(states.contains(&json!("passing")) && states.contains(&json!("critical")), "{states:?}");
}
