//! What one does with several hosts, from the first command to the last: a cluster of Consul and one of etcd over three hosts,
//! each with an engine, an address and the usual ports of its own, and containers that find services by name.

// In a test, a panic is the message; here its helpers, too, which clippy does not take for tests.
#![allow(clippy::expect_used, clippy::panic)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use support::SOON;
use tempfile::TempDir;
use testkit::docker::{Container, Spec};
use testkit::hosts::{Host, Hosts};
use testkit::program::Program;
use testkit::servers::binary;
use testkit::wait::{becomes, eventually};

const REGISTRATOR: &str = env!("CARGO_BIN_EXE_registrator");

/// The program on a host, as one starts it there.
fn registrator(host: &Host, uri: &str) -> Program {
    let address = host.address.to_string();
    host.run(Path::new(REGISTRATOR), &["-hostname", &host.name, "-ip", &address, uri])
}

/// A web server on a host, at its port 8080, which answers with that host's name.
fn web(host: &Host) -> Container {
    let serve = format!("busybox mkdir /www; echo {} >/www/index.html; exec busybox httpd -f -p 80 -h /www", host.name);
    let spec = Spec::new("web").on(&host.engine.socket()).env("SERVICE_NAME=web").publish_at("80/tcp", "", "8080");
    spec.shell(&serve).start()
}

/// What a container on this host prints that asks this server for names.
fn in_container(host: &Host, dns: &str, line: &str) -> String {
    host.shell(&format!("docker run --rm --dns {dns} {} sh -c '{line}'", testkit::docker::IMAGE))
}

/// The lines of a text, each once.
fn lines(text: &str) -> BTreeSet<String> {
    text.lines().map(str::to_owned).collect()
}

fn names<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(str::to_owned).into()
}

/// Whom a container meets that asks the web twenty times, by a name of Consul's. Without a time-out, on which Debian's static
/// busybox crashes.
fn met(host: &Host, dns: &str) -> BTreeSet<String> {
    let ask = "for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do \
               busybox wget -q -O - http://web.service.consul:8080/ || echo nobody; done";
    lines(&in_container(host, dns, ask))
}

