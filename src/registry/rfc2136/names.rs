//! Names and records: how a service stands in a zone. Pure.
//!
//! For the service `nginx` with the ID `web1:nginx:80` at 10.0.0.5:8080, in the zone `example.com`:
//!
//! ```text
//! nginx.example.com                    A    10.0.0.5          shared with other instances
//!                                      TXT  "heritage=registrator"   the mark of a name that is ours
//! _nginx._tcp.example.com              SRV  0 0 8080 web1-nginx-80-….nginx.example.com
//! web1-nginx-80-….nginx.example.com    A    10.0.0.5          this entry's alone
//!                                      TXT  its claim
//! 5.0.0.10.in-addr.arpa                PTR  web1-nginx-80-….nginx.example.com   with ptr-zone=
//! 7.web1._registrator.example.com      TXT  "web1-nginx-80-….nginx"   what an owner has written
//! _registrator.example.com             TXT  "owner=web1"      who writes here
//! ```

use std::net::IpAddr;

use hickory_proto::rr::rdata::{PTR, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::container::Protocol;
use crate::registry::RegistryError;
use crate::registry::label;
use crate::registry::text::{one_line, stable_digest};
use crate::service::Service;

use super::claim::{Claim, HERITAGE, owner_string};

/// Into how many sets of records an owner's index is split: a set has to fit into a message, and BIND limits its size.
pub(super) const SHARDS: u64 = 16;
/// The label below which indexes are.
const INDEX: &str = "_registrator";
/// The protocols of SRV.
const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// A zone, as names are spelt in it.
#[derive(Clone)]
pub(super) struct Names {
    pub(super) zone: Name,
    pub(super) ptr_zones: Vec<Name>,
}

/// The place of an entry: `<id>.<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Spot {
    /// The label of the ID.
    pub(super) id: String,
    /// The label of the name.
    pub(super) name: String,
}

impl Spot {
    /// The place of a service.
    pub(super) fn of(service: &Service) -> Self {
        Self { id: label::host_of_id(&service.id), name: label::host_of_name(&service.name) }
    }

    /// The place in a text such as `<id>.<name>`, if we could have written it.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (id, name) = text.split_once('.')?;
        let is_name = label::is_host_label(name) && label::host_of_name(name) == name;
        (label::is_host_label(id) && is_name).then(|| Self { id: id.to_owned(), name: name.to_owned() })
    }

    /// `<id>.<name>`.
    pub(super) fn text(&self) -> String {
        format!("{}.{}", self.id, self.name)
    }
}

impl Names {
    /// The zone without the dot at its end.
    pub(super) fn zone_text(&self) -> String {
        self.zone.to_ascii().trim_end_matches('.').to_owned()
    }

    /// A name below the zone. Its labels fit by construction: the zone's length is limited.
    fn below(&self, labels: &str) -> Name {
        Name::from_ascii(format!("{labels}.{}", self.zone.to_ascii())).unwrap_or_else(|_| self.zone.clone())
    }

    /// The key of an entry: its name without the dot at its end.
    pub(super) fn key(&self, spot: &Spot) -> String {
        format!("{}.{}", spot.text(), self.zone_text())
    }

    /// The place of a key.
    pub(super) fn spot(&self, key: &str) -> Option<Spot> {
        Spot::read(key.strip_suffix(&self.zone_text())?.strip_suffix('.')?)
    }

    /// The entry's own name.
    pub(super) fn own(&self, spot: &Spot) -> Name {
        self.below(&spot.text())
    }

    /// The name that all instances share.
    pub(super) fn shared(&self, name: &str) -> Name {
        self.below(name)
    }

    /// The name of its SRV records.
    pub(super) fn srv(&self, name: &str, protocol: Protocol) -> Name {
        self.below(&format!("_{name}._{}", protocol.as_str()))
    }

    /// The names of its SRV records, of all protocols.
    pub(super) fn all_srv(&self, name: &str) -> [Name; 3] {
        PROTOCOLS.map(|protocol| self.srv(name, protocol))
    }

    /// The name that lists owners.
    pub(super) fn owners(&self) -> Name {
        self.below(INDEX)
    }

    /// The names of an owner's index.
    pub(super) fn shards(&self, owner: &str) -> impl Iterator<Item = Name> {
        (0..SHARDS).map(move |shard| self.shard(owner, shard))
    }

    fn shard(&self, owner: &str, shard: u64) -> Name {
        self.below(&format!("{shard:x}.{}.{INDEX}", label::of_id(owner)))
    }

