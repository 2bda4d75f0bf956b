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
use crate::registry::dns::{self, Address, Held, Longest, PROTOCOLS, Spot};
use crate::registry::label;
use crate::registry::text::stable_digest;

use super::claim::{Claim, HERITAGE, owner_string};

/// Into how many sets of records an owner's index is split: a set has to fit into a message, and BIND limits its size.
pub(super) const SHARDS: u64 = 16;
/// The label below which indexes are.
const INDEX: &str = "_registrator";
/// The longest labels of a place; SRV puts an underscore before the name.
pub(super) const LONGEST: Longest = Longest { id: 63, name: 62 };

/// A zone, as names are spelt in it.
#[derive(Clone)]
pub(super) struct Names {
    pub(super) zone: Name,
    pub(super) ptr_zones: Vec<Name>,
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
        Spot::read(key.strip_suffix(&self.zone_text())?.strip_suffix('.')?, LONGEST)
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
        self.below(&dns::srv(name, protocol))
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
        Record::from_rdata(self.own(spot), claim.held.ttl, RData::TXT(claim.txt()))
    }

    /// The address at the entry's own name; `None` for the name of a host.
    pub(super) fn own_address(&self, spot: &Spot, claim: &Claim) -> Option<Record> {
        match Address::read(&claim.held.address)? {
            Address::Ip(ip) => Some(Record::from_rdata(self.own(spot), claim.held.ttl, record_of(ip))),
            Address::Host(_) => None,
        }
    }

    /// The records in the zone at names that several entries share.
    pub(super) fn shared_records(&self, spot: &Spot, claim: &Claim) -> Vec<Record> {
        let Held { protocol, address, port, priority, weight, ttl } = &claim.held;
        let (address, target) = match Address::read(address) {
            Some(Address::Ip(ip)) => (Some(record_of(ip)), None),
            Some(Address::Host(host)) => (None, Name::from_ascii(format!("{host}.")).ok()),
            None => (None, None),
        };
        let srv = SRV::new(*priority, *weight, *port, target.unwrap_or_else(|| self.own(spot)));
        let srv = Record::from_rdata(self.srv(&spot.name, *protocol), *ttl, RData::SRV(srv));
        let address = address.map(|address| Record::from_rdata(self.shared(&spot.name), *ttl, address));
        address.into_iter().chain([srv]).collect()
    }

    /// How many bytes of an answer an entry's SRV record takes, if its target is the entry's own name.
    pub(super) fn srv_bytes(&self, spot: &Spot) -> usize {
        // Pointer to the name, type, class, TTL and length; priority, weight and port; the target.
        12 + 6 + spot.text().len() + 2 + self.zone.len()
    }

    /// The record of the reverse name, and its zone, if one of ours holds it.
    pub(super) fn pointer(&self, spot: &Spot, claim: &Claim) -> Option<(Name, Record)> {
        let ip: IpAddr = claim.held.address.parse().ok()?;
        let reverse = Name::from(ip);
        let zone = self.ptr_zones.iter().filter(|zone| zone.zone_of(&reverse)).max_by_key(|zone| zone.num_labels())?;
        let data = RData::PTR(PTR(self.own(spot)));
        Some((zone.clone(), Record::from_rdata(reverse, claim.held.ttl, data)))
    }
}

/// The record of an IP address.
fn record_of(ip: IpAddr) -> RData {
    match ip {
        IpAddr::V4(ip) => RData::A(ip.into()),
        IpAddr::V6(ip) => RData::AAAA(ip.into()),
    }
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
