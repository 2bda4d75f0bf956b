//! From what the real engine says, to what the registry holds.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::agent::FakeAgent;
use testkit::consul::Consul;
use testkit::docker::{Container, SOCKET, Spec, unique};
use tokio::runtime::Handle;
use tokio::task::{block_in_place, yield_now};

use crate::Bench;
use crate::floor::{self, Connection};
use crate::report::{Cell, percentile};
use crate::subject::Subject;

/// Containers that are started and killed, one after the other.
const ROUNDS: usize = 100;
const PATIENCE: Duration = Duration::from_secs(30);

/// Where entries go.
enum Store {
    /// Knows when each entry came and went.
    Fake(FakeAgent),
    /// Is asked all the time.
    Real(Box<Consul>),
}

pub async fn measure(bench: &mut Bench) {
    let mut measured = Vec::new();
    for real in [false, true] {
        let registry = if real { "Consul 1.8.7" } else { "at once" };
        let mut floor = (Vec::new(), Vec::new());
        let mut programs: Vec<_> = bench.subjects.iter().map(|_| (Vec::new(), Vec::new())).collect();
        // In turns, since others use the engine, too.
        for _ in 0..bench.repeat {
            add(&mut floor, rounds(None, real).await);
            for (subject, times) in bench.subjects.iter().zip(&mut programs) {
                add(times, rounds(Some(subject), real).await);
            }
        }
        measured.push((registry, "floor: one inspect, one write", floor));
        for (subject, times) in bench.subjects.iter().zip(programs) {
            measured.push((registry, subject.name, times));
        }
    }
    for (title, to) in [("start event to entry", true), ("die event to gone", false)] {
        let columns = ["registry", "program", "p50, ms", "p90, ms", "p99, ms"];
        bench.report.table(&format!("Latency on the real engine: {title}"), &columns);
        for (registry, program, (starts, dies)) in &mut measured {
            let times = if to { starts } else { dies };
            times.sort_by(f64::total_cmp);
            let parts = [0.5, 0.9, 0.99].map(|part| Cell::Number(percentile(times, part), 2));
            bench.report.row([(*registry).into(), (*program).into()].into_iter().chain(parts));
        }
    }
}

type Times = (Vec<f64>, Vec<f64>);

fn add(all: &mut Times, some: Times) {
    all.0.extend(some.0);
    all.1.extend(some.1);
}

/// The milliseconds from each start to the entry, and from each death to its end.
async fn rounds(subject: Option<&Subject>, real: bool) -> Times {
    let store = if real { Store::Real(Box::new(Consul::start().await)) } else { Store::Fake(FakeAgent::start().await) };
    let (address, uri) = match &store {
        Store::Fake(agent) => (agent.address().to_string(), agent.uri()),
        Store::Real(consul) => (consul.address().to_string(), consul.uri()),
    };
    let running = subject.map(|subject| subject.run(&format!("unix://{SOCKET}"), &uri, &[]));
    if let Some(running) = &running {
        running.listens().await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let host = nix::unistd::gethostname().unwrap().into_string().unwrap();
    let events = events();
    let mut hands = running.is_none().then(|| (Connection::unix(SOCKET), Connection::tcp(&address)));
    let mut eyes = Connection::tcp(&address);
    let mut times = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let name = unique("latency");
        let container =
            block_in_place(|| Spec::new(&name).expose("80/tcp").network("host").shell("sleep 600").create());
        let id = format!("{host}:{}:80", container.name);
        for there in [true, false] {
            let (verb, word) = if there { ("start", "start") } else { ("kill", "die") };
            let heard = block_in_place(|| {
                std::thread::scope(|scope| {
                    scope.spawn(|| container.act(verb));
                    hear(&events, &container, word)
                })
            });
            if let Some((engine, agent)) = &mut hands {
                block_in_place(|| by_hand(engine, agent, &container, &id, there));
            }
            let seen = block_in_place(|| wait(&store, &mut eyes, &id, there));
            let seen =
                seen.unwrap_or_else(|| panic!("never: {}", running.as_ref().map_or_else(String::new, |it| it.tail())));
            let took = seen.saturating_duration_since(heard).as_secs_f64() * 1e3;
            if there { &mut times.0 } else { &mut times.1 }.push(took);
        }
        yield_now().await;
    }
    times
}

/// What anyone must do for an event: ask what there is, and write it.
fn by_hand(engine: &mut Connection, agent: &mut Connection, container: &Container, id: &str, there: bool) {
    engine.ask("GET", &format!("/v1.41/containers/{}/json", container.id), b"");
    if there {
        agent.ask("PUT", "/v1/agent/service/register", &floor::body(id, 80));
    } else {
        agent.ask("PUT", &format!("/v1/agent/service/deregister/{id}"), b"");
    }
}

fn wait(store: &Store, eyes: &mut Connection, id: &str, there: bool) -> Option<Instant> {
    match store {
        Store::Fake(agent) => Handle::current().block_on(agent.becomes(id, there, PATIENCE)),
        Store::Real(_) => {
            let until = Instant::now() + PATIENCE;
            while Instant::now() < until {
                let held = !eyes.ask("GET", &format!("/v1/agent/service/{id}"), b"").is_empty();
                if held == there {
                    return Some(Instant::now());
                }
                std::thread::sleep(Duration::from_micros(100));
            }
            None
        }
    }
}

/// The events of containers, each with when it was heard.
fn events() -> mpsc::Receiver<(Instant, Value)> {
    let (sender, receiver) = mpsc::channel();
    let mut stream = UnixStream::connect(SOCKET).unwrap();
    let filters = "%7B%22type%22%3A%5B%22container%22%5D%7D";
    write!(stream, "GET /v1.41/events?filters={filters} HTTP/1.0\r\nHost: docker\r\n\r\n").unwrap();
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let now = Instant::now();
            if let Ok(event) = serde_json::from_str(&line)
                && sender.send((now, event)).is_err()
            {
                return;
            }
        }
    });
    receiver
}

fn hear(events: &mpsc::Receiver<(Instant, Value)>, container: &Container, action: &str) -> Instant {
    loop {
        let (at, event) = events.recv_timeout(PATIENCE).expect("an event");
        if event["id"] == container.id.as_str() && event["Action"] == action {
            return at;
        }
    }
}
