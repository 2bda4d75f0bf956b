//! Any bytes that come as a DNS message: an answer or silence, never a panic, never more than the room there is.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use registrator_embedded::dns::{Directory, Instance, Node, Owner, Responder, Settings, Transport};

struct One;

impl One {
    fn node() -> Arc<Node> {
        let meta = BTreeMap::from([("rack".to_owned(), "r1 ".repeat(200))]);
        Arc::new(Node { name: "n1".into(), addresses: vec![IpAddr::from([192, 0, 2, 1])], meta })
    }
}

impl Directory for One {
    fn instances(&self, name: &str) -> Arc<[Instance]> {
        // Every name is a service, of addresses and of a host that leads back to it.
        let instance = |address: String| Instance {
            node: "n1".into(),
            address: address.into(),
            port: 80,
            tags: vec![name.to_owned()].into(),
            critical: false,
        };
        let hosts = (0..name.len() * 20).map(|host| instance(format!("10.0.{}.{}", host / 250, host % 250)));
        hosts.chain([instance(String::new()), instance(format!("{name}.service.consul"))]).collect()
    }

    fn node(&self, _name: &str) -> Option<Arc<Node>> {
        Some(Self::node())
    }

    fn owner(&self, address: IpAddr) -> Option<Owner> {
        Some(Owner::Service(address.to_string()))
    }
}

static RESPONDER: LazyLock<Responder> =
    LazyLock::new(|| Responder::new(Settings::new("consul", "dc1", "n1").unwrap(), Arc::new(One)));

/// Runs the target on one input.
pub fn run(message: &[u8]) {
    if let Some(answer) = RESPONDER.respond(message, Transport::Udp) {
        assert!(answer.len() <= 4096);
    }
    if let Some(answer) = RESPONDER.respond(message, Transport::Tcp) {
        assert!(answer.len() <= usize::from(u16::MAX));
    }
}
