//! A registry that lost everything: how soon it is whole again, and what that holds up.

use std::time::{Duration, Instant};

use testkit::agent::FakeAgent;
use testkit::engine::FakeEngine;

use crate::Bench;
use crate::containers::{container, services};
use crate::report::Cell;
use crate::subject::Subject;

const PATIENCE: Duration = Duration::from_secs(120);
const COUNT: usize = 10_000;

pub async fn measure(bench: &mut Bench) {
    bench.report.table(
        "A registry that lost the services of 10,000 containers (-resync 10)",
        &[
            "program",
            "noticed after, s",
            "whole again, s after that",
            "requests a second meanwhile",
            "a container started meanwhile: to its entry, ms",
        ],
    );
    for subject in bench.subjects.clone() {
        let cells = recover(&subject).await;
        bench.report.row(cells);
    }
}

async fn recover(subject: &Subject) -> Vec<Cell> {
    let (engine, agent) = (FakeEngine::start().await, FakeAgent::start().await);
    engine.populate(COUNT, container);
    let running = subject.run(&engine.host(), &agent.uri(), &["-resync", "10"]);
    assert!(agent.holds(services(COUNT), PATIENCE).await, "{}", running.tail());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let _ = agent.take_writes();
    let wiped = Instant::now();
    agent.wipe();
    while agent.is_empty() {
        assert!(wiped.elapsed() < PATIENCE, "{}", running.tail());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (noticed, requests) = (Instant::now(), agent.requests());
    engine.run(container(30_000));
    let whole = agent.holds(services(COUNT) + 1, PATIENCE).await;
    let took = noticed.elapsed().as_secs_f64();
    let requests = agent.requests() - requests;
    let newcomer = agent.take_writes().into_iter().find(|write| write.id.contains(":c30000:"));
    vec![
        subject.name.into(),
        Cell::Number((noticed - wiped).as_secs_f64(), 2),
        if whole { Cell::Number(took, 2) } else { "never".into() },
        Cell::Number(requests as f64 / took, 0),
        newcomer.map_or(Cell::None, |write| Cell::Number((write.at - noticed).as_secs_f64() * 1e3, 1)),
    ]
}
