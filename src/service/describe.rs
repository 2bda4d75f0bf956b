//! Describe: a container and the settings make services, and a reason for each port that is none.
//!
//! The entry point of this module. All metadata of a container is validated here and below, so the services are safe to
//! write; whatever could not be used as it is gets a note. The cost of one container is bounded: each port is looked at
//! once, and the number of services, their size and the number of log lines are limited.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use litemap::LiteMap;

use crate::config::ServiceConfig;
use crate::container::{Container, ContainerPort, NetworkMode, Protocol, fitted};

use super::address::{Because, Question, Stack, is_address};
use super::check::{self, Check};
use super::decision::{Added, Decision, Field, Recorder, Rule, Unrecorded};
use super::ignored::Reasons;
use super::metadata::{Metadata, PortMetadata, Setting, split_tags};
use super::notes::{Notes, quote};
use super::ports::{self, Reach};
use super::traefik;
use super::{AddressOf, Origin, Service};

pub use super::address::{Neighbours, Unreachable};
pub use super::explained::PortDecisions;
pub use super::ignored::{Ignored, Why};

/// The maximum length of a name or ID, in bytes. A longer value is a mistake.
const LONGEST_NAME: usize = 512;

/// How many digits of an image ID serve as its name; as many as Docker shows.
const SHORT_IMAGE_ID: usize = 12;

/// The maximum total size of one container's services, in bytes: tags, attributes and checks.
const LARGEST: usize = 16 << 20;

/// What a container offers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// Its services, ordered by exposed port and protocol. If the container does not run, a port may be 0 and an
    /// address empty.
    pub services: Vec<Service>,
    /// Why some ports are no services.
    pub ignored: Vec<Ignored>,
    /// One line for each part of the metadata that could not be used as it is. Safe to print.
    pub notes: Vec<String>,
}

/// What a container offers and why, field by field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explanation {
    /// Its ports, ordered by number and protocol. Ports that are no services for a common reason are left out.
    pub ports: Vec<PortDecisions>,
    /// Why other ports are no services: per port, for many at once, or for the whole container.
    pub ignored: Vec<Ignored>,
    /// As in [`Description`].
    pub notes: Vec<String>,
}

/// Describes a container: its services, the reasons for ports that are none, and notes.
///
/// `forced_tags` are the tags of `-tags` for this container. `host_address` is what the host's name resolves to, or
/// what was chosen instead; it may be empty. Never fails: a container's metadata affects only its own services.
///
/// For a container that does not run, only the IDs are complete. What is known only while it runs (a published port, an
/// address) is 0 or empty.
pub fn describe(
    container: &Container,
    forced_tags: &[String],
    config: &ServiceConfig,
    host_address: &str,
    neighbours: &dyn Neighbours,
) -> Description {
    let stack = Stack::of(container, neighbours);
    let scribe = Scribe::<Unrecorded>::new(container, forced_tags, config, host_address, &stack);
    let mut services = Vec::new();
    let (ignored, mut notes) = scribe.ports(|_, outcome, Unrecorded| services.extend(outcome.ok()));
    if config.traefik {
        notes.extend(traefik::add(container, &mut services));
    }
    Description { services, ignored, notes }
}

/// Describes a container as [`describe`] does, and says why each field is as it is.
///
/// It repeats the work, so that nothing has to be stored for containers that nobody asks about.
pub fn explain(
    container: &Container,
    forced_tags: &[String],
    config: &ServiceConfig,
    host_address: &str,
    neighbours: &dyn Neighbours,
) -> Explanation {
    let stack = Stack::of(container, neighbours);
    let scribe = Scribe::<Vec<Decision>>::new(container, forced_tags, config, host_address, &stack);
    let mut ports = Vec::new();
    let (ignored, mut notes) = scribe.ports(|&ContainerPort { number: port, protocol, .. }, outcome, decisions| {
        ports.push(PortDecisions { port, protocol, outcome, decisions });
    });
    ports.retain(|port| port.outcome.as_ref().err().is_none_or(|reason| ignored.contains(reason)));
    if config.traefik {
        notes.extend(traefik::explain(container, &mut ports));
    }
    Explanation { ports, ignored, notes }
}

