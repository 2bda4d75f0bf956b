//! What a check may do to others: the whole policy, in one place. Pure.
//!
//! A check comes from a container's metadata, and this machine runs it. So it may ask whether something serves, and
//! nothing more: it must not change anything, lead to what only this machine reaches, or show what it was answered by
//! others than its own container. `docs/security.md` says the same in words.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use http::Method;
use url::Url;

use crate::definition::{Check, Target};
use registrator_web::Network;

/// The shortest interval; a shorter one is lengthened to it, as Consul does.
pub(super) const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// How long a probe may take where its check does not say.
const USUAL_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a probe may take, whatever its check says.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

const fn v4(a: u8, b: u8, c: u8, d: u8, bits: u8) -> Network {
    Network::new(IpAddr::V4(Ipv4Addr::new(a, b, c, d)), bits)
}

const fn v6(address: u128, bits: u8) -> Network {
    Network::new(IpAddr::V6(Ipv6Addr::from_bits(address)), bits)
}

/// Where no check goes unless the address is its container's own, or the settings allow it.
const RESERVED: [(Network, &str); 14] = [
    (v4(0, 0, 0, 0, 8), "this machine itself"),
    (v4(127, 0, 0, 0, 8), "loopback"),
    (v4(169, 254, 0, 0, 16), "link-local, where clouds keep credentials"),
    // The services of clouds for their own machines: Alibaba's, Azure's, Oracle's.
    (v4(100, 100, 100, 200, 32), "a cloud's metadata"),
    (v4(168, 63, 129, 16, 32), "a cloud's metadata"),
    (v4(192, 0, 0, 192, 32), "a cloud's metadata"),
    (v4(224, 0, 0, 0, 4), "multicast"),
    (v4(255, 255, 255, 255, 32), "broadcast"),
    (v6(0, 128), "this machine itself"),
    (v6(1, 128), "loopback"),
    (v6(0xfe80 << 112, 10), "link-local"),
    (v6(0xff00 << 112, 8), "multicast"),
    // Amazon's and Google's: fd00:ec2::254 and fd20:ce::254.
    (v6((0xfd00_0ec2 << 96) | 0x254, 128), "a cloud's metadata"),
    (v6((0xfd20_00ce << 96) | 0x254, 128), "a cloud's metadata"),
];

/// Networks of IPv6 whose addresses stand for IPv4 ones, and how far from their end those are.
const TRANSLATED: [(Network, u32); 3] = [(v6(0x0064_ff9b << 96, 96), 0), (v6(0x2002 << 112, 16), 80), (v6(0, 96), 0)];

/// Why a check may not do what it asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// It would do more than ask.
    #[error("{0} is not sent: a check is GET or HEAD")]
    Method(String),
    /// It would go where only this machine can.
    #[error(
        "no check goes to {address} ({what}) unless it is the container's own: check-networks={address} in the URI \
         allows it"
    )]
    Address {
        /// Where it would go.
        address: IpAddr,
        /// What is there.
        what: &'static str,
    },
}

/// What checks of one registry may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Policy {
    /// Networks where they may go, whatever those are.
    networks: Vec<Network>,
}

impl Policy {
    pub(super) fn new(networks: Vec<Network>) -> Self {
        Self { networks }
    }

    /// The method of an HTTP check.
    pub(super) fn method(asked: Option<&str>) -> Result<Method, Refusal> {
        match asked {
            None => Ok(Method::GET),
            Some(method) if method.eq_ignore_ascii_case("GET") => Ok(Method::GET),
            Some(method) if method.eq_ignore_ascii_case("HEAD") => Ok(Method::HEAD),
            Some(method) => Err(Refusal::Method(method.to_owned())),
        }
    }

