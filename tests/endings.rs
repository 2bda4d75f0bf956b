//! What becomes of entries when we end, and when containers pause or end and their entries stay:
//! `-on-shutdown`, `-deregister never`, and Consul's maintenance mode in between.

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use support::{HOST, SOON, id, ids, registrator, registrator_with_uris, set};
use testkit::consul::Consul;
use testkit::docker::{Spec, unique};
use testkit::wait::{becomes, stays};
#[cfg(feature = "zookeeper")]
use testkit::zookeeper::ZooKeeper;

/// How long a stop may take, with what a busy machine adds to it.
const STOP: Duration = Duration::from_secs(4);

/// The services of this test that are in maintenance mode, with the reason.
async fn marks(consul: &Consul, mark: &str) -> BTreeMap<String, String> {
    let checks = consul.checks().await.into_iter();
    checks
        .filter_map(|(id, check)| {
            assert!(!id.starts_with("_service_maintenance:") || check["Status"] == "critical");
            let service = id.strip_prefix("_service_maintenance:").filter(|id| id.contains(mark))?;
            Some((service.to_owned(), check["Notes"].as_str().unwrap_or_default().to_owned()))
        })
        .collect()
}

fn marked<const N: usize>(services: [(String, &str); N]) -> BTreeMap<String, String> {
    services.into_iter().map(|(id, why)| (id, format!("registrator: {why}"))).collect()
}

#[tokio::test]
async fn on_shutdown_deregister_removes_what_is_ours_from_every_registry_though_one_hangs() {
    let consuls = [Consul::start().await, Consul::start().await, Consul::start().await];
    let name = unique("leave");
    let one = Spec::new(&format!("{name}-one")).publish("80/tcp").start();
    let two = Spec::new(&format!("{name}-two")).publish("80/tcp").start();
    let theirs = json!({"ID": format!("{name}-theirs"), "Name": "x", "Meta": {"registrator-owner": "another"}});
    let nobodys = json!({"ID": format!("{HOST}:{name}:1"), "Name": "x"});
    for service in [&theirs, &nobodys] {
        consuls[0].put("/v1/agent/service/register", service).await;
    }
    let uris: Vec<_> = consuls.iter().map(Consul::uri).collect();
    let all = set([id(&one, "80"), id(&two, "80")]);
    for signal in ["TERM", "INT"] {
        let mut program = registrator_with_uris(&uris, &["-on-shutdown", "deregister"]);
        for consul in &consuls {
            becomes(true, SOON, async || ids(consul, &name).await.is_superset(&all)).await;
        }
        consuls[1].freeze();
        program.signal(signal);
        assert_eq!(program.ended(STOP).await.code(), Some(0), "{signal}");
        consuls[1].thaw();
        let left = set([format!("{name}-theirs"), format!("{HOST}:{name}:1")]);
        assert_eq!(ids(&consuls[0], &name).await, left);
        assert_eq!(ids(&consuls[2], &name).await, set::<String>([]));
        program.wait_for(&format!("removed: {} {}", one.short(), id(&one, "80"))).await;
        program.wait_for(&format!("{}: gave no answer in time: ", consuls[1].uri())).await;
    }
}

#[cfg(feature = "zookeeper")]
#[tokio::test]
async fn on_shutdown_critical_marks_what_is_ours_and_the_next_start_undoes_it() {
    let consul = Consul::start().await;
    let zookeeper = ZooKeeper::start().await;
    let name = unique("critical");
    let container = Spec::new(&name).publish("80/tcp").start();
    let theirs = json!({"ID": format!("{name}-theirs"), "Name": "x", "Meta": {"registrator-owner": "another"}});
    consul.put("/v1/agent/service/register", &theirs).await;
    let uris = [consul.uri(), format!("zookeeper://{}/services", zookeeper.address())];
    let mut program = registrator_with_uris(&uris, &["-on-shutdown", "critical"]);
    program.wait_for_count(&format!("added: {} ", container.short()), 2).await;
    program.signal("TERM");
    assert_eq!(program.ended(STOP).await.code(), Some(0));
    program.wait_for("its entries stay as they are: it has no health").await;
    let expected = marked([(id(&container, "80"), "registrator was stopped")]);
    assert_eq!(marks(&consul, &name).await, expected);
    let passing = consul.get("/v1/health/service/web?passing").await;
    assert!(!passing.to_string().contains(&name), "{passing}");

    let _program = registrator(&consul.uri(), &["-on-shutdown", "critical"]);
    becomes(marked([]), SOON, || marks(&consul, &name)).await;
    assert_eq!(ids(&consul, &name).await, set([id(&container, "80"), format!("{name}-theirs")]));
}

