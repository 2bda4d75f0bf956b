//! The machine's host name, and the address at which others reach it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// How long resolving the host's name may take.
const RESOLVE_DEADLINE: Duration = Duration::from_secs(3);

/// An address of this host, and why it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostAddress {
    /// An IP address.
    pub address: String,
    /// Prints as one line for the log.
    pub how: How,
}

impl HostAddress {
    /// The address that the host's name resolves to.
    #[must_use]
    pub fn by_name(hostname: &str, address: IpAddr) -> Self {
        Self::found(hostname, address, Found::Name)
    }

    fn found(hostname: &str, address: IpAddr, found: Found) -> Self {
        Self { address: address.to_string(), how: How { address, hostname: hostname.to_owned(), found } }
    }
}

/// Why an address was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct How {
    address: IpAddr,
    hostname: String,
    found: Found,
}

/// Where an address came from.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    /// The host's name resolves to it.
    Name,
    /// The interface with the default route has it; the host's name does not help, for this reason.
    Route(String),
    /// Nothing better was found; the host's name does not help, for this reason.
    Nothing(String),
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, hostname, found } = self;
        match found {
            Found::Name => {
                write!(f, "Host address is {address}, to which {hostname:?} resolves; -ip overrides it")
            }
            Found::Route(reason) => write!(
                f,
                "Host address is {address}, of the interface with the default route, since {hostname:?} {reason}; -ip \
                 overrides it"
            ),
            Found::Nothing(reason) => write!(
                f,
                "Host address is {address}, which other hosts cannot reach: {hostname:?} {reason}, and there is no \
                 default route; give the right one with -ip"
            ),
        }
    }
}

/// The machine's host name as this process sees it (in a container: the container's).
#[must_use]
pub fn name() -> String {
    gethostname::gethostname().to_string_lossy().into_owned()
}

/// The best known address at which others reach this host.
///
/// What `hostname` resolves to, IPv4 before IPv6. If others cannot reach that, or it does not resolve within three
/// seconds: the address of the interface with the default route.
pub async fn address(hostname: &str) -> HostAddress {
    let resolved = match tokio::time::timeout(RESOLVE_DEADLINE, tokio::net::lookup_host((hostname, 0))).await {
        Ok(Ok(addresses)) => Ok(addresses.map(|address| address.ip()).collect()),
        Ok(Err(error)) => Err(format!("does not resolve ({error})")),
        Err(_) => Err(format!("does not resolve within {} s", RESOLVE_DEADLINE.as_secs())),
    };
    choose(hostname, resolved, default_route())
}

/// The rule itself.
fn choose(hostname: &str, resolved: Result<Vec<IpAddr>, String>, route: Option<IpAddr>) -> HostAddress {
    let (mut addresses, reason) = match resolved {
        Ok(addresses) => {
            let reason = addresses.first().map_or_else(
                || "resolves to nothing".to_owned(),
                |first| format!("resolves to {first}, which only this host can reach"),
            );
            (addresses, reason)
        }
        Err(reason) => (Vec::new(), reason),
    };
    addresses.sort_by_key(IpAddr::is_ipv6);
    let (address, found) = if let Some(address) = addresses.iter().copied().find(reachable) {
        (address, Found::Name)
    } else if let Some(address) = route.filter(reachable) {
        (address, Found::Route(reason))
    } else {
        let local = addresses.into_iter().find(|address| !address.is_unspecified());
        (local.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)), Found::Nothing(reason))
    };
    HostAddress::found(hostname, address, found)
}

/// Whether another host could reach it: not loopback, not the wildcard, and no IPv6 address that is valid on one link
/// only.
fn reachable(address: &IpAddr) -> bool {
    let one_link = matches!(address, IpAddr::V6(ip) if ip.is_unicast_link_local());
    !(address.is_loopback() || address.is_unspecified() || one_link)
}

