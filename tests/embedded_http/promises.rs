//! What the embedded registry promises beyond Consul.

use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use registrator::config::RegistryConfig;
use registrator::container::Health;
use registrator::registry::{Entry, Marked, Registry, RegistryError};
use registrator::service::CheckKind;
use serde_json::{Value, json};

use super::beside::{checked, embedded, get, service, tagged};
use super::support::registry::{Batches as _, open};

fn config(uri: &str) -> RegistryConfig {
    RegistryConfig {
        uri: uri.to_owned(),
        owner: "host.example".to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::default(),
    }
}

#[tokio::test]
async fn a_taken_port_is_one_line_that_names_it_and_the_option() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (tcp, udp) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
    let _held = (TcpListener::bind(tcp), UdpSocket::bind(udp));
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap();
    let error = open(&config(&format!("embedded://{taken}?dns=off"))).err().unwrap().to_string();
    assert_eq!(
        error,
        format!(
            "embedded: cannot listen on {taken} for HTTP: that port is taken; choose another with \
             embedded://<address>:<port>, or embedded://off for none"
        )
    );
    let held = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap();
    let error = open(&config(&format!("embedded://off?dns={taken}"))).err().unwrap().to_string();
    assert_eq!(
        error,
        format!(
            "embedded: cannot listen on {taken} for DNS: that port is taken; choose another with \
             embedded://?dns=<address>:<port>, or dns=off for none"
        )
    );
}

#[tokio::test]
async fn a_wrong_uri_says_what_would_be_right() {
    let error = open(&config("embedded://?colour=red")).err().unwrap().to_string();
    assert_eq!(
        error,
        "bad adapter uri: embedded://?colour=red: it does not know the parameter \"colour\"; it knows dns, domain, \
         datacenter, node, address, names, script-checks, check-networks, connections, connections-per-client, blocked-queries, \
         dns-connections, dns-rate, ttl, policy"
    );
}

#[tokio::test]
async fn what_is_registered_is_what_it_holds() {
    let registry = embedded("n", "");
    let services: Vec<_> = (0..3).map(|n| Arc::new(service(&format!("id{n}"), "web", "10.0.0.1", n + 1))).collect();
    for _ in 0..2 {
        assert_eq!(registry.register(&services).await, vec![Ok(()); 3]);
    }
    let mut entries = registry.entries().await.unwrap();
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    let expected: Vec<_> = services
        .iter()
        .map(|service| {
            let canonical = registry.canonical(service);
            Entry {
                key: canonical.key,
                service_id: service.id.clone(),
                owner: Some("owner".into()),
                fingerprint: canonical.fingerprint,
                marked: Marked::No,
                critical: false,
                content: None,
            }
        })
        .collect();
    assert_eq!(entries, expected);
    assert_eq!(registry.deregister(&entries).await, vec![Ok(()); 3]);
    assert_eq!(registry.deregister(&entries).await, vec![Ok(()); 3]);
    assert_eq!(registry.entries().await.unwrap(), []);
    assert!(registry.ping().await.is_ok());
}

#[tokio::test]
async fn whatever_differs_in_a_service_differs_in_its_fingerprint() {
    let registry = embedded("n", "");
    let plain = service("id", "web", "10.0.0.1", 1);
    let mut others = vec![plain.clone(); 6];
    others[1].tags = [&*others[1].tags, &["a".to_owned()]].concat().into();
    others[2].health = Health::Healthy;
    Arc::make_mut(&mut others[3].attributes).insert("a".to_owned(), "b".to_owned());
    others[4].port = 2;
    others[5] = checked(plain.clone(), CheckKind::Tcp, None);
    for (n, other) in others.iter().enumerate() {
        let same = registry.canonical(other).fingerprint == registry.canonical(&plain).fingerprint;
        assert_eq!(same, n == 0, "{n}");
    }
}

#[tokio::test]
async fn dockers_health_is_a_check_of_its_own() {
    let registry = embedded("n", "");
    let server = registry.http_address().unwrap();
    for (health, status) in [
        (Health::Starting, "warning"),
        (Health::Unhealthy, "critical"),
        (Health::Healthy, "passing"),
        (Health::None, ""),
    ] {
        let mut web = service("web:80", "web", "10.0.0.1", 80);
        web.health = health;
        registry.register(&[Arc::new(web)]).await;
        let told = get(server, "/v1/health/service/web").await.json();
        let checks = told[0]["Checks"].as_array().unwrap().clone();
        assert_eq!(checks[0]["CheckID"], "serfHealth");
        let docker = checks.get(1).cloned().unwrap_or_default();
        assert_eq!(docker["Status"].as_str().unwrap_or_default(), status);
        if !status.is_empty() {
            assert_eq!((docker["CheckID"].as_str(), docker["Type"].as_str()), (Some("docker:web:80"), Some("docker")));
        }
        let passing = get(server, "/v1/health/service/web?passing").await.json();
        assert_eq!(passing.as_array().unwrap().len(), usize::from(["passing", ""].contains(&status)), "{status}");
    }
}