/// Describes the ports of one container, and passes the decisions to a recorder.
struct Scribe<'a, R> {
    container: &'a Container,
    config: &'a ServiceConfig,
    forced_tags: &'a [String],
    host_address: &'a str,
    stack: &'a Result<Stack, Unreachable>,
    /// The container's name in IDs.
    container_name: String,
    /// The default name of its services.
    usual_name: (String, NameRule<'a>),
    common: Common,
    /// The size of the services so far, in bytes.
    held: usize,
    /// Whether the settings for all ports were checked for unknown keys.
    general_noted: bool,
    notes: Notes,
    /// The decisions on the current port.
    decisions: R,
}

/// Values that services of one container share, computed once.
#[derive(Default)]
struct Common {
    address: Arc<str>,
    /// The attributes, if the port has none of its own.
    tags: BTreeMap<Protocol, Weighed<[String]>>,
    /// The tags, if the port has none of its own.
    attributes: Option<Weighed<LiteMap<String, String>>>,
}

/// A value, and its size in bytes.
struct Weighed<T: ?Sized> {
    value: Arc<T>,
    weight: usize,
}

/// A port, and what distinguishes it from others.
#[derive(Clone, Copy)]
struct Subject<'a> {
    port: &'a ContainerPort,
    reach: Reach,
    metadata: PortMetadata<'a>,
    /// Whether several ports are registered, so that names need the port.
    several: bool,
    /// Whether this port number is registered with another protocol as well, so that IDs need the protocol.
    doubled: bool,
}

impl<'a, R: Recorder> Scribe<'a, R> {
    fn new(
        container: &'a Container,
        forced_tags: &'a [String],
        config: &'a ServiceConfig,
        host_address: &'a str,
        stack: &'a Result<Stack, Unreachable>,
    ) -> Self {
        let container_name = name_of(container);
        let usual_name = match base_of_image(&container.image) {
            Some(base) => (base, NameRule::Image(&container.image)),
            None => (container_name.clone(), NameRule::Container),
        };
        Self {
            container,
            config,
            forced_tags,
            host_address,
            stack,
            container_name,
            usual_name,
            common: Common::default(),
            held: 0,
            general_noted: false,
            notes: Notes::default(),
            decisions: R::default(),
        }
    }

    /// Describes each port in turn, then adds the remaining reasons and the notes.
    fn ports(
        mut self,
        mut each: impl FnMut(&ContainerPort, Result<Service, Ignored>, R),
    ) -> (Vec<Ignored>, Vec<String>) {
        let metadata = Metadata::read(&self.container.env, &self.container.labels);
        let mut ports = ports::reachable(self.container, self.config.internal);
        let named = self.named_port(&metadata);
        if ports.is_empty() {
            ports.extend(named.iter().map(|port| (port, Reach::Exposed)));
        }
        if ports.is_empty() {
            return (vec![Ignored::NoPorts], Vec::new());
        }
        if matches!(self.stack, Err(Unreachable::NoNetwork)) && self.container.network_mode == NetworkMode::None {
            return (vec![Ignored::Unreachable(Unreachable::NoNetwork)], Vec::new());
        }
        let is_registered = |index: Option<usize>, number: u16| {
            let found = index.and_then(|index| ports.get(index));
            found.is_some_and(|(port, reach)| port.number == number && *reach != Reach::Unpublished)
        };
        let several = ports.iter().filter(|(_, reach)| *reach != Reach::Unpublished).take(2).count() > 1;
        let mut reasons = Reasons::default();
        let mut services = 0;
        for (index, &(port, reach)) in ports.iter().enumerate() {
            // Ports are sorted, so those with the same number are adjacent.
            let beside = [index.checked_sub(2), index.checked_sub(1), Some(index + 1), Some(index + 2)];
            let doubled = beside.into_iter().any(|index| is_registered(index, port.number));
            let subject =
                Subject { port, reach, metadata: metadata.port(port.number, port.protocol), several, doubled };
            let outcome = self.service(subject, services).map_err(|reason| reasons.add(reason));
            services += usize::from(outcome.is_ok());
            each(port, outcome, std::mem::take(&mut self.decisions));
        }
        (reasons.into_list(), self.notes.into_lines())
    }

    /// The port that `SERVICE_PORT` names for a container that has none, where somebody can reach it there: a published port
    /// is missing, and many applications have such a variable of their own.
    fn named_port(&self, metadata: &Metadata<'_>) -> Option<ContainerPort> {
        let number = metadata.value("port")?.parse().ok().filter(|number| *number != 0)?;
        let is_reached = self.config.internal
            || !matches!(self.stack, Ok(Stack::Own))
            || metadata.value("ip").is_some_and(is_address);
        is_reached.then(|| ContainerPort { number, protocol: Protocol::Tcp, exposed: true, bindings: Vec::new() })
    }

