//! A compose file as containers (<https://docs.docker.com/reference/compose-file/>).
//!
//! What the file leaves to variables, to other files or to images is left open, and nothing is said of it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use litemap::LiteMap;

use super::interpolate::Expressions;
use super::ports::{self, Mapped, Outside, Said};
use super::subject::{Key, Keys, Open, Subject};
use crate::container::{
    Container, ContainerId, ContainerPort, Health, Moment, NetworkAddress, NetworkMode, Protocol, SETTING, State, Stop,
};
use crate::service::metadata::Source;
use crate::yaml::{Budget, Node, Position};

/// An address for containers, from the range for documentation (RFC 5737).
const SOME_ADDRESS: &str = "192.0.2.1";

/// The containers of a compose file's services; the second value is the file's expressions.
pub(super) fn subjects(services: &Node, budget: &Budget) -> (Vec<Subject>, Expressions) {
    let mut expressions = Expressions::default();
    let members = budget.members(services);
    let subjects = members
        .into_iter()
        .filter(|(_, _, service)| service.is_mapping())
        .map(|(name, key, service)| Reader::new(service, budget, &mut expressions).subject(name, key))
        .collect();
    (subjects, expressions)
}

/// Reads one service.
struct Reader<'n, 'e> {
    members: Vec<(&'n str, &'n Node, &'n Node)>,
    budget: &'n Budget,
    expressions: &'e mut Expressions,
    open: Open,
    keys: Keys,
    env: Vec<String>,
    labels: LiteMap<String, String>,
    ports: BTreeMap<(u16, Protocol), ContainerPort>,
    places: HashMap<(u16, Protocol), Position>,
    wrong_ports: Vec<(Position, String)>,
}

impl<'n, 'e> Reader<'n, 'e> {
    fn new(service: &'n Node, budget: &'n Budget, expressions: &'e mut Expressions) -> Self {
        Self {
            members: budget.members(service),
            budget,
            expressions,
            open: Open::default(),
            keys: Keys::default(),
            env: Vec::new(),
            labels: LiteMap::new(),
            ports: BTreeMap::new(),
            places: HashMap::new(),
            wrong_ports: Vec::new(),
        }
    }

    fn member(&self, key: &str) -> Option<(&'n Node, &'n Node)> {
        self.members.iter().find(|(known, ..)| *known == key).map(|(_, key, value)| (*key, *value))
    }

    /// The text of a member, with stand-ins.
    fn text(&mut self, key: &str) -> Option<String> {
        let text = self.member(key).and_then(|(_, value)| value.text())?;
        Some(self.expressions.interpolate(text).text)
    }

    fn subject(mut self, name: &str, key: &Node) -> Subject {
        self.settings("environment", Source::Variable);
        self.settings("labels", Source::Label);
        self.ports();
        if self.member("env_file").is_some() || self.member("label_file").is_some() {
            self.open.settings = true;
        }
        // Without image and build, it is a part that another file completes.
        let partial = self.member("image").is_none() && self.member("build").is_none();
        if partial || self.member("extends").is_some() {
            self.open = Open { settings: true, ports: true, ..self.open };
        }
        let network_mode = self.network_mode();
        // Without an image, one is built, and named after the service.
        let image = self.text("image").unwrap_or_else(|| name.to_owned());
        let container_name = self.text("container_name").unwrap_or_else(|| name.to_owned());
        let hostname = self.text("hostname").unwrap_or_else(|| name.to_owned());
        let several = self.several();
        let misplaced = self.misplaced();
        let ports_at = self.member("ports").map_or(key.at, |(key, _)| key.at);
        let network = (network_mode != NetworkMode::None).then(|| ("default".to_owned(), some_address()));
        let container = Container {
            id: ContainerId::from(name),
            name: container_name.into(),
            image: image.into(),
            hostname: hostname.into(),
            env: self.env.into(),
            labels: self.labels,
            network_mode,
            networks: LiteMap::from_iter(network),
            ports: self.ports.into_values().collect(),
            state: State::Running { paused: false, health: Health::None },
            started: Moment::default(),
            stop: Stop::default(),
            created: Moment::default(),
            inspect: None,
        };
        Subject {
            name: name.to_owned(),
            at: key.at,
            ports_at,
            container: Arc::new(container),
            keys: self.keys,
            ports: self.places,
            open: self.open,
            several,
            wrong_ports: self.wrong_ports,
            misplaced,
        }
    }

