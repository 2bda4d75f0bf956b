//! Real resolvers: the C library's, and dnsmasq, which asks us for our zone.

use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use registrator_embedded::dns::Settings;
use testkit::wait::eventually;

use crate::fixture::{Fixture, Running, serve, serve_at, settings};

fn run(program: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).output().unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// A server on port 53 of a loopback address that nobody else has.
fn serve_on_53(settings: Settings, fixture: &Fixture) -> Running {
    for _ in 0..20 {
        let address = SocketAddr::from(([127, 53, fastrand::u8(1..255), fastrand::u8(1..255)], 53));
        // Only to see whether it is free: serving it panics if it is not.
        if std::net::TcpListener::bind(address).is_ok() {
            return serve_at(address, settings, fixture.clone());
        }
    }
    panic!("port 53 of no loopback address can be bound: these tests run as root");
}

/// `getent` with a resolv.conf of its own, in a mount namespace of its own.
fn getent(resolv_conf: &str, database: &str, name: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("resolv.conf");
    std::fs::write(&file, resolv_conf).unwrap();
    let nsswitch = folder.path().join("nsswitch.conf");
    std::fs::write(&nsswitch, "hosts: dns\n").unwrap();
    let script = format!(
        "mount --bind {} /etc/resolv.conf && mount --bind {} /etc/nsswitch.conf && exec getent {database} {name}",
        file.display(),
        nsswitch.display()
    );
    run("unshare", &["--mount", "sh", "-c", &script])
}

fn addresses(output: &Output) -> Vec<IpAddr> {
    let text = String::from_utf8_lossy(&output.stdout);
    let mut addresses: Vec<_> = text.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
    addresses.sort();
    addresses.dedup();
    addresses
}

#[tokio::test(flavor = "multi_thread")]
async fn the_c_library_finds_a_service_by_its_bare_name() {
    let mut fixture = Fixture::with_node("Box", &["192.0.2.1"], &[("rack", "r1")]);
    fixture.add("web", "10.0.0.1", 80, &[]);
    fixture.add("web", "2001:db8::1", 80, &[]);
    fixture.add("alias", "web.service.consul", 80, &[]);
    let server = serve_on_53(settings("Box"), &fixture);
    let conf = format!("nameserver {}\nsearch service.consul\noptions timeout:2 attempts:1\n", server.address.ip());
    let expected: Vec<IpAddr> = vec!["10.0.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    for name in ["web", "WEB", "web.service.consul", "web.service.dc1.consul.", "alias"] {
        let output = getent(&conf, "ahosts", name);
        assert_eq!(addresses(&output), expected, "{name}: {output:?}");
    }
    let none = getent(&conf, "ahosts", "nope");
    assert_eq!(none.status.code(), Some(2), "{none:?}");
    let reverse = getent(&conf, "hosts", "10.0.0.1");
    assert!(String::from_utf8_lossy(&reverse.stdout).contains("web.service.dc1.consul"), "{reverse:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_c_library_gets_all_instances_over_tcp_when_they_do_not_fit_a_datagram() {
    let mut fixture = Fixture::with_node("Box", &["192.0.2.1"], &[("rack", "r1")]);
    for host in 1..=200 {
        fixture.add("many", &format!("10.1.0.{host}"), 80, &[]);
    }
    let server = serve_on_53(settings("Box"), &fixture);
    let conf = format!("nameserver {}\noptions timeout:2 attempts:1 edns0\n", server.address.ip());
    let output = getent(&conf, "ahosts", "many.service.consul");
    assert_eq!(addresses(&output).len(), 200, "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_c_library_goes_on_to_its_next_server_for_other_names() {
    let mut fixture = Fixture::with_node("Box", &["192.0.2.1"], &[("rack", "r1")]);
    fixture.add("web", "10.0.0.1", 80, &[]);
    let ours = serve_on_53(settings("Box"), &fixture);
    fixture.add("web", "10.9.9.9", 80, &[]);
    let next = serve_on_53(Settings::new("example", "dc1", "Box").unwrap(), &fixture);
    let conf =
        format!("nameserver {}\nnameserver {}\noptions timeout:2 attempts:1\n", ours.address.ip(), next.address.ip());
    assert_eq!(addresses(&getent(&conf, "ahosts", "web.service.example")).len(), 2);
    assert_eq!(addresses(&getent(&conf, "ahosts", "web.service.consul")).len(), 1);
}

/// A dnsmasq that asks a server of ours for the zone and for the names of one network; killed when dropped.
struct Dnsmasq {
    address: SocketAddr,
    child: Child,
}

impl Dnsmasq {
    fn start(ours: SocketAddr) -> Self {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let server = format!("{}#{}", ours.ip(), ours.port());
        let child = Command::new("dnsmasq")
            .args(["--no-daemon", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=", "--user=root"])
            .args(["--bind-interfaces", "--listen-address=127.0.0.1", &format!("--port={}", address.port())])
            .args([format!("--server=/consul/{server}"), format!("--rev-server=10.0.0.0/8,{server}")])
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("dnsmasq: {error}: run dev/install-servers"));
        Self { address, child }
    }
}

impl Drop for Dnsmasq {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dnsmasq_forwards_the_zone_from_any_port() {
    let mut fixture = Fixture::with_node("Box", &["192.0.2.1"], &[("rack", "r1")]);
    fixture.add("web", "10.0.0.1", 8001, &["blue"]);
    let server = serve(settings("Box"), fixture);
    let dnsmasq = Dnsmasq::start(server.address);
    let ask = async |name: &str, kind: &str| {
        let (at, port) = (format!("@{}", dnsmasq.address.ip()), dnsmasq.address.port().to_string());
        let dig = run("dig", &[&at, "-p", &port, "+noall", "+answer", "+comments", "+tries=1", "+time=2", name, kind]);
        String::from_utf8_lossy(&dig.stdout).replace('\t', " ")
    };
    eventually("dnsmasq serves", Duration::from_secs(30), async || {
        ask("web.service.consul", "A").await.contains("10.0.0.1").then_some(())
    })
    .await;
    for (name, kind, expected) in [
        ("blue.web.service.consul", "A", "10.0.0.1"),
        ("WEB.service.dc1.consul", "SRV", "1 1 8001 0a000001.addr.dc1.consul."),
        ("1.0.0.10.in-addr.arpa", "PTR", "web.service.dc1.consul."),
        ("nope.service.consul", "A", "NXDOMAIN"),
        ("web.service.consul", "AAAA", "NOERROR"),
        ("example.com", "A", "REFUSED"),
    ] {
        let answer = ask(name, kind).await;
        assert!(answer.contains(expected), "{name} {kind}: {answer}");
    }
}
