//! What containers say of themselves is what Consul says of them: real containers, a real Consul.

mod support;

use serde_json::{Value, json};
use support::{HOST, IP, SOON, id, registrator, services};
use testkit::consul::Consul;
use testkit::docker::{self, Network, Spec, unique};
use testkit::wait::becomes;

/// A service as Consul's agent lists it, without what Consul adds of its own.
fn essence(service: &Value) -> Value {
    let mut meta = service["Meta"].as_object().cloned().unwrap_or_default();
    assert_eq!(meta.remove("external-source"), Some(json!("registrator")));
    assert_eq!(meta.remove("registrator-owner"), Some(json!(HOST)));
    json!({
        "ID": service["ID"], "Name": service["Service"], "Port": service["Port"], "IP": service["Address"],
        "Tags": service["Tags"], "Attrs": meta,
    })
}

async fn essences(consul: &Consul, mark: &str) -> Vec<Value> {
    services(consul, mark).await.values().map(essence).collect()
}

#[tokio::test]
async fn the_documented_examples_come_out_exactly() {
    let consul = Consul::start().await;
    let _program = registrator(&consul.uri(), &[]);

    let redis = Spec::new("redis.0").image("dockerfile/redis").publish_at("6379/tcp", "", "10000");
    let plain = redis.clone().start();
    let expected =
        json!({"ID": "hostname:redis.0:6379", "Name": "redis", "Port": 10000, "IP": IP, "Tags": [], "Attrs": {}});
    becomes(vec![expected], SOON, || essences(&consul, "redis.0")).await;
    drop(plain);
    becomes(vec![], SOON, || essences(&consul, "redis.0")).await;

    let named = json!({
        "ID": "hostname:redis.0:6379", "Name": "db", "Port": 10000, "IP": IP,
        "Tags": ["master", "backups"], "Attrs": {"region": "us2"},
    });
    let by_environment =
        redis.clone().env("SERVICE_NAME=db").env("SERVICE_TAGS=master,backups").env("SERVICE_REGION=us2").start();
    becomes(vec![named.clone()], SOON, || essences(&consul, "redis.0")).await;
    drop(by_environment);
    becomes(vec![], SOON, || essences(&consul, "redis.0")).await;
    let _by_labels = redis
        .label("SERVICE_NAME", "db")
        .label("SERVICE_TAGS", "master,backups")
        .label("SERVICE_REGION", "us2")
        .start();
    becomes(vec![named], SOON, || essences(&consul, "redis.0")).await;

    let nginx =
        Spec::new("nginx.0").image("progrium/nginx").publish_at("443/tcp", "", "4443").publish_at("80/tcp", "", "8000");
    let plain = nginx.clone().start();
    let expected = vec![
        json!({"ID": "hostname:nginx.0:443", "Name": "nginx-443", "Port": 4443, "IP": IP, "Tags": [], "Attrs": {}}),
        json!({"ID": "hostname:nginx.0:80", "Name": "nginx-80", "Port": 8000, "IP": IP, "Tags": [], "Attrs": {}}),
    ];
    becomes(expected, SOON, || essences(&consul, "nginx.0")).await;
    drop(plain);
    becomes(vec![], SOON, || essences(&consul, "nginx.0")).await;

    let _each = nginx
        .env("SERVICE_443_NAME=https")
        .env("SERVICE_443_ID=https.12345")
        .env("SERVICE_443_SNI=enabled")
        .env("SERVICE_80_NAME=http")
        .env("SERVICE_TAGS=www")
        .start();
    let http =
        json!({"ID": "hostname:nginx.0:80", "Name": "http", "Port": 8000, "IP": IP, "Tags": ["www"], "Attrs": {}});
    let https = json!({"ID": "https.12345", "Name": "https", "Port": 4443, "IP": IP, "Tags": ["www"], "Attrs": {"sni": "enabled"}});
    becomes(vec![http], SOON, || essences(&consul, "nginx.0")).await;
    becomes(vec![https], SOON, || essences(&consul, "https.12345")).await;
}

