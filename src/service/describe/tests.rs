//! The contract's sections on services and addresses, row by row.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use litemap::LiteMap;
use proptest::prelude::*;

use super::*;
use crate::container::{Binding, Health, Moment, NetworkAddress, State};
use crate::service::CheckKind;
use crate::service::decision::CheckPart;
use crate::service::metadata::Source;

const HOST: &str = "192.168.1.102";

/// Other containers, found by name.
#[derive(Default)]
struct Others(Vec<Arc<Container>>);

impl Neighbours for Others {
    fn find(&self, reference: &str) -> Option<Arc<Container>> {
        self.0.iter().find(|container| *container.name == *reference).cloned()
    }
}

fn config() -> ServiceConfig {
    ServiceConfig {
        hostname: "hostname".to_owned(),
        ip: None,
        internal: false,
        explicit: false,
        ip_label: None,
        tags: None,
        ttl: None,
        max_services: 1000,
        traefik: false,
    }
}

fn internal() -> ServiceConfig {
    ServiceConfig { internal: true, ..config() }
}

/// A running container on the engine's bridge at 172.17.0.2, without ports.
fn container(name: &str, image: &str) -> Container {
    let own = NetworkAddress { ipv4: "172.17.0.2".parse().ok(), ipv6: None };
    Container {
        id: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".into(),
        name: name.into(),
        image: image.into(),
        hostname: "0123456789ab".into(),
        env: ["PATH=/bin".to_owned()].into(),
        labels: LiteMap::new(),
        network_mode: NetworkMode::Network("default".to_owned()),
        networks: LiteMap::from_iter([("bridge".to_owned(), own)]),
        ports: Vec::new(),
        state: State::Running { paused: false, health: Health::None },
        created: Moment::default(),
        started: Moment::default(),
        stop: crate::container::Stop::default(),
        inspect: None,
    }
}

/// Short methods that configure a test's container.
trait With: Sized {
    fn env(self, lines: &[&str]) -> Self;
    fn label(self, key: &str, value: &str) -> Self;
    /// A port as `exposed[/protocol]`, published as `[ip>]port`, or not at all.
    fn port(self, exposed: &str, published: &[&str]) -> Self;
    fn mode(self, mode: NetworkMode) -> Self;
    fn networks(self, networks: &[(&str, &str, &str)]) -> Self;
    fn state(self, state: State) -> Self;
}

impl With for Container {
    fn env(mut self, lines: &[&str]) -> Self {
        self.env = self.env.iter().cloned().chain(lines.iter().map(|&line| line.to_owned())).collect();
        self
    }

    fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    fn port(mut self, exposed: &str, published: &[&str]) -> Self {
        let (number, protocol) = exposed.split_once('/').unwrap_or((exposed, "tcp"));
        let bindings = published
            .iter()
            .map(|binding| {
                let (ip, port) = binding.split_once('>').unwrap_or(("0.0.0.0", binding));
                Binding { ip: ip.parse().ok(), port: port.parse().unwrap() }
            })
            .collect();
        self.ports.push(ContainerPort {
            number: number.parse().unwrap(),
            protocol: Protocol::parse(protocol).unwrap(),
            exposed: true,
            bindings,
        });
        self
    }

    fn mode(mut self, mode: NetworkMode) -> Self {
        self.network_mode = mode;
        self
    }

    fn networks(mut self, networks: &[(&str, &str, &str)]) -> Self {
        self.networks = networks
            .iter()
            .map(|&(name, ipv4, ipv6)| {
                (name.to_owned(), NetworkAddress { ipv4: ipv4.parse().ok(), ipv6: ipv6.parse().ok() })
            })
            .collect();
        self
    }

    fn state(mut self, state: State) -> Self {
        self.state = state;
        self
    }
}

fn redis() -> Container {
    container("redis.0", "dockerfile/redis").port("6379", &["10000"])
}

fn nginx() -> Container {
    container("nginx.0", "progrium/nginx").port("80", &["8000"]).port("443", &["4443"])
}

fn sharing(other: &str) -> Container {
    container("app", "app").mode(NetworkMode::Container(other.to_owned())).networks(&[])
}

fn described(container: &Container, config: &ServiceConfig) -> Description {
    describe(container, &[], config, HOST, &Others::default())
}

/// The services of a container, without anything ignored or noted.
fn services(container: &Container, config: &ServiceConfig) -> Vec<Service> {
    let description = described(container, config);
    assert_eq!((&description.ignored, &description.notes), (&vec![], &vec![]));
    description.services
}

/// The only service of a container as `name at address:port`, with the rule for its address.
fn place(container: &Container, config: &ServiceConfig, others: &[Container]) -> String {
    let others = Others(others.iter().cloned().map(Arc::new).collect());
    let explanation = explain(container, &[], config, HOST, &others);
    let services: Vec<_> =
        explanation.ports.iter().filter_map(|port| Some((port.outcome.as_ref().ok()?, port))).collect();
    match (services.as_slice(), explanation.ignored.as_slice()) {
        ([(service, port)], []) => {
            let address = port.decisions.iter().find(|decision| decision.field == Field::Address).unwrap();
            format!("{}: {}", service.authority(), address.rule)
        }
        ([], [reason]) => format!("ignored: {reason}"),
        _ => panic!("neither one service nor one reason: {explanation:?}"),
    }
}

fn ids_and_names(services: &[Service]) -> Vec<(&str, &str)> {
    services.iter().map(|service| (&*service.id, service.name.as_str())).collect()
}

