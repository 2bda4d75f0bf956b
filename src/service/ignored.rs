//! Why a port, or a whole container, is no service.

use std::fmt;

use crate::container::Protocol;

use super::address::Unreachable;

/// How many ports ignored for the same reason are named one by one; of further ones, only the number is reported.
const NAMED: usize = 32;

/// Why a port, or a whole container, is no service. Displays as it follows `ignored: <12> `.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ignored {
    /// The container has no ports.
    NoPorts,
    /// This port.
    Port(u16, Why),
    /// This many ports, for the same reason.
    Ports(usize, Why),
    /// Its address is unknown.
    Unreachable(Unreachable),
}

/// Why a port is no service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Why {
    /// It is not published.
    NotPublished,
    /// `SERVICE_IGNORE` says so.
    Asked,
    /// It has no name, and `-explicit` is set.
    Unnamed,
    /// The engine has not yet reported its host port.
    NoHostPort,
    /// The container has reached the limit of services (`-max-services`).
    TooMany(usize),
    /// The container's services have reached the size limit.
    TooLarge,
}

impl Ignored {
    /// A word for the reason, for programs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::NoPorts => "no_ports",
            Self::Unreachable(_) => "no_address",
            Self::Port(_, why) | Self::Ports(_, why) => match why {
                Why::NotPublished => "not_published",
                Why::Asked => "asked",
                Why::Unnamed => "unnamed",
                Why::NoHostPort => "no_host_port",
                Why::TooMany(_) => "too_many",
                Why::TooLarge => "too_large",
            },
        }
    }

    /// The port, if the reason is about one.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        if let Self::Port(port, _) = self { Some(*port) } else { None }
    }

    /// Whether the container shares the network of one that does not run.
    #[must_use]
    pub fn is_of_an_ended_network(&self) -> bool {
        matches!(self, Self::Unreachable(Unreachable::SharedMissing(_) | Unreachable::SharedStopped(_)))
    }

    /// How many ports it is about; a whole container counts as one.
    #[must_use]
    pub fn count(&self) -> usize {
        if let Self::Ports(count, _) = self { *count } else { 1 }
    }

    /// Why, as it follows `not registered: `.
    #[must_use]
    pub fn in_words(&self) -> String {
        match self {
            Self::Port(port, Why::Asked) => format!("SERVICE_{port}_IGNORE or SERVICE_IGNORE is set"),
            Self::Ports(count, Why::Asked) => format!("SERVICE_IGNORE is set, for {} ports", Grouped(*count)),
            other => other.to_string(),
        }
    }

    /// The one line to change; `protocol` is that of the port, if the reason is about one.
    #[must_use]
    pub fn cure(&self, protocol: Option<Protocol>) -> String {
        let published = match protocol {
            None | Some(Protocol::Tcp) => "",
            Some(Protocol::Udp) => "/udp",
            Some(Protocol::Sctp) => "/sctp",
        };
        let port = self.port().map_or_else(|| "<port>".to_owned(), |port| port.to_string());
        match self {
            Self::NoPorts => {
                "publish a port: docker run -p <host port>:<port>, or ports: in the compose file".to_owned()
            }
            Self::Unreachable(reason) => match reason {
                Unreachable::NoNetwork => "attach it to a network: docker network connect <network> <container>",
                Unreachable::SharedMissing(_) => "start it anew, with the network of a container that is there",
                Unreachable::SharedStopped(_) => "start the container whose network it shares",
                Unreachable::SharedEndlessly => "let one of the containers have a network of its own",
                Unreachable::NoContainerAddress => "attach it to a network, or run registrator without -internal",
                Unreachable::OnlyIngress => "attach it to another network, or set SERVICE_NETWORK=ingress",
                Unreachable::NoHostAddress => "run registrator with -ip <the address of this host>",
            }
            .to_owned(),
            Self::Port(_, why) | Self::Ports(_, why) => match why {
                Why::NotPublished => {
                    format!("publish it: docker run -p {port}:{port}{published}, or run registrator with -internal")
                }
                Why::Asked => format!("remove SERVICE_{port}_IGNORE (or SERVICE_IGNORE) from the container"),
                Why::Unnamed => {
                    format!("set SERVICE_{port}_NAME on the container, or run registrator without -explicit")
                }
                Why::NoHostPort => {
                    "wait until Docker has published the port; if it stays so, restart the container".to_owned()
                }
                Why::TooMany(_) => "run registrator with a higher -max-services".to_owned(),
                Why::TooLarge => "shorten the SERVICE_ values of the container".to_owned(),
            },
        }
    }
}

