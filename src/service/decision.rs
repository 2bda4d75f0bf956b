//! Decisions: why a service is as it is, field by field.
//!
//! They are made by the code that sets the fields, so they always match what is registered. They are not stored:
//! [`super::describe::describe`] passes `Unrecorded`, and then they are not even built; [`super::describe::explain`]
//! describes the container again and collects them.

use std::fmt;

use super::metadata::{Setting, Source};
use super::notes::{quote, quote_key};

/// Why one field of one service is as it is. Displays as one short, safe line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// The field. Tags come from several sources, with one decision per source.
    pub field: Field,
    /// The registered value: not escaped, of any length. Tags are joined by commas.
    pub value: String,
    /// What decided.
    pub rule: Rule,
}

/// A field of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// Whether the port is a service.
    Registered,
    /// Its name.
    Name,
    /// Its ID.
    Id,
    /// Its address.
    Address,
    /// Its port.
    Port,
    /// Some of its tags.
    Tags,
    /// The attribute with this key.
    Attribute(String),
    /// A part of its check.
    Check(CheckPart),
    /// How long its entry lives without a refresh.
    Ttl,
    /// What it adds to Traefik's configuration.
    Traefik,
}

/// A part of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckPart {
    /// What is done.
    Kind,
    /// The HTTP method.
    Method,
    /// Whether TLS is used.
    Tls,
    /// Whether any certificate is accepted.
    SkipVerify,
    /// How often.
    Interval,
    /// The time limit of one probe.
    Timeout,
    /// The status before the first result.
    InitialStatus,
    /// After how long a critical service is removed.
    DeregisterAfter,
    /// Who sends the heartbeats.
    Heartbeat,
}

/// What decided a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The container's metadata.
    Metadata {
        /// The key: `SERVICE_80_NAME`.
        key: String,
        /// Its value.
        value: String,
        /// Where it stands.
        source: Source,
    },
    /// An option.
    Option {
        /// Its name, with the dash.
        name: &'static str,
        /// Its value; empty for a switch.
        value: String,
    },
    /// The label that an option names (`-useIpFromLabel`).
    Label {
        /// The label.
        label: String,
        /// Its value.
        value: String,
    },
    /// The base of the image's name.
    Image(String),
    /// The container's own name, because the image has none.
    ContainerName,
    /// Host name, container name and exposed port: the default ID.
    OwnId,
    /// The port's protocol.
    Protocol,
    /// The exposed port, because the container's own address is registered, or it uses the host's network.
    Exposed,
    /// The published port.
    Published,
    /// The container's own address on this network.
    Own {
        /// The network.
        network: String,
        /// The container that has the address, if this one shares its network.
        container: Option<String>,
    },
    /// The address of this host.
    Host,
    /// Unknown while the container does not run.
    NotRunning,
    /// The default.
    Default,
    /// The container's labels for Traefik, and Traefik's defaults.
    TraefikLabels,
    /// Its labels keep it out of Traefik's configuration, or its health does.
    NotForTraefik(&'static str),
    /// Another rule, and something added to its value.
    With(Box<Self>, Added),
}

/// An addition that distinguishes services of one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// The exposed port.
    Port,
    /// The protocol.
    Protocol,
}

/// Receives decisions.
pub(super) trait Recorder: Default {
    /// Whether decisions are wanted. Only if not, earlier results may be reused.
    const RECORDS: bool;

    /// Takes a decision, if it is wanted.
    fn decide(&mut self, decision: impl FnOnce() -> Decision);
}

/// Wants no decisions, so they are not made.
#[derive(Default)]
pub(super) struct Unrecorded;

impl Recorder for Unrecorded {
    const RECORDS: bool = false;

    fn decide(&mut self, _: impl FnOnce() -> Decision) {}
}

impl Recorder for Vec<Decision> {
    const RECORDS: bool = true;

    fn decide(&mut self, decision: impl FnOnce() -> Decision) {
        self.push(decision());
    }
}

impl Decision {
    pub(super) fn new(field: Field, value: impl Into<String>, rule: impl Into<Rule>) -> Self {
        Self { field, value: value.into(), rule: rule.into() }
    }
}

impl Rule {
    pub(super) fn option(name: &'static str, value: impl Into<String>) -> Self {
        Self::Option { name, value: value.into() }
    }

    /// This rule, with an addition if there is one.
    pub(super) fn with(self, added: Added, adds: bool) -> Self {
        if adds { Self::With(Box::new(self), added) } else { self }
    }
}