    /// The service of a port; `others` services of the container come before it.
    fn service(&mut self, subject: Subject<'_>, others: usize) -> Result<Service, Ignored> {
        let Subject { port, reach, metadata, .. } = subject;
        let published = match reach {
            Reach::Exposed => port.number,
            Reach::Published { port, .. } => port,
            Reach::Unpublished => return Err(Ignored::Port(port.number, Why::NotPublished)),
        };
        if let Some(setting) = metadata.get("ignore") {
            self.decisions.decide(|| Decision::new(Field::Registered, "no", setting));
            return Err(Ignored::Port(port.number, Why::Asked));
        }
        if others >= self.config.max_services {
            return Err(Ignored::Port(port.number, Why::TooMany(self.config.max_services)));
        }
        if self.held > LARGEST {
            return Err(Ignored::Port(port.number, Why::TooLarge));
        }
        if !std::mem::replace(&mut self.general_noted, true) {
            check::note_unknown(metadata.general(), &mut self.notes);
        }
        check::note_unknown(metadata.specific(), &mut self.notes);
        let name = self.name(subject)?;
        let (address, because) = self.address(subject)?;
        let service_port = self.port(subject, published);
        if service_port == 0 && self.container.state.is_running() {
            return Err(Ignored::Port(port.number, Why::NoHostPort));
        }
        // Checks connect over TCP. The same port number of another protocol may belong to another program.
        let hosts_port = service_port == published && port.protocol == Protocol::Tcp;
        let address_of = self.address_of(&address, because, reach, hosts_port);
        let check = Check::wanted(metadata, (&address, service_port), &mut self.notes, &mut self.decisions);
        let (id, claimed) = self.id(subject);
        let service = Service {
            id: id.into(),
            name,
            address,
            port: service_port,
            protocol: port.protocol,
            tags: self.tags(subject),
            attributes: self.attributes(metadata),
            ttl: self.ttl(),
            check: check.map(Box::new),
            health: self.container.state.health(),
            traefik: None,
            origin: Origin {
                container: self.container.id.clone(),
                container_name: self.container.name.clone(),
                created: self.container.created,
                started: self.container.started,
                claimed,
                address_of,
                hostname: self.container.hostname.clone(),
                exposed_port: port.number,
            },
        };
        self.held += service.check.as_ref().map_or(0, |check| check.weight());
        Ok(service)
    }

    fn name(&mut self, subject: Subject<'_>) -> Result<String, Ignored> {
        let Subject { port: &ContainerPort { number, .. }, metadata, several, .. } = subject;
        let said = self.word(metadata.get_past_empty("name"), "a name");
        let (base, because) = match said {
            Some(setting) => (Cow::Borrowed(setting.value), NameRule::Setting(setting)),
            None if self.config.explicit => {
                self.decisions.decide(|| Decision::new(Field::Registered, "no", Rule::option("-explicit", "")));
                return Err(Ignored::Port(number, Why::Unnamed));
            }
            None => (Cow::Borrowed(self.usual_name.0.as_str()), self.usual_name.1),
        };
        let adds = several && !said.is_some_and(|setting| setting.is_specific());
        let name = if adds { format!("{base}-{number}") } else { base.into_owned() };
        self.decisions.decide(|| Decision::new(Field::Name, &*name, Rule::from(because).with(Added::Port, adds)));
        Ok(name)
    }

    /// The ID, and whether the container claims it.
    fn id(&mut self, subject: Subject<'_>) -> (String, bool) {
        let Subject { port: &ContainerPort { number, protocol, .. }, metadata, doubled, .. } = subject;
        let suffix = match protocol {
            Protocol::Tcp => "",
            Protocol::Udp => ":udp",
            Protocol::Sctp => ":sctp",
        };
        let Some(setting) = self.word(metadata.get("id"), "an id") else {
            let id = format!("{}:{}:{number}{suffix}", self.config.hostname, self.container_name);
            self.decisions.decide(|| Decision::new(Field::Id, &*id, Rule::OwnId));
            return (id, false);
        };
        let adds = doubled && protocol != Protocol::Tcp;
        let id = format!("{}{}", setting.value, if adds { suffix } else { "" });
        self.decisions.decide(|| Decision::new(Field::Id, &*id, Rule::from(setting).with(Added::Protocol, adds)));
        (id, true)
    }

