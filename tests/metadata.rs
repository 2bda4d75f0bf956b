//! What people write in their metadata, and what is registered for it.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use serde_json::{Value, json};
use support::{IP, SOON, ids, registrator, services, set};
use testkit::consul::Consul;
use testkit::docker::{Spec, unique};
use testkit::wait::becomes;

/// The kind of the check of a service, as Consul has it.
async fn kind(consul: &Consul, id: &str) -> Value {
    let checks = consul.checks().await;
    checks.get(&format!("service:{id}")).map_or(Value::Null, |check| check["Type"].clone())
}

#[tokio::test]
async fn protocols_of_one_port_with_one_id_are_services_of_their_own() {
    let consul = Consul::start().await;
    let _program = registrator(&consul.uri(), &[]);
    let id = unique("dns");
    let spec = Spec::new(&unique("both")).publish("53/tcp").publish("53/udp").env(&format!("SERVICE_ID={id}"));
    let _container = spec.start();
    becomes(set([id.clone(), format!("{id}:udp")]), SOON, || ids(&consul, &id)).await;
    let tags = services(&consul, &id).await[&format!("{id}:udp")]["Tags"].clone();
    assert_eq!(tags, json!(["udp"]));
}

#[tokio::test]
async fn a_protocol_and_a_range_of_ports_have_keys_of_their_own() {
    let consul = Consul::start().await;
    let _program = registrator(&consul.uri(), &[]);
    let name = unique("ranges");
    let mut spec = Spec::new(&name).publish("53/tcp").publish("53/udp").publish("8000/tcp").publish("8010/tcp");
    for line in [
        "SERVICE_NAME=all",
        "SERVICE_53_NAME=dns",
        "SERVICE_53_UDP_NAME=dns-udp",
        "SERVICE_8000-8010_NAME=workers",
        "SERVICE_8000-8010_TAGS=pool",
        "SERVICE_8010_TAGS=last",
    ] {
        spec = spec.env(line);
    }
    let _container = spec.start();
    let told = async || {
        let services = services(&consul, &name).await;
        let told = services.values().map(|service| json!([service["Service"], service["Tags"]]).to_string());
        told.collect::<std::collections::BTreeSet<_>>()
    };
    let expected = [r#"["dns",[]]"#, r#"["dns-udp",["udp"]]"#, r#"["workers",["last"]]"#, r#"["workers",["pool"]]"#];
    becomes(set(expected.map(str::to_owned)), SOON, told).await;
}

#[tokio::test]
async fn a_container_without_ports_on_the_hosts_network_is_a_service_where_it_says() {
    let consul = Consul::start().await;
    let _program = registrator(&consul.uri(), &[]);
    let name = unique("portless");
    let container = Spec::new(&name).network("host").env("SERVICE_PORT=9000").env("SERVICE_NAME=agent").start();
    let id = support::id(&container, "9000");
    let place = async || {
        let service = services(&consul, &name).await.remove(&id).unwrap_or_default();
        (service["Service"].clone(), service["Address"].clone(), service["Port"].clone())
    };
    becomes((json!("agent"), json!(IP), json!(9000)), SOON, place).await;
}

#[tokio::test]
async fn an_empty_name_for_a_port_is_as_if_it_were_not_there() {
    let consul = Consul::start().await;
    let _program = registrator(&consul.uri(), &[]);
    let name = unique("names");
    let spec = Spec::new(&name).publish("80/tcp").publish("443/tcp");
    let _container = spec.env("SERVICE_NAME=web").env("SERVICE_80_NAME=").env("SERVICE_443_NAME=secure").start();
    let names = async || {
        let services = services(&consul, &name).await;
        services.values().map(|service| service["Service"].clone()).collect::<Vec<_>>()
    };
    becomes(vec![json!("secure"), json!("web-80")], SOON, names).await;
}

#[tokio::test]
async fn what_cannot_be_meant_is_passed_over_and_named() {
    let consul = Consul::start().await;
    let program = registrator(&consul.uri(), &[]);
    let name = unique("odd");
    let container = Spec::new(&name)
        .publish("80/tcp")
        .env("SERVICE_IP=0.0.0.0")
        .env("SERVICE_PORT=8080")
        .env("SERVICE_CHECK_TCP=no")
        .env("SERVICE_CHECK_METHOD=GET")
        .start();
    let id = support::id(&container, "80");
    let place = async || {
        let service = services(&consul, &name).await.remove(&id).unwrap_or_default();
        (service["Address"].clone(), service["Port"].clone())
    };
    becomes((json!(IP), json!(8080)), SOON, place).await;
    becomes(json!("tcp"), SOON, || kind(&consul, &id)).await;
    let short = container.short();
    for note in [
        r#"SERVICE_IP="0.0.0.0" is no usable address; the usual one is registered"#,
        r#"SERVICE_PORT="8080" is registered in place of the port that the host publishes"#,
        r#"SERVICE_CHECK_TCP="no" switches it on, as any value does; leave it out to switch it off"#,
        "SERVICE_CHECK_METHOD is no known key; the nearest is SERVICE_CHECK_HTTP_METHOD",
    ] {
        program.wait_for(&format!("{short}: {note}")).await;
        let lines = program.log().iter().filter(|line| line.contains(short) && line.contains(note)).count();
        assert_eq!(lines, 1, "{note}");
    }
}

#[tokio::test]
async fn a_switch_takes_whatever_people_write() {
    let consul = Consul::start().await;
    let program = registrator(&consul.uri(), &["-tags", "{{strSlice .Config.Hostname}}"]);
    let name = unique("switch");
    let spec = |suffix: &str, line: &str| Spec::new(&format!("{name}-{suffix}")).publish("80/tcp").env(line).start();
    let tcp = [spec("slash", "SERVICE_CHECK_TCP=/"), spec("yes", "SERVICE_80_CHECK_TCP=yes")];
    let grpc = spec("grpc", "SERVICE_CHECK_GRPC=on");
    for (container, expected) in [(&tcp[0], "tcp"), (&tcp[1], "tcp"), (&grpc, "grpc")] {
        let id = support::id(container, "80");
        becomes(json!(expected), SOON, || kind(&consul, &id)).await;
    }
    for container in tcp.iter().chain([&grpc]) {
        let hostname = container.inspect()["Config"]["Hostname"].clone();
        let services = services(&consul, &container.name).await;
        assert!(services.values().all(|service| service["Tags"] == json!([hostname])), "{services:?}");
    }
    assert!(!program.log().iter().any(|line| line.contains("SERVICE_CHECK_")), "{:#?}", program.log());
}