#[tokio::test]
async fn a_ttl_check_passes_while_it_is_refreshed_and_no_longer() {
    let registry = embedded("n", "");
    let server = registry.http_address().unwrap();
    let ttl = Duration::from_secs(4);
    let web = Arc::new(checked(service("i", "web", "10.0.0.1", 80), CheckKind::Ttl(ttl), None));
    assert_eq!(registry.refresh_interval(&web), Some(ttl / 3));
    assert!(matches!(registry.refresh(&[Arc::clone(&web)]).await[..], [Err(RegistryError::Refused { .. })]));
    registry.register(&[Arc::clone(&web)]).await;
    let status = async || get(server, "/v1/health/checks/web").await.json()[0]["Status"].as_str().unwrap().to_owned();
    for _ in 0..3 {
        tokio::time::sleep(ttl / 3).await;
        assert_eq!(status().await, "passing");
        assert_eq!(registry.refresh(&[Arc::clone(&web)]).await, [Ok(())]);
    }
    // Who waits for it hears that it ends.
    let index = get(server, "/v1/health/service/web").await.index();
    let told = get(server, &format!("/v1/health/service/web?index={index}&wait=20s")).await.json();
    assert_eq!(told[0]["Checks"][1]["Output"], "TTL expired");
    assert_eq!(status().await, "critical");
    registry.refresh(&[web]).await;
    assert_eq!(status().await, "passing");
}

#[tokio::test]
async fn a_script_runs_only_where_the_uri_allows_it() {
    let script = |line: &str| {
        let kind = CheckKind::Script(line.to_owned());
        [Arc::new(checked(service("i", "web", "10.0.0.1", 80), kind, None))]
    };
    let closed = embedded("n", "");
    let refused = closed.register(&script("true")).await;
    assert!(
        matches!(&refused[..], [Err(RegistryError::Refused { text: why, .. })] if why.contains("script-checks=true"))
    );
    let open = embedded("n", "&script-checks=true");
    let server = open.http_address().unwrap();
    for (line, status, output) in
        [("echo well", "passing", "well\n"), ("echo so; exit 1", "warning", "so\n"), ("exit 2", "critical", "")]
    {
        assert_eq!(open.register(&script(line)).await, [Ok(())]);
        eventually(server, "/v1/health/checks/web", |checks| {
            checks[0]["Status"] == status && checks[0]["Output"] == output
        })
        .await;
    }
}

/// Asks until the answer is as wanted, for ten seconds.
async fn eventually(server: std::net::SocketAddr, path: &str, wanted: impl Fn(&Value) -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        let told = get(server, path).await.json();
        if wanted(&told) {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{path}: {told:#}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn prometheus_is_told_targets_with_labels() {
    let registry = embedded("n1", "");
    let server = registry.http_address().unwrap();
    let mut web = tagged(service("web:80", "web", "fd00::1", 80), &["a", "b"]);
    Arc::make_mut(&mut web.attributes).insert("metrics-path".to_owned(), "/m".to_owned());
    registry.register(&[Arc::new(web), Arc::new(service("db:1", "db", "10.0.0.1", 1))]).await;
    assert_eq!(get(server, "/sd/prometheus").await.json().as_array().unwrap().len(), 2);
    let answer = get(server, "/sd/prometheus?service=web").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    assert_eq!(
        answer.json(),
        json!([{"targets": ["[fd00::1]:80"], "labels": {
            "__meta_registrator_service": "web",
            "__meta_registrator_service_id": "web:80",
            "__meta_registrator_address": "fd00::1",
            "__meta_registrator_port": "80",
            "__meta_registrator_protocol": "tcp",
            "__meta_registrator_tags": ",a,b,",
            "__meta_registrator_node": "n1",
            "__meta_registrator_datacenter": "dc1",
            "__meta_registrator_health": "passing",
            "__meta_registrator_attribute_metrics_path": "/m",
        }}])
    );
    assert_eq!(get(server, "/sd/prometheus?service=web&tag=c").await.json(), json!([]));
}
