//! The ports of a compose file: `ports` in their short and long syntax, and `expose`.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::interpolate::{Expressions, Text};
use crate::container::{Binding, Protocol};
use crate::service::notes::quote;
use crate::yaml::{Budget, Node};

/// What a port of a file stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    /// The ports inside the container.
    pub(super) inside: RangeInclusive<u16>,
    pub(super) protocol: Protocol,
    /// The first host port of a range as long, or one of a range of another length; 0 if the engine chooses one.
    pub(super) outside: Outside,
    /// The host's address that they are published on.
    pub(super) ip: Option<IpAddr>,
}

/// Where ports are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outside {
    /// Nowhere: they are only exposed.
    Nowhere,
    /// From this host port on.
    From(u16),
    /// Somewhere: the engine or a variable decides.
    Somewhere,
}

/// The host port that stands for one that is not known.
const SOME_PORT: u16 = 49_152;

impl Mapped {
    /// The binding of one of the ports inside; `None` if it is not published.
    pub(super) fn binding(&self, inside: u16) -> Option<Binding> {
        let port = match self.outside {
            Outside::Nowhere => return None,
            Outside::From(first) => first.checked_add(inside.saturating_sub(*self.inside.start())).unwrap_or(first),
            Outside::Somewhere => SOME_PORT,
        };
        Some(Binding { ip: self.ip, port })
    }
}

/// What one entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// These ports.
    Ports(Mapped),
    /// Ports that a variable decides.
    Unknown,
    /// Nothing that can be read: why.
    Wrong(String),
}

/// What is wrong with an entry of the long syntax that does not say its port.
const NO_TARGET: &str = "this entry has no target:, the port inside the container";

fn no_port(text: &str) -> Said {
    Said::Wrong(format!("{} is no port", quote(text)))
}

/// Reads an entry of `ports`.
pub(super) fn published(entry: &Node, expressions: &mut Expressions, budget: &Budget) -> Said {
    if entry.is_mapping() {
        return long(entry, expressions, budget);
    }
    let Some(text) = entry.text() else { return no_port("") };
    short(text, expressions)
}

/// Reads an entry of `expose`.
pub(super) fn exposed(entry: &Node, expressions: &mut Expressions) -> Said {
    let Some(text) = entry.text() else { return no_port("") };
    let interpolated = expressions.interpolate(text);
    if !interpolated.known {
        return Said::Unknown;
    }
    inside(&interpolated.text).map_or_else(
        || no_port(text),
        |(inside, protocol)| Said::Ports(Mapped { inside, protocol, outside: Outside::Nowhere, ip: None }),
    )
}

/// `[[IP:]HOST:]CONTAINER[/PROTOCOL]`, where `HOST` and `CONTAINER` may be ranges.
fn short(text: &str, expressions: &mut Expressions) -> Said {
    let wrong = || no_port(text);
    // A stand-in has no colon, unlike an expression.
    let Text { text: plain, known } = expressions.interpolate(text);
    let (before, last) = match plain.rsplit_once(':') {
        Some((before, last)) => (Some(before), last),
        None => (None, plain.as_str()),
    };
    let Some((inside, protocol)) = inside(last) else { return if known { wrong() } else { Said::Unknown } };
    let Some(before) = before else {
        return Said::Ports(Mapped { inside, protocol, outside: Outside::Somewhere, ip: None });
    };
    let (ip, host) = match before.rsplit_once(':') {
        Some((ip, host)) => (Some(ip), host),
        None => (None, before),
    };
    let ip = match ip.map(|ip| ip.trim_matches(['[', ']']).parse::<IpAddr>()) {
        None => None,
        Some(Ok(ip)) => Some(ip),
        Some(Err(_)) if known => return wrong(),
        Some(Err(_)) => None,
    };
    let outside = match (host, range(host)) {
        ("", _) => Outside::Somewhere,
        (_, Some(outside)) if same_length(&outside, &inside) => Outside::From(*outside.start()),
        // The engine chooses one of a range for a single port.
        (_, Some(_)) if inside.start() == inside.end() => Outside::Somewhere,
        (_, Some(_)) => return wrong(),
        (_, None) if known => return wrong(),
        (_, None) => Outside::Somewhere,
    };
    Said::Ports(Mapped { inside, protocol, outside, ip })
}

