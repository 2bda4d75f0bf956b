//! No container writes outside its prefix, or into an entry that is another's, whatever SERVICE_ID and SERVICE_NAME it
//! was given.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use support::{SOON, ids, registrator_with, set};
use testkit::consul::Consul;
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::etcd::EtcdServer;
use testkit::program::Program;
use testkit::wait::{becomes, stays};

/// Ways out of a prefix, as far as there are any.
const WAYS_OUT: [&str; 8] =
    ["../../out", "/out", "..", "../_registrator/out", "a/../../../out", "%2e%2e%2fout", "out\0", "?recurse"];

fn run(uri: &str, engine: &FakeEngine) -> Program {
    registrator_with(uri, &[], &[("DOCKER_HOST", &engine.host())])
}

fn inside(keys: &BTreeSet<String>) -> bool {
    keys.iter().all(|key| {
        let key = key.trim_start_matches('/');
        let own = ["services/", "_registrator/services"].iter().any(|prefix| key.starts_with(prefix));
        own && !key.split('/').any(|part| part == "..")
    })
}

fn escapers(engine: &FakeEngine) {
    for (number, way) in (0..).zip(WAYS_OUT) {
        let container = FakeContainer::new(&format!("id{number}")).env(&format!("SERVICE_ID={way}"));
        engine.run(container.publish("80/tcp", 8000 + number));
        let container = FakeContainer::new(&format!("name{number}")).env(&format!("SERVICE_NAME={way}"));
        engine.run(container.publish("80/tcp", 8100 + number));
    }
    engine.run(FakeContainer::new("good").publish("80/tcp", 8200));
}

#[tokio::test]
async fn no_id_and_no_name_leads_out_of_the_prefix() {
    let (engine, consul, etcd) = tokio::join!(FakeEngine::start(), Consul::start(), EtcdServer::start());
    escapers(&engine);
    let in_consul = async || -> BTreeSet<String> {
        let keys = consul.get("/v1/kv/?keys").await;
        keys.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let in_etcd = async || etcd.keys("").into_keys().collect::<BTreeSet<_>>();
    let uris = [format!("consulkv://{}/services", consul.address()), format!("etcd3://{}/services", etcd.address())];
    for uri in &uris {
        let mut program = run(uri, &engine);
        program.wait_for("hostname:good:80").await;
        stays("inside", Duration::from_secs(2), async || inside(&in_consul().await) && inside(&in_etcd().await)).await;
        assert_eq!(program.logged("panicked"), 0);
        program.signal("TERM");
        assert_eq!(program.ended(SOON).await.code(), Some(0));
    }
    assert!(in_consul().await.len() > 2 && in_etcd().await.len() > 2);
}

#[tokio::test]
async fn an_entry_of_another_owner_is_out_of_reach() {
    let (engine, consul) = tokio::join!(FakeEngine::start(), Consul::start());
    let theirs = json!({
        "ID": "theirs", "Name": "bank", "Address": "10.0.0.9", "Port": 443,
        "Meta": {"external-source": "registrator", "registrator-owner": "elsewhere"},
    });
    consul.put("/v1/agent/service/register", &theirs).await;
    let before = consul.services().await["theirs"].clone();
    let thief = FakeContainer::new("thief").env("SERVICE_ID=theirs").env("SERVICE_NAME=bank");
    let thief = engine.run(thief.publish("80/tcp", 8001));
    let program = run(&consul.uri(), &engine);
    program.wait_for("register failed: theirs: it belongs to the owner \"elsewhere\"").await;
    engine.remove(&thief);
    engine.run(FakeContainer::new("good").publish("80/tcp", 8002));
    program.wait_for("hostname:good:80").await;
    stays("theirs", Duration::from_secs(2), async || consul.services().await["theirs"] == before).await;
}

#[tokio::test]
async fn of_two_containers_that_claim_one_id_the_older_keeps_it() {
    let (engine, consul) = tokio::join!(FakeEngine::start(), Consul::start());
    let older = engine.run(FakeContainer::new("older").env("SERVICE_ID=shared").publish("80/tcp", 8001));
    let program = run(&consul.uri(), &engine);
    becomes(set(["shared"]), SOON, || ids(&consul, "shared")).await;
    engine.run(FakeContainer::new("younger").env("SERVICE_ID=shared").publish("80/tcp", 8002));
    program.wait_for("shared is used by port 80 of").await;
    let port = async || consul.services().await["shared"]["Port"].as_u64();
    stays("the older's", Duration::from_secs(2), async || port().await == Some(8001)).await;
    engine.remove(&older);
    becomes(Some(8002), SOON, port).await;
}
