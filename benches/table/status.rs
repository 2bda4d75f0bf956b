//! What it costs to be asked: nothing when nobody may ask, little when somebody does.

use std::time::Duration;

use testkit::agent::FakeAgent;
use testkit::engine::FakeEngine;
use testkit::http::{Request, send};
use testkit::net::Place;

use crate::Bench;
use crate::containers::{container, services};
use crate::report::{Cell, percentile};

const PATIENCE: Duration = Duration::from_secs(120);
/// What follows a start is over by then.
const SETTLING: Duration = Duration::from_secs(4);
const CONTAINERS: usize = 10_000;
/// How often each is asked for.
const ROUNDS: usize = 20;
/// Containers that are started and removed, one after the other.
const EVENTS: usize = 100;

pub async fn measure(bench: &mut Bench) {
    bench.report.table(
        "Being asked, with 10,000 containers",
        &[
            "-status",
            "resident, MB",
            "start to entry, p50, ms",
            "p99, ms",
            "/metrics, p50, ms",
            "/health, p50, ms",
            "/v1/state, p50, ms",
            "its size, MB",
            "peak memory after that, MB",
        ],
    );
    let engine = FakeEngine::start().await;
    engine.populate(CONTAINERS, container);
    for told in [false, true] {
        let agent = FakeAgent::start().await;
        // A port that is free now.
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let address = port.to_string();
        let options: &[&str] = if told { &["-status", &address] } else { &[] };
        let running = bench.ours().run(&engine.host(), &agent.uri(), options);
        running.listens().await;
        assert!(agent.holds(services(CONTAINERS), PATIENCE).await, "{}", running.tail());
        tokio::time::sleep(SETTLING).await;
        let resident = running.resident();
        let mut waits = Vec::new();
        for _ in 0..EVENTS {
            let began = std::time::Instant::now();
            let id = engine.run(container(30_000));
            assert!(agent.holds(services(CONTAINERS) + 1, PATIENCE).await, "{}", running.tail());
            waits.push(began.elapsed().as_secs_f64() * 1e3);
            engine.remove(&id);
            assert!(agent.holds(services(CONTAINERS), PATIENCE).await, "{}", running.tail());
        }
        waits.sort_by(f64::total_cmp);
        let mut cells = vec![
            if told { "on" } else { "off" }.into(),
            Cell::Number(resident, 1),
            Cell::Number(percentile(&waits, 0.5), 2),
            Cell::Number(percentile(&waits, 0.99), 2),
        ];
        if told {
            let place = Place::Tcp(port);
            let mut size = 0;
            for path in ["/metrics", "/health", "/v1/state"] {
                let mut took = Vec::new();
                for _ in 0..ROUNDS {
                    let request = Request { method: "GET".to_owned(), path: path.to_owned(), ..Request::default() };
                    let began = std::time::Instant::now();
                    size = send(&place, &request).await.unwrap().body.len();
                    took.push(began.elapsed().as_secs_f64() * 1e3);
                }
                took.sort_by(f64::total_cmp);
                cells.push(Cell::Number(percentile(&took, 0.5), 2));
            }
            cells.push(Cell::Number(size as f64 / 1e6, 1));
            cells.push(Cell::Number(running.peak(), 1));
        } else {
            cells.extend(["–", "–", "–", "–", "–"].map(Cell::from));
        }
        bench.report.row(cells);
    }
}
