//! Metadata as it is found in public compose files and Dockerfiles, on a real engine: what each container of
//! `fixtures/wild.json` is registered as, with the host's address and with `-internal`.
//!
//! `{host}` stands for the host's name, `{w00}` for the name of that container, `published:80/tcp` for the host port of that
//! port. The address `flag` is that of `-ip`, `own` the container's, `pod` that of the container whose network is shared,
//! `host` the host's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use support::{HOST, IP, SOON, registrator_with};
use testkit::consul::Consul;
use testkit::docker::{Container, Spec};
use testkit::hosts::{Host, Hosts};
use testkit::proxy::HttpRecorder;
use testkit::wait::becomes;

fn strings(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

fn pairs(value: &Value) -> impl Iterator<Item = (&str, &str)> {
    value.as_object().into_iter().flatten().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

/// Tags in the order of the alphabet: theirs means nothing.
fn in_order(tags: &Value) -> Vec<&str> {
    let mut tags: Vec<_> = strings(tags).collect();
    tags.sort_unstable();
    tags
}

/// Starts all containers of the cases; by the names that the cases have for them.
fn start(host: &Host, cases: &Value) -> BTreeMap<String, Container> {
    for (image, ports) in cases["images"].as_object().unwrap() {
        let expose = |port: &Value| format!("EXPOSE {port}");
        let lines: Vec<_> = ports.as_array().unwrap().iter().map(expose).collect();
        host.engine.build(image, &lines.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let mut networks = BTreeSet::from(["host"]);
    let mut started = BTreeMap::new();
    for case in cases["containers"].as_array().unwrap() {
        let key = case["key"].as_str().unwrap();
        let mut spec = Spec::new(key).on(&host.engine.socket()).image(case["image"].as_str().unwrap());
        for port in strings(&case["ports"]) {
            spec = spec.publish(port);
        }
        for (name, value) in pairs(&case["env"]) {
            spec = spec.env(&format!("{name}={value}"));
        }
        for (label, value) in pairs(&case["labels"]) {
            spec = spec.label(label, value);
        }
        if let Some(network) = case["network"].as_str() {
            if !network.contains(':') && networks.insert(network) {
                host.engine.docker(&["network", "create", network]);
            }
            spec = spec.network(network);
        }
        if case["publish_all"] == json!(true) {
            spec = spec.publish_all();
        }
        started.insert(key.to_owned(), spec.start());
    }
    started
}

/// The container's address on the network that it was started with.
fn address(container: &Container) -> String {
    let inspect = container.inspect();
    let networks = inspect["NetworkSettings"]["Networks"].as_object().unwrap().values();
    networks.filter_map(|network| network["IPAddress"].as_str()).next().unwrap().to_owned()
}

/// What must be registered, by ID, as Consul's agent is asked for it.
fn expected(cases: &Value, mode: &str, started: &BTreeMap<String, Container>) -> BTreeMap<String, Value> {
    let entry = |case: &Value| {
        let container = &started[case["c"].as_str().unwrap()];
        let address = match case["address"].as_str().unwrap() {
            "flag" | "host" => IP.to_owned(),
            "own" => address(container),
            "pod" => address(&started["pod"]),
            other => panic!("{other}"),
        };
        let port = match &case["port"] {
            Value::String(published) => container.host_port(published.strip_prefix("published:").unwrap()),
            port => u16::try_from(port.as_u64().unwrap()).unwrap(),
        };
        let filled = |text: &str| {
            let text = text.replace("{addr}", &address).replace("{port}", &port.to_string()).replace("{host}", HOST);
            started.iter().fold(text, |text, (key, container)| text.replace(&format!("{{{key}}}"), &container.name))
        };
        let check = match &case["check"] {
            Value::Null => Value::Null,
            check => serde_json::from_str(&filled(&check.to_string())).unwrap(),
        };
        let id = filled(case["id"].as_str().unwrap());
        let body = json!({
            "Name": case["name"], "Tags": in_order(&case["tags"]), "Address": address, "Port": port, "Meta": case["meta"],
            "Check": check,
        });
        (id, body)
    };
    cases["expect"][mode].as_array().unwrap().iter().map(entry).collect()
}

/// What the agent was asked to register, by ID, with times in seconds and without what says whose it is.
fn asked(recorder: &HttpRecorder) -> BTreeMap<String, Value> {
    let requests = recorder.requests().into_iter();
    let registered = requests.filter(|request| request.path.starts_with("/v1/agent/service/register"));
    let body = |body: &[u8]| {
        let body: Map<String, Value> = serde_json::from_slice(body).unwrap();
        let field = |name: &str, default: Value| body.get(name).cloned().unwrap_or(default);
        let mut meta = field("Meta", json!({}));
        meta.as_object_mut().unwrap().retain(|key, _| !key.starts_with("registrator") && key != "external-source");
        let check = match field("Check", Value::Null) {
            Value::Object(check) => in_seconds(check),
            other => other,
        };
        let id = body["ID"].as_str().unwrap().to_owned();
        let told = json!({
            "Name": body["Name"], "Tags": in_order(&field("Tags", json!([]))), "Address": body["Address"], "Port": body["Port"],
            "Meta": meta, "Check": check,
        });
        (id, told)
    };
    registered.map(|request| body(&request.body)).collect()
}

fn in_seconds(check: Map<String, Value>) -> Value {
    let seconds = |value: Value| match value.as_str().and_then(registrator_words::duration::parse) {
        Some(duration) => json!(duration.as_secs()),
        None => value,
    };
    let times = ["Interval", "Timeout", "TTL", "DeregisterCriticalServiceAfter"];
    let field = |(name, value): (String, Value)| match name.as_str() {
        // For people.
        "Notes" => None,
        // Two names of one field.
        "Args" => Some(("ScriptArgs".to_owned(), value)),
        time if times.contains(&time) => Some((name, seconds(value))),
        _ => Some((name, value)),
    };
    check.into_iter().filter_map(field).collect()
}

#[tokio::test]
async fn metadata_of_public_files_is_registered_as_its_authors_mean_it() {
    let cases: Value = serde_json::from_str(include_str!("fixtures/wild.json")).unwrap();
    let hosts = Hosts::start(1).await;
    let host = &hosts.all()[0];
    let started = start(host, &cases);
    for (mode, options) in [("ip", &[][..]), ("internal", &["-internal"][..])] {
        let consul = Consul::start().await;
        let recorder = HttpRecorder::start(consul.address()).await;
        let engine = host.engine.host();
        let uri = format!("consul://{}", recorder.address());
        let _program = registrator_with(&uri, options, &[("DOCKER_HOST", &engine)]);
        let expected = expected(&cases, mode, &started);
        becomes(expected.len(), SOON, async || asked(&recorder).len()).await;
        let asked = asked(&recorder);
        let ids: BTreeSet<_> = expected.keys().chain(asked.keys()).collect();
        let differ: Vec<_> = ids.into_iter().filter(|id| asked.get(*id) != expected.get(*id)).collect();
        let shown = differ
            .iter()
            .map(|id| format!("{id}\n  asked    {:?}\n  expected {:?}", asked.get(*id), expected.get(*id)));
        assert!(differ.is_empty(), "{mode}:\n{}", shown.collect::<Vec<_>>().join("\n"));
    }
}
