//! From the start of a container to its end, and of ourselves: COMPAT's life cycle, row by row.

mod support;

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use support::{HOST, SOON, id, ids, registrator, registrator_with, services, set};
use testkit::consul::Consul;
use testkit::docker::{SOCKET, Spec, unique};
use testkit::tls_front::TlsFront;
use testkit::wait::{becomes, stays};

#[tokio::test]
async fn what_runs_is_registered_and_what_dies_is_removed() {
    let consul = Consul::start().await;
    let name = unique("life");
    let before = Spec::new(&format!("{name}-before")).publish("80/tcp").start();
    let idle = Spec::new(&format!("{name}-idle")).publish("80/tcp").create();
    let program = registrator(&consul.uri(), &[]);
    becomes(set([id(&before, "80")]), SOON, || ids(&consul, &name)).await;

    let after = Spec::new(&format!("{name}-after")).publish("80/tcp").start();
    becomes(set([id(&before, "80"), id(&after, "80")]), SOON, || ids(&consul, &name)).await;
    before.act("kill");
    after.act("stop?t=5");
    becomes(set::<String>([]), SOON, || ids(&consul, &name)).await;
    idle.act("start");
    becomes(set([id(&idle, "80")]), SOON, || ids(&consul, &name)).await;
    idle.act("restart?t=0");
    becomes(set([id(&idle, "80")]), SOON, || ids(&consul, &name)).await;

    program.wait_for("Listening for Docker events ...").await;
    program.wait_for("Syncing services on ").await;
    program.wait_for(&format!("added: {} {}", before.short(), id(&before, "80"))).await;
    program.wait_for(&format!("removed: {} {}", before.short(), id(&before, "80"))).await;
}

#[tokio::test]
async fn what_is_not_registered_is_said_with_its_reason() {
    let consul = Consul::start().await;
    let program = registrator(&consul.uri(), &["-explicit"]);
    let name = unique("ignored");
    let bare = Spec::new(&format!("{name}-bare")).start();
    let exposed = Spec::new(&format!("{name}-exposed")).expose("9000/tcp").start();
    let asked =
        Spec::new(&format!("{name}-asked")).publish("80/tcp").env("SERVICE_IGNORE=false").env("SERVICE_NAME=x").start();
    let unnamed = Spec::new(&format!("{name}-unnamed")).publish("80/tcp").start();
    program.wait_for(&format!("ignored: {} no published ports", bare.short())).await;
    program.wait_for(&format!("ignored: {} port 9000 not published on host", exposed.short())).await;
    program.wait_for(&format!("ignored: {} service on port 80", asked.short())).await;
    program.wait_for(&format!("ignored: {} service on port 80 has neither", unnamed.short())).await;
    assert_eq!(ids(&consul, &name).await, set::<String>([]));
}

#[tokio::test]
async fn on_success_only_what_failed_stays() {
    let consul = Consul::start().await;
    let name = unique("exit");
    let run = |what: &str, line: &str| Spec::new(&format!("{name}-{what}")).publish("80/tcp").shell(line).start();
    let program = registrator(&consul.uri(), &["-deregister", "on-success"]);
    let wait_then = |code: u8| format!("trap 'exit {code}' TERM; while :; do sleep 1 & wait; done");
    let (success, failure) = (run("success", &wait_then(0)), run("failure", &wait_then(3)));
    let (killed, gone) = (run("killed", &wait_then(0)), run("gone", &wait_then(0)));
    let all = [&success, &failure, &killed, &gone].map(|container| id(container, "80"));
    becomes(set(all), SOON, || ids(&consul, &name)).await;
    success.act("kill?signal=TERM");
    failure.act("kill?signal=TERM");
    killed.act("kill");
    gone.remove();
    becomes(set([id(&failure, "80")]), SOON, || ids(&consul, &name)).await;
    stays("the failed one", Duration::from_secs(2), async || ids(&consul, &name).await.len() == 1).await;
    drop(program);

    // Nor does the next run of ours remove it, unless it cleans up.
    let program = registrator(&consul.uri(), &["-deregister", "on-success"]);
    program.wait_for("Syncing services").await;
    stays("the failed one", Duration::from_secs(2), async || ids(&consul, &name).await.len() == 1).await;
    drop(program);
    let _program = registrator(&consul.uri(), &["-deregister", "on-success", "-cleanup"]);
    becomes(set::<String>([]), SOON, || ids(&consul, &name)).await;
}

#[tokio::test]
async fn what_we_left_behind_is_removed_at_the_next_start() {
    let consul = Consul::start().await;
    let name = unique("crash");
    let container = Spec::new(&name).publish("80/tcp").env("SERVICE_ID=").start();
    let named = Spec::new(&format!("{name}-id")).publish("80/tcp").env(&format!("SERVICE_ID={name}-own")).start();
    let program = registrator(&consul.uri(), &[]);
    becomes(set([id(&container, "80"), format!("{name}-own")]), SOON, || ids(&consul, &name)).await;
    program.signal("KILL");
    drop(program);
    drop(container);
    drop(named);
    let _program = registrator(&consul.uri(), &[]);
    becomes(set::<String>([]), SOON, || ids(&consul, &name)).await;
}

