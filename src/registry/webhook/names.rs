//! Names: where the records of a service stand in a zone. Pure.
//!
//! For the service `nginx` with the ID `web1:nginx:80` at 10.0.0.5:8080, in the zone `example.com`:
//!
//! ```text
//! nginx.example.com                      A    10.0.0.5     shared with other instances
//! a-nginx.example.com                    TXT  the mark of a set that is shared
//! _nginx._tcp.example.com                SRV  0 0 8080 web1-nginx-80-….nginx.example.com   shared
//! srv-_nginx._tcp.example.com            TXT  its mark
//! web1-nginx-80-….nginx.example.com      A    10.0.0.5     this entry's alone
//! a-web1-nginx-80-….nginx.example.com    TXT  its claim
//! ```

use crate::container::Protocol;
use crate::registry::dns::{self, Longest, Spot};
use crate::service::Service;

use super::endpoint::{Key, Kind};

/// The longest labels of a place: `aaaa-` and `srv-_` stand before them.
const LONGEST: Longest = Longest { id: 58, name: 58 };

/// The types that a claim can be for.
pub(super) const CLAIMED: [Kind; 3] = [Kind::A, Kind::Aaaa, Kind::Srv];

/// A zone, as names are spelt in it.
#[derive(Clone, Debug)]
pub(super) struct Names {
    /// Without the dot at its end.
    pub(super) zone: String,
}

impl Names {
    /// The place of a service.
    pub(super) fn place(service: &Service) -> Spot {
        Spot::of(service, LONGEST)
    }

    /// The key of an entry: its own name.
    pub(super) fn own(&self, spot: &Spot) -> String {
        format!("{}.{}", spot.text(), self.zone)
    }

    /// The name that all instances share.
    pub(super) fn shared(&self, name: &str) -> String {
        format!("{name}.{}", self.zone)
    }

    /// The name of its SRV records.
    pub(super) fn srv(&self, name: &str, protocol: Protocol) -> String {
        format!("{}.{}", dns::srv(name, protocol), self.zone)
    }

    /// Where a TXT record says whose a set is, as external-dns has it: the type before the name.
    pub(super) fn txt(kind: Kind, name: &str) -> Key {
        (format!("{}-{name}", kind.as_str().to_ascii_lowercase()), Kind::Txt)
    }

    /// The place of a key.
    pub(super) fn spot(&self, key: &str) -> Option<Spot> {
        Spot::read(key.strip_suffix(&self.zone)?.strip_suffix('.')?, LONGEST)
    }

    /// The type and the place that a TXT record with this name can claim.
    pub(super) fn claimed(&self, name: &str) -> Option<(Kind, Spot)> {
        CLAIMED.into_iter().find_map(|kind| {
            let own = name.strip_prefix(&kind.as_str().to_ascii_lowercase())?.strip_prefix('-')?;
            Some((kind, self.spot(own)?))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::registry::kv::testing::service;

    #[test]
    fn the_name_of_a_claim_leads_back_to_its_entry() {
        let names = Names { zone: "example.com".to_owned() };
        let spot = Names::place(&service("web1:nginx:80"));
        for kind in CLAIMED {
            let (name, _) = Names::txt(kind, &names.own(&spot));
            assert_eq!(names.claimed(&name), Some((kind, spot.clone())), "{name}");
        }
        for other in
            ["a-web.example.com", "srv-_web._tcp.example.com", "a-x.web.example.org", "mx-x.web.example.com", ""]
        {
            assert_eq!(names.claimed(other), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn every_name_fits_into_dns(id in "(?s)[a-zA-Z0-9:._/-]{1,80}|.{1,20}", name in "(?s)[a-z.-]{1,80}|.{1,20}") {
            let names = Names { zone: "x".repeat(60) + "." + &"y".repeat(59) };
            let service = Service { name, ..service(&id) };
            let spot = Names::place(&service);
            let own = names.own(&spot);
            prop_assert_eq!(names.spot(&own), Some(spot.clone()));
            // Each name with the types that stand there.
            let mut txt: Vec<_> = CLAIMED.iter().map(|kind| Names::txt(*kind, &own).0).collect();
            txt.extend([Kind::A, Kind::Aaaa].map(|kind| Names::txt(kind, &names.shared(&spot.name)).0));
            txt.push(Names::txt(Kind::Srv, &names.srv(&spot.name, Protocol::Sctp)).0);
            for name in txt {
                let first = name.split('.').next().unwrap_or_default();
                prop_assert!(name.len() <= 253 && first.len() <= 63, "{name}");
            }
        }
    }
}
