//! The program in a container of its own: what is wrong with a plain `docker run` is said at the start.

#![allow(clippy::expect_used, reason = "a test that cannot be set up has failed")]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use testkit::docker::{Container, Spec, unique};
use testkit::wait::becomes;

/// The program that is tested, with what it is linked to, in a container that has nothing else.
fn registrator(name: &str, options: &[&str]) -> Spec {
    let folder = Path::new(env!("CARGO_BIN_EXE_registrator")).parent().expect("its folder").display();
    let libraries = ["/lib", "/lib64"].into_iter().filter(|path| Path::new(path).exists());
    let mut binds: Vec<_> = libraries.map(|path| format!("{path}:{path}:ro")).collect();
    binds.extend([format!("{folder}:/app:ro"), "/var/run:/host/run:ro".to_owned()]);
    let command: Vec<_> = ["/app/registrator"].into_iter().chain(options.iter().copied()).collect();
    Spec::new(&unique(name))
        .env("DOCKER_HOST=unix:///host/run/docker.sock")
        .with("Cmd", json!([&command[..], &["embedded://127.0.0.1:0?dns=127.0.0.1:0"]].concat()))
        .with("HostConfig", json!({"Binds": binds}))
}

fn log(container: &Container) -> String {
    let logs = Command::new("docker").args(["logs", &container.id]).output().expect("docker logs");
    String::from_utf8_lossy(&logs.stderr).into_owned()
}

/// The line with which the program says what to pass, once it has started.
async fn advice(container: &Container) -> Option<String> {
    becomes(true, Duration::from_secs(30), async || log(container).contains("Syncing services")).await;
    let log = log(container);
    let mut lines = log.lines().filter(|line| line.contains("run it with --net=host"));
    let line = lines.next().map(str::to_owned);
    assert!(lines.next().is_none(), "{log}");
    line
}

#[tokio::test]
async fn a_name_and_an_address_that_are_those_of_the_container_are_told_of_with_what_to_pass() {
    let plain = registrator("plain", &[]).start();
    let line = advice(&plain).await.unwrap_or_else(|| panic!("no advice:\n{}", log(&plain)));
    let inspect = plain.inspect();
    let address = inspect["NetworkSettings"]["IPAddress"].as_str().expect("its address");
    for part in [plain.short(), address, "-hostname", "docker run -h", "-ip"] {
        assert!(line.contains(part), "{part} is not in {line}");
    }

    let named = registrator("named", &[]).with("Hostname", json!("web1")).start();
    let line = advice(&named).await.unwrap_or_else(|| panic!("no advice:\n{}", log(&named)));
    assert!(line.contains("-ip") && !line.contains("-hostname"), "{line}");

    let told = registrator("told", &["-hostname", "web1", "-ip", "192.0.2.7"]).start();
    assert_eq!(advice(&told).await, None);
    let host = registrator("host", &[]).network("host").start();
    assert_eq!(advice(&host).await, None);
}
