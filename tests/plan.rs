//! What would be written is told before anything is (`plan`, `-dry-run`), and questions at the keyboard are answered with and
//! without a running instance.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;

use serde_json::{Value, json};
use support::status::{Said, Status, asked};
use support::{HOST, IP, SOON, id, ids, registrator, set};
use testkit::consul::{Consul, Options};
use testkit::docker::{Spec, unique};
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::program::Program;
use testkit::proxy::HttpRecorder;
use testkit::wait::becomes;
use tokio::io::{AsyncBufReadExt, BufReader};

/// Asks about this engine and this registry, without a running instance.
fn ask(engine: &FakeEngine, uri: &str, arguments: &[&str]) -> Said {
    let usual = ["-hostname", HOST, "-ip", IP];
    let (command, rest) = arguments.split_first().unwrap();
    let all: Vec<_> = [*command].into_iter().chain(rest.iter().copied()).chain(usual).chain([uri]).collect();
    asked(&all, &[("DOCKER_HOST", &engine.host())])
}

/// The plan of the only registry.
fn plan(engine: &FakeEngine, uri: &str, options: &[&str]) -> (i32, Value) {
    let said = ask(engine, uri, &[&["plan", "-format", "json"], options].concat());
    let plans: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"));
    (said.code, plans[0].clone())
}

fn actions(plan: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    plan["writes"].as_array().unwrap().iter().map(|write| (text(&write["action"]), text(&write["id"]))).collect()
}

fn left(plan: &Value, reason: &str) -> u64 {
    let all = plan["left"].as_array().unwrap().iter();
    all.filter(|left| left["reason"] == reason).map(|left| left["count"].as_u64().unwrap()).sum()
}

