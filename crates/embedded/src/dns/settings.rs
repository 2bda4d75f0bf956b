//! How the DNS server is set up.

use std::time::Duration;

use super::zone::{Zone, written};

/// What the server calls itself, and what it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The zone: its domain, its datacenter, the node that serves it.
    pub(super) zone: Zone,
    /// How long answers may be kept, in seconds; 0, as Consul has it, makes every change visible at once.
    pub ttl: u32,
    /// What the network may take of us.
    pub limits: Limits,
}

/// What the network may take of the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Records in the answer section over UDP without EDNS; Consul's `udp_answer_limit`.
    pub udp_answers: usize,
    /// The largest answer over UDP, in bytes, whatever a client's EDNS says.
    pub udp_bytes: u16,
    /// TCP connections at the same time; others wait in the system's queue.
    pub tcp_connections: usize,
    /// TCP connections of one client's network (an IPv4 /24 or an IPv6 /56) at the same time; one more is closed.
    pub tcp_connections_per_client: usize,
    /// How long a TCP connection may be idle, or take to send a query or to take an answer; a tenth of
    /// that while more than half of the connections are in use.
    pub tcp_idle: Duration,
    /// Bytes in a second over UDP to one network (an IPv4 /24 or an IPv6 /56), which is what somebody
    /// who forges its addresses can direct at it. Beyond, every second query is answered with an empty,
    /// truncated message, so that an honest client asks again over TCP, and the others are dropped.
    /// 0 is no limit. Loopback addresses, which cannot be forged from outside, have none.
    pub udp_bytes_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            udp_answers: 3,
            udp_bytes: 4096,
            tcp_connections: 256,
            tcp_connections_per_client: 64,
            tcp_idle: Duration::from_secs(10),
            udp_bytes_per_second: 256 * 1024,
        }
    }
}

/// What keeps settings from being made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The domain is no DNS name, or so long that no other fits below it.
    #[error("the DNS domain {0:?} is not a domain name that others fit below")]
    Domain(String),
    /// The datacenter is not one label.
    #[error("the datacenter {0:?} is not a DNS label: use letters, digits, - and _, at most 63")]
    Datacenter(String),
    /// The node's name is no DNS name.
    #[error("the node name {0:?} is not a DNS name: use letters, digits, - and _, at most 63 between dots")]
    Node(String),
}

impl Settings {
    /// Settings for a zone (`consul`), a datacenter (`dc1`) and the node that serves them, all else by default.
    ///
    /// # Errors
    /// When one of them cannot stand in a DNS name.
    pub fn new(domain: &str, datacenter: &str, node: &str) -> Result<Self, SettingsError> {
        let wrong_domain = || SettingsError::Domain(domain.to_owned());
        if !is_name(domain.strip_suffix('.').unwrap_or(domain)) {
            return Err(wrong_domain());
        }
        if !is_label(datacenter) {
            return Err(SettingsError::Datacenter(datacenter.to_owned()));
        }
        // A machine may be called by its whole name.
        if !is_name(node) {
            return Err(SettingsError::Node(node.to_owned()));
        }
        let zone = written(&domain.to_ascii_lowercase())
            .and_then(|name| Zone::new(name, datacenter, node))
            .ok_or_else(wrong_domain)?;
        Ok(Self { zone, ttl: 0, limits: Limits::default() })
    }
}

fn is_name(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}
