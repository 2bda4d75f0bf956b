//! The table of options is that of the real Traefik.

use std::collections::BTreeMap;

use registrator_traefik::{EVERY_OPTION, Kind, Section};
use serde_json::Value;
use testkit::redis::Redis;
use testkit::traefik::Traefik;
use testkit::wait::eventually;

use crate::fixture::{Host, Server};
use crate::support::SOON;
use crate::support::status::Status;

/// A label for every option of the table. Each kind of middleware is one of its own.
fn labels() -> Vec<(String, String)> {
    let mut labels = Vec::new();
    for (protocol, section, options) in EVERY_OPTION {
        for (option, kind) in *options {
            let name = match section {
                Section::Middlewares => format!("m-{}", option.split('.').next().unwrap()),
                _ => "n".to_owned(),
            };
            let value = match kind {
                Kind::Text | Kind::List => "foobar",
                Kind::Bool | Kind::Switch => "true",
                Kind::Int => "42",
                Kind::Duration => "42s",
            };
            let option = option.replace(".#", "[0]").replace('*', "someKey");
            let label = format!("traefik.{}.{}.{name}.{option}", protocol.as_str(), section.as_str());
            labels.push((label, value.to_owned()));
        }
    }
    labels
}

/// What Traefik says of everything that this provider gave it, without names of the provider and states.
fn taken(raw: &Value, provider: &str) -> BTreeMap<String, usize> {
    let kinds = raw.as_object().cloned().unwrap_or_default();
    let mut taken = BTreeMap::new();
    for (kind, objects) in kinds {
        for (name, object) in objects.as_object().cloned().unwrap_or_default() {
            if let Some(name) = name.strip_suffix(&format!("@{provider}")) {
                taken.insert(format!("{kind} {name}"), leaves(&object));
            }
        }
    }
    taken
}

/// How many values an object has, without those that Traefik adds when it uses it.
fn leaves(value: &Value) -> usize {
    match value {
        Value::Object(map) => {
            let ours = map
                .iter()
                .filter(|(key, _)| !["status", "using", "usedBy", "error", "serverStatus"].contains(&&***key));
            ours.map(|(_, value)| leaves(value)).sum()
        }
        Value::Array(list) => list.iter().map(leaves).sum(),
        _ => 1,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_option_of_the_table_is_taken_by_traefik_from_a_store_and_over_http() {
    let server = Server::start("web").await;
    let container = || {
        let container = server.container("web").publish("53/udp", 5353);
        labels().into_iter().fold(container, |container, (label, value)| container.label(&label, &value))
    };
    let host = Host::start("hosta", "embedded://127.0.0.1:0?dns=off", &["-status", "127.0.0.1:0", "-traefik"]).await;
    let status = Status::of(&host.program).await;
    host.engine.run(container());
    let served = async || {
        let reply = status.get("/traefik").await;
        let document: Value = serde_json::from_slice(&reply.body).ok()?;
        document["udp"]["routers"]["n"].is_object().then_some(document)
    };
    let document = eventually("it is served", SOON, served).await;
    assert_eq!(host.program.logged("is left out"), 0, "{:?}", host.program.log());

    let over_http =
        Traefik::start(&[&format!("http.endpoint=http://{}/traefik", status.address), "http.pollInterval=1s"]).await;
    let wanted = document["http"]["middlewares"].as_object().unwrap().len();
    let read = async |traefik: &Traefik, provider: &str| {
        let found = async || {
            let found = taken(&traefik.ask("/api/rawdata").await, provider);
            let middlewares = found.keys().filter(|name| name.starts_with("middlewares ")).count();
            (middlewares == wanted).then_some(found)
        };
        eventually("Traefik takes everything", SOON, found).await
    };
    let by_http = read(&over_http, "http").await;

    // The same as keys of a store, as they are written.
    let redis = Redis::start().await;
    for (key, value) in keys() {
        redis.command(&["SET", &format!("traefik/{key}"), &value]).await;
    }
    let over_redis = Traefik::start(&[&format!("redis.endpoints={}", redis.address())]).await;
    let by_redis = read(&over_redis, "redis").await;
    assert_eq!(by_http, by_redis);
    assert!(by_redis.len() >= 34, "{by_redis:?}");
    for log in [over_http.log(), over_redis.log()] {
        assert!(!log.contains("field not found") && !log.contains("cannot be a standalone"), "{log}");
    }
    // Nothing in the table is silently dropped: a middleware of Traefik has what its rows gave it.
    let headers = &over_redis.ask("/api/http/middlewares/m-headers@redis").await["headers"];
    assert_eq!((&headers["stsSeconds"], &headers["customRequestHeaders"]["someKey"]), (&42.into(), &"foobar".into()));
    assert_eq!(over_http.ask("/api/http/middlewares/m-rateLimit@http").await["rateLimit"]["period"], "42s");
}

/// The keys of a container with every label.
fn keys() -> Vec<(String, String)> {
    use registrator_traefik::{Addition, At, Place, Settings, Transport};
    let labels = labels();
    let ports = [(80, Transport::Tcp), (53, Transport::Udp)];
    let places = ports.map(|(exposed, transport)| Place { exposed, registered: exposed, transport });
    let (addition, left_out) =
        Addition::read("web", labels.iter().map(|(label, value)| (label.as_str(), value.as_str())), &places);
    assert_eq!(left_out, []);
    let pieces = ports.into_iter().flat_map(|(exposed, transport)| {
        let at = At { exposed, transport, address: "127.0.0.1", port: 1, holder: ("h", "i") };
        addition.part(&at, &Settings::default())
    });
    pieces.flat_map(|piece| piece.keys()).collect()
}
