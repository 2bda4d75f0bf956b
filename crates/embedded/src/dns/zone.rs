//! The zone: its names, and what a name in it asks for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::Name;
use hickory_proto::rr::rdata::SOA;

/// The names that answers are made of, put together once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Zone {
    domain: Name,
    datacenter: String,
    /// `node.dc1.consul.`
    nodes: Name,
    /// `service.dc1.consul.`
    services: Name,
    /// `addr.dc1.consul.`
    addresses: Name,
    /// `ns.consul.`
    primary: Name,
    /// `hostmaster.consul.`
    mailbox: Name,
    /// The node that stands in NS records, and its name below the zone.
    server: (String, Name),
}

/// What a name in the zone asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The zone itself.
    Apex,
    /// Nothing but what stands between the zone and names that may exist: `service.consul.`
    Between,
    /// A service, perhaps only its instances with a tag.
    Service {
        /// In the case of the question.
        name: String,
        /// In the case of the question; a tag may hold dots.
        tag: Option<String>,
    },
    /// A node, in the case of the question.
    Node(String),
    /// The address that the name itself spells.
    Address(IpAddr),
    /// Nothing that could exist.
    Nothing,
}

impl Zone {
    /// The zone of a domain, all of it in one datacenter, served by one node.
    ///
    /// None where the domain is so long that the others do not fit below it.
    pub(super) fn new(domain: Name, datacenter: &str, node: &str) -> Option<Self> {
        // Datacenters are in lower case everywhere, as in Consul.
        let datacenter = datacenter.to_ascii_lowercase();
        let here = below(&datacenter, &domain)?;
        let nodes = below("node", &here)?;
        // Consul writes its servers' names in lower case here, and in their own everywhere else.
        let server = below(&node.to_ascii_lowercase(), &nodes)?;
        Some(Self {
            services: below("service", &here)?,
            addresses: below("addr", &here)?,
            primary: below("ns", &domain)?,
            mailbox: below("hostmaster", &domain)?,
            server: (node.to_owned(), server),
            nodes,
            datacenter,
            domain,
        })
    }

    /// The zone's own name.
    pub(super) fn domain(&self) -> &Name {
        &self.domain
    }

    /// The node that serves it, and the name it has in NS records.
    pub(super) fn server(&self) -> (&str, &Name) {
        (&self.server.0, &self.server.1)
    }

    /// What its SOA record says, with Consul's figures.
    pub(super) fn soa(&self, serial: u32) -> SOA {
        SOA::new(self.primary.clone(), self.mailbox.clone(), serial, 3600, 600, 86400, 0)
    }

    /// `<node>.node.dc1.consul.`; none where a name cannot hold it.
    pub(super) fn node(&self, name: &str) -> Option<Name> {
        below(name, &self.nodes)
    }

    /// `<service>.service.dc1.consul.`; none where a name cannot hold it.
    pub(super) fn service(&self, name: &str) -> Option<Name> {
        below(name, &self.services)
    }

    /// `<hex>.addr.dc1.consul.`
    pub(super) fn address(&self, address: IpAddr) -> Option<Name> {
        let hex = match address {
            IpAddr::V4(address) => format!("{:08x}", address.to_bits()),
            IpAddr::V6(address) => format!("{:032x}", address.to_bits()),
        };
        below(&hex, &self.addresses)
    }

    /// What a name asks for; none outside the zone.
    pub(super) fn asked(&self, name: &Name) -> Option<Asked> {
        if !self.domain.zone_of(name) {
            return None;
        }
        let own = usize::from(name.num_labels().saturating_sub(self.domain.num_labels()));
        let labels: Option<Vec<&str>> = name.iter().take(own).map(|label| std::str::from_utf8(label).ok()).collect();
        Some(labels.map_or(Asked::Nothing, |labels| self.parse(&labels)))
    }

    fn parse(&self, labels: &[&str]) -> Asked {
        // The datacenter stands behind the kind, and may be left out.
        match *labels {
            [] => Asked::Apex,
            [ref rest @ .., kind] if Kind::of(kind).is_some() => self.parse_kind(Kind::of(kind), rest, None),
            [ref rest @ .., kind, datacenter] if Kind::of(kind).is_some() => {
                self.parse_kind(Kind::of(kind), rest, Some(datacenter))
            }
            // RFC 2782 without "service".
            [name, tag] if is_underscored(name) && is_underscored(tag) => srv(name, tag),
            [name, tag, datacenter] if is_underscored(name) && is_underscored(tag) && self.is_here(datacenter) => {
                srv(name, tag)
            }
            [datacenter] if self.is_here(datacenter) => Asked::Between,
            _ => Asked::Nothing,
        }
    }

