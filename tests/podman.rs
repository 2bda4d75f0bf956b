//! Podman is an engine like any other: its own socket, its own words, the same entries.

mod support;

use serde_json::json;
use support::{HOST, SOON, ids, registrator_with, services, set};
use testkit::consul::Consul;
use testkit::docker::unique;
use testkit::podman::Podman;
use testkit::wait::becomes;

#[tokio::test]
async fn what_podman_runs_is_registered_and_goes_when_it_ends_or_its_service_was_away() {
    let consul = Consul::start().await;
    let mut podman = Podman::start();
    let host = format!("unix://{}", podman.socket().display());
    let name = unique("pod");
    let id = |suffix: &str, port: &str| format!("{HOST}:{name}-{suffix}:{port}");
    let before = podman.container(&format!("{name}-before"), &["-p", "80", "-e", "SERVICE_TAGS=a,b"]);

    let program = registrator_with(&consul.uri(), &[], &[("DOCKER_HOST", &host)]);
    becomes(set([id("before", "80")]), SOON, || ids(&consul, &name)).await;
    let published = podman.run(&["port", &before, "80/tcp"]);
    let port: u16 = published.rsplit(':').next().and_then(|port| port.parse().ok()).unwrap_or_default();
    let service = &services(&consul, &name).await[&id("before", "80")];
    assert_eq!((&service["Service"], &service["Port"]), (&json!("web"), &json!(port)));
    assert_eq!(service["Tags"], json!(["a", "b"]));

    podman.container(&format!("{name}-after"), &["-p", "9100"]);
    becomes(set([id("before", "80"), id("after", "9100")]), SOON, || ids(&consul, &name)).await;
    podman.run(&["kill", &before]);
    becomes(set([id("after", "9100")]), SOON, || ids(&consul, &name)).await;

    podman.stop();
    podman.run(&["kill", &format!("{name}-after")]);
    podman.container(&format!("{name}-meanwhile"), &["-p", "9101"]);
    podman.serve();
    becomes(set([id("meanwhile", "9101")]), SOON, || ids(&consul, &name)).await;
    program.wait_for("Listening for Docker events ...").await;
}
