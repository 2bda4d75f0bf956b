//! What is known can be asked while the program runs (`-status`), and never says more than is true.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use support::status::{Status, asked};
use support::{HOST, IP, SOON, id, ids, registrator, set};
use testkit::certificates::Certificates;
use testkit::consul::{Consul, Options};
use testkit::docker::{Spec, unique};
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::program::Program;
use testkit::wait::becomes;

/// The program with these options, and where its state is told.
async fn told(uri: &str, options: &[&str]) -> (Program, Status) {
    let options: Vec<_> = ["-status", "127.0.0.1:0"].into_iter().chain(options.iter().copied()).collect();
    let program = registrator(uri, &options);
    let status = Status::of(&program).await;
    becomes(200, SOON, async || status.get("/ready").await.status).await;
    (program, status)
}

/// The program beside an engine that is made up.
async fn told_of(engine: &FakeEngine, arguments: &[&str]) -> (Program, Status) {
    let usual = ["-hostname", HOST, "-ip", IP, "-status", "127.0.0.1:0"];
    let arguments: Vec<_> = usual.into_iter().chain(arguments.iter().copied()).collect();
    let host = engine.host();
    let program =
        Program::start(Path::new(env!("CARGO_BIN_EXE_registrator")), arguments, [("DOCKER_HOST", host.as_str())]);
    let status = Status::of(&program).await;
    (program, status)
}

fn entry(container: &Value, port: usize) -> &Value {
    &container["ports"][port]["entries"][0]
}