    fn parse_kind(&self, kind: Option<Kind>, labels: &[&str], datacenter: Option<&str>) -> Asked {
        // An address is spelled by its name, whatever the datacenter, as Consul has it.
        let elsewhere = datacenter.is_some_and(|datacenter| !self.is_here(datacenter));
        match (kind, labels) {
            (Some(Kind::Address), [hex]) => parse_hex(hex).map_or(Asked::Nothing, Asked::Address),
            (None, _) => Asked::Nothing,
            _ if elsewhere => Asked::Nothing,
            (Some(_), []) => Asked::Between,
            (Some(Kind::Service), [protocol]) if protocol.eq_ignore_ascii_case("_tcp") => Asked::Between,
            (Some(Kind::Node), name) => Asked::Node(name.join(".")),
            (Some(Kind::Service), [name, tag]) if is_underscored(name) && is_underscored(tag) => srv(name, tag),
            (Some(Kind::Service), [tag @ .., name]) => {
                Asked::Service { name: (*name).to_owned(), tag: (!tag.is_empty()).then(|| tag.join(".")) }
            }
            (Some(Kind::Address), _) => Asked::Nothing,
        }
    }

    fn is_here(&self, datacenter: &str) -> bool {
        datacenter.eq_ignore_ascii_case(&self.datacenter)
    }
}

/// The label that says what the labels before it name.
#[derive(Clone, Copy)]
enum Kind {
    Service,
    Node,
    Address,
}

impl Kind {
    fn of(label: &str) -> Option<Self> {
        [("service", Self::Service), ("node", Self::Node), ("addr", Self::Address)]
            .into_iter()
            .find_map(|(name, kind)| label.eq_ignore_ascii_case(name).then_some(kind))
    }
}

/// `_name._tag`; `_tcp` stands for any.
fn srv(name: &str, tag: &str) -> Asked {
    let (name, tag) = (&name[1..], &tag[1..]);
    Asked::Service { name: name.to_owned(), tag: (!tag.eq_ignore_ascii_case("tcp")).then(|| tag.to_owned()) }
}

fn is_underscored(label: &str) -> bool {
    label.starts_with('_')
}

/// Eight digits are an IPv4 address, 32 an IPv6 address.
fn parse_hex(hex: &str) -> Option<IpAddr> {
    // from_str_radix takes a sign.
    if !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    match hex.len() {
        8 => u32::from_str_radix(hex, 16).ok().map(|bits| Ipv4Addr::from_bits(bits).into()),
        32 => u128::from_str_radix(hex, 16).ok().map(|bits| Ipv6Addr::from_bits(bits).into()),
        _ => None,
    }
}

fn below(name: &str, parent: &Name) -> Option<Name> {
    written(name)?.append_domain(parent).ok()
}

/// The name that a text writes, whatever stands between its dots: what is registered is more than hosts may be called.
pub(super) fn written(text: &str) -> Option<Name> {
    let labels = text.strip_suffix('.').unwrap_or(text).split('.').map(str::as_bytes);
    Name::from_labels(labels).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: &str) -> Option<Asked> {
        let zone = Zone::new(Name::from_ascii("consul.").unwrap(), "DC1", "n").unwrap();
        zone.asked(&written(name).unwrap_or_else(Name::root))
    }

    fn service(name: &str, tag: Option<&str>) -> Option<Asked> {
        Some(Asked::Service { name: name.to_owned(), tag: tag.map(str::to_owned) })
    }

    #[test]
    fn a_name_says_what_it_asks_for() {
        let web = || service("web", None);
        let table = [
            ("consul.", Some(Asked::Apex)),
            ("CONSUL.", Some(Asked::Apex)),
            ("web.service.consul.", web()),
            ("web.SERVICE.dc1.Consul.", web()),
            ("web.service.dc2.consul.", Some(Asked::Nothing)),
            ("v1.web.service.consul.", service("web", Some("v1"))),
            ("v1.2.web.service.dc1.consul.", service("web", Some("v1.2"))),
            ("_web._tcp.service.consul.", web()),
            ("_web._TCP.consul.", web()),
            ("_web._v1.dc1.consul.", service("web", Some("v1"))),
            ("_web._v1.dc2.consul.", Some(Asked::Nothing)),
            ("_web.service.consul.", service("_web", None)),
            ("node.node.consul.", Some(Asked::Node("node".to_owned()))),
            ("a.b.node.dc1.consul.", Some(Asked::Node("a.b".to_owned()))),
            ("7f000001.addr.consul.", Some(Asked::Address(Ipv4Addr::LOCALHOST.into()))),
            ("00000000000000000000000000000001.addr.dc9.consul.", Some(Asked::Address(Ipv6Addr::LOCALHOST.into()))),
            ("+f000001.addr.consul.", Some(Asked::Nothing)),
            ("7f0001.addr.consul.", Some(Asked::Nothing)),
            ("service.consul.", Some(Asked::Between)),
            ("dc1.consul.", Some(Asked::Between)),
            ("dc2.consul.", Some(Asked::Nothing)),
            ("web.consul.", Some(Asked::Nothing)),
            ("consul.lan.", None),
            (".", None),
        ];
        for (name, expected) in table {
            assert_eq!(asked(name), expected, "{name}");
        }
    }

    #[test]
    fn an_address_reads_back_what_its_name_spells() {
        let zone = Zone::new(Name::from_ascii("consul.").unwrap(), "dc1", "n").unwrap();
        for text in ["0.0.0.1", "255.1.2.3", "::", "2001:db8::ff"] {
            let address: IpAddr = text.parse().unwrap();
            let name = zone.address(address).unwrap();
            assert_eq!(zone.asked(&name), Some(Asked::Address(address)), "{name}");
        }
    }
}
