//! What is wrong with the containers of a file.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::clashes;
use super::finding::{Finding, Kind};
use super::interpolate::Expressions;
use super::keys::misspelt;
use super::{Form, Subject};
use crate::config::ServiceConfig;
use crate::container::{Container, NetworkMode, Protocol, SETTING};
use crate::registry::names::{About, Objection, objections};
use crate::service::Service;
use crate::service::decision::{Added, Decision, Field, Rule};
use crate::service::describe::{Explanation, Ignored, Neighbours, PortDecisions, Why, explain};
use crate::service::metadata::{Metadata, Ports};
use crate::service::notes::{quote, quote_key};
use crate::yaml::Position;

/// The host's address for services here, from the range for documentation (RFC 5737).
const HOST_ADDRESS: &str = "192.0.2.2";

/// A file as containers.
pub(super) struct File<'a> {
    pub(super) form: Form,
    pub(super) subjects: &'a [Subject],
    pub(super) expressions: &'a Expressions,
}

impl Neighbours for File<'_> {
    fn find(&self, reference: &str) -> Option<Arc<Container>> {
        let same = |subject: &&Subject| {
            subject.name == reference
                || *subject.container.name == *reference
                || subject.container.id.as_str() == reference
        };
        self.subjects.iter().find(same).map(|subject| Arc::clone(&subject.container))
    }
}

impl File<'_> {
    /// All that is wrong, in the order of the file, each once.
    pub(super) fn findings(&self, config: &ServiceConfig, uris: &[&str]) -> Vec<Finding> {
        let mut findings = BTreeSet::new();
        let mut services = Vec::new();
        for subject in self.subjects {
            let explanation = explain(&subject.container, &[], config, HOST_ADDRESS, self);
            let look = Look { file: self, subject, config, explanation: &explanation };
            findings.extend(look.keys());
            findings.extend(look.notes());
            findings.extend(look.ports());
            findings.extend(look.names(uris));
            services.extend(look.services().map(|(service, at)| (subject, service.clone(), at)));
        }
        findings.extend(clashes::clashes(&services));
        let spoken = |finding: Finding| Finding { text: self.expressions.spoken(&finding.text), ..finding };
        findings.into_iter().map(spoken).collect()
    }
}

/// One container, and what would be registered of it.
struct Look<'a> {
    file: &'a File<'a>,
    subject: &'a Subject,
    config: &'a ServiceConfig,
    explanation: &'a Explanation,
}

