//! Where a container is reached: what counts are the networks that it has now.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeMap;

use serde_json::Value;
use support::{IP, SOON, registrator, registrator_with, services};
use testkit::consul::Consul;
use testkit::docker::{Network, Spec, ask, attach, unique};
use testkit::private_engine::PrivateEngine;
use testkit::wait::{becomes, eventually};

/// Where the services whose ID contains `mark` are registered, by ID.
async fn places(consul: &Consul, mark: &str) -> BTreeMap<String, String> {
    let place = |service: &Value| format!("{}:{}", service["Address"].as_str().unwrap_or_default(), service["Port"]);
    services(consul, mark).await.iter().map(|(id, service)| (id.clone(), place(service))).collect()
}

fn expected<const N: usize>(places: [(String, String); N]) -> BTreeMap<String, String> {
    places.into()
}

#[tokio::test]
async fn a_container_started_without_a_network_is_registered_once_it_has_one() {
    let (outside, inside) = (Consul::start().await, Consul::start().await);
    let published = registrator(&outside.uri(), &[]);
    let internal = registrator(&inside.uri(), &["-internal"]);
    let name = unique("late");
    let network = Network::create(&unique("late-net"));
    let container = Spec::new(&name).network("none").expose("80/tcp").publish("81/tcp").start();
    for program in [&published, &internal] {
        program.wait_for(&format!("ignored: {} no network (--net=none)", container.short())).await;
    }
    assert_eq!(places(&outside, &name).await, BTreeMap::new());

    attach("none", "disconnect", &container);
    network.connect(&container);
    let host_port = container.host_port("81/tcp");
    let address = container.inspect()["NetworkSettings"]["Networks"][&network.name]["IPAddress"].clone();
    let address = address.as_str().unwrap().to_owned();
    let id = |port: u16| format!("hostname:{name}:{port}");
    let at_host = expected([(id(81), format!("{IP}:{host_port}"))]);
    becomes(at_host, SOON, || places(&outside, &name)).await;
    let at_container = expected([(id(80), format!("{address}:80")), (id(81), format!("{address}:81"))]);
    becomes(at_container, SOON, || places(&inside, &name)).await;

    network.disconnect(&container);
    for consul in [&outside, &inside] {
        becomes(BTreeMap::new(), SOON, || places(consul, &name)).await;
    }
    drop(container);
}

#[tokio::test]
async fn a_network_that_is_given_by_its_id_is_the_one_that_it_was_started_with() {
    let consul = Consul::start().await;
    let name = unique("by-id");
    // By name, the other one would come first.
    let (other, own) = (Network::create(&unique("a-net")), Network::create(&unique("z-net")));
    let (_, said) = ask("GET", &format!("/networks/{}", own.name), &Value::Null);
    let container = Spec::new(&name).network(said["Id"].as_str().unwrap()).expose("80/tcp").start();
    other.connect(&container);
    let networks = container.inspect()["NetworkSettings"]["Networks"].clone();
    assert_eq!(networks.as_object().unwrap().len(), 2);
    let address = networks[&own.name]["IPAddress"].as_str().unwrap();
    let _program = registrator(&consul.uri(), &["-internal"]);
    let at = expected([(support::id(&container, "80"), format!("{address}:80"))]);
    becomes(at, SOON, || places(&consul, &name)).await;
    drop(container);
}

#[tokio::test]
async fn a_task_of_swarm_is_not_registered_on_ingress_unless_that_is_asked_for() {
    let engine = PrivateEngine::start(false).await;
    engine.swarm();
    engine.docker(&["network", "create", "--driver", "overlay", "back"]);
    engine.build("exposing", &["EXPOSE 80"]);
    let task = |name: &str, options: &[&str]| {
        let first = ["service", "create", "--detach", "--name", name];
        let last = ["--no-resolve-image", "exposing", "sleep", "3600"];
        engine.docker(&[&first, options, &last].concat());
    };
    task("both", &["--network", "back", "--publish", "8081:80"]);
    task("named", &["--network", "back", "--publish", "8082:80", "--env", "SERVICE_NETWORK=ingress"]);
    task("only", &["--publish", "8083:80"]);

    let consul = Consul::start().await;
    let host = engine.host();
    let program = registrator_with(&consul.uri(), &["-internal"], &[("DOCKER_HOST", &host)]);
    // An engine says of a task's networks what it will once it runs.
    let address = async |service: &str, network: &str| {
        eventually(&format!("{service} is on {network}"), SOON, async || {
            let id = engine.docker(&["ps", "-q", "--filter", &format!("name={service}")]);
            let inspect: Value = serde_json::from_str(&engine.docker(&["inspect", id.lines().next()?])).ok()?;
            let found = inspect[0]["NetworkSettings"]["Networks"][network]["IPAddress"].as_str()?;
            Some(found.to_owned()).filter(|found| !found.is_empty())
        })
        .await
    };
    let back = format!("{}:80", address("both", "back").await);
    let ingress = format!("{}:80", address("named", "ingress").await);
    let at = async |mark: &str| places(&consul, mark).await.into_values().collect::<Vec<_>>();
    becomes(vec![back], SOON, || at("both")).await;
    becomes(vec![ingress], SOON, || at("named")).await;
    program.wait_for("no address but on Swarm's ingress network").await;
    assert_eq!(at("only").await, [""; 0]);
}
