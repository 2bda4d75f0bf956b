//! The whole program with a stand-in for discoverd: heartbeats keep an instance, and nothing is left without them.

mod support;

use std::time::Duration;

use support::{SOON, registrator_with};
use testkit::discoverd::Discoverd;
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::wait::{becomes, stays};

#[tokio::test]
async fn the_program_keeps_an_instance_alive_and_lets_it_go() {
    let server = Discoverd::ticking().await;
    let engine = FakeEngine::start().await;
    let stays_up = engine.run(FakeContainer::new("one").image("library/web").publish("80/tcp", 8000));
    let mut program = registrator_with(&server.uri(), &[], &[("DOCKER_HOST", &engine.host())]);
    let one = || Some(vec!["192.168.1.102:8000".to_owned()]);
    becomes(one(), SOON, async || server.addresses("web")).await;
    // Longer than it lives without heartbeats.
    stays("the instance", Duration::from_secs(14), async || server.addresses("web") == one()).await;
    engine.stop(&stays_up, 0);
    becomes(Some(Vec::new()), SOON, async || server.addresses("web")).await;
    engine.run(FakeContainer::new("two").image("library/web").publish("80/tcp", 8001));
    becomes(1, SOON, async || server.addresses("web").unwrap_or_default().len()).await;
    // After a crash nothing of it is left.
    program.signal("KILL");
    program.ended(SOON).await;
    becomes(Some(Vec::new()), SOON, async || server.addresses("web")).await;
}
