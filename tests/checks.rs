//! Health checks: each kind is handed to Consul as it is documented, and does what it says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::time::Duration;

use serde_json::{Value, json};
use support::{SOON, id, registrator, registrator_with};
use testkit::consul::{Consul, Options};
use testkit::docker::{Spec, unique};
use testkit::engine::{FakeContainer, FakeEngine};
use testkit::wait::{becomes, stays};

/// The check of a service, as Consul's agent lists it.
async fn check(consul: &Consul, service: &str) -> Value {
    consul.checks().await.get(&format!("service:{service}")).cloned().unwrap_or_default()
}

async fn status(consul: &Consul, service: &str) -> Value {
    check(consul, service).await["Status"].clone()
}

/// A container that answers HTTP on port 80, reached through the address of its binding.
fn server(name: &str) -> Spec {
    Spec::new(name)
        .publish_at("80/tcp", "127.0.0.1", "")
        .env("SERVICE_IP=127.0.0.1")
        .env("SERVICE_CHECK_INTERVAL=1s")
        .shell("mkdir -p /www && echo fine > /www/health && httpd -f -p 80 -h /www")
}

#[tokio::test]
async fn http_and_tcp_checks_follow_what_the_container_answers() {
    let consul = Consul::start().await;
    let _program = registrator(&consul.uri(), &[]);
    let name = unique("check");
    let well =
        server(&format!("{name}-well")).env("SERVICE_CHECK_HTTP=/health").env("SERVICE_CHECK_TIMEOUT=1s").start();
    let ill = server(&format!("{name}-ill")).env("SERVICE_80_CHECK_HTTP=missing").start();
    let open = server(&format!("{name}-open")).env("SERVICE_CHECK_TCP=true").start();
    let https = server(&format!("{name}-https")).env("SERVICE_CHECK_HTTPS=/health").start();
    let grpc = server(&format!("{name}-grpc")).env("SERVICE_CHECK_GRPC=true").start();
    becomes(json!("passing"), SOON, async || status(&consul, &id(&well, "80")).await).await;
    becomes(json!("passing"), SOON, async || status(&consul, &id(&open, "80")).await).await;
    for (container, kind) in [(&ill, "http"), (&https, "http"), (&grpc, "grpc")] {
        let id = id(container, "80");
        becomes(json!(kind), SOON, async || check(&consul, &id).await["Type"].clone()).await;
        // Consul begins with critical; that it was asked shows in what it says of it.
        let probed = async || check(&consul, &id).await["Output"] != json!("");
        becomes(true, SOON, probed).await;
        assert_eq!(status(&consul, &id).await, "critical", "{kind}");
    }
    let output = check(&consul, &id(&ill, "80")).await["Output"].clone();
    assert!(output.as_str().unwrap().contains("404"), "{output}");
    let url = format!("http://127.0.0.1:{}/missing", ill.host_port("80/tcp"));
    assert!(output.as_str().unwrap().contains(&url), "{output}");
}

#[tokio::test]
async fn a_ttl_check_is_the_applications_to_keep_passing() {
    let consul = Consul::start().await;
    let _program = registrator(&consul.uri(), &["-resync", "1"]);
    let name = unique("app");
    let container = Spec::new(&name).publish("80/tcp").env("SERVICE_CHECK_TTL=6s").start();
    let id = id(&container, "80");
    becomes(json!("critical"), SOON, || status(&consul, &id)).await;
    let heartbeat = format!("/v1/agent/check/pass/service:{id}");
    consul.put(&heartbeat, &Value::Null).await;
    stays("passing", Duration::from_secs(4), async || status(&consul, &id).await == "passing").await;
    // An application that stops is found out.
    becomes(json!("critical"), SOON, || status(&consul, &id)).await;
    stays("critical", Duration::from_secs(7), async || status(&consul, &id).await == "critical").await;
}

#[tokio::test]
async fn with_a_heartbeat_of_ours_a_ttl_check_passes_for_as_long_as_the_container_runs_and_we_do() {
    let consul = Consul::start().await;
    let program = registrator(&consul.uri(), &[]);
    let name = unique("ttl");
    let container = Spec::new(&name)
        .publish("80/tcp")
        .env("SERVICE_CHECK_TTL=3s")
        .env("SERVICE_CHECK_TTL_HEARTBEAT=container")
        .start();
    let id = id(&container, "80");
    becomes(json!("passing"), SOON, || status(&consul, &id)).await;
    stays("passing", Duration::from_secs(8), async || status(&consul, &id).await == "passing").await;
    // When we die, it is not passing for long.
    program.signal("KILL");
    becomes(json!("critical"), SOON, || status(&consul, &id)).await;
    // And a new run of ours, which finds the entry right, lets it pass again.
    let _program = registrator(&consul.uri(), &[]);
    becomes(json!("passing"), SOON, || status(&consul, &id)).await;
}

