//! `doctor` on the real engine and a real Consul: what it sees, and what it says about it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use registrator::ask::doctor::{About, Finding, doctor};
use registrator::cli;
use serde_json::json;
use support::{HOST, IP, SOON, id, ids, registrator, set};
use testkit::consul::{self, Consul};
use testkit::docker::{SOCKET, Spec, unique};
use testkit::etcd::EtcdServer;
use testkit::guard::Guard;
use testkit::wait::becomes;

/// What is found with this command line and these variables.
async fn found(arguments: &[&str], environment: &[(&str, &str)]) -> Vec<Finding> {
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    let config =
        cli::parse(arguments.iter().map(OsString::from), &Arc::new(environment), "web1").unwrap().into_config();
    let findings = doctor(&config).await;
    for Finding { text, cure, .. } in &findings {
        assert!(!text.contains('\n') && !cure.is_empty(), "{text}: {cure}");
    }
    findings
}

/// The findings of this kind.
fn of(findings: &[Finding], about: About) -> Vec<&Finding> {
    findings.iter().filter(|finding| finding.about == about).collect()
}

/// The findings about entries of our owner. Those about processes are of other tests, which run beside this one.
fn entries(findings: &[Finding]) -> Vec<&Finding> {
    of(findings, About::Owner).into_iter().filter(|finding| !finding.text.starts_with("the processes")).collect()
}

#[tokio::test]
async fn a_host_whose_entries_are_those_of_its_containers_has_no_finding_about_them() {
    let consul = Consul::start().await;
    let name = unique("well");
    let container = Spec::new(&name).publish("80/tcp").start();
    let program = registrator(&consul.uri(), &[]);
    becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;
    program.signal("TERM");
    let uri = consul.uri();
    let arguments = ["-hostname", HOST, "-ip", IP, &uri];
    let findings = found(&arguments, &[]).await;
    for about in
        [About::Engine, About::EngineRights, About::Registry, About::RegistryRights, About::Ttl, About::HostName]
    {
        assert_eq!(of(&findings, about), Vec::<&Finding>::new());
    }
    // Other tests start and end containers meanwhile, so only this one's name is looked at.
    let strays = of(&findings, About::Owner);
    assert!(!strays.iter().any(|finding| finding.text.contains(&name)), "{strays:?}");
    // The agent of the test is one of this host.
    assert_eq!(of(&findings, About::OtherHostsConsul), Vec::<&Finding>::new());
}

