//! Containers that change while they run, start again elsewhere, or start again and again; and two that
//! claim one ID. On the real engine and a real Consul.

mod support;

use serde_json::json;
use std::time::Duration;
use support::{HOST, SOON, id, ids, registrator, services, set};
use testkit::consul::Consul;
use testkit::docker::{Container, Network, Spec, ask, unique};
use testkit::wait::{becomes, stays};

/// The address and port of each service of this test.
async fn places(consul: &Consul, mark: &str) -> Vec<(String, u64)> {
    let services = services(consul, mark).await.into_values();
    services
        .map(|service| {
            (service["Address"].as_str().unwrap_or_default().to_owned(), service["Port"].as_u64().unwrap_or_default())
        })
        .collect()
}

fn address(container: &Container, network: &str) -> String {
    let inspect = container.inspect();
    inspect["NetworkSettings"]["Networks"][network]["IPAddress"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_rename_moves_the_entry_to_its_new_id() {
    let consul = Consul::start().await;
    let name = unique("rename");
    let container = Spec::new(&name).publish("80/tcp").start();
    let program = registrator(&consul.uri(), &[]);
    becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;
    container.act(&format!("rename?name={name}-new"));
    becomes(set([format!("{HOST}:{name}-new:80")]), SOON, || ids(&consul, &name)).await;
    program.wait_for(&format!("removed: {} {}", container.short(), id(&container, "80"))).await;
}

#[tokio::test]
async fn another_network_and_another_address_after_a_restart_move_the_entry() {
    let consul = Consul::start().await;
    let name = unique("moves");
    let (one, two) = (Network::create(&format!("{name}-one")), Network::create(&format!("{name}-two")));
    let container =
        Spec::new(&name).expose("80/tcp").env(&format!("SERVICE_NETWORK={}", two.name)).network(&one.name).start();
    let _program = registrator(&consul.uri(), &["-internal"]);
    becomes(vec![(address(&container, &one.name), 80)], SOON, || places(&consul, &name)).await;

    let connect = |network: &Network, container: &Container, verb: &str| {
        let body = json!({"Container": container.id});
        let (status, answer) = ask("POST", &format!("/networks/{}/{verb}", network.name), &body);
        assert_eq!(status, 200, "{answer}");
    };
    connect(&two, &container, "connect");
    becomes(vec![(address(&container, &two.name), 80)], SOON, || places(&consul, &name)).await;
    connect(&two, &container, "disconnect");
    becomes(vec![(address(&container, &one.name), 80)], SOON, || places(&consul, &name)).await;

    // While it is down, another takes its address.
    let before = address(&container, &one.name);
    container.act("stop?t=0");
    becomes(Vec::new(), SOON, || places(&consul, &name)).await;
    let _other = Spec::new(&unique("other")).network(&one.name).start();
    container.act("start");
    let after = address(&container, &one.name);
    assert_ne!(before, after);
    becomes(vec![(after, 80)], SOON, || places(&consul, &name)).await;
}

#[tokio::test]
async fn of_two_that_claim_one_id_the_older_has_it_and_the_other_when_that_is_gone() {
    let consul = Consul::start().await;
    let name = unique("claim");
    let claim = format!("SERVICE_ID={name}");
    let run = |what: &str| Spec::new(&format!("{name}-{what}")).publish("80/tcp").env(&claim).start();
    let old = run("old");
    let program = registrator(&consul.uri(), &[]);
    let port = |container: &Container| u64::from(container.host_port("80/tcp"));
    let ports = async || places(&consul, &name).await.into_iter().map(|(_, port)| port).collect::<Vec<_>>();
    let first = port(&old);
    becomes(vec![first], SOON, ports).await;
    let young = run("young");
    let ignored =
        format!("ignored: {} service on port 80: the ID {name} is used by port 80 of {}", young.short(), old.short());
    program.wait_for(&ignored).await;
    stays("the older one's", Duration::from_secs(1), async || ports().await == [first]).await;
    old.remove();
    becomes(vec![port(&young)], SOON, ports).await;
}

#[tokio::test]
async fn a_container_that_crashes_again_and_again_is_not_written_each_time() {
    let consul = Consul::start().await;
    let name = unique("flaps");
    let container = Spec::new(&name).publish("80/tcp").restart_always().shell("sleep 0.3; exit 1").start();
    let program = registrator(&consul.uri(), &[]);
    program.wait_for(&format!("{}: ended 4 times within 1m: {name} is registered when", container.short())).await;
    let added = format!("added: {} ", container.short());
    let written = program.logged(&added);
    assert!(written <= 5, "{written}");
    let restarts = || container.inspect()["RestartCount"].as_u64().unwrap();
    let begin = restarts();
    becomes(true, SOON, async || restarts() >= begin + 2).await;
    assert_eq!(program.logged(&added), written);
    assert_eq!(ids(&consul, &name).await, set::<String>([]));
}
