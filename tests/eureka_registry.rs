//! Eureka as a registry, on a stand-in for its server: the contract of every registry, and Eureka's own rules.
//!
//! The stand-in follows Netflix's rules; `py-eureka-client`, an independent client, is served by it, and finds what we
//! registered.

// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

mod conformance;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use conformance::batches::{Batches as _, open};
use conformance::{Subject, assert_held, at_port, entries, register, service, with};
use registrator::config::RegistryConfig;
use registrator::container::Health;
use registrator::registry::{Cause, Mark, Marked, Registry, RegistryError};
use registrator::service::Service;
use serde_json::Value;
use testkit::eureka::{Eureka, Options};
use testkit::servers::binary;
use testkit::wait::becomes;
use tokio::process::Command;

const OWNER: &str = "this-host";
/// How long anything may take on a busy machine.
const SOON: Duration = Duration::from_secs(60);

fn config(uri: &str) -> RegistryConfig {
    RegistryConfig {
        uri: uri.to_owned(),
        owner: OWNER.to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::default(),
    }
}

fn opened(uri: &str) -> Arc<dyn Registry> {
    open(&config(uri)).expect("a registry").registry
}

fn of_another_owner(uri: &str) -> Arc<dyn Registry> {
    open(&RegistryConfig { owner: "other-host".to_owned(), ..config(uri) }).expect("a registry").registry
}

fn web() -> Arc<Service> {
    Arc::new(service("host:web:80"))
}

/// The stored instance of [`web`].
fn stored(server: &Eureka) -> Value {
    server.instance("WEB", "host:web:80").expect("it is there")
}

fn status(server: &Eureka) -> String {
    stored(server)["status"].as_str().expect("a status").to_owned()
}

#[tokio::test]
async fn it_keeps_the_contract_of_every_registry() {
    let server = Eureka::start().await;
    let uri = server.uri();
    let theirs = Some(of_another_owner(&uri));
    conformance::prove(&Subject { ours: opened(&uri), theirs, owner: OWNER }).await;
}

#[tokio::test]
async fn it_keeps_the_contract_whatever_becomes_of_the_server() {
    let mut server = Eureka::start().await;
    conformance::prove_outages(&mut server, |address: SocketAddr| opened(&format!("eureka://{address}/eureka"))).await;
}

#[tokio::test]
async fn it_keeps_the_contract_when_it_is_refused() {
    let server = Eureka::with(Options { user: Some(("me", "sesame")), ..Options::default() }).await;
    let uri = format!("eureka://me:wrong-sesame@{}/eureka", server.address());
    conformance::prove_refused(&*opened(&uri), "wrong-sesame").await;
    let right = opened(&format!("eureka://me:sesame@{}/eureka", server.address()));
    register(&*right, &[web()]).await;
    assert_held(&*right, &[web()]).await;
}

#[tokio::test]
async fn what_is_written_is_seen_at_once_though_lists_come_from_a_cache() {
    let server = Eureka::with(Options { cache: Some(Duration::from_secs(30)), ..Options::default() }).await;
    let registry = opened(&server.uri());
    assert_eq!(registry.entries().await, Ok(Vec::new()));
    let other = Arc::new(at_port("host:api:80", 8001));
    register(&*registry, &[web(), Arc::clone(&other)]).await;
    assert_held(&*registry, &[web(), Arc::clone(&other)]).await;
    let changed = with(service("host:web:80"), |service| service.port = 9999);
    register(&*registry, std::slice::from_ref(&changed)).await;
    assert_held(&*registry, std::slice::from_ref(&changed)).await;
    let gone = entries(&*registry).await.remove(&registry.key(&other)).expect("it is there");
    assert_eq!(registry.deregister(&[gone]).await, [Ok(())]);
    assert_eq!(entries(&*registry).await.len(), 1);
    // With a list that is up to date, nothing is asked for by itself.
    server.pass(Duration::from_secs(31));
    let _ = server.take_seen();
    assert_held(&*registry, &[changed]).await;
    assert_eq!(server.take_seen().len(), 1);
}

