//! Two instances with one host name by mistake: neither takes away for good what the other holds alive.

mod support;

use std::time::Duration;

use support::{HOST, SOON, ids, registrator_with, set};
use testkit::consul::Consul;
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::wait::{becomes, stays};

#[tokio::test]
async fn on_one_consul_agent_they_leave_each_others_entries_once_they_have_met() {
    let consul = Consul::start().await;
    let (one, two) = (FakeEngine::start().await, FakeEngine::start().await);
    let options = ["-resync", "1", "-cleanup"];
    one.run(FakeContainer::new("web.0").image("web").publish("80/tcp", 8000));
    let named = FakeContainer::new("named").image("web").publish("80/tcp", 8010);
    one.run(named.env("SERVICE_ID=chosen"));
    let first = registrator_with(&consul.uri(), &options, &[("DOCKER_HOST", &one.host())]);
    let (web, api) = (format!("{HOST}:web.0:80"), format!("{HOST}:api.0:80"));
    becomes(set([web.as_str(), "chosen"]), SOON, || ids(&consul, "")).await;

    let own = two.run(FakeContainer::new("api.0").image("api").publish("80/tcp", 8001));
    let second = registrator_with(&consul.uri(), &options, &[("DOCKER_HOST", &two.host())]);
    second.wait_for(&format!("dangling: {web} is back after it was removed, and stays")).await;
    second.wait_for("dangling: chosen is back after it was removed, and stays").await;
    first.wait_for(&format!("dangling: {api} is back after it was removed, and stays")).await;
    let all = set([web.as_str(), "chosen", api.as_str()]);
    becomes(all.clone(), SOON, || ids(&consul, "")).await;
    // Whoever is told of it, and however often it looks again.
    stays("each other's entries", Duration::from_secs(5), async || ids(&consul, "").await == all).await;

    two.stop(&own, 0);
    becomes(set([web.as_str(), "chosen"]), SOON, || ids(&consul, "")).await;
    drop((first, second));
}

/// As where a machine was cloned, or where one program runs beside another one that was forgotten.
#[tokio::test]
async fn two_that_register_the_same_containers_differently_are_named_and_do_not_fight() {
    let (consul, engine) = (Consul::start().await, FakeEngine::start().await);
    let web = format!("{HOST}:web.0:80");
    engine.run(FakeContainer::new("web.0").image("web").publish("80/tcp", 8000));
    let start = |ip| registrator_with(&consul.uri(), &["-ip", ip], &[("DOCKER_HOST", &engine.host())]);
    let (first, second) = (start("10.0.0.1"), start("10.0.0.2"));
    let named = |here: &str, there: &str| {
        format!("another instance writes {web} and others under the owner \"{HOST}\": {here} here, {there} there")
    };
    first.wait_for(&named("10.0.0.1", "10.0.0.2")).await;
    second.wait_for(&named("10.0.0.2", "10.0.0.1")).await;

    // From now on, each writes ever more rarely: after 5 s, 10, 20 …
    let written = || first.logged("added: ") + second.logged("added: ");
    let before = written();
    assert!(before < 20, "{before} writes before they knew of each other");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let after = written() - before;
    assert!(after <= 6, "{after} writes within ten seconds after they knew of each other");
    assert_eq!(first.logged("another instance writes"), 1, "it is said once");

    // It heals by itself when the other stops.
    drop(second);
    let address = async || consul.services().await.get(&web).map(|service| service["Address"].clone());
    becomes(Some("10.0.0.1".into()), Duration::from_secs(60), address).await;
}