    /// Whether a connection may be made.
    pub(super) fn connects(&self, address: IpAddr, target: Target) -> Result<(), Refusal> {
        let allowed = |address| self.networks.iter().any(|network| network.contains(address));
        let meant = meant(address);
        let reserved = RESERVED.iter().find(|(network, _)| network.contains(meant));
        match reserved {
            Some((_, what)) if target == Target::Elsewhere && !allowed(meant) && !allowed(address) => {
                Err(Refusal::Address { address: meant, what })
            }
            _ => Ok(()),
        }
    }

    /// Whether a redirect is followed: only within one server.
    pub(super) fn follows(from: &Url, to: &Url) -> bool {
        matches!(to.scheme(), "http" | "https")
            && (from.host(), from.port_or_known_default()) == (to.host(), to.port_or_known_default())
    }

    /// Whether readers are shown what was answered, beside its status.
    pub(super) fn shows_answers(target: Target) -> bool {
        target == Target::Own
    }

    /// How long one probe may take.
    pub(super) fn timeout(check: &Check) -> Duration {
        let most = Self::interval(check).min(LONGEST_TIMEOUT);
        check.timeout.unwrap_or(USUAL_TIMEOUT).min(most)
    }

    /// How often it is run.
    pub(super) fn interval(check: &Check) -> Duration {
        check.interval.max(SHORTEST_INTERVAL)
    }
}