#[tokio::test]
async fn entries_of_our_owner_that_nothing_here_stands_for_are_found() {
    let consul = Consul::start().await;
    let stray = json!({
        "ID": "another:web:80", "Name": "web", "Address": "10.9.9.9", "Port": 80,
        "Meta": {"registrator-owner": "doctors-owner"},
    });
    consul.put("/v1/agent/service/register", &stray).await;
    let uri = consul.uri();
    let arguments = ["-owner", "doctors-owner", "-ip", IP, &uri];
    let findings = found(&arguments, &[]).await;
    let [finding] = entries(&findings)[..] else { panic!("{findings:?}") };
    assert!(finding.text.contains("another:web:80") && finding.text.contains("1 entry"), "{finding}");
    assert!(finding.cure.contains("-owner") && finding.cure.contains("-cleanup"), "{finding}");
    for arguments in
        [["-owner", "somebody-else", "-ip", IP, &uri].as_slice(), &[&arguments[..], &["-deregister", "never"]].concat()]
    {
        assert_eq!(entries(&found(arguments, &[]).await), Vec::<&Finding>::new(), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_key_value_store_is_read_and_left_as_it_is() {
    let server = EtcdServer::start().await;
    let uri = format!("etcd3://{}/services", server.address());
    let name = unique("left");
    let owner = ["-owner", name.as_str()];
    let container = Spec::new(&name).publish("80/tcp").start();
    let program = registrator(&uri, &owner);
    let held = || {
        let keys = server.keys("/").into_iter();
        // The sign of life of an instance expires by itself.
        keys.filter(|(key, _)| key.contains(&name) && !key.contains("/alive/")).collect::<Vec<_>>()
    };
    becomes(2, SOON, async || held().len()).await;
    let arguments = ["-hostname", HOST, "-owner", &name, "-ip", IP, &uri];
    let strays = |findings: &[Finding]| -> Vec<String> {
        of(findings, About::Owner).iter().map(|found| found.text.clone()).filter(|text| text.contains(&name)).collect()
    };
    assert!(!strays(&found(&arguments, &[]).await).iter().any(|text| text.contains(&id(&container, "80"))));
    // The daemon dies, then the container ends.
    program.signal("KILL");
    becomes(false, SOON, async || Path::new("/proc").join(program.id().to_string()).join("exe").exists()).await;
    let port = id(&container, "80");
    drop(container);
    let before = held();
    let said = strays(&found(&arguments, &[]).await);
    assert!(said.len() == 1 && said[0].contains(&port), "{said:?}");
    assert_eq!(held(), before, "a question wrote something");
}

#[tokio::test]
async fn two_daemons_of_one_owner_on_one_registry_are_found_by_their_processes() {
    let consul = Consul::start().await;
    let uri = consul.uri();
    let one = registrator(&uri, &["-owner", "twin"]);
    one.wait_for("Syncing services").await;
    let about_twins = |findings: &[Finding]| -> Vec<String> {
        of(findings, About::Owner)
            .iter()
            .map(|found| found.text.clone())
            .filter(|text| text.contains("\"twin\"") && text.contains("processes"))
            .collect()
    };
    let arguments = ["-owner", "twin", "-ip", IP, &uri];
    assert_eq!(about_twins(&found(&arguments, &[]).await), Vec::<String>::new());
    let two = registrator(&uri, &["-owner", "twin"]);
    two.wait_for("Syncing services").await;
    let said = about_twins(&found(&arguments, &[]).await);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(&one.id().to_string()) && said[0].contains(&two.id().to_string()), "{said:?}");
}

#[tokio::test]
async fn what_a_proxy_or_a_registry_refuses_is_named_with_the_missing_right() {
    let consul = Consul::with(consul::Options { acl: true, ..consul::Options::default() }).await;
    let guard = Guard::before(SOCKET.as_ref()).await;
    let docker = format!("unix://{}", guard.path().display());
    let uri = consul.uri();
    let environment = [("DOCKER_HOST", docker.as_str()), ("CONSUL_HTTP_TOKEN", "22222222-dead-beef-0000-000000000000")];
    guard.forbid("/events");
    let findings = found(&["-ip", IP, &uri], &environment).await;
    let refused = of(&findings, About::EngineRights);
    assert_eq!(refused.len(), 1, "{findings:?}");
    assert!(refused[0].text.contains("/events") && refused[0].text.contains("403"), "{findings:?}");
    assert!(refused[0].cure.contains("EVENTS=1"), "{findings:?}");
    let refused = of(&findings, About::RegistryRights);
    assert_eq!(refused.len(), 1, "{findings:?}");
    assert!(refused[0].text.contains("ACL not found") && refused[0].cure.contains("registrator check"), "{findings:?}");
}

#[tokio::test]
async fn what_is_wrong_with_the_settings_is_found_without_any_server() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("docker.sock");
    // Bound, and nobody listens any more.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let docker = format!("unix://{}", socket.display());
    let arguments = [
        "-hostname",
        "0123456789ab",
        "-ip",
        "127.0.0.1",
        "-ttl",
        "30",
        "-ttl-refresh",
        "20",
        "consul://me:hunter2@127.0.0.1:1",
        "embedded://",
    ];
    let findings = found(&arguments, &[("DOCKER_HOST", &docker)]).await;
    let kinds: Vec<_> = findings.iter().map(|finding| finding.about).collect();
    // The TTL of the embedded registry is the same one.
    assert_eq!(kinds, [About::Engine, About::Address, About::HostName, About::Ttl, About::Ttl, About::Registry]);
    assert!(findings[0].text.contains("nothing listens"), "{}", findings[0]);
    assert!(!findings.iter().any(|finding| finding.to_string().contains("hunter2")), "{findings:?}");
}

#[tokio::test]
async fn the_command_finds_a_socket_that_is_stale_where_it_is_mounted() {
    let consul = Consul::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (source, target) = (folder.path().join("docker.sock"), folder.path().join("mounted.sock"));
    std::fs::write(&target, "").unwrap();
    drop(std::os::unix::net::UnixListener::bind(&source).unwrap());
    // As in a container: the socket is mounted alone, and the engine makes another one.
    let script = r#"mount --bind "$1" "$2"; rm "$1"; exec "$0" doctor -ip 192.168.1.102 "$3""#;
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "sh", "-ec", script, env!("CARGO_BIN_EXE_registrator")]);
    command.args([&source, &target]).arg(consul.uri());
    let done = command.env("DOCKER_HOST", format!("unix://{}", target.display())).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert_eq!(done.status.code(), Some(2), "{said} {}", String::from_utf8_lossy(&done.stderr));
    assert!(said.contains("is an old one") && said.contains("cure: restart this container"), "{said}");
}
