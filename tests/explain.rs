//! `explain` says for every reason why a container, a port or an entry is as it is, and what to change: as snapshots.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};
use support::status::{Said, Status, asked};
use support::{HOST, IP, SOON};
use testkit::consul::{Consul, Options};
use testkit::engine::{FakeContainer, FakeEngine, Fault};
use testkit::program::Program;
use testkit::wait::becomes;

/// A registry for tests that are about containers alone.
const EMBEDDED: &str = "embedded://127.0.0.1:0?dns=off";

/// A running instance and its engine.
struct Run {
    engine: FakeEngine,
    _program: Program,
    status: Status,
}

impl Run {
    /// Starts beside what runs on this engine.
    async fn start(engine: FakeEngine, options: &[&str], environment: &[(&str, &str)]) -> Self {
        let usual = ["-hostname", HOST, "-status", "127.0.0.1:0"];
        let host = engine.host();
        let environment = [&[("DOCKER_HOST", host.as_str())][..], environment].concat();
        let arguments: Vec<_> = usual.into_iter().chain(options.iter().copied()).collect();
        let program = Program::start(Path::new(env!("CARGO_BIN_EXE_registrator")), arguments, environment);
        let status = Status::of(&program).await;
        let listed = async || status.json("/v1/state").await["docker"]["state"] == "up";
        becomes(true, SOON, listed).await;
        Self { engine, _program: program, status }
    }

    /// The same beside these containers and an embedded registry that holds what they offer.
    async fn of(containers: Vec<FakeContainer>, options: &[&str]) -> Self {
        let engine = FakeEngine::start().await;
        for container in containers {
            engine.run(container);
        }
        let options: Vec<_> = ["-ip", IP].into_iter().chain(options.iter().copied()).chain([EMBEDDED]).collect();
        let run = Self::start(engine, &options, &[]).await;
        becomes(200, SOON, async || run.status.get("/ready").await.status).await;
        run
    }

    fn ask(&self, container: &str) -> Said {
        asked(&["explain", container, "-status", &self.status.address.to_string()], &[])
    }

    /// What `explain` says of each container, with its exit code.
    fn explain(&self, containers: &[&str]) -> String {
        containers.iter().map(|container| told(&self.ask(container))).collect()
    }

    /// The state of the first entry of a container.
    async fn state(&self, container: &str) -> Value {
        self.status.json(&format!("/v1/containers/{container}")).await["ports"][0]["entries"][0]["state"].clone()
    }

    /// Waits until the first entry of a container is in this state.
    async fn until(&self, container: &str, state: &str) {
        becomes(json!(state), SOON, async || self.state(container).await).await;
    }
}

/// An answer without what differs from run to run: times, and where registries listen.
fn told(said: &Said) -> String {
    let mut text = format!("exit code {}\n", said.code);
    for line in said.stdout.lines().chain(said.stderr.lines()) {
        let mut line = line.to_owned();
        if let Some((before, after)) = line.split_once("http://127.0.0.1:") {
            line = format!(
                "{before}http://127.0.0.1:9120{}",
                after.trim_start_matches(|digit: char| digit.is_ascii_digit())
            );
        }
        if let Some((before, after)) = line.split_once("last write ") {
            let (_, what) = after.split_once(": ").unwrap();
            line = format!("{before}last write …: {what}");
        }
        for before in ["in sync, since ", "next attempt in ", "if it lasts, in ", "removed in "] {
            if let Some(start) = line.find(before) {
                line.truncate(start + before.len());
                line += "…";
            }
        }
        let _ = writeln!(text, "| {line}");
    }
    text + "\n"
}

