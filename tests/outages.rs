//! What breaks is survived: registries and engines that go, hang, forget and come back.

mod support;

use std::time::Duration;

use serde_json::json;
use support::{SOON, id, ids, registrator, registrator_with, set};
use testkit::consul::Consul;
use testkit::docker::{SOCKET, Spec, unique};
use testkit::http::Request;
use testkit::proxy::{Cutter, HttpRecorder, Mode};
use testkit::wait::{becomes, stays};

#[tokio::test]
async fn a_consul_that_restarts_with_nothing_is_filled_again_in_seconds() {
    let mut consul = Consul::start().await;
    let name = unique("wiped");
    let container = Spec::new(&name).publish("80/tcp").start();
    let _program = registrator(&consul.uri(), &[]);
    becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;
    consul.kill();
    consul.restart().await;
    becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;
}

#[tokio::test]
async fn containers_that_come_and_go_while_consul_is_down_are_caught_up_with() {
    let consul = Consul::start().await;
    let name = unique("down");
    let stays_up = Spec::new(&format!("{name}-stays")).publish("80/tcp").start();
    let goes = Spec::new(&format!("{name}-goes")).publish("80/tcp").start();
    let program = registrator(&consul.uri(), &[]);
    becomes(set([id(&stays_up, "80"), id(&goes, "80")]), SOON, || ids(&consul, &name)).await;
    consul.freeze();
    drop(goes);
    let comes = Spec::new(&format!("{name}-comes")).publish("80/tcp").start();
    program.wait_for("trying again").await;
    consul.thaw();
    becomes(set([id(&stays_up, "80"), id(&comes, "80")]), SOON, || ids(&consul, &name)).await;
    program.wait_for("reached again").await;
}

#[tokio::test]
async fn what_another_hand_removes_is_there_again_without_a_resync() {
    let consul = Consul::start().await;
    let name = unique("foreign");
    let container = Spec::new(&name).publish("80/tcp").start();
    let program = registrator(&consul.uri(), &[]);
    becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;
    consul.put(&format!("/v1/agent/service/deregister/{}", id(&container, "80")), &json!(null)).await;
    let line = format!("added: {} {}", container.short(), id(&container, "80"));
    becomes(2, SOON, async || program.logged(&line)).await;
    becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;
}

#[tokio::test]
async fn behind_a_proxy_without_blocking_queries_a_resync_repairs_and_nothing_is_hammered() {
    let consul = Consul::start().await;
    let recorder = HttpRecorder::start(consul.address()).await;
    recorder.set(Mode::IgnoreIndex);
    let name = unique("plain");
    let container = Spec::new(&name).publish("80/tcp").start();
    let _program = registrator(&format!("consul://{}", recorder.address()), &["-resync", "5"]);
    becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;
    consul.put(&format!("/v1/agent/service/deregister/{}", id(&container, "80")), &json!(null)).await;
    becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;
    recorder.forget();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let watched = recorder.count("GET", "/v1/catalog/node/");
    // Once a second at most, however much other tests change meanwhile.
    assert!(watched <= 13, "{watched} watch requests in 10 s");
}

#[tokio::test]
async fn a_resync_writes_nothing_when_nothing_changed() {
    let consul = Consul::start().await;
    let recorder = HttpRecorder::start(consul.address()).await;
    let name = unique("quiet");
    let containers: Vec<_> = (0..5)
        .map(|number| {
            Spec::new(&format!("{name}-{number}"))
                .publish("80/tcp")
                .publish("53/udp")
                .env("SERVICE_CHECK_HTTP=/")
                .env("SERVICE_X=ü y")
                .start()
        })
        .collect();
    let uri = format!("consul://{}", recorder.address());
    let program = registrator(&uri, &["-resync", "1", "-cleanup"]);
    becomes(10, SOON, async || ids(&consul, &name).await.len()).await;
    let writes = || {
        let concerns_us =
            |request: &Request| request.path.contains(&name) || String::from_utf8_lossy(&request.body).contains(&name);
        let requests = recorder.requests();
        recorder.forget();
        requests.iter().filter(|request| request.method == "PUT" && concerns_us(request)).count()
    };
    assert_eq!(writes(), 10);
    let syncs = program.logged("Syncing services");
    becomes(true, SOON, async || program.logged("Syncing services") >= syncs + 3).await;
    assert_eq!(writes(), 0, "at a resync");
    drop(program);
    let program = registrator(&uri, &["-cleanup"]);
    program.wait_for("Syncing services").await;
    stays("unwritten", Duration::from_secs(2), async || writes() == 0).await;
    drop(containers);
}

#[tokio::test]
async fn a_cut_and_restored_engine_socket_loses_nothing() {
    let consul = Consul::start().await;
    let mut cutter = Cutter::unix(SOCKET.as_ref()).await;
    let docker = format!("unix://{}", cutter.path().display());
    let name = unique("cut");
    let dies = Spec::new(&format!("{name}-dies")).publish("80/tcp").start();
    let remains = Spec::new(&format!("{name}-remains")).publish("80/tcp").start();
    let program = registrator_with(&consul.uri(), &[], &[("DOCKER_HOST", &docker)]);
    becomes(set([id(&dies, "80"), id(&remains, "80")]), SOON, || ids(&consul, &name)).await;
    cutter.refuse().await;
    program.wait_for("is lost").await;
    drop(dies);
    let comes = Spec::new(&format!("{name}-comes")).publish("80/tcp").start();
    // Nothing is removed for want of an engine.
    stays("what was there", Duration::from_secs(2), async || ids(&consul, &name).await.contains(&id(&remains, "80")))
        .await;
    cutter.restore().await;
    becomes(set([id(&comes, "80"), id(&remains, "80")]), SOON, || ids(&consul, &name)).await;
}

#[tokio::test]
async fn a_consul_that_never_answers_ends_the_start_with_one_line() {
    let consul = Consul::start().await;
    let recorder = HttpRecorder::start(consul.address()).await;
    recorder.set(Mode::Hang);
    let mut program = registrator(&format!("consul://{}", recorder.address()), &[]);
    assert_eq!(program.ended(SOON).await.code(), Some(1));
    assert_eq!(program.logged("no answer in time"), 1, "{:?}", program.log());
}

#[tokio::test]
async fn a_consul_that_stops_answering_delays_neither_another_registry_nor_the_end() {
    let (consul, well) = (Consul::start().await, Consul::start().await);
    let recorder = HttpRecorder::start(consul.address()).await;
    let name = unique("hung");
    let uri = format!("consul://{}", recorder.address());
    let well_uri = well.uri();
    let mut program = registrator(&uri, &[&well_uri]);
    let first = Spec::new(&format!("{name}-1")).publish("80/tcp").start();
    becomes(set([id(&first, "80")]), SOON, || ids(&consul, &name)).await;
    recorder.set(Mode::Hang);
    let second = Spec::new(&format!("{name}-2")).publish("80/tcp").start();
    becomes(set([id(&first, "80"), id(&second, "80")]), Duration::from_secs(8), || ids(&well, &name)).await;
    drop(first);
    becomes(set([id(&second, "80")]), Duration::from_secs(8), || ids(&well, &name)).await;
    program.signal("TERM");
    assert_eq!(program.ended(Duration::from_secs(3)).await.code(), Some(0));
    assert_eq!(json!(ids(&consul, &name).await.len()), 1);
}
