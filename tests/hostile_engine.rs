//! Nobody who has a say in what an engine answers takes our memory or holds up others: no container by its labels, and no
//! engine by what it makes up.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use support::{SOON, id, ids, registrator_with, set};
use testkit::consul::Consul;
use testkit::docker::{Spec, unique};
use testkit::engine::{FakeContainer, FakeEngine, Fault};
use testkit::private_engine::PrivateEngine;
use testkit::proxy::{HttpRecorder, Mode};
use testkit::wait::becomes;

/// How much of everything an attacker sends.
const MUCH: usize = 60 << 20;

/// The most memory that the program may ever have had: as much as a few thousand containers take.
const MEMORY: u64 = 96 << 20;

/// An answer of this beginning and end, and of this in between, without an end.
fn flood(begin: &str, unit: &str, end: &str) -> Fault {
    let mut answer = begin.as_bytes().to_vec();
    answer.extend(unit.as_bytes().repeat(MUCH / unit.len()));
    answer.extend_from_slice(end.as_bytes());
    Fault::Garbage(Bytes::from(answer))
}

/// How soon `what` is so.
async fn within(deadline: Duration, what: &str, holds: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    let mut holds = holds;
    while !holds().await {
        assert!(began.elapsed() < deadline, "{what}: not within {deadline:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_engine_that_answers_with_millions_of_values_takes_no_memory_and_is_used_again_when_it_is_sane() {
    let (consul, engine) = (Consul::start().await, FakeEngine::start().await);
    let web = |name: &str| FakeContainer::new(name).publish("80/tcp", 8080);
    let known = engine.run(web("known"));
    let program = registrator_with(&consul.uri(), &[], &[("DOCKER_HOST", &engine.host())]);
    let known_id = format!("{}:known:80", support::HOST);
    becomes(set([known_id.as_str()]), SOON, || ids(&consul, "known")).await;

    for (begin, unit, end) in [
        ("[", "1,", "1]"),
        ("[", "{},", "{}]"),
        ("[", "[[[[", ""),
        (r#"[{"Id":"aa","Ports":["#, "1,", "1]}]"),
        (r#"[{"Id":"aa","Names":["#, r#"{"a":1},"#, "1]}]"),
        (r#"[{"Id":"aa","Labels":{"#, r#""a":[1,1,1,1,1,1],"#, r#""a":1}}]"#),
        (r#"[{"Id":"aa","Names":[""#, "x", "\"]}]"),
    ] {
        engine.forget_requests();
        engine.fault_list(flood(begin, unit, end));
        program.signal("HUP");
        becomes(true, SOON, async || engine.count("/containers/json") >= 2 || engine.count("/aa/json") > 0).await;
    }
    engine.fault_list(Fault::None);
    for (begin, unit, end) in [
        (r#"{"NetworkSettings":{"Ports":["#, "1,", "1]}}"),
        (r#"{"Config":{"Labels":{"#, r#""a":"","#, r#""a":""}}}"#),
        (r#"{"Config":{"Env":["#, "[],", "[]]}}"),
        (r#"{"HostConfig":{"PortBindings":"#, "[", ""),
        (r#"{"Mounts":["#, r#"{"a":[1,1,1]},"#, "1]}"),
    ] {
        engine.forget_requests();
        engine.fault_inspect(flood(begin, unit, end));
        program.signal("HUP");
        becomes(true, SOON, async || engine.inspects() >= 1).await;
    }
    for unit in ["1,", "[", r#"{"a":1,"#, r#""a":1,"#, "x"] {
        engine.send_raw(format!(r#"{{"Type":"container","Actor":{{"Attributes":{{"signal":[{}"#, unit.repeat(5 << 20)));
        engine.send_raw("\n");
    }
    engine.fault_inspect(Fault::None);
    let new = engine.run(web("new"));
    let new_id = format!("{}:new:80", support::HOST);
    becomes(set([new_id.as_str()]), SOON, || ids(&consul, "new")).await;
    assert_eq!(ids(&consul, "known").await, set([known_id.as_str()]), "what runs stays");
    assert!(program.peak_memory() < MEMORY, "{} MiB", program.peak_memory() >> 20);
    for id in [known, new] {
        engine.stop(&id, 0);
    }
    becomes(set::<String>([]), SOON, || ids(&consul, support::HOST)).await;
}

#[tokio::test]
async fn a_container_with_labels_without_end_is_named_and_holds_up_no_other() {
    let (consul, engine) = tokio::join!(Consul::start(), PrivateEngine::start(false));
    let name = unique("labels");
    let on =
        |suffix: &str| Spec::new(&format!("{name}-{suffix}")).on(&engine.socket()).network("host").expose("80/tcp");
    let host = engine.host();
    let start = || registrator_with(&consul.uri(), &["-cleanup"], &[("DOCKER_HOST", host.as_str())]);
    let program = start();
    let first = on("first").start();
    becomes(set([id(&first, "80")]), SOON, || ids(&consul, &name)).await;

    // One that is skipped in the list; and one that has an end, but not before what is read of a container.
    let huge = (0..30).fold(on("huge"), |spec, number| spec.label(&format!("label{number}"), &"x".repeat(MUCH / 30)));
    let huge = huge.start();
    let large = on("large").label("SERVICE_TAGS", &"x".repeat(9 << 20)).start();
    for container in [&huge, &large] {
        let line = program.wait_for(&format!("{}: what Docker says of it", container.short())).await;
        assert!(line.contains("is larger than 8 MiB; it is skipped"), "{line}");
    }
    let calm = async |program: &testkit::program::Program| {
        let second = on("second").start();
        within(Duration::from_secs(2), "registered", async || {
            ids(&consul, &name).await == set([id(&first, "80"), id(&second, "80")])
        })
        .await;
        drop(second);
        within(Duration::from_secs(5), "removed", async || ids(&consul, &name).await == set([id(&first, "80")])).await;
        assert_eq!(program.logged("is lost"), 0);
    };
    calm(&program).await;
    // While it is looked at again and again.
    for _ in 0..3 {
        program.signal("HUP");
        calm(&program).await;
    }
    for container in [&huge, &large] {
        assert_eq!(program.logged(&format!("{}: what Docker says of it", container.short())), 1, "it is said once");
    }
    assert!(program.peak_memory() < MEMORY, "{} MiB", program.peak_memory() >> 20);
    drop(program);

    // A start beside them is like any other.
    consul.put(&format!("/v1/agent/service/deregister/{}", id(&first, "80")), &json!(null)).await;
    let program = start();
    becomes(set([id(&first, "80")]), SOON, || ids(&consul, &name)).await;
    calm(&program).await;
}

#[tokio::test]
async fn a_container_with_labels_without_end_holds_back_the_removal_of_what_it_could_own_alone() {
    let (consul, engine) = tokio::join!(Consul::start(), PrivateEngine::start(false));
    let name = unique("stale");
    let on =
        |suffix: &str| Spec::new(&format!("{name}-{suffix}")).on(&engine.socket()).network("host").expose("80/tcp");
    let host = engine.host();
    let start = || registrator_with(&consul.uri(), &["-cleanup"], &[("DOCKER_HOST", host.as_str())]);
    // What a run before left behind: of a container that is gone, and in the name of one that is there.
    let entry = |suffix: &str| format!("{}:{name}-{suffix}:80", support::HOST);
    for suffix in ["gone", "large"] {
        let body = json!({"ID": entry(suffix), "Name": "web", "Meta": {"registrator-owner": support::HOST}});
        consul.put("/v1/agent/service/register", &body).await;
    }
    let large = on("large").label("SERVICE_TAGS", &"x".repeat(9 << 20)).start();
    let web = on("web").start();
    let program = start();
    becomes(set([id(&web, "80"), entry("large")]), SOON, || ids(&consul, &name)).await;
    let line = program.wait_for(&format!("{}: what Docker says of it", large.short())).await;
    assert!(line.contains("its entries stay as they are"), "{line}");
    // It goes with its container.
    drop(large);
    program.signal("HUP");
    becomes(set([id(&web, "80")]), SOON, || ids(&consul, &name)).await;
}

/// A Consul that answers each question so, one after the other, while the program reads it.
async fn hostile_consul(scheme: &str, path: &str, answers: &[(&str, &str, &str)]) {
    let (consul, engine) = (Consul::start().await, FakeEngine::start().await);
    let recorder = HttpRecorder::start(consul.address()).await;
    engine.run(FakeContainer::new("web").publish("80/tcp", 8080));
    let uri = format!("{scheme}://{}{path}", recorder.address());
    let program = registrator_with(&uri, &[], &[("DOCKER_HOST", &engine.host())]);
    program.wait_for("added: ").await;
    for (begin, unit, end) in answers {
        recorder.set(Mode::Answer(200, format!("{begin}{}{end}", unit.repeat(MUCH / unit.len()))));
        recorder.forget();
        program.signal("HUP");
        // Twice: then what was answered at first has been read. Keys are read in transactions as well.
        let asked = async || recorder.count("GET", "/v1/") + recorder.count("PUT", "/v1/txn") >= 2;
        becomes(true, SOON, asked).await;
    }
    recorder.set(Mode::Pass);
    // Several answers are read at once.
    assert!(program.peak_memory() < MEMORY + 4 * MUCH as u64, "{} MiB", program.peak_memory() >> 20);
    let new = engine.run(FakeContainer::new("new").publish("80/tcp", 8081));
    program.wait_for(&format!("added: {}", &new[..12])).await;
}

#[tokio::test]
async fn a_consul_that_answers_with_millions_of_values_takes_no_memory() {
    let answers = [
        ("{", r#""a":{},"#, r#""a":1}"#),
        (r#"{"a":{"Tags":["#, "1,", "1]}}"),
        (r#"{"a":{"Meta":{"#, r#""":"","#, r#""":""}}}"#),
    ];
    hostile_consul("consul", "", &answers).await;
}

#[tokio::test]
async fn nor_does_its_key_value_store() {
    let answers = [("[", "{},", "{}]"), ("[", r#"{"Key":"","ModifyIndex":1},"#, r#"{"Key":"","ModifyIndex":1}]"#)];
    hostile_consul("consulkv", "/prefix", &answers).await;
}
