//! Traefik's HTTP provider, without any store: the status and the embedded registry.

use std::net::SocketAddr;

use testkit::traefik::Traefik;
use testkit::wait::{becomes, eventually};

use crate::fixture::{Host, Server};
use crate::support::SOON;
use crate::support::status::Status;

#[tokio::test(flavor = "multi_thread")]
async fn traefik_follows_the_status_and_the_embedded_registry() {
    let host = Host::start("hosta", "embedded://127.0.0.1:0?dns=off", &["-traefik", "-status", "127.0.0.1:0"]).await;
    let embedded = embedded(&host).await;
    let status = Status::of(&host.program).await.address;
    let (one, two) = (Server::start("one").await, Server::start("two").await);
    for place in [status, embedded] {
        let endpoint = format!("http.endpoint=http://{place}/traefik?exposed=false");
        let traefik = Traefik::start(&[&endpoint, "http.pollInterval=1s"]).await;
        let labelled = |server: &Server, name: &str| {
            let container = server.container(name).label("traefik.enable", "true");
            container
                .label("traefik.http.routers.r.rule", "Host(`r`)")
                .label("traefik.http.routers.r.service", "s")
                .label("traefik.http.services.s.loadbalancer.server.port", "80")
        };
        let first = host.engine.run(labelled(&one, "one"));
        let hidden = host.engine.run(one.container("hidden"));
        becomes(vec![one.url()], SOON, async || traefik.servers("http", "s@http").await).await;
        let second = host.engine.run(labelled(&two, "two"));
        let both = async || traefik.servers("http", "s@http").await.len();
        becomes(2, SOON, both).await;
        assert_eq!(traefik.names("http/routers", "http").await, ["r"]);
        let answered = async || Some(traefik.get("r", "/").await?.status).filter(|status| *status == 200);
        eventually("Traefik answers", SOON, answered).await;
        host.engine.stop(&first, 0);
        becomes(vec![two.url()], SOON, async || traefik.servers("http", "s@http").await).await;
        for id in [first, hidden, second] {
            host.engine.remove(&id);
        }
        becomes(Vec::<String>::new(), SOON, async || traefik.servers("http", "s@http").await).await;
    }
}

/// Where the embedded registry of a host serves HTTP.
async fn embedded(host: &Host) -> SocketAddr {
    let line = host.program.wait_for("embedded: HTTP on ").await;
    let rest = line.split("embedded: HTTP on ").nth(1).unwrap();
    rest.split(',').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_request_is_said_and_nothing_is_served_without_being_asked_for() {
    let host = Host::start("hosta", "embedded://127.0.0.1:0?dns=off", &["-traefik", "-status", "127.0.0.1:0"]).await;
    let embedded = embedded(&host).await;
    let status = Status::of(&host.program).await;
    let embedded = Status { address: embedded, https: false };
    for place in [status, embedded] {
        let reply = place.get("/traefik?exposed=perhaps").await;
        let said = String::from_utf8_lossy(&reply.body).into_owned();
        assert_eq!((reply.status, said.trim()), (400, "exposed=\"perhaps\" is neither true nor false"));
        // Until the containers are listed, nothing is said that would take routes away.
        let empty = async || Some(place.get("/traefik?other=1").await).filter(|reply| reply.status == 200);
        assert_eq!(eventually("it is served", SOON, empty).await.body.trim_ascii(), b"{}");
    }
    let host = Host::start("hosta", "embedded://127.0.0.1:0?dns=off", &["-status", "127.0.0.1:0"]).await;
    let reply = Status::of(&host.program).await.get("/traefik").await;
    let said = String::from_utf8_lossy(&reply.body).into_owned();
    assert_eq!((reply.status, said.trim()), (404, "labels for Traefik are not read: run registrator with -traefik"));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_definitions_one_counts_and_one_line_says_so() {
    let host = Host::start("hosta", "embedded://127.0.0.1:0?dns=off", &["-traefik", "-status", "127.0.0.1:0"]).await;
    let status = Status::of(&host.program).await;
    let server = Server::start("one").await;
    let defined = |name: &str, rule: &str, created: &str| {
        let container = server.container(name).label("traefik.http.routers.r.rule", rule);
        container.with("/Created", serde_json::json!(created))
    };
    host.engine.run(defined("new", "Host(`new`)", "2022-01-01T00:00:00Z"));
    host.engine.run(defined("old", "Host(`old`)", "2020-01-01T00:00:00Z"));
    let rule = async || {
        let document: serde_json::Value = serde_json::from_slice(&status.get("/traefik").await.body).ok()?;
        document["http"]["routers"]["r"]["rule"].as_str().map(str::to_owned)
    };
    becomes(Some("Host(`old`)".to_owned()), SOON, rule).await;
    host.program.wait_for("traefik: \"http/routers/r\" counts as \"hosta:old:80\" defines it").await;
    for _ in 0..3 {
        rule().await;
    }
    assert_eq!(host.program.logged("traefik: \"http/routers/r\""), 1);
}