/// The address that is reached in the end: IPv4 behind a spelling as IPv6.
fn meant(address: IpAddr) -> IpAddr {
    let address = address.to_canonical();
    let IpAddr::V6(ip) = address else { return address };
    let translated = TRANSLATED.iter().find(|(network, _)| network.contains(address));
    // `::` and `::1` are in the last of them, and stand for themselves.
    match translated {
        Some((_, from_end)) if ip.to_bits() > 1 => {
            let bits = (ip.to_bits() >> from_end) & u128::from(u32::MAX);
            u32::try_from(bits).map_or(address, |bits| IpAddr::V4(Ipv4Addr::from_bits(bits)))
        }
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::CheckKind;

    fn refusal(policy: &Policy, address: &str, target: Target) -> Option<String> {
        policy.connects(address.parse().unwrap(), target).err().map(|refusal| refusal.to_string())
    }

    #[test]
    fn a_check_goes_to_its_container_and_elsewhere_only_where_others_go() {
        let policy = Policy::default();
        for (address, what) in [
            ("10.0.0.1", None),
            ("172.17.0.2", None),
            ("192.0.2.1", None),
            ("2001:db8::1", None),
            ("fd00::1", None),
            ("fd00:ec2::253", None),
            ("168.63.129.17", None),
            ("127.0.0.1", Some("127.0.0.1 (loopback)")),
            ("127.255.0.9", Some("127.255.0.9 (loopback)")),
            ("0.0.0.0", Some("0.0.0.0 (this machine itself)")),
            ("169.254.169.254", Some("169.254.169.254 (link-local, where clouds keep credentials)")),
            ("169.254.0.1", Some("169.254.0.1 (link-local, where clouds keep credentials)")),
            ("100.100.100.200", Some("100.100.100.200 (a cloud's metadata)")),
            ("168.63.129.16", Some("168.63.129.16 (a cloud's metadata)")),
            ("192.0.0.192", Some("192.0.0.192 (a cloud's metadata)")),
            ("239.1.1.1", Some("239.1.1.1 (multicast)")),
            ("255.255.255.255", Some("255.255.255.255 (")),
            ("::", Some(":: (this machine itself)")),
            ("::1", Some("::1 (loopback)")),
            ("fe80::1", Some("fe80::1 (link-local)")),
            ("ff02::1", Some("ff02::1 (multicast)")),
            ("fd00:ec2::254", Some("fd00:ec2::254 (a cloud's metadata)")),
            ("fd20:ce::254", Some("fd20:ce::254 (a cloud's metadata)")),
            // The same in other spellings.
            ("::ffff:127.0.0.1", Some("127.0.0.1 (loopback)")),
            ("::127.0.0.1", Some("127.0.0.1 (loopback)")),
            ("64:ff9b::a9fe:a9fe", Some("169.254.169.254 (link-local")),
            ("2002:7f00:1::1", Some("127.0.0.1 (loopback)")),
            ("64:ff9b::10.0.0.1", None),
        ] {
            let said = refusal(&policy, address, Target::Elsewhere);
            assert_eq!(said.is_some(), what.is_some(), "{address}: {said:?}");
            assert!(said.unwrap_or_default().contains(what.unwrap_or_default()), "{address}");
            assert_eq!(refusal(&policy, address, Target::Own), None, "{address}");
        }
    }

    #[test]
    fn the_settings_allow_what_is_not_allowed_by_itself() {
        let policy = Policy::new(vec!["127.0.0.0/8".parse().unwrap(), "fe80::/10".parse().unwrap()]);
        for allowed in ["127.0.0.1", "::ffff:127.0.0.1", "fe80::5", "10.0.0.1"] {
            assert_eq!(refusal(&policy, allowed, Target::Elsewhere), None, "{allowed}");
        }
        let said = refusal(&policy, "169.254.169.254", Target::Elsewhere).unwrap();
        assert!(said.ends_with("check-networks=169.254.169.254 in the URI allows it"), "{said}");
    }

    #[test]
    fn a_check_only_asks() {
        for (asked, sent) in [
            (None, Ok(Method::GET)),
            (Some("GET"), Ok(Method::GET)),
            (Some("get"), Ok(Method::GET)),
            (Some("HEAD"), Ok(Method::HEAD)),
        ] {
            assert_eq!(Policy::method(asked), sent, "{asked:?}");
        }
        for refused in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "GETX", ""] {
            let said = Policy::method(Some(refused)).unwrap_err().to_string();
            assert_eq!(said, format!("{refused} is not sent: a check is GET or HEAD"));
        }
    }

    #[test]
    fn a_redirect_is_followed_within_one_server() {
        for (from, to, follows) in [
            ("http://10.0.0.1:80/a", "http://10.0.0.1/b", true),
            ("http://10.0.0.1:8080/a", "http://10.0.0.1:8080/b?c", true),
            ("http://10.0.0.1:8443/a", "https://10.0.0.1:8443/a", true),
            ("http://10.0.0.1/a", "https://10.0.0.1/a", false),
            ("http://10.0.0.1/a", "http://10.0.0.1:81/a", false),
            ("http://10.0.0.1/a", "http://127.0.0.1/a", false),
            ("http://10.0.0.1/a", "http://10.0.0.1.example/a", false),
            ("http://10.0.0.1/a", "file:///etc/passwd", false),
            ("http://web.example/a", "http://10.0.0.1/a", false),
        ] {
            let url = |text: &str| Url::parse(text).unwrap();
            assert_eq!(Policy::follows(&url(from), &url(to)), follows, "{from} {to}");
        }
    }

    #[test]
    fn what_others_answered_is_not_shown() {
        assert!(Policy::shows_answers(Target::Own));
        assert!(!Policy::shows_answers(Target::Elsewhere));
    }

    #[test]
    fn a_probe_ends_within_its_interval_and_within_a_minute() {
        let seconds = |seconds: u64| Duration::from_secs(seconds);
        for (interval, timeout, expected) in [
            (seconds(10), None, seconds(10)),
            (seconds(60), None, seconds(10)),
            (seconds(2), None, seconds(2)),
            (seconds(10), Some(seconds(3)), seconds(3)),
            (seconds(10), Some(seconds(3_600_000)), seconds(10)),
            (seconds(3_600_000), Some(seconds(3_600_000)), seconds(60)),
            (Duration::from_millis(1), Some(seconds(5)), seconds(1)),
        ] {
            let kind = CheckKind::Tcp;
            let check = Check { kind, interval, timeout, initial_status: None, deregister_after: None };
            assert_eq!(Policy::timeout(&check), expected, "{interval:?} {timeout:?}");
        }
    }
}