#[tokio::test]
async fn a_heartbeat_renews_and_without_one_the_lease_ends_after_two_durations() {
    let server = Eureka::with(Options { self_preservation: false, ..Options::default() }).await;
    let registry = opened(&server.uri());
    register(&*registry, &[web()]).await;
    assert_eq!(registry.refresh_interval(&web()), Some(Duration::from_secs(30)));
    for _ in 0..10 {
        server.pass(Duration::from_secs(60));
        assert_eq!(registry.refresh(&[web()]).await, [Ok(())]);
    }
    server.pass(Duration::from_secs(120));
    assert_eq!(server.keys().len(), 1, "it expired too early");
    server.pass(Duration::from_secs(120));
    assert!(server.keys().is_empty(), "it does not expire");
    assert!(matches!(registry.refresh(&[web()]).await.as_slice(), [Err(RegistryError::Refused { .. })]));
}

#[tokio::test]
async fn what_a_crashed_run_left_is_found_by_its_owner_though_nothing_expires() {
    let server = Eureka::start().await;
    register(&*opened(&server.uri()), &[web()]).await;
    server.pass(Duration::from_secs(3600));
    assert_eq!(server.keys().len(), 1, "self-preservation lets nothing expire");
    let next = opened(&server.uri());
    let left = entries(&*next).await.remove(&next.key(&web())).expect("it is found");
    assert_eq!(left.owner.as_deref(), Some(OWNER));
    assert_held(&*next, &[web()]).await;
    assert_eq!(next.refresh(&[web()]).await, [Ok(())], "it goes on with the lease");
    assert_eq!(next.deregister(&[left]).await, [Ok(())]);
    assert!(server.keys().is_empty());
}

#[tokio::test]
async fn health_and_marks_are_statuses_that_the_server_takes() {
    let server = Eureka::start().await;
    let registry = opened(&server.uri());
    for (health, expected) in
        [(Health::Starting, "STARTING"), (Health::Healthy, "UP"), (Health::Unhealthy, "DOWN"), (Health::Healthy, "UP")]
    {
        let service = with(service("host:web:80"), |service| service.health = health);
        register(&*registry, std::slice::from_ref(&service)).await;
        assert_eq!(status(&server), expected);
        assert_held(&*registry, &[service]).await;
    }
    let healthy = with(service("host:web:80"), |service| service.health = Health::Healthy);
    let entry = async || entries(&*registry).await.remove(&registry.key(&web())).expect("it is there");
    assert_eq!(registry.mark(&[(entry().await, Some(Mark::Draining))]).await, [Ok(())]);
    assert_eq!((status(&server).as_str(), entry().await.marked), ("OUT_OF_SERVICE", Marked::Ours));
    assert_eq!(stored(&server)["overriddenStatus"], "UNKNOWN", "it would stay when we are gone");
    assert_eq!(registry.refresh(std::slice::from_ref(&healthy)).await, [Ok(())]);
    assert_eq!(status(&server), "OUT_OF_SERVICE", "a heartbeat brought it back");
    assert_eq!(registry.mark(&[(entry().await, None)]).await, [Ok(())]);
    assert_eq!((status(&server).as_str(), entry().await.marked), ("UP", Marked::No));
    assert_held(&*registry, &[healthy]).await;
}

#[tokio::test]
async fn a_status_that_an_operator_set_is_never_taken_away() {
    let server = Eureka::start().await;
    let registry = opened(&server.uri());
    register(&*registry, &[web()]).await;
    let client = testkit::net::Place::Tcp(server.address());
    let set = testkit::http::Request {
        method: "PUT".to_owned(),
        path: "/eureka/apps/WEB/host:web:80/status?value=OUT_OF_SERVICE".to_owned(),
        ..Default::default()
    };
    assert_eq!(testkit::http::send(&client, &set).await.expect("an answer").status, 200);
    let entry = async || entries(&*registry).await.remove(&registry.key(&web())).expect("it is there");
    assert_eq!(entry().await.marked, Marked::Theirs);
    assert_held(&*registry, &[web()]).await;
    // Neither by a change, nor by a mark and its end.
    let changed = with(service("host:web:80"), |service| service.port = 9999);
    register(&*registry, std::slice::from_ref(&changed)).await;
    assert_eq!(registry.mark(&[(entry().await, Some(Mark::Paused))]).await, [Ok(())]);
    assert_eq!(registry.mark(&[(entry().await, None)]).await, [Ok(())]);
    assert_eq!((status(&server).as_str(), entry().await.marked), ("OUT_OF_SERVICE", Marked::Theirs));
    assert_held(&*registry, &[changed]).await;
}