fn container(name: &str) -> FakeContainer {
    FakeContainer::new(name).image("shop:1")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_no_service_has_its_reason() {
    let run = Run::of(
        vec![
            container("no-ports"),
            container("not-published").expose("80/tcp"),
            container("asked").publish("80/tcp", 8001).env("SERVICE_IGNORE=yes"),
            container("asked-for-one").publish("80/tcp", 8002).publish("81/tcp", 8003).label("SERVICE_81_IGNORE", "1"),
            container("port-zero").publish("80/tcp", 0),
            container("two-protocols").publish("53/tcp", 8004).expose("53/udp"),
            (1..=40).fold(container("many"), |container, port| container.expose(&format!("{port}/tcp"))),
        ],
        &[],
    )
    .await;
    insta::assert_snapshot!(run.explain(&[
        "no-ports",
        "not-published",
        "asked",
        "asked-for-one",
        "port-zero",
        "two-protocols",
        "many"
    ]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_option_that_leaves_a_port_out_is_named() {
    let run = Run::of(
        vec![
            container("unnamed").publish("80/tcp", 8001).publish("81/tcp", 8002).env("SERVICE_81_NAME=named"),
            container("too-many")
                .publish("80/tcp", 8003)
                .publish("81/tcp", 8004)
                .publish("82/tcp", 8005)
                .env("SERVICE_NAME=x"),
        ],
        &["-explicit", "-max-services", "2"],
    )
    .await;
    insta::assert_snapshot!(run.explain(&["unnamed", "too-many"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_whose_services_are_too_large_says_how_many_are_left_out() {
    let tag = "x".repeat(200_000);
    let large = (1..=100_u16)
        .fold(container("too-large"), |container, port| container.publish(&format!("{port}/tcp"), 8000 + port));
    let run = Run::of(vec![large.env(&format!("SERVICE_TAGS={tag}"))], &[]).await;
    let said = run.ask("too-large");
    let end = said.stdout.rfind("\nnot registered").unwrap();
    insta::assert_snapshot!(told(&Said { stdout: said.stdout[end..].to_owned(), ..said }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_without_an_address_has_its_reason() {
    let shared = |name: &str, other: &str| container(name).expose("80/tcp").network_mode(&format!("container:{other}"));
    let engine = FakeEngine::start().await;
    for container in [
        container("no-network").expose("80/tcp").network_mode("none"),
        shared("shares-with-none", "nobody"),
        shared("shares-with-stopped", "stopped"),
        shared("one", "other"),
        shared("other", "one"),
        container("no-address").expose("80/tcp").network("lonely", ""),
        container("only-ingress")
            .expose("80/tcp")
            .network("ingress", "10.0.0.3")
            .label("com.docker.swarm.task.id", "t1"),
    ] {
        engine.run(container);
    }
    engine.create(container("stopped"));
    let run = Run::start(engine, &["-ip", IP, "-internal", "-deregister", "on-success", EMBEDDED], &[]).await;
    becomes(200, SOON, async || run.status.get("/ready").await.status).await;
    insta::assert_snapshot!(run.explain(&[
        "no-network",
        "shares-with-none",
        "shares-with-stopped",
        "one",
        "no-address",
        "only-ingress"
    ]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_docker_lists_but_does_not_describe_is_found_and_the_reason_is_said() {
    let engine = FakeEngine::start().await;
    engine.run(container("huge").publish("80/tcp", 8001).env(&format!("DATA={}", "x".repeat(9 << 20))));
    let mute = engine.run(container("mute").publish("80/tcp", 8002));
    engine.fault_inspect_of(&mute, Fault::Fail(500));
    let described = engine.run(container("described").publish("80/tcp", 8003));
    let run = Run::start(engine, &["-ip", IP, "-resync", "1", EMBEDDED], &[]).await;
    run.until("described", "in_sync").await;
    insta::assert_snapshot!(run.explain(&["huge", "mute", &mute[..12], "nobody"]));
    // The same without a running instance.
    let uri = "consul://127.0.0.1:1";
    let host = run.engine.host();
    let said = asked(&["explain", "huge", "-hostname", HOST, "-ip", IP, uri], &[("DOCKER_HOST", &host)]);
    assert!(said.code == 2 && said.stdout.contains("make them smaller"), "{said:?}");
    // It is counted once, and the list of containers has only those that are described.
    let docker = &run.status.json("/v1/state").await["docker"];
    assert_eq!((&docker["containers"], docker["unknown"].as_array().unwrap().len()), (&json!(3), 2), "{docker}");
    assert_eq!(run.status.json("/v1/containers").await.as_array().unwrap().len(), 1);
    // One that was described before keeps what is known of it, and that this is old is said.
    run.engine.fault_inspect_of(&described, Fault::Fail(500));
    run.engine.restart().await;
    let notes = async || run.status.json("/v1/containers/described").await["notes"].as_array().unwrap().len();
    becomes(1, SOON, notes).await;
    insta::assert_snapshot!("described_before", run.explain(&["described"]));
    assert_eq!(run.status.json("/v1/state").await["docker"]["containers"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_of_metadata_is_noted_and_misspelt_keys_are_named() {
    let run = Run::of(
        vec![
            container("notes").publish("80/tcp", 8001).env("SERVICE_IP=not an address").env("SERVICE_PORT=http"),
            container("misspelt").publish("80/tcp", 8002).env("SERVICE_80_NAM=shop").label("SERVICE_TAG", "a"),
        ],
        &[],
    )
    .await;
    run.until("notes", "in_sync").await;
    run.until("misspelt", "in_sync").await;
    insta::assert_snapshot!(run.explain(&["notes", "misspelt"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_paused_ended_or_ends_again_and_again_says_so() {
    let engine = FakeEngine::start().await;
    let names = ["paused", "failed", "ended", "flaps"];
    let port = |name: &str| 8001 + u16::try_from(names.iter().position(|known| *known == name).unwrap()).unwrap();
    let ids = names.map(|name| engine.run(container(name).publish("80/tcp", port(name))));
    engine.create(container("created").publish("80/tcp", 8010));
    let run = Run::start(engine, &["-ip", IP, "-deregister", "on-success", EMBEDDED], &[]).await;
    for name in names {
        run.until(name, "in_sync").await;
    }
    let [paused, failed, ended, flaps] = &ids;
    run.engine.pause(paused);
    run.engine.stop(failed, 1);
    run.engine.stop(ended, 0);
    let state = async |name: &str| run.status.json(&format!("/v1/containers/{name}")).await["state"].clone();
    for _ in 0..5 {
        run.engine.stop(flaps, 1);
        becomes(json!("exited"), SOON, || state("flaps")).await;
        run.engine.start_container(flaps);
        becomes(true, SOON, async || {
            let flaps = run.status.json("/v1/containers/flaps").await;
            flaps["state"] == "running" || !flaps["delayed_until"].is_null()
        })
        .await;
    }
    becomes(json!("exited"), SOON, || state("ended")).await;
    becomes(json!("paused"), SOON, || state("paused")).await;
    becomes(json!("exited"), SOON, || state("failed")).await;
    for name in ["paused", "failed"] {
        run.until(name, "in_sync").await;
    }
    insta::assert_snapshot!(run.explain(&["paused", "failed", "ended", "created", "flaps"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_drains_says_so_before_its_end_and_after() {
    let engine = FakeEngine::start().await;
    let id = engine.run(container("drains").publish("80/tcp", 8001));
    let run = Run::start(engine, &["-ip", IP, "-drain", "60", EMBEDDED], &[]).await;
    run.until("drains", "in_sync").await;
    let kill = json!({"Type": "container", "Action": "kill", "status": "kill", "id": id, "from": "shop:1", "time": 1_800_000_000,
        "Actor": {"ID": id, "Attributes": {"signal": "15", "name": "drains", "image": "shop:1"}}});
    run.engine.send_event(&kill);
    let mode = async || run.status.json("/v1/containers/drains").await["ports"][0]["service"]["mode"].clone();
    becomes(json!("kept"), SOON, mode).await;
    run.until("drains", "in_sync").await;
    let before = run.explain(&["drains"]);
    run.engine.stop(&id, 0);
    let delayed = async || run.status.json("/v1/containers/drains").await["delayed_because"].clone();
    becomes(json!("draining"), SOON, delayed).await;
    insta::assert_snapshot!(before + &run.explain(&["drains"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_says_where_it_stands_in_the_registry() {
    let consul = Consul::with(Options { acl: true, ..Options::default() }).await;
    let rules = r#"service_prefix "allowed" { policy = "write" } node_prefix "" { policy = "read" } agent_prefix "" { policy = "read" } service_prefix "" { policy = "read" }"#;
    let token = consul.token(rules).await;
    let theirs = json!({"ID": "theirs", "Name": "allowed-theirs", "Address": IP, "Port": 1, "Meta": {"registrator-owner": "another-host"}});
    consul.put("/v1/agent/service/register", &theirs).await;
    let engine = FakeEngine::start().await;
    engine.run(container("in-sync").publish("80/tcp", 8001).env("SERVICE_NAME=allowed"));
    engine.run(container("refused").publish("80/tcp", 8002).env("SERVICE_NAME=forbidden"));
    engine.run(container("in-the-way").publish("80/tcp", 8003).env("SERVICE_NAME=allowed").env("SERVICE_ID=theirs"));
    let uri = consul.uri();
    let host = engine.host();
    let anonymous = |text: String| text.replace(&uri, "consul://registry");
    let look = |name: &str| {
        let said = asked(
            &["explain", name, "-hostname", HOST, "-ip", IP, &uri],
            &[("DOCKER_HOST", &host), ("CONSUL_HTTP_TOKEN", &token)],
        );
        anonymous(told(&said))
    };
    insta::assert_snapshot!("pending", look("in-sync"));
    let run = Run::start(engine, &["-ip", IP, &uri], &[("CONSUL_HTTP_TOKEN", &token)]).await;
    for (name, state) in [("in-sync", "in_sync"), ("refused", "refused"), ("in-the-way", "contested")] {
        run.until(name, state).await;
    }
    insta::assert_snapshot!("entries", anonymous(run.explain(&["in-sync", "refused", "in-the-way"])));
    // A registry that is away is not said to hold anything.
    consul.freeze();
    run.engine.run(container("tried").publish("80/tcp", 8004).env("SERVICE_NAME=allowed"));
    run.until("in-sync", "unknown").await;
    insta::assert_snapshot!("away", anonymous(run.explain(&["in-sync"])));
    consul.thaw();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_container_or_several_is_said_in_one_line() {
    let run = Run::of((1..=2).map(|number| container(&format!("c{number}"))).collect(), &[]).await;
    insta::assert_snapshot!(run.explain(&["", "/", "c3", "0000", "/c1", "000000000001", "a\nb"]));
}
