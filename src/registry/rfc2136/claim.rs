//! Claims: the TXT record beside an entry, which says whose it is and what it holds. Pure.
//!
//! `"heritage=registrator" "owner=web1" "id=web1:nginx:80" "name=nginx" "proto=tcp" "address=10.0.0.5" "port=8080" …`,
//! one string for each, as RFC 1464 has it. `heritage` is external-dns's word, so that each of the two sees that the
//! other's records are not its own.

use hickory_proto::rr::rdata::TXT;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::container::Protocol;
use crate::registry::Content;
use crate::registry::dns::Held;
use crate::registry::text::stable_digest;
use crate::service::Service;

/// The first string of every TXT record of ours.
pub(super) const HERITAGE: &str = "heritage=registrator";
/// The longest string in a TXT record, in bytes.
const LONGEST: usize = 255;
/// What is not written as it is: every server and every tool shows the rest the same.
const ENCODED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':').remove(b'/');

/// What an entry holds, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) owner: String,
    /// The service's ID; `None` if it is too long for a string.
    pub(super) id: Option<String>,
    /// The service's name; `None` if it is too long for a string.
    pub(super) name: Option<String>,
    pub(super) held: Held,
}

impl Claim {
    /// The claim of a service; `ttl` is the TTL where the service has none of its own.
    pub(super) fn of(service: &Service, owner: &str, ttl: u32) -> Self {
        let short = |key: &str, text: &str| string(key, text).map(|_| text.to_owned());
        Self {
            owner: owner.to_owned(),
            id: short("id", &service.id),
            name: short("name", &service.name),
            held: Held::of(service, ttl),
        }
    }

    /// The strings of its TXT record.
    pub(super) fn strings(&self) -> Vec<String> {
        let mut strings = vec![HERITAGE.to_owned()];
        strings.extend(owner_string(&self.owner));
        strings.extend(self.content());
        strings
    }

    /// Its TXT record.
    pub(super) fn txt(&self) -> TXT {
        TXT::new(self.strings())
    }

    /// What it holds, without whose it is.
    fn content(&self) -> impl Iterator<Item = String> {
        let Self { id, name, held, .. } = self;
        let Held { protocol, address, port, priority, weight, ttl } = held;
        let mut strings = vec![format!("proto={}", protocol.as_str()), format!("port={port}"), format!("ttl={ttl}")];
        strings.extend(string("address", address));
        strings.extend(id.as_deref().and_then(|id| string("id", id)));
        strings.extend(name.as_deref().and_then(|name| string("name", name)));
        strings.extend((*priority != 0).then(|| format!("priority={priority}")));
        strings.extend((*weight != 0).then(|| format!("weight={weight}")));
        strings.into_iter()
    }

    /// A digest of what it holds.
    pub(super) fn fingerprint(&self) -> u64 {
        stable_digest(&self.content().collect::<Vec<_>>().join(" "))
    }

    /// Reads a TXT record; `None` if it is no claim. Strings that are not known are ignored.
    pub(super) fn read(txt: &TXT) -> Option<Self> {
        let mut strings = txt.txt_data.iter().map(|string| std::str::from_utf8(string).ok());
        if strings.next()?? != HERITAGE {
            return None;
        }
        let values: Vec<_> = strings.flatten().filter_map(|string| string.split_once('=')).collect();
        let raw = |key: &str| values.iter().find(|(name, _)| *name == key).map(|(_, value)| *value);
        let text = |key: &str| Some(percent_decode_str(raw(key)?).decode_utf8().ok()?.into_owned());
        let number = |key: &str| raw(key).map_or(Some(0), |value| value.parse().ok());
        Some(Self {
            owner: text("owner")?,
            id: text("id"),
            name: text("name"),
            held: Held {
                protocol: Protocol::parse(raw("proto")?)?,
                address: text("address")?,
                port: raw("port")?.parse().ok()?,
                priority: number("priority")?,
                weight: number("weight")?,
                ttl: raw("ttl")?.parse().ok()?,
            },
        })
    }

    /// As the reconciler knows it; `label` is the name's label.
    pub(super) fn as_content(&self, label: &str) -> Content {
        let name = self.name.clone().unwrap_or_else(|| label.to_owned());
        Content { name, address: self.held.address.clone(), port: self.held.port, tags: Vec::new() }
    }
}

/// The string that names an owner; `None` if it is too long for one.
pub(super) fn owner_string(owner: &str) -> Option<String> {
    string("owner", owner)
}

/// The owner in a string of [`owner_string`].
pub(super) fn owner_of(string: &[u8]) -> Option<String> {
    let owner = std::str::from_utf8(string).ok()?.strip_prefix("owner=")?;
    Some(percent_decode_str(owner).decode_utf8().ok()?.into_owned())
}

/// `key=value`, if it fits.
fn string(key: &str, value: &str) -> Option<String> {
    let string = format!("{key}={}", utf8_percent_encode(value, ENCODED));
    (string.len() <= LONGEST).then_some(string)
}
