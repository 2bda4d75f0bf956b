//! What an event costs in instructions, as valgrind's callgrind counts them: no other load on the machine changes that, so a
//! few per cent between two builds can be seen.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use testkit::agent::FakeAgent;
use testkit::engine::FakeEngine;

use crate::Bench;
use crate::containers::{container, services};
use crate::report::Cell;
use crate::subject::{Running, Subject};

/// Everything takes some fifty times as long.
const PATIENCE: Duration = Duration::from_secs(600);
/// What follows a start, a first comparison among it, is over by then.
const SETTLING: Duration = Duration::from_secs(30);
/// Containers that are started and removed, one after the other.
const ROUNDS: usize = 60;

pub async fn measure(bench: &mut Bench) {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("\nInstructions are not counted: that needs valgrind (apt-get install valgrind).");
        return;
    }
    bench.report.table(
        "Instructions",
        &["containers standing", "program", "until all is registered, millions", "a start and a die, thousands"],
    );
    for count in [0, 1_000, 5_000] {
        let engine = FakeEngine::start().await;
        engine.populate(count, container);
        for subject in bench.subjects.clone() {
            let cells = events(&subject, &engine, count).await;
            bench.report.row(cells);
        }
    }
}

async fn events(subject: &Subject, engine: &FakeEngine, count: usize) -> Vec<Cell> {
    let folder = tempfile::tempdir().unwrap();
    let agent = FakeAgent::start().await;
    let counted = Counted::run(subject, folder.path(), &engine.host(), &agent.uri());
    let running = &counted.running;
    assert!(agent.holds(services(count), PATIENCE).await, "{}", running.tail());
    tokio::time::sleep(SETTLING).await;
    let started = counted.take();
    for _ in 0..ROUNDS {
        let id = engine.run(container(30_000));
        assert!(agent.holds(services(count) + 1, PATIENCE).await, "{}", running.tail());
        engine.remove(&id);
        assert!(agent.holds(services(count), PATIENCE).await, "{}", running.tail());
    }
    let rounds = counted.take();
    vec![
        count.into(),
        subject.name.into(),
        Cell::Number(started / 1e6, 1),
        Cell::Number(rounds / ROUNDS as f64 / 1e3, 1),
    ]
}

/// A program under callgrind.
struct Counted<'a> {
    running: Running,
    folder: &'a Path,
}

impl<'a> Counted<'a> {
    fn run(subject: &Subject, folder: &'a Path, engine: &str, registry: &str) -> Self {
        let mut command = Command::new("valgrind");
        command.env_clear().env("DOCKER_HOST", engine).env("PATH", "/usr/bin:/bin");
        command.args(["--tool=callgrind", "--quiet"]).arg(format!("--callgrind-out-file={}/out", folder.display()));
        command.arg(&subject.path).args(["-ip", "192.0.2.7", registry]);
        Self { running: Running::spawn(command), folder }
    }

    /// The instructions since the last time.
    fn take(&self) -> f64 {
        let done = Command::new("callgrind_control").arg("--dump").arg(self.running.id().to_string()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let mut sum = 0.0;
        for file in std::fs::read_dir(self.folder).unwrap().map(|entry| entry.unwrap().path()) {
            let text = std::fs::read_to_string(&file).unwrap();
            let total = text.lines().find_map(|line| line.strip_prefix("totals:")?.trim().parse::<f64>().ok());
            sum += total.unwrap_or_default();
            std::fs::remove_file(file).unwrap();
        }
        sum
    }
}