#[tokio::test]
async fn a_paused_container_is_critical_and_a_maintenance_by_hand_is_left_alone() {
    let consul = Consul::start().await;
    let name = unique("pause");
    let container = Spec::new(&format!("{name}-a")).publish("80/tcp").start();
    let by_hand = Spec::new(&format!("{name}-b")).publish("80/tcp").start();
    let program = registrator(&consul.uri(), &[]);
    becomes(set([id(&container, "80"), id(&by_hand, "80")]), SOON, || ids(&consul, &name)).await;
    let path = format!("/v1/agent/service/maintenance/{}?enable=true&reason=works", id(&by_hand, "80"));
    consul.put(&path, &json!(null)).await;
    let works = (id(&by_hand, "80"), "works".to_owned());
    becomes(BTreeMap::from([works.clone()]), SOON, || marks(&consul, &name)).await;

    container.act("pause");
    by_hand.act("pause");
    let mut expected = marked([(id(&container, "80"), "its container is paused")]);
    expected.extend([works.clone()]);
    becomes(expected, SOON, || marks(&consul, &name)).await;
    container.act("unpause");
    by_hand.act("unpause");
    becomes(BTreeMap::from([works]), SOON, || marks(&consul, &name)).await;
    program.wait_for(&format!("no longer critical: {} {}", container.short(), id(&container, "80"))).await;
    assert_eq!(program.logged(&format!("added: {} ", container.short())), 1, "nothing was registered twice");
}

#[tokio::test]
async fn never_keeps_what_ended_or_is_gone_as_critical_until_it_is_cleaned_up() {
    let consul = Consul::start().await;
    let name = unique("never");
    let run = |what: &str| Spec::new(&format!("{name}-{what}")).publish("80/tcp").start();
    let (ended, gone, runs) = (run("ended"), run("gone"), run("runs"));
    let all = [&ended, &gone, &runs].map(|container| id(container, "80"));
    let never = ["-deregister", "never"];
    let program = registrator(&consul.uri(), &never);
    becomes(set(all.clone()), SOON, || ids(&consul, &name)).await;
    ended.act("stop?t=5");
    gone.remove();
    let why = "its container ended";
    let expected = marked([(all[0].clone(), why), (all[1].clone(), why)]);
    becomes(expected.clone(), SOON, || marks(&consul, &name)).await;
    drop(program);

    // So it stays over a restart and a resync of ours; what starts again is good again.
    let program = registrator(&consul.uri(), &[&never[..], &["-resync", "1"]].concat());
    program.wait_for_count("Syncing services", 3).await;
    assert_eq!(ids(&consul, &name).await, set(all.clone()));
    assert_eq!(marks(&consul, &name).await, expected);
    ended.act("start");
    becomes(marked([(all[1].clone(), why)]), SOON, || marks(&consul, &name)).await;
    ended.act("stop?t=5");
    becomes(expected.clone(), SOON, || marks(&consul, &name)).await;
    drop(program);

    // A cleanup removes what no container is there for, and that alone.
    let _program = registrator(&consul.uri(), &[&never[..], &["-cleanup"]].concat());
    becomes(set([all[0].clone(), all[2].clone()]), SOON, || ids(&consul, &name)).await;
    stays("the one that ended", Duration::from_secs(1), async || ids(&consul, &name).await.len() == 2).await;
}

