//! SIGHUP reads the settings again: what can count at once does, the rest is said, and a mistake changes nothing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::status::Status;
use support::{HOST, SOON};
use tempfile::TempDir;
use testkit::consul::Consul;
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::program::Program;
use testkit::wait::becomes;

/// What every file of these tests says.
const USUAL: &str = "hostname = \"hostname\"\nstatus = \"127.0.0.1:0\"\n";

/// A program whose settings are in a file.
struct Run {
    engine: FakeEngine,
    consul: Consul,
    program: Program,
    status: Status,
    file: PathBuf,
    _folder: TempDir,
}

impl Run {
    async fn start(settings: &str) -> Self {
        let (engine, consul, folder) = (FakeEngine::start().await, Consul::start().await, tempfile::tempdir().unwrap());
        let file = folder.path().join("registrator.toml");
        let first = format!("registries = [\"{}\"]\n{USUAL}{settings}", consul.uri());
        std::fs::write(&file, first).unwrap();
        let host = engine.host();
        let arguments = ["-config", file.to_str().unwrap()];
        let binary = Path::new(env!("CARGO_BIN_EXE_registrator"));
        let program = Program::start(binary, arguments, [("DOCKER_HOST", host.as_str())]);
        let status = Status::of(&program).await;
        becomes(200, SOON, async || status.get("/ready").await.status).await;
        Self { engine, consul, program, status, file, _folder: folder }
    }

    /// Changes the file to these settings, and asks for it to be read again.
    fn change(&self, settings: &str) {
        self.write(&format!("registries = [\"{}\"]\n{USUAL}{settings}", self.consul.uri()));
    }

    fn write(&self, text: &str) {
        std::fs::write(&self.file, text).unwrap();
        self.program.signal("HUP");
    }

    /// A member of the entry of port 80 of a container; `null` if there is none.
    async fn entry(&self, container: &str, member: &str) -> Value {
        self.consul
            .services()
            .await
            .get(&format!("{HOST}:{container}:80"))
            .map_or(Value::Null, |entry| entry[member].clone())
    }

    /// What `/metrics` says of the last reading.
    async fn was_read(&self) -> bool {
        let metrics = self.status.text("/metrics").await;
        let line = metrics.lines().find(|line| line.starts_with("registrator_config_last_reload_successful "));
        line.unwrap().ends_with(" 1")
    }
}