#[tokio::test]
async fn a_newer_timestamp_on_the_server_does_not_keep_a_change_out() {
    let server = Eureka::start().await;
    register(&*opened(&server.uri()), &[web()]).await;
    // As if a host whose clock is ahead had written it.
    let mut ahead = stored(&server);
    ahead["lastDirtyTimestamp"] = (u64::MAX / 4).to_string().into();
    post(&server, &ahead).await;
    let next = opened(&server.uri());
    let changed = with(service("host:web:80"), |service| service.port = 9999);
    register(&*next, std::slice::from_ref(&changed)).await;
    assert_eq!(stored(&server)["port"]["$"], 9999);
    assert_eq!(next.refresh(&[changed]).await, [Ok(())]);
}

/// Registers an instance as another program does.
async fn post(server: &Eureka, instance: &Value) {
    let request = testkit::http::Request {
        method: "POST".to_owned(),
        path: format!("/eureka/apps/{}", instance["app"].as_str().expect("a name")),
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: serde_json::json!({ "instance": instance }).to_string().into_bytes(),
    };
    let reply = testkit::http::send(&testkit::net::Place::Tcp(server.address()), &request).await.expect("an answer");
    assert_eq!(reply.status, 204);
}

#[tokio::test]
async fn what_another_program_registered_under_an_id_of_our_form_is_never_touched() {
    let server = Eureka::start().await;
    let registry = opened(&server.uri());
    let spring = serde_json::json!({"instanceId": "host:web:80", "app": "WEB", "hostName": "10.9.9.9",
        "ipAddr": "10.9.9.9", "status": "UP", "port": {"$": 80, "@enabled": "true"}, "vipAddress": "web",
        "lastDirtyTimestamp": "1", "dataCenterInfo": {"@class": "com.netflix.appinfo.MyDataCenterInfo", "name": "MyOwn"}});
    post(&server, &spring).await;
    let before = stored(&server);
    let entry = entries(&*registry).await.remove(&registry.key(&web())).expect("it is seen");
    assert!(entry.owner.is_some(), "-cleanup would remove it");
    assert!(matches!(registry.register(&[web()]).await.as_slice(), [Err(RegistryError::Taken(_))]));
    assert!(matches!(registry.deregister(&[entry]).await.as_slice(), [Err(RegistryError::Taken(_))]));
    assert_eq!(stored(&server), before);
}

#[tokio::test]
async fn of_several_servers_the_next_one_is_asked_when_one_is_away() {
    let mut first = Eureka::start().await;
    let second = Eureka::start().await;
    let uri = format!("eureka://{},{}/eureka", first.address(), second.address());
    let registry = opened(&uri);
    register(&*registry, &[web()]).await;
    assert_eq!((first.keys().len(), second.keys().len()), (1, 0));
    first.kill().await;
    registry.ping().await.expect("the other one answers");
    // Its peer had no time to copy.
    assert!(matches!(registry.refresh(&[web()]).await.as_slice(), [Err(RegistryError::Refused { .. })]));
    register(&*registry, &[web()]).await;
    assert_held(&*registry, &[web()]).await;
    second.set_waiting(true);
    let error = registry.ping().await.expect_err("none answers");
    assert!(
        matches!(&error, RegistryError::Unreachable(text) if text.starts_with("none of Eureka's servers")),
        "{error}"
    );
    first.restart().await;
    registry.ping().await.expect("the first one answers");
}

