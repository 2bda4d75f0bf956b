//! From nothing to every service in the registry.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use testkit::agent::FakeAgent;
use testkit::consul::Consul;
use testkit::dns_server::{self, DnsServer, Kind};
use testkit::engine::{FakeEngine, Fault};
use testkit::etcd::EtcdServer;
use testkit::redis::Redis;
use testkit::zookeeper::ZooKeeper;
use zookeeper_client::{Acls, CreateMode};

use crate::Bench;
use crate::containers::{container, services};
use crate::floor::{self, Cost};
use crate::report::{Cell, median};
use crate::subject::Subject;

const PATIENCE: Duration = Duration::from_secs(600);

const COLUMNS: [&str; 7] =
    ["containers / services", "registry", "program", "wall, s", "of the floor", "CPU, s", "peak memory, MB"];

/// With how many connections the bare client is run where nothing else is said.
const CONNECTIONS: [usize; 3] = [1, 2, 4];

/// Engines and agents that answer at once, an agent that takes 5 ms, and an engine and an agent that take 1 ms; and with how
/// many connections the bare client is run. The fastest of them is the floor.
const DELAYS: [(&str, Duration, Duration, &[usize]); 3] = [
    ("at once", Duration::ZERO, Duration::ZERO, &CONNECTIONS),
    ("5 ms a call", Duration::ZERO, Duration::from_millis(5), &[4, 64]),
    ("1 ms a call, and the engine", Duration::from_millis(1), Duration::from_millis(1), &[64]),
];

/// Against doubles that answer at once, and that take their time.
pub async fn doubles(bench: &mut Bench) {
    bench.report.table("Cold start, doubles", &COLUMNS);
    for count in [100, 1_000, 10_000] {
        let engine = FakeEngine::start().await;
        engine.populate(count, container);
        for (registry, inspect, delay, connections) in DELAYS {
            engine.fault_inspect(if inspect.is_zero() { Fault::None } else { Fault::Delay(inspect) });
            let mut bare = Vec::new();
            for &connections in connections {
                bare.push((connections, repeat_floor(&engine, delay, connections, bench.repeat).await));
            }
            let floor = bare.iter().map(|(_, costs)| wall(costs)).min_by(f64::total_cmp);
            for (connections, costs) in &bare {
                row(bench, count, registry, &bare_client(*connections), costs, floor);
            }
            let mut costs: Vec<_> = bench.subjects.iter().map(|_| Vec::new()).collect();
            for _ in 0..bench.repeat {
                for (subject, costs) in bench.subjects.clone().iter().zip(&mut costs) {
                    let agent = FakeAgent::start().await;
                    agent.set_delay(delay);
                    let running = subject.run(&engine.host(), &agent.uri(), &[]);
                    assert!(agent.holds(services(count), PATIENCE).await, "{} of it: {}", agent.len(), running.tail());
                    let wall = running.began.elapsed().as_secs_f64();
                    costs.push(Cost { wall, cpu: running.cpu(), peak: running.peak() });
                }
            }
            for (subject, costs) in bench.subjects.clone().iter().zip(&costs) {
                row(bench, count, registry, subject.name, costs, floor);
            }
        }
    }
}

async fn repeat_floor(engine: &FakeEngine, delay: Duration, connections: usize, repeat: usize) -> Vec<Cost> {
    let mut costs = Vec::new();
    for _ in 0..repeat {
        let agent = FakeAgent::start().await;
        agent.set_delay(delay);
        let (host, address) = (engine.host(), agent.address().to_string());
        costs.push(
            tokio::task::spawn_blocking(move || floor::cold_start(&host, Some(&address), connections)).await.unwrap(),
        );
    }
    costs
}

fn bare_client(connections: usize) -> String {
    format!("bare client, {connections} connection{}", if connections == 1 { "" } else { "s" })
}

fn wall(costs: &[Cost]) -> f64 {
    median(costs.iter().map(|cost| cost.wall).collect())
}

/// A row of [`COLUMNS`]; `floor` is the wall time of the fastest bare client, where one did the same.
fn row(bench: &mut Bench, count: usize, registry: &str, program: &str, costs: &[Cost], floor: Option<f64>) {
    let middle = |part: fn(&Cost) -> f64| median(costs.iter().map(part).collect());
    bench.report.row([
        format!("{count} / {}", services(count)).into(),
        registry.into(),
        program.into(),
        Cell::Number(wall(costs), 3),
        floor.map_or(Cell::None, |floor| Cell::Number(wall(costs) / floor, 2)),
        Cell::Number(middle(|cost| cost.cpu), 3),
        Cell::Number(middle(|cost| cost.peak), 1),
    ]);
}

