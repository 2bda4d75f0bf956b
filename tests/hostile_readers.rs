//! What a reader of the embedded registry may take from the others: none of its answers, not for half a second. And what a
//! page of the web may ask it: nothing.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use support::{HOST, IP, SOON, addresses, registrator_with};
use testkit::docker::unique;
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::program::Program;
use testkit::wait::{becomes, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

/// How soon a reader is answered, whatever others do.
const IN_TIME: Duration = Duration::from_millis(500);

/// How many services there are.
const SERVICES: usize = 500;

const LOCAL: &str = "embedded://127.0.0.1:0?dns=127.0.0.1:0";

/// A connection from an address of ours.
async fn connect(from: &str, to: SocketAddr) -> std::io::Result<TcpStream> {
    let from: IpAddr = from.parse().unwrap();
    let socket = if from.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.bind((from, 0).into())?;
    socket.connect(to).await
}

/// Everything that is answered to a request with these further lines, over a connection of its own.
async fn ask(from: &str, to: SocketAddr, path: &str, lines: &str) -> std::io::Result<String> {
    let host = if lines.to_lowercase().contains("host:") { "" } else { "host: localhost\r\n" };
    let request = format!("GET {path} HTTP/1.1\r\nconnection: close\r\n{host}{lines}\r\n");
    let mut stream = connect(from, to).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// Asks again and again for a while, and gives the slowest answer; each must be the right one.
async fn slowest(from: &str, to: SocketAddr, period: Duration) -> Duration {
    let (end, mut slowest) = (Instant::now() + period, Duration::ZERO);
    while Instant::now() < end {
        let started = Instant::now();
        let asked = timeout(SOON, ask(from, to, "/v1/health/service/victim?passing", ""));
        let answer = asked.await.unwrap_or_else(|_| panic!("{from} is not answered at all")).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"victim\""), "{answer}");
        slowest = slowest.max(started.elapsed());
        sleep(Duration::from_millis(50)).await;
    }
    slowest
}

/// A program whose embedded registry has many services, and one of them is `victim`.
async fn serving(uri: &str) -> (FakeEngine, Program, SocketAddr) {
    let engine = FakeEngine::start().await;
    let container = |number: usize| {
        let name = if number == 0 { "victim".to_owned() } else { format!("service{number}") };
        let port = u16::try_from(10_000 + number).unwrap();
        FakeContainer::new(&format!("c{number}"))
            .publish("80/tcp", port)
            .env(&format!("SERVICE_NAME={name}"))
            .env(&format!("SERVICE_TEXT={}", "01".repeat(2000)))
    };
    engine.populate(SERVICES, container);
    let program = registrator_with(uri, &[], &[("DOCKER_HOST", &engine.host())]);
    let (http, _) = addresses(&program).await;
    let known = async || {
        let answer = ask("127.0.0.1", http, "/v1/agent/services", "").await.unwrap_or_default();
        answer.matches("\"Service\":").count()
    };
    becomes(SERVICES, SOON, known).await;
    (engine, program, http)
}