    /// The line of the index for an entry.
    pub(super) fn index(&self, owner: &str, spot: &Spot, ttl: u32) -> Record {
        let text = spot.text();
        let name = self.shard(owner, stable_digest(&text) % SHARDS);
        Record::from_rdata(name, ttl, RData::TXT(TXT::new(vec![text])))
    }

    /// The line that tells of an owner.
    pub(super) fn owner(&self, owner: &str, ttl: u32) -> Record {
        let strings = owner_string(owner).into_iter().collect();
        Record::from_rdata(self.owners(), ttl, RData::TXT(TXT::new(strings)))
    }

    /// The mark of a name that is ours.
    pub(super) fn mark(&self, name: &str, ttl: u32) -> Record {
        Record::from_rdata(self.shared(name), ttl, RData::TXT(TXT::new(vec![HERITAGE.to_owned()])))
    }

    /// The claim at the entry's own name.
    pub(super) fn claim(&self, spot: &Spot, claim: &Claim) -> Record {
        Record::from_rdata(self.own(spot), claim.ttl, RData::TXT(claim.txt()))
    }

    /// The address at the entry's own name; `None` for the name of a host.
    pub(super) fn own_address(&self, spot: &Spot, claim: &Claim) -> Option<Record> {
        Some(Record::from_rdata(self.own(spot), claim.ttl, address(&claim.address)?))
    }

    /// The records in the zone at names that several entries share.
    pub(super) fn shared_records(&self, spot: &Spot, claim: &Claim) -> Vec<Record> {
        let address = address(&claim.address);
        let target = match (&address, host(&claim.address)) {
            (None, Some(host)) => host,
            _ => self.own(spot),
        };
        let srv = SRV::new(claim.priority, claim.weight, claim.port, target);
        let srv = Record::from_rdata(self.srv(&spot.name, claim.protocol), claim.ttl, RData::SRV(srv));
        let address = address.map(|address| Record::from_rdata(self.shared(&spot.name), claim.ttl, address));
        address.into_iter().chain([srv]).collect()
    }

    /// How many bytes of an answer an entry's SRV record takes, if its target is the entry's own name.
    pub(super) fn srv_bytes(&self, spot: &Spot) -> usize {
        // Pointer to the name, type, class, TTL and length; priority, weight and port; the target.
        12 + 6 + spot.text().len() + 2 + self.zone.len()
    }

    /// The record of the reverse name, and its zone, if one of ours holds it.
    pub(super) fn pointer(&self, spot: &Spot, claim: &Claim) -> Option<(Name, Record)> {
        let ip: IpAddr = claim.address.parse().ok()?;
        let reverse = Name::from(ip);
        let zone = self.ptr_zones.iter().filter(|zone| zone.zone_of(&reverse)).max_by_key(|zone| zone.num_labels())?;
        let data = RData::PTR(PTR(self.own(spot)));
        Some((zone.clone(), Record::from_rdata(reverse, claim.ttl, data)))
    }
}

/// Whether a service can stand in a zone.
///
/// # Errors
/// Why not, in one line.
pub(super) fn fits(service: &Service) -> Result<(), RegistryError> {
    if service.id.is_empty() || service.name.is_empty() {
        return Err(RegistryError::service("it has no name, or no ID"));
    }
    if address(&service.address).is_none() && host(&service.address).is_none() {
        let shown = one_line(&service.address, 100);
        return Err(RegistryError::service(format!(
            "the address \"{shown}\" is neither an IP address nor the name of a host; SERVICE_IP sets another"
        )));
    }
    Ok(())
}

/// The record of an IP address.
fn address(text: &str) -> Option<RData> {
    Some(match text.parse().ok()? {
        IpAddr::V4(ip) => RData::A(ip.into()),
        IpAddr::V6(ip) => RData::AAAA(ip.into()),
    })
}

/// The name of a host, with a dot at its end.
fn host(text: &str) -> Option<Name> {
    let lower = text.to_ascii_lowercase();
    let whole = lower.strip_suffix('.').unwrap_or(&lower);
    let fits = whole.len() <= 200 && whole.split('.').all(label::is_host_label);
    fits.then(|| Name::from_ascii(format!("{whole}.")).ok()).flatten()
}

/// A set of records in a map: its name in lower case, and its type.
pub(super) fn set_of(record: &Record) -> (String, RecordType) {
    (spelt(&record.name), record.record_type())
}

/// A name as it is compared.
pub(super) fn spelt(name: &Name) -> String {
    name.to_ascii().to_ascii_lowercase()
}

#[cfg(test)]
mod tests;
