//! From a question to the records that answer it. Pure but for what the directory says.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::op::{Query, ResponseCode};
use hickory_proto::rr::rdata::{CNAME, NS, PTR, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::directory::{Directory, Instance, Node, Owner};
use super::zone::{Asked, Zone, written};

/// How many names of our own are followed behind one another, as in Consul.
const CNAME_DEPTH: usize = 3;

/// A string of a TXT record has its length in one byte (RFC 1035, 3.3).
const TXT_STRING: usize = 255;

/// What a question is answered with.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: ResponseCode,
    pub(super) authoritative: bool,
    /// Whether the answers are alike, so that some of them stand for all.
    pub(super) alike: bool,
    pub(super) answers: Vec<Record>,
    pub(super) authorities: Vec<Record>,
    pub(super) additionals: Vec<Record>,
}

impl Answer {
    fn new(code: ResponseCode, authoritative: bool) -> Self {
        Self {
            code,
            authoritative,
            alike: false,
            answers: Vec::new(),
            authorities: Vec::new(),
            additionals: Vec::new(),
        }
    }
}

/// What every step of an answer needs.
pub(super) struct Resolver<'a> {
    pub(super) zone: &'a Zone,
    pub(super) directory: &'a dyn Directory,
    /// The TTL of every record.
    pub(super) ttl: u32,
    /// The serial number of the zone.
    pub(super) serial: u32,
    /// More records than this cannot be sent, so they need not be made.
    pub(super) at_most: usize,
}

/// The records of one name: none at all where it does not exist.
#[derive(Default)]
struct Records {
    answers: Vec<Record>,
    additionals: Vec<Record>,
}