/// Against real servers, each empty at the start of a run, on an engine that was asked everything before.
pub async fn real(bench: &mut Bench) {
    bench.report.table("Cold start, real registries", &COLUMNS);
    for count in [100, 1_000, 10_000] {
        let engine = FakeEngine::start().await;
        engine.populate(count, container);
        // Whoever asks first waits until the double has thought of its answers.
        floor_of(&engine, None, 4).await;
        let mut alone = Vec::new();
        for connections in CONNECTIONS {
            alone.push(floor_of(&engine, None, connections).await);
        }
        alone.sort_by(|one, other| one.wall.total_cmp(&other.wall));
        row(
            bench,
            count,
            "none",
            "bare client, the engine alone, the fastest of 1, 2 and 4 connections",
            &alone[..1],
            None,
        );
        consul(bench, &engine, count).await;
        etcd(bench, &engine, count).await;
        traefik(bench, &engine, count).await;
        redis(bench, &engine, count).await;
        zookeeper(bench, &engine, count).await;
        dns(bench, &engine, count).await;
    }
}

/// What it costs the bare client to ask this engine everything, and to register it with this agent.
async fn floor_of(engine: &FakeEngine, agent: Option<String>, connections: usize) -> Cost {
    let host = engine.host();
    tokio::task::spawn_blocking(move || floor::cold_start(&host, agent.as_deref(), connections)).await.unwrap()
}

async fn consul(bench: &mut Bench, engine: &FakeEngine, count: usize) {
    // Ten thousand containers keep a Consul agent busy for minutes, whoever registers them.
    if count > 1_000 {
        return;
    }
    let mut bare = Vec::new();
    for connections in CONNECTIONS {
        let agent = Consul::start().await;
        bare.push((connections, floor_of(engine, Some(agent.address().to_string()), connections).await));
    }
    let floor = bare.iter().map(|(_, cost)| cost.wall).min_by(f64::total_cmp);
    for (connections, cost) in bare {
        row(bench, count, "Consul 1.8.7", &bare_client(connections), &[cost], floor);
    }
    for subject in bench.subjects.clone() {
        let agent = Consul::start().await;
        let cost = cold(&subject, engine, &agent.uri(), count).await;
        row(bench, count, "Consul 1.8.7", subject.name, &[cost], floor);
    }
}

async fn etcd(bench: &mut Bench, engine: &FakeEngine, count: usize) {
    // A peer knows another API of etcd, if any.
    let server = EtcdServer::start().await;
    let cost = cold(&bench.ours(), engine, &format!("etcd3://{}/services", server.address()), count).await;
    row(bench, count, "etcd 3.4, v3", "registrator", &[cost], None);
    let server = EtcdServer::start().await;
    let wall = etcd_floor(&server, services(count)).await;
    writes_alone(bench, count, "etcd 3.4, v3", wall);
}

/// Traefik's keys, three for each service: a server, a router's rule, and its service.
async fn traefik(bench: &mut Bench, engine: &FakeEngine, count: usize) {
    let registry = "etcd 3.4, v3, layout=traefik";
    let server = EtcdServer::start().await;
    let wall = traefik_floor(&server, count).await;
    writes_alone(bench, count, registry, wall);
    let server = EtcdServer::start().await;
    // One service of each container is for Traefik.
    let running = bench.ours().run(&engine.host(), &format!("etcd3://{}/?layout=traefik", server.address()), &[]);
    let done = running.adds(count, PATIENCE).await;
    let done = done.unwrap_or_else(|| panic!("{} added: {}", running.added().0, running.tail()));
    let cost = Cost { wall: done, cpu: running.cpu(), peak: running.peak() };
    row(bench, count, registry, "registrator", &[cost], Some(wall));
}

/// The keys of so many containers, those of one in one transaction, with 128 in flight.
async fn traefik_floor(server: &EtcdServer, count: usize) -> f64 {
    let client = etcd_client::Client::connect([server.address().to_string()], None).await.unwrap();
    let began = Instant::now();
    stream::iter(0..count)
        .map(|number| {
            let mut client = client.kv_client();
            let put = move |key: String, value: &str| etcd_client::TxnOp::put(key, value, None);
            async move {
                let url = format!("traefik/http/services/c{number}/loadBalancer/servers/{number:020}/url");
                let router = format!("traefik/http/routers/c{number}");
                let all = [
                    put(url, "http://192.0.2.7:32768"),
                    put(format!("{router}/rule"), "Host(`container-00001`)"),
                    put(format!("{router}/service"), "container-00001"),
                ];
                drop(client.txn(etcd_client::Txn::new().and_then(all)).await.unwrap());
            }
        })
        .buffer_unordered(128)
        .collect::<()>()
        .await;
    began.elapsed().as_secs_f64()
}

