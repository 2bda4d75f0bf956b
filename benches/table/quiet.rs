//! Nothing happens: what that costs, and what a resync of what is right costs.

use std::time::Duration;

use testkit::agent::FakeAgent;
use testkit::engine::FakeEngine;

use crate::Bench;
use crate::containers::{container, services};
use crate::report::Cell;
use crate::subject::Subject;

const PATIENCE: Duration = Duration::from_secs(120);
/// How long nothing happens.
const PERIOD: Duration = Duration::from_secs(60);
/// How long what follows a start may go on: what was begun ends, and the first list is compared.
const SETTLING: Duration = Duration::from_secs(3);

pub async fn measure(bench: &mut Bench) {
    bench.report.table(
        "Quiet, for a minute",
        &[
            "containers",
            "-resync",
            "program",
            "CPU, % of a core",
            "lists of the engine",
            "CPU of each, ms",
            "writes",
            "resident, MB",
            "peak memory, MB",
        ],
    );
    for count in [0, 1_000, 10_000] {
        for resync in [None, Some("1")] {
            let engine = FakeEngine::start().await;
            engine.populate(count, container);
            for subject in bench.subjects.clone() {
                let cells = quiet(&subject, &engine, count, resync).await;
                bench.report.row(cells);
            }
        }
    }
}

async fn quiet(subject: &Subject, engine: &FakeEngine, count: usize, resync: Option<&str>) -> Vec<Cell> {
    let agent = FakeAgent::start().await;
    let options: Vec<_> = resync.iter().flat_map(|seconds| ["-resync", seconds]).collect();
    let running = subject.run(&engine.host(), &agent.uri(), &options);
    running.listens().await;
    assert!(agent.holds(services(count), PATIENCE).await, "{}", running.tail());
    tokio::time::sleep(SETTLING).await;
    let (cpu, writes, lists) = (running.cpu(), agent.write_count(), engine.count("/containers/json"));
    tokio::time::sleep(PERIOD).await;
    let cpu = running.cpu() - cpu;
    let lists = engine.count("/containers/json") - lists;
    let writes = agent.write_count() - writes;
    engine.forget_requests();
    vec![
        count.into(),
        resync.unwrap_or("never").into(),
        subject.name.into(),
        Cell::Number(cpu / PERIOD.as_secs_f64() * 100.0, 3),
        lists.into(),
        if lists > 0 { Cell::Number(cpu / lists as f64 * 1e3, 2) } else { Cell::None },
        writes.into(),
        Cell::Number(running.resident(), 1),
        Cell::Number(running.peak(), 1),
    ]
}