#[tokio::test]
async fn ports_are_registered_as_the_engine_published_them() {
    let consul = Consul::start().await;
    let _program = registrator(&consul.uri(), &[]);
    let name = unique("ports");
    let container = Spec::new(&name).publish("80/tcp").publish("53/udp").expose("9000/tcp").start();
    let (http, dns) = (container.host_port("80/tcp"), container.host_port("53/udp"));
    let expected = vec![
        json!({"ID": id(&container, "53:udp"), "Name": "web-53", "Port": dns, "IP": IP, "Tags": ["udp"], "Attrs": {}}),
        json!({"ID": id(&container, "80"), "Name": "web-80", "Port": http, "IP": IP, "Tags": [], "Attrs": {}}),
    ];
    becomes(expected, SOON, || essences(&consul, &name)).await;
}

#[tokio::test]
async fn with_internal_a_container_is_registered_where_it_is() {
    let consul = Consul::start().await;
    let _program = registrator(&consul.uri(), &["-internal"]);
    let name = unique("internal");
    let network = Network::create(&unique("net"));
    let container = Spec::new(&name).expose("80/tcp").network(&network.name).start();
    let address = container.inspect()["NetworkSettings"]["Networks"][&network.name]["IPAddress"].clone();
    assert_ne!(address, json!(""));
    let expected =
        json!({"ID": id(&container, "80"), "Name": "web", "Port": 80, "IP": address, "Tags": [], "Attrs": {}});
    becomes(vec![expected], SOON, || essences(&consul, &name)).await;
}

#[tokio::test]
async fn who_uses_the_hosts_network_or_anothers_is_registered_by_its_exposed_ports() {
    let consul = Consul::start().await;
    let _program = registrator(&consul.uri(), &[]);
    let name = unique("share");
    let parent = Spec::new(&format!("{name}-parent")).start();
    // The engine takes no --expose with the network of another container; an image's EXPOSE it takes.
    let image = "registrator-test/exposes-81";
    docker::image(image, &["EXPOSE 81"]);
    let child = Spec::new(&format!("{name}-child")).image(image).network(&format!("container:{}", parent.id)).start();
    let host = Spec::new(&format!("{name}-host")).expose("82/tcp").network("host").start();
    let none = Spec::new(&format!("{name}-none")).expose("83/tcp").network("none").start();
    let address = parent.inspect()["NetworkSettings"]["Networks"]["bridge"]["IPAddress"].clone();
    let expected = vec![
        json!({"ID": id(&child, "81"), "Name": "exposes-81", "Port": 81, "IP": address, "Tags": [], "Attrs": {}}),
        json!({"ID": id(&host, "82"), "Name": "web", "Port": 82, "IP": IP, "Tags": [], "Attrs": {}}),
    ];
    becomes(expected, SOON, || essences(&consul, &name)).await;
    drop(none);
}

#[tokio::test]
async fn forced_tags_are_made_for_each_container() {
    let consul = Consul::start().await;
    let tags = r#"all,{{ .Config.Hostname }},{{ toUpper (sIndex 0 (split "-" .Name)) }}"#;
    let _program = registrator(&consul.uri(), &["-tags", tags]);
    let name = unique("tags");
    let _container =
        Spec::new(&name).publish("80/tcp").env("SERVICE_TAGS=own").with("Hostname", json!("inside")).start();
    let tags =
        async || services(&consul, &name).await.values().map(|service| service["Tags"].clone()).collect::<Vec<_>>();
    becomes(vec![json!(["own", "all", "inside", "/RT"])], SOON, tags).await;
}

#[tokio::test]
async fn without_ownership_consul_holds_what_the_old_program_stored() {
    let consul = Consul::start().await;
    let _program = registrator(&consul.uri(), &["-owner-meta=false"]);
    let name = unique("bare");
    let container = Spec::new(&name).publish("80/tcp").env("SERVICE_REGION=us2").start();
    let metas =
        async || services(&consul, &name).await.values().map(|service| service["Meta"].clone()).collect::<Vec<_>>();
    becomes(vec![json!({"region": "us2"})], SOON, metas).await;
    container.act("kill");
    becomes(vec![], SOON, metas).await;
}
