//! What only a list of containers speaks against does not go all at once: an engine that has just started may list
//! nothing at all. What an event tells of goes at once, however much it is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeSet;
use std::time::Duration;

use support::{HOST, SOON, ids, registrator_with, set};
use testkit::consul::Consul;
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::program::Program;
use testkit::wait::{becomes, stays};

const DOUBT: &str = "6 of 6 entries have no container";

struct Bench {
    engine: FakeEngine,
    consul: Consul,
    containers: Vec<String>,
}

impl Bench {
    /// A registry that holds what the last run left there of an engine with six containers.
    async fn new() -> Self {
        let (engine, consul) = tokio::join!(FakeEngine::start(), Consul::start());
        let container = |number: u16| FakeContainer::new(&format!("web{number}")).publish("80/tcp", 32_000 + number);
        let containers = (0..6).map(|number| engine.run(container(number))).collect();
        let bench = Self { engine, consul, containers };
        let mut program = bench.run(&[]);
        becomes(all(), SOON, || bench.held()).await;
        program.signal("TERM");
        program.ended(SOON).await;
        bench
    }

    fn run(&self, options: &[&str]) -> Program {
        registrator_with(&self.consul.uri(), options, &[("DOCKER_HOST", &self.engine.host())])
    }

    async fn held(&self) -> BTreeSet<String> {
        ids(&self.consul, HOST).await
    }
}

fn all() -> BTreeSet<String> {
    set((0..6).map(|number| format!("{HOST}:web{number}:80")))
}

#[tokio::test]
async fn an_engine_that_lists_nothing_at_first_costs_no_entry() {
    let bench = Bench::new().await;
    bench.engine.list_nothing(true);
    let program = bench.run(&[]);
    program.wait_for(DOUBT).await;
    bench.engine.list_nothing(false);
    program.wait_for("Syncing services on 6 containers").await;
    stays("every entry", Duration::from_secs(2), async || bench.held().await == all()).await;
    for line in ["removed: ", "dangling: ", "added: "] {
        assert_eq!(program.logged(line), 0, "{line}");
    }
}

#[tokio::test]
async fn what_is_still_without_a_container_at_the_second_look_goes() {
    let bench = Bench::new().await;
    bench.containers.iter().for_each(|id| bench.engine.remove(id));
    let program = bench.run(&[]);
    program.wait_for(DOUBT).await;
    assert_eq!(bench.held().await, all());
    becomes(BTreeSet::new(), SOON, || bench.held()).await;
}

#[tokio::test]
async fn without_a_guard_they_go_at_once() {
    let bench = Bench::new().await;
    bench.containers.iter().for_each(|id| bench.engine.remove(id));
    let program = bench.run(&["-removal-guard", "0"]);
    becomes(BTreeSet::new(), SOON, || bench.held()).await;
    assert_eq!(program.logged("without a container"), 0);
}

#[tokio::test]
async fn what_events_tell_of_goes_at_once_however_much_it_is() {
    let bench = Bench::new().await;
    let program = bench.run(&[]);
    program.wait_for("Syncing services on 6 containers").await;
    bench.containers.iter().for_each(|id| bench.engine.stop(id, 0));
    becomes(BTreeSet::new(), SOON, || bench.held()).await;
    assert_eq!(program.logged("without a container"), 0);
}
