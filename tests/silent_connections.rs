//! All pooled connections go silent at once, as behind a firewall that lost its table, while new ones work: one missed
//! deadline is enough to use none of them again.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use registrator::config::{DockerConfig, RegistryConfig};
use registrator::docker::Docker;
use registrator::event::Events;
use registrator::registry::{self, Registry};
use support::{SOON, id, ids, registrator, registrator_with, set};
use testkit::consul::Consul;
use testkit::docker::{SOCKET, Spec, unique};
use testkit::etcd::{EtcdServer, Options};
use testkit::proxy::Cutter;
use testkit::wait::becomes;
use tokio::time::Instant;

/// How many connections are in the pool.
const POOLED: usize = 40;

/// Within what everything works again.
const BACK: Duration = Duration::from_secs(15);

/// Makes so many requests at once that each needs a connection of its own; then those go silent.
async fn silence_pool<F: Future<Output = bool>>(cutter: &Cutter, request: impl Fn() -> F) {
    cutter.delay(Duration::from_millis(500));
    assert!(join_all((0..POOLED).map(|_| request())).await.into_iter().all(|good| good));
    cutter.delay(Duration::ZERO);
    assert!(cutter.connections() >= POOLED, "{} connections", cutter.connections());
    cutter.silence();
}

/// Asks again and again until there is an answer.
async fn answers<F: Future<Output = bool>>(request: impl Fn() -> F) {
    let began = Instant::now();
    while !request().await {}
    assert!(began.elapsed() < BACK, "it took {:?}", began.elapsed());
}

fn opened(uri: String) -> Arc<dyn Registry> {
    let config = RegistryConfig {
        uri,
        owner: "host".to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::default(),
    };
    registry::open(&config, &Events::to_log()).unwrap().registry
}

#[tokio::test]
async fn consul_answers_again_after_one_missed_deadline() {
    let consul = Consul::start().await;
    let cutter = Cutter::tcp(consul.address()).await;
    let registry = opened(format!("consul://{}", cutter.address()));
    let ping = || async { registry.ping().await.is_ok() };
    silence_pool(&cutter, ping).await;
    answers(ping).await;
}

#[tokio::test]
async fn so_does_etcd_by_either_api() {
    let etcd = EtcdServer::with(Options { v2: true, ..Options::default() }).await;
    for scheme in ["etcd2", "etcd3"] {
        let cutter = Cutter::tcp(etcd.address()).await;
        let registry = opened(format!("{scheme}://{}/prefix", cutter.address()));
        let ping = || async { registry.ping().await.is_ok() };
        if scheme == "etcd2" {
            silence_pool(&cutter, ping).await;
        } else {
            // One connection bears everything.
            answers(ping).await;
            cutter.silence();
        }
        answers(ping).await;
    }
}

#[tokio::test]
async fn docker_answers_again_after_one_missed_deadline() {
    let cutter = Cutter::unix(Path::new(SOCKET)).await;
    let docker = Docker::connect(&DockerConfig {
        host: Some(format!("unix://{}", cutter.path().display())),
        tls_verify: false,
        cert_path: None,
        api_version: None,
        keep_inspect: false,
        ip_label: None,
        list_all: false,
        resync: None,
    })
    .await
    .unwrap();
    let list = || async { docker.list().await.is_ok() };
    silence_pool(&cutter, list).await;
    answers(list).await;
}

#[tokio::test]
async fn a_container_is_registered_in_seconds_though_the_connections_to_consul_went_silent() {
    let consul = Consul::start().await;
    let cutter = Cutter::tcp(consul.address()).await;
    let name = unique("silent");
    let first = Spec::new(&format!("{name}-first")).publish("80/tcp").start();
    let _program = registrator(&format!("consul://{}", cutter.address()), &[]);
    becomes(set([id(&first, "80")]), SOON, || ids(&consul, &name)).await;
    cutter.silence();
    let second = Spec::new(&format!("{name}-second")).publish("80/tcp").start();
    becomes(set([id(&first, "80"), id(&second, "80")]), BACK, || ids(&consul, &name)).await;
    // What changes is noticed again, too: the connection on which a change was waited for was silent as well.
    consul.put(&format!("/v1/agent/service/deregister/{}", id(&first, "80")), &serde_json::json!(null)).await;
    becomes(set([id(&first, "80"), id(&second, "80")]), BACK, || ids(&consul, &name)).await;
}

#[tokio::test]
async fn a_resync_registers_in_seconds_though_the_connections_to_docker_went_silent() {
    let consul = Consul::start().await;
    let cutter = Cutter::unix(Path::new(SOCKET)).await;
    let name = unique("mute");
    let first = Spec::new(&format!("{name}-first")).publish("80/tcp").start();
    let host = format!("unix://{}", cutter.path().display());
    let program = registrator_with(&consul.uri(), &[], &[("DOCKER_HOST", &host)]);
    becomes(set([id(&first, "80")]), SOON, || ids(&consul, &name)).await;
    cutter.silence();
    let second = Spec::new(&format!("{name}-second")).publish("80/tcp").start();
    program.signal("HUP");
    becomes(set([id(&first, "80"), id(&second, "80")]), BACK, || ids(&consul, &name)).await;
    // Events are heard again as well.
    drop(second);
    becomes(set([id(&first, "80")]), Duration::from_secs(5), || ids(&consul, &name)).await;
}
