//! A registry behind a network that loses every packet, or with no room left: we stay, say so, and in the end
//! every entry is right.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use support::{HOST, IP, SOON, id, ids, registrator, set};
use testkit::consul::{self, Consul};
use testkit::docker::{Container, SOCKET, Spec, unique};
use testkit::etcd::{EtcdServer, Options};
use testkit::island::Island;
use testkit::program::Program;
use testkit::wait::{becomes, eventually};
#[cfg(feature = "zookeeper")]
use testkit::zookeeper::ZooKeeper;

/// What is lost takes its time to be noticed: no answer is no answer only after a deadline.
const PATIENCE: Duration = Duration::from_secs(60);

fn on(island: &Island, uri: &str) -> Program {
    let docker = format!("unix://{SOCKET}");
    let arguments = ["-hostname", HOST, "-ip", IP, uri];
    island.run(Path::new(env!("CARGO_BIN_EXE_registrator")), &arguments, &[("DOCKER_HOST", &docker)])
}

#[tokio::test]
async fn a_consul_that_is_cut_off_without_a_word_is_caught_up_with_and_so_is_one_that_forgot_us() {
    let consul = Consul::start().await;
    let island = Island::before(consul.address()).await;
    let name = unique("island");
    let stays_up = Spec::new(&format!("{name}-stays")).publish("80/tcp").start();
    let goes = Spec::new(&format!("{name}-goes")).publish("80/tcp").start();
    let program = on(&island, &format!("consul://{}", island.address()));
    becomes(set([id(&stays_up, "80"), id(&goes, "80")]), SOON, || ids(&consul, &name)).await;

    island.cut();
    drop(goes);
    let comes = Spec::new(&format!("{name}-comes")).publish("80/tcp").start();
    eventually("it says so", PATIENCE, async || (program.logged("trying again") > 0).then_some(())).await;
    island.forget_connections();
    island.restore();
    becomes(set([id(&stays_up, "80"), id(&comes, "80")]), PATIENCE, || ids(&consul, &name)).await;
    eventually("it says so", SOON, async || (program.logged("reached again") > 0).then_some(())).await;

    // Half open: the other side forgets every connection, and nothing tells us so until we use one.
    island.cut();
    island.forget_connections();
    island.restore();
    drop(comes);
    becomes(set([id(&stays_up, "80")]), PATIENCE, || ids(&consul, &name)).await;
    assert_eq!(program.logged(&format!("added: {}", stays_up.short())), 1);
    assert_eq!(program.logged("panicked"), 0);
}

#[cfg(feature = "zookeeper")]
#[tokio::test]
async fn a_zookeeper_that_is_cut_off_without_a_word_is_caught_up_with() {
    let zookeeper = ZooKeeper::start().await;
    let island = Island::before(zookeeper.address()).await;
    let name = unique("island");
    let spec = |what: &str| Spec::new(&format!("{name}-{what}")).publish("80/tcp").env(&format!("SERVICE_NAME={name}"));
    let stays_up = spec("stays").start();
    let goes = spec("goes").start();
    let program = on(&island, &format!("zookeeper://{}/services", island.address()));
    let names = async || {
        let nodes = zookeeper.nodes(&format!("/services/{name}")).await;
        nodes.into_keys().filter_map(|path| Some(path.rsplit_once(':')?.1.to_owned())).collect::<BTreeSet<_>>()
    };
    let port = |container: &Container| container.host_port("80/tcp").to_string();
    becomes(set([port(&stays_up), port(&goes)]), SOON, names).await;

    island.cut();
    drop(goes);
    let comes = spec("comes").start();
    eventually("it says so", PATIENCE, async || (program.logged("trying again") > 0).then_some(())).await;
    island.forget_connections();
    island.restore();
    becomes(set([port(&stays_up), port(&comes)]), PATIENCE, names).await;
    assert_eq!(program.logged("panicked"), 0);
}

#[tokio::test]
async fn an_etcd_that_is_cut_off_without_a_word_lets_go_of_what_has_a_ttl_and_is_caught_up_with() {
    let etcd = EtcdServer::start().await;
    let island = Island::before(etcd.address()).await;
    let name = unique("island");
    let spec = |what: &str| Spec::new(&format!("{name}-{what}")).publish("80/tcp");
    let stays_up = spec("stays").start();
    let goes = spec("goes").start();
    let uri = format!("etcd3://{}/services?ttl=10", island.address());
    let program = on(&island, &uri);
    let held = async || etcd.keys("/services").into_keys().filter(|key| key.contains(&name)).collect::<BTreeSet<_>>();
    let keys = |containers: &[&Container]| -> BTreeSet<String> {
        containers.iter().map(|container| format!("/services/web/{}", id(container, "80"))).collect()
    };
    becomes(keys(&[&stays_up, &goes]), SOON, held).await;

    island.cut();
    becomes(BTreeSet::new(), PATIENCE, held).await;
    let comes = spec("comes").start();
    drop(goes);
    eventually("it says so", PATIENCE, async || (program.logged("trying again") > 0).then_some(())).await;
    island.forget_connections();
    island.restore();
    becomes(keys(&[&stays_up, &comes]), PATIENCE, held).await;
    assert_eq!(program.logged("panicked"), 0);
}

#[tokio::test]
async fn a_consul_with_a_full_disk_is_caught_up_with_when_there_is_room() {
    let consul = Consul::with(consul::Options { disk: Some(20), ..consul::Options::default() }).await;
    let name = unique("disk");
    let goes = Spec::new(&format!("{name}-goes")).publish("80/tcp").start();
    let program = registrator(&consul.uri(), &[]);
    becomes(set([id(&goes, "80")]), SOON, || ids(&consul, &name)).await;
    consul.fill();
    let comes = Spec::new(&format!("{name}-comes")).publish("80/tcp").start();
    program.wait_for("no space left on device").await;
    drop(goes);
    consul.make_room();
    becomes(set([id(&comes, "80")]), PATIENCE, || ids(&consul, &name)).await;
    assert_eq!(program.logged("panicked"), 0);
}

#[tokio::test]
async fn an_etcd_without_room_is_said_once_and_caught_up_with_when_there_is_some() {
    let etcd = EtcdServer::with(Options { quota: Some(3 << 20), ..Options::default() }).await;
    let name = unique("room");
    let goes = Spec::new(&format!("{name}-goes")).publish("80/tcp").start();
    let uri = format!("etcd3://{}/services", etcd.address());
    let program = registrator(&uri, &[]);
    let held = async || etcd.keys("/services").into_keys().filter(|key| key.contains(&name)).collect::<BTreeSet<_>>();
    let keys = |containers: &[&Container]| -> BTreeSet<String> {
        containers.iter().map(|container| format!("/services/web/{}", id(container, "80"))).collect()
    };
    becomes(keys(&[&goes]), SOON, held).await;
    etcd.fill();
    let comes = Spec::new(&format!("{name}-comes")).publish("80/tcp").start();
    program.wait_for("space exceeded").await;
    etcd.make_room();
    drop(goes);
    becomes(keys(&[&comes]), PATIENCE, held).await;
    assert_eq!(program.logged("panicked"), 0);
    let said = program.logged("space exceeded");
    assert!(said <= 4, "said {said} times");
}
