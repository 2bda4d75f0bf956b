//! The start waits for an engine as for a registry, and does not wait for what can never be.

mod support;

use std::os::unix::fs::symlink;
use std::time::Duration;

use support::{SOON, id, ids, registrator_with, set};
use testkit::consul::Consul;
use testkit::docker::{SOCKET, Spec, unique};
use testkit::guard::Guard;
use testkit::wait::becomes;

#[tokio::test]
async fn without_an_end_of_attempts_the_start_waits_until_there_is_an_engine() {
    let consul = Consul::start().await;
    let name = unique("waits");
    let container = Spec::new(&name).publish("80/tcp").start();
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("docker.sock");
    let host = format!("unix://{}", socket.display());
    let options = ["-retry-attempts", "-1", "-retry-interval", "100"];
    let program = registrator_with(&consul.uri(), &options, &[("DOCKER_HOST", &host)]);
    program.wait_for("Connecting to Docker (3/-1)").await;
    let line = program.wait_for("there is no socket at").await;
    assert!(line.ends_with("; trying again in 100ms"), "{line}");
    symlink(SOCKET, &socket).expect("a link");
    becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;
}

#[tokio::test]
async fn after_the_last_attempt_the_program_ends_with_what_to_do() {
    let host = "unix:///nonexistent/docker.sock";
    let options = ["-retry-attempts", "2", "-retry-interval", "50"];
    let mut program = registrator_with("consul://127.0.0.1:1", &options, &[("DOCKER_HOST", host)]);
    assert_eq!(program.ended(SOON).await.code(), Some(1));
    for attempt in 0..3 {
        assert_eq!(program.logged(&format!("Connecting to Docker ({attempt}/2)")), 1);
    }
    assert_eq!(program.logged("trying again in 50ms"), 2);
    let log = program.log();
    let last = log.last().expect("a line");
    assert!(last.contains("there is no socket at /nonexistent/docker.sock"), "{last}");
    // The mount that survives a restart of the engine, and not that of the socket itself.
    assert!(last.contains("-v /var/run:/host/run:ro -e DOCKER_HOST=unix:///host/run/docker.sock"), "{last}");
}

#[tokio::test]
async fn what_can_never_work_ends_at_once() {
    let engine = format!("unix://{SOCKET}");
    for (environment, line) in [
        (
            vec![("DOCKER_HOST", engine.as_str()), ("DOCKER_API_VERSION", "9.99")],
            "not DOCKER_API_VERSION=9.99: unset it",
        ),
        (vec![("DOCKER_API_VERSION", "banana")], "DOCKER_API_VERSION=banana"),
        (vec![("DOCKER_HOST", "ssh://host")], "DOCKER_HOST=ssh://host"),
        (vec![("DOCKER_HOST", "banana")], "DOCKER_HOST=banana"),
        (
            vec![("DOCKER_HOST", "127.0.0.1:1"), ("DOCKER_TLS_VERIFY", "1"), ("DOCKER_CERT_PATH", "/nonexistent")],
            "/nonexistent/ca.pem is missing",
        ),
    ] {
        let mut program = registrator_with("consul://127.0.0.1:1", &["-retry-attempts", "-1"], &environment);
        assert_eq!(program.ended(Duration::from_secs(10)).await.code(), Some(1), "{environment:?}");
        let log = program.log();
        assert!(log.last().is_some_and(|last| last.contains(line)), "{line} is not the last line: {log:?}");
        assert_eq!(program.logged("trying again"), 0, "{log:?}");
    }
}

#[tokio::test]
async fn an_engine_behind_a_proxy_that_refuses_everything_is_waited_for() {
    let consul = Consul::start().await;
    let guard = Guard::before(SOCKET.as_ref()).await;
    guard.forbid("/version");
    let name = unique("guarded");
    let container = Spec::new(&name).publish("80/tcp").start();
    let host = format!("unix://{}", guard.path().display());
    let options = ["-retry-attempts", "-1", "-retry-interval", "100"];
    let program = registrator_with(&consul.uri(), &options, &[("DOCKER_HOST", &host)]);
    let line = program.wait_for("it answers 403").await;
    assert!(line.contains("let the proxy before it pass GET /version, /containers/json"), "{line}");
    program.wait_for("Connecting to Docker (2/-1)").await;
    guard.allow();
    becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;
}
