//! The whole program with Consul's key-value store and real containers: what readers of the keys see.

mod support;

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use support::{IP, SOON, id, registrator};
use testkit::consul::Consul;
use testkit::docker::{Spec, unique};
use testkit::wait::becomes;

/// The keys of one name, with what they hold.
async fn keys(consul: &Consul, name: &str) -> BTreeMap<String, String> {
    let text = |item: &Value| {
        let value = BASE64_STANDARD.decode(item["Value"].as_str().unwrap_or_default()).unwrap_or_default();
        String::from_utf8_lossy(&value).into_owned()
    };
    let items = consul.items(&format!("services/{name}/")).await;
    items.into_iter().map(|(key, item)| (key, text(&item))).collect()
}

#[tokio::test]
async fn a_container_is_a_key_while_it_runs_and_a_restart_changes_nothing() {
    let consul = Consul::start().await;
    // The older spelling of the two.
    let uri = format!("consul://{}/services", consul.address());
    let name = unique("kv");
    let container = Spec::new(&name).publish("80/tcp").env(&format!("SERVICE_NAME={name}")).start();
    let other = Spec::new(&format!("{name}-2")).publish("80/tcp").env(&format!("SERVICE_NAME={name}"));
    let other = other.env("SERVICE_ID=chosen").start();
    let mut program = registrator(&uri, &["-ttl", "30", "-ttl-refresh", "10"]);
    program.wait_for("consulkv: current leader  ").await;
    let value = |port: u16| format!("{IP}:{port}");
    let key = format!("services/{name}/{}", id(&container, "80"));
    let mut expected = BTreeMap::from([
        (key.clone(), value(container.host_port("80/tcp"))),
        (format!("services/{name}/chosen"), value(other.host_port("80/tcp"))),
    ]);
    becomes(expected.clone(), SOON, || keys(&consul, &name)).await;
    let index = async || consul.items(&key).await[&key]["ModifyIndex"].clone();
    let before = index().await;
    program.signal("KILL");
    program.ended(SOON).await;

    // What goes while nobody looks is removed by the next run, also with an ID of its own.
    drop(other);
    expected.remove(&format!("services/{name}/chosen"));
    let program = registrator(&uri, &["-ttl", "30", "-ttl-refresh", "10"]);
    becomes(expected, 2 * SOON, || keys(&consul, &name)).await;
    assert_eq!(index().await, before, "an entry that was right is written again");
    drop(container);
    becomes(BTreeMap::new(), SOON, || keys(&consul, &name)).await;
    drop(program);
}

#[tokio::test]
async fn a_ttl_below_consuls_shortest_is_said_at_the_start_and_the_shortest_is_used() {
    let consul = Consul::start().await;
    let uri = format!("consulkv://{}/services", consul.address());
    let name = unique("short");
    let _container = Spec::new(&name).publish("80/tcp").env(&format!("SERVICE_NAME={name}")).start();
    let program = registrator(&uri, &["-ttl", "5", "-ttl-refresh", "2"]);
    program.wait_for("entries get a TTL of 10 s instead of 5 s").await;
    let ttl = async || {
        let session = consul.items(&format!("services/{name}/")).await.into_values().next()?["Session"].clone();
        let session = consul.get(&format!("/v1/session/info/{}", session.as_str()?)).await;
        session[0]["TTL"].as_str().map(str::to_owned)
    };
    becomes(Some("10s".to_owned()), SOON, ttl).await;
}
