//! A real engine that is stopped, killed, frozen and started again, while containers run on it: we stay, what
//! still runs keeps its entry all the time, and in the end every entry is right.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::process::Command;
use std::time::Duration;

use serde_json::json;
use support::{SOON, id, ids, registrator_with, set};
use testkit::consul::Consul;
use testkit::docker::{Spec, unique};
use testkit::private_engine::PrivateEngine;
use testkit::program::Program;
use testkit::wait::{becomes, stays};

fn watching(consul: &Consul, engine: &PrivateEngine) -> Program {
    registrator_with(&consul.uri(), &["-cleanup", "-resync", "2"], &[("DOCKER_HOST", &engine.host())])
}

fn on(engine: &PrivateEngine, name: &str) -> Spec {
    Spec::new(name).on(&engine.socket()).network("host").expose("80/tcp")
}

#[tokio::test]
async fn while_an_engine_is_dead_what_runs_stays_registered_and_afterwards_only_what_ended_is_removed() {
    let (consul, mut engine) = tokio::join!(Consul::start(), PrivateEngine::start(true));
    let name = unique("killed");
    let stays_up = on(&engine, &format!("{name}-stays")).start();
    let ends = on(&engine, &format!("{name}-ends")).start();
    let program = watching(&consul, &engine);
    let both = set([id(&stays_up, "80"), id(&ends, "80")]);
    becomes(both.clone(), SOON, || ids(&consul, &name)).await;

    let process = ends.inspect()["State"]["Pid"].to_string();
    engine.kill().await;
    program.wait_for("is lost").await;
    assert!(Command::new("kill").args(["-9", &process]).status().unwrap().success());
    stays("what ran", Duration::from_secs(3), async || ids(&consul, &name).await == both).await;

    engine.restart().await;
    becomes(set([id(&stays_up, "80")]), SOON, || ids(&consul, &name)).await;
    program.wait_for("is back").await;
    let comes = on(&engine, &format!("{name}-comes")).start();
    becomes(set([id(&stays_up, "80"), id(&comes, "80")]), SOON, || ids(&consul, &name)).await;

    // Frozen: it accepts connections and answers nothing.
    engine.freeze();
    let program_is_there = program.logged("panicked");
    stays("what runs", Duration::from_secs(3), async || ids(&consul, &name).await.len() == 2).await;
    engine.thaw();
    drop(comes);
    becomes(set([id(&stays_up, "80")]), SOON, || ids(&consul, &name)).await;
    assert_eq!((program_is_there, program.logged(&format!("removed: {}", stays_up.short()))), (0, 0));
    assert_eq!(program.logged(&format!("added: {}", stays_up.short())), 1);
}

#[tokio::test]
async fn what_an_engine_starts_again_after_its_own_restart_is_registered_and_nothing_else_is() {
    let (consul, mut engine) = tokio::join!(Consul::start(), PrivateEngine::start(false));
    let name = unique("restarted");
    let always = json!({"NetworkMode": "host", "RestartPolicy": {"Name": "always"}});
    let returns = on(&engine, &format!("{name}-returns")).with("HostConfig", always).start();
    let ends = on(&engine, &format!("{name}-ends")).start();
    let mut program = watching(&consul, &engine);
    becomes(set([id(&returns, "80"), id(&ends, "80")]), SOON, || ids(&consul, &name)).await;
    for crash in [false, true] {
        if crash {
            engine.kill().await
        } else {
            engine.stop().await
        }
        program.wait_for("is lost").await;
        engine.restart().await;
        becomes(set([id(&returns, "80")]), SOON, || ids(&consul, &name)).await;
        let extra = on(&engine, &format!("{name}-extra")).start();
        becomes(set([id(&returns, "80"), id(&extra, "80")]), SOON, || ids(&consul, &name)).await;
        drop(extra);
        becomes(set([id(&returns, "80")]), SOON, || ids(&consul, &name)).await;
    }
    // An engine that is away for good holds up no end.
    engine.kill().await;
    program.signal("TERM");
    assert_eq!(program.ended(Duration::from_secs(4)).await.code(), Some(0));
    assert_eq!(program.logged("panicked"), 0);
}