impl Look<'_> {
    fn finding(&self, at: Position, kind: Kind, text: String, fix: String) -> Finding {
        Finding { at, subject: self.subject.name.clone(), kind, text, fix }
    }

    /// How a setting is written in this kind of file.
    fn line(&self, key: &str, value: &str) -> String {
        match self.file.form {
            Form::Compose => format!("write {key}: {value}"),
            Form::Inspect => format!("give {key}={value}"),
        }
    }

    /// The services, each with the place where its ID is decided.
    fn services(&self) -> impl Iterator<Item = (&Service, Position)> {
        let ports = self.explanation.ports.iter();
        ports.filter_map(|port| Some((port.outcome.as_ref().ok()?, self.decided(&port.decisions, &Field::Id))))
    }

    /// Where the setting stands that decided a field; else the container itself.
    fn decided(&self, decisions: &[Decision], field: &Field) -> Position {
        let rule = decisions.iter().find(|decision| decision.field == *field).map(|decision| &decision.rule);
        self.place(rule).unwrap_or(self.subject.at)
    }

    fn place(&self, rule: Option<&Rule>) -> Option<Position> {
        match rule? {
            Rule::Metadata { key, source, .. } => self.subject.keys.find(key, Some(*source)).map(|key| key.at),
            Rule::With(rule, _) => self.place(Some(rule)),
            _ => None,
        }
    }

    fn keys(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for key in self.subject.keys.iter() {
            if let Some(found) = misspelt(&key.key) {
                let text = format!("{} {}", quote_key(&key.key), found.effect);
                let fix = format!("did you mean {}?", found.meant);
                findings.push(self.finding(key.at, Kind::Key, text, fix));
            }
        }
        let misplaced = self.subject.misplaced.iter().map(|(at, key)| {
            let text = format!("{} is a label of the Swarm service, which no container has", quote_key(key));
            self.finding(*at, Kind::Key, text, "move it from deploy: to the labels: of the service".to_owned())
        });
        findings.extend(misplaced);
        findings.extend(self.keys_of_other_ports());
        findings
    }

    /// Settings for a port that is not there: usually the host's port was taken for the one inside.
    fn keys_of_other_ports(&self) -> Vec<Finding> {
        let Subject { container, open, .. } = self.subject;
        let mut findings = Vec::new();
        if open.ports || (self.config.internal && self.file.form == Form::Compose) {
            return findings;
        }
        let mut numbers: BTreeMap<Protocol, BTreeSet<u32>> = BTreeMap::new();
        for port in &container.ports {
            numbers.entry(port.protocol).or_default().insert(port.number.into());
        }
        for key in self.subject.keys.settings() {
            let lower = key.key.strip_prefix(SETTING).unwrap_or_default().to_lowercase();
            let Some((ports, name)) = Ports::split(&lower) else { continue };
            let of_protocol = numbers.iter().filter(|(protocol, _)| ports.is_for(**protocol));
            if of_protocol.clone().any(|(_, numbers)| numbers.range(ports.numbers()).next().is_some()) {
                continue;
            }
            let number = ports.number();
            let inside = container
                .ports
                .iter()
                .find(|port| port.bindings.iter().any(|binding| Some(binding.port.into()) == number))
                .filter(|_| !open.host_ports)
                .map(|port| port.number);
            let shown = quote_key(&key.key);
            let (text, fix) = match inside {
                Some(inside) => (
                    format!("{shown} is for port {ports} inside the container, but {ports} is the host's port"),
                    format!("write SERVICE_{inside}_{}", name.to_uppercase().escape_debug()),
                ),
                None if number.is_none() => (
                    format!("{shown} is for the ports {ports}, none of which is published"),
                    format!("publish them, or use the numbers of ports that are{}", self.named_ports()),
                ),
                None => (
                    format!("{shown} is for port {ports}, which is not published"),
                    format!("publish it, or use the number of a port that is{}", self.named_ports()),
                ),
            };
            findings.push(self.finding(key.at, Kind::Key, text, fix));
        }
        findings
    }

    /// The first published ports, in parentheses.
    fn named_ports(&self) -> String {
        let published = self.subject.container.ports.iter().filter(|port| !port.bindings.is_empty());
        let numbers: Vec<_> = published.take(3).map(|port| port.number.to_string()).collect();
        if numbers.is_empty() { String::new() } else { format!(" ({})", numbers.join(", ")) }
    }

    /// Notes on settings whose values are known.
    fn notes(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for note in &self.explanation.notes {
            let end = note.find(['=', ' ']).unwrap_or(note.len());
            let key = self.subject.keys.find(&note[..end], None);
            if key.is_some_and(|key| !key.known) || self.is_open(&note[..end], note) {
                continue;
            }
            findings.push(self.finding(
                key.map_or(self.subject.at, |key| key.at),
                Kind::Value,
                note.clone(),
                String::new(),
            ));
        }
        findings
    }

    /// Whether a note depends on what the file leaves open.
    fn is_open(&self, key: &str, note: &str) -> bool {
        let compose = self.file.form == Form::Compose;
        // Compose puts the project's name before a network's.
        let network = compose && key.ends_with("_NETWORK");
        let replaced = self.subject.open.host_ports && note.contains("in place of the port");
        network || replaced
    }

    fn ports(&self) -> Vec<Finding> {
        let Subject { container, open, ports_at, .. } = self.subject;
        let wrong = self.subject.wrong_ports.iter().map(|(at, text)| {
            let fix = "write it as \"8080:80\" or \"80/udp\"".to_owned();
            self.finding(*at, Kind::Port, text.clone(), fix)
        });
        let mut findings: Vec<_> = wrong.collect();
        for ignored in &self.explanation.ignored {
            let (at, fix) = match ignored {
                Ignored::Port(_, Why::Asked) | Ignored::Ports(_, Why::Asked) => continue,
                Ignored::Port(number, Why::NotPublished) if self.is_ignored(*number) => continue,
                Ignored::Port(number, Why::NotPublished) => (self.port_at(*number), self.publish(*number)),
                Ignored::Ports(_, Why::NotPublished) => (*ports_at, "publish them, or run with -internal".to_owned()),
                Ignored::Port(_, Why::Unnamed) | Ignored::Ports(_, Why::Unnamed) if open.settings => continue,
                Ignored::Port(number, Why::Unnamed) => {
                    (self.port_at(*number), self.line(&format!("SERVICE_{number}_NAME"), "a-name"))
                }
                Ignored::NoPorts if self.says_nothing() || open.ports => continue,
                Ignored::NoPorts if self.config.internal && self.file.form == Form::Compose => continue,
                Ignored::NoPorts => {
                    let fix = match self.file.form {
                        Form::Compose => "add ports: [\"80\"], with the port inside the container",
                        Form::Inspect => "start it with -p or -P",
                    };
                    (*ports_at, fix.to_owned())
                }
                Ignored::Unreachable(_) if open.network => continue,
                Ignored::Unreachable(_) if container.network_mode == NetworkMode::None && self.says_nothing() => {
                    continue;
                }
                Ignored::Unreachable(_) | Ignored::Port(..) | Ignored::Ports(..) => (*ports_at, String::new()),
            };
            findings.push(self.finding(at, Kind::Port, format!("not registered: {ignored}"), fix));
        }
        findings
    }

    /// Whether it has no settings of ours, so that nobody expects it to be registered.
    fn says_nothing(&self) -> bool {
        self.subject.keys.settings().next().is_none()
    }

    fn port_at(&self, number: u16) -> Position {
        let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
        let of = |protocol| self.subject.ports.get(&(number, protocol)).copied();
        protocols.into_iter().find_map(of).unwrap_or(self.subject.ports_at)
    }

    /// Whether a port is not meant to be registered anyway.
    fn is_ignored(&self, number: u16) -> bool {
        let Container { env, labels, .. } = &*self.subject.container;
        let metadata = Metadata::read(env, labels);
        let mut ports = self.subject.container.ports.iter().filter(|port| port.number == number);
        ports.any(|port| metadata.port(number, port.protocol).get("ignore").is_some())
    }

    fn publish(&self, number: u16) -> String {
        let ports = self.subject.container.ports.iter();
        let hidden = ports.filter(|port| port.number == number && port.bindings.is_empty()).map(|port| port.protocol);
        let suffix = match hidden.min() {
            None | Some(Protocol::Tcp) => String::new(),
            Some(protocol) => format!("/{}", protocol.as_str()),
        };
        match self.file.form {
            Form::Compose => format!("add \"{number}{suffix}\" to ports:, or run with -internal"),
            Form::Inspect => format!("start it with -p {number}{suffix}, or run with -internal"),
        }
    }

    fn names(&self, uris: &[&str]) -> Vec<Finding> {
        let mut findings = Vec::new();
        // Ports share most of what is said, and a container may have thousands.
        let mut said = HashSet::new();
        for port in &self.explanation.ports {
            let Ok(service) = &port.outcome else { continue };
            for Objection { about, text } in objections(service, uris) {
                let (field, what, value) = match &about {
                    About::Name => (Field::Name, "name", said_name(service, port)),
                    About::Id => (Field::Id, "ID", &*service.id),
                    About::Attribute(key) => (Field::Attribute(key.clone()), "attribute", key.as_str()),
                };
                if !said.insert((what, value.to_owned())) {
                    continue;
                }
                let at = self.decided(&port.decisions, &field);
                let fix = match about {
                    About::Name => self.line(&name_key(port), &plain(value)),
                    About::Id => "give it another SERVICE_ID".to_owned(),
                    About::Attribute(_) => "give it another name or a shorter value".to_owned(),
                };
                findings.push(self.finding(at, Kind::Name, format!("{what} {}: {text}", quote(value)), fix));
            }
        }
        findings
    }
}