#[cfg(feature = "zookeeper")]
#[tokio::test]
async fn what_is_told_to_stop_is_critical_first_and_goes_when_it_has_ended() {
    let consul = Consul::start().await;
    let zookeeper = ZooKeeper::start().await;
    let name = unique("drain");
    // One that takes its time to end, one that never does, and one that ends at once.
    let slow = "trap 'sleep 3; exit 0' TERM; while :; do sleep 1 & wait; done";
    let deaf = "trap '' TERM; while :; do sleep 1 & wait; done";
    let slow = Spec::new(&format!("{name}-slow")).publish("80/tcp").shell(slow).start();
    let deaf = Spec::new(&format!("{name}-deaf")).publish("80/tcp").shell(deaf).with("StopTimeout", json!(1)).start();
    let quick = Spec::new(&format!("{name}-quick")).publish("80/tcp").start();
    let killed = Spec::new(&format!("{name}-killed")).publish("80/tcp").start();
    let uris = [consul.uri(), format!("zookeeper://{}/services", zookeeper.address())];
    let program = registrator_with_uris(&uris, &["-drain", "2"]);
    let all = [&slow, &deaf, &quick, &killed].map(|container| id(container, "80"));
    becomes(set(all.clone()), SOON, || ids(&consul, &name)).await;
    program.wait_for_count(&format!("{name}-killed:80"), 2).await;

    // A hangup is no stop.
    slow.act("kill?signal=HUP");
    killed.act("kill");
    becomes(set(all[..3].to_vec()), SOON, || ids(&consul, &name)).await;
    assert_eq!(marks(&consul, &name).await, marked([]));

    for container in [&slow, &deaf, &quick] {
        container.act("kill?signal=TERM");
    }
    for container in [&slow, &deaf, &quick] {
        let id = id(container, "80");
        program.wait_for(&format!("critical: {} {id}: its container was told to stop", container.short())).await;
    }
    // Where there is no health, it goes at once.
    for container in [&slow, &deaf, &quick] {
        program.wait_for(&format!("removed: {} {}", container.short(), id(container, "80"))).await;
    }
    assert!(ids(&consul, &name).await.contains(&all[1]), "what runs on is gone from the other alone");
    becomes(set([all[1].clone()]), SOON, || ids(&consul, &name)).await;
    program.wait_for(&format!("{}: was told to stop, but still runs", deaf.short())).await;
    becomes(marked([]), SOON, || marks(&consul, &name)).await;
    program.wait_for_count(&format!("added: {} ", deaf.short()), 3).await;
    let log = program.log();
    let at = |text: &str| log.iter().position(|line| line.contains(text)).unwrap();
    for container in [&slow, &quick] {
        let (critical, removed) = ("critical:", "removed:");
        assert!(
            at(&format!("{critical} {}", container.short()))
                < log.iter().rposition(|line| line.contains(&format!("{removed} {}", container.short()))).unwrap()
        );
    }

    // A restart is a short absence, and no removal.
    deaf.act("restart?t=0");
    becomes(marked([]), SOON, || marks(&consul, &name)).await;
    assert_eq!(ids(&consul, &name).await, set([all[1].clone()]));
}

#[tokio::test]
async fn entries_of_a_program_that_died_are_critical_within_their_ttl() {
    let consul = Consul::start().await;
    let name = unique("ttl");
    let container = Spec::new(&name)
        .publish("80/tcp")
        .env("SERVICE_CHECK_TTL=60s")
        .env("SERVICE_CHECK_TTL_HEARTBEAT=container")
        .start();
    let service = id(&container, "80");
    let options = ["-ttl", "3", "-ttl-refresh", "1"];
    let states = async || {
        let checks = consul.checks().await;
        [format!("service:{service}"), format!("registrator:{service}")]
            .map(|id| checks.get(&id).map(|check| check["Status"].as_str().unwrap_or_default().to_owned()))
    };
    let both = |own: &str, ours: &str| [Some(own.to_owned()), Some(ours.to_owned())];
    let program = registrator(&consul.uri(), &options);
    becomes(both("passing", "passing"), SOON, states).await;
    stays("passing", Duration::from_secs(5), async || states().await == both("passing", "passing")).await;
    program.signal("KILL");
    becomes(both("passing", "critical"), SOON, states).await;
    drop(program);

    // The next one looks after it again, and has nothing to write for that.
    let program = registrator(&consul.uri(), &options);
    becomes(both("passing", "passing"), SOON, states).await;
    assert_eq!(program.logged(&format!("added: {}", container.short())), 0);
    drop(program);

    // Without a TTL there is no such check.
    let _program = registrator(&consul.uri(), &[]);
    becomes([Some("passing".to_owned()), None], SOON, states).await;
}