#[tokio::test]
async fn what_consul_removes_for_being_critical_stays_removed_until_its_container_starts_again() {
    let consul = Consul::start().await;
    let engine = FakeEngine::start().await;
    // Nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let container = FakeContainer::new("dead").image("dead").publish_on("80/tcp", "127.0.0.1", port);
    let container =
        container.env("SERVICE_IP=127.0.0.1").env("SERVICE_CHECK_TCP=true").env("SERVICE_CHECK_INTERVAL=1s");
    // What would show it as passing again, each time that it is registered.
    let container = container.env("SERVICE_CHECK_INITIAL_STATUS=passing").env("SERVICE_CHECK_DEREGISTER_AFTER=60s");
    let container = engine.run(container);
    let program = registrator_with(&consul.uri(), &["-resync", "5"], &[("DOCKER_HOST", &engine.host())]);
    let held = async || consul.services().await.contains_key("hostname:dead:80");
    becomes(true, SOON, held).await;
    // Consul looks every half minute for what to remove.
    becomes(false, Duration::from_secs(150), held).await;
    program.wait_for("CHECK_DEREGISTER_AFTER").await;
    stays("removed", Duration::from_secs(20), async || !held().await).await;
    assert_eq!(program.logged("added: "), 1);
    engine.stop(&container, 1);
    // The engine of this test does not say when a container started, so its end must be seen before it starts again.
    stays("removed", Duration::from_secs(3), async || !held().await).await;
    engine.start_container(&container);
    becomes(true, SOON, held).await;
}

#[tokio::test]
async fn script_and_command_checks_are_handed_to_consul_which_decides_whether_to_run_them() {
    let consul = Consul::with(Options { script_checks: true, ..Options::default() }).await;
    let _program = registrator(&consul.uri(), &[]);
    let name = unique("script");
    let script = server(&format!("{name}-script"))
        .env("SERVICE_CHECK_SCRIPT=test \"$SERVICE_IP\" = 127.0.0.1 && echo at $SERVICE_PORT")
        .start();
    let command = server(&format!("{name}-cmd")).env("SERVICE_CHECK_CMD=/bin/true").start();
    becomes(json!("passing"), SOON, async || status(&consul, &id(&script, "80")).await).await;
    let output = check(&consul, &id(&script, "80")).await["Output"].clone();
    assert_eq!(output.as_str().unwrap().trim(), format!("at {}", script.host_port("80/tcp")));
    // There is no check-cmd on this machine: that Consul looked for it is what can be seen.
    let output = async || check(&consul, &id(&command, "80")).await["Output"].to_string().contains("check-cmd");
    becomes(true, SOON, output).await;
}

#[tokio::test]
async fn a_consul_that_runs_no_scripts_costs_that_service_alone() {
    let consul = Consul::start().await;
    let program = registrator(&consul.uri(), &[]);
    let name = unique("noscript");
    let script = server(&format!("{name}-script")).env("SERVICE_CHECK_SCRIPT=true").start();
    let plain =
        server(&format!("{name}-plain")).env("SERVICE_CHECK_INITIAL_STATUS=warning").env("SERVICE_CHECK_TCP=1").start();
    program.wait_for(&format!("register failed: {}", id(&script, "80"))).await;
    becomes(json!("passing"), SOON, async || status(&consul, &id(&plain, "80")).await).await;
}

#[tokio::test]
async fn a_check_that_changed_while_we_were_away_is_written_again() {
    let consul = Consul::start().await;
    let name = unique("recheck");
    let spec = || Spec::new(&name).publish_at("80/tcp", "127.0.0.1", "").env("SERVICE_PORT=80");
    let container = spec().env("SERVICE_CHECK_HTTP=/old").start();
    let id = id(&container, "80");
    let program = registrator(&consul.uri(), &[]);
    let notes = async || check(&consul, &id).await["Notes"].to_string();
    becomes(true, SOON, async || notes().await.contains("/old")).await;
    drop(program);
    drop(container);
    let _container = spec().env("SERVICE_CHECK_HTTP=/new").start();
    let _program = registrator(&consul.uri(), &[]);
    becomes(true, SOON, async || notes().await.contains("/new")).await;
}
