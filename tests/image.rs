//! The container image: run as the replaced program's image was run.

#![allow(clippy::panic, reason = "a test that cannot be set up has failed")]

mod support;

use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use support::{SOON, ids, set};
use testkit::consul::Consul;
use testkit::docker::{Spec, ask, unique};
use testkit::wait::becomes;

/// What `dev/image` makes.
const IMAGE: &str = "registrator:dev";

/// Our own container; removed when dropped.
struct Registrator(String);

impl Registrator {
    /// As the replaced program's documentation has it, but for a name of its own.
    fn run(name: String, arguments: &[&str]) -> Self {
        let (status, _) = ask("GET", &format!("/images/{IMAGE}/json"), &Value::Null);
        assert_eq!(status, 200, "there is no image {IMAGE}: run dev/image");
        let output = Command::new("docker")
            .args(["run", "-d", "--name", &name, "--net", "host"])
            .args(["-v", "/var/run/docker.sock:/tmp/docker.sock", IMAGE])
            .args(arguments)
            .output()
            .unwrap_or_else(|error| panic!("docker: {error}"));
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self(name)
    }
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
