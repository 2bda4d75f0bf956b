//! The registries that live in this process keep the contract of every registry, too.
//!
//! They have no server to break and no credentials to refuse; the embedded one has a single owner, this
//! process, and so no second to prove it with.

// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

mod conformance;

use std::sync::Arc;
use std::time::Duration;

use conformance::batches::open;
use conformance::{Subject, assert_held, assert_unreachable, register, service};
use registrator::config::RegistryConfig;
use registrator::registry::Registry;
use testkit::memory::{Faults, Memory};

const OWNER: &str = "this-host";

#[tokio::test]
async fn the_one_in_memory_keeps_the_contract_of_every_registry() {
    let memory = Memory::new(OWNER);
    let theirs: Arc<dyn Registry> = Arc::new(memory.seen_by("other-host"));
    conformance::prove(&Subject { ours: Arc::new(memory), theirs: Some(theirs), owner: OWNER }).await;
}

#[tokio::test]
async fn the_one_in_memory_is_away_and_slow_as_a_real_one_is() {
    let memory = Memory::new(OWNER);
    let kept = [Arc::new(service("kept"))];
    memory.fail(Faults { delay: Duration::from_millis(20), ..Faults::default() });
    register(&memory, &kept).await;
    memory.fail(Faults { away: true, ..Faults::default() });
    assert_unreachable(&memory).await;
    memory.fail(Faults::default());
    assert_held(&memory, &kept).await;
}

#[tokio::test]
async fn the_embedded_one_keeps_the_contract_of_every_registry() {
    let config = RegistryConfig {
        uri: "embedded://off?dns=off".to_owned(),
        owner: OWNER.to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::default(),
    };
    conformance::prove(&Subject { ours: open(&config).expect("a registry").registry, theirs: None, owner: OWNER })
        .await;
}