    /// Settings in `deploy.labels`, which are labels of the Swarm service.
    fn misplaced(&self) -> Vec<(Position, String)> {
        let Some((_, labels)) = self.member("deploy").and_then(|(_, deploy)| self.budget.member(deploy, "labels"))
        else {
            return Vec::new();
        };
        let mapped = self.budget.members(labels).into_iter().map(|(key, at, _)| (at.at, key));
        let listed = labels.items().iter().filter_map(|item| Some((item.at, item.text()?.split('=').next()?)));
        let ours = mapped.chain(listed).filter(|(_, key)| key.starts_with(SETTING));
        ours.map(|(at, key)| (at, key.to_owned())).collect()
    }

    /// Reads variables or labels, as a list or as a map.
    fn settings(&mut self, member: &str, source: Source) {
        let Some((_, value)) = self.member(member) else { return };
        if value.is_mapping() {
            for (key, at, value) in self.budget.members(value) {
                let interpolated = value.text().map(|text| self.expressions.interpolate(text));
                self.setting(key, at.at, interpolated.map(|text| (text.text, text.known)), source);
            }
            return;
        }
        for item in value.items() {
            let Some(text) = item.text().filter(|_| self.budget.spend()) else { continue };
            let (key, value) = text.split_once('=').map_or((text, None), |(key, value)| (key, Some(value)));
            let whole = self.expressions.interpolate(key);
            if !whole.known {
                self.open.settings = true;
                continue;
            }
            let value = value.map(|value| self.expressions.interpolate(value));
            self.setting(&whole.text, item.at, value.map(|value| (value.text, value.known)), source);
        }
    }

    /// Takes a variable or label. A variable without a value has that of whoever runs compose; a label has none.
    fn setting(&mut self, key: &str, at: Position, value: Option<(String, bool)>, source: Source) {
        let (value, known) = match (value, source) {
            (Some(said), _) => said,
            (None, Source::Label) => (String::new(), true),
            (None, Source::Variable) => (self.expressions.interpolate(&format!("${{{key}}}")).text, false),
        };
        self.keys.push(Key { key: key.to_owned(), at, known, source });
        match source {
            Source::Variable if key.starts_with(SETTING) => self.env.push(format!("{key}={value}")),
            Source::Variable => {}
            Source::Label => {
                self.labels.insert(key.to_owned(), value);
            }
        }
    }

    fn ports(&mut self) {
        if let Some((_, value)) = self.member("ports") {
            for item in value.items() {
                let said = ports::published(item, self.expressions, self.budget);
                self.port(item.at, said);
            }
        }
        if let Some((_, value)) = self.member("expose") {
            for item in value.items() {
                let said = ports::exposed(item, self.expressions);
                self.port(item.at, said);
            }
        }
    }

    fn port(&mut self, at: Position, said: Said) {
        let mapped = match said {
            Said::Ports(mapped) => mapped,
            Said::Unknown => {
                self.open.ports = true;
                return;
            }
            Said::Wrong(text) => return self.wrong_ports.push((at, text)),
        };
        self.open.host_ports |= mapped.outside == Outside::Somewhere;
        let Mapped { inside, protocol, .. } = &mapped;
        for number in inside.clone() {
            if !self.budget.spend() {
                return;
            }
            let key = (number, *protocol);
            self.places.entry(key).or_insert(at);
            let unpublished = ContainerPort { number, protocol: *protocol, exposed: true, bindings: Vec::new() };
            let port = self.ports.entry(key).or_insert(unpublished);
            port.bindings.extend(mapped.binding(number));
        }
    }

    fn network_mode(&mut self) -> NetworkMode {
        let Some((_, value)) = self.member("network_mode") else { return NetworkMode::Network("default".to_owned()) };
        let said = self.expressions.interpolate(value.text().unwrap_or_default());
        let mode = match (said.text.as_str(), said.text.split_once(':')) {
            ("host", _) => NetworkMode::Host,
            ("none", _) => NetworkMode::None,
            (_, Some(("service", name))) => NetworkMode::Container(name.to_owned()),
            (_, Some(("container", name))) => {
                self.open.network = true;
                NetworkMode::Container(name.to_owned())
            }
            _ => NetworkMode::Network("default".to_owned()),
        };
        if !said.known {
            self.open = Open { ports: true, network: true, ..self.open };
        }
        // There, what the image exposes counts.
        self.open.ports |= matches!(mode, NetworkMode::Host | NetworkMode::Container(_));
        mode
    }

    /// Whether several containers are made of it.
    fn several(&self) -> bool {
        let more = |node: &Node| node.text().and_then(|text| text.parse::<u32>().ok()).is_some_and(|count| count > 1);
        let replicas = self.member("deploy").and_then(|(_, deploy)| self.budget.member(deploy, "replicas"));
        replicas.is_some_and(|(_, count)| more(count)) || self.member("scale").is_some_and(|(_, count)| more(count))
    }
}

fn some_address() -> NetworkAddress {
    NetworkAddress { ipv4: SOME_ADDRESS.parse().ok(), ipv6: None }
}
