//! Networks of addresses: those that somebody names, and the one that an address stands for. Pure.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Addresses that begin with the same bits: `10.0.0.0/8`, `fd00::/8`, or one address alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// The addresses that have the first `bits` of this one.
    #[must_use]
    pub const fn new(address: IpAddr, bits: u8) -> Self {
        Self { address, bits }
    }

    /// What one customer usually has, as far as an address of it tells: an IPv4 /24 or an IPv6 /56. Of this machine, the
    /// usual loopback addresses are one, and all others another: any process can have as many of those as it likes.
    #[must_use]
    pub fn of_client(address: IpAddr) -> Self {
        let address = address.to_canonical();
        if address.is_loopback() {
            let usual = address.is_ipv6() || address == IpAddr::V4(Ipv4Addr::LOCALHOST);
            return Self::new(IpAddr::V4(Ipv4Addr::LOCALHOST), if usual { 32 } else { 8 }).masked();
        }
        Self { address, bits: if address.is_ipv4() { 24 } else { 56 } }.masked()
    }

    /// Its first address.
    #[must_use]
    pub fn first(&self) -> IpAddr {
        self.masked().address
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => {
                head(u128::from(ours.to_bits()), self.bits, 32) == head(u128::from(other.to_bits()), self.bits, 32)
            }
            (IpAddr::V6(ours), IpAddr::V6(other)) => {
                head(ours.to_bits(), self.bits, 128) == head(other.to_bits(), self.bits, 128)
            }
            _ => false,
        }
    }

    fn masked(self) -> Self {
        let address = match self.address {
            IpAddr::V4(ip) => {
                let bits = u32::try_from(mask(u128::from(ip.to_bits()), self.bits, 32)).unwrap_or_default();
                IpAddr::V4(Ipv4Addr::from_bits(bits))
            }
            IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(mask(ip.to_bits(), self.bits, 128))),
        };
        Self { address, ..self }
    }
}

/// The first `bits` of a number of so many bits.
fn head(number: u128, bits: u8, of: u8) -> u128 {
    number.checked_shr(u32::from(of.saturating_sub(bits))).unwrap_or(0)
}

/// The same, where they stand.
fn mask(number: u128, bits: u8, of: u8) -> u128 {
    head(number, bits, of).checked_shl(u32::from(of.saturating_sub(bits))).unwrap_or(0)
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no network like 10.0.0.0/8 or fd00::/8, nor an address");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => most,
            Some(bits) => bits.parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?,
        };
        Ok(Self { address, bits }.masked())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_holds_what_begins_alike() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.1.2.3", "10.1.2.3", "10.1.2.4"),
            ("169.254.169.254/16", "169.254.0.1", "169.255.0.1"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("::/0", "ff02::1", "1.2.3.4"),
            ("fe80::/10", "febf::1", "fec0::1"),
            ("::1", "::1", "::2"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(ip(inside)) && !network.contains(ip(outside)), "{network}");
            assert!(network.contains(network.first()), "{network}");
        }
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "10.0.0.0/", "web/8", "10.0.0.0/-1"] {
            assert!(text.parse::<Network>().unwrap_err().starts_with(&format!("{text:?} is no network")), "{text}");
        }
    }

    #[test]
    fn a_client_stands_for_what_its_customer_has() {
        for (address, network) in [
            ("192.0.2.77", "192.0.2.0/24"),
            ("::ffff:192.0.2.77", "192.0.2.0/24"),
            ("2001:db8:0:aabb:1::5", "2001:db8:0:aa00::/56"),
            ("127.0.0.1", "127.0.0.1/32"),
            ("::1", "127.0.0.1/32"),
            ("127.0.9.1", "127.0.0.0/8"),
        ] {
            assert_eq!(Network::of_client(ip(address)).to_string(), network);
        }
    }
}