    /// The setting, if it can be a name or an ID: one line, and not too long.
    fn word<'m>(&mut self, setting: Option<Setting<'m>>, what: &str) -> Option<Setting<'m>> {
        let setting = setting?;
        if setting.value.len() <= LONGEST_NAME && !setting.value.contains(char::is_control) {
            return Some(setting);
        }
        self.notes.add(format!("{setting}={} cannot be {what}; the usual one is registered", quote(setting.value)));
        None
    }

    fn address<'s>(&mut self, subject: Subject<'s>) -> Result<(Arc<str>, Because<'s>), Ignored>
    where
        'a: 's,
    {
        let Self { container, config, host_address, stack, .. } = *self;
        let Subject { reach, metadata, .. } = subject;
        let question = Question { container, stack, metadata, reach, config, host_address };
        let (address, because) = match question.answer(&mut self.notes, &mut self.decisions) {
            Err(_) if !container.state.is_running() => {
                self.decisions.decide(|| Decision::new(Field::Address, "", Rule::NotRunning));
                (Cow::Borrowed(""), Because::NotRunning)
            }
            Err(reason) => return Err(Ignored::Unreachable(reason)),
            Ok(answer) => answer,
        };
        // An equal value is not stored twice.
        if *self.common.address != *address {
            self.common.address = address.into();
        }
        Ok((Arc::clone(&self.common.address), because))
    }

    /// Whether an address leads to the container, or to where its metadata says. `hosts_port` is the port at which the
    /// host forwards TCP to the container.
    fn address_of(&self, address: &str, because: Because<'_>, reach: Reach, hosts_port: bool) -> AddressOf {
        let own = match because {
            Because::Setting(_) | Because::Label { .. } => {
                self.is_own_address(address) || (hosts_port && self.is_published_at(address, reach))
            }
            // All ports of that address belong to the container.
            Because::Own { .. } => true,
            // Other ports of this host belong to other programs.
            Because::Forced(_) | Because::Published | Because::Host => hosts_port,
            Because::NotRunning => false,
        };
        if own { AddressOf::Container } else { AddressOf::Metadata }
    }

    /// Whether the container has this address on one of its networks.
    fn is_own_address(&self, address: &str) -> bool {
        let whose = match self.stack {
            Ok(Stack::Own) => self.container,
            Ok(Stack::Shared(other)) => other,
            Ok(Stack::Host) | Err(_) => return false,
        };
        let ip = address.parse().ok();
        ip.is_some() && whose.networks.values().any(|on| on.ipv4 == ip || on.ipv6 == ip)
    }

    /// Whether the service's port leads to the container at this address of the host.
    fn is_published_at(&self, address: &str, reach: Reach) -> bool {
        let ip = address.parse::<IpAddr>().ok();
        let host = || {
            let named = self.config.ip.as_deref() == Some(address) || self.host_address == address;
            named || ip.is_some_and(|ip| ip.is_loopback())
        };
        match reach {
            Reach::Published { ip: Some(only), .. } => ip == Some(only),
            Reach::Published { ip: None, .. } => host(),
            Reach::Exposed => matches!(self.stack, Ok(Stack::Host)) && host(),
            Reach::Unpublished => false,
        }
    }

    fn port(&mut self, subject: Subject<'_>, usual: u16) -> u16 {
        let Subject { reach, metadata, .. } = subject;
        let Some(setting) = metadata.get("port") else { return self.usual_port(reach, usual) };
        let value = quote(setting.value);
        match setting.value.parse::<u16>() {
            Ok(port) if port != 0 => {
                // Applications also use a variable of this name; a port-specific one is meant for us.
                let is_published = matches!(reach, Reach::Published { .. }) && usual != 0;
                if is_published && port != usual && !setting.is_specific() {
                    self.notes.add(format!(
                        "{setting}={value} is registered in place of the port that the host publishes; where it is the \
                         application's own variable, an empty SERVICE_<port>_PORT prevents that"
                    ));
                }
                self.decisions.decide(|| Decision::new(Field::Port, port.to_string(), setting));
                port
            }
            _ => {
                self.notes.add(format!("{setting}={value} is no port from 1 to 65535; the usual one is registered"));
                self.usual_port(reach, usual)
            }
        }
    }

    fn usual_port(&mut self, reach: Reach, port: u16) -> u16 {
        let rule = || if reach == Reach::Exposed { Rule::Exposed } else { Rule::Published };
        self.decisions.decide(|| Decision::new(Field::Port, port.to_string(), rule()));
        port
    }

    fn ttl(&mut self) -> Option<Duration> {
        let ttl = self.config.ttl?;
        let seconds = ttl.as_secs().to_string();
        self.decisions.decide(|| Decision::new(Field::Ttl, format!("{seconds}s"), Rule::option("-ttl", seconds)));
        Some(ttl)
    }

    fn tags(&mut self, subject: Subject<'_>) -> Arc<[String]> {
        let Subject { port: &ContainerPort { protocol, .. }, metadata, .. } = subject;
        let own = metadata.is_own("tags");
        if !own
            && !R::RECORDS
            && let Some(Weighed { value, weight }) = self.common.tags.get(&protocol)
        {
            self.held += weight;
            return Arc::clone(value);
        }
        let mut tags = Vec::new();
        if let Some(setting) = metadata.get("tags") {
            tags = split_tags(setting.value);
            self.decisions.decide(|| Decision::new(Field::Tags, tags.join(","), setting));
        }
        if !self.forced_tags.is_empty() {
            let option = || Rule::option("-tags", self.config.tags.as_deref().unwrap_or_default());
            self.decisions.decide(|| Decision::new(Field::Tags, self.forced_tags.join(","), option()));
            tags.extend_from_slice(self.forced_tags);
        }
        if protocol != Protocol::Tcp {
            self.decisions.decide(|| Decision::new(Field::Tags, protocol.as_str(), Rule::Protocol));
            tags.push(protocol.as_str().to_owned());
        }
        let weight = tags.iter().map(|tag| size_of::<String>() + tag.len()).sum();
        self.held += weight;
        let value: Arc<[String]> = tags.into();
        if !own {
            self.common.tags.insert(protocol, Weighed { value: Arc::clone(&value), weight });
        }
        value
    }

    fn attributes(&mut self, metadata: PortMetadata<'_>) -> Arc<LiteMap<String, String>> {
        let own = metadata.has_own_attributes();
        if !own
            && !R::RECORDS
            && let Some(Weighed { value, weight }) = &self.common.attributes
        {
            self.held += weight;
            return Arc::clone(value);
        }
        let mut weight = 0;
        let mut attributes = LiteMap::new();
        for setting in metadata.attributes() {
            let (key, value) = (setting.key().to_owned(), setting.value.to_owned());
            weight += 2 * size_of::<String>() + key.len() + value.len();
            self.decisions.decide(|| Decision::new(Field::Attribute(key.clone()), &*value, setting));
            attributes.insert(key, value);
        }
        self.held += weight;
        let value = Arc::new(fitted(attributes));
        if !own {
            self.common.attributes = Some(Weighed { value: Arc::clone(&value), weight });
        }
        value
    }
}