#[tokio::test]
async fn the_options_for_services_count_at_once() {
    let run = Run::start("ip = \"10.0.0.1\"\n").await;
    run.engine.run(FakeContainer::new("unnamed").publish("80/tcp", 8001));
    run.engine.run(FakeContainer::new("named").publish("80/tcp", 8002).env("SERVICE_NAME=named"));
    for name in ["unnamed", "named"] {
        becomes(json!("10.0.0.1"), SOON, || run.entry(name, "Address")).await;
    }
    run.change("ip = \"10.0.0.2\"\n");
    run.program.wait_for(r#"settings: -ip was "10.0.0.1", is "10.0.0.2", and counts now"#).await;
    for name in ["unnamed", "named"] {
        becomes(json!("10.0.0.2"), SOON, || run.entry(name, "Address")).await;
    }
    run.change("ip = \"10.0.0.2\"\nexplicit = true\n");
    becomes(Value::Null, SOON, || run.entry("unnamed", "Address")).await;
    assert_eq!(run.entry("named", "Address").await, "10.0.0.2");
    run.change("ip = \"10.0.0.2\"\n");
    becomes(json!("10.0.0.2"), SOON, || run.entry("unnamed", "Address")).await;
    assert!(run.was_read().await);
}

#[tokio::test]
async fn what_was_left_behind_is_cleaned_up_and_what_ends_drains_once_the_file_says_so() {
    let run = Run::start("ip = \"10.0.0.1\"\n").await;
    let id = run.engine.run(FakeContainer::new("web").publish("80/tcp", 8001).env("SERVICE_NAME=web"));
    becomes(json!("web"), SOON, || run.entry("web", "Service")).await;
    let meta = run.entry("web", "Meta").await;
    let left = json!({"ID": format!("{HOST}:left:80"), "Name": "left", "Address": "10.0.0.1", "Port": 1, "Meta": meta});
    run.consul.put("/v1/agent/service/register", &left).await;
    run.program.signal("HUP");
    run.program.wait_for_count("Syncing services", 2).await;
    assert_eq!(run.entry("left", "Service").await, "left", "nothing is cleaned up unless asked for");
    run.change("ip = \"10.0.0.1\"\ncleanup = true\ndrain = \"60s\"\n");
    becomes(Value::Null, SOON, || run.entry("left", "Service")).await;
    let told = json!({"Type": "container", "Action": "kill", "status": "kill", "id": id, "from": "scratch",
        "time": 1_800_000_000, "Actor": {"ID": id, "Attributes": {"signal": "15", "name": "web", "image": "scratch"}}});
    run.engine.send_event(&told);
    let web = async || run.status.json("/v1/containers/web").await;
    becomes(json!("kept"), SOON, async || web().await["ports"][0]["service"]["mode"].clone()).await;
    run.engine.stop(&id, 0);
    becomes(json!("draining"), SOON, async || web().await["delayed_because"].clone()).await;
    assert_eq!(run.entry("web", "Service").await, "web");
}

#[tokio::test]
async fn the_log_says_less_and_more_at_once() {
    let run = Run::start("ip = \"10.0.0.1\"\n").await;
    run.change("ip = \"10.0.0.1\"\nlog-level = \"warn\"\n");
    run.program.wait_for(r#"settings: -log-level was "info", is "warn", and counts now"#).await;
    run.engine.run(FakeContainer::new("quiet").publish("80/tcp", 8001));
    becomes(json!("10.0.0.1"), SOON, || run.entry("quiet", "Address")).await;
    run.change("ip = \"10.0.0.1\"\nlog-level = \"info\"\n");
    run.program.wait_for(r#"settings: -log-level was "warn", is "info", and counts now"#).await;
    run.engine.run(FakeContainer::new("told").publish("80/tcp", 8002));
    run.program.wait_for(&format!("{HOST}:told:80")).await;
    assert_eq!(run.program.logged(&format!("{HOST}:quiet:80")), 0);
}

#[tokio::test]
async fn what_needs_a_restart_is_said_in_one_line() {
    let run = Run::start("ip = \"10.0.0.1\"\n").await;
    run.change("ip = \"10.0.0.1\"\nresync = 5\nhostname-unused = 1\n");
    run.program.wait_for("the settings were not read again").await;
    run.change("ip = \"10.0.0.1\"\nresync = 5\n");
    let line = run.program.wait_for("settings: -resync").await;
    assert!(line.ends_with(r#"settings: -resync was "0", is "5", and counts after a restart"#), "{line}");
    // It is said once, whatever else changes later.
    run.change("ip = \"10.0.0.1\"\nresync = 5\ncleanup = true\n");
    run.program.wait_for("settings: -cleanup").await;
    assert_eq!(run.program.logged("settings: -resync"), 1, "{:?}", run.program.log());
}

#[tokio::test]
async fn a_broken_file_leaves_everything_as_it_is_and_says_why() {
    let run = Run::start("ip = \"10.0.0.1\"\n").await;
    run.engine.run(FakeContainer::new("web").publish("80/tcp", 8001));
    becomes(json!("10.0.0.1"), SOON, || run.entry("web", "Address")).await;
    assert!(run.was_read().await);
    let uri = run.consul.uri();
    for (broken, why) in [
        (
            format!("registries = [\"{uri}\"]\n{USUAL}explicit = true\nip = \"10.0.0.2\nlog-level = \"error\""),
            "registrator.toml:5",
        ),
        (format!("registries = [\"{uri}\"]\n{USUAL}explicit = \"maybe\"\nip = \"10.0.0.2\"\n"), "explicit"),
        (format!("registries = [\"{uri}\"]\n{USUAL}explicit = true\nipp = \"10.0.0.2\"\n"), "ipp"),
        ("explicit = true\n".to_owned(), "registry"),
    ] {
        let before = run.program.logged("the settings were not read again");
        run.write(&broken);
        run.program.wait_for_count("the settings were not read again, and stay as they were: ", before + 1).await;
        let line = run.program.log().into_iter().rfind(|line| line.contains("the settings were not")).unwrap();
        assert!(line.contains(why), "{line}");
        becomes(false, SOON, || run.was_read()).await;
        // What starts now is registered as before.
        let later = format!("later-{before}");
        run.engine.run(FakeContainer::new(&later).publish("80/tcp", 9000 + u16::try_from(before).unwrap()));
        becomes(json!("10.0.0.1"), SOON, || run.entry(&later, "Address")).await;
        assert_eq!(run.entry("web", "Address").await, "10.0.0.1");
        run.change("ip = \"10.0.0.1\"\n");
        becomes(true, SOON, || run.was_read()).await;
    }
    std::fs::remove_file(&run.file).unwrap();
    run.program.signal("HUP");
    becomes(false, SOON, || run.was_read()).await;
    assert_eq!(run.entry("web", "Address").await, "10.0.0.1");
}
