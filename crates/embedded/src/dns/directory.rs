//! What the DNS server answers from.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// What is there now. Asked several times for each query, from several tasks at once, so answers are
/// shared rather than copied, and must not wait for anything.
pub trait Directory: Send + Sync + 'static {
    /// The instances of a service, whatever their health; empty where there is no such service.
    ///
    /// `name` comes from the network in any case (`WEB` is `web`): compare it with
    /// [`str::eq_ignore_ascii_case`] or an index in lower case.
    fn instances(&self, name: &str) -> Arc<[Instance]>;

    /// The node of this name, in any case.
    fn node(&self, name: &str) -> Option<Arc<Node>>;

    /// Who has this address: a node before a service, as Consul prefers them.
    fn owner(&self, address: IpAddr) -> Option<Owner>;
}

/// One instance of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Where it runs; a name that [`Directory::node`] knows.
    pub node: Arc<str>,
    /// An IPv4 or IPv6 address, or the name of a host; empty for the address of its node.
    pub address: Arc<str>,
    /// Its port, as SRV records tell it.
    pub port: u16,
    /// Its tags, each a label that can stand before the service's name.
    pub tags: Arc<[String]>,
    /// Whether a check of it or of its node is critical: then nobody is told of it.
    pub critical: bool,
}

/// A machine that instances run on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name, as it is written in answers.
    pub name: Arc<str>,
    /// Its addresses, of either family.
    pub addresses: Vec<IpAddr>,
    /// What else is known of it, told in TXT records: `key=value`.
    pub meta: BTreeMap<String, String>,
}

/// Who has an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The node of this name.
    Node(String),
    /// An instance of the service of this name.
    Service(String),
}
