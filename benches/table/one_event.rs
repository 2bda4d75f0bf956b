//! One event, among none and among ten thousand standing containers: what it costs must not depend on them.

use std::time::{Duration, Instant};

use testkit::agent::FakeAgent;
use testkit::engine::FakeEngine;

use crate::Bench;
use crate::containers::{container, services};
use crate::report::{Cell, percentile};
use crate::subject::Subject;

const PATIENCE: Duration = Duration::from_secs(120);
/// What follows a start, a first comparison among it, is over by then.
const SETTLING: Duration = Duration::from_secs(4);
/// Containers that are started and removed, one after the other.
const ROUNDS: usize = 300;
/// The same, one a second.
const SECONDS: usize = 20;

pub async fn measure(bench: &mut Bench) {
    bench.report.table(
        "One event among those that stand",
        &[
            "containers standing",
            "program",
            "start to entry, p50, ms",
            "p99, ms",
            "CPU of a start and a die, ms",
            "CPU at one of each a second, % of a core",
        ],
    );
    for count in [0, 1_000, 10_000] {
        let engine = FakeEngine::start().await;
        engine.populate(count, container);
        for subject in bench.subjects.clone() {
            let cells = events(&subject, &engine, count).await;
            bench.report.row(cells);
        }
    }
}

async fn events(subject: &Subject, engine: &FakeEngine, count: usize) -> Vec<Cell> {
    let agent = FakeAgent::start().await;
    let running = subject.run(&engine.host(), &agent.uri(), &[]);
    running.listens().await;
    assert!(agent.holds(services(count), PATIENCE).await, "{}", running.tail());
    tokio::time::sleep(SETTLING).await;
    let cpu = running.cpu();
    let mut waits = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        // It has one port.
        let id = engine.run(container(30_000));
        assert!(agent.holds(services(count) + 1, PATIENCE).await, "{}", running.tail());
        waits.push(began.elapsed().as_secs_f64() * 1e3);
        engine.remove(&id);
        assert!(agent.holds(services(count), PATIENCE).await, "{}", running.tail());
    }
    let cpu = running.cpu() - cpu;
    let (slowly, began) = (running.cpu(), Instant::now());
    for second in 1..=SECONDS {
        let id = engine.run(container(30_000));
        assert!(agent.holds(services(count) + 1, PATIENCE).await, "{}", running.tail());
        engine.remove(&id);
        tokio::time::sleep_until((began + Duration::from_secs(second as u64)).into()).await;
    }
    let slowly = (running.cpu() - slowly) / began.elapsed().as_secs_f64();
    waits.sort_by(f64::total_cmp);
    vec![
        count.into(),
        subject.name.into(),
        Cell::Number(percentile(&waits, 0.5), 2),
        Cell::Number(percentile(&waits, 0.99), 2),
        Cell::Number(cpu / ROUNDS as f64 * 1e3, 3),
        Cell::Number(slowly * 100.0, 2),
    ]
}