/// Runs until everything is as it should be, and stops.
async fn registered(engine: &FakeEngine, uri: &str, count: usize) {
    let arguments = ["-hostname", HOST, "-ip", IP, uri];
    let host = engine.host();
    let mut program =
        Program::start(Path::new(env!("CARGO_BIN_EXE_registrator")), arguments, [("DOCKER_HOST", host.as_str())]);
    program.wait_for_count("added:", count).await;
    program.signal("TERM");
    assert!(program.ended(SOON).await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_of_drift_is_planned_with_its_reason_and_nothing_is_written() {
    let (engine, consul) = (FakeEngine::start().await, Consul::start().await);
    engine.run(FakeContainer::new("web").publish("80/tcp", 8080).env("SERVICE_NAME=web").env("SERVICE_TAGS=a"));
    let recorder = HttpRecorder::start(consul.address()).await;
    let uri = format!("consul://{}", recorder.address());
    let web = format!("{HOST}:web:80");
    // Missing.
    let (code, missing) = plan(&engine, &uri, &[]);
    assert_eq!((code, actions(&missing)), (2, vec![("add".to_owned(), web.clone())]));
    assert_eq!(missing["writes"][0]["reason"], "it was not there");
    // Right.
    registered(&engine, &uri, 1).await;
    let (code, right) = plan(&engine, &uri, &[]);
    assert_eq!((code, actions(&right), left(&right, "right")), (0, vec![], 1));
    // Another tag, an entry that is missing, and one that has no container.
    let service = |id: &str, owner: &str, tags: Value| json!({"ID": id, "Name": "web", "Address": IP, "Port": 8080, "Tags": tags, "Meta": {"registrator-owner": owner}});
    let held = consul.services().await[&web].clone();
    let owner = held["Meta"].as_object().unwrap().iter().find(|(_, value)| *value == HOST).unwrap().0.clone();
    let put = async |mut body: Value| {
        let value = body["Meta"]["registrator-owner"].take();
        body["Meta"] = json!({ owner.as_str(): value });
        consul.put("/v1/agent/service/register", &body).await;
    };
    put(service(&web, HOST, json!(["b"]))).await;
    put(service(&format!("{HOST}:gone:80"), HOST, json!([]))).await;
    put(service("theirs", "another-host", json!([]))).await;
    recorder.forget();
    let (code, drift) = plan(&engine, &uri, &[]);
    let expected = [("remove".to_owned(), format!("{HOST}:gone:80")), ("change".to_owned(), web.clone())];
    assert_eq!((code, actions(&drift)), (2, expected.to_vec()));
    assert_eq!(left(&drift, "foreign"), 1 + consul_itself(&consul).await, "{drift}");
    let change = drift["writes"].as_array().unwrap().iter().find(|write| write["action"] == "change").unwrap();
    assert_eq!(change["differences"], json!([{"field": "tags", "is": "b", "should_be": "a"}]));
    // In the way: a container claims what another owner has.
    engine.run(FakeContainer::new("thief").publish("81/tcp", 8081).env("SERVICE_ID=theirs"));
    let (_, in_the_way) = plan(&engine, &uri, &[]);
    assert_eq!(left(&in_the_way, "in_the_way"), 1, "{in_the_way}");
    let text = ask(&engine, &uri, &["plan"]);
    assert!(text.stdout.contains(&format!("~ change {web} (container web)")), "{text:?}");
    assert!(text.stdout.contains("tags: b -> a") && text.stdout.contains("1 of other owners, where"), "{text:?}");
    assert!(!text.stdout.contains('\u{1b}'), "colours are for terminals: {text:?}");
    // Nothing was written all the while.
    let writes = recorder.requests().iter().filter(|request| request.method != "GET").count();
    assert_eq!(writes, 0);
}

/// How many services of its own a Consul lists.
async fn consul_itself(_consul: &Consul) -> u64 {
    // The agent's own "consul" service is in the catalog alone.
    0
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_the_old_program_are_taken_over_and_a_policy_protects() {
    let (engine, consul) = (FakeEngine::start().await, Consul::start().await);
    engine.run(FakeContainer::new("old").publish("80/tcp", 8080).env("SERVICE_NAME=old"));
    let entry = json!({"ID": format!("{HOST}:old:80"), "Name": "old", "Address": IP, "Port": 8080});
    consul.put("/v1/agent/service/register", &entry).await;
    let (code, plan_) = plan(&engine, &consul.uri(), &[]);
    assert_eq!((code, actions(&plan_)), (2, vec![("take over".to_owned(), format!("{HOST}:old:80"))]));
    registered(&engine, &consul.uri(), 1).await;
    let other = engine.run(FakeContainer::new("ends").publish("80/tcp", 8090).env("SERVICE_NAME=ends"));
    registered(&engine, &consul.uri(), 1).await;
    engine.remove(&other);
    let protected = format!("{}?policy=upsert-only", consul.uri());
    let (_, plan_) = plan(&engine, &protected, &[]);
    assert_eq!(left(&plan_, "protected") + u64::from(!actions(&plan_).is_empty()), 1, "{plan_}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_it_would_do_once_and_ends_after_the_first_pass_if_asked() {
    let (engine, consul) = (FakeEngine::start().await, Consul::start().await);
    engine.run(FakeContainer::new("one").publish("80/tcp", 8080));
    let recorder = HttpRecorder::start(consul.address()).await;
    let uri = format!("consul://{}", recorder.address());
    let arguments = ["-hostname", HOST, "-ip", IP, "-dry-run", "-resync", "1", &uri];
    let host = engine.host();
    let start = |arguments: &[&str]| {
        let binary = Path::new(env!("CARGO_BIN_EXE_registrator"));
        Program::start(binary, arguments.iter().copied(), [("DOCKER_HOST", host.as_str())])
    };
    let mut program = start(&arguments);
    program.wait_for("would add:").await;
    program.wait_for_count("would add 1, change 0, take over 0, remove 0", 3).await;
    let said = program.logged(&format!("{HOST}:one:80"));
    engine.run(FakeContainer::new("two").publish("80/tcp", 8081));
    program.wait_for(&format!("{HOST}:two:80")).await;
    assert_eq!((said, program.logged(&format!("{HOST}:one:80"))), (1, 1), "a resync says nothing anew");
    program.signal("TERM");
    assert!(program.ended(SOON).await.success());
    let mut once = start(&["-hostname", HOST, "-ip", IP, "-dry-run", "-once", "-on-shutdown", "deregister", &uri]);
    assert!(once.ended(SOON).await.success(), "{:?}", once.log());
    assert_eq!(once.logged("would add 2, change 0"), 1, "{:?}", once.log());
    assert_eq!(recorder.requests().iter().filter(|request| request.method != "GET").count(), 0);
    assert!(consul.services().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sum_of_a_dry_run_counts_what_a_cleanup_would_remove() {
    let (engine, consul) = (FakeEngine::start().await, Consul::start().await);
    engine.run(FakeContainer::new("one").publish("80/tcp", 8080));
    let entry = json!({"ID": format!("{HOST}:gone:80"), "Name": "gone", "Address": IP, "Port": 8081});
    consul.put("/v1/agent/service/register", &entry).await;
    let (binary, host, uri) = (Path::new(env!("CARGO_BIN_EXE_registrator")), engine.host(), consul.uri());
    let arguments = ["-hostname", HOST, "-ip", IP, "-dry-run", "-once", "-cleanup", &uri];
    let mut program = Program::start(binary, arguments, [("DOCKER_HOST", host.as_str())]);
    assert!(program.ended(SOON).await.success(), "{:?}", program.log());
    assert_eq!(program.logged(&format!("would remove: {HOST}:gone:80")), 1, "{:?}", program.log());
    assert_eq!(program.logged("would add 1, change 0, take over 0, remove 1"), 1, "{:?}", program.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_guard_holds_is_in_the_plan_of_the_running_instance() {
    let (engine, consul) = (FakeEngine::start().await, Consul::start().await);
    for number in 0..12_u16 {
        engine.run(FakeContainer::new(&format!("c{number}")).publish("80/tcp", 8000 + number));
    }
    registered(&engine, &consul.uri(), 12).await;
    // An engine that has just started may list nothing at first.
    engine.list_nothing(true);
    let arguments = ["-hostname", HOST, "-ip", IP, "-status", "127.0.0.1:0", &consul.uri()];
    let host = engine.host();
    let program =
        Program::start(Path::new(env!("CARGO_BIN_EXE_registrator")), arguments, [("DOCKER_HOST", host.as_str())]);
    let status = Status::of(&program).await;
    program.wait_for("12 of 12 entries have no container").await;
    becomes(12, SOON, async || left(&status.json("/v1/plan").await[0], "held")).await;
    assert!(status.json("/v1/registries").await[0]["guard"].as_u64().is_some());
    engine.list_nothing(false);
    becomes(0, SOON, async || left(&status.json("/v1/plan").await[0], "held")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_without_an_answer_says_what_to_do() {
    let engine = FakeEngine::start().await;
    // Nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    for command in ["plan", "services", "containers", "registries", "watch"] {
        let said = asked(&[command, "-status", &free], &[]);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.stderr.contains("does registrator run there with -status?"), "{said:?}");
    }
    let said = ask(&engine, "consul://127.0.0.1:1", &["plan"]);
    assert!(said.code == 1 && said.stdout.contains("cannot be reached"), "{said:?}");
    let said = ask(&engine, "consul://127.0.0.1:1", &["registries"]);
    assert!(said.code == 2 && said.stdout.contains("unreachable"), "{said:?}");
    let said = ask(&engine, "embedded://", &["plan"]);
    assert!(said.code == 1 && said.stderr.contains("-status"), "{said:?}");
    let said = asked(&["-healthcheck", "-status", &free], &[]);
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(asked(&["explain"], &[]).code, 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_instance_is_asked_and_answers_as_a_look_does() {
    let consul = Consul::start().await;
    let name = unique("keyboard");
    let container = Spec::new(&name).publish("80/tcp").expose("81/tcp").env("SERVICE_80_NAM=shop").start();
    let program = registrator(&consul.uri(), &["-status", "127.0.0.1:0"]);
    let status = Status::of(&program).await;
    becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;
    let address = status.address.to_string();
    let running = |arguments: &[&str]| asked(&[arguments, &["-status", &address]].concat(), &[]);
    let explained = running(&["explain", &container.name]);
    assert_eq!(explained.code, 2, "{explained:?}");
    for part in [
        "port 81 not published on host",
        "docker run -p 81:81",
        "SERVICE_80_NAM",
        "SERVICE_80_NAME",
        "in sync, since",
        &consul.uri(),
    ] {
        assert!(explained.stdout.contains(part), "no {part:?}: {}", explained.stdout);
    }
    let own = asked(&["explain", &container.name, "-hostname", HOST, "-ip", IP, &consul.uri()], &[]);
    let without_times = |text: &str| -> Vec<String> {
        // What a look asks about was written by another run.
        text.lines()
            .filter(|line| !line.trim_start().starts_with("last write "))
            .map(|line| line.split(" since ").next().unwrap().split(", since").next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(without_times(&own.stdout), without_times(&explained.stdout));
    let services = running(&["services"]);
    assert!(services.stdout.starts_with("NAME") && services.stdout.contains(&container.name), "{services:?}");
    let registries = running(&["registries"]);
    assert!(registries.code == 0 && registries.stdout.contains(&consul.uri()), "{registries:?}");
    let containers: Value = serde_json::from_str(&running(&["containers", "-format", "json"]).stdout).unwrap();
    assert!(containers.as_array().unwrap().iter().any(|seen| seen["name"] == container.name.as_str()));
    assert_eq!(running(&["-healthcheck"]).code, 0);
    assert_eq!(asked(&["plan"], &[("REGISTRATOR_STATUS", &address)]).code, 0, "{:?}", running(&["plan"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_watched_as_they_happen() {
    let engine = FakeEngine::start().await;
    let arguments = ["-hostname", HOST, "-ip", IP, "-status", "127.0.0.1:0", "embedded://127.0.0.1:0?dns=off"];
    let host = engine.host();
    let program =
        Program::start(Path::new(env!("CARGO_BIN_EXE_registrator")), arguments, [("DOCKER_HOST", host.as_str())]);
    let status = Status::of(&program).await;
    program.wait_for("compared:").await;
    let mut watch = tokio::process::Command::new(env!("CARGO_BIN_EXE_registrator"))
        .env_clear()
        .args(["watch", "-format", "json", "-status", &status.address.to_string()])
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut number = 0;
    // It may not listen yet when the first one starts.
    let first = loop {
        engine.run(FakeContainer::new(&format!("watched{number}")).publish("80/tcp", 8000 + number));
        number += 1;
        if let Ok(line) = tokio::time::timeout(std::time::Duration::from_secs(2), lines.next_line()).await {
            break serde_json::from_str::<Value>(&line.unwrap().unwrap()).unwrap();
        }
        assert!(number < 15, "nothing is told");
    };
    assert!(first["event"] == "added" || first["event"] == "syncing", "only what happens from now on: {first}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_support_dump_has_everything_and_no_secret() {
    let consul = Consul::with(Options { acl: true, ..Options::default() }).await;
    let token = consul.token(r#"service_prefix "" { policy = "write" } node_prefix "" { policy = "read" } agent_prefix "" { policy = "read" }"#).await;
    let engine = FakeEngine::start().await;
    engine.run(FakeContainer::new("dumped").publish("80/tcp", 8080));
    let folder = tempfile::tempdir().unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_registrator"));
    command.current_dir(&folder).env_clear().env("DOCKER_HOST", engine.host()).env("CONSUL_HTTP_TOKEN", &token);
    let output = command.args(["support-dump", "-hostname", HOST, "-ip", IP, &consul.uri()]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let listing = String::from_utf8(output.stdout).unwrap();
    let archive = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let text = String::from_utf8_lossy(&std::fs::read(&archive).unwrap()).into_owned();
    for part in ["plan.json", "containers.json", "events.json", "settings.json"] {
        assert!(listing.contains(part) && text.contains(part), "{listing}");
    }
    assert!(text.contains("hostname:dumped:80") && !text.contains(&token));
}