/// `{target: 80, published: "8080", protocol: tcp, host_ip: 127.0.0.1}`.
fn long(entry: &Node, expressions: &mut Expressions, budget: &Budget) -> Said {
    let mut member = |key: &str| {
        let text = budget.member(entry, key).and_then(|(_, value)| value.text())?;
        Some(expressions.interpolate(text))
    };
    let (target, published, protocol, host_ip) =
        (member("target"), member("published"), member("protocol"), member("host_ip"));
    let Some(target) = target else { return Said::Wrong(NO_TARGET.to_owned()) };
    if !target.known || protocol.as_ref().is_some_and(|protocol| !protocol.known) {
        return Said::Unknown;
    }
    let protocol = protocol.map_or(Some(Protocol::Tcp), |protocol| Protocol::parse(&protocol.text));
    let (Some(inside), Some(protocol)) = (range(&target.text), protocol) else { return no_port(&target.text) };
    let outside = match published {
        None => Outside::Somewhere,
        Some(Text { known: false, .. }) => Outside::Somewhere,
        Some(Text { text, known: true }) if text.is_empty() || text == "0" => Outside::Somewhere,
        Some(Text { text, known: true }) => match range(&text) {
            Some(outside) if same_length(&outside, &inside) => Outside::From(*outside.start()),
            Some(_) => Outside::Somewhere,
            None => return no_port(&text),
        },
    };
    let ip = host_ip.and_then(|ip| ip.text.parse().ok());
    Said::Ports(Mapped { inside, protocol, outside, ip })
}

/// `80`, `80/udp`, `3000-3005/tcp`.
fn inside(text: &str) -> Option<(RangeInclusive<u16>, Protocol)> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    Some((range(ports)?, Protocol::parse(protocol)?))
}

/// `80` or `3000-3005`.
fn range(text: &str) -> Option<RangeInclusive<u16>> {
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    match text.split_once('-') {
        None => port(text).map(|port| port..=port),
        Some((first, last)) => Some(port(first)?..=port(last)?).filter(|range| !range.is_empty()),
    }
}

fn same_length(one: &RangeInclusive<u16>, other: &RangeInclusive<u16>) -> bool {
    one.len() == other.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ports(inside: RangeInclusive<u16>, outside: Outside) -> Said {
        Said::Ports(Mapped { inside, protocol: Protocol::Tcp, outside, ip: None })
    }

    #[test]
    fn the_short_syntax_is_read_as_compose_reads_it() {
        let on = |ip: &str, said: Said| match said {
            Said::Ports(mapped) => Said::Ports(Mapped { ip: ip.parse().ok(), ..mapped }),
            other => other,
        };
        let udp = |said: Said| match said {
            Said::Ports(mapped) => Said::Ports(Mapped { protocol: Protocol::Udp, ..mapped }),
            other => other,
        };
        for (text, expected) in [
            ("80", ports(80..=80, Outside::Somewhere)),
            ("8080:80", ports(80..=80, Outside::From(8080))),
            ("6060:6060/udp", udp(ports(6060..=6060, Outside::From(6060)))),
            ("3000-3005", ports(3000..=3005, Outside::Somewhere)),
            ("9090-9091:8080-8081", ports(8080..=8081, Outside::From(9090))),
            ("8000-9000:80", ports(80..=80, Outside::Somewhere)),
            ("127.0.0.1:8001:8001", on("127.0.0.1", ports(8001..=8001, Outside::From(8001)))),
            ("127.0.0.1::80", on("127.0.0.1", ports(80..=80, Outside::Somewhere))),
            ("[::1]:8080:80", on("::1", ports(80..=80, Outside::From(8080)))),
            ("${PORT:-8080}:80", ports(80..=80, Outside::Somewhere)),
            ("${IP}:8080:80", ports(80..=80, Outside::From(8080))),
            ("8080:${PORT}", Said::Unknown),
            ("$PORT", Said::Unknown),
            ("80:http", no_port("80:http")),
            ("0", no_port("0")),
            ("99999:80", no_port("99999:80")),
            ("80/icmp", no_port("80/icmp")),
            ("1-2:3-5", no_port("1-2:3-5")),
            ("5-3", no_port("5-3")),
            ("", no_port("")),
        ] {
            assert_eq!(short(text, &mut Expressions::default()), expected, "{text}");
        }
    }

    #[test]
    fn the_long_syntax_says_the_same_in_words() {
        for (text, expected) in [
            ("{target: 80}", ports(80..=80, Outside::Somewhere)),
            ("{target: 80, published: \"8080\", mode: host}", ports(80..=80, Outside::From(8080))),
            ("{target: 80, published: 8080-8090}", ports(80..=80, Outside::Somewhere)),
            ("{target: 80, published: \"${P}\"}", ports(80..=80, Outside::Somewhere)),
            ("{target: \"${P}\"}", Said::Unknown),
            ("{published: 80}", Said::Wrong(NO_TARGET.to_owned())),
            ("{target: web}", no_port("web")),
        ] {
            let node = crate::yaml::parse(text).unwrap();
            assert_eq!(published(&node, &mut Expressions::default(), &Budget::default()), expected, "{text}");
        }
    }

    #[test]
    fn a_binding_counts_along_with_its_port() {
        let Said::Ports(mapped) = short("9090-9091:8080-8081", &mut Expressions::default()) else { panic!("ports") };
        assert_eq!(mapped.binding(8081).map(|binding| binding.port), Some(9091));
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "[0-9:/$.{}a-z\\[\\]-]{0,20}") {
            if let Said::Ports(mapped) = short(&text, &mut Expressions::default()) {
                for port in mapped.inside.clone().take(3) {
                    prop_assert!(mapped.binding(port).is_some_and(|binding| binding.port > 0));
                }
            }
        }
    }
}