#[tokio::test]
async fn a_server_that_waits_for_its_peers_is_away_and_not_a_refusal() {
    let server = Eureka::start().await;
    server.set_waiting(true);
    let registry = opened(&server.uri());
    let error = registry.entries().await.expect_err("it waits");
    assert!(matches!(&error, RegistryError::Unreachable(text) if text.contains("waits for the data of its peers")));
    server.set_waiting(false);
    assert_eq!(registry.entries().await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_wrong_path_another_server_and_a_protection_against_pages_are_each_one_line() {
    let server = Eureka::start().await;
    let error = opened(&format!("eureka://{}/eureka/v2", server.address())).ping().await.expect_err("no such path");
    let text = error.to_string();
    assert!(
        text.contains(
            "is no Eureka server (404 Not Found to a list of applications); check the host, the port and the path"
        ),
        "{text}"
    );
    let locked = Eureka::with(Options { csrf: true, ..Options::default() }).await;
    let registry = opened(&locked.uri());
    match registry.register(&[web()]).await.as_slice() {
        [Err(RegistryError::Refused { cause: Cause::Rights, text })] => {
            assert!(text.contains("CSRF protection off for /eureka/**"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_somebody_changed_or_removed_is_noticed() {
    let server = Eureka::start().await;
    let registry = opened(&server.uri());
    register(&*registry, &[web()]).await;
    for change in ["DELETE /eureka/apps/WEB/host:web:80", "PUT /eureka/apps/WEB/host:web:80/metadata?zone=moon"] {
        register(&*registry, &[web()]).await;
        let (method, path) = change.split_once(' ').expect("two words");
        let request = testkit::http::Request { method: method.to_owned(), path: path.to_owned(), ..Default::default() };
        let told = tokio::time::timeout(SOON, registry.changed());
        let place = testkit::net::Place::Tcp(server.address());
        let (told, sent) = tokio::join!(told, testkit::http::send(&place, &request));
        assert_eq!(sent.expect("an answer").status, 200);
        assert!(told.is_ok(), "{change}: nobody told of it");
        let differs = async || {
            let held = entries(&*registry).await.remove(&registry.key(&web()));
            held.is_none_or(|held| held.fingerprint != registry.fingerprint(&web()))
        };
        becomes(true, SOON, differs).await;
    }
}

/// What a script says with `py-eureka-client`; the first argument is the server.
async fn python(server: &str, script: &str) -> String {
    let mut command = Command::new(binary("eureka-python"));
    command.args(["-c", script, server]).kill_on_drop(true);
    let output = tokio::time::timeout(SOON, command.output()).await.expect("it ends in time").expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test]
async fn an_independent_client_finds_what_we_registered() {
    let server = Eureka::start().await;
    let registry = opened(&server.uri());
    let chosen = with(service("host:web:80"), |service| {
        Arc::make_mut(&mut service.attributes).extend([("eureka_metadata_zone".to_owned(), "eu & <1>".to_owned())]);
    });
    let starting = with(at_port("host:slow:80", 8001), |service| service.health = Health::Starting);
    register(&*registry, &[chosen, starting]).await;
    let script = "
import asyncio, sys
from py_eureka_client import eureka_client as c, eureka_basic as b
async def main():
    server = sys.argv[1]
    apps = await c.get_applications(server)
    up = apps.get_application('web').up_instances
    for i in up:
        print(i.instanceId, i.hostName, i.ipAddr, i.port.port, i.port.enabled, i.securePort.enabled, i.vipAddress, i.metadata['zone'], i.leaseInfo.durationInSecs)
    print(len((await c.get_vip(server, 'web')).get_application('WEB').instances), apps.appsHashcode)
    one = await c.get_app_instance(server, 'WEB', 'host:slow:80')
    print(one.status, (await c.get_application(server, 'WEB')).name)
asyncio.run(main())
";
    assert_eq!(
        python(&server.url(), script).await,
        "host:web:80 10.1.2.3 10.1.2.3 8000 True False web eu & <1> 90\n2 STARTING_1_UP_1_\nSTARTING WEB"
    );
}

#[tokio::test]
async fn the_stand_in_serves_an_independent_client_and_we_leave_it_alone() {
    let server = Eureka::start().await;
    let script = "
import asyncio, sys
from py_eureka_client import eureka_client as c, eureka_basic as b
async def main():
    server = sys.argv[1]
    client = c.EurekaClient(eureka_server=server, app_name='python', instance_port=7777, instance_host='10.7.7.7', instance_ip='10.7.7.7', renewal_interval_in_secs=1)
    await client.start()
    await client.send_heartbeat()
    await client.status_update('OUT_OF_SERVICE')
    print((await c.get_application(server, 'PYTHON')).instances[0].status)
    await client.delete_status_override()
    await client.register()
    print((await c.get_application(server, 'PYTHON')).instances[0].status, (await b.get_delta(server)).versionsDelta != '')
    if len(sys.argv) > 2:
        await client.stop()
    else:
        import os; sys.stdout.flush(); os._exit(0)
asyncio.run(main())
";
    assert_eq!(python(&server.url(), script).await, "OUT_OF_SERVICE\nUP True");
    let registry = opened(&server.uri());
    let theirs = entries(&*registry).await;
    assert_eq!(theirs.len(), 1);
    let theirs = theirs.into_values().next().expect("one");
    assert!(theirs.owner.as_deref().is_some_and(|owner| owner != OWNER), "{theirs:?}");
    assert!(matches!(registry.deregister(&[theirs]).await.as_slice(), [Err(RegistryError::Taken(_))]));
    assert_eq!(server.keys().len(), 1);
}