impl From<Setting<'_>> for Rule {
    fn from(setting: Setting<'_>) -> Self {
        Self::Metadata { key: setting.to_string(), value: setting.value.to_owned(), source: setting.source }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, value, rule } = self;
        write!(f, "{field} {}: {rule}", quote(value))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Registered => f.write_str("registered"),
            Self::Name => f.write_str("name"),
            Self::Id => f.write_str("id"),
            Self::Address => f.write_str("address"),
            Self::Port => f.write_str("port"),
            Self::Tags => f.write_str("tags"),
            Self::Attribute(key) => write!(f, "attribute {}", quote(key)),
            Self::Check(part) => write!(f, "check {}", part.as_str()),
            Self::Ttl => f.write_str("ttl"),
            Self::Traefik => f.write_str("traefik"),
        }
    }
}

impl CheckPart {
    /// A word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kind => "kind",
            Self::Method => "method",
            Self::Tls => "tls",
            Self::SkipVerify => "skip-verify",
            Self::Interval => "interval",
            Self::Timeout => "timeout",
            Self::InitialStatus => "initial-status",
            Self::DeregisterAfter => "deregister-after",
            Self::Heartbeat => "heartbeat",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Metadata { key, value, source } => {
                write!(f, "{} {}={}", source.as_str(), quote_key(key), quote(value))
            }
            Self::Option { name, value } if value.is_empty() => f.write_str(name),
            Self::Option { name, value } => write!(f, "{name} {}", quote(value)),
            Self::Label { label, value } => write!(f, "label {}={} (-useIpFromLabel)", quote_key(label), quote(value)),
            Self::Image(image) => write!(f, "the image {}", quote(image)),
            Self::ContainerName => f.write_str("the container's name, since its image has none"),
            Self::OwnId => f.write_str("host, container and exposed port"),
            Self::Protocol => f.write_str("the port's protocol"),
            Self::Exposed => f.write_str("the port that the container listens on"),
            Self::Published => f.write_str("where the host publishes it"),
            Self::Own { network, container: None } => {
                write!(f, "its own address on network {} (-internal)", quote(network))
            }
            Self::Own { network, container: Some(container) } => write!(
                f,
                "the address on network {} of container {}, whose network it shares",
                quote(network),
                quote(container)
            ),
            Self::Host => f.write_str("the address of this host"),
            Self::NotRunning => f.write_str("not known while the container does not run"),
            Self::Default => f.write_str("the default"),
            Self::TraefikLabels => f.write_str("the container's labels, and the defaults of Traefik's Docker provider"),
            Self::NotForTraefik(why) => f.write_str(why),
            Self::With(rule, Added::Port) => write!(f, "{rule}, and the port, since several are registered"),
            Self::With(rule, Added::Protocol) => write!(f, "{rule}, and the protocol"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decision_is_one_short_line_whatever_it_quotes() {
        let long = "x\n".repeat(100_000);
        let rule = Rule::Metadata { key: long.clone(), value: long.clone(), source: Source::Label };
        for decision in [
            Decision::new(Field::Attribute(long.clone()), long.clone(), rule.clone()),
            Decision::new(Field::Name, "a", rule.with(Added::Port, true)),
            Decision::new(Field::Name, "a", Rule::Image(long.clone())),
            Decision::new(Field::Address, "a", Rule::Own { network: long.clone(), container: Some(long.clone()) }),
            Decision::new(Field::Address, "a", Rule::Label { label: long.clone(), value: long.clone() }),
            Decision::new(Field::Tags, "a", Rule::option("-tags", long)),
        ] {
            let line = decision.to_string();
            assert!(!line.contains('\n') && line.chars().count() < 1000, "{line}");
        }
    }

    #[test]
    fn a_decision_reads_as_a_sentence_about_its_field() {
        let rule = |key: &str, value: &str, source| Rule::Metadata { key: key.into(), value: value.into(), source };
        for (decision, line) in [
            (
                Decision::new(
                    Field::Name,
                    "web-80",
                    rule("SERVICE_NAME", "web", Source::Label).with(Added::Port, true),
                ),
                r#"name "web-80": label SERVICE_NAME="web", and the port, since several are registered"#,
            ),
            (
                Decision::new(
                    Field::Attribute("region".into()),
                    "us2",
                    rule("SERVICE_REGION", "us2", Source::Variable),
                ),
                r#"attribute "region" "us2": variable SERVICE_REGION="us2""#,
            ),
            (
                Decision::new(Field::Address, "10.0.0.1", Rule::option("-ip", "10.0.0.1")),
                r#"address "10.0.0.1": -ip "10.0.0.1""#,
            ),
            (Decision::new(Field::Registered, "no", Rule::option("-explicit", "")), r#"registered "no": -explicit"#),
            (
                Decision::new(Field::Check(CheckPart::Interval), "10s", Rule::Default),
                r#"check interval "10s": the default"#,
            ),
        ] {
            assert_eq!(decision.to_string(), line);
        }
    }
}