impl Resolver<'_> {
    /// Answers a question in random order, so that clients that take the first answer spread.
    pub(super) fn resolve(&self, query: &Query) -> Answer {
        if !matches!(query.query_class(), DNSClass::IN | DNSClass::ANY) {
            return Answer::new(ResponseCode::Refused, false);
        }
        if matches!(query.query_type(), RecordType::AXFR | RecordType::IXFR) {
            return Answer::new(ResponseCode::NotImp, false);
        }
        let (name, kind) = (query.name(), query.query_type());
        let Some(asked) = self.zone.asked(name) else {
            return self.reverse(name, kind);
        };
        let mut answer = Answer::new(ResponseCode::NoError, true);
        answer.alike = matches!(asked, Asked::Service { .. });
        match self.records(&asked, name, kind, CNAME_DEPTH) {
            Some(records) => (answer.answers, answer.additionals) = (records.answers, records.additionals),
            None => answer.code = ResponseCode::NXDomain,
        }
        if answer.answers.is_empty() {
            answer.authorities.push(self.soa());
        } else if asked == Asked::Apex && kind == RecordType::SOA {
            answer.authorities.push(self.name_server());
        }
        answer
    }

    /// The records of this type at a name of the zone; none where there is no such name.
    fn records(&self, asked: &Asked, name: &Name, kind: RecordType, depth: usize) -> Option<Records> {
        match asked {
            Asked::Apex => Some(self.apex(kind)),
            Asked::Between => Some(Records::default()),
            Asked::Service { name: service, tag } => self.service(name, service, tag.as_deref(), kind, depth),
            Asked::Node(node) => Some(self.node(name, &*self.directory.node(node)?, kind)),
            Asked::Address(address) => {
                let answers = self.addresses(name, [*address], kind).collect();
                Some(Records { answers, additionals: Vec::new() })
            }
            Asked::Nothing => None,
        }
    }

    fn apex(&self, kind: RecordType) -> Records {
        let mut records = Records::default();
        if matches!(kind, RecordType::SOA | RecordType::ANY) {
            records.answers.push(self.soa());
        }
        if matches!(kind, RecordType::NS | RecordType::ANY) {
            records.answers.push(self.name_server());
        }
        if !records.answers.is_empty() {
            let (node, name) = self.zone.server();
            if let Some(node) = self.directory.node(node) {
                records.additionals.extend(self.addresses(name, node.addresses.iter().copied(), RecordType::ANY));
            }
        }
        records
    }

    fn record(&self, owner: &Name, data: RData) -> Record {
        Record::from_rdata(owner.clone(), self.ttl, data)
    }

    fn soa(&self) -> Record {
        self.record(self.zone.domain(), RData::SOA(self.zone.soa(self.serial)))
    }

    fn name_server(&self) -> Record {
        let (_, server) = self.zone.server();
        self.record(self.zone.domain(), RData::NS(NS(server.clone())))
    }

    fn node(&self, name: &Name, node: &Node, kind: RecordType) -> Records {
        let mut records = Records {
            answers: self.addresses(name, node.addresses.iter().copied(), kind).collect(),
            additionals: Vec::new(),
        };
        match kind {
            RecordType::TXT | RecordType::ANY => records.answers.extend(self.texts(name, node)),
            RecordType::A | RecordType::AAAA => records.additionals.extend(self.texts(name, node)),
            _ => {}
        }
        records
    }

    /// The node's meta as `key=value`; that of a key with the prefix `rfc1035-` as its value alone, as Consul has it.
    fn texts(&self, name: &Name, node: &Node) -> impl Iterator<Item = Record> {
        node.meta.iter().map(move |(key, value)| {
            let text = match key.to_ascii_lowercase().starts_with("rfc1035-") {
                true => value.clone(),
                false => format!("{key}={value}"),
            };
            self.record(name, RData::TXT(TXT::from_bytes(text.as_bytes().chunks(TXT_STRING).collect())))
        })
    }

    fn service(
        &self,
        name: &Name,
        service: &str,
        tag: Option<&str>,
        kind: RecordType,
        depth: usize,
    ) -> Option<Records> {
        let instances = self.directory.instances(service);
        let has = |instance: &Instance, tag: &str| instance.tags.iter().any(|own| own.eq_ignore_ascii_case(tag));
        let mut instances: Vec<&Instance> = instances
            .iter()
            .filter(|instance| !instance.critical && tag.is_none_or(|tag| has(instance, tag)))
            .collect();
        if instances.is_empty() {
            return None;
        }
        fastrand::shuffle(&mut instances);
        Some(match kind {
            RecordType::SRV => self.service_srv(name, &instances, depth),
            _ => self.service_addresses(name, &instances, kind, depth),
        })
    }

    /// Addresses; where there are none of the kind, the name of one host, since a CNAME stands alone.
    fn service_addresses(&self, name: &Name, instances: &[&Instance], kind: RecordType, depth: usize) -> Records {
        let mut records = Records::default();
        let mut alias = None;
        let mut seen = HashSet::new();
        for instance in instances {
            if records.answers.len() >= self.at_most {
                break;
            }
            if !seen.insert(spot(instance)) {
                continue;
            }
            match self.place(instance, name) {
                Place::At(address) => records.answers.extend(self.addresses(name, [address], kind)),
                Place::Node(node) => {
                    records.answers.extend(self.addresses(name, node.addresses.iter().copied(), kind));
                }
                Place::Host(host) => alias = alias.or(Some(host)),
                Place::Nowhere => {}
            }
        }
        if let Some(host) = alias.filter(|_| records.answers.is_empty()) {
            let alias = self.record(name, RData::CNAME(CNAME(host.clone())));
            if kind != RecordType::CNAME {
                // Names that lead to each other come round again.
                records.answers = self.follow(&host, kind, depth);
                records.answers.retain(|record| *record != alias);
            }
            records.answers.insert(0, alias);
        }
        records
    }

    fn service_srv(&self, name: &Name, instances: &[&Instance], depth: usize) -> Records {
        let mut records = Records::default();
        let mut seen = HashSet::new();
        let mut seen_spots = HashSet::new();
        let mut seen_nodes = HashSet::new();
        for instance in instances {
            if records.answers.len() >= self.at_most {
                break;
            }
            if !seen.insert((spot(instance), instance.port)) {
                continue;
            }
            let place = self.place(instance, name);
            let Some(target) = self.target(&place) else { continue };
            if seen_spots.insert(spot(instance)) {
                records.additionals.extend(match place {
                    Place::At(address) => self.addresses(&target, [address], RecordType::ANY).collect(),
                    Place::Node(node) => {
                        self.addresses(&target, node.addresses.iter().copied(), RecordType::ANY).collect()
                    }
                    Place::Host(host) => self.follow(&host, RecordType::ANY, depth),
                    Place::Nowhere => Vec::new(),
                });
            }
            if seen_nodes.insert(&instance.node)
                && let Some(node) = self.directory.node(&instance.node)
                && let Some(name) = self.zone.node(&node.name)
            {
                records.additionals.extend(self.texts(&name, &node));
            }
            records.answers.push(self.record(name, RData::SRV(SRV::new(1, 1, instance.port, target))));
        }
        records
    }

    /// The name that an SRV record gives for a place.
    fn target(&self, place: &Place) -> Option<Name> {
        match place {
            Place::At(address) => self.zone.address(*address),
            Place::Node(node) => self.zone.node(&node.name),
            Place::Host(host) => Some(host.clone()),
            Place::Nowhere => None,
        }
    }

    /// Where an instance is reached.
    fn place(&self, instance: &Instance, asked: &Name) -> Place {
        if let Ok(address) = instance.address.parse() {
            return Place::At(address);
        }
        match written(&instance.address) {
            _ if instance.address.is_empty() => self.at_node(instance),
            // A service that gives itself as its address is at its node, as Consul has it.
            Some(host) if host == *asked => self.at_node(instance),
            Some(host) => Place::Host(host),
            None => Place::Nowhere,
        }
    }

    fn at_node(&self, instance: &Instance) -> Place {
        self.directory.node(&instance.node).map_or(Place::Nowhere, Place::Node)
    }

    /// What a host's name leads to, if it is one of ours.
    fn follow(&self, host: &Name, kind: RecordType, depth: usize) -> Vec<Record> {
        let Some(asked) = self.zone.asked(host).filter(|_| depth > 1) else { return Vec::new() };
        let mut found = self.records(&asked, host, kind, depth - 1).unwrap_or_default().answers;
        if kind == RecordType::ANY {
            // Whoever asks for everything of a service did not ask for the texts of the node behind it.
            found.retain(|record| matches!(record.record_type(), RecordType::A | RecordType::AAAA | RecordType::CNAME));
        }
        found
    }

    /// Address records of the type that is asked for.
    fn addresses(
        &self,
        name: &Name,
        addresses: impl IntoIterator<Item = IpAddr>,
        kind: RecordType,
    ) -> impl Iterator<Item = Record> {
        addresses
            .into_iter()
            .map(RData::from)
            .filter(move |data| kind == RecordType::ANY || kind == data.record_type())
            .map(move |data| self.record(name, data))
    }

    /// Reverse names of addresses that somebody here has; every other name is somebody else's affair,
    /// and REFUSED sends a resolver on to its next server.
    fn reverse(&self, name: &Name, kind: RecordType) -> Answer {
        let owner = full_address(name).and_then(|address| self.directory.owner(address));
        let target = match owner {
            Some(Owner::Node(node)) => self.zone.node(&node),
            Some(Owner::Service(service)) => self.zone.service(&service),
            None => None,
        };
        let Some(target) = target else {
            return Answer::new(ResponseCode::Refused, false);
        };
        let mut answer = Answer::new(ResponseCode::NoError, true);
        if matches!(kind, RecordType::PTR | RecordType::ANY) {
            answer.answers.push(self.record(name, RData::PTR(PTR(target))));
        }
        answer
    }
}

/// Where an instance is reached.
enum Place {
    At(IpAddr),
    Node(Arc<Node>),
    Host(Name),
    /// At a node that nobody knows, or a host that no name can spell.
    Nowhere,
}

/// What two instances at the same place have in common.
fn spot(instance: &Instance) -> &str {
    if instance.address.is_empty() { &instance.node } else { &instance.address }
}

/// The address that a reverse name spells, wholly.
fn full_address(name: &Name) -> Option<IpAddr> {
    let network = name.parse_arpa_name().ok()?;
    (network.prefix_len() == network.max_prefix_len()).then(|| network.addr())
}
