//! `-backend services`: files from what any registry holds, whatever store it is, with the keys and the instances of all
//! hosts.

use std::sync::Arc;
use std::time::Duration;

use registrator::config::RegistryConfig;
use registrator::container::{Health, Moment, Protocol};
use registrator::event::Events;
use registrator::registry::embedded::Embedded;
use registrator::registry::{self, Action, Reason, Registry, Scope, Write};
use registrator::service::{AddressOf, Origin, Service};
use serde_json::json;
use testkit::consul::Consul;
use testkit::etcd::{self, EtcdServer};
use testkit::wait::stays;

use crate::fixture::Confdir;

fn service(id: &str, name: &str, port: u16) -> Arc<Service> {
    Arc::new(Service {
        id: id.into(),
        name: name.to_owned(),
        address: "10.1.2.3".into(),
        port,
        protocol: Protocol::Tcp,
        tags: vec!["blue".to_owned()].into(),
        attributes: Arc::default(),
        ttl: None,
        check: None,
        health: Health::None,
        traefik: None,
        origin: Origin {
            container_name: "web".into(),
            created: Moment::default(),
            started: Moment::default(),
            claimed: false,
            address_of: AddressOf::Container,
            container: "0123456789abcdef".into(),
            hostname: "inside".into(),
            exposed_port: 80,
        },
    })
}

fn config(uri: &str) -> RegistryConfig {
    RegistryConfig {
        uri: uri.to_owned(),
        owner: "host1".to_owned(),
        hostname: "host1".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::default(),
    }
}

async fn register(registry: &dyn Registry, service: &Arc<Service>) {
    let write = Write { key: registry.key(service), action: Action::Put(Arc::clone(service)), reason: Reason::Missing };
    assert_eq!(registry.apply(&[write]).await, [Ok(())]);
}

async fn deregister(registry: &dyn Registry, name: &str) {
    let entries = registry.read(&Scope { contents: true, ..Scope::default() }).await.unwrap();
    let is_it = |entry: &&registry::Entry| entry.content.as_ref().is_some_and(|content| content.name == name);
    let entry = entries.iter().find(is_it).unwrap().clone();
    let write = Write { key: entry.key.clone(), action: Action::Remove(entry), reason: Reason::Withdrawn };
    assert_eq!(registry.apply(&[write]).await, [Ok(())]);
}

/// The names and addresses of instances, and the keys.
fn confdir() -> Confdir {
    let confdir = Confdir::new();
    confdir.template(
        "instances",
        "{{ range services }}{{ if ne .Name \"consul\" }}{{ .Name }}:{{ range service .Name }} {{ .Address }}:{{ .Port }}{{ with .Container }} of {{ . }}{{ end }}{{ end }}\n{{ end }}{{ end }}",
    );
    confdir.resource("instances", "src = \"instances\"\n");
    confdir.template("keys", "{{ range getvs \"/web/*\" }}{{ . }}\n{{ end }}");
    confdir.resource("keys", "src = \"keys\"\nkeys = [\"/web\"]\n");
    confdir
}

/// What is registered by registrator at `uri` is rendered from `node`, and followed. The IDs that some registries spell
/// otherwise say no container.
async fn follows(uri: &str, node: &str) {
    let has_ids = !["skydns2", "coredns", "zookeeper"].iter().any(|scheme| uri.starts_with(scheme));
    let of = |container: &str| if has_ids { format!(" of {container}") } else { String::new() };
    let instances = |db: bool, second: bool| {
        let db = if db { format!("db: 10.1.2.3:5432{}\n", of("db")) } else { String::new() };
        let second = if second { format!(" 10.1.2.3:8002{}", of("web.2")) } else { String::new() };
        format!("{db}web: 10.1.2.3:8001{}{second}\n", of("web.1"))
    };
    let registry = registry::open(&config(uri), &Events::new(|_| {})).unwrap().registry;
    register(&*registry, &service("host1:web.1:80", "web", 8001)).await;
    register(&*registry, &service("host1:db:5432", "db", 5432)).await;
    let confdir = confdir();
    confdir.run(&["-onetime", "-backend", "services", "-node", node]).well();
    assert_eq!(confdir.read("instances"), Some(instances(true, false)), "{uri}");
    assert_eq!(confdir.read("keys").as_deref(), Some("10.1.2.3:8001\n"), "{uri}");
    let confd = confdir.start(&["-watch", "-backend", "services", "-node", node]);
    register(&*registry, &service("host2:web.2:80", "web", 8002)).await;
    confdir.becomes("keys", "10.1.2.3:8001\n10.1.2.3:8002\n").await;
    deregister(&*registry, "db").await;
    confdir.becomes("instances", &instances(false, true)).await;
    assert_eq!(confd.logged("ERROR"), 0, "{:?}", confd.log());
    registry.close().await;
}

