//! How a service stands in DNS, whoever writes it there: its names, its address, and what its entry holds. Pure.
//!
//! Shared by the registries that write DNS records themselves: by updates (RFC 2136), and by a provider of external-dns.

mod address;
mod held;
mod spot;
mod zone;

pub(super) use address::{Address, fits};
pub(super) use held::{Held, ttl_of};
pub(super) use spot::{Longest, Spot};
pub(super) use zone::zone;

use crate::container::Protocol;

/// The protocols of SRV.
pub(super) const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// The first labels of the name of SRV records, for the label of a service's name.
pub(super) fn srv(name: &str, protocol: Protocol) -> String {
    format!("_{name}._{}", protocol.as_str())
}