#[tokio::test]
async fn cleanup_removes_old_entries_of_this_host_alone() {
    let consul = Consul::start().await;
    let name = unique("old");
    let running = Spec::new(&format!("{name}-runs")).publish("80/tcp").start();
    let ours = [format!("{HOST}:{name}:80"), format!("{HOST}:{name}:53:udp")];
    let others = [format!("other:{name}:80"), name.clone(), format!("{HOST}:{name}:http")];
    for id in ours.iter().chain(&others).chain([&id(&running, "80")]) {
        consul.put("/v1/agent/service/register", &json!({"ID": id, "Name": "old", "Port": 1})).await;
    }
    let theirs = json!({"ID": format!("{HOST}:{name}:1"), "Name": "x", "Meta": {"registrator-owner": "another"}});
    consul.put("/v1/agent/service/register", &theirs).await;
    let others: Vec<String> = others.into_iter().chain([format!("{HOST}:{name}:1"), id(&running, "80")]).collect();

    let program = registrator(&consul.uri(), &[]);
    program.wait_for(&format!("added: {} {}", running.short(), id(&running, "80"))).await;
    stays("everything", Duration::from_secs(2), async || ids(&consul, &name).await.len() == 7).await;
    drop(program);

    let program = registrator(&consul.uri(), &["-cleanup"]);
    becomes(set(others), SOON, || ids(&consul, &name)).await;
    for id in &ours {
        program.wait_for(&format!("dangling: {id}")).await;
    }
}

#[tokio::test]
async fn an_old_entry_is_taken_over_without_a_gap_and_goes_with_its_container() {
    let consul = Consul::start().await;
    let name = unique("adopt");
    let container = Spec::new(&name).publish("80/tcp").start();
    let port = container.host_port("80/tcp");
    let old = json!({"ID": id(&container, "80"), "Name": "web", "Port": port, "Address": support::IP});
    consul.put("/v1/agent/service/register", &old).await;
    let _program = registrator(&consul.uri(), &[]);
    let owners = async || {
        let services = services(&consul, &name).await;
        assert_eq!(services.len(), 1, "a gap");
        services.values().map(|service| service["Meta"]["registrator-owner"].clone()).collect::<Vec<_>>()
    };
    becomes(vec![json!(HOST)], SOON, owners).await;
    container.act("kill");
    becomes(set::<String>([]), SOON, || ids(&consul, &name)).await;
}

#[tokio::test]
async fn signals_end_us_promptly_and_leave_the_entries() {
    let consul = Consul::start().await;
    let name = unique("signal");
    let container = Spec::new(&name).publish("80/tcp").start();
    for signal in ["TERM", "INT"] {
        let mut program = registrator(&consul.uri(), &[]);
        becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;
        program.wait_for("Syncing services").await;
        program.signal(signal);
        let status = program.ended(Duration::from_secs(3)).await;
        assert_eq!(status.code(), Some(0), "{signal}");
        assert_eq!(ids(&consul, &name).await, set([id(&container, "80")]));
    }
}

#[tokio::test]
async fn a_hangup_compares_everything_again() {
    let consul = Consul::start().await;
    let program = registrator(&consul.uri(), &[]);
    program.wait_for("Syncing services").await;
    program.signal("HUP");
    testkit::wait::becomes(2, SOON, async || program.logged("Syncing services")).await;
}

#[tokio::test]
async fn an_engine_is_followed_over_tls_with_our_certificate_and_with_no_other() {
    let consul = Consul::start().await;
    let front = TlsFront::unix(Path::new(SOCKET)).await;
    let name = unique("tls");
    let container = Spec::new(&name).publish("80/tcp").start();
    let folder = tempfile::tempdir().unwrap();
    let copy = |from: &Path, to: &str| std::fs::copy(from, folder.path().join(to)).unwrap();
    let certificates = front.certificates();
    copy(&certificates.ca, "ca.pem");
    copy(&certificates.client.certificate, "cert.pem");
    copy(&certificates.client.key, "key.pem");
    let host = format!("tcp://{}", front.address());
    let environment = [
        ("DOCKER_HOST", host.as_str()),
        ("DOCKER_TLS_VERIFY", "1"),
        ("DOCKER_CERT_PATH", folder.path().to_str().unwrap()),
    ];
    let program = registrator_with(&consul.uri(), &[], &environment);
    becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;
    drop(program);

    // An authority that did not sign the engine's certificate.
    let stranger = TlsFront::unix(Path::new(SOCKET)).await;
    copy(&stranger.certificates().ca, "ca.pem");
    let mut program = registrator_with(&consul.uri(), &[], &environment);
    assert_eq!(program.ended(SOON).await.code(), Some(1));
    program.wait_for("certificate").await;
}

#[tokio::test]
async fn it_waits_for_a_registry_that_is_not_there_yet() {
    let mut consul = Consul::start().await;
    let name = unique("early");
    let container = Spec::new(&name).publish("80/tcp").start();
    consul.kill();
    let program = registrator(&consul.uri(), &["-retry-attempts", "-1", "-retry-interval", "100"]);
    program.wait_for("Connecting to backend (3/-1)").await;
    consul.restart().await;
    becomes(set([id(&container, "80")]), SOON, || ids(&consul, &name)).await;

    consul.kill();
    let mut program = registrator(&consul.uri(), &["-retry-attempts", "2", "-retry-interval", "100"]);
    assert_eq!(program.ended(SOON).await.code(), Some(1));
    assert_eq!(program.logged("Connecting to backend ("), 3);
    assert_eq!(program.logged("or wait for it with -retry-attempts"), 1);
}
