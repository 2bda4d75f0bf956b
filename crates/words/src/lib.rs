//! Spellings that the program and the embedded registry share. Pure.

pub mod duration;
pub mod xml;

use std::net::IpAddr;

/// `address:port`, an IPv6 address in brackets.
#[must_use]
pub fn authority(address: &str, port: u16) -> String {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) => format!("[{ip}]:{port}"),
        _ => format!("{address}:{port}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        for (address, authority_of_it) in
            [("10.0.0.1", "10.0.0.1:80"), ("fd00::1", "[fd00::1]:80"), ("web.example", "web.example:80")]
        {
            assert_eq!(authority(address, 80), authority_of_it);
        }
    }
}
