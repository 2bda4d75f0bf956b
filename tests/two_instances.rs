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
    second.wait_for(&format!("dangling: {web} is there again, and stays")).await;
    second.wait_for("dangling: chosen is there again, and stays").await;
    first.wait_for(&format!("dangling: {api} is there again, and stays")).await;
    let all = set([web.as_str(), "chosen", api.as_str()]);
    becomes(all.clone(), SOON, || ids(&consul, "")).await;
    // Whoever is told of it, and however often it looks again.
    stays("each other's entries", Duration::from_secs(5), async || ids(&consul, "").await == all).await;

    two.stop(&own, 0);
    becomes(set([web.as_str(), "chosen"]), SOON, || ids(&consul, "")).await;
    drop((first, second));
}
