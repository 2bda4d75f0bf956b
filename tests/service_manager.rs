//! A service manager is told when the program runs, how it is, that it lives, and when it stops (`sd_notify`).

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;
use std::time::Duration;

use support::{HOST, IP, SOON};
use tempfile::TempDir;
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::program::Program;
use tokio::net::UnixDatagram;
use tokio::time::timeout;

/// A service manager that reads what it is told.
struct Manager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { socket: UnixDatagram::bind(folder.path().join("notify")).unwrap(), folder }
    }

    /// Starts the program below it.
    fn start(&self, engine: &FakeEngine, arguments: &[&str]) -> Program {
        let usual = ["-hostname", HOST, "-ip", IP, "-retry-interval", "100"];
        let (host, socket) = (engine.host(), self.folder.path().join("notify"));
        let environment = [
            ("DOCKER_HOST", host.as_str()),
            ("NOTIFY_SOCKET", socket.to_str().unwrap()),
            // In microseconds: a sign of life is due each third of it.
            ("WATCHDOG_USEC", "900000"),
        ];
        let arguments = usual.into_iter().chain(arguments.iter().copied());
        Program::start(Path::new(env!("CARGO_BIN_EXE_registrator")), arguments, environment)
    }

    /// The next message.
    async fn hear(&self) -> String {
        let mut bytes = [0; 4096];
        let length = timeout(SOON, self.socket.recv(&mut bytes)).await.unwrap().unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// The next message with this text.
    async fn hear_of(&self, text: &str) -> String {
        loop {
            let heard = self.hear().await;
            if heard.contains(text) {
                return heard;
            }
        }
    }
}

#[tokio::test]
async fn it_is_ready_once_a_registry_is_reached_though_another_is_away_and_says_how_it_is_until_it_stops() {
    let (engine, manager) = (FakeEngine::start().await, Manager::new());
    engine.run(FakeContainer::new("web").publish("80/tcp", 8080));
    let mut program = manager.start(&engine, &["consul://127.0.0.1:1", "embedded://127.0.0.1:0?dns=off"]);
    assert_eq!(manager.hear().await, "READY=1\n");
    let status = manager.hear_of("1 of 1 in sync").await;
    assert!(status.contains("STATUS=1 containers, 1 services; consul://127.0.0.1:1: "), "{status}");
    // Signs of life come in time, again and again.
    for _ in 0..3 {
        let next = timeout(Duration::from_millis(900), manager.hear_of("WATCHDOG=1")).await;
        assert!(next.is_ok(), "no sign of life in time");
    }
    program.signal("TERM");
    assert_eq!(manager.hear_of("STOPPING=1").await, "STOPPING=1\n");
    assert!(program.ended(SOON).await.success());
}

#[tokio::test]
async fn it_is_not_ready_before_a_registry_is_reached() {
    let (engine, manager) = (FakeEngine::start().await, Manager::new());
    let program = manager.start(&engine, &["-retry-attempts", "-1", "consul://127.0.0.1:1"]);
    program.wait_for_count("Connection refused", 3).await;
    let mut bytes = [0; 4096];
    assert!(manager.socket.try_recv(&mut bytes).is_err(), "it said something");
}

#[tokio::test]
async fn a_service_manager_that_cannot_be_told_is_named_and_stops_nothing() {
    let (engine, manager) = (FakeEngine::start().await, Manager::new());
    std::fs::remove_file(manager.folder.path().join("notify")).unwrap();
    engine.run(FakeContainer::new("web").publish("80/tcp", 8080));
    let program = manager.start(&engine, &["embedded://127.0.0.1:0?dns=off"]);
    program.wait_for("the service manager cannot be told that the program runs (NOTIFY_SOCKET)").await;
    program.wait_for("added:").await;
}
