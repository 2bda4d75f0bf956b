//! `-backend docker`: files from this host's containers, with no store at all.

use std::process::Command;
use std::time::Duration;

use testkit::docker::{Spec, unique};
use testkit::program::Program;

use crate::fixture::{BINARY, Confdir};

/// A resource of one service's addresses, by its keys and by its instances.
fn confdir(service: &str) -> Confdir {
    let confdir = Confdir::new();
    confdir.template(
        "t",
        &format!("{{{{ range getvs \"/{service}/*\" }}}}{{{{ . }}}};{{{{ end }}}}{{{{ range service \"{service}\" }}}} {{{{ .Container }}}}{{{{ end }}}}\n"),
    );
    confdir.resource("t", &format!("src = \"t\"\nkeys = [\"/{service}\"]\n"));
    confdir
}

fn service(name: &str) -> Spec {
    Spec::new(&unique("confd")).env(&format!("SERVICE_NAME={name}")).publish("80/tcp")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_here_is_rendered_once_and_followed() {
    let name = unique("confdweb");
    let confdir = confdir(&name);
    let first = service(&name).start();
    let variables = [("REGISTRATOR_IP", "192.168.1.102")];
    confdir.run_with(&["-onetime", "-backend", "docker"], &variables).well();
    let (port, container) = (first.host_port("80/tcp"), first.inspect()["Name"].as_str().unwrap()[1..].to_owned());
    assert_eq!(confdir.read("t").unwrap(), format!("192.168.1.102:{port}; {container}\n"));
    let path = confdir.path().to_str().unwrap();
    let arguments = ["confd", "-confdir", path, "-backend", "docker", "-watch"];
    let mut confd = Program::start(std::path::Path::new(BINARY), arguments, variables);
    confd.wait_for("INFO Backend set to docker").await;
    drop(first);
    confdir.becomes("t", "\n").await;
    let second = service(&name).start();
    let (port, container) = (second.host_port("80/tcp"), second.inspect()["Name"].as_str().unwrap()[1..].to_owned());
    confdir.becomes("t", &format!("192.168.1.102:{port}; {container}\n")).await;
    assert_eq!(confd.logged("ERROR"), 0, "{:?}", confd.log());
    confd.signal("TERM");
    assert_eq!(confd.ended(Duration::from_secs(5)).await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_gets_a_signal_where_that_is_allowed() {
    let confdir = Confdir::new();
    confdir.template("t", "text\n");
    let container = Spec::new(&unique("confdsignal")).shell("trap 'exit 7' HUP; while :; do sleep 0.1; done").start();
    let name = container.inspect()["Name"].as_str().unwrap()[1..].to_owned();
    confdir.resource("t", &format!("src = \"t\"\nreload_container = \"{name}\"\nreload_signal = \"HUP\"\n"));
    let refused = confdir.run(&["-onetime", "-backend", "env"]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.said().iter().any(|line| line.starts_with("ERROR ") && line.contains("-allow-signals")));
    confdir.run(&["-onetime", "-backend", "env", "-allow-signals"]).well();
    testkit::wait::becomes(Some(7), crate::fixture::SOON, async || {
        container.inspect()["State"]["ExitCode"].as_i64().filter(|code| *code != 0)
    })
    .await;
}

#[test]
fn an_engine_that_is_not_there_is_fatal() {
    let confdir = Confdir::new();
    let output = Command::new(BINARY)
        .args(["confd", "-onetime", "-backend", "docker", "-confdir"])
        .arg(confdir.path())
        .env_clear()
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8(output.stderr).unwrap();
    assert!(log.lines().last().unwrap().contains("]: FATAL "), "{log}");
}
