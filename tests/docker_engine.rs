//! A real engine is followed: where the machine has one, at the usual place or at `DOCKER_HOST`.

// A test that cannot be set up has failed: saying so at once is the point.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use registrator::config::DockerConfig;
use registrator::container::{Container, NetworkMode, State};
use registrator::docker::{Change, Docker, Snapshot, watch};
use registrator::event::Events;
use tempfile::TempDir;
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `docker`, and says what it printed.
fn docker(arguments: &[&str]) -> String {
    let Output { status, stdout, stderr } =
        Command::new("docker").args(arguments).env("DOCKER_BUILDKIT", "0").output().expect("the docker command");
    assert!(status.success(), "docker {arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).trim().to_owned()
}

/// An image that sleeps, and names of our own; all is removed in the end.
struct Bench {
    prefix: String,
}

impl Bench {
    fn new(test: &str) -> Self {
        let prefix = format!("registrator-engine-{test}-{}", std::process::id());
        let folder = TempDir::new().unwrap();
        std::fs::copy("/bin/busybox", folder.path().join("busybox")).expect("a static busybox");
        // Of its own from the first layer on: removing an image whose layers another one is being built
        // from fails that build.
        let recipe = format!(
            "FROM scratch\nLABEL test={prefix}\nCOPY busybox /bin/busybox\nEXPOSE 80 53/udp\n\
             CMD [\"/bin/busybox\", \"sleep\", \"600\"]\n"
        );
        std::fs::write(folder.path().join("Dockerfile"), recipe).unwrap();
        docker(&["build", "-q", "--force-rm", "-t", &prefix, &folder.path().display().to_string()]);
        Self { prefix }
    }

    fn name(&self, suffix: &str) -> String {
        format!("{}-{suffix}", self.prefix)
    }

    /// Runs a container of this name, with these options.
    fn run(&self, suffix: &str, options: &[&str]) -> String {
        let name = self.name(suffix);
        let arguments = [&["run", "-d", "--name", &name], options, &[self.prefix.as_str()]].concat();
        docker(&arguments)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let mine = format!("name={}", self.prefix);
        let list = |arguments: &[&str]| {
            let output = Command::new("docker").args(arguments).output();
            output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
        };
        for id in list(&["ps", "-aq", "--filter", &mine]).lines() {
            let _ = Command::new("docker").args(["rm", "-f", id]).output();
        }
        for id in list(&["network", "ls", "-q", "--filter", &mine]).lines() {
            let _ = Command::new("docker").args(["network", "rm", id]).output();
        }
        let _ = Command::new("docker").args(["rmi", "-f", &self.prefix]).output();
    }
}

/// A watch on the machine's engine.
struct Watched {
    changes: mpsc::Receiver<Change>,
    _guard: DropGuard,
}

impl Watched {
    async fn open() -> (Self, Snapshot) {
        let config = DockerConfig {
            host: std::env::var("DOCKER_HOST").ok(),
            tls_verify: false,
            cert_path: None,
            api_version: None,
            keep_inspect: false,
            ip_label: None,
            list_all: false,
            resync: None,
        };
        let docker = Docker::connect(&config).await.unwrap();
        assert!(!docker.version().version.is_empty());
        let stop = CancellationToken::new();
        let changes = watch(docker, &config, Arc::new(Notify::new()), stop.clone(), Events::to_log());
        let mut watched = Self { changes, _guard: stop.drop_guard() };
        let first = watched.until("a snapshot", |change| match change {
            Change::Snapshot(snapshot) => Some(snapshot.clone()),
            _ => None,
        });
        let first = first.await;
        (watched, first)
    }

    async fn until<T>(&mut self, what: &str, find: impl Fn(&Change) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let change = timeout_at(deadline, self.changes.recv()).await.unwrap_or_else(|_| panic!("never: {what}"));
            if let Some(found) = find(&change.expect("a watch")) {
                return found;
            }
        }
    }

    async fn changed(&mut self, id: &str, what: &str, holds: impl Fn(&Container) -> bool) -> Arc<Container> {
        self.until(what, |change| match change {
            Change::Changed(container) if container.id.as_str() == id && holds(container) => {
                Some(Arc::clone(container))
            }
            _ => None,
        })
        .await
    }

    async fn gone(&mut self, id: &str) {
        self.until("a removal", |change| matches!(change, Change::Gone(gone) if gone.as_str() == id).then_some(()))
            .await;
    }
}