#[tokio::test]
async fn the_services_of_consul_are_followed_in_its_catalog_and_in_its_key_value_store() {
    let consul = Consul::start().await;
    let address = consul.address();
    follows(&format!("consul://{address}"), &format!("consul://{address}")).await;
    follows(&format!("consulkv://{address}/services"), &format!("consulkv://{address}/services")).await;
}

#[tokio::test]
async fn the_services_of_etcd_are_followed_by_either_api_and_in_the_records_of_dns() {
    let old = EtcdServer::with(etcd::Options { v2: true, ..etcd::Options::default() }).await;
    let new = EtcdServer::start().await;
    for uri in [
        format!("etcd://{}/services", old.address()),
        format!("etcd://{}/services", new.address()),
        format!("etcd3://{}/other", old.address()),
        format!("skydns2://{}/cluster.local", old.address()),
        format!("coredns://{}/skydns?zone=cluster.local", new.address()),
    ] {
        follows(&uri, &uri).await;
    }
}

#[cfg(feature = "zookeeper")]
#[tokio::test]
async fn the_services_of_zookeeper_are_followed() {
    let server = testkit::zookeeper::ZooKeeper::start().await;
    let uri = format!("zookeeper://{}/services", server.address());
    follows(&uri, &uri).await;
}

#[tokio::test]
async fn the_services_of_another_instances_embedded_registry_are_followed() {
    let embedded = Embedded::start(&config("embedded://127.0.0.1:0?dns=off&node=n1&address=127.0.0.1")).unwrap();
    let node = format!("consul://{}", embedded.http_address().unwrap());
    register(&embedded, &service("host1:web.1:80", "web", 8001)).await;
    let confdir = confdir();
    let confd = confdir.start(&["-watch", "-backend", "services", "-node", &node]);
    confdir.becomes("instances", "web: 10.1.2.3:8001 of web.1\n").await;
    register(&embedded, &service("host2:web.2:80", "web", 8002)).await;
    confdir.becomes("keys", "10.1.2.3:8001\n10.1.2.3:8002\n").await;
    assert_eq!(confd.logged("ERROR"), 0, "{:?}", confd.log());
}

#[tokio::test]
async fn health_tags_and_nodes_of_consul_are_there_and_a_change_of_health_is_followed() {
    let consul = Consul::start().await;
    let service = |id: &str, port: u16, tag: &str| {
        json!({"ID": id, "Name": "web", "Address": "10.0.0.1", "Port": port, "Tags": [tag], "Meta": {"zone": "a"},
            "Check": {"CheckID": id, "TTL": "10m", "Status": "passing"}})
    };
    consul.put("/v1/agent/service/register", &service("w1", 1, "blue")).await;
    consul.put("/v1/agent/service/register", &service("w2", 2, "green")).await;
    let confdir = Confdir::new();
    confdir.template(
        "t",
        "{{ range service \"web\" \"passing\" }}{{ .Port }} {{ .Health }} {{ .Node }} {{ index .Attrs \"zone\" }}\n{{ end }}\
         {{ range service \"web\" \"green\" \"any\" }}{{ .ID }} {{ .Health }}\n{{ end }}",
    );
    confdir.resource("t", "src = \"t\"\n");
    let confd = confdir.start(&["-watch", "-backend", "services", "-node", &consul.uri()]);
    let node = consul.node();
    confdir.becomes("t", &format!("1 passing {node} a\n2 passing {node} a\nw2 passing\n")).await;
    consul.put("/v1/agent/check/fail/w2", &json!(null)).await;
    confdir.becomes("t", &format!("1 passing {node} a\nw2 critical\n")).await;
    let runs = confd.logged("has been updated");
    stays("nothing is rendered", Duration::from_secs(2), async || confd.logged("has been updated") == runs).await;
}

#[test]
fn what_is_no_registry_is_told_at_the_start() {
    for (options, reason) in [
        (&[][..], "the backend services needs one -node: the URI of a registry, as consul://127.0.0.1:8500"),
        (
            &["-node", "127.0.0.1:8500"],
            "bad adapter uri: 127.0.0.1:8500: it names no adapter, as consul://127.0.0.1:8500 does",
        ),
        (&["-node", "embedded://"], "the services of an embedded registry are those of another process: "),
    ] {
        let ended = Confdir::new().run(&[&["-onetime", "-backend", "services"], options].concat());
        assert_eq!(ended.code, Some(1));
        let last = *ended.said().last().unwrap();
        assert!(last.starts_with(&format!("FATAL {reason}")), "{last}");
    }
}