#[tokio::test]
async fn a_container_is_explained_port_by_port_and_where_it_stands() {
    let consul = Consul::start().await;
    let name = unique("explained");
    let container = Spec::new(&name).publish("80/tcp").expose("81/tcp").label("SERVICE_80_NAME", "shop").start();
    let (_program, status) = told(&consul.uri(), &[]).await;
    let path = format!("/v1/containers/{}", container.name);
    becomes("in_sync".to_owned(), SOON, async || {
        entry(&status.json(&path).await, 0)["state"].as_str().unwrap_or_default().to_owned()
    })
    .await;
    let said = status.json(&path).await;
    let port = &said["ports"][0];
    assert_eq!((&port["port"], &port["service"]["name"]), (&json!(80), &json!("shop")));
    let because = |field: &str| {
        let decisions = port["decisions"].as_array().unwrap().iter();
        decisions.filter(|decision| decision["field"] == field).map(|decision| decision["because"].clone()).next()
    };
    assert_eq!(because("name"), Some(json!(r#"label SERVICE_80_NAME="shop""#)));
    assert_eq!(because("address"), Some(json!(format!("-ip \"{IP}\""))));
    let ignored = &said["ports"][1]["ignored"];
    assert_eq!(ignored["reason"], "not_published");
    assert!(ignored["cure"].as_str().unwrap().contains("-p 81:81"), "{ignored}");
    // By the beginning of its ID as well; and what nobody knows is not found.
    assert_eq!(status.json(&format!("/v1/containers/{}", container.short())).await["name"], said["name"]);
    assert_eq!(status.get("/v1/containers/no-such-container").await.status, 404);
    // Lists of the same.
    let all = status.json("/v1/containers").await;
    assert!(all.as_array().unwrap().iter().any(|other| other["name"] == said["name"]));
    let services = status.json("/v1/services").await;
    let service = services.as_array().unwrap().iter().find(|service| service["container"] == said["name"]).unwrap();
    assert_eq!((&service["name"], &service["id"]), (&json!("shop"), &json!(id(&container, "80"))));
}

#[tokio::test]
async fn a_registry_that_goes_away_is_not_in_sync_and_one_that_comes_back_is() {
    let consul = Consul::start().await;
    let name = unique("away");
    let container = Spec::new(&name).publish("80/tcp").start();
    let (_program, status) = told(&consul.uri(), &[]).await;
    let path = format!("/v1/containers/{}", container.name);
    let state = async || entry(&status.json(&path).await, 0)["state"].as_str().unwrap_or_default().to_owned();
    becomes("in_sync".to_owned(), SOON, state).await;
    assert_eq!((status.get("/health").await.status, status.get("/ready").await.status), (200, 200));
    consul.freeze();
    // Something must be tried before anybody can know.
    let _other = Spec::new(&unique("away-other")).publish("80/tcp").start();
    becomes("unknown".to_owned(), SOON, state).await;
    let registry = &status.json("/v1/registries").await[0];
    assert_eq!((&registry["state"], &registry["attention"]), (&json!("unreachable"), &json!(true)));
    let health = status.get("/health?verbose").await;
    assert_eq!(health.status, 503);
    let text = String::from_utf8(health.body).unwrap();
    assert!(text.contains("[+]docker ok") && text.contains("[-]consul://") && text.contains("unreachable"), "{text}");
    let metrics = status.text("/metrics").await;
    assert!(metrics.contains(&format!("registrator_registry_up{{registry=\"{}\"}} 0", consul.uri())), "{metrics}");
    consul.thaw();
    becomes("in_sync".to_owned(), SOON, state).await;
    becomes(200, SOON, async || status.get("/health").await.status).await;
}

#[tokio::test]
async fn what_a_registry_refuses_is_told_with_its_reason_and_the_next_attempt() {
    let consul = Consul::with(Options { acl: true, ..Options::default() }).await;
    let token = consul.token(r#"service_prefix "allowed" { policy = "write" } node_prefix "" { policy = "read" } agent_prefix "" { policy = "read" }"#).await;
    let name = unique("refused");
    let container = Spec::new(&name).publish("80/tcp").env("SERVICE_NAME=forbidden").start();
    let options = ["-hostname", HOST, "-ip", IP, "-status", "127.0.0.1:0", &consul.uri()];
    let program =
        Program::start(Path::new(env!("CARGO_BIN_EXE_registrator")), options, [("CONSUL_HTTP_TOKEN", token.as_str())]);
    let status = Status::of(&program).await;
    becomes(200, SOON, async || status.get("/ready").await.status).await;
    let path = format!("/v1/containers/{}", container.name);
    becomes(json!("refused"), SOON, async || entry(&status.json(&path).await, 0)["state"].clone()).await;
    let said = status.json(&path).await;
    let entry = entry(&said, 0);
    assert!(entry["error"].as_str().unwrap().contains("service:write"), "{entry}");
    assert!(entry["next_attempt"].as_u64().is_some(), "{entry}");
    assert!(entry["last_write"]["answer"].as_str().unwrap().contains("service:write"), "{entry}");
    assert_eq!(said["attention"], true);
    let plan = &status.json("/v1/plan").await[0];
    assert!(plan["left"].as_array().unwrap().iter().any(|left| left["reason"] == "refused"), "{plan}");
    let health = status.get("/health").await;
    assert_eq!(health.status, 503);
    for answer in [status.text("/v1/state").await, status.text("/metrics").await, status.text("/").await] {
        assert!(!answer.contains(&token), "the token is told");
    }
}

#[tokio::test]
async fn events_are_told_as_they_come_and_from_where_a_reader_left_off() {
    let engine = FakeEngine::start().await;
    let (_program, status) = told_of(&engine, &["embedded://127.0.0.1:0?dns=off"]).await;
    let mut events = status.events(None).await;
    engine.run(FakeContainer::new("told").publish("80/tcp", 8080));
    let added = events.until(|event| event["event"] == "added").await;
    assert_eq!(added["container_name"], "told");
    let number = added["number"].as_u64().unwrap();
    engine.run(FakeContainer::new("later").publish("80/tcp", 8081));
    let mut again = status.events(Some(number)).await;
    let next = again.until(|event| event["event"] == "added").await;
    assert_eq!(next["container_name"], "later");
    assert!(next["number"].as_u64().unwrap() > number);
}

#[tokio::test]
async fn nothing_is_sent_twice_to_who_has_it_and_nobody_may_change_anything() {
    let engine = FakeEngine::start().await;
    engine.run(FakeContainer::new("one").publish("80/tcp", 8080));
    let (program, status) = told_of(&engine, &["embedded://127.0.0.1:0?dns=off"]).await;
    program.wait_for("added:").await;
    let first = eventually_tagged(&status, "/v1/state").await;
    let known = [("if-none-match", first.as_str())];
    assert_eq!(status.ask("GET", "/v1/state", &known).await.status, 304);
    engine.run(FakeContainer::new("two").publish("80/tcp", 8081));
    becomes(200, SOON, async || status.ask("GET", "/v1/state", &known).await.status).await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        assert_eq!(status.ask(method, "/v1/state", &[]).await.status, 405, "{method}");
    }
    let head = status.plain("HEAD /v1/state HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert!(head.starts_with(b"HTTP/1.1 200") && head.ends_with(b"\r\n\r\n"), "{}", String::from_utf8_lossy(&head));
    assert_eq!(status.ask("GET", "/nothing/here", &[]).await.status, 404);
    // A page of the web can make a browser ask us under its own name, or from its own site.
    for header in [("host", "evil.example"), ("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")] {
        assert_eq!(status.ask("GET", "/v1/state", &[header]).await.status, 403, "{header:?}");
    }
    let page = status.get("/").await;
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
    assert!(page.header("access-control-allow-origin").is_none());
}

/// The tag of an answer, when nothing changes any more.
async fn eventually_tagged(status: &Status, path: &str) -> String {
    let tag = async || status.get(path).await.header("etag").unwrap_or_default().to_owned();
    let mut before = String::new();
    loop {
        let now = tag().await;
        if now == before {
            return now;
        }
        before = now;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_token_and_tls_are_asked_for_where_they_are_given() {
    let engine = FakeEngine::start().await;
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "hunter2\n").unwrap();
    let certificates = Certificates::make(folder.path());
    // Behind its own certificate, that of its authority, which commands trust.
    let (certificate, key) = (folder.path().join("chain.pem"), &certificates.server.key);
    let parts = [&certificates.server.certificate, &certificates.ca].map(|path| std::fs::read_to_string(path).unwrap());
    std::fs::write(&certificate, parts.concat()).unwrap();
    let (program, status) = told_of(
        &engine,
        &[
            "-status-token-file",
            token.to_str().unwrap(),
            "-status-tls-cert",
            certificate.to_str().unwrap(),
            "-status-tls-key",
            key.to_str().unwrap(),
            "embedded://127.0.0.1:0?dns=off",
        ],
    )
    .await;
    assert!(status.is_https(), "{:?}", program.log());
    program.wait_for("compared:").await;
    // Without TLS, nobody is answered.
    assert!(status.plain("GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.is_empty());
    let ask = |extra: &[&str]| {
        let address = status.address.to_string();
        let mut arguments = vec!["registries", "-status", address.as_str()];
        arguments.extend_from_slice(extra);
        asked(&arguments, &[])
    };
    let certified = ["-status-tls-cert", certificate.to_str().unwrap(), "-status-tls-key", key.to_str().unwrap()];
    let said = ask(&certified);
    assert!(said.code == 1 && said.stderr.contains("-status-token-file"), "{said:?}");
    let with_token: Vec<&str> =
        certified.iter().copied().chain(["-status-token-file", token.to_str().unwrap()]).collect();
    let said = ask(&with_token);
    assert!(said.code == 0 && said.stdout.contains("embedded:"), "{said:?}");
    assert!(!program.log().iter().any(|line| line.contains("hunter2")));
}

#[tokio::test]
async fn what_runs_is_told_to_prometheus_and_kept_in_a_file() {
    let engine = FakeEngine::start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("targets.json");
    let path = file.to_str().unwrap();
    let (_program, status) = told_of(&engine, &["-prometheus-file", path, "embedded://127.0.0.1:0?dns=off"]).await;
    becomes(json!([]), SOON, async || {
        json!(std::fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok()))
    })
    .await;
    engine.run(FakeContainer::new("app").publish("80/tcp", 8080).env("SERVICE_TAGS=a,b").env("SERVICE_REGION-X=eu"));
    let expected = json!([{
        "targets": [format!("{IP}:8080")],
        "labels": {
            "__meta_registrator_service": "busybox",
            "__meta_registrator_id": format!("{HOST}:app:80"),
            "__meta_registrator_tags": ",a,b,",
            "__meta_registrator_container": "app",
            "__meta_registrator_image": "busybox",
            "__meta_registrator_host": HOST,
            "__meta_registrator_health": "none",
            "__meta_registrator_attr_region_x": "eu",
        },
    }]);
    let told = async || {
        let mut all = status.json("/prometheus/targets").await;
        if all == json!([]) {
            return all;
        }
        all[0]["labels"]["__meta_registrator_service"] = json!("busybox");
        all[0]["labels"]["__meta_registrator_image"] = json!("busybox");
        all
    };
    becomes(expected, SOON, told).await;
    becomes(1, SOON, async || {
        let text = std::fs::read(&file).unwrap();
        serde_json::from_slice::<Value>(&text).unwrap().as_array().unwrap().len()
    })
    .await;
}

#[tokio::test]
async fn a_signal_writes_the_state_to_the_log_and_the_audit_has_a_line_for_each_write() {
    let engine = FakeEngine::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (file, old) = (folder.path().join("audit.json"), folder.path().join("audit.1"));
    let (mut program, _status) =
        told_of(&engine, &["-audit", file.to_str().unwrap(), "embedded://127.0.0.1:0?dns=off"]).await;
    let first = engine.run(FakeContainer::new("one").publish("80/tcp", 8080));
    program.wait_for("added:").await;
    program.signal("USR1");
    let line = program.wait_for("state: 1 containers, 1 services").await;
    assert!(line.contains("1 of 1 in sync"), "{line}");
    program.wait_for("state: [+]docker ok").await;
    let lines = |path: &Path| -> Vec<Value> {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    becomes(1, SOON, async || lines(&file).len()).await;
    let said = &lines(&file)[0];
    assert_eq!(
        (&said["action"], &said["result"], &said["container_name"]),
        (&json!("put"), &json!("ok"), &json!("one"))
    );
    assert_eq!((&said["service"], &said["reason"]), (&json!(format!("{HOST}:one:80")), &json!("it was not there")));
    std::fs::rename(&file, &old).unwrap();
    program.signal("HUP");
    becomes(true, SOON, async || file.exists()).await;
    engine.stop(&first, 0);
    becomes(1, SOON, async || lines(&file).len()).await;
    assert_eq!(lines(&file)[0]["action"], "remove");
    program.signal("TERM");
    assert!(program.ended(SOON).await.success());
}

#[tokio::test]
async fn metrics_count_what_is_done_and_have_no_label_of_a_container() {
    let consul = Consul::start().await;
    let name = unique("counted");
    let container = Spec::new(&name).publish("80/tcp").start();
    let (program, status) = told(&consul.uri(), &[]).await;
    becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;
    let other = Spec::new(&format!("{name}-2")).publish("80/tcp").start();
    becomes(2, SOON, async || ids(&consul, &name).await.len()).await;
    let metrics = status.text("/metrics").await;
    assert!(!metrics.contains(&container.name) && !metrics.contains(other.short()), "{metrics}");
    let registry = consul.uri();
    let value = |name: &str| -> f64 {
        let line =
            metrics.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}: {metrics}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert!(value(&format!("registrator_writes_total{{action=\"put\",registry=\"{registry}\",result=\"ok\"}}")) >= 2.0);
    assert!(value(&format!("registrator_event_to_entry_seconds_count{{registry=\"{registry}\"}}")) >= 1.0);
    assert!(value(&format!("registrator_entries_desired{{registry=\"{registry}\"}}")) >= 2.0);
    assert!(value("registrator_containers{state=\"running\"}") >= 2.0);
    assert_eq!(value("registrator_docker_connected"), 1.0);
    assert!(value(&format!("registrator_last_success_timestamp_seconds{{registry=\"{registry}\"}}")) > 1.7e9);
    drop(program);
}

#[tokio::test]
async fn ten_thousand_containers_are_told_in_parts_and_an_event_is_not_kept_waiting() {
    let engine = FakeEngine::start().await;
    let port = |number: usize| 1 + u16::try_from(number).unwrap();
    engine.populate(10_000, |number| FakeContainer::new(&format!("c{number}")).publish("80/tcp", port(number)));
    let (program, status) = told_of(&engine, &["embedded://127.0.0.1:0?dns=off"]).await;
    program.wait_for("10000 added").await;
    let before = program.peak_memory();
    let state = status.json("/v1/state").await;
    assert_eq!(state["containers"].as_array().unwrap().len(), 10_000);
    let grown = program.peak_memory().saturating_sub(before);
    assert!(grown < 16 << 20, "telling of all took {} MB", grown >> 20);
    // While somebody reads all of it, again and again, what starts is registered.
    let address: SocketAddr = status.address;
    let reading = tokio::spawn(async move {
        let status = Status { address, https: false };
        loop {
            let _ = status.get("/v1/state").await;
        }
    });
    engine.run(FakeContainer::new("meanwhile").publish("80/tcp", 60_000));
    program.wait_for("hostname:meanwhile:80").await;
    reading.abort();
}
