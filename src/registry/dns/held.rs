//! What an entry in DNS holds of its service.

use crate::container::Protocol;
use crate::service::Service;

/// The longest TTL (RFC 2181, section 8).
const LONGEST_TTL: u32 = i32::MAX.unsigned_abs();

/// What records say of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) struct Held {
    pub(in crate::registry) protocol: Protocol,
    /// An IP address, or the name of a host.
    pub(in crate::registry) address: String,
    pub(in crate::registry) port: u16,
    /// SRV's priority.
    pub(in crate::registry) priority: u16,
    /// SRV's weight.
    pub(in crate::registry) weight: u16,
    /// The TTL of the records, in seconds.
    pub(in crate::registry) ttl: u32,
}

impl Held {
    /// What the records of a service say; `ttl` is the TTL where the service has none of its own.
    pub(in crate::registry) fn of(service: &Service, ttl: u32) -> Self {
        let number = |name: &str| service.attributes.get(name).map(|text| text.trim());
        Self {
            protocol: service.protocol,
            address: service.address.to_string(),
            port: service.port,
            priority: number("priority").and_then(|text| text.parse().ok()).unwrap_or_default(),
            weight: number("weight").and_then(|text| text.parse().ok()).unwrap_or_default(),
            ttl: number("ttl").and_then(ttl_of).unwrap_or(ttl),
        }
    }
}

/// The TTL in a text, in seconds, if records can have it.
pub(in crate::registry) fn ttl_of(text: &str) -> Option<u32> {
    text.parse().ok().filter(|ttl| (1..=LONGEST_TTL).contains(ttl))
}
