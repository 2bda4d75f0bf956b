//! What one container adds, with the defaults of Traefik's own Docker provider.
//!
//! The container's service is its only one; its router is named as the container, with the rule ``Host(`name`)``; its port
//! is the smallest one. Unlike there, an address is that of a registered port: usually one that the host publishes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use registrator_words::authority;

use crate::label::{Said, read};
use crate::left_out::{LeftOut, Why};
use crate::name::{is_name, normalized};
use crate::object::{Object, Path, Piece, Protocol, Section, Step};
use crate::schema::ServerOption;
use crate::settings::Settings;
use crate::value::{Kind, Read, Value, bool_of};

/// The most labels of one container that are read.
const MOST: usize = 1000;
/// The longest label, in bytes.
const LONGEST_LABEL: usize = 1000;

/// How a registered port is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Transport {
    /// For HTTP and TCP.
    Tcp,
    /// For UDP.
    Udp,
}

/// A registered port of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number inside the container.
    pub exposed: u16,
    /// The port that is registered, usually the published one.
    pub registered: u16,
    /// How it is reached.
    pub transport: Transport,
}

/// What one container adds to Traefik's configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addition {
    enabled: Option<bool>,
    namespaces: Vec<String>,
    /// The name of the router and the service that it has by default.
    name: String,
    parts: Vec<Part>,
}

/// The share of one registered port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    place: (u16, Transport),
    pieces: Vec<Piece>,
    servers: Vec<Server>,
}

/// The server that a port is for a service.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Server {
    protocol: Protocol,
    service: String,
    said: SaidOfServer,
    /// The address in place of the registered one.
    address: Option<IpAddr>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct SaidOfServer {
    port: Option<u16>,
    scheme: Option<String>,
    url: Option<String>,
    weight: Option<i64>,
    preserve_path: Option<bool>,
    tls: Option<bool>,
}

/// A registered port, as whoever writes it knows it.
#[derive(Clone, Copy, Debug)]
pub struct At<'a> {
    /// Its number inside the container.
    pub exposed: u16,
    /// How it is reached.
    pub transport: Transport,
    /// The address to connect to.
    pub address: &'a str,
    /// The port to connect to.
    pub port: u16,
    /// The ID of what is registered, with its owner: makes the server's number.
    pub holder: (&'a str, &'a str),
}

/// What is known of an object while labels are read.
struct Draft {
    name: String,
    options: BTreeMap<Path, Value>,
    /// Switched off, with all below.
    off: Vec<Path>,
    server: SaidOfServer,
    /// A label of it, for a message.
    label: String,
}

/// By protocol, section, and name in lower case: Traefik ignores the case of keys.
type Drafts = BTreeMap<(Protocol, Section, String), Draft>;

