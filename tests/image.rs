//! The container image: run as the replaced program's image was run.

#![allow(clippy::panic, reason = "a test that cannot be set up has failed")]

mod support;

use std::os::unix::fs::MetadataExt;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use support::{SOON, ids, set};
use testkit::consul::Consul;
use testkit::docker::{SOCKET, Spec, ask, unique};
use testkit::wait::becomes;

/// What `dev/image` makes.
const IMAGE: &str = "registrator:dev";

/// Our own container; removed when dropped.
struct Registrator(String);

impl Registrator {
    /// As the documentation has it, but for a name of its own.
    fn run(name: String, arguments: &[&str]) -> Self {
        let group = socket_group().to_string();
        let output = docker_run(&["-d", "--name", &name, "--group-add", &group, "--memory", "256m"], arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self(name)
    }
}

/// Runs the image with the mounts of the replaced program's image.
fn docker_run(options: &[&str], arguments: &[&str]) -> Output {
    let (status, _) = ask("GET", &format!("/images/{IMAGE}/json"), &Value::Null);
    assert_eq!(status, 200, "there is no image {IMAGE}: run dev/image");
    Command::new("docker")
        .args(["run", "--net", "host"])
        .args(options)
        .args(["-v", &format!("{SOCKET}:/tmp/docker.sock"), IMAGE])
        .args(arguments)
        .output()
        .unwrap_or_else(|error| panic!("docker: {error}"))
}

/// The group that may open the engine's socket.
fn socket_group() -> u32 {
    std::fs::metadata(SOCKET).unwrap_or_else(|error| panic!("{SOCKET}: {error}")).gid()
}

impl Drop for Registrator {
    fn drop(&mut self) {
        ask("DELETE", &format!("/containers/{}?force=1&v=1", self.0), &Value::Null);
    }
}

#[tokio::test]
async fn the_image_does_what_the_program_does() {
    let consul = Consul::start().await;
    let name = unique("image");
    let web = Spec::new(&format!("{name}-web")).publish("80/tcp").start();
    let ours =
        Registrator::run(format!("{name}-registrator"), &["-hostname", "box", "-ip", "192.0.2.1", &consul.uri()]);
    let id = format!("box:{}:80", web.name);
    becomes(set([id.as_str()]), SOON, || ids(&consul, &web.name)).await;
    let (_, inspect) = ask("GET", &format!("/containers/{}/json", ours.0), &Value::Null);
    assert_eq!(inspect["Config"]["User"], "65534:65534");
    let process = inspect["State"]["Pid"].as_u64().unwrap_or_default();
    let user = std::fs::metadata(format!("/proc/{process}")).map(|process| process.uid());
    assert!(matches!(user, Ok(65534)), "its process is not of user 65534: {user:?}");
    web.act("kill");
    becomes(set::<String>([]), SOON, || ids(&consul, &web.name)).await;

    // Well before the engine would kill it.
    ask("POST", &format!("/containers/{}/stop?t=30", ours.0), &Value::Null);
    becomes(json!([false, 0]), Duration::from_secs(5), async || {
        let (_, inspect) = ask("GET", &format!("/containers/{}/json", ours.0), &Value::Null);
        json!([inspect["State"]["Running"], inspect["State"]["ExitCode"]])
    })
    .await;
}

#[test]
fn without_the_group_of_the_socket_it_ends_with_the_cure() {
    if socket_group() == 65534 {
        return;
    }
    let output = docker_run(&["--rm"], &["consul://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = log.lines().last().unwrap_or_default();
    assert!(last.contains("/tmp/docker.sock") && last.contains("group"), "{log}");
}