/// Filters that take as long as the language allows: to compile, to hold, and to ask of each service.
fn hardest(number: usize) -> String {
    let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let many = |pattern: &str, count: usize| vec![format!("ServiceName matches `{pattern}`"); count].join(" or ");
    let (path, filter) = match number % 5 {
        0 => ("/v1/health/state/any", format!("Output matches `(?i)x{number}{}`", r"\pL".repeat(300))),
        1 => ("/v1/health/state/any", many(&format!(r"x{number}\w{{2}}"), 40)),
        2 => ("/v1/agent/services", format!("Meta.text matches `[01]*1[01]{{{}}}x`", 10_000 + number % 1000)),
        3 => ("/v1/health/state/any", many(&format!("x{number}a?b?c?d?"), 60)),
        _ => ("/v1/agent/services", format!("Meta.text matches `([01]{{0,40}}){{40}}x{number}`")),
    };
    // Half of them wait, and so hold what they asked with.
    let wait = if number.is_multiple_of(2) { "" } else { "&index=18446744073709551615&wait=3s" };
    format!("{path}?filter={}{wait}", escaped(&filter))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hardest_filters_keep_nobody_waiting_and_take_no_memory() {
    let (_engine, program, http) = serving(LOCAL).await;
    let before = program.peak_memory();
    let number = Arc::new(AtomicUsize::new(0));
    let answered = Arc::new(AtomicUsize::new(0));
    let attack = |from: &'static str| {
        let (number, answered) = (Arc::clone(&number), Arc::clone(&answered));
        tokio::spawn(async move {
            loop {
                let path = hardest(number.fetch_add(1, Ordering::Relaxed));
                // Some do not wait for the answer: what was begun for them must not go on beside the rest.
                let patience = Duration::from_millis(fastrand::u64(50..8000));
                if let Ok(Ok(answer)) = timeout(patience, ask(from, http, &path, "")).await {
                    let status = answer.split(' ').nth(1).unwrap_or_default();
                    assert!(["200", "400", "429"].contains(&status), "{answer}");
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    };
    let attackers: Vec<_> = (0..32).map(|_| attack("127.0.0.2")).collect();
    sleep(Duration::from_secs(1)).await;
    let slowest = slowest("127.0.0.1", http, Duration::from_secs(8)).await;
    assert!(slowest < IN_TIME, "the slowest answer took {slowest:?}");
    // Nor do they keep others from what takes long for itself.
    let started = Instant::now();
    let costly = ask("127.0.0.1", http, "/v1/agent/services?filter=Service==victim", "").await.unwrap();
    assert!(costly.contains("\"victim\"") && started.elapsed() < 6 * IN_TIME, "{:?} {costly}", started.elapsed());
    assert!(answered.load(Ordering::Relaxed) > 0, "nothing was answered to the attackers");
    for attacker in attackers {
        assert!(!attacker.is_finished(), "{:?}", attacker.await);
        attacker.abort();
    }
    let grown = program.peak_memory() - before;
    // Filters hold 16 MB at most; the rest is what they take while they are compiled, and what the allocator keeps of it.
    // It was 190 MB for one request, and more than a gigabyte for six.
    assert!(grown < 128 << 20, "it grew by {} MB", grown >> 20);
}

#[tokio::test]
async fn a_page_of_the_web_can_ask_nothing_wherever_it_listens() {
    let uri = "embedded://0.0.0.0:0?dns=127.0.0.1:0&names=registry.example.com";
    let (_engine, _program, http) = serving(uri).await;
    let http = SocketAddr::new("127.0.0.1".parse().unwrap(), http.port());
    for (lines, status) in [
        ("", "200"),
        ("sec-fetch-site: none\r\n", "200"),
        ("host: registry.example.com:8500\r\n", "200"),
        ("host: 192.0.2.1:8500\r\n", "200"),
        (&format!("host: {HOST}\r\n"), "200"),
        (&format!("host: {http}\r\norigin: http://{http}\r\n"), "200"),
        // A page that knows where we are, one whose own name leads here, and one beside us.
        ("sec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors\r\n", "403"),
        ("origin: https://evil.example\r\n", "403"),
        ("origin: null\r\n", "403"),
        ("host: evil.example:8500\r\n", "403"),
        ("host: evil.example:8500\r\norigin: http://evil.example:8500\r\nsec-fetch-site: same-origin\r\n", "403"),
    ] {
        for path in ["/v1/agent/services", "/sd/prometheus", "/v1/health/state/any?index=1&wait=10m", "/nosuch"] {
            let answer = ask("127.0.0.1", http, path, lines).await.unwrap();
            let expected = if path == "/nosuch" && status == "200" { "404" } else { status };
            assert!(answer.starts_with(&format!("HTTP/1.1 {expected}")), "{lines}{path}: {answer}");
            assert_eq!(
                answer.contains("victim"),
                status == "200" && path != "/v1/health/state/any?index=1&wait=10m" && path != "/nosuch",
                "{lines}{path}"
            );
            assert!(!answer.to_lowercase().contains("access-control"), "{answer}");
        }
    }
}

/// Takes as many connections as it gets from these addresses, until it is told to stop: silent ones, half of a request, a
/// query that waits.
async fn crowd(from: &'static [&'static str], to: SocketAddr, stop: Arc<AtomicBool>) -> usize {
    const SAID: [&str; 3] = [
        "",
        "GET /v1/health/service/victim HTTP/1.1\r\nhost: x\r\nx: ",
        "GET /v1/health/service/victim?index=18446744073709551615&wait=10m HTTP/1.1\r\nhost: x\r\n\r\n",
    ];
    let mut held = Vec::new();
    for number in 0..from.len() * 300 {
        if let Ok(mut stream) = connect(from[number % from.len()], to).await {
            let _ = stream.write_all(SAID[number % SAID.len()].as_bytes()).await;
            held.push(stream);
        }
    }
    while !stop.load(Ordering::Relaxed) {
        sleep(Duration::from_millis(20)).await;
    }
    held.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn other_loopback_addresses_take_connections_from_none() {
    let (_engine, _program, http) = serving(LOCAL).await;
    let stop = Arc::new(AtomicBool::new(false));
    let attack = tokio::spawn(crowd(&["127.0.0.2", "127.0.0.3", "127.9.9.9"], http, Arc::clone(&stop)));
    let refused = async || {
        let answer = ask("127.0.0.4", http, "/", "").await.unwrap_or_default();
        answer.starts_with("HTTP/1.1 429").then_some(())
    };
    eventually("the attackers have all that they get", SOON, refused).await;
    let slowest = slowest("127.0.0.1", http, Duration::from_secs(3)).await;
    assert!(slowest < IN_TIME, "the slowest answer took {slowest:?}");
    stop.store(true, Ordering::Relaxed);
    assert!(attack.await.unwrap() > 256);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_holds_all_connections_of_an_address_and_does_nothing_loses_them_soon() {
    let (_engine, _program, http) = serving(LOCAL).await;
    let mut held = Vec::new();
    loop {
        let mut stream = connect("127.0.0.1", http).await.unwrap();
        let mut byte = [0];
        // Whoever gets no connection is told so at once.
        match timeout(Duration::from_millis(20), stream.read(&mut byte)).await {
            Ok(_) => break,
            Err(_) => held.push(stream),
        }
        assert!(held.len() <= 1000, "there is no bound");
    }
    let answered = async || {
        let answer = ask("127.0.0.1", http, "/v1/health/service/victim", "").await.unwrap_or_default();
        answer.starts_with("HTTP/1.1 200").then_some(())
    };
    // A tenth of a minute, and not a minute.
    eventually("a connection is free", Duration::from_secs(15), answered).await;
}

/// A network namespace with these addresses; gone when dropped.
struct Namespace(String);

impl Namespace {
    fn with(addresses: &[&str]) -> Self {
        let namespace = Self(unique("readers"));
        let name = &namespace.0;
        let mut lines = vec![format!("netns add {name}"), format!("-n {name} link set lo up")];
        lines.extend(addresses.iter().map(|address| format!("-n {name} address add {address} dev lo nodad")));
        for line in lines {
            let done = Command::new("ip").args(line.split(' ')).output().unwrap();
            assert!(done.status.success(), "ip {line}: {}", String::from_utf8_lossy(&done.stderr));
        }
        namespace
    }

    /// What this thread opens from here on is in there.
    fn enter(&self) {
        let file = File::open(format!("/var/run/netns/{}", self.0)).unwrap();
        nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "delete", &self.0]).status();
    }
}

#[test]
fn neighbours_in_one_network_take_connections_from_none() {
    // Three addresses of one /56, three of one /24; and somebody else.
    const NEIGHBOURS: [&str; 6] =
        ["fd00:1:1:1::1", "fd00:1:1:2::2", "fd00:1:1:ff::3", "10.77.0.1", "10.77.0.2", "10.77.0.3"];
    let namespace = Namespace::with(&[
        "fd00:1:1:1::1/128",
        "fd00:1:1:2::2/128",
        "fd00:1:1:ff::3/128",
        "10.77.0.1/32",
        "10.77.0.2/32",
        "10.77.0.3/32",
        "fd00:1:1:100::9/128",
    ]);
    // A thread of its own: what it opens is in the namespace, and nothing else of this process is.
    let test = std::thread::spawn(move || {
        namespace.enter();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let engine = FakeEngine::start().await;
            engine.run(FakeContainer::new("c").publish("80/tcp", 8000).env("SERVICE_NAME=victim"));
            let arguments = ["-hostname", HOST, "-ip", IP, "embedded://[::]:0?dns=127.0.0.1:0"];
            let program = env!("CARGO_BIN_EXE_registrator");
            let program = Program::start(program.as_ref(), arguments, [("DOCKER_HOST", &*engine.host())]);
            let (http, _) = addresses(&program).await;
            program.wait_for("added: ").await;
            let stop = Arc::new(AtomicBool::new(false));
            let at = |address: &str| SocketAddr::new(address.parse().unwrap(), http.port());
            let (six, four) = (at("fd00:1:1:100::9"), at("127.0.0.1"));
            let attacks = [
                tokio::spawn(crowd(&NEIGHBOURS[..3], six, Arc::clone(&stop))),
                tokio::spawn(crowd(&NEIGHBOURS[3..], four, Arc::clone(&stop))),
            ];
            for (from, to) in [("fd00:1:1:1::1", six), ("10.77.0.1", four)] {
                let refused = async || {
                    let answer = ask(from, to, "/", "").await.unwrap_or_default();
                    answer.starts_with("HTTP/1.1 429").then_some(())
                };
                eventually("the attackers have all that they get", SOON, refused).await;
            }
            let slowest = slowest("fd00:1:1:100::9", six, Duration::from_secs(3)).await;
            assert!(slowest < IN_TIME, "the slowest answer took {slowest:?}");
            stop.store(true, Ordering::Relaxed);
            for attack in attacks {
                assert!(attack.await.unwrap() > 256);
            }
        });
        drop(runtime);
        drop(namespace);
    });
    test.join().unwrap();
}