impl Addition {
    /// Reads the labels of a container whose registered ports are `ports`. `name` is the container's name, or what
    /// stands for it. What is left out is in the second value.
    #[must_use]
    pub fn read<'a>(
        name: &str,
        labels: impl IntoIterator<Item = (&'a str, &'a str)>,
        ports: &[Place],
    ) -> (Self, Vec<LeftOut>) {
        let mut reading = Reading { default: normalized(name), ..Reading::default() };
        for (count, (label, value)) in labels.into_iter().enumerate() {
            if count == MOST {
                reading.leave(label, Why::TooMany);
                break;
            }
            reading.label(label, value);
        }
        reading.switch_off();
        reading.complete();
        let parts = reading.placed(ports);
        let Reading { enabled, namespaces, default: name, left_out, .. } = reading;
        (Self { enabled, namespaces, name, parts }, left_out)
    }

    /// Whether the container is taken, by its labels and these settings.
    #[must_use]
    pub fn is_taken(&self, settings: &Settings) -> bool {
        let Self { enabled, namespaces, .. } = self;
        let named = |wanted: &String| namespaces.contains(wanted);
        enabled.unwrap_or(settings.exposed) && (settings.namespaces.is_empty() || settings.namespaces.iter().any(named))
    }

    /// Whether this port has a share, where the container is taken.
    #[must_use]
    pub fn has_part(&self, exposed: u16, transport: Transport) -> bool {
        self.found(exposed, transport).is_some()
    }

    fn found(&self, exposed: u16, transport: Transport) -> Option<&Part> {
        self.parts.iter().find(|part| part.place == (exposed, transport))
    }

    /// The share of a port; nothing if the container is not taken.
    #[must_use]
    pub fn part(&self, at: &At<'_>, settings: &Settings) -> Vec<Piece> {
        let Some(part) = self.found(at.exposed, at.transport).filter(|_| self.is_taken(settings)) else {
            return Vec::new();
        };
        let rule = || Value::Text(settings.rule.replace("{}", &self.name));
        let resolved = part.pieces.iter().map(|piece| {
            let mut piece = piece.clone();
            piece.options.values_mut().filter(|value| **value == Value::DefaultRule).for_each(|value| *value = rule());
            piece
        });
        let mut pieces: Vec<Piece> = resolved.chain(part.servers.iter().map(|server| server.piece(at))).collect();
        pieces.sort_by(|one, other| one.object.cmp(&other.object));
        pieces
    }
}

impl Server {
    fn piece(&self, at: &At<'_>) -> Piece {
        let Self { protocol, service, said, address } = self;
        let address = address.map_or_else(|| at.address.to_owned(), |address| address.to_string());
        let place = authority(&address, at.port);
        let step = |name: &str| vec![Step::Name(name.to_owned())];
        let mut options = BTreeMap::new();
        if *protocol == Protocol::Http {
            let scheme = said.scheme.as_deref().unwrap_or("http");
            let url = said.url.clone().unwrap_or_else(|| format!("{scheme}://{place}"));
            options.insert(step("url"), Value::Text(url));
            options.extend(said.weight.map(|weight| (step("weight"), Value::Int(weight))));
            options.extend(said.preserve_path.map(|keep| (step("preservePath"), Value::Bool(keep))));
        } else {
            options.insert(step("address"), Value::Text(place));
            options.extend(said.tls.map(|tls| (step("tls"), Value::Bool(tls))));
        }
        let number = Some(number(&[at.holder.0, at.holder.1, service]));
        let object = Object { section: Section::Services, protocol: *protocol, name: service.clone(), server: number };
        Piece { object, options }
    }
}

