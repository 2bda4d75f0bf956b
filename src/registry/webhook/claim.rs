//! Claims: the TXT record that says whose an entry is, in the words of external-dns's TXT registry. Pure.
//!
//! `heritage=external-dns,external-dns/owner=web1,external-dns/resource=registrator/tcp/10.0.0.5/8080/60/0/0/<digest>/<id>`
//!
//! An external-dns in the same zone reads the owner, sees that it is another, and leaves the record alone. What follows
//! `registrator/` is what the entry holds; the digest is of the service's ID and name.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::container::Protocol;
use crate::registry::Content;
use crate::registry::RegistryError;
use crate::registry::dns::{Address, Held};
use crate::registry::text::stable_digest;
use crate::service::Service;

use super::endpoint::Kind;

/// What every TXT record of external-dns and of ours begins with.
const HERITAGE: &str = "heritage=external-dns";
/// What precedes the owner.
const OWNER: &str = "external-dns/owner=";
/// What precedes what the record is for.
const RESOURCE: &str = "external-dns/resource=";
/// What the resources of ours begin with.
const PREFIX: &str = "registrator/";
/// The owner of names that several instances share.
const EVERYBODY: &str = "registrator";
/// The longest text, in bytes: with its quotes it is one string of a TXT record.
const LONGEST: usize = 253;
/// The longest owner, in bytes: an address has to fit as well.
const LONGEST_OWNER: usize = 60;
/// What is not written as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// What an entry holds, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) owner: String,
    /// The service's ID; `None` if it is too long.
    pub(super) id: Option<String>,
    /// A digest of its ID and name.
    pub(super) digest: u64,
    pub(super) held: Held,
}

/// What a TXT record is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Text {
    /// The claim of an entry.
    Claim(Claim),
    /// It says that a set is made of the entries of all instances.
    Mark,
    /// It belongs to another owner, an external-dns.
    Others(String),
    /// Anything else.
    Foreign,
}

impl Claim {
    /// The claim of a service; `ttl` is the TTL where the service has none of its own.
    ///
    /// # Errors
    /// When it does not fit into a TXT record.
    pub(super) fn of(service: &Service, owner: &str, ttl: u32) -> Result<Self, RegistryError> {
        let id = Some(service.id.to_string());
        let digest = stable_digest(&format!("{}\n{}", service.id, service.name));
        let mut claim = Self { owner: owner.to_owned(), id, digest, held: Held::of(service, ttl) };
        if claim.text().len() > LONGEST {
            claim.id = None;
        }
        if claim.text().len() > LONGEST {
            let text = "its address is too long for the TXT record that names its owner; SERVICE_IP sets another";
            return Err(RegistryError::service(text));
        }
        Ok(claim)
    }

    /// The type of its own record; SRV if it has no other.
    pub(super) fn kind(&self) -> Kind {
        match Address::read(&self.held.address) {
            Some(Address::Ip(ip)) if ip.is_ipv4() => Kind::A,
            Some(Address::Ip(_)) => Kind::Aaaa,
            _ => Kind::Srv,
        }
    }

    /// Its text.
    pub(super) fn text(&self) -> String {
        let owner = utf8_percent_encode(&self.owner, ENCODED);
        format!("{HERITAGE},{OWNER}{owner},{RESOURCE}{}", self.resource())
    }

    fn resource(&self) -> String {
        let Held { protocol, address, port, priority, weight, ttl } = &self.held;
        let (protocol, address) = (protocol.as_str(), utf8_percent_encode(address, ENCODED));
        let digest = self.digest;
        let resource = format!("{PREFIX}{protocol}/{address}/{port}/{ttl}/{priority}/{weight}/{digest:016x}");
        match &self.id {
            Some(id) => format!("{resource}/{}", utf8_percent_encode(id, ENCODED)),
            None => resource,
        }
    }

    /// A digest of what it holds.
    pub(super) fn fingerprint(&self) -> u64 {
        stable_digest(&self.resource())
    }

    /// As the reconciler knows it; `label` is the name's label.
    pub(super) fn as_content(&self, label: &str) -> Content {
        let Held { address, port, .. } = &self.held;
        Content { name: label.to_owned(), address: address.clone(), port: *port, tags: Vec::new() }
    }