/// Starts a server of Consul's on each, as one cluster.
async fn consul(hosts: &Hosts, folder: &TempDir) -> Vec<Program> {
    let servers = hosts.all().iter().map(|host| {
        let (address, data) = (host.address.to_string(), folder.path().join(&host.name).display().to_string());
        let all = ["agent", "-server", "-bootstrap-expect", "3", "-node", &host.name, "-bind", &address];
        let more = ["-client", "0.0.0.0", "-dns-port", "53", "-data-dir", &data, "-log-level", "warn"];
        let join = ["-retry-join", "10.0.0.11", "-retry-interval", "1s", "-hcl", "performance { raft_multiplier = 1 }"];
        host.run(&binary("consul"), &[&all[..], &more, &join].concat())
    });
    let servers = servers.collect();
    for host in hosts.all() {
        eventually("the cluster knows every node", SOON, async || {
            let nodes = host.shell("curl -s http://localhost:8500/v1/catalog/nodes");
            (nodes.matches("\"Node\"").count() == 3).then_some(())
        })
        .await;
    }
    servers
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_on_two_hosts_is_asked_for_on_the_third_by_http_and_dns_of_one_consul_cluster() {
    let (hosts, folder) = (Hosts::start(3).await, TempDir::new().expect("a folder"));
    let [one, two, three] = hosts.all() else { panic!("three hosts") };
    let _servers = consul(&hosts, &folder).await;
    let programs = hosts.all().iter().map(|host| registrator(host, "consul://localhost:8500")).collect::<Vec<_>>();
    let (first, second) = (web(one), web(two));

    let by_http = async || {
        let places = "curl -s http://localhost:8500/v1/catalog/service/web \
                      | jq -r '.[] | \"\\(.ServiceID) \\(.ServiceAddress):\\(.ServicePort)\"'";
        lines(&three.shell(places))
    };
    let by_dns = async || lines(&three.shell("dig +short @127.0.0.1 web.service.consul"));
    let both = names(["host1:web:80 10.0.0.11:8080", "host2:web:80 10.0.0.12:8080"]);
    becomes(both, SOON, by_http).await;
    becomes(names(["10.0.0.11", "10.0.0.12"]), SOON, by_dns).await;
    let ports = lines(&three.shell("dig +short @127.0.0.1 web.service.consul SRV | cut -d ' ' -f 3"));
    assert_eq!(ports, names(["8080"]));
    // The answers alternate: whoever asks often meets both.
    becomes(names(["host1", "host2"]), SOON, async || met(three, "10.0.0.13")).await;

    first.act("stop?t=1");
    programs[0].wait_for("removed: ").await;
    becomes(names(["host2:web:80 10.0.0.12:8080"]), SOON, by_http).await;
    becomes(names(["10.0.0.12"]), SOON, by_dns).await;
    assert_eq!(met(three, "10.0.0.13"), names(["host2"]));
    drop((first, second));
}

/// Starts a server of etcd's on each, as one cluster.
async fn etcd(hosts: &Hosts, folder: &TempDir) -> Vec<Program> {
    let peers = hosts.all().iter().map(|host| format!("{}=http://{}:2380", host.name, host.address));
    let peers = peers.collect::<Vec<_>>().join(",");
    let servers = hosts.all().iter().map(|host| {
        let data = folder.path().join(&host.name).display().to_string();
        let [peer, client] = [2380, 2379].map(|port| format!("http://{}:{port}", host.address));
        let clients = format!("{client},http://127.0.0.1:2379");
        let all = ["--name", &host.name, "--initial-cluster", &peers, "--data-dir", &data];
        let listen = ["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer];
        let serve = ["--listen-client-urls", &clients, "--advertise-client-urls", &client];
        host.run(&binary("etcd"), &[&all[..], &listen, &serve].concat())
    });
    let servers = servers.collect();
    for host in hosts.all() {
        eventually("the cluster has a leader", SOON, async || {
            host.shell("curl -s http://localhost:2379/health").contains("\"health\":\"true\"").then_some(())
        })
        .await;
    }
    servers
}

/// What etcd's own tool finds on this host below `/services`, with the values.
fn keys(host: &Host) -> BTreeMap<String, String> {
    let tool = binary("etcdctl");
    let printed = host.shell(&format!("ETCDCTL_API=3 {} get --prefix /services", tool.display()));
    let mut lines = printed.lines().map(str::to_owned);
    std::iter::from_fn(|| Some((lines.next()?, lines.next()?)))
        .filter(|(key, _)| key.starts_with("/services/"))
        .collect()
}

fn entries<const N: usize>(entries: [(&str, &str); N]) -> BTreeMap<String, String> {
    entries.map(|(key, value)| (key.to_owned(), value.to_owned())).into()
}

/// A folder of confd's with a list of servers to write; and where it is written.
fn rendering(folder: &TempDir) -> (String, PathBuf) {
    let (confdir, list) = (folder.path().join("confd"), folder.path().join("web.conf"));
    for (name, text) in [
        (
            "conf.d/web.toml",
            format!("[template]\nsrc = \"web.tmpl\"\ndest = \"{}\"\nkeys = [\"/services/web\"]\n", list.display()),
        ),
        ("templates/web.tmpl", "{{range getvs \"/services/web/*\"}}server {{.}};\n{{end}}".to_owned()),
    ] {
        let file = confdir.join(name);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder made");
        fs::write(file, text).expect("written");
    }
    (confdir.display().to_string(), list)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_one_node_of_etcd_are_read_on_another_and_a_file_is_rendered_from_them() {
    let (hosts, folder) = (Hosts::start(3).await, TempDir::new().expect("a folder"));
    let [one, two, three] = hosts.all() else { panic!("three hosts") };
    let mut servers = etcd(&hosts, &folder).await;
    // Each writes to any of the three, so that the loss of its own node loses nothing.
    let all = "etcd://127.0.0.1:2379,10.0.0.12:2379,10.0.0.13:2379/services";
    let _programs = [registrator(one, all), registrator(two, "etcd://127.0.0.1:2379/services")];
    let (confdir, list) = rendering(&folder);
    let confd = ["confd", "-confdir", &confdir, "-backend", "etcdv3", "-watch"];
    let _confd = three.run(Path::new(REGISTRATOR), &[&confd[..], &["-node", "http://127.0.0.1:2379"]].concat());
    let rendered = async || fs::read_to_string(&list).unwrap_or_default();

    let (first, second) = (web(one), web(two));
    let at_one = ("/services/web/host1:web:80", "10.0.0.11:8080");
    let at_two = ("/services/web/host2:web:80", "10.0.0.12:8080");
    becomes(entries([at_one, at_two]), SOON, async || keys(three)).await;
    becomes("server 10.0.0.11:8080;\nserver 10.0.0.12:8080;\n".to_owned(), SOON, rendered).await;

    // A node is lost: two are enough, and its host goes on with them.
    drop(servers.remove(0));
    first.act("stop?t=1");
    becomes(entries([at_two]), SOON, async || keys(three)).await;
    becomes("server 10.0.0.12:8080;\n".to_owned(), SOON, rendered).await;
    first.act("start");
    becomes(entries([at_one, at_two]), SOON, async || keys(three)).await;
    becomes("server 10.0.0.11:8080;\nserver 10.0.0.12:8080;\n".to_owned(), SOON, rendered).await;
    drop((first, second));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_finds_another_by_the_dns_of_the_embedded_registry() {
    let hosts = Hosts::start(1).await;
    let [host] = hosts.all() else { panic!("one host") };
    // The address of the engine's bridge, which containers reach.
    let bridge = host
        .shell("ip -4 -o address show docker0")
        .split_whitespace()
        .nth(3)
        .and_then(|it| it.split('/').next().map(str::to_owned));
    let bridge = bridge.expect("a bridge with an address");
    let _program = registrator(host, &format!("embedded:?dns={bridge}:53"));
    let server = web(host);
    becomes(names(["host1"]), SOON, async || met(host, &bridge)).await;
    let short = format!("docker run --rm --dns {bridge} --dns-search service.consul {}", testkit::docker::IMAGE);
    let bare = host.shell(&format!("{short} busybox wget -q -O - http://web:8080/"));
    assert_eq!(bare, "host1\n");
    server.act("stop?t=1");
    becomes(names(["nobody"]), SOON, async || met(host, &bridge)).await;
    drop(server);
}