/// A number for a server that no other has, without asking anybody: Traefik takes any, and orders them as texts.
/// FNV-1a, which is the same in every version of this program.
fn number(parts: &[&str]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for part in parts {
        for byte in part.bytes().chain([0xff]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("{hash:020}")
}

/// The labels of a container while they are read.
#[derive(Default)]
struct Reading {
    enabled: Option<bool>,
    namespaces: Vec<String>,
    default: String,
    drafts: Drafts,
    /// The addresses of `kop.bind.ip`: for all services, and for some.
    address: Option<IpAddr>,
    addresses: BTreeMap<String, IpAddr>,
    left_out: Vec<LeftOut>,
}

impl Reading {
    fn leave(&mut self, label: &str, why: Why) {
        self.left_out.push(LeftOut { label: label.to_owned(), value: None, why });
    }

    fn label(&mut self, label: &str, value: &str) {
        let starts = |prefix: &str| label.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
        if label.len() > LONGEST_LABEL && (starts("traefik.") || starts("kop.")) {
            let start: String = label.chars().take(60).collect();
            return self.leave(&start, Why::TooLong);
        }
        if starts("kop.") {
            return self.kop(label, &label["kop.".len()..], value);
        }
        if !starts("traefik.") {
            return;
        }
        let rest = &label["traefik.".len()..];
        let is = |name: &str| rest.eq_ignore_ascii_case(name);
        if is("enable") {
            match bool_of(value) {
                Some(on) => self.enabled = Some(on),
                None => {
                    self.left_out.push(LeftOut {
                        label: label.to_owned(),
                        value: Some(value.to_owned()),
                        why: Why::NotOf(Kind::Bool),
                    });
                }
            }
            return;
        }
        if is("docker.network") || is("swarm.network") {
            return self.leave(label, Why::OfDocker);
        }
        // Those of other providers of Traefik say nothing about the configuration.
        let others = ["docker.", "swarm.", "consulcatalog.", "nomad.", "ecs.", "tags"];
        if others.iter().any(|other| rest.get(..other.len()).is_some_and(|start| start.eq_ignore_ascii_case(other))) {
            return;
        }
        match read(rest, value) {
            Ok(said) => self.said(label, said),
            Err(why) => {
                // Other kinds may hold a password.
                let shown = matches!(why, Why::NotOf(_)).then(|| value.to_owned());
                self.left_out.push(LeftOut { label: label.to_owned(), value: shown, why });
            }
        }
    }

    /// The labels of traefik-kop.
    fn kop(&mut self, label: &str, rest: &str, value: &str) {
        let parts: Vec<&str> = rest.split('.').collect();
        match parts.as_slice() {
            ["namespace"] => {
                let names = value.split(',').map(str::trim).filter(|name| !name.is_empty());
                self.namespaces = names.map(str::to_owned).collect();
            }
            // Servers of several hosts always share a service.
            ["merge-lbs"] => {}
            ["bind", "ip"] => match value.parse() {
                Ok(address) => self.address = Some(address),
                Err(_) => self.leave(label, Why::NotAnAddress),
            },
            [service, "bind", "ip"] => match value.parse() {
                Ok(address) => drop(self.addresses.insert(service.to_lowercase(), address)),
                Err(_) => self.leave(label, Why::NotAnAddress),
            },
            _ => self.leave(label, Why::Unknown),
        }
    }

    fn said(&mut self, label: &str, said: Said) {
        match said {
            Said::Option { protocol, section, name, path, value } => {
                let draft = self.draft(protocol, section, name, label);
                match value {
                    Read::Is(value) => drop(draft.options.entry(path).or_insert(value)),
                    Read::Unset => {}
                    Read::Off => draft.off.push(path),
                }
            }
            Said::Server { protocol, name, option, value } => {
                let server = &mut self.draft(protocol, Section::Services, name, label).server;
                if let Err(why) = server.take(option, &value) {
                    self.left_out.push(LeftOut { label: label.to_owned(), value: Some(value), why });
                }
            }
        }
    }

    fn draft(&mut self, protocol: Protocol, section: Section, name: String, label: &str) -> &mut Draft {
        let key = (protocol, section, name.to_lowercase());
        self.drafts.entry(key).or_insert_with(|| Draft::new(name, label))
    }

    /// Removes what is switched off (`tls=false`).
    fn switch_off(&mut self) {
        for draft in self.drafts.values_mut() {
            let off = std::mem::take(&mut draft.off);
            draft.options.retain(|path, _| !off.iter().any(|off| path.starts_with(off)));
        }
    }

    /// Adds the objects and options that a container has by default.
    fn complete(&mut self) {
        let has = |drafts: &Drafts, protocol: Protocol| drafts.keys().any(|(of, _, _)| *of == protocol);
        let is_http = has(&self.drafts, Protocol::Http);
        let is_other = has(&self.drafts, Protocol::Tcp) || has(&self.drafts, Protocol::Udp);
        for protocol in Protocol::ALL {
            let wanted = match protocol {
                Protocol::Http => is_http || !is_other,
                Protocol::Tcp | Protocol::Udp => self.names(protocol, Section::Routers).next().is_some(),
            };
            if !wanted {
                continue;
            }
            self.add_service(protocol);
            if protocol == Protocol::Http
                && self.names(protocol, Section::Routers).next().is_none()
                && self.names(protocol, Section::Services).count() == 1
                && is_name(&self.default)
            {
                let name = self.default.clone();
                self.draft(protocol, Section::Routers, name, "");
            }
            self.complete_routers(protocol);
        }
    }

    fn names(&self, protocol: Protocol, section: Section) -> impl Iterator<Item = &Draft> {
        self.drafts.iter().filter(move |(key, _)| (key.0, key.1) == (protocol, section)).map(|(_, draft)| draft)
    }

    /// The service that a container has if no label names one, unless each router names one elsewhere.
    fn add_service(&mut self, protocol: Protocol) {
        let named = |draft: &Draft| draft.text("service").is_some_and(|service| service != self.default);
        let routers: Vec<bool> = self.names(protocol, Section::Routers).map(named).collect();
        let is_needed = routers.is_empty() || routers.contains(&false);
        let is_there = self.names(protocol, Section::Services).next().is_some();
        if is_needed && !is_there && is_name(&self.default) {
            let name = self.default.clone();
            self.draft(protocol, Section::Services, name, "");
        }
    }

    fn complete_routers(&mut self, protocol: Protocol) {
        let services: Vec<String> = self.names(protocol, Section::Services).map(|draft| draft.name.clone()).collect();
        let mut gone = Vec::new();
        for (key, draft) in self.drafts.iter_mut().filter(|(key, _)| (key.0, key.1) == (protocol, Section::Routers)) {
            let step = |name: &str| vec![Step::Name(name.to_owned())];
            if draft.text("service").is_none() {
                match services.as_slice() {
                    [only] => drop(draft.options.insert(step("service"), Value::Text(only.clone()))),
                    [] => {}
                    _ => gone.push((key.clone(), Why::SeveralServices)),
                }
            }
            match protocol {
                Protocol::Http => {
                    draft.options.entry(step("rule")).or_insert(Value::DefaultRule);
                }
                Protocol::Tcp if draft.text("rule").is_none() => gone.push((key.clone(), Why::NoRule)),
                Protocol::Tcp | Protocol::Udp => {}
            }
        }
        for (key, why) in gone {
            if let Some(draft) = self.drafts.remove(&key) {
                self.leave(&draft.label, why);
            }
        }
    }

    /// Puts each object to one of the registered ports.
    fn placed(&mut self, ports: &[Place]) -> Vec<Part> {
        let mut ports = ports.to_vec();
        ports.sort_unstable_by_key(|place| (place.transport, place.exposed));
        let Some(main) = ports.first().map(|place| (place.exposed, place.transport)) else { return Vec::new() };
        let mut parts: BTreeMap<(u16, Transport), Part> = BTreeMap::new();
        let mut homes: BTreeMap<(Protocol, String), (u16, Transport)> = BTreeMap::new();
        let mut missing: Vec<(Protocol, String)> = Vec::new();
        let part = |parts: &mut BTreeMap<_, Part>, home: (u16, Transport), piece: Option<Piece>| {
            let part =
                parts.entry(home).or_insert_with(|| Part { place: home, pieces: Vec::new(), servers: Vec::new() });
            part.pieces.extend(piece.filter(|piece| !piece.options.is_empty()));
        };
        let drafts = std::mem::take(&mut self.drafts);
        for ((protocol, section, lower), draft) in drafts.iter().filter(|(key, _)| key.1 == Section::Services) {
            match draft.home(*protocol, &ports) {
                Ok(home) => {
                    homes.insert((*protocol, lower.clone()), home);
                    part(&mut parts, home, Some(draft.piece(*protocol, *section)));
                    let address = self.addresses.get(lower).copied().or(self.address);
                    let (service, said) = (draft.name.clone(), draft.server.clone());
                    if let Some(part) = parts.get_mut(&home) {
                        part.servers.push(Server { protocol: *protocol, service, said, address });
                    }
                }
                Err(why) => {
                    missing.push((*protocol, lower.clone()));
                    // Where nothing is said, nothing is amiss.
                    if !draft.label.is_empty() {
                        self.leave(&draft.label, why);
                    }
                }
            }
        }
        for ((protocol, section, _), draft) in drafts.iter().filter(|(key, _)| key.1 == Section::Routers) {
            let service = draft.text("service").unwrap_or_default().to_owned();
            let key = (*protocol, service.to_lowercase());
            if missing.contains(&key) {
                if !draft.label.is_empty() {
                    self.leave(&draft.label, Why::NoService(service));
                }
                continue;
            }
            let home = homes.get(&key).copied().unwrap_or(main);
            part(&mut parts, home, Some(draft.piece(*protocol, *section)));
        }
        let middlewares = drafts.iter().filter(|(key, _)| key.1 == Section::Middlewares);
        let middlewares: Vec<Piece> =
            middlewares.map(|((protocol, section, _), draft)| draft.piece(*protocol, *section)).collect();
        if parts.is_empty() && !middlewares.is_empty() {
            part(&mut parts, main, None);
        }
        // With each share, since routers of any may use them.
        for part in parts.values_mut() {
            part.pieces.extend(middlewares.iter().filter(|piece| !piece.options.is_empty()).cloned());
        }
        parts.into_values().collect()
    }
}

impl Draft {
    fn new(name: String, label: &str) -> Self {
        Self {
            name,
            options: BTreeMap::new(),
            off: Vec::new(),
            server: SaidOfServer::default(),
            label: label.to_owned(),
        }
    }

    fn text(&self, option: &str) -> Option<&str> {
        match self.options.get(&vec![Step::Name(option.to_owned())]) {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        }
    }

    fn piece(&self, protocol: Protocol, section: Section) -> Piece {
        let object = Object { section, protocol, name: self.name.clone(), server: None };
        Piece { object, options: self.options.clone() }
    }

    /// The registered port of a service: the one that its label names, inside the container or on the host, else the
    /// smallest.
    fn home(&self, protocol: Protocol, ports: &[Place]) -> Result<(u16, Transport), Why> {
        let transport = if protocol == Protocol::Udp { Transport::Udp } else { Transport::Tcp };
        let mut fitting = ports.iter().filter(|place| place.transport == transport);
        let found = match self.server.port {
            None => fitting.next(),
            Some(port) => {
                let fitting: Vec<_> = fitting.collect();
                let exposed = fitting.iter().find(|place| place.exposed == port);
                exposed.or_else(|| fitting.iter().find(|place| place.registered == port)).copied()
            }
        };
        let missing = || self.server.port.map_or(Why::NoPorts, Why::NoPort);
        found.map(|place| (place.exposed, place.transport)).ok_or_else(missing)
    }
}

impl SaidOfServer {
    /// Takes an option. `Err` says why it is left out.
    fn take(&mut self, option: ServerOption, text: &str) -> Result<(), Why> {
        let flag = || bool_of(text).ok_or(Why::NotOf(Kind::Bool));
        let scheme = |scheme: &str| ["http", "https", "h2c"].contains(&scheme);
        match option {
            ServerOption::Port => {
                self.port = Some(text.parse().ok().filter(|port| *port > 0).ok_or(Why::NotOf(Kind::Int))?);
            }
            ServerOption::Scheme if scheme(text) => self.scheme = Some(text.to_owned()),
            ServerOption::Url => {
                let is_url = text.split_once("://").is_some_and(|(before, host)| {
                    scheme(before) && !host.is_empty() && !text.chars().any(|c| c.is_control() || c.is_whitespace())
                });
                self.url = Some(if is_url { text.to_owned() } else { return Err(Why::NotAUrl) });
            }
            ServerOption::Scheme => return Err(Why::NotAUrl),
            ServerOption::Weight => self.weight = Some(text.parse().map_err(|_| Why::NotOf(Kind::Int))?),
            ServerOption::PreservePath => self.preserve_path = Some(flag()?),
            ServerOption::Tls => self.tls = Some(flag()?),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
