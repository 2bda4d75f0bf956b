//! Rendered files: from a container's start to the file that names it, and to the program that is told, beside the same
//! program that looks once a second, as confd with `-interval 1`.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use testkit::agent::FakeAgent;
use testkit::engine::{FakeContainer, FakeEngine};

use crate::Bench;
use crate::report::{Cell, percentile};
use crate::subject::{Running, Subject};

const PATIENCE: Duration = Duration::from_secs(60);
/// Containers that are started and removed, one after the other.
const ROUNDS: usize = 100;
/// The same of the one that looks once a second.
const POLLED_ROUNDS: usize = 20;
/// What follows a start, a first comparison among it, is over by then.
const SETTLING: Duration = Duration::from_secs(4);

/// A list of servers as a proxy reads it.
const TEMPLATE: &str = "{{range lsdir \"/\"}}{{end}}{{range gets \"/*/*\"}}server {{base .Key}} {{.Value}};\n{{end}}";

/// How a file follows what runs.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    /// `-render`.
    Events,
    /// `confd -backend docker -interval 1`.
    Polling,
}

pub async fn measure(bench: &mut Bench) {
    bench.report.table(
        "Rendered files: start to file, and to the end of the reload",
        &[
            "services",
            "program",
            "start to file, p50, ms",
            "p99, ms",
            "start to reload, p50, ms",
            "p99, ms",
            "CPU of a change, ms",
        ],
    );
    let ours = bench.ours();
    for count in [10, 100, 1_000] {
        for (way, name) in [(Way::Events, "registrator -render"), (Way::Polling, "registrator confd -interval 1")] {
            let engine = FakeEngine::start().await;
            engine.populate(count, container);
            let cells = follow(&ours, &engine, count, way).await;
            bench.report.row([count.into(), name.into()].into_iter().chain(cells));
        }
    }
}

fn container(number: usize) -> FakeContainer {
    let port = 10_000 + u16::try_from(number).unwrap();
    FakeContainer::new(&format!("c{number}")).env(&format!("SERVICE_NAME=s{}", number % 100)).publish("80/tcp", port)
}

/// A configuration folder whose file is `file`, and whose program touches `told`.
fn confdir(count: usize) -> (TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let (file, told) = (folder.path().join("file"), folder.path().join("told"));
    for part in ["conf.d", "templates"] {
        fs::create_dir(folder.path().join(part)).unwrap();
    }
    fs::write(folder.path().join("templates/t"), TEMPLATE).unwrap();
    let resource = format!(
        "[template]\nsrc = \"t\"\ndest = {file:?}\nkeys = [\"/\"]\nreload_cmd = \"touch {}\"\n# {count}\n",
        told.display()
    );
    fs::write(folder.path().join("conf.d/one.toml"), resource).unwrap();
    (folder, file, told)
}

async fn follow(subject: &Subject, engine: &FakeEngine, count: usize, way: Way) -> Vec<Cell> {
    let agent = FakeAgent::start().await;
    let (folder, file, told) = confdir(count);
    let confdir = folder.path().to_str().unwrap();
    let (running, rounds) = match way {
        Way::Events => (subject.run(&engine.host(), &agent.uri(), &["-render", confdir]), ROUNDS),
        Way::Polling => (polling(subject, engine, confdir), POLLED_ROUNDS),
    };
    until(&running, || lines(&file) == count && told.exists());
    std::thread::sleep(SETTLING);
    let cpu = running.cpu();
    let (mut to_file, mut to_reload) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        let before = stamp(&told);
        let began = Instant::now();
        let id = engine.run(container(40_000));
        until(&running, || lines(&file) == count + 1);
        to_file.push(began.elapsed().as_secs_f64() * 1e3);
        until(&running, || stamp(&told) != before);
        to_reload.push(began.elapsed().as_secs_f64() * 1e3);
        let before = stamp(&told);
        engine.remove(&id);
        until(&running, || lines(&file) == count && stamp(&told) != before);
    }
    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    let cpu = (running.cpu() - cpu) * 1e3 / (2 * rounds) as f64;
    for times in [&mut to_file, &mut to_reload] {
        times.sort_by(f64::total_cmp);
    }
    [(&to_file, 0.5), (&to_file, 0.99), (&to_reload, 0.5), (&to_reload, 0.99)]
        .into_iter()
        .map(|(times, part)| Cell::Number(percentile(times, part), 1))
        .chain([Cell::Number(cpu, 2)])
        .collect()
}

fn polling(subject: &Subject, engine: &FakeEngine, confdir: &str) -> Running {
    let mut command = Command::new(&subject.path);
    command
        .env_clear()
        .env("DOCKER_HOST", engine.host())
        .env("PATH", "/usr/bin:/bin")
        .env("REGISTRATOR_IP", "192.0.2.7");
    command.args(["confd", "-backend", "docker", "-interval", "1", "-confdir", confdir]);
    Running::spawn(command)
}

fn lines(file: &Path) -> usize {
    fs::read(file).map_or(0, |content| content.iter().filter(|byte| **byte == b'\n').count())
}

fn stamp(file: &Path) -> Option<(i64, i64)> {
    fs::metadata(file).ok().map(|metadata| (metadata.mtime(), metadata.mtime_nsec()))
}

fn until(running: &Running, holds: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "never: {}", running.tail());
        std::thread::sleep(Duration::from_micros(200));
    }
}
