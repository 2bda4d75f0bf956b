//! Containers that come and go, as fast as it gets: nothing may be lost.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use testkit::agent::FakeAgent;
use testkit::engine::FakeEngine;

use crate::Bench;
use crate::containers::{container, ports, services};
use crate::report::{Cell, percentile};
use crate::subject::Subject;

/// Containers that stand all the while.
const STANDING: usize = 1_000;
/// How long they come and go.
const PERIOD: Duration = Duration::from_secs(5);
/// How long each of them lives.
const LIFE: Duration = Duration::from_secs(1);
/// How often some are started and others killed.
const TICK: Duration = Duration::from_millis(5);
/// When an entry comes late.
const LATE: f64 = 1.0;
/// How long it may take afterwards until all is as it should be.
const PATIENCE: Duration = Duration::from_secs(60);

pub async fn measure(bench: &mut Bench) {
    bench.report.table(
        "Churn, 1,000 containers standing, each of the others living for a second",
        &[
            "starts and as many dies a second",
            "program",
            "lost or left over",
            "late (over 1 s)",
            "gone before they could be asked",
            "p50, ms",
            "p99, ms",
            "right again after, s",
            "CPU, s",
            "peak memory, MB",
        ],
    );
    for rate in [100, 1_000, 5_000] {
        for subject in bench.subjects.clone() {
            let cells = churn(&subject, rate).await;
            bench.report.row(cells);
        }
    }
}

async fn churn(subject: &Subject, rate: usize) -> Vec<Cell> {
    let (engine, agent) = (FakeEngine::start().await, FakeAgent::start().await);
    engine.populate(STANDING, container);
    let running = subject.run(&engine.host(), &agent.uri(), &[]);
    assert!(agent.holds(services(STANDING), PATIENCE).await, "{}", running.tail());
    let _ = agent.take_writes();
    let (cpu, began) = (running.cpu(), Instant::now());

    // Each has one port, and a number of its own behind those that stand.
    let mut alive = std::collections::VecDeque::new();
    let mut started: HashMap<String, Instant> = HashMap::new();
    let mut next = STANDING;
    while began.elapsed() < PERIOD {
        let due = STANDING + (began.elapsed().as_secs_f64() * rate as f64) as usize;
        while next < due {
            let number = next * 3;
            let now = Instant::now();
            let id = engine.run(container(number));
            started.insert(format!(":c{number}:8000"), now);
            alive.push_back((now, id, format!(":c{number}:8000")));
            next += 1;
        }
        while let Some((born, id, _)) = alive.front()
            && born.elapsed() >= LIFE
        {
            engine.remove(id);
            alive.pop_front();
        }
        tokio::time::sleep(TICK).await;
    }
    let ended = Instant::now();
    // The entries themselves, not how many: while some still come and others go, their number may be right by chance.
    let standing =
        (0..STANDING).flat_map(|number| ports(number).map(move |(inside, _)| format!(":c{number}:{inside}")));
    let expected: BTreeSet<_> = standing.chain(alive.into_iter().map(|(_, _, suffix)| suffix)).collect();
    let held = || agent.ids().iter().map(|id| suffix(id).to_owned()).collect::<BTreeSet<_>>();
    while held() != expected && ended.elapsed() < PATIENCE {
        tokio::time::sleep(TICK).await;
    }
    let settled = ended.elapsed().as_secs_f64();
    let cpu = running.cpu() - cpu;

    let mut waits = Vec::new();
    let mut seen = BTreeSet::new();
    for write in agent.take_writes().iter().filter(|write| write.registered) {
        let suffix = suffix(&write.id);
        if let Some(start) = started.get(suffix)
            && seen.insert(suffix.to_owned())
        {
            waits.push((write.at - *start).as_secs_f64());
        }
    }
    waits.sort_by(f64::total_cmp);
    let late = waits.iter().filter(|wait| **wait > LATE).count();
    let wrong = held().symmetric_difference(&expected).count();
    vec![
        rate.into(),
        subject.name.into(),
        wrong.into(),
        late.into(),
        (started.len() - seen.len()).into(),
        Cell::Number(percentile(&waits, 0.5) * 1e3, 1),
        Cell::Number(percentile(&waits, 0.99) * 1e3, 1),
        if wrong == 0 { Cell::Number(settled, 2) } else { "never".into() },
        Cell::Number(cpu, 2),
        Cell::Number(running.peak(), 1),
    ]
}

/// An ID without the host's name.
fn suffix(id: &str) -> &str {
    &id[id.find(':').unwrap_or_default()..]
}
