//! No secret is printed: whatever kind it is, wherever it was given, whatever goes wrong with it.

#![cfg(feature = "zookeeper")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use registrator::cli;
use support::status::Status;
use support::{SOON, id, ids, set};
use testkit::consul::{Consul, Options};
use testkit::docker::{Spec, unique};
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::etcd::EtcdServer;
use testkit::program::Program;
use testkit::proxy::{HttpRecorder, Mode};
use testkit::redis::{self, Redis};
use testkit::wait::becomes;
use testkit::zookeeper::ZooKeeper;

type Variables<'a> = Vec<(&'a str, &'a str)>;

/// Part of every secret in here.
const SECRET: &str = "hunter2";

/// Starts the program at its most talkative.
fn talkative(format: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Program {
    let binary = Path::new(env!("CARGO_BIN_EXE_registrator"));
    let options = ["-log-level", "debug", "-log-format", format, "-hostname", support::HOST, "-ip", support::IP];
    let usual = [("RUST_LOG", "trace"), ("RUST_BACKTRACE", "full")];
    Program::start(
        binary,
        options.into_iter().chain(arguments.iter().copied()),
        usual.into_iter().chain(environment.iter().copied()),
    )
}

fn assert_silent(program: &Program) {
    let log = program.log();
    assert!(!log.is_empty(), "nothing was logged at all");
    for line in log {
        assert!(!line.contains(SECRET), "a secret in the log: {line}");
    }
}

#[tokio::test]
async fn secrets_that_are_used_are_in_no_line_of_the_log_however_much_of_it_there_is() {
    let consul = Consul::with(Options { acl: true, ..Options::default() }).await;
    let recorder = HttpRecorder::start(consul.address()).await;
    let zookeeper = ZooKeeper::start().await;
    let rules = r#"service_prefix "" { policy = "write" } node_prefix "" { policy = "read" } agent_prefix "" { policy = "read" }"#;
    let token = consul.token(rules).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, &token).unwrap();
    let name = unique("secret");
    let container = Spec::new(&name)
        .publish("80/tcp")
        .env("SERVICE_CHECK_TTL=15s")
        .env("SERVICE_CHECK_TTL_HEARTBEAT=container")
        .start();
    let uri = format!("consul://me:{SECRET}@{}", recorder.address());
    let other = format!("zookeeper://user:{SECRET}@{}/base", zookeeper.address());
    for format in ["text", "json"] {
        let environment = [("CONSUL_HTTP_TOKEN_FILE", file.to_str().unwrap()), ("CONSUL_HTTP_AUTH", SECRET)];
        let program = talkative(format, &["-resync", "1", &uri, &other], &environment);
        program.wait_for("Syncing services").await;
        becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;
        // Another token, which the agent does not know, and a server that repeats what it was sent.
        std::fs::write(&file, format!("{SECRET}-00000000-0000-4000-8000-000000000000")).unwrap();
        recorder.set(Mode::Answer(403, format!("{SECRET}: ACL not found: {SECRET}-00000000")));
        program.wait_for("ACL not found").await;
        recorder.set(Mode::Hang);
        std::fs::remove_file(&file).unwrap();
        recorder.set(Mode::Pass);
        program.wait_for("token file").await;
        std::fs::write(&file, &token).unwrap();
        let line = program.log().join("\n");
        assert!(!line.contains(&token), "the token in the log: {line}");
        assert_silent(&program);
    }
}

