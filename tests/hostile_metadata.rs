//! What a container's metadata, ports and health may do to others: cost time that they wait for.
//!
//! Each test looks through the eyes of another container, which is started and ends while the attack goes on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has failed")]

mod support;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use support::{HOST, SOON, id, ids, registrator_with, services};
use testkit::consul::Consul;
use testkit::docker::{Spec, unique};
use testkit::private_engine::PrivateEngine;
use testkit::wait::{becomes, eventually};

/// How soon another container is registered once it runs, whatever an attacker does.
const REGISTERED: Duration = Duration::from_secs(2);

/// How soon its entry is gone once it has ended.
const REMOVED: Duration = Duration::from_secs(5);

/// An image that exposes all ports, and whose health flips each second.
const ALL_PORTS: [&str; 2] = [
    "EXPOSE 1-65535",
    r#"HEALTHCHECK --interval=1s --timeout=2s --retries=1 CMD ["/bin/busybox", "sh", "-c", "test $(( $(/bin/busybox date +%s) % 2 )) = 0"]"#,
];

/// Starts containers one after the other, and looks how long each takes to be registered and removed.
/// The machine may be busy with something else for a while, so the best of three counts: an attack goes on all the time.
async fn victims(consul: &Consul, spec: impl Fn(&str) -> Spec) {
    let mut times = Vec::new();
    for _ in 0..3 {
        let name = unique("victim");
        let container = spec(&name).start();
        let begun = Instant::now();
        let id = id(&container, "80");
        let held = async || services(consul, &name).await.contains_key(&id);
        becomes(true, SOON, held).await;
        let registered = begun.elapsed();
        container.remove();
        let begun = Instant::now();
        becomes(false, SOON, held).await;
        times.push((registered, begun.elapsed()));
    }
    let best = |of: fn(&(Duration, Duration)) -> Duration| times.iter().map(of).min().unwrap();
    assert!(best(|times| times.0) <= REGISTERED && best(|times| times.1) <= REMOVED, "{times:?}");
}

/// Waits until the health of the attacker has flipped a few times while we looked.
async fn flips(engine: &PrivateEngine, name: &str) {
    let mut seen = String::new();
    for _ in 0..3 {
        let health = || engine.docker(&["inspect", "--format", "{{.State.Health.Status}}", name]);
        seen = eventually("the health flips", SOON, async || Some(health()).filter(|health| *health != seen)).await;
    }
}

/// Runs the program with these options beside a container with all ports on this network: one line says what becomes of
/// them, so many are registered, and a victim on that other network is served all the time.
async fn all_ports(options: &[&str], (attacks, suffers): (&str, &str), said: &str, registered: usize) {
    let engine = PrivateEngine::start(false).await;
    engine.build("all-ports", &ALL_PORTS);
    engine.docker(&["network", "create", "net"]);
    let attacker = engine.docker(&["run", "-d", "--network", attacks, "all-ports", "sleep", "3600"]);
    let short = &attacker[..12];
    let consul = Consul::start().await;
    let host = engine.host();
    let program = registrator_with(&consul.uri(), options, &[("DOCKER_HOST", &host)]);
    program.wait_for(&format!("ignored: {short} {said}")).await;
    becomes(registered, SOON, async || ids(&consul, HOST).await.len()).await;
    flips(&engine, &attacker).await;
    let spec = |name: &str| Spec::new(name).on(&engine.socket()).network(suffers).expose("80/tcp").shell("sleep 3600");
    victims(&consul, spec).await;
    let lines: Vec<_> = program.log().into_iter().filter(|line| line.contains(short)).collect();
    let noise = lines.iter().filter(|line| !line.contains(" added: ")).count();
    assert_eq!(noise, 1, "{lines:#?}");
}

#[tokio::test]
async fn an_image_with_all_ports_and_a_health_that_flips_delays_nobody() {
    all_ports(&[], ("net", "host"), "65,535 ports not published on host", 0).await;
}

#[tokio::test]
async fn a_container_has_so_many_services_and_the_others_their_turn() {
    let said = "services on 64,535 more ports: a container may have 1,000 services (-max-services)";
    all_ports(&["-internal"], ("net", "net"), said, 1000).await;
}

#[tokio::test]
async fn how_many_services_a_container_may_have_is_an_option() {
    let said = "services on 65,528 more ports: a container may have 7 services (-max-services)";
    all_ports(&["-max-services", "7"], ("host", "host"), said, 7).await;
}

#[tokio::test]
async fn addresses_that_are_silent_delay_no_other_container() {
    // They take connections, and say nothing.
    let silent: Vec<_> = (0..23).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let attack = |listener: &TcpListener| {
        let url = format!("http://{}/", listener.local_addr().unwrap());
        Spec::new(&unique("asks")).publish("80/tcp").label("meta", &url).start()
    };
    let (first, then) = silent.split_at(20);
    let attackers: Vec<_> = first.iter().map(attack).collect();
    let early = Spec::new(&unique("early")).publish("80/tcp").start();
    let consul = Consul::start().await;
    let template = r#"all{{with index .Config.Labels "meta"}},{{httpGet .}}{{end}}"#;
    let program = registrator_with(&consul.uri(), &["-tags", template], &[]);
    program.wait_for("Syncing services").await;
    let begun = Instant::now();
    let id_of_early = id(&early, "80");
    becomes(true, SOON, async || services(&consul, &early.name).await.contains_key(&id_of_early)).await;
    assert!(begun.elapsed() <= REMOVED, "{:?}", begun.elapsed());
    // New attackers, so that some wait at any time.
    let more: Vec<_> = then.iter().map(attack).collect();
    victims(&consul, |name| Spec::new(name).publish("80/tcp")).await;
    // Those who asked are registered as well, without what they asked for.
    for attacker in attackers.iter().chain(&more) {
        let tags =
            async || services(&consul, &attacker.name).await.values().map(|it| it["Tags"].clone()).collect::<Vec<_>>();
        becomes(vec![serde_json::json!(["all"])], SOON, tags).await;
    }
    program.wait_for("httpGet from 127.0.0.1: no answer in time").await;
}
