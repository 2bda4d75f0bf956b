//! What is wrong is said in one clear line, and costs no more than it must.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use serde_json::json;
use support::{SOON, id, ids, registrator, registrator_with, services, set};
use testkit::consul::{Consul, Options};
use testkit::docker::{Spec, unique};
use testkit::program::Program;
use testkit::wait::becomes;

/// Runs the program until it ends, and gives its exit code and the lines it ended with.
async fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let binary = Path::new(env!("CARGO_BIN_EXE_registrator"));
    let mut program = Program::start(binary, arguments.iter().copied(), environment.iter().copied());
    let status = program.ended(SOON).await;
    // The reader of its log may be a moment behind its end.
    tokio::time::sleep(Duration::from_millis(100)).await;
    (status.code(), program.log().join("\n"))
}

#[tokio::test]
async fn what_keeps_it_from_starting_is_said_in_one_line() {
    let nobody = "consul://127.0.0.1:1";
    for (arguments, environment, line) in [
        (vec!["nosuch://x"], vec![], "unrecognized adapter: nosuch://x; a registry URI begins with one of consul, "),
        (vec!["consul"], vec![], "unrecognized adapter: consul; did you mean consul://?"),
        (vec!["conusl://h"], vec![], "unrecognized adapter: conusl://h; did you mean consul://h?"),
        (vec!["consul://[::1"], vec![], "bad adapter uri: consul://[::1"),
        (vec![nobody], vec![("DOCKER_HOST", "unix:///nonexistent/docker.sock")], "/nonexistent/docker.sock"),
        (vec![nobody], vec![("DOCKER_HOST", "ssh://host")], "ssh://host"),
        (vec![nobody], vec![("DOCKER_HOST", "tcp://127.0.0.1:1")], "nothing listens at http://127.0.0.1:1"),
        (vec![nobody], vec![("DOCKER_API_VERSION", "banana")], "banana"),
        (vec![nobody], vec![], "Consul at http://127.0.0.1:1: Connection refused"),
        (vec![nobody], vec![("CONSUL_HTTP_TOKEN_FILE", "/nonexistent/token")], "/nonexistent/token"),
        (vec!["consul-tls://127.0.0.1:1"], vec![("CONSUL_CACERT", "/nonexistent/ca.pem")], "/nonexistent/ca.pem"),
    ] {
        let (code, log) = refused(&arguments, &environment).await;
        assert_eq!(code, Some(1), "{arguments:?} {environment:?}:\n{log}");
        assert_eq!(log.lines().filter(|logged| logged.contains(line)).count(), 1, "{line} is not said once:\n{log}");
        assert!(log.lines().last().is_some_and(|last| last.contains(line)), "{line} is not the last line:\n{log}");
        assert!(!log.contains("panicked"), "{log}");
    }
}

#[tokio::test]
async fn a_socket_that_may_not_be_used_is_told_with_the_cure() {
    // Where others may read it, unlike the folder that it was built in.
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let binary = folder.path().join("registrator");
    std::fs::copy(env!("CARGO_BIN_EXE_registrator"), &binary).unwrap();
    let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", binary.to_str().unwrap()];
    let arguments = nobody.into_iter().chain(["consul://127.0.0.1:1"]);
    let mut program = Program::start(Path::new("setpriv"), arguments, [("DOCKER_HOST", "unix:///var/run/docker.sock")]);
    let line = program.wait_for("/var/run/docker.sock").await;
    assert!(line.contains("permission") && line.contains("group"), "{line}");
    assert_eq!(program.ended(SOON).await.code(), Some(1));
}

#[tokio::test]
async fn a_token_without_rights_is_told_what_it_lacks_and_recovers_when_it_is_exchanged() {
    let consul = Consul::with(Options { acl: true, ..Options::default() }).await;
    let name = unique("acl");
    let container = Spec::new(&name).publish("80/tcp").start();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, consul.token(r#"node_prefix "" { policy = "read" }"#).await).unwrap();
    let uri = consul.uri();
    let program = registrator_with(&uri, &["-resync", "1"], &[("CONSUL_HTTP_TOKEN_FILE", file.to_str().unwrap())]);
    let line = program.wait_for(&format!("register failed: {}", id(&container, "80"))).await;
    assert!(line.contains("service:write"), "{line}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(program.logged(&format!("register failed: {}", id(&container, "80"))), 1, "it is said once");
    let able = consul.token(r#"service_prefix "" { policy = "write" } node_prefix "" { policy = "read" } agent_prefix "" { policy = "read" }"#).await;
    std::fs::write(&file, &able).unwrap();
    becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;
    assert_eq!(program.logged(&able), 0, "a token in the log");
}

#[tokio::test]
async fn garbage_in_metadata_costs_that_service_at_most() {
    let consul = Consul::start().await;
    let name = unique("garbage");
    let huge = "x".repeat(100_000);
    let garbage: Vec<(&str, Vec<String>)> = vec![
        ("slash", vec!["SERVICE_NAME=a/../../b c".into()]),
        ("lines", vec!["SERVICE_NAME=a\nadded: 123456789012 forged".into(), "SERVICE_TAGS=t\r\nu".into()]),
        ("id", vec![format!("SERVICE_ID={name}/../%2e%2e?x=#\u{7f}ü")]),
        ("tags", vec![format!("SERVICE_TAGS={huge}")]),
        ("comma", vec![r"SERVICE_TAGS=\,".into()]),
        ("noequals", vec!["SERVICE_NAME".into()]),
        ("key", vec!["SERVICE_ä ö=1".into(), "SERVICE_a.b/c=2".into(), format!("SERVICE_LONG={huge}")]),
        ("many", (0..200).map(|number| format!("SERVICE_KEY{number}=x")).collect()),
        ("check", vec!["SERVICE_CHECK_HTTP=\u{1b}[31m".into(), "SERVICE_CHECK_INTERVAL=soon".into()]),
        ("port", vec!["SERVICE_PORT=99999".into(), "SERVICE_IP= ".into(), "SERVICE_NETWORK=none".into()]),
    ];
    let program = registrator(&consul.uri(), &[]);
    let containers: Vec<_> = garbage
        .iter()
        .map(|(what, lines)| {
            lines
                .iter()
                .fold(Spec::new(&format!("{name}-{what}")).publish("80/tcp"), |spec, line| spec.env(line))
                .start()
        })
        .collect();
    let neighbour = Spec::new(&format!("{name}-neighbour")).publish("80/tcp").start();
    becomes(true, SOON, async || ids(&consul, &name).await.contains(&id(&neighbour, "80"))).await;
    for (container, (what, _)) in containers.iter().zip(&garbage) {
        // Each is registered, or it is said why not.
        let settled = async || {
            ids(&consul, &name).await.iter().any(|id| id.contains(*what))
                || *what == "id" && ids(&consul, &name).await.iter().any(|id| id.contains("%2e"))
                || program.log().iter().any(|line| line.contains("failed") && line.contains(&container.name))
        };
        becomes(true, SOON, settled).await;
    }
    let comma = services(&consul, &format!("{name}-comma")).await;
    assert_eq!(comma.values().next().unwrap()["Tags"], json!([","]));
    let log = program.log();
    assert!(log.iter().all(|line| !line.starts_with("added:") && !line.contains('\u{1b}')), "a forged line");
    assert!(log.iter().all(|line| line.len() < 2000), "a line that fills the log");
    drop(containers);
    drop(neighbour);
    becomes(set::<String>([]), SOON, || ids(&consul, &name)).await;
}