    fn read(owner: &str, resource: &str) -> Option<Self> {
        let decoded = |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
        let mut parts = resource.strip_prefix(PREFIX)?.split('/');
        let mut next = || parts.next();
        let held = Held {
            protocol: Protocol::parse(next()?)?,
            address: decoded(next()?)?,
            port: next()?.parse().ok()?,
            ttl: next()?.parse().ok()?,
            priority: next()?.parse().ok()?,
            weight: next()?.parse().ok()?,
        };
        let digest = u64::from_str_radix(next()?, 16).ok()?;
        let id = match next() {
            Some(id) => Some(decoded(id)?),
            None => None,
        };
        Address::read(&held.address)?;
        Some(Self { owner: decoded(owner)?, id, digest, held })
    }
}

impl Text {
    /// Reads a TXT record.
    pub(super) fn read(text: &str) -> Self {
        let value = |prefix: &str| text.split(',').find_map(|token| token.strip_prefix(prefix));
        if !text.split(',').any(|token| token == HERITAGE) {
            return Self::Foreign;
        }
        let owner = value(OWNER).unwrap_or_default();
        let resource = value(RESOURCE).unwrap_or_default();
        match Claim::read(owner, resource) {
            Some(claim) => Self::Claim(claim),
            None if owner == EVERYBODY && resource.starts_with(PREFIX) => Self::Mark,
            None => Self::Others(owner.to_owned()),
        }
    }
}

/// The mark of a set that is made of the entries of all instances.
pub(super) fn mark(name: &str) -> String {
    format!("{HERITAGE},{OWNER}{EVERYBODY},{RESOURCE}{PREFIX}{name}")
}

/// Whether an owner fits into a claim.
pub(super) fn fits(owner: &str) -> bool {
    utf8_percent_encode(owner, ENCODED).to_string().len() <= LONGEST_OWNER
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::registry::kv::testing::service;

    #[test]
    fn a_claim_is_spelt_as_external_dns_does() {
        let claim = Claim::of(&service("web1:nginx:80"), "web1", 60).unwrap();
        let text = claim.text();
        let (before, after) = text.split_once("/60/0/0/").unwrap();
        let said = "heritage=external-dns,external-dns/owner=web1,external-dns/resource=registrator/tcp/";
        assert!(before.starts_with(said), "{text}");
        assert_eq!(after.split_once('/').map(|(digest, id)| (digest.len(), id)), Some((16, "web1:nginx:80")), "{text}");
        assert_eq!(Text::read(&text), Text::Claim(claim));
    }

    #[test]
    fn what_others_write_is_told_from_ours() {
        assert_eq!(Text::read(&mark("web")), Text::Mark);
        for (text, expected) in [
            ("v=spf1 -all", Text::Foreign),
            ("", Text::Foreign),
            ("heritage=other,external-dns/owner=x", Text::Foreign),
            (
                "heritage=external-dns,external-dns/owner=default,external-dns/resource=ingress/ns/web",
                Text::Others("default".to_owned()),
            ),
            ("heritage=external-dns", Text::Others(String::new())),
            // Not quite a claim.
            (
                "heritage=external-dns,external-dns/owner=a,external-dns/resource=registrator/tcp/x y/1/1/1/1/0",
                Text::Others("a".to_owned()),
            ),
        ] {
            assert_eq!(Text::read(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_service_is_its_claim_fits_and_is_read_back(
            id in "(?s).{1,30}|x{300}", name in "(?s).{1,30}", owner in "[a-z0-9.-]{1,60}", port in 1u16..,
            address in prop_oneof![Just("10.0.0.1"), Just("2001:db8::1"), Just("host.example")],
        ) {
            let service = Service { name, port, address: address.into(), ..service(&id) };
            prop_assume!(fits(&owner));
            let claim = Claim::of(&service, &owner, 60).unwrap();
            let text = claim.text();
            prop_assert!(text.len() <= LONGEST && text.is_ascii() && !text.contains(['"', ' ']), "{text}");
            prop_assert_eq!(Text::read(&text), Text::Claim(claim));
        }

        #[test]
        fn any_text_is_read_without_a_panic(text in "(?s).{0,80}|heritage=external-dns,(external-dns/(owner|resource)=registrator(/.{0,4}){0,9},?){0,3}") {
            let _ = Text::read(&text);
        }
    }
}