/// Whether there is an engine to test against; says so where there is none.
#[allow(clippy::print_stderr)]
fn has_engine() -> bool {
    let found = std::env::var_os("DOCKER_HOST").is_some() || Path::new("/var/run/docker.sock").exists();
    if !found {
        eprintln!("not tested: there is no Docker engine here");
    }
    found
}

#[tokio::test]
async fn what_runs_is_in_the_first_snapshot() {
    if !has_engine() {
        return;
    }
    let bench = Bench::new("snapshot");
    let id = bench.run("web", &["-P", "-e", "SERVICE_NAME=db", "-l", "SERVICE_TAGS=a,b", "-h", "inside"]);
    let (_watched, snapshot) = Watched::open().await;
    let container = snapshot.containers.iter().find(|it| it.id.as_str() == id).expect("the container");
    assert_eq!(*container.name, *bench.name("web"));
    assert!(container.image.contains(&bench.prefix), "{}", container.image);
    assert_eq!(&*container.hostname, "inside");
    assert!(container.env.contains(&"SERVICE_NAME=db".to_owned()));
    assert_eq!(container.labels.get("SERVICE_TAGS").map(String::as_str), Some("a,b"));
    assert!(container.state.is_running());
    assert!(container.networks.values().any(|network| network.ipv4.is_some()), "{:?}", container.networks);
    assert!(matches!(&container.network_mode, NetworkMode::Network(_)));
    let ports: Vec<_> = container.ports.iter().map(|port| (port.number, port.exposed)).collect();
    assert_eq!(ports, [(53, true), (80, true)]);
    assert!(container.ports.iter().all(|port| port.bindings[0].port != 0), "{:?}", container.ports);
}

#[tokio::test]
async fn the_life_of_a_container_is_followed() {
    if !has_engine() {
        return;
    }
    let bench = Bench::new("life");
    let (mut watched, _) = Watched::open().await;
    let id = bench.run("one", &[]);
    watched.changed(&id, "a start", |it| it.state.is_running()).await;

    let renamed = bench.name("two");
    docker(&["rename", &bench.name("one"), &renamed]);
    watched.changed(&id, "a new name", |it| *it.name == *renamed).await;

    let network = bench.name("net");
    docker(&["network", "create", &network]);
    docker(&["network", "connect", &network, &id]);
    watched.changed(&id, "a network", |it| it.networks.get(&network).is_some_and(|on| on.ipv4.is_some())).await;
    docker(&["network", "disconnect", &network, &id]);
    watched.changed(&id, "one network less", |it| !it.networks.contains_key(&network)).await;

    docker(&["pause", &id]);
    watched.changed(&id, "a pause", |it| matches!(it.state, State::Running { paused: true, .. })).await;
    docker(&["unpause", &id]);
    watched.changed(&id, "the end of a pause", |it| matches!(it.state, State::Running { paused: false, .. })).await;

    docker(&["kill", &id]);
    watched.changed(&id, "a death", |it| it.state == State::Exited { code: 137 }).await;
    docker(&["start", &id]);
    watched.changed(&id, "another start", |it| it.state.is_running()).await;
    docker(&["rm", "-f", &id]);
    watched.gone(&id).await;
}

#[tokio::test]
async fn a_container_that_removes_itself_is_gone() {
    if !has_engine() {
        return;
    }
    let bench = Bench::new("self");
    let (mut watched, _) = Watched::open().await;
    let id = bench.run("once", &["--rm"]);
    watched.changed(&id, "a start", |it| it.state.is_running()).await;
    docker(&["kill", &id]);
    watched.gone(&id).await;
}
