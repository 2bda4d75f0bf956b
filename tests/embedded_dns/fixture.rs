//! What the tests' servers answer from: a directory that is a list.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use registrator_embedded::dns::{self, Directory, Instance, Node, Owner, Settings};
use tokio_util::sync::{CancellationToken, DropGuard};

/// A directory that holds what a test put into it.
#[derive(Clone, Default)]
pub(crate) struct Fixture {
    pub(crate) nodes: Vec<Arc<Node>>,
    pub(crate) services: BTreeMap<String, Vec<Instance>>,
}

impl Fixture {
    /// One with a node.
    pub(crate) fn with_node(name: &str, addresses: &[&str], meta: &[(impl ToString, impl ToString)]) -> Self {
        let node = Node {
            name: name.into(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            meta: meta.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
        };
        Self { nodes: vec![Arc::new(node)], services: BTreeMap::new() }
    }

    /// Adds a passing instance on the first node.
    pub(crate) fn add(&mut self, service: &str, address: &str, port: u16, tags: &[&str]) -> &mut Instance {
        let instance = Instance {
            node: self.nodes[0].name.clone(),
            address: address.into(),
            port,
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            critical: false,
        };
        let instances = self.services.entry(service.to_owned()).or_default();
        instances.push(instance);
        instances.last_mut().unwrap()
    }
}

impl Directory for Fixture {
    fn instances(&self, name: &str) -> Arc<[Instance]> {
        let found = self.services.iter().find(|(service, _)| service.eq_ignore_ascii_case(name));
        found.map_or_else(|| [].into(), |(_, instances)| instances.as_slice().into())
    }

    fn node(&self, name: &str) -> Option<Arc<Node>> {
        self.nodes.iter().find(|node| node.name.eq_ignore_ascii_case(name)).cloned()
    }

    fn owner(&self, address: IpAddr) -> Option<Owner> {
        if let Some(node) = self.nodes.iter().find(|node| node.addresses.contains(&address)) {
            return Some(Owner::Node(node.name.to_string()));
        }
        let at = |instance: &Instance| instance.address.parse() == Ok(address);
        let service = self.services.iter().find(|(_, instances)| instances.iter().any(at));
        service.map(|(name, _)| Owner::Service(name.clone()))
    }
}

/// Settings with Consul's defaults.
pub(crate) fn settings(node: &str) -> Settings {
    Settings::new("consul", "dc1", node).unwrap()
}

/// A server on a port of its own, stopped when dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    _stop: DropGuard,
}

/// Serves a directory at an address; port 0 is any that both protocols have free.
pub(crate) fn serve_at(address: SocketAddr, settings: Settings, directory: impl Directory) -> Running {
    let (udp, tcp) = (0..50)
        .find_map(|_| {
            let tcp = std::net::TcpListener::bind(address).ok()?;
            let udp = std::net::UdpSocket::bind(tcp.local_addr().ok()?).ok()?;
            Some((udp, tcp))
        })
        .unwrap_or_else(|| panic!("cannot bind {address} over UDP and TCP"));
    let address = tcp.local_addr().unwrap();
    let stop = CancellationToken::new();
    dns::serve(udp, tcp, settings, Arc::new(directory), stop.clone()).unwrap();
    Running { address, _stop: stop.drop_guard() }
}

/// Serves a directory on a free loopback port.
pub(crate) fn serve(settings: Settings, directory: impl Directory) -> Running {
    serve_at("127.0.0.1:0".parse().unwrap(), settings, directory)
}