#[tokio::test]
async fn secrets_that_keep_us_from_starting_are_not_repeated() {
    let nobody = "127.0.0.1:1";
    let uris = [
        format!("consul://me:{SECRET}@{nobody}"),
        format!("consul-tls://me:{SECRET}@{nobody}"),
        format!("consul://me:a/{SECRET}@{nobody}"),
        format!("consul://me:{SECRET}@[::1"),
        format!("consul:me:{SECRET}@{nobody}"),
        format!("consul://{nobody}?token={SECRET}"),
        format!("consul-unix://me:{SECRET}@/nonexistent"),
        format!("zookeeper://me:{SECRET}@{nobody}/base"),
        format!("zookeeper://me:a/{SECRET}@{nobody}"),
        format!("zookeeper://{nobody}?auth=digest:me:{SECRET}"),
        format!("zookeeper-tls://me:{SECRET}@{nobody}?ca=/nonexistent"),
        format!("embedded://me:{SECRET}@{nobody}"),
        format!("etcd://me:{SECRET}@{nobody}"),
        format!("eureka://me:{SECRET}@{nobody}/eureka"),
        format!("redis://me:{SECRET}@{nobody}/1"),
        format!("redis://:{SECRET}@{nobody}"),
        format!("redis://me:a/{SECRET}@{nobody}"),
        format!("redis://{SECRET}@{nobody}"),
        format!("rediss+sentinel://:{SECRET}@{nobody}/mine"),
        format!("eureka://me:a/{SECRET}@{nobody}"),
        format!("webhook+http://me:{SECRET}@{nobody}/zone.example"),
        format!("webhook+https://me:{SECRET}@{nobody}/zone.example"),
        format!("webhook+http://me:{SECRET}@{nobody}/no..zone"),
        format!("webhook://me:{SECRET}@{nobody}/zone.example"),
        format!("discoverd://me:{SECRET}@{nobody}"),
        format!("discoverd://{nobody}?token={SECRET}"),
        format!("rfc2136://me:{SECRET}@{nobody}/zone.example"),
        format!("rfc2136://{nobody}/zone.example?tsig-keyname=k&tsig-secret={SECRET}"),
        format!("consulkv://me:{SECRET}@{nobody}/base?token={SECRET}"),
        format!("nosuch://me:{SECRET}@{nobody}?password={SECRET}"),
        format!("me:{SECRET}@{nobody}"),
    ];
    let engine = format!("tcp://me:{SECRET}@{nobody}");
    let mut runs: Vec<(Vec<&str>, Variables<'_>)> = uris.iter().map(|uri| (vec![uri.as_str()], vec![])).collect();
    let uri = uris[0].as_str();
    runs.push((vec![uri], vec![("DOCKER_HOST", &engine)]));
    runs.push((vec![], vec![("REGISTRATOR_URI", uri)]));
    runs.push((vec![uri, "-nosuch"], vec![]));
    runs.push((vec!["-ttl=5", uri], vec![]));
    runs.push((vec!["plan", "-ttl=5", uri], vec![]));
    // Its value was forgotten, so that the URI takes its place.
    runs.push((vec!["-resync", uri], vec![]));
    runs.push((vec!["plan", "-status", uri], vec![]));
    runs.push((vec![], vec![("REGISTRATOR_RESYNC", uri)]));
    for variable in ["CONSUL_HTTP_TOKEN", "CONSUL_HTTP_AUTH", "ZOOKEEPER_AUTH", "CONSUL_HTTP_SSL"] {
        runs.push((vec!["consul://127.0.0.1:1"], vec![(variable, "hunter2\n:hunter2")]));
        runs.push((vec!["zookeeper://127.0.0.1:1"], vec![(variable, "hunter2")]));
    }
    runs.push((vec!["eureka://127.0.0.1:1"], vec![("EUREKA_AUTH", "me:hunter2")]));
    for given in ["me:hunter2", ":hunter2", "hunter2"] {
        runs.push((vec!["redis://127.0.0.1:1"], vec![("REDIS_USER", given)]));
        runs.push((vec!["redis+sentinel://127.0.0.1:1/mine"], vec![("REDIS_SENTINEL_USER", given)]));
    }
    runs.push((vec!["eureka://127.0.0.1:1"], vec![("EUREKA_AUTH", "hunter2")]));
    for secret in ["me:hunter2", "hunter2"] {
        runs.push((vec!["webhook+http://127.0.0.1:1/zone.example"], vec![("WEBHOOK_AUTH", secret)]));
    }
    let key = "rfc2136://127.0.0.1:1/zone.example?tsig-keyname=k";
    for secret in ["hunter2", "hunter2hunter2=", "aHVudGVyMg=="] {
        runs.push((vec![key], vec![("RFC2136_TSIG_SECRET", secret)]));
    }
    let formats = ["text", "json"].into_iter().cycle();
    for ((arguments, environment), format) in runs.iter().zip(formats) {
        let mut program = talkative(format, arguments, environment);
        let status = program.ended(SOON).await;
        assert!(!status.success(), "{arguments:?} {environment:?} ran");
        becomes(true, SOON, async || !program.log().is_empty()).await;
        assert_silent(&program);
    }
}

#[test]
fn settings_that_are_printed_for_debugging_show_no_secret() {
    let variables = [
        ("CONSUL_HTTP_TOKEN", SECRET),
        ("ZOOKEEPER_AUTH", "me:hunter2"),
        ("EUREKA_AUTH", "me:hunter2"),
        ("WEBHOOK_AUTH", "me:hunter2"),
        ("RFC2136_TSIG_SECRET", SECRET),
        ("REGISTRATOR_URI", "consul://me:hunter2@127.0.0.1:1"),
        ("DOCKER_HOST", "tcp://me:hunter2@127.0.0.1:1"),
    ];
    let environment = variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
    let config = cli::parse([], &Arc::new(environment), "machine").unwrap().into_config();
    assert_eq!(config.registries.len(), 1);
    let shown = format!("{config:?} {config:#?}");
    assert!(!shown.contains(SECRET), "{shown}");
}

/// What a command prints, on both outputs, and the files that it makes.
fn printed(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_registrator"));
    command.current_dir(&folder).env_clear().envs(environment.iter().copied()).args(arguments);
    let output = command.output().unwrap();
    let mut all = [output.stdout, output.stderr].concat();
    assert!(!all.is_empty(), "{arguments:?} prints nothing");
    for file in std::fs::read_dir(&folder).unwrap() {
        all.extend(std::fs::read(file.unwrap().path()).unwrap());
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// Every answer of the listener and of the commands, from a run with a registry that is well, and three that are not: one
/// that repeats what it was sent, one that refuses the user, and one that is away.
#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_in_no_answer_whoever_asks_and_whatever_fails() {
    let consul = Consul::with(Options { acl: true, ..Options::default() }).await;
    let (recorder, etcd, engine) =
        (HttpRecorder::start(consul.address()).await, EtcdServer::start().await, FakeEngine::start().await);
    let redis = Redis::with(redis::Options { password: Some("another"), ..redis::Options::default() }).await;
    etcd.enable_users();
    recorder.set(Mode::Answer(403, format!("{SECRET}: ACL not found: {SECRET}-uri {SECRET}-token")));
    engine.run(FakeContainer::new("web").publish("80/tcp", 8080));
    let rules = r#"service_prefix "" { policy = "write" } node_prefix "" { policy = "read" } agent_prefix "" { policy = "read" }"#;
    let token = consul.token(rules).await;
    let folder = tempfile::tempdir().unwrap();
    let [token_file, status_file, audit] = ["token", "status", "audit.json"].map(|name| folder.path().join(name));
    let [token_file, status_file, audit] = [&token_file, &status_file, &audit].map(|path| path.to_str().unwrap());
    std::fs::write(token_file, &token).unwrap();
    std::fs::write(status_file, format!("{SECRET}-status\n")).unwrap();
    let uris = [
        consul.uri(),
        format!("consul://me:{SECRET}-uri@{}", recorder.address()),
        format!("etcd3://root:{SECRET}-etcd@{}/base", etcd.address()),
        format!("consulkv://me:{SECRET}-kv@127.0.0.1:1/base"),
        format!("redis://:{SECRET}-redis@{}", redis.address()),
    ];
    let uris = uris.each_ref().map(String::as_str);
    let host = engine.host();
    for given in [("CONSUL_HTTP_TOKEN", token.as_str()), ("CONSUL_HTTP_TOKEN_FILE", token_file)] {
        let etcd_user = format!("root:{SECRET}-etcd");
        let environment = [("DOCKER_HOST", host.as_str()), given, ("ETCD_USER", &etcd_user)];
        let listens = ["-status", "127.0.0.1:0", "-status-token-file", status_file, "-audit", audit, "-resync", "1"];
        let program = talkative("json", &[&listens[..], &uris].concat(), &environment);
        let line = program.wait_for("status: http").await;
        let address = line.split("http://").nth(1).unwrap().split('/').next().unwrap().to_owned();
        let status = Status { address: address.parse().unwrap(), https: false };
        let bearer = format!("Bearer {SECRET}-status");
        let with_token = [("authorization", bearer.as_str())];
        let registries = async || {
            let reply = status.ask("GET", "/v1/registries", &with_token).await;
            let all: Vec<serde_json::Value> = serde_json::from_slice(&reply.body).unwrap();
            all.iter().map(|registry| registry["attention"] == true).collect::<Vec<_>>()
        };
        becomes(vec![false, true, true, true, true], SOON, registries).await;
        let mut said: Vec<(String, String)> = Vec::new();
        for path in [
            "/v1/state",
            "/v1/containers",
            "/v1/containers/web",
            "/v1/services",
            "/v1/registries",
            "/v1/plan",
            "/v1/about",
            "/metrics",
            "/",
            "/page/registries",
            "/page/containers",
            "/page/events",
            "/prometheus/targets",
        ] {
            let reply = status.ask("GET", path, &with_token).await;
            assert_eq!(reply.status, 200, "{path}");
            said.push((path.to_owned(), String::from_utf8(reply.body).unwrap()));
        }
        for path in ["/health?verbose", "/ready?verbose", "/v1/state"] {
            said.push((format!("{path} without a token"), String::from_utf8(status.get(path).await.body).unwrap()));
        }
        let request = format!("GET /v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: {bearer}\r\n\r\n");
        let events = String::from_utf8(status.plain(&request).await).unwrap();
        assert!(events.contains("\"event\":"), "{events}");
        said.push(("/v1/events".to_owned(), events));
        let audited = async || std::fs::read_to_string(audit).unwrap_or_default();
        becomes(true, SOON, async || audited().await.contains("put")).await;
        said.push(("the audit".to_owned(), audited().await));
        program.signal("USR1");
        program.wait_for("docker ok").await;
        said.push(("the log".to_owned(), program.log().join("\n")));
        let asks = ["-status", &address, "-status-token-file", status_file];
        let looks = [&["-hostname", support::HOST, "-ip", support::IP][..], &uris].concat();
        for command in
            [&["explain", "web"][..], &["plan"], &["services"], &["containers"], &["registries"], &["support-dump"]]
        {
            for format in ["table", "json"] {
                for from in [&asks[..], &looks] {
                    let format: &[&str] = if command == ["support-dump"] { &[] } else { &["-format", format] };
                    let arguments = [command, format, from].concat();
                    said.push((format!("{arguments:?}"), printed(&arguments, &environment)));
                }
            }
        }
        for command in [&["config", "show"][..], &["config", "check"], &["check"], &["doctor"]] {
            for format in ["table", "json"] {
                let arguments = [command, &["-format", format], &looks].concat();
                said.push((format!("{arguments:?}"), printed(&arguments, &environment)));
            }
        }
        for (what, text) in &said {
            for secret in [SECRET, token.as_str()] {
                let at = text.find(secret);
                let around = at.map(|at| {
                    String::from_utf8_lossy(&text.as_bytes()[at.saturating_sub(200)..(at + 60).min(text.len())])
                });
                assert!(around.is_none(), "a secret in {what}: {around:?}");
            }
        }
        // What failed is told all the same, each with its reason.
        let registries = &said.iter().find(|(what, _)| what == "/v1/registries").unwrap().1;
        for part in ["ACL not found", "127.0.0.1:1"] {
            assert!(registries.contains(part), "{registries}");
        }
    }
}

#[tokio::test]
async fn secrets_in_a_file_of_settings_are_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("registrator.toml");
    let path = file.to_str().unwrap();
    let well = |password: &str| {
        format!("registries = [\n  \"embedded://127.0.0.1:0?dns=off\",\n  \"consul://me:{password}@127.0.0.1:1\",\n]\n")
    };
    let texts = [
        well(SECRET),
        format!("registries = [\"consul://me:{SECRET}@127.0.0.1:1\n"),
        format!("registries = [\"consul://me:{SECRET}@127.0.0.1:1\", 5]\n"),
        format!("registries = \"consul://me:{SECRET}@127.0.0.1:1\"\n"),
        format!("registries = [\"nosuch://me:{SECRET}@127.0.0.1:1\"]\n"),
        format!("registries = [\"consul://me:a/{SECRET}@127.0.0.1:1\"]\n"),
        format!("registry = \"consul://me:{SECRET}@127.0.0.1:1\"\n"),
        format!("{}resync = \"consul://me:{SECRET}@127.0.0.1:1\"\n", well("x")),
        format!("consul://me:{SECRET}@127.0.0.1:1\n"),
    ];
    for text in &texts {
        std::fs::write(&file, text).unwrap();
        for command in [["config", "show"], ["config", "check"]] {
            let said = printed(&[&command[..], &["-config", path]].concat(), &[]);
            assert!(!said.contains(SECRET), "{command:?} of {text}: {said}");
        }
    }
    // Read again while it runs: a new password is said to be one, and a mistake is named without the line.
    std::fs::write(&file, &texts[0]).unwrap();
    let engine = FakeEngine::start().await;
    let program = talkative("text", &["-config", path], &[("DOCKER_HOST", engine.host().as_str())]);
    program.wait_for("Syncing services").await;
    std::fs::write(&file, well(&format!("another-{SECRET}"))).unwrap();
    program.signal("HUP");
    program.wait_for("a password or token in registries has changed, and counts after a restart").await;
    for (count, text) in texts[1..].iter().enumerate() {
        std::fs::write(&file, text).unwrap();
        program.signal("HUP");
        program.wait_for_count("the settings were not read again, and stay as they were", count + 1).await;
    }
    assert_silent(&program);
}