impl Why {
    /// How many ports are named one by one.
    fn named(self) -> usize {
        match self {
            Self::NotPublished | Self::Asked | Self::Unnamed | Self::NoHostPort => NAMED,
            Self::TooMany(_) | Self::TooLarge => 0,
        }
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoPorts => f.write_str("no published ports"),
            Self::Unreachable(ref reason) => reason.fmt(f),
            Self::Port(port, Why::NotPublished) => write!(f, "port {port} not published on host"),
            Self::Port(port, Why::Asked) => write!(f, "service on port {port}"),
            Self::Port(port, Why::Unnamed) => {
                write!(f, "service on port {port} has neither SERVICE_NAME nor SERVICE_{port}_NAME (-explicit)")
            }
            Self::Port(port, Why::NoHostPort) => write!(f, "port {port} is published on port 0"),
            Self::Port(_, why @ (Why::TooMany(_) | Why::TooLarge)) => Self::Ports(1, why).fmt(f),
            Self::Ports(count, why) => {
                let count = Grouped(count);
                match why {
                    Why::NotPublished => write!(f, "{count} ports not published on host"),
                    Why::Asked => write!(f, "services on {count} ports"),
                    Why::Unnamed => {
                        write!(
                            f,
                            "services on {count} ports have neither SERVICE_NAME nor SERVICE_<port>_NAME (-explicit)"
                        )
                    }
                    Why::NoHostPort => write!(f, "{count} ports are published on port 0"),
                    Why::TooMany(most) => write!(
                        f,
                        "services on {count} more ports: a container may have {} services (-max-services)",
                        Grouped(most)
                    ),
                    Why::TooLarge => write!(
                        f,
                        "services on {count} more ports: the tags, attributes and checks of a container's services may \
                         hold 16 MiB in sum"
                    ),
                }
            }
        }
    }
}

/// A number for people: `65,533`.
struct Grouped(usize);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (position, digit) in digits.char_indices() {
            if position > 0 && (digits.len() - position).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// The reasons of one container, each once, in order. Many ports with the same reason become one.
#[derive(Debug, Default)]
pub(super) struct Reasons {
    list: Vec<Ignored>,
    /// For a reason: how many ports have it, and the last of them.
    ports: Vec<(Why, usize, u16)>,
}

impl Reasons {
    /// Adds a reason and returns it, unless it was added before. Ports come in order.
    pub(super) fn add(&mut self, reason: Ignored) -> Ignored {
        let is_new = match reason {
            Ignored::Port(port, why) => self.count(port, why),
            Ignored::NoPorts | Ignored::Ports(..) | Ignored::Unreachable(_) => !self.list.contains(&reason),
        };
        if is_new {
            self.list.push(reason.clone());
        }
        reason
    }

    /// Counts a port, and returns whether it is named.
    fn count(&mut self, port: u16, why: Why) -> bool {
        match self.ports.iter_mut().find(|(known, ..)| *known == why) {
            // Another protocol of the same port.
            Some((_, _, last)) if *last == port => false,
            Some((_, count, last)) => {
                *count += 1;
                *last = port;
                *count <= why.named()
            }
            None => {
                self.ports.push((why, 1, port));
                why.named() > 0
            }
        }
    }

    /// All of them.
    pub(super) fn into_list(mut self) -> Vec<Ignored> {
        for (why, count, _) in self.ports {
            if count > why.named() {
                self.list.retain(|reason| !matches!(reason, Ignored::Port(_, other) if *other == why));
                self.list.push(Ignored::Ports(count, why));
            }
        }
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(reasons: impl IntoIterator<Item = Ignored>) -> Vec<String> {
        let mut list = Reasons::default();
        for reason in reasons {
            list.add(reason);
        }
        list.into_list().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn few_ports_are_named_and_many_are_counted() {
        let unpublished = |last: u16| (1..=last).map(|port| Ignored::Port(port, Why::NotPublished));
        assert_eq!(said(unpublished(2)), ["port 1 not published on host", "port 2 not published on host"]);
        assert_eq!(said(unpublished(32)).len(), 32);
        assert_eq!(said(unpublished(33)), ["33 ports not published on host"]);
        let asked = Ignored::Port(7, Why::Asked);
        let mixed = unpublished(65_533).chain([asked]);
        assert_eq!(said(mixed), ["service on port 7", "65,533 ports not published on host"]);
    }

    #[test]
    fn protocols_of_one_port_are_one_port() {
        let both = [Ignored::Port(53, Why::Asked), Ignored::Port(53, Why::NotPublished), Ignored::Port(53, Why::Asked)];
        assert_eq!(said(both), ["service on port 53", "port 53 not published on host"]);
        let twice =
            (1..=65_535).flat_map(|port| [Ignored::Port(port, Why::Unnamed), Ignored::Port(port, Why::Unnamed)]);
        let line = "services on 65,535 ports have neither SERVICE_NAME nor SERVICE_<port>_NAME (-explicit)";
        assert_eq!(said(twice), [line]);
    }

    #[test]
    fn what_is_beyond_a_limit_is_only_counted() {
        assert_eq!(
            said([Ignored::Port(80, Why::TooMany(1000)), Ignored::Port(81, Why::TooMany(1000))]),
            ["services on 2 more ports: a container may have 1,000 services (-max-services)"]
        );
        let reason = Ignored::Unreachable(Unreachable::NoHostAddress);
        assert_eq!(said([reason.clone(), reason]), ["the address of this host is not known; -ip sets it"]);
    }

    #[test]
    fn the_one_line_to_change_fits_the_protocol() {
        let reason = Ignored::Port(53, Why::NotPublished);
        for (protocol, end) in [
            (None, "-p 53:53, "),
            (Some(Protocol::Tcp), "-p 53:53, "),
            (Some(Protocol::Udp), "-p 53:53/udp, "),
            (Some(Protocol::Sctp), "-p 53:53/sctp, "),
        ] {
            assert!(reason.cure(protocol).contains(end), "{}", reason.cure(protocol));
        }
    }

    #[test]
    fn numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (65_535, "65,535"), (1_234_567, "1,234,567")] {
            assert_eq!(Grouped(number).to_string(), text);
        }
    }
}