fn attributes(pairs: &[(&str, &str)]) -> LiteMap<String, String> {
    pairs.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn lines<T: ToString>(things: &[T]) -> Vec<String> {
    things.iter().map(ToString::to_string).collect()
}

// The documented examples.

#[test]
fn documented_example_1_a_published_port_is_a_service() {
    let container = redis();
    let expected = Service {
        id: "hostname:redis.0:6379".into(),
        name: "redis".to_owned(),
        address: HOST.into(),
        port: 10000,
        protocol: Protocol::Tcp,
        tags: vec![].into(),
        attributes: Arc::default(),
        ttl: None,
        check: None,
        health: Health::None,
        traefik: None,
        origin: Origin {
            container: container.id.clone(),
            container_name: "redis.0".into(),
            created: container.created,
            started: Moment::default(),
            claimed: false,
            address_of: crate::service::AddressOf::Container,
            hostname: "0123456789ab".into(),
            exposed_port: 6379,
        },
    };
    assert_eq!(services(&container, &config()), [expected]);
}

#[test]
fn documented_example_2_metadata_names_and_describes_it() {
    let by_env = redis().env(&["SERVICE_NAME=db", "SERVICE_TAGS=master,backups", "SERVICE_REGION=us2"]);
    let by_label =
        redis().label("SERVICE_NAME", "db").label("SERVICE_TAGS", "master,backups").label("SERVICE_REGION", "us2");
    for container in [by_env, by_label] {
        let services = services(&container, &config());
        assert_eq!(ids_and_names(&services), [("hostname:redis.0:6379", "db")]);
        assert_eq!(*services[0].tags, ["master", "backups"]);
        assert_eq!(*services[0].attributes, attributes(&[("region", "us2")]));
        assert_eq!(services[0].authority(), "192.168.1.102:10000");
    }
}

#[test]
fn documented_example_3_several_ports_are_told_apart_by_name() {
    let services = services(&nginx(), &config());
    let expected = [("hostname:nginx.0:80", "nginx-80"), ("hostname:nginx.0:443", "nginx-443")];
    assert_eq!(ids_and_names(&services), expected);
    assert_eq!(services.iter().map(|service| service.port).collect::<Vec<_>>(), [8000, 4443]);
}

#[test]
fn documented_example_4_each_port_has_metadata_of_its_own() {
    let container = nginx().env(&[
        "SERVICE_443_NAME=https",
        "SERVICE_443_ID=https.12345",
        "SERVICE_443_SNI=enabled",
        "SERVICE_80_NAME=http",
        "SERVICE_TAGS=www",
    ]);
    let services = services(&container, &config());
    assert_eq!(ids_and_names(&services), [("hostname:nginx.0:80", "http"), ("https.12345", "https")]);
    assert_eq!(services[0].attributes, Arc::default());
    assert_eq!(*services[1].attributes, attributes(&[("sni", "enabled")]));
    assert!(services.iter().all(|service| *service.tags == ["www"]));
}

#[test]
fn documented_example_5_an_id_replaces_the_default_one() {
    let container = container("web", "nginx").port("80", &["1234"]).env(&["SERVICE_NAME=nginx", "SERVICE_ID=nginx"]);
    let config = ServiceConfig { ip: Some("10.100.194.202".to_owned()), ..config() };
    let services = services(&container, &config);
    assert_eq!(ids_and_names(&services), [("nginx", "nginx")]);
    assert_eq!(services[0].authority(), "10.100.194.202:1234");
}

#[test]
fn a_service_knows_whether_its_id_is_claimed_and_when_its_container_started() {
    let mut container = nginx().env(&["SERVICE_443_ID=https"]);
    container.started = Moment(7);
    let origins: Vec<_> = services(&container, &config()).into_iter().map(|service| service.origin).collect();
    assert_eq!(origins.iter().map(|origin| origin.claimed).collect::<Vec<_>>(), [false, true]);
    assert!(origins.iter().all(|origin| origin.started == Moment(7)));
    // An unusable ID is not claimed.
    let container = redis().env(&["SERVICE_ID=\u{7}"]);
    assert!(!described(&container, &config()).services[0].origin.claimed);
}

// Names and IDs.

#[test]
fn the_default_name_is_the_base_of_the_image() {
    for (image, name) in [
        ("redis", "redis"),
        ("redis:7.2", "redis"),
        ("dockerfile/redis", "redis"),
        ("registry:5000/team/app:1.2", "app"),
        ("registry:5000/app", "app"),
        ("app@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "app"),
        ("registry:5000/team/app:1.2@sha256:9f86d081884c7d65", "app"),
        ("sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "9f86d081884c"),
        ("9f86d081884c", "9f86d081884c"),
        ("team/app/", "app"),
        ("", "box"),
        ("/", "box"),
        (":1.2", "box"),
        ("sha256:", "box"),
        ("@sha256:9f86", "box"),
        ("a\nb", "ab"),
    ] {
        let container = container("box", image).port("80", &["8000"]);
        assert_eq!(services(&container, &config())[0].name, name, "{image:?}");
    }
}

#[test]
fn a_container_without_a_name_is_called_by_its_id() {
    let container = container("", "").port("80", &["8000"]);
    assert_eq!(ids_and_names(&services(&container, &config())), [("hostname:0123456789ab:80", "0123456789ab")]);
}

#[test]
fn a_protocol_other_than_tcp_is_in_the_default_id_and_in_the_tags() {
    let container = container("dns", "dns").port("53", &["53"]).port("53/udp", &["53"]).port("54/sctp", &["54"]);
    let services = services(&container, &config());
    let expected =
        [("hostname:dns:53", "dns-53"), ("hostname:dns:53:udp", "dns-53"), ("hostname:dns:54:sctp", "dns-54")];
    assert_eq!(ids_and_names(&services), expected);
    assert_eq!(*services[0].tags, [""; 0]);
    assert_eq!(*services[1].tags, ["udp"]);
    assert_eq!(*services[2].tags, ["sctp"]);
}

#[test]
fn an_id_of_its_own_tells_protocols_apart_where_a_port_has_several() {
    let dns = || container("dns", "dns").env(&["SERVICE_ID=dns", "SERVICE_54_ID=other", "SERVICE_NAME=dns"]);
    let ids = |container: &Container| {
        described(container, &config()).services.iter().map(|service| service.id.to_string()).collect::<Vec<_>>()
    };
    for (ports, expected) in [
        (vec![("53/udp", "53")], vec!["dns"]),
        (vec![("53", "53"), ("53/udp", "53")], vec!["dns", "dns:udp"]),
        (vec![("53", "53"), ("53/udp", "5353"), ("53/sctp", "53")], vec!["dns", "dns:udp", "dns:sctp"]),
        (vec![("53/udp", "53"), ("53/sctp", "53")], vec!["dns:udp", "dns:sctp"]),
        (vec![("53", ""), ("53/udp", "53")], vec!["dns"]),
        (vec![("52", "52"), ("54/udp", "54")], vec!["dns", "other"]),
        (vec![("53", "53"), ("54", "54"), ("54/udp", "54")], vec!["dns", "other", "other:udp"]),
    ] {
        let container = ports.iter().fold(dns(), |container, &(exposed, published)| {
            container.port(exposed, if published.is_empty() { &[] } else { std::slice::from_ref(&published) })
        });
        assert_eq!(ids(&container), expected, "{ports:?}");
    }
}

#[test]
fn the_port_is_added_to_a_name_where_several_ports_are_registered() {
    let web = || container("web", "nginx").env(&["SERVICE_NAME=web"]);
    let names = |container: &Container, config: &ServiceConfig| {
        let services = described(container, config).services;
        services.into_iter().map(|service| service.name).collect::<Vec<_>>()
    };
    let both = web().port("80", &["8000"]).port("443", &["4443"]);
    assert_eq!(names(&both, &config()), ["web-80", "web-443"]);

    let one_published = web().port("80", &["8000"]).port("443", &[]);
    assert_eq!(names(&one_published, &config()), ["web"]);
    assert_eq!(names(&one_published, &internal()), ["web-80", "web-443"]);

    let one_ignored = both.clone().env(&["SERVICE_443_IGNORE=true"]);
    assert_eq!(names(&one_ignored, &config()), ["web-80"]);

    let one_named = both.clone().label("SERVICE_443_NAME", "secure");
    assert_eq!(names(&one_named, &config()), ["web-80", "secure"]);

    // An empty name counts as unset.
    let one_named_emptily = both.env(&["SERVICE_443_NAME="]);
    assert_eq!(names(&one_named_emptily, &config()), ["web-80", "web-443"]);
}

#[test]
fn empty_values_are_as_good_as_none() {
    let container = redis().env(&["SERVICE_NAME=", "SERVICE_ID=", "SERVICE_TAGS=", "SERVICE_IP=", "SERVICE_PORT="]);
    assert_eq!(services(&container, &config()), services(&redis(), &config()));
}

#[test]
fn tags_are_the_services_then_the_forced_then_the_protocol() {
    let container = container("dns", "dns").port("53/udp", &["53"]).env(&[r"SERVICE_TAGS=b,,a\,c,b"]);
    let forced = ["forced".to_owned(), "b".to_owned()];
    let description = describe(&container, &forced, &config(), HOST, &Others::default());
    assert_eq!(*description.services[0].tags, ["b", "a,c", "b", "forced", "b", "udp"]);
}

#[test]
fn the_ttl_is_the_configured_one() {
    let ttl = Some(Duration::from_secs(30));
    assert_eq!(services(&redis(), &ServiceConfig { ttl, ..config() })[0].ttl, ttl);
}

#[test]
fn a_check_uses_the_registered_address_and_port() {
    let container = redis().env(&["SERVICE_CHECK_SCRIPT=ping $SERVICE_IP:$SERVICE_PORT", "SERVICE_6379_PORT=7"]);
    let service = services(&container, &config()).remove(0);
    assert_eq!(service.check.map(|check| check.kind), Some(CheckKind::Script("ping 192.168.1.102:7".to_owned())));
    assert_eq!(service.attributes, Arc::default());
}

// What is ignored.

#[test]
fn each_reason_to_ignore_is_said_in_the_documented_words() {
    let explicit = || ServiceConfig { explicit: true, ..config() };
    for (container, config, reasons) in [
        (container("a", "a"), config(), vec!["no published ports"]),
        (container("a", "a").mode(NetworkMode::Host), config(), vec!["no published ports"]),
        (container("a", "a").mode(NetworkMode::None), config(), vec!["no published ports"]),
        (
            container("a", "a").port("80", &[]).port("443", &[]),
            config(),
            vec!["port 80 not published on host", "port 443 not published on host"],
        ),
        (nginx().env(&["SERVICE_IGNORE=false"]), config(), vec!["service on port 80", "service on port 443"]),
        (redis().label("SERVICE_6379_IGNORE", "1"), config(), vec!["service on port 6379"]),
        (redis().port("80", &[]), config(), vec!["port 80 not published on host"]),
        (redis(), explicit(), vec!["service on port 6379 has neither SERVICE_NAME nor SERVICE_6379_NAME (-explicit)"]),
        (
            container("a", "a").port("80", &["8000"]).mode(NetworkMode::None).networks(&[("none", "", "")]),
            config(),
            vec!["no network (--net=none)"],
        ),
        (
            container("a", "a").port("80", &[]).mode(NetworkMode::None).networks(&[]).env(&["SERVICE_IP=10.0.0.1"]),
            internal(),
            vec!["no network (--net=none)"],
        ),
        (container("a", "a").port("80", &["0"]), config(), vec!["port 80 is published on port 0"]),
        (container("a", "a").port("80", &[]).networks(&[]), internal(), vec!["no address on any network"]),
        (
            sharing("gone\n").port("80", &[]).port("443", &[]),
            config(),
            vec![r#"shares the network of container "gone\n", which is not there"#],
        ),
    ] {
        assert_eq!(lines(&described(&container, &config).ignored), reasons);
    }
}

#[test]
fn a_container_without_ports_is_a_service_where_its_port_is_named_and_can_be_reached() {
    let named = || container("a", "a").env(&["SERVICE_PORT=9000"]);
    let on_bridge = || named().networks(&[("bridge", "172.17.0.2", "")]);
    for (container, config, expected) in [
        (named().mode(NetworkMode::Host), config(), "192.168.1.102:9000"),
        (on_bridge(), internal(), "172.17.0.2:9000"),
        (on_bridge().env(&["SERVICE_IP=10.0.0.9"]), config(), "10.0.0.9:9000"),
        (on_bridge(), config(), "ignored: no published ports"),
        (on_bridge().env(&["SERVICE_IP=0.0.0.0"]), config(), "ignored: no published ports"),
        (
            container("a", "a").env(&["SERVICE_PORT=http"]).mode(NetworkMode::Host),
            config(),
            "ignored: no published ports",
        ),
        (container("a", "a").env(&["SERVICE_PORT=0"]).mode(NetworkMode::Host), config(), "ignored: no published ports"),
        (named().mode(NetworkMode::None).networks(&[]), internal(), "ignored: no network (--net=none)"),
    ] {
        let place = place(&container, &config, &[]);
        let told = if place.starts_with("ignored") { &*place } else { place.split_once(": ").unwrap().0 };
        assert_eq!(told, expected, "{:?}", container.env);
    }
    let services = services(&named().mode(NetworkMode::Host), &config());
    assert_eq!(ids_and_names(&services), [("hostname:a:9000", "a")]);
    // Where there are ports, it replaces the one that would be registered.
    let description = described(&named().port("80", &["8000"]), &config());
    assert_eq!(ids_and_names(&description.services), [("hostname:a:80", "a")]);
    assert_eq!(description.services[0].port, 9000);
}

#[test]
fn a_port_is_ignored_beside_others_that_are_not() {
    let container = nginx().env(&["SERVICE_80_IGNORE=yes"]);
    let description = described(&container, &config());
    assert_eq!(description.services.len(), 1);
    assert_eq!(description.services[0].origin.exposed_port, 443);
    assert_eq!(description.ignored, [Ignored::Port(80, Why::Asked)]);
}

#[test]
fn one_port_can_be_exempted_from_a_general_ignore() {
    let container = nginx().env(&["SERVICE_IGNORE=1", "SERVICE_80_IGNORE="]);
    let description = described(&container, &config());
    assert_eq!(*description.services[0].id, *"hostname:nginx.0:80");
    assert_eq!(description.ignored, [Ignored::Port(443, Why::Asked)]);
}

#[test]
fn explicit_registers_what_has_a_name() {
    let explicit = ServiceConfig { explicit: true, ..config() };
    let in_general = nginx().env(&["SERVICE_NAME=web"]);
    assert_eq!(services(&in_general, &explicit).len(), 2);
    let one = described(&nginx().label("SERVICE_443_NAME", "https"), &explicit);
    assert_eq!(one.services[0].name, "https");
    assert_eq!(one.ignored, [Ignored::Port(80, Why::Unnamed)]);
}

#[test]
fn without_any_address_of_the_host_nothing_can_be_registered() {
    let description = describe(&redis(), &[], &config(), "", &Others::default());
    assert_eq!(lines(&description.ignored), ["the address of this host is not known; -ip sets it"]);
}

// The address.

#[test]
fn the_first_rule_that_applies_gives_the_address() {
    let web = || container("web", "nginx").label("ip", "10.9.9.9/24");
    let bound = || web().port("80", &["10.1.1.1>8000"]);
    let with_ip = || ServiceConfig { ip: Some("203.0.113.1".to_owned()), ..config() };
    let labelled = |config| ServiceConfig { ip_label: Some("ip".to_owned()), ..config };
    let everything = || labelled(ServiceConfig { internal: true, ..with_ip() });
    let said = || bound().env(&["SERVICE_IP=db.example.org"]);
    for (container, config, expected) in [
        (said(), everything(), r#"db.example.org:80: variable SERVICE_IP="db.example.org""#),
        (said(), config(), r#"db.example.org:8000: variable SERVICE_IP="db.example.org""#),
        (bound(), everything(), r#"10.9.9.9:80: label ip="10.9.9.9/24" (-useIpFromLabel)"#),
        (bound(), labelled(with_ip()), r#"10.9.9.9:8000: label ip="10.9.9.9/24" (-useIpFromLabel)"#),
        (
            bound(),
            ServiceConfig { internal: true, ..with_ip() },
            r#"172.17.0.2:80: its own address on network "bridge" (-internal)"#,
        ),
        (bound(), with_ip(), r#"203.0.113.1:8000: -ip "203.0.113.1""#),
        (bound(), config(), "10.1.1.1:8000: where the host publishes it"),
        (web().port("80", &["8000"]), config(), "192.168.1.102:8000: the address of this host"),
        (web().port("80", &[">8000"]), config(), "192.168.1.102:8000: the address of this host"),
        (web().port("80", &["::>8000"]), config(), "192.168.1.102:8000: the address of this host"),
        (web().port("80", &["fd00::9>8000"]), config(), "[fd00::9]:8000: where the host publishes it"),
    ] {
        assert_eq!(place(&container, &config, &[]), expected);
    }
}

#[test]
fn a_port_can_have_an_address_and_a_port_of_its_own() {
    let container = nginx().env(&["SERVICE_IP=10.0.0.1", "SERVICE_80_IP=10.0.0.2", "SERVICE_443_PORT=9443"]);
    let places = lines(&services(&container, &config()).iter().map(Service::authority).collect::<Vec<_>>());
    assert_eq!(places, ["10.0.0.2:8000", "10.0.0.1:9443"]);
}

#[test]
fn on_a_user_defined_network_the_hosts_port_goes_with_the_hosts_address() {
    let container = container("web", "nginx")
        .mode(NetworkMode::Network("web".to_owned()))
        .networks(&[("web", "172.18.0.7", "")])
        .port("80", &["8000"]);
    assert_eq!(place(&container, &config(), &[]), "192.168.1.102:8000: the address of this host");
    assert_eq!(place(&container, &internal(), &[]), r#"172.18.0.7:80: its own address on network "web" (-internal)"#);
}

#[test]
fn the_network_is_the_named_one_then_the_first_started_on_then_the_first_by_name() {
    let networks: &[_] =
        &[("bridge", "172.17.0.2", ""), ("front", "172.18.0.2", "fd00::18"), ("six", "", "fd00::2"), ("z", "", "")];
    let on = |mode: &str, env: &[&str]| {
        let mode = NetworkMode::Network(mode.to_owned());
        container("web", "nginx").port("80", &[]).networks(networks).mode(mode).env(env)
    };
    for (mode, env, expected) in [
        ("default", vec![], r#"172.17.0.2:80: its own address on network "bridge" (-internal)"#),
        ("front", vec![], r#"172.18.0.2:80: its own address on network "front" (-internal)"#),
        ("six", vec![], r#"[fd00::2]:80: its own address on network "six" (-internal)"#),
        ("z", vec![], r#"172.17.0.2:80: its own address on network "bridge" (-internal)"#),
        ("elsewhere", vec![], r#"172.17.0.2:80: its own address on network "bridge" (-internal)"#),
        ("six", vec!["SERVICE_NETWORK=front"], r#"172.18.0.2:80: its own address on network "front" (-internal)"#),
        (
            "six",
            vec!["SERVICE_NETWORK=front", "SERVICE_80_NETWORK=bridge"],
            r#"172.17.0.2:80: its own address on network "bridge" (-internal)"#,
        ),
    ] {
        assert_eq!(place(&on(mode, &env), &internal(), &[]), expected, "{mode} {env:?}");
    }
    for missing in ["elsewhere", "z"] {
        let description = described(&on("front", &[&format!("SERVICE_NETWORK={missing}")]), &internal());
        assert_eq!(*description.services[0].address, *"172.18.0.2");
        let note = format!(r#"SERVICE_NETWORK="{missing}" is no network that it has an address on"#);
        assert_eq!(description.notes, [note]);
    }
    let unused = on("front", &["SERVICE_NETWORK=elsewhere"]).port("81", &["81"]);
    assert_eq!(described(&unused, &config()).notes, [""; 0]);
}

#[test]
fn the_networks_that_count_are_those_of_now_and_not_the_one_it_was_started_with() {
    let started_alone = || container("late", "nginx").mode(NetworkMode::None);
    let connected = || started_alone().networks(&[("front", "172.18.0.5", "")]);
    let web = connected().port("80", &["8000"]);
    assert_eq!(place(&web, &config(), &[]), "192.168.1.102:8000: the address of this host");
    let own = r#"172.18.0.5:80: its own address on network "front" (-internal)"#;
    assert_eq!(place(&web, &internal(), &[]), own);
    let sharer = sharing("late").port("80", &[]);
    assert_eq!(
        place(&sharer, &config(), &[connected()]),
        r#"172.18.0.5:80: the address on network "front" of container "late", whose network it shares"#
    );
    let alone = started_alone().networks(&[("none", "", "")]);
    assert_eq!(place(&sharer, &config(), &[alone]), "ignored: no network (--net=none)");
}

#[test]
fn a_swarm_task_is_reached_on_ingress_only_where_that_is_asked_for() {
    let both: &[_] = &[("ingress", "10.0.0.5", ""), ("web", "10.0.1.5", "")];
    let task = |networks| {
        let on = |network: &str| container("task", "nginx").mode(NetworkMode::Network(network.to_owned()));
        on("default").networks(networks).label("com.docker.swarm.task.id", "8e3n9c").port("80", &[])
    };
    let on_ingress = r#"10.0.0.5:80: its own address on network "ingress" (-internal)"#;
    let on_web = r#"10.0.1.5:80: its own address on network "web" (-internal)"#;
    assert_eq!(place(&task(both), &internal(), &[]), on_web);
    assert_eq!(place(&task(both).env(&["SERVICE_NETWORK=ingress"]), &internal(), &[]), on_ingress);
    let started_there = Container { network_mode: NetworkMode::Network("ingress".to_owned()), ..task(both) };
    assert_eq!(place(&started_there, &internal(), &[]), on_web);
    assert_eq!(
        place(&task(&both[..1]), &internal(), &[]),
        "ignored: no address but on Swarm's ingress network, which leads to all tasks of its service; \
         SERVICE_NETWORK=ingress registers that"
    );
    // A user-defined network with that name is an ordinary one.
    let mut container = task(both);
    container.labels.clear();
    assert_eq!(place(&container, &internal(), &[]), on_ingress);
}

#[test]
fn a_port_that_replaces_a_published_one_is_named_in_one_line() {
    let note = "is registered in place of the port that the host publishes; where it is the application's own variable, \
                an empty SERVICE_<port>_PORT prevents that";
    let description = described(&nginx().env(&["SERVICE_PORT=8080"]), &config());
    assert!(description.services.iter().all(|service| service.port == 8080));
    assert_eq!(description.notes, [format!("SERVICE_PORT=\"8080\" {note}")]);
    // Nothing to report if it replaces nothing, or is intended.
    for (line, config) in
        [("SERVICE_PORT=10000", config()), ("SERVICE_6379_PORT=8080", config()), ("SERVICE_PORT=8080", internal())]
    {
        assert_eq!(described(&redis().env(&[line]), &config).notes, [""; 0], "{line}");
    }
    let prevented = redis().env(&["SERVICE_PORT=8080", "SERVICE_6379_PORT="]);
    assert_eq!(services(&prevented, &config())[0].port, 10000);
}

#[test]
fn on_the_hosts_network_each_exposed_port_counts_as_published_under_its_own_number() {
    let web = || container("web", "nginx").mode(NetworkMode::Host).networks(&[("host", "", "")]);
    let mut container = web().port("80", &[]);
    assert_eq!(place(&container, &config(), &[]), "192.168.1.102:80: the address of this host");
    assert_eq!(place(&container, &internal(), &[]), "192.168.1.102:80: the address of this host");
    let with_ip = ServiceConfig { ip: Some("203.0.113.1".to_owned()), ..internal() };
    assert_eq!(place(&container, &with_ip, &[]), r#"203.0.113.1:80: -ip "203.0.113.1""#);

    container = web().port("80", &["8000"]);
    assert_eq!(place(&container, &config(), &[]), "192.168.1.102:80: the address of this host");
    container.ports[0].exposed = false;
    assert_eq!(place(&container, &config(), &[]), "ignored: no published ports");
}

#[test]
fn a_container_that_shares_a_network_is_reached_at_its_owners_address() {
    let pause = || container("pause", "pause").port("6379", &["10000"]);
    let with_ip = ServiceConfig { ip: Some("203.0.113.1".to_owned()), ..config() };
    let labelled = ServiceConfig { ip_label: Some("ip".to_owned()), ..config() };
    let shared = r#"the address on network "bridge" of container "pause", whose network it shares"#;
    let app = || sharing("pause").port("80", &[]).label("ip", "10.9.9.9");
    for config in [config(), internal(), with_ip, labelled] {
        assert_eq!(place(&app(), &config, &[pause()]), format!("172.17.0.2:80: {shared}"));
    }
    let said = app().env(&["SERVICE_IP=10.0.0.9"]);
    assert_eq!(place(&said, &config(), &[pause()]), r#"10.0.0.9:80: variable SERVICE_IP="10.0.0.9""#);
    assert_eq!(place(&said, &config(), &[]), r#"10.0.0.9:80: variable SERVICE_IP="10.0.0.9""#);

    let chosen = app().env(&["SERVICE_NETWORK=six"]);
    let owner = pause().networks(&[("bridge", "172.17.0.2", ""), ("six", "", "fd00::6")]);
    assert_eq!(
        place(&chosen, &config(), &[owner]),
        r#"[fd00::6]:80: the address on network "six" of container "pause", whose network it shares"#
    );
}

#[test]
fn a_chain_of_shared_networks_is_followed_to_its_end() {
    let app = || sharing("middle").port("80", &[]);
    let middle = |end: &str| Container { name: "middle".into(), ..sharing(end) };
    let end = || container("end", "pause");
    let stopped = |container: Container| container.state(State::Exited { code: 0 });
    for (others, expected) in [
        (
            vec![middle("end"), end()],
            r#"172.17.0.2:80: the address on network "bridge" of container "end", whose network it shares"#,
        ),
        (vec![middle("end"), end().mode(NetworkMode::Host)], "192.168.1.102:80: the address of this host"),
        (
            vec![middle("end"), end().mode(NetworkMode::None).networks(&[("none", "", "")])],
            "ignored: no network (--net=none)",
        ),
        (vec![middle("end"), end().networks(&[])], "ignored: no address on any network"),
        (vec![], r#"ignored: shares the network of container "middle", which is not there"#),
        (vec![middle("end")], r#"ignored: shares the network of container "end", which is not there"#),
        (vec![middle("end"), stopped(end())], r#"ignored: shares the network of container "end", which does not run"#),
        (
            vec![stopped(middle("end")), end()],
            r#"ignored: shares the network of container "middle", which does not run"#,
        ),
        (vec![middle("middle")], "ignored: shares a network through a chain of containers without an end"),
    ] {
        assert_eq!(place(&app(), &config(), &others), expected);
    }
}

// Metadata that cannot be taken as it is.

#[test]
fn what_cannot_be_taken_is_noted_and_the_usual_is_registered() {
    for (line, note) in [
        ("SERVICE_IP=10.0.0.1 ", r#"SERVICE_IP="10.0.0.1 " is no usable address; the usual one is registered"#),
        ("SERVICE_IP=0.0.0.0", r#"SERVICE_IP="0.0.0.0" is no usable address; the usual one is registered"#),
        ("SERVICE_6379_IP=::", r#"SERVICE_6379_IP="::" is no usable address; the usual one is registered"#),
        ("SERVICE_IP=a\nb", r#"SERVICE_IP="a\nb" is no usable address; the usual one is registered"#),
        ("SERVICE_6379_IP=\u{0}", r#"SERVICE_6379_IP="\0" is no usable address; the usual one is registered"#),
        ("SERVICE_PORT=0", r#"SERVICE_PORT="0" is no port from 1 to 65535; the usual one is registered"#),
        ("SERVICE_PORT=65536", r#"SERVICE_PORT="65536" is no port from 1 to 65535; the usual one is registered"#),
        ("SERVICE_PORT=http", r#"SERVICE_PORT="http" is no port from 1 to 65535; the usual one is registered"#),
        ("SERVICE_6379_PORT=-1", r#"SERVICE_6379_PORT="-1" is no port from 1 to 65535; the usual one is registered"#),
        ("SERVICE_NAME=a\nb", r#"SERVICE_NAME="a\nb" cannot be a name; the usual one is registered"#),
        ("SERVICE_ID=\u{7}", r#"SERVICE_ID="\u{7}" cannot be an id; the usual one is registered"#),
    ] {
        let description = described(&redis().env(&[line]), &config());
        assert_eq!(description.services, described(&redis(), &config()).services, "{line:?}");
        assert_eq!(description.notes, [note]);
    }
}

/// The container whose only port is published over UDP.
fn published_over_udp() -> Container {
    let mut container = redis();
    container.ports.iter_mut().for_each(|port| port.protocol = Protocol::Udp);
    container
}

#[test]
fn an_address_from_metadata_alone_is_distinguished_from_the_containers_own() {
    use crate::service::AddressOf::{Container as Own, Metadata as Said};
    let labelled = ServiceConfig { ip_label: Some("ip".to_owned()), ..config() };
    let forced = ServiceConfig { ip: Some("10.9.9.9".to_owned()), ..config() };
    for (container, config, expected) in [
        (redis(), &config(), Own),
        (redis(), &forced, Own),
        (redis(), &internal(), Own),
        (redis().env(&["SERVICE_IP=127.0.0.1"]), &internal(), Said),
        (redis().env(&["SERVICE_IP=127.0.0.1", "SERVICE_PORT=22"]), &config(), Said),
        (redis().env(&["SERVICE_IP=192.168.1.103"]), &config(), Said),
        // The port is published on every address of the host.
        (redis().env(&["SERVICE_IP=127.0.0.1"]), &config(), Own),
        (redis().env(&["SERVICE_IP=192.168.1.102"]), &config(), Own),
        (redis().env(&["SERVICE_IP=10.9.9.9"]), &forced, Own),
        (redis().env(&["SERVICE_IP=10.9.9.9"]), &config(), Said),
        (redis().env(&["SERVICE_IP=metadata.internal"]), &config(), Said),
        (redis().env(&["SERVICE_IP=172.17.0.2"]), &config(), Own),
        (redis().label("ip", "169.254.169.254"), &labelled, Said),
        (redis().label("ip", "172.17.0.2/16"), &labelled, Own),
        // Another port of this host belongs to another program; all ports of the container's address are its own.
        (redis().env(&["SERVICE_PORT=22"]), &config(), Said),
        (redis().env(&["SERVICE_PORT=10000"]), &config(), Own),
        // A port that the host forwards over UDP may be another program's over TCP.
        (published_over_udp(), &config(), Said),
        (published_over_udp(), &internal(), Own),
        (redis().env(&["SERVICE_PORT=22"]), &internal(), Own),
    ] {
        assert_eq!(described(&container, config).services[0].origin.address_of, expected, "{:?}", container.env);
    }
}

#[test]
fn without_the_label_the_usual_address_is_registered_and_noted_once() {
    let config = ServiceConfig { ip_label: Some("ip".to_owned()), ..config() };
    for (label, note) in [
        (None, r#"label "ip" is not set; the usual address is registered"#),
        (Some(""), r#"label "ip" is not set; the usual address is registered"#),
        (Some("/24"), r#"label "ip" is no usable address: "/24"; the usual address is registered"#),
        (Some("10.0.0.1 /24"), r#"label "ip" is no usable address: "10.0.0.1 /24"; the usual address is registered"#),
    ] {
        let container = label.into_iter().fold(nginx(), |container, value| container.label("ip", value));
        let description = described(&container, &config);
        assert!(description.services.iter().all(|service| *service.address == *HOST));
        assert_eq!(description.notes, [note]);
    }
}

#[test]
fn the_mask_behind_the_last_slash_of_the_label_is_cut_off() {
    let config = ServiceConfig { ip_label: Some("ip".to_owned()), ..config() };
    for (value, address) in
        [("10.0.0.1", "10.0.0.1"), ("10.0.0.1/24", "10.0.0.1"), ("a/b/24", "a/b"), ("fd00::1/64", "fd00::1")]
    {
        assert_eq!(services(&redis().label("ip", value), &config)[0].address.as_ref(), address);
    }
}

#[test]
fn very_long_values_are_no_names_and_never_fill_a_log() {
    let long = "x".repeat(100_000);
    let container = redis().env(&[
        &format!("SERVICE_NAME={long}"),
        &format!("SERVICE_ID={long}"),
        &format!("SERVICE_IP={long} "),
        &format!("SERVICE_PORT={long}"),
        &format!("SERVICE_TAGS={long}"),
        &format!("SERVICE_CHECK_HTTP=/{long}"),
        &format!("SERVICE_CHECK_INTERVAL={long}"),
        &format!("SERVICE_{long}=value"),
    ]);
    let description = described(&container, &config());
    let service = &description.services[0];
    assert_eq!((&*service.id, service.name.as_str()), ("hostname:redis.0:6379", "redis"));
    assert_eq!(*service.tags, [long.as_str()]);
    assert_eq!(*service.attributes, attributes(&[(&long, "value")]));
    assert_eq!(description.notes.len(), 5);
    assert!(description.notes.iter().all(|note| note.len() < 200), "{:?}", description.notes);
}

// Containers that do not run.

#[test]
fn a_container_that_does_not_run_is_described_as_far_as_its_ids_go() {
    let exited = State::Exited { code: 1 };
    let published = container("web", "nginx").port("80", &["0"]).port("53/udp", &["5353"]).state(exited);
    let ids = |container: &Container, config: &ServiceConfig| {
        let services = services(container, config);
        services.iter().map(|service| (service.id.to_string(), service.authority())).collect::<Vec<_>>()
    };
    let expected = |ids: &[(&str, &str)]| -> Vec<(String, String)> {
        ids.iter().map(|&(id, place)| (id.to_owned(), place.to_owned())).collect()
    };
    assert_eq!(
        ids(&published, &config()),
        expected(&[("hostname:web:80", "192.168.1.102:0"), ("hostname:web:53:udp", "192.168.1.102:5353")])
    );
    let without_address = published.networks(&[]);
    assert_eq!(
        ids(&without_address, &internal()),
        expected(&[("hostname:web:80", ":80"), ("hostname:web:53:udp", ":53")])
    );
    let shared = sharing("gone").port("80", &[]).state(exited);
    assert_eq!(ids(&shared, &config()), expected(&[("hostname:app:80", ":80")]));
    assert_eq!(place(&shared, &config(), &[]), ":80: not known while the container does not run");
}

#[test]
fn a_paused_container_is_described_as_any_that_runs() {
    let paused = redis().state(State::Running { paused: true, health: Health::None });
    assert_eq!(described(&paused, &config()), described(&redis(), &config()));
}

// Garbage.

fn any_binding() -> impl Strategy<Value = Binding> {
    let ip = prop_oneof![Just(None), any::<IpAddr>().prop_map(Some), Just("::".parse().ok())];
    (ip, prop_oneof![Just(0_u16), any::<u16>()]).prop_map(|(ip, port)| Binding { ip, port })
}

prop_compose! {
    fn any_container()(
        name in "(?s).{0,9}",
        image in "(?s)[a-z:/@.]{0,20}|.{0,9}",
        env in prop::collection::vec("(?s)SERVICE_(80_)?(NAME|ID|TAGS|IP|PORT|NETWORK|IGNORE|CHECK_TTL|.{0,9})=?.{0,9}", 0..6),
        labels in prop::collection::btree_map("(?s)SERVICE_.{0,9}|ip", "(?s).{0,9}", 0..4),
        mode in 0_usize..5,
        ports in prop::collection::vec((prop_oneof![Just(80_u16), any::<u16>()], 0_usize..3, any::<bool>(),
            prop::collection::vec(any_binding(), 0..3)), 0..4),
        running: bool,
        address in prop::option::of(any::<IpAddr>()),
    ) -> Container {
        let modes = [
            NetworkMode::Host,
            NetworkMode::None,
            NetworkMode::Container("itself".to_owned()),
            NetworkMode::Network("bridge".to_owned()),
            NetworkMode::Network("default".to_owned()),
        ];
        let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
        let mut container = container(&name, &image).mode(modes[mode].clone());
        container.env = env.into();
        container.labels = labels.into_iter().collect();
        container.networks = LiteMap::from_iter([("bridge".to_owned(), NetworkAddress { ipv4: address, ipv6: None })]);
        container.ports = ports
            .into_iter()
            .map(|(number, protocol, exposed, bindings)| {
                ContainerPort { number, protocol: protocols[protocol], exposed, bindings }
            })
            .collect();
        if running { container } else { container.state(State::Exited { code: 1 }) }
    }
}

proptest! {
    #[test]
    fn whatever_a_container_is_its_description_keeps_the_promises(
        container in any_container(), internal: bool, explicit: bool, host in "|192.168.1.102",
    ) {
        let config = ServiceConfig { internal, explicit, ip_label: Some("ip".to_owned()), ..config() };
        let itself = Container { name: "itself".into(), ..container.clone() };
        let description = describe(&container, &[], &config, &host, &Others(vec![Arc::new(itself)]));
        for service in &description.services {
            prop_assert!(!service.id.is_empty() && !service.id.contains(char::is_control));
            prop_assert!(!service.name.is_empty() && !service.name.contains(char::is_control));
            if container.state.is_running() {
                prop_assert!(service.port != 0 && !service.address.is_empty());
            }
        }
        for line in description.notes.iter().chain(&lines(&description.ignored)) {
            prop_assert!(!line.contains(char::is_control) && line.chars().count() < 700, "{line:?}");
        }
        prop_assert!(description.services.len() + description.ignored.len() > 0);
    }
}

#[test]
fn what_docker_says_of_its_health_is_told() {
    for health in [Health::None, Health::Starting, Health::Healthy, Health::Unhealthy] {
        let container = redis().state(State::Running { paused: false, health });
        assert_eq!(services(&container, &config())[0].health, health);
    }
    let exited = redis().state(State::Exited { code: 1 });
    assert!(services(&exited, &config()).iter().all(|service| service.health == Health::None));
}

// Why.

/// The one decision on a field.
fn decided<'a>(port: &'a PortDecisions, field: &Field) -> &'a Decision {
    let found: Vec<_> = port.decisions.iter().filter(|decision| decision.field == *field).collect();
    assert_eq!(found.len(), 1, "{field}: {found:?}");
    found[0]
}

/// The input of a rule.
fn root(rule: &Rule) -> &Rule {
    match rule {
        Rule::With(rule, _) => root(rule),
        rule => rule,
    }
}

/// Whether the container has this setting in this place.
fn says(container: &Container, key: &str, value: &str, source: Source) -> bool {
    // Letters such as µ have a capital that has another small letter.
    let is_it = |found: &str| found.to_lowercase() == key.to_lowercase() || found.to_uppercase() == key.to_uppercase();
    match source {
        Source::Variable => container
            .env
            .iter()
            .any(|line| line.split_once('=').is_some_and(|(found, said)| is_it(found) && said == value)),
        Source::Label => container.labels.iter().any(|(found, said)| is_it(found) && said == value),
    }
}

#[test]
fn each_field_of_a_service_has_its_reason() {
    let container = nginx()
        .env(&[
            "SERVICE_NAME=web",
            "SERVICE_443_NAME=",
            "SERVICE_443_ID=secure",
            "SERVICE_TAGS=a,b",
            "SERVICE_80_IGNORE=1",
        ])
        .env(&["SERVICE_443_CHECK_HTTPS=/up", "SERVICE_CHECK_TIMEOUT=2s", "SERVICE_ZONE=east"])
        .port("53/udp", &["53"])
        .label("SERVICE_REGION", "us2")
        .label("SERVICE_53_PORT", "5353");
    let options = ServiceConfig {
        ip: Some("203.0.113.1".to_owned()),
        tags: Some("{{.Name}}".to_owned()),
        ttl: Some(Duration::from_secs(30)),
        ..config()
    };
    let explanation = explain(&container, &["forced".to_owned()], &options, HOST, &Others::default());
    let reasons: Vec<_> = explanation.ports.iter().map(|port| (port.port, lines(&port.decisions))).collect();
    let expected: [(u16, &[&str]); 3] = [
        (80, &[r#"registered "no": variable SERVICE_80_IGNORE="1""#]),
        (
            443,
            &[
                r#"name "web-443": variable SERVICE_NAME="web", and the port, since several are registered"#,
                r#"address "203.0.113.1": -ip "203.0.113.1""#,
                r#"port "4443": where the host publishes it"#,
                r#"check kind "https": variable SERVICE_443_CHECK_HTTPS="/up""#,
                r#"check interval "10s": the default"#,
                r#"check timeout "2s": variable SERVICE_CHECK_TIMEOUT="2s""#,
                r#"id "secure": variable SERVICE_443_ID="secure""#,
                r#"tags "a,b": variable SERVICE_TAGS="a,b""#,
                r#"tags "forced": -tags "{{.Name}}""#,
                r#"attribute "region" "us2": label SERVICE_REGION="us2""#,
                r#"attribute "zone" "east": variable SERVICE_ZONE="east""#,
                r#"ttl "30s": -ttl "30""#,
            ],
        ),
        (
            53,
            &[
                r#"name "web-53": variable SERVICE_NAME="web", and the port, since several are registered"#,
                r#"address "203.0.113.1": -ip "203.0.113.1""#,
                r#"port "5353": label SERVICE_53_PORT="5353""#,
                r#"id "hostname:nginx.0:53:udp": host, container and exposed port"#,
                r#"tags "a,b": variable SERVICE_TAGS="a,b""#,
                r#"tags "forced": -tags "{{.Name}}""#,
                r#"tags "udp": the port's protocol"#,
                r#"attribute "region" "us2": label SERVICE_REGION="us2""#,
                r#"attribute "zone" "east": variable SERVICE_ZONE="east""#,
                r#"ttl "30s": -ttl "30""#,
            ],
        ),
    ];
    for (found, expected) in reasons.iter().zip(&expected) {
        assert_eq!((found.0, found.1.as_slice()), (expected.0, lines(expected.1).as_slice()));
    }
    assert_eq!(reasons.len(), expected.len());
    assert_eq!(explanation.ports[0].outcome, Err(Ignored::Port(80, Why::Asked)));
}

proptest! {
    #[test]
    fn explanations_match_what_is_registered_and_each_reason_is_true(
        container in any_container(), internal: bool, explicit: bool, forced in prop::collection::vec("[a-c]{1,3}", 0..3),
        ttl in prop::option::of(1_u64..99), max_services in prop_oneof![Just(1000_usize), 1_usize..3],
    ) {
        let ttl = ttl.map(Duration::from_secs);
        let ip_label = Some("ip".to_owned());
        let config = ServiceConfig { internal, explicit, ip_label, ttl, max_services, ..config() };
        let itself = Others(vec![Arc::new(Container { name: "itself".into(), ..container.clone() })]);
        let description = describe(&container, &forced, &config, HOST, &itself);
        let explanation = explain(&container, &forced, &config, HOST, &itself);
        let explained: Vec<_> = explanation.ports.iter().filter_map(|port| port.outcome.clone().ok()).collect();
        prop_assert_eq!(&explained, &description.services);
        prop_assert_eq!(&explanation.ignored, &description.ignored);
        prop_assert_eq!(&explanation.notes, &description.notes);

        for port in &explanation.ports {
            for decision in &port.decisions {
                if let Rule::Metadata { key, value, source } = root(&decision.rule) {
                    prop_assert!(says(&container, key, value, *source), "{decision}");
                }
            }
            let Ok(service) = &port.outcome else { continue };
            prop_assert_eq!(&decided(port, &Field::Name).value, &service.name);
            prop_assert_eq!(decided(port, &Field::Id).value.as_str(), &*service.id);
            prop_assert_eq!(decided(port, &Field::Address).value.as_str(), &*service.address);
            prop_assert_eq!(&decided(port, &Field::Port).value, &service.port.to_string());
            let is_claimed = matches!(root(&decided(port, &Field::Id).rule), Rule::Metadata { .. });
            prop_assert_eq!(is_claimed, service.origin.claimed);
            let tags = port.decisions.iter().filter(|decision| decision.field == Field::Tags);
            let tags: Vec<_> = tags.map(|decision| decision.value.as_str()).filter(|tags| !tags.is_empty()).collect();
            prop_assert_eq!(tags.join(","), service.tags.join(","));
            for (key, value) in service.attributes.iter() {
                prop_assert_eq!(&decided(port, &Field::Attribute(key.clone())).value, value);
            }
            let count = |wanted: fn(&Field) -> bool| port.decisions.iter().filter(|it| wanted(&it.field)).count();
            prop_assert_eq!(count(|field| matches!(field, Field::Attribute(_))), service.attributes.len());
            prop_assert_eq!(count(|field| *field == Field::Check(CheckPart::Kind)) == 1, service.check.is_some());
            prop_assert_eq!(count(|field| *field == Field::Ttl) == 1, service.ttl.is_some());
            prop_assert_eq!(count(|field| *field == Field::Registered), 0);
        }
    }
}

// How much.

#[test]
fn beyond_so_many_services_only_their_number_is_said() {
    let ports: Vec<_> = (1..=1500_u16).map(|number| number.to_string()).collect();
    let web = ports.iter().fold(container("web", "nginx"), |container, port| container.port(port, &[port]));
    let description = described(&web, &config());
    assert_eq!(description.services.len(), 1000);
    assert!(description.services.iter().all(|service| service.origin.exposed_port <= 1000));
    let reason = "services on 500 more ports: a container may have 1,000 services (-max-services)";
    assert_eq!(lines(&description.ignored), [reason]);
    let more = ServiceConfig { max_services: 1500, ..config() };
    assert_eq!(services(&web, &more).len(), 1500);
    // A port that is not registered does not use up the limit.
    let ignoring = web.env(&["SERVICE_1_IGNORE=1"]);
    assert_eq!(described(&ignoring, &config()).services.last().map(|service| service.port), Some(1001));
}

#[test]
fn what_services_of_one_container_hold_in_sum_has_an_end() {
    let ports: Vec<_> = (1..=500_u16).map(|number| number.to_string()).collect();
    let web = || ports.iter().fold(container("web", "nginx"), |container, port| container.port(port, &[port]));
    let megabyte = "x,y".repeat(400_000);
    for key in ["TAGS", "ZONE", "CHECK_SCRIPT"] {
        let description = described(&web().env(&[&format!("SERVICE_{key}={megabyte}")]), &config());
        let count = description.services.len();
        assert!((1..=20).contains(&count), "{key}: {count}");
        let reasons = lines(&description.ignored);
        let expected = format!("services on {} more ports: ", 500 - count);
        assert!(reasons.len() == 1 && reasons[0].starts_with(&expected), "{key}: {reasons:?}");
    }
}

#[test]
fn what_services_have_in_common_they_share() {
    let services = services(&nginx().env(&["SERVICE_TAGS=a", "SERVICE_ZONE=b"]), &config());
    assert!(Arc::ptr_eq(&services[0].tags, &services[1].tags));
    assert!(Arc::ptr_eq(&services[0].attributes, &services[1].attributes));
    assert!(Arc::ptr_eq(&services[0].address, &services[1].address));
    // Port-specific settings apply to that port only, and an empty list of tags hides the general one.
    let own = nginx()
        .env(&["SERVICE_TAGS=a", "SERVICE_ZONE=b", "SERVICE_80_TAGS=", "SERVICE_443_ZONE=c"])
        .port("53", &["53"]);
    let services = described(&own, &config()).services;
    let tags: Vec<_> = services.iter().map(|service| service.tags.join(",")).collect();
    let zones: Vec<_> = services.iter().map(|service| service.attributes[&"zone".to_owned()].as_str()).collect();
    assert_eq!((tags, zones), (lines(&["", "a", "a"]), vec!["b", "c", "b"]));
}
