//! Whatever a container says of itself is described, and concerns its own services alone.
//!
//! The input is text. Its first bytes choose the policy and the container's state; then each line is
//! one fact, told by its first character: `e` environment, `l` label, `n` name, `i` image, `p` port,
//! `m` network mode; a line that continues another begins with a backslash, so that values can hold
//! line breaks.

use litemap::LiteMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use registrator::config::ServiceConfig;
use registrator::container::{
    Binding, Container, ContainerPort, Health, Moment, NetworkAddress, NetworkMode, Protocol, State,
};
use registrator::service::describe::{Description, Explanation, Neighbours, describe, explain};

const ADDRESSES: [&str; 6] = ["", "0.0.0.0", "::", "10.1.2.3", "fd00::3", "127.0.0.1"];

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let Some((&[policy, state, address], rest)) = data.split_first_chunk() else { return };
    let text = String::from_utf8_lossy(rest);
    let config = ServiceConfig {
        hostname: "hostname".to_owned(),
        ip: (policy & 1 != 0).then(|| "192.168.1.102".to_owned()),
        internal: policy & 2 != 0,
        explicit: policy & 4 != 0,
        ip_label: (policy & 8 != 0).then(|| "ip".to_owned()),
        tags: None,
        ttl: (policy & 16 != 0).then(|| Duration::from_secs(30)),
        max_services: 1000,
        traefik: policy & 32 != 0,
    };
    let container = container(state, &text);
    let host_address = ADDRESSES[usize::from(address) % ADDRESSES.len()];
    let forced = [String::from("forced")];
    let itself = Itself(Arc::new(container.clone()));
    let description = describe(&container, &forced, &config, host_address, &itself);
    check(&container, &description);
    let again = describe(&container, &forced, &config, host_address, &itself);
    assert_eq!(description, again, "the same container is described differently");
    agrees(&description, &explain(&container, &forced, &config, host_address, &itself));
}

/// What is explained is what is registered.
fn agrees(description: &Description, explanation: &Explanation) {
    let services: Vec<_> = explanation.ports.iter().filter_map(|port| port.outcome.as_ref().ok()).collect();
    assert_eq!(services, description.services.iter().collect::<Vec<_>>());
    assert_eq!(explanation.ignored, description.ignored);
    assert_eq!(explanation.notes, description.notes);
    for decision in explanation.ports.iter().flat_map(|port| &port.decisions) {
        assert_line(&decision.to_string());
    }
}

/// What is promised of every description.
fn check(container: &Container, description: &Description) {
    for service in &description.services {
        assert!(!service.id.is_empty() && !service.name.is_empty(), "nameless: {service:?}");
        assert!(!service.id.contains(char::is_control), "an id with control characters: {service:?}");
        assert!(!service.name.contains(char::is_control), "a name with control characters: {service:?}");
        if container.state.is_running() {
            assert_ne!(service.port, 0, "port 0: {service:?}");
            assert!(!service.address.is_empty(), "no address: {service:?}");
        }
        assert!(!service.address.contains(char::is_whitespace), "an address with spaces: {service:?}");
        assert!(!service.tags.iter().any(String::is_empty), "an empty tag: {service:?}");
        assert!(service.tags.iter().any(|tag| tag == "forced"), "a forced tag is missing: {service:?}");
        assert!(!service.attributes.contains_key("name"), "a reserved key leaked: {service:?}");
        if let Some(check) = &service.check {
            assert!(!check.interval.is_zero(), "a check without a pause: {service:?}");
        }
    }
    for reason in &description.ignored {
        assert_line(&reason.to_string());
    }
    for note in &description.notes {
        assert_line(note);
    }
    let exposed = container.ports.len();
    assert!(description.services.len() <= exposed, "more services than ports");
    assert!(!description.services.is_empty() || !description.ignored.is_empty(), "neither a service nor a reason");
}

/// What may go to a log: one line, and a short one.
fn assert_line(line: &str) {
    assert!(!line.contains(char::is_control), "a broken line: {line:?}");
    assert!(line.len() < 2000, "a very long line: {line:?}");
}

/// An engine on which every reference leads to the container itself.
struct Itself(Arc<Container>);

impl Neighbours for Itself {
    fn find(&self, reference: &str) -> Option<Arc<Container>> {
        let mut found = Container::clone(&self.0);
        match reference {
            "itself" => {}
            "host" => found.network_mode = NetworkMode::Host,
            "none" => found.network_mode = NetworkMode::None,
            "web" => found.network_mode = NetworkMode::Network("web".to_owned()),
            "stopped" => found.state = State::Created,
            _ => return None,
        }
        Some(Arc::new(found))
    }
}

fn container(state: u8, text: &str) -> Container {
    let mut container = Container {
        id: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".into(),
        name: "web".into(),
        image: "nginx".into(),
        hostname: "inside".into(),
        env: Arc::default(),
        labels: LiteMap::new(),
        network_mode: NetworkMode::Network("default".to_owned()),
        networks: LiteMap::new(),
        ports: Vec::new(),
        state: match state % 4 {
            0 => State::Created,
            1 => State::Exited { code: 1 },
            _ => State::Running { paused: state & 4 != 0, health: Health::None },
        },
        created: Moment::default(),
        started: Moment::default(),
        stop: registrator::container::Stop::default(),
        inspect: None,
    };
    if state & 8 != 0 {
        let own = NetworkAddress { ipv4: "172.17.0.2".parse().ok(), ipv6: "fd00::2".parse().ok() };
        container.networks.insert("bridge".to_owned(), own);
    }
    let joined = text.replace("\n\\", "\u{0}");
    for line in joined.lines() {
        let line = line.replace('\u{0}', "\n");
        let mut characters = line.chars();
        let kind = characters.next();
        let value = characters.as_str();
        match kind {
            Some('e') => container.env = [&*container.env, &[value.to_owned()]].concat().into(),
            Some('l') => {
                let (key, value) = value.split_once('=').unwrap_or((value, ""));
                container.labels.insert(key.to_owned(), value.to_owned());
            }
            Some('n') => container.name = value.into(),
            Some('i') => container.image = value.into(),
            Some('p') => container.ports.extend(port(value)),
            Some('m') => {
                container.network_mode = match value.split_once(':') {
                    Some(("container", reference)) => NetworkMode::Container(reference.to_owned()),
                    _ if value == "host" => NetworkMode::Host,
                    _ if value == "none" => NetworkMode::None,
                    _ => NetworkMode::Network(value.to_owned()),
                }
            }
            _ => {}
        }
    }
    container
}

/// Reads `[ip]>[host port]>exposed[/protocol]`.
fn port(text: &str) -> Option<ContainerPort> {
    let mut parts = text.rsplit('>');
    let exposed = parts.next()?;
    let (number, protocol) = exposed.split_once('/').unwrap_or((exposed, "tcp"));
    let binding = parts.next().map(|port| Binding {
        port: port.parse().unwrap_or_default(),
        ip: parts.next().and_then(|ip| ip.parse::<IpAddr>().ok()),
    });
    Some(ContainerPort {
        number: number.parse().ok()?,
        protocol: Protocol::parse(protocol)?,
        exposed: true,
        bindings: binding.into_iter().collect(),
    })
}
