//! Traefik's keys in stores: hosts share services, and each takes only its own part along.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use testkit::wait::{becomes, eventually, stays};

use crate::fixture::{Host, Server, Store};
use crate::support::SOON;

/// How long a server may still be named after its host died: Consul's sessions live for up to twice their TTL of 10 s.
const AFTER_A_DEATH: Duration = Duration::from_secs(60);

/// How long what only a dead host asked for may stay: its lease of 12 s, and the time that is given to it to come back.
const AFTER_THE_LAST: Duration = Duration::from_secs(120);

/// The program's answer to `explain`, as text.
fn explain(host: &Host, status: &str, container: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_registrator"))
        .args(["explain", container, "-status", status])
        .env_clear()
        .env("DOCKER_HOST", host.engine.host())
        .output()
        .unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Two hosts with a container each share a service; one ends its container, the other dies.
async fn hosts_share_a_service(store: Store) {
    let traefik = store.traefik().await;
    let (one, two) = (Server::start("one").await, Server::start("two").await);
    let host_a = Host::start("hosta", &store.uri("&ttl=10"), &[]).await;
    let host_b = Host::start("hostb", &store.uri("&ttl=10"), &[]).await;
    let labelled = |server: &Server, name: &str| {
        let container = server.container(name).label("traefik.http.routers.shop.rule", "Host(`shop.example`)");
        let container = container.label("traefik.http.routers.shop.middlewares", "hello");
        let container =
            container.label("traefik.http.middlewares.hello.headers.customresponseheaders.X-Hello", "there");
        container.label("traefik.http.services.shop.loadbalancer.server.port", "80")
    };
    let _in_a = host_a.engine.run(labelled(&one, "shop-1"));
    let in_b = host_b.engine.run(labelled(&two, "shop-2"));
    let service = format!("shop@{}", store.provider());
    let mut both = vec![one.url(), two.url()];
    both.sort();
    becomes(both, SOON, async || traefik.servers("http", &service).await).await;
    let answers = async || {
        let reply = traefik.get("shop.example", "/").await?;
        let hello = reply.header("x-hello").map(str::to_owned);
        (reply.status == 200).then(|| (String::from_utf8_lossy(&reply.body).into_owned(), hello))
    };
    let mut seen = BTreeSet::new();
    while seen.len() < 2 {
        let (body, hello) = eventually("Traefik answers", SOON, answers).await;
        assert_eq!(hello.as_deref(), Some("there"));
        seen.insert(body);
    }
    let all = store.keys().await;
    // Nothing is written while nothing changes.
    stays("the keys stay", Duration::from_secs(3), async || store.keys().await == all).await;
    assert_eq!(store.records().await, 2);

    // One host's container ends: the other's server, the router and the middleware stay.
    host_b.engine.stop(&in_b, 0);
    becomes(vec![one.url()], SOON, async || traefik.servers("http", &service).await).await;
    assert_eq!(traefik.names("http/routers", store.provider()).await, ["shop"]);
    host_b.engine.start_container(&in_b);
    eventually("it is back", SOON, async || (traefik.servers("http", &service).await.len() == 2).then_some(())).await;

    // One host dies: its server goes by itself.
    drop(host_a);
    becomes(vec![two.url()], AFTER_A_DEATH, async || traefik.servers("http", &service).await).await;
    let (body, hello) = eventually("Traefik answers", SOON, answers).await;
    assert_eq!((body.as_str(), hello.as_deref()), ("two", Some("there")));

    // The last one takes everything along.
    host_b.engine.stop(&in_b, 0);
    becomes(Vec::<String>::new(), AFTER_THE_LAST, async || store.keys().await.into_keys().collect()).await;
    if matches!(store.provider(), "redis" | "zookeeper") {
        // Of a tree that is empty Traefik takes nothing there, and keeps what it had (docs/traefik.md).
        return;
    }
    let nothing = async || traefik.names("http/routers", store.provider()).await;
    becomes(Vec::<String>::new(), SOON, nothing).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_share_a_service_in_etcd_and_each_takes_only_its_servers_along() {
    hosts_share_a_service(Store::etcd().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_share_a_service_in_consul_and_each_takes_only_its_servers_along() {
    hosts_share_a_service(Store::consul().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_share_a_service_in_redis_and_each_takes_only_its_servers_along() {
    hosts_share_a_service(Store::redis().await).await;
}

#[cfg(feature = "zookeeper")]
#[tokio::test(flavor = "multi_thread")]
async fn hosts_share_a_service_in_zookeeper_and_each_takes_only_its_servers_along() {
    hosts_share_a_service(Store::zookeeper().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_label_stops_nobody_and_is_named_in_the_log_and_by_explain() {
    let store = Store::etcd().await;
    let traefik = store.traefik().await;
    let (good, bad) = (Server::start("good").await, Server::start("bad").await);
    let host = Host::start("hosta", &store.uri(""), &["-status", "127.0.0.1:0"]).await;
    let status = crate::support::status::Status::of(&host.program).await.address.to_string();
    let container = bad.container("app").label("traefik.http.routers.app.priority", "notanumber");
    let container = container.label("traefik.http.services.app.loadbalancer.nosuch", "1");
    host.engine.run(container.label("traefik.http.routers.app.rule", "Host(`app.example`)"));
    host.engine.run(good.container("good"));
    let names = async || traefik.names("http/routers", "etcd").await;
    becomes(vec!["app".to_owned(), "good".to_owned()], SOON, names).await;
    let left_out = "label traefik.http.routers.app.priority=\"notanumber\" is left out of Traefik's configuration: it \
                    must be a whole number";
    host.program.wait_for(left_out).await;
    let unknown =
        "label traefik.http.services.app.loadbalancer.nosuch is left out of Traefik's configuration: Traefik 3.7";
    host.program.wait_for(unknown).await;
    let said = explain(&host, &status, "app");
    assert!(said.contains(left_out) && said.contains("a server of http/services/app, http/routers/app"), "{said}");
    assert!(!traefik.log().contains("field not found"), "{}", traefik.log());
    for (name, body) in [("app.example", "bad"), ("good", "good")] {
        let answered = async || Some(traefik.get(name, "/").await?.body).filter(|answer| answer == body.as_bytes());
        eventually("Traefik answers", SOON, answered).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_over_a_router_by_defining_it_again() {
    let store = Store::consul().await;
    let traefik = store.traefik().await;
    let (old, new) = (Server::start("old").await, Server::start("new").await);
    let host_a = Host::start("hosta", &store.uri(""), &[]).await;
    let host_b = Host::start("hostb", &store.uri(""), &["-status", "127.0.0.1:0"]).await;
    let status = crate::support::status::Status::of(&host_b.program).await.address.to_string();
    let defined = |server: &Server, name: &str, rule: &str, created: &str| {
        let container = server.container(name).label("traefik.http.routers.bank.rule", rule);
        container.label("traefik.http.routers.bank.service", name).with("/Created", json!(created))
    };
    let first = host_a.engine.run(defined(&old, "old", "Host(`bank`)", "2020-01-01T00:00:00Z"));
    let rule = async || traefik.ask("/api/http/routers/bank@consul").await["rule"].as_str().map(str::to_owned);
    becomes(Some("Host(`bank`)".to_owned()), SOON, rule).await;
    host_b.engine.run(defined(&new, "new", "Host(`bank`) || Host(`evil`)", "2021-01-01T00:00:00Z"));
    let said = host_b
        .program
        .wait_for("traefik: hostb:new:80: http/routers/bank counts as hosta:old:80 of the owner hosta")
        .await;
    assert!(said.ends_with("whose container is older; give one of them another name"), "{said}");
    becomes(vec![new.url()], SOON, async || traefik.servers("http", "new@consul").await).await;
    assert_eq!(rule().await.as_deref(), Some("Host(`bank`)"));
    let told = explain(&host_b, &status, "new");
    assert!(told.contains("http/routers/bank counts as hosta:old:80"), "{told}");
    // When the older one goes, the other counts.
    host_a.engine.stop(&first, 0);
    becomes(Some("Host(`bank`) || Host(`evil`)".to_owned()), SOON, rule).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_written_by_hand_stay_and_what_others_remove_is_put_back() {
    let store = Store::etcd().await;
    store.set("http/routers/static/rule", Some("Host(`static`)")).await;
    store.set("http/routers/web/priority", Some("7")).await;
    let server = Server::start("web").await;
    let host = Host::start("hosta", &store.uri(""), &[]).await;
    let web = host.engine.run(server.container("web"));
    let has = async |key: &str| store.keys().await.get(key).cloned();
    becomes(Some("Host(`web`)".to_owned()), SOON, async || has("http/routers/web/rule").await).await;
    store.set("http/routers/web/rule", None).await;
    becomes(Some("Host(`web`)".to_owned()), SOON, async || has("http/routers/web/rule").await).await;
    store.set("http/routers/web/rule", Some("Host(`other`)")).await;
    becomes(Some("Host(`web`)".to_owned()), SOON, async || has("http/routers/web/rule").await).await;
    host.engine.stop(&web, 0);
    let left = ["http/routers/static/rule", "http/routers/web/priority"].map(str::to_owned).to_vec();
    becomes(left, SOON, async || store.keys().await.into_keys().collect()).await;
    assert_eq!(store.records().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_starts_again_finds_its_part_and_writes_nothing() {
    let store = Store::etcd().await;
    let server = Server::start("web").await;
    let Host { engine, program } = Host::start("hosta", &store.uri("&ttl=60"), &[]).await;
    engine.populate(20, |number| server.container(&format!("web{number}")));
    let full = async || (store.keys().await.len() == 60).then_some(());
    eventually("everything is written", SOON, full).await;
    let Store::Etcd(etcd) = &store else { unreachable!() };
    let versions = || etcd.ctl(&["get", "traefik/", "--prefix", "--write-out=fields"]);
    let before = versions();
    let changes =
        |text: &str| text.lines().filter(|line| line.contains("ModRevision")).map(str::to_owned).collect::<Vec<_>>();
    drop(program);
    let program = Host::program(&engine, "hosta", &store.uri("&ttl=60"), &[]);
    program.wait_for("Listening for Docker events").await;
    stays("nothing is written", Duration::from_secs(20), async || changes(&versions()) == changes(&before)).await;
    // What ended meanwhile is removed.
    drop(program);
    let gone: Vec<String> = engine.running().into_iter().take(5).collect();
    gone.iter().for_each(|id| engine.remove(id));
    let _program = Host::program(&engine, "hosta", &store.uri("&ttl=60"), &["-cleanup"]);
    eventually("the rest is there", SOON, async || (store.keys().await.len() == 45).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn containers_that_are_not_for_traefik_leave_no_trace() {
    let store = Store::etcd().await;
    let server = Server::start("web").await;
    let host = Host::start("hosta", &store.uri("&exposed=false&namespace=prod"), &[]).await;
    host.engine.run(server.container("unlabelled"));
    host.engine.run(server.container("elsewhere").label("traefik.enable", "true").label("kop.namespace", "dev"));
    host.engine.run(server.container("off").label("traefik.enable", "false").label("kop.namespace", "prod"));
    let sick = server.container("sick").label("traefik.enable", "true").label("kop.namespace", "prod");
    let sick = host.engine.run(sick.health("starting"));
    host.engine.run(server.container("web").label("traefik.enable", "true").label("kop.namespace", "prod"));
    let routers = async || {
        let keys = store.keys().await.into_keys();
        let names = keys.filter_map(|key| Some(key.strip_prefix("http/routers/")?.split('/').next()?.to_owned()));
        names.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    becomes(vec!["web".to_owned()], SOON, routers).await;
    assert_eq!(store.records().await, 1);
    host.engine.set_health(&sick, "healthy");
    becomes(vec!["sick".to_owned(), "web".to_owned()], SOON, routers).await;
    host.engine.set_health(&sick, "unhealthy");
    becomes(vec!["web".to_owned()], SOON, routers).await;
}
