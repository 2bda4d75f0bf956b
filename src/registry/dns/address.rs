//! The address of a service, as records can hold it.

use std::net::IpAddr;

use crate::registry::RegistryError;
use crate::registry::label;
use crate::registry::text::one_line;
use crate::service::Service;

/// The longest name of a host, in bytes: some room is left in a message.
const LONGEST_HOST: usize = 200;

/// An address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Address {
    Ip(IpAddr),
    /// The name of a host, in lower case, without a dot at its end.
    Host(String),
}

impl Address {
    /// Reads an address; `None` if it is neither an IP address nor the name of a host.
    pub(in crate::registry) fn read(text: &str) -> Option<Self> {
        if let Ok(ip) = text.parse() {
            return Some(Self::Ip(ip));
        }
        let lower = text.to_ascii_lowercase();
        let whole = lower.strip_suffix('.').unwrap_or(&lower);
        let fits = whole.len() <= LONGEST_HOST && whole.split('.').all(label::is_host_label);
        fits.then(|| Self::Host(whole.to_owned()))
    }
}

/// Whether a service can stand in a zone.
///
/// # Errors
/// Why not, in one line.
pub(in crate::registry) fn fits(service: &Service) -> Result<(), RegistryError> {
    if service.id.is_empty() || service.name.is_empty() {
        return Err(RegistryError::service("it has no name, or no ID"));
    }
    if Address::read(&service.address).is_none() {
        let shown = one_line(&service.address, 100);
        return Err(RegistryError::service(format!(
            "the address \"{shown}\" is neither an IP address nor the name of a host; SERVICE_IP sets another"
        )));
    }
    Ok(())
}