/// The default name of a port's service, and the reason. The rule is built only if it is asked for.
#[derive(Clone, Copy)]
enum NameRule<'a> {
    Setting(Setting<'a>),
    Image(&'a str),
    Container,
}

impl From<NameRule<'_>> for Rule {
    fn from(rule: NameRule<'_>) -> Self {
        match rule {
            NameRule::Setting(setting) => setting.into(),
            NameRule::Image(image) => Self::Image(image.to_owned()),
            NameRule::Container => Self::ContainerName,
        }
    }
}

/// The part of an image's name after the last slash, without tag and digest. For an image known only by its ID: the
/// first digits of the ID.
fn base_of_image(image: &str) -> Option<String> {
    if let Some(id) = image.strip_prefix("sha256:") {
        return Some(printable(id).chars().take(SHORT_IMAGE_ID).collect()).filter(|id: &String| !id.is_empty());
    }
    let named = image.split('@').next()?;
    let base = named.trim_end_matches('/').rsplit('/').next()?;
    let base = printable(base.split(':').next()?);
    (!base.is_empty() && base.len() <= LONGEST_NAME).then_some(base)
}

/// The container's name in IDs; its ID if the engine reports no name.
fn name_of(container: &Container) -> String {
    let name = printable(&container.name);
    if name.is_empty() { printable(container.id.short()) } else { name }
}

/// The text without characters that could end a line.
fn printable(text: &str) -> String {
    text.chars().filter(|character| !character.is_control()).collect()
}

#[cfg(test)]
mod tests;