async fn redis(bench: &mut Bench, engine: &FakeEngine, count: usize) {
    let server = Redis::start().await;
    let cost = cold(&bench.ours(), engine, &format!("redis://{}", server.address()), count).await;
    row(bench, count, "Redis 7.0", "registrator", &[cost], None);
    let server = Redis::start().await;
    let wall = redis_floor(&server, services(count)).await;
    writes_alone(bench, count, "Redis 7.0", wall);
}

async fn zookeeper(bench: &mut Bench, engine: &FakeEngine, count: usize) {
    for subject in bench.subjects.clone() {
        let server = ZooKeeper::start().await;
        let uri = format!("zookeeper://{}/services", server.address());
        let cost = cold(&subject, engine, &uri, count).await;
        row(bench, count, "ZooKeeper 3.8", subject.name, &[cost], None);
    }
    let server = ZooKeeper::start().await;
    let wall = zookeeper_floor(&server, services(count)).await;
    writes_alone(bench, count, "ZooKeeper 3.8", wall);
}

async fn dns(bench: &mut Bench, engine: &FakeEngine, count: usize) {
    // DNS answers with at most 64 KiB, so a name has a thousand instances at most.
    if count > 1_000 {
        return;
    }
    for (kind, name) in [(Kind::Bind, "BIND 9.18"), (Kind::Knot, "Knot 3.2"), (Kind::PowerDns, "PowerDNS 4.7")] {
        let server = DnsServer::with(kind, dns_server::Options { signed: false, ..Default::default() }).await;
        let uri = format!("rfc2136://{}/{}", server.address(), dns_server::ZONE);
        let cost = cold(&bench.ours(), engine, &uri, count).await;
        row(bench, count, name, "registrator", &[cost], None);
    }
}

fn writes_alone(bench: &mut Bench, count: usize, registry: &str, wall: f64) {
    bench.report.row([
        format!("{count} / {}", services(count)).into(),
        registry.into(),
        "bare client, the writes alone, 128 at a time".into(),
        Cell::Number(wall, 3),
        Cell::None,
        Cell::None,
        Cell::None,
    ]);
}

/// As many keys as there are services, put on one connection with 128 in flight.
async fn etcd_floor(server: &EtcdServer, count: usize) -> f64 {
    let client = etcd_client::Client::connect([server.address().to_string()], None).await.unwrap();
    let began = Instant::now();
    stream::iter(0..count)
        .map(|number| {
            let mut client = client.kv_client();
            async move { drop(client.put(format!("/floor/{number}"), [b'x'; 20], None).await.unwrap()) }
        })
        .buffer_unordered(128)
        .collect::<()>()
        .await;
    began.elapsed().as_secs_f64()
}

/// As many keys as there are services, set on one connection with 128 in flight.
async fn redis_floor(server: &Redis, count: usize) -> f64 {
    let client = redis::Client::open(format!("redis://{}", server.address())).unwrap();
    let connection = client.get_multiplexed_async_connection().await.unwrap();
    let began = Instant::now();
    stream::iter(0..count)
        .map(|number| {
            let mut connection = connection.clone();
            async move {
                let mut set = redis::cmd("SET");
                set.arg(format!("floor/{number}")).arg([b'x'; 20].as_slice());
                set.query_async::<()>(&mut connection).await.unwrap();
            }
        })
        .buffer_unordered(128)
        .collect::<()>()
        .await;
    began.elapsed().as_secs_f64()
}

/// Runs a program until it says that all is there.
async fn cold(subject: &Subject, engine: &FakeEngine, uri: &str, count: usize) -> Cost {
    let running = subject.run(&engine.host(), uri, &[]);
    let wall = running.adds(services(count), PATIENCE).await;
    let wall = wall.unwrap_or_else(|| panic!("{} added: {}", running.added().0, running.tail()));
    Cost { wall, cpu: running.cpu(), peak: running.peak() }
}

/// As many nodes as there are services, created on one connection with 128 in flight.
async fn zookeeper_floor(server: &ZooKeeper, count: usize) -> f64 {
    let client = server.client().await;
    client.create("/floor", b"", &CreateMode::Persistent.with_acls(Acls::anyone_all())).await.unwrap();
    let began = Instant::now();
    stream::iter(0..count)
        .map(|number| {
            let client = client.clone();
            async move {
                let path = format!("/floor/{number}");
                client.create(&path, &[b'x'; 180], &CreateMode::Ephemeral.with_acls(Acls::anyone_all())).await.unwrap();
            }
        })
        .buffer_unordered(128)
        .collect::<()>()
        .await;
    began.elapsed().as_secs_f64()
}
