//! `-healthcheck` as an image's HEALTHCHECK asks it: without options, beside an instance that is the first process.

// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::SOON;
use testkit::engine::FakeEngine;
use testkit::program::Program;
use testkit::wait::{becomes, eventually};

const REGISTRATOR: &str = env!("CARGO_BIN_EXE_registrator");

/// The first process of processes of its own, as an engine starts it.
fn first_process(command: &[&str], engine: &FakeEngine) -> Program {
    let apart = ["--pid", "--fork", "--kill-child", "--mount-proc"];
    let host = engine.host();
    Program::start(Path::new("unshare"), apart.iter().chain(command).copied(), [("DOCKER_HOST", host.as_str())])
}

/// The exit code of `-healthcheck` beside it, and what it prints.
fn asked(first: &Program) -> (Option<i32>, String) {
    let list = fs::read_to_string(format!("/proc/{0}/task/{0}/children", first.id())).unwrap_or_default();
    let Some(child) = list.split_whitespace().next() else { return (None, "nobody runs".to_owned()) };
    let inside = ["--target", child, "--pid", "--mount", REGISTRATOR, "-healthcheck"];
    let done = Command::new("nsenter").args(inside).env_clear().output().expect("nsenter");
    let [out, error] = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (done.status.code(), out + &error)
}

#[tokio::test(flavor = "multi_thread")]
async fn it_asks_the_first_process_at_the_address_that_this_was_started_with() {
    let (engine, address) = (FakeEngine::start().await, format!("127.0.0.1:{}", free_port()));
    let options = ["-status", &address, "embedded://127.0.0.1:0?dns=off"];
    let program = first_process(&[&[REGISTRATOR], &options[..]].concat(), &engine);
    program.wait_for("compared:").await;
    eventually("it is well", SOON, async || {
        let (code, said) = asked(&program);
        (code == Some(0) && said.contains("docker")).then_some(())
    })
    .await;
    engine.go_away().await;
    becomes(Some(1), SOON, async || asked(&program).0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_without_a_status_is_well_while_it_runs() {
    let engine = FakeEngine::start().await;
    let program = first_process(&[REGISTRATOR, "embedded://127.0.0.1:0?dns=off"], &engine);
    program.wait_for("compared:").await;
    assert_eq!(asked(&program), (Some(0), "it runs; without -status there is nothing more to ask\n".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn another_program_is_not_asked() {
    let engine = FakeEngine::start().await;
    let program = first_process(&["sleep", "3600"], &engine);
    let expected = "-healthcheck needs -status, or the variable REGISTRATOR_STATUS";
    becomes(Some(1), SOON, async || asked(&program).0).await;
    let (_, said) = asked(&program);
    assert!(said.contains(expected), "{said}");
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("its address").port()
}
