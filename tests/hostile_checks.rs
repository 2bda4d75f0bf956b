//! What a container's checks may do to others, where this program runs them: keep their checks from being run, reach what
//! only this machine reaches, change something, or have an answer of somebody else shown.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use support::{SOON, addresses};
use testkit::docker::{Spec, unique};
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::http::{Request, send};
use testkit::net::Place;
use testkit::program::Program;
use testkit::wait::{becomes, stays};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// How soon a check with an interval of a second tells of a change, whatever others do.
const IN_TIME: Duration = Duration::from_secs(5);

/// Runs the program, whose published ports are on loopback, with an embedded registry and these parameters of its URI.
fn run(options: &str, environment: &[(&str, &str)]) -> Program {
    let uri = format!("embedded://127.0.0.1:0?dns=127.0.0.1:0{options}");
    let arguments = ["-hostname", support::HOST, "-ip", "127.0.0.1", &uri];
    Program::start(env!("CARGO_BIN_EXE_registrator").as_ref(), arguments, environment.iter().copied())
}

/// Status and output of the check of a service with this name.
async fn check(http: SocketAddr, name: &str) -> (String, String) {
    check_of(http, name, "").await
}

/// The same of its first check whose ID begins so.
async fn check_of(http: SocketAddr, name: &str, id: &str) -> (String, String) {
    let path = format!("/v1/health/checks/{name}");
    let request = Request { method: "GET".to_owned(), path, ..Request::default() };
    let reply = send(&Place::Tcp(http), &request).await.unwrap();
    let checks: Vec<Value> = serde_json::from_slice(&reply.body).unwrap();
    let check = checks.iter().find(|check| check["CheckID"].as_str().unwrap_or_default().starts_with(id));
    let text = |field: &str| check.map_or("", |check| check[field].as_str().unwrap_or_default()).to_owned();
    (text("Status"), text("Output"))
}

/// A server on loopback that counts its requests' first lines and answers each in the same way while it is `well`.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    connections: Arc<AtomicUsize>,
    well: Arc<AtomicBool>,
}

