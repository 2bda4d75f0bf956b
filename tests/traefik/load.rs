//! Requests through Traefik while containers of two hosts come and go: none is lost.

use std::collections::VecDeque;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;
use testkit::docker::{Container, Spec, unique};
use testkit::program::Program;
use testkit::traefik::Traefik;
use testkit::wait::{becomes, eventually};

use crate::fixture::Store;
use crate::support::SOON;

/// How long requests are made.
const LOAD: Duration = Duration::from_secs(16);

/// A container that answers, and goes on answering after it was told to stop, for longer than Traefik on a busy machine
/// needs to be told and to follow.
fn container(site: &str, host: usize) -> Container {
    let serve = "mkdir /www; echo well >/www/index.html; httpd -p 80 -h /www; trap 'sleep 8; exit 0' TERM; \
                 while :; do sleep 3600 & wait $!; done";
    let container = Spec::new(&unique("app")).shell(serve).publish_at("80/tcp", "127.0.0.1", "");
    // Until it answers, it is not healthy, and so no server.
    let second = 1_000_000_000_u64;
    let probe = json!(["CMD-SHELL", "wget -q -O /dev/null http://127.0.0.1/"]);
    let healthcheck = json!({"Test": probe, "Interval": second, "Timeout": 5 * second, "Retries": 20});
    let container = container.with("Healthcheck", healthcheck);
    let container = container.label("traefik.enable", "true").label("kop.namespace", &format!("{site}-{host}"));
    let container = container.label(&format!("traefik.http.routers.{site}.rule"), "Host(`app.example`)");
    container.label(&format!("traefik.http.services.{site}.loadbalancer.server.port"), "80").start()
}

/// The containers are the servers that Traefik has.
async fn has(traefik: &Traefik, service: &str, containers: &VecDeque<Container>) {
    let url = |container: &Container| format!("http://127.0.0.1:{}", container.host_port("80/tcp"));
    let mut expected: Vec<_> = containers.iter().map(url).collect();
    expected.sort();
    becomes(expected, SOON, async || traefik.servers("http", service).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_lost_while_containers_of_two_hosts_come_and_go() {
    let store = Store::consul().await;
    let traefik = store.traefik().await;
    let site = unique("site");
    // Two hosts on one engine: each takes the containers of its own namespace.
    let hosts: Vec<Program> = (0..2)
        .map(|host| {
            let uri = store.uri(&format!("&exposed=false&namespace={site}-{host}"));
            let name = format!("host{host}");
            let arguments = ["-hostname", &name, "-ip", "127.0.0.1", "-drain", "1", &uri];
            Program::start(Path::new(env!("CARGO_BIN_EXE_registrator")), arguments, [])
        })
        .collect();
    let service = format!("{site}@consul");
    let mut containers: VecDeque<_> = (0..4).map(|number| container(&site, number % 2)).collect();
    has(&traefik, &service, &containers).await;
    let answered = async || {
        let reply = traefik.get("app.example", "/").await?;
        (reply.status == 200 && reply.body == b"well\n").then_some(())
    };
    eventually("Traefik answers", SOON, answered).await;
    let wrk = Command::new("wrk")
        .args(["-t1", "-c4", &format!("-d{}s", LOAD.as_secs()), "-H", "Host: app.example"])
        .arg(format!("http://{}/", traefik.web()))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let began = Instant::now();
    let (mut stopping, mut round) = (Vec::new(), 0);
    while began.elapsed() + Duration::from_secs(5) < LOAD {
        containers.push_back(container(&site, round % 2));
        has(&traefik, &service, &containers).await;
        let oldest = containers.pop_front().unwrap();
        stopping.push(std::thread::spawn(move || oldest.act("stop?t=20")));
        has(&traefik, &service, &containers).await;
        round += 1;
    }
    let said = String::from_utf8_lossy(&wrk.wait_with_output().unwrap().stdout).into_owned();
    for container in stopping {
        container.join().unwrap();
    }
    assert!(!said.contains("Socket errors") && !said.contains("Non-2xx"), "{said}\n{}", traefik.log());
    let requests = said.lines().find_map(|line| line.trim().split_once(" requests in ")?.0.parse::<u64>().ok());
    assert!(requests.is_some_and(|requests| requests > 100) && round > 0, "{said}");
    has(&traefik, &service, &containers).await;
    // What one host wrote is gone with its containers, and the other's stays.
    let of_first =
        |container: &Container| container.inspect()["Config"]["Labels"]["kop.namespace"] == format!("{site}-0");
    containers.retain(|container| !of_first(container));
    has(&traefik, &service, &containers).await;
    containers.clear();
    becomes(Vec::<String>::new(), SOON, async || store.keys().await.into_keys().collect()).await;
    drop(hosts);
}
