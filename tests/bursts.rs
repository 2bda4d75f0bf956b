//! Many at once: every container of a burst is registered, and none is left when they are killed.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use support::{id, ids, registrator, set};
use testkit::consul::Consul;
use testkit::docker::{Container, Spec, unique};
use testkit::wait::becomes;

const MANY: usize = 100;
const PATIENCE: Duration = Duration::from_secs(240);

/// Does this with every container at once.
async fn all_at_once(containers: &[Arc<Container>], verb: &'static str) {
    let acts: Vec<_> = containers
        .iter()
        .map(|container| {
            let container = Arc::clone(container);
            tokio::task::spawn_blocking(move || container.act(verb))
        })
        .collect();
    for act in acts {
        act.await.unwrap();
    }
}

#[tokio::test]
async fn of_a_hundred_started_at_once_all_are_registered_and_of_a_hundred_killed_none_is_left() {
    let consul = Consul::start().await;
    let _program = registrator(&consul.uri(), &[]);
    let name = unique("burst");
    let containers: Vec<Arc<Container>> = (0..MANY)
        .map(|number| {
            Arc::new(
                Spec::new(&format!("{name}-{number}")).expose("80/tcp").network("host").shell("sleep 3600").create(),
            )
        })
        .collect();
    all_at_once(&containers, "start").await;
    let expected = set(containers.iter().map(|container| id(container, "80")));
    becomes(expected, PATIENCE, || ids(&consul, &name)).await;
    all_at_once(&containers, "kill").await;
    becomes(set::<String>([]), PATIENCE, || ids(&consul, &name)).await;
}