impl Server {
    async fn start(answer: impl Into<String>) -> Self {
        let answer = answer.into();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            asked: Arc::default(),
            connections: Arc::default(),
            well: Arc::new(AtomicBool::new(true)),
        };
        let (asked, connections, well) =
            (Arc::clone(&server.asked), Arc::clone(&server.connections), Arc::clone(&server.well));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                let (asked, well, answer) = (Arc::clone(&asked), Arc::clone(&well), answer.clone());
                tokio::spawn(async move {
                    let mut request = vec![0; 4096];
                    let length = stream.read(&mut request).await.unwrap_or(0);
                    let request = String::from_utf8_lossy(&request[..length]).into_owned();
                    asked.lock().unwrap().push(request.lines().next().unwrap_or_default().to_owned());
                    let answer = if well.load(Ordering::Relaxed) { &*answer } else { "HTTP/1.1 500 No\r\n\r\n" };
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        server
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

const WELL: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nwell";

/// A container whose port 80 is this server, with an HTTP check each second and this environment.
fn container(name: &str, server: &Server, environment: &[&str]) -> FakeContainer {
    let base = FakeContainer::new(name)
        .publish("80/tcp", server.address.port())
        .env(&format!("SERVICE_NAME={name}"))
        .env("SERVICE_CHECK_HTTP=/")
        .env("SERVICE_CHECK_INTERVAL=1s");
    environment.iter().fold(base, |container, line| container.env(line))
}

#[tokio::test]
async fn checks_that_never_end_keep_those_of_other_containers_from_nothing() {
    // It takes connections, and says nothing for ever.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let open = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&open);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = silent.accept().await {
            let open = Arc::clone(&counter);
            tokio::spawn(async move {
                open.fetch_add(1, Ordering::Relaxed);
                while stream.read(&mut [0; 1024]).await.is_ok_and(|length| length > 0) {}
                open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    });
    let (engine, victim) = (FakeEngine::start().await, Server::start(WELL).await);
    let program = run("&check-networks=127.0.0.0/8", &[("DOCKER_HOST", &engine.host())]);
    let (http, _) = addresses(&program).await;
    for (number, interval) in (0_u16..).zip(["1s", "10s", "1s", "10s", "1s", "10s", "1s", "10s"]) {
        let mut attacker = FakeContainer::new(&format!("attacker{number}"))
            .env("SERVICE_NAME=attacker")
            .env("SERVICE_IP=127.0.0.1")
            .env(&format!("SERVICE_PORT={port}"))
            .env("SERVICE_CHECK_HTTP=/")
            .env("SERVICE_CHECK_TIMEOUT=1000h")
            .env(&format!("SERVICE_CHECK_INTERVAL={interval}"));
        for exposed in 1..=64 {
            attacker = attacker.publish(&format!("{exposed}/tcp"), 20_000 + 64 * number + exposed);
        }
        engine.run(attacker);
    }
    // As many as may run at the same time.
    becomes(true, SOON, async || open.load(Ordering::Relaxed) >= 64).await;
    engine.run(container("victim", &victim, &[]));
    for (well, expected) in [(true, "passing"), (false, "critical"), (true, "passing")] {
        victim.well.store(well, Ordering::Relaxed);
        becomes(expected.to_owned(), IN_TIME, async || check(http, "victim").await.0).await;
    }
}

#[tokio::test]
async fn a_check_of_a_real_container_that_may_not_run_in_time_is_critical_and_says_so() {
    // Where nobody answers: a queue of connections that is full.
    let full = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = full.local_addr().unwrap();
    let program = run("&check-networks=127.0.0.0/8", &[]);
    let (http, _) = addresses(&program).await;
    let name = unique("busy");
    let mut spec = Spec::new(&name)
        .env(&format!("SERVICE_NAME={name}"))
        .env("SERVICE_IP=127.0.0.1")
        .env(&format!("SERVICE_PORT={}", target.port()))
        .env("SERVICE_CHECK_HTTP=/")
        .env("SERVICE_CHECK_INITIAL_STATUS=passing")
        .env("SERVICE_CHECK_TIMEOUT=1000h")
        .env("SERVICE_CHECK_INTERVAL=3s");
    for port in 1..=64 {
        spec = spec.publish(&format!("{port}/tcp"));
    }
    let _busy = spec.start();
    let told = async || {
        let path = format!("/v1/health/state/any?filter=ServiceID+contains+%22{name}%22");
        let request = Request { method: "GET".to_owned(), path, ..Request::default() };
        let reply = send(&Place::Tcp(http), &request).await.unwrap();
        let checks: Vec<Value> = serde_json::from_slice(&reply.body).unwrap();
        let says = |check: &Value, text: &str| check["Output"].as_str().unwrap_or_default().contains(text);
        let late = checks.iter().filter(|check| says(check, "not checked for 3s")).count();
        let failed = checks.iter().filter(|check| says(check, "no answer within 3s")).count();
        let passing = checks.iter().filter(|check| check["Status"] == "passing").count();
        (checks.len(), late > 0, failed > 0, passing)
    };
    becomes((64, true, true, 0), SOON, told).await;
}

#[tokio::test]
async fn no_check_reaches_what_only_this_machine_reaches() {
    let (engine, secret) = tokio::join!(FakeEngine::start(), Server::start(WELL));
    let port = format!("SERVICE_PORT={}", secret.address.port());
    let closed = Server::start(WELL).await;
    let program = run("", &[("DOCKER_HOST", &engine.host())]);
    let (http, _) = addresses(&program).await;
    let kinds = ["SERVICE_CHECK_HTTP=/", "SERVICE_CHECK_HTTPS=/", "SERVICE_CHECK_TCP=true", "SERVICE_CHECK_GRPC=true"];
    let ways =
        ["127.0.0.1", "127.9.9.9", "localhost", "0.0.0.0", "::ffff:127.0.0.1", "169.254.169.254", "fd00:ec2::254"];
    let mut names = Vec::new();
    for (number, (kind, way)) in kinds.iter().flat_map(|kind| ways.iter().map(move |way| (kind, way))).enumerate() {
        let name = format!("spy{number}");
        let spy = FakeContainer::new(&name)
            .publish("80/tcp", closed.address.port())
            .env(&format!("SERVICE_NAME={name}"))
            .env(&format!("SERVICE_IP={way}"))
            .env(&port)
            .env(kind)
            .env("SERVICE_CHECK_INTERVAL=1s");
        engine.run(spy);
        names.push((name, *way));
    }
    for (name, way) in names {
        // What is no usable address for a service is passed over: then the check goes to the container's own.
        let told = async || {
            let (status, output) = check(http, &name).await;
            let refused = output.contains("no check goes to ");
            (refused && status == "critical") || (way == "0.0.0.0" && !output.is_empty())
        };
        becomes(true, SOON, told).await;
    }
    let unseen = async || secret.connections() == 0;
    stays("nobody connects", Duration::from_secs(2), unseen).await;
}

#[tokio::test]
async fn a_check_changes_nothing_and_follows_nobody_to_another_server() {
    let (engine, other) = tokio::join!(FakeEngine::start(), Server::start(WELL));
    let moved = format!("HTTP/1.1 302 Found\r\nlocation: http://{}/secret\r\ncontent-length: 0\r\n\r\n", other.address);
    let (plain, moving) = tokio::join!(Server::start(WELL), Server::start(moved));
    let program = run("", &[("DOCKER_HOST", &engine.host())]);
    let (http, _) = addresses(&program).await;
    engine.run(container("poster", &plain, &["SERVICE_CHECK_HTTP_METHOD=POST"]));
    engine.run(container("mover", &moving, &[]));
    engine.run(container("asker", &plain, &["SERVICE_CHECK_HTTP_METHOD=HEAD"]));
    let told = async |name: &str, part: &str| {
        let (status, output) = check(http, name).await;
        output.contains(part).then_some(status)
    };
    becomes(Some("critical".to_owned()), SOON, async || told("poster", "POST is not sent").await).await;
    becomes(Some("critical".to_owned()), SOON, async || told("mover", "another server is not followed").await).await;
    becomes(Some("passing".to_owned()), SOON, async || told("asker", "200 OK").await).await;
    let asked = plain.asked.lock().unwrap().clone();
    assert!(asked.iter().all(|line| line.starts_with("HEAD ")), "{asked:?}");
    assert_eq!(other.connections(), 0);
}

#[tokio::test]
async fn readers_are_shown_what_the_container_answers_and_of_others_the_status_alone() {
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhunter";
    let (engine, server) = tokio::join!(FakeEngine::start(), Server::start(answer));
    let own = Server::start(WELL).await;
    let program = run("&check-networks=127.0.0.0/8", &[("DOCKER_HOST", &engine.host())]);
    let (http, _) = addresses(&program).await;
    engine.run(container("own", &own, &[]));
    let elsewhere = format!("SERVICE_PORT={}", server.address.port());
    engine.run(container("spy", &own, &["SERVICE_IP=127.0.0.1", &elsewhere]));
    for (name, shown) in [("own", " Output: well"), ("spy", "")] {
        becomes("passing".to_owned(), SOON, async || check(http, name).await.0).await;
        let (_, output) = check(http, name).await;
        assert!(output.ends_with(&format!(": 200 OK{shown}")), "{name}: {output}");
    }
    assert_eq!(json!(program.log()).to_string().matches("hunter").count(), 0);
}

#[tokio::test]
async fn each_change_of_health_is_one_line_of_the_log_and_a_check_that_flaps_fills_none() {
    let (engine, server) = tokio::join!(FakeEngine::start(), Server::start(WELL));
    let program = run("", &[("DOCKER_HOST", &engine.host())]);
    let (http, _) = addresses(&program).await;
    let docker = engine.run(container("seen", &server, &[]).health("healthy"));
    let line = program.wait_for("health: hostname:seen:80 is passing (was not checked yet)").await;
    assert!(!line.contains("Output"), "{line}");
    server.well.store(false, Ordering::Relaxed);
    let line = program.wait_for("health: hostname:seen:80 is critical (was passing): HTTP GET http://127.0.0.1").await;
    assert!(line.contains("500 Internal Server Error"), "{line}");
    engine.set_health(&docker, "unhealthy");
    program.wait_for("health: hostname:seen:80 is critical by Docker's HEALTHCHECK (was passing)").await;
    // It goes on changing with each second.
    let (end, mut well) = (tokio::time::Instant::now() + Duration::from_secs(12), false);
    let mut changes = 0;
    while tokio::time::Instant::now() < end {
        well = !well;
        server.well.store(well, Ordering::Relaxed);
        let expected = if well { "passing" } else { "critical" };
        becomes(expected.to_owned(), IN_TIME, async || check_of(http, "seen", "service:").await.0).await;
        changes += 1;
    }
    assert!(changes >= 4, "{changes}");
    let told = program.logged("health: hostname:seen:80 is ") - program.logged("HEALTHCHECK");
    assert_eq!(told, 3, "{:#?}", program.log());
}