/// The address of the interface with the default route, IPv4 before IPv6.
#[must_use]
pub fn default_route() -> Option<IpAddr> {
    // Addresses for documentation (RFC 5737, RFC 3849): no host has them, so only a default route leads there.
    let outside = [
        (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1))),
        (IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1))),
    ];
    outside.into_iter().find_map(|(any, there)| source(any, there).ok()).filter(reachable)
}

/// The source address that the system would use. Connecting a UDP socket sends no packet.
fn source(any: IpAddr, there: IpAddr) -> std::io::Result<IpAddr> {
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    socket.connect(SocketAddr::new(there, 9))?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn what_the_name_resolves_to_comes_first_then_the_default_route_then_loopback() {
        let no = || Err("does not resolve (no such host)".to_owned());
        let to = |addresses: &[&str]| Ok(addresses.iter().map(|address| ip(address)).collect());
        for (resolved, route, chosen) in [
            (to(&["10.0.0.5"]), Some("192.168.1.2"), "10.0.0.5"),
            (to(&["10.0.0.5"]), None, "10.0.0.5"),
            // IPv4 before IPv6, in any order.
            (to(&["2001:db8::5", "10.0.0.5"]), None, "10.0.0.5"),
            (to(&["2001:db8::5"]), Some("192.168.1.2"), "2001:db8::5"),
            // A reachable address before an unreachable one.
            (to(&["127.0.1.1", "10.0.0.5"]), Some("192.168.1.2"), "10.0.0.5"),
            (to(&["127.0.1.1"]), Some("192.168.1.2"), "192.168.1.2"),
            (to(&["::1", "127.0.0.1"]), Some("2001:db8::9"), "2001:db8::9"),
            (to(&["fe80::1"]), Some("192.168.1.2"), "192.168.1.2"),
            (to(&["0.0.0.0"]), Some("192.168.1.2"), "192.168.1.2"),
            (to(&[]), Some("192.168.1.2"), "192.168.1.2"),
            (no(), Some("192.168.1.2"), "192.168.1.2"),
            // Nowhere to go.
            (to(&["127.0.1.1"]), None, "127.0.1.1"),
            (to(&["0.0.0.0"]), None, "127.0.0.1"),
            (to(&["127.0.1.1"]), Some("127.0.0.1"), "127.0.1.1"),
            (no(), None, "127.0.0.1"),
        ] {
            let host = choose("web1", resolved.clone(), route.map(ip));
            assert_eq!(host.address, chosen, "{resolved:?} {route:?}");
            assert!(host.how.to_string().contains(chosen), "{}", host.how);
        }
    }

    #[test]
    fn the_log_line_says_which_address_why_and_what_overrides_it() {
        let line = |resolved, route: Option<&str>| choose("web1", resolved, route.map(ip)).how.to_string();
        assert_eq!(
            line(Ok(vec![ip("10.0.0.5")]), None),
            "Host address is 10.0.0.5, to which \"web1\" resolves; -ip overrides it"
        );
        assert_eq!(
            line(Ok(vec![ip("127.0.1.1")]), Some("10.0.0.5")),
            "Host address is 10.0.0.5, of the interface with the default route, since \"web1\" resolves to 127.0.1.1, \
             which only this host can reach; -ip overrides it"
        );
        assert_eq!(
            line(Err("does not resolve within 3 s".to_owned()), None),
            "Host address is 127.0.0.1, which other hosts cannot reach: \"web1\" does not resolve within 3 s, and there \
             is no default route; give the right one with -ip"
        );
    }

    #[tokio::test]
    async fn a_name_that_is_an_address_resolves_to_itself() {
        assert_eq!(address("192.0.2.7").await.address, "192.0.2.7");
    }

    #[tokio::test]
    async fn loopback_is_left_for_the_default_route_where_there_is_one() {
        let host = address("localhost").await;
        let expected = default_route().is_none_or(|route| host.address == route.to_string());
        assert!(expected, "{}", host.how);
    }

    #[test]
    fn the_machine_has_a_name() {
        assert!(!name().is_empty());
    }
}