/// The rule that decided the name of a port's service.
fn name_rule(port: &PortDecisions) -> Option<&Rule> {
    port.decisions.iter().find(|decision| decision.field == Field::Name).map(|decision| &decision.rule)
}

/// The name as a person gives it: without the port that is added where there are several.
fn said_name<'a>(service: &'a Service, port: &PortDecisions) -> &'a str {
    let adds = matches!(name_rule(port), Some(Rule::With(_, Added::Port)));
    let suffix = format!("-{}", port.port);
    Some(&*service.name).filter(|_| adds).and_then(|name| name.strip_suffix(&suffix)).unwrap_or(&service.name)
}

/// The key that sets the name of a port's service: the one that does now, else the one for all ports.
fn name_key(port: &PortDecisions) -> String {
    match name_rule(port) {
        Some(Rule::Metadata { key, .. }) => key.clone(),
        Some(Rule::With(rule, _)) => match &**rule {
            Rule::Metadata { key, .. } => key.clone(),
            _ => "SERVICE_NAME".to_owned(),
        },
        _ => "SERVICE_NAME".to_owned(),
    }
}

/// A name for DNS that resembles this one.
fn plain(name: &str) -> String {
    let mut plain = String::new();
    for character in name.chars().take(63) {
        match character.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() || c == '_' => plain.push(c),
            _ if plain.is_empty() || plain.ends_with('-') => {}
            _ => plain.push('-'),
        }
    }
    let plain = plain.trim_matches(['-', '_']);
    if plain.is_empty() { "a-name".to_owned() } else { plain.to_owned() }
}
