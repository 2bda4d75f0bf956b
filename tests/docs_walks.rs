//! The walks of docs/operations.md: what is to be typed is run as it stands there, and prints what stands there.
//!
//! The stand-ins run in the process of the test, so it has several threads. Only addresses are exchanged: the documentation has a server's usual port, and a test has one of its own.

// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use support::SOON;
use testkit::discoverd::Discoverd;
use testkit::dns_server::{DnsServer, KEY, Kind};
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::program::Program;
use testkit::wait::becomes;
use testkit::webhook::Webhook;

/// The indented blocks of a section, in order.
fn blocks(section: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let page = fs::read_to_string(page).expect("the page");
    let heading = format!("\n## {section}\n");
    let (_, rest) = page.split_once(&heading).unwrap_or_else(|| panic!("no section {section}"));
    let section = rest.split("\n## ").next().unwrap_or_default();
    let mut blocks = vec![String::new()];
    for line in section.lines() {
        match (line.strip_prefix("    "), blocks.last_mut()) {
            (Some(line), Some(block)) => block.push_str(&format!("{line}\n")),
            (None, Some(block)) if !block.is_empty() => blocks.push(String::new()),
            _ => {}
        }
    }
    blocks.retain(|block| !block.is_empty());
    blocks
}

/// What lines typed into a shell print.
fn printed(lines: &str) -> String {
    let output = Command::new("sh").args(["-ec", lines]).stderr(Stdio::inherit()).output().expect("a shell");
    String::from_utf8(output.stdout).expect("text")
}

/// The program as a line of the documentation starts it, with the host and the container of the documentation.
fn started(line: &str, engine: &FakeEngine, exchanged: &[(&str, &str)]) -> Program {
    let mut line = line.trim().to_owned();
    for (from, to) in exchanged {
        assert!(line.contains(from), "{line} has no {from}");
        line = line.replace(from, to);
    }
    let (variables, rest) = line.split_once("registrator ").expect("the program");
    let variables: Vec<_> = variables.split_whitespace().filter_map(|pair| pair.split_once('=')).collect();
    let uri = rest.trim_matches('\'');
    let host = engine.host();
    let environment = [&variables[..], &[("DOCKER_HOST", host.as_str())]].concat();
    let arguments = ["-hostname", "web1", "-ip", "10.0.0.5", uri];
    Program::start(Path::new(env!("CARGO_BIN_EXE_registrator")), arguments, environment)
}

async fn engine() -> FakeEngine {
    let engine = FakeEngine::start().await;
    engine.run(FakeContainer::new("web").image("web").publish("80/tcp", 8080));
    engine
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dig_is_said_to_find_it_finds_in_every_dns_server() {
    let blocks = blocks("DNS servers (RFC 2136)");
    let [start, questions, answers, ..] = &blocks[..] else { panic!("{blocks:?}") };
    for kind in [Kind::Bind, Kind::Knot, Kind::PowerDns] {
        let (server, engine) = (DnsServer::start(kind).await, engine().await);
        let address = server.address().to_string();
        // The zone of the tests, and their key.
        let zone = testkit::dns_server::ZONE;
        let exchanged = [
            ("10.0.0.2", address.as_str()),
            ("services.example.com", zone),
            ("tsig-keyname=registrator", &format!("tsig-keyname={}", KEY.0)),
            ("RFC2136_TSIG_SECRET=…", &format!("RFC2136_TSIG_SECRET={}", KEY.1)),
        ];
        let _program = started(start, &engine, &exchanged);
        let at = format!("@{} -p {}", server.address().ip(), server.address().port());
        let questions = questions.replace("@10.0.0.2", &at).replace("services.example.com", zone);
        let answers = answers.replace("services.example.com", zone);
        becomes(answers, SOON, async || printed(&questions)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_provider_is_said_to_list_it_lists() {
    let blocks = blocks("Providers of external-dns");
    let [start, question, answer, ..] = &blocks[..] else { panic!("{blocks:?}") };
    let (server, engine) = (Webhook::start().await, engine().await);
    let address = server.address().to_string();
    let _program = started(start, &engine, &[("localhost:8888", &address)]);
    let question = question.replace("localhost:8888", &address);
    let short = || {
        let lines = printed(&question);
        let short = |line: &str| match line.split_once(",external-dns/resource=registrator/") {
            Some((before, _)) => format!("{before},…\"\n"),
            None => format!("{line}\n"),
        };
        lines.lines().map(short).collect::<String>()
    };
    becomes(answer.clone(), SOON, async || short()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_discoverd_is_said_to_hold_it_holds() {
    let blocks = blocks("discoverd");
    let [start, question, answer, ..] = &blocks[..] else { panic!("{blocks:?}") };
    let (server, engine) = (Discoverd::ticking().await, engine().await);
    let address = server.address().to_string();
    let _program = started(start, &engine, &[("10.0.0.2:1111", &address)]);
    let question = question.replace("10.0.0.2:1111", &address);
    becomes(answer.clone(), SOON, async || printed(&question)).await;
}
