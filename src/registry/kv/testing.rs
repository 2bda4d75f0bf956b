//! What the tests of this folder share.

use litemap::LiteMap;

use crate::container::{ContainerId, Health, Protocol};
use crate::service::{Origin, Service};

/// A plain service of this ID.
pub(super) fn service(id: &str) -> Service {
    Service {
        id: id.to_owned(),
        name: "web".to_owned(),
        address: "10.1.2.3".to_owned(),
        port: 8000,
        protocol: Protocol::Tcp,
        tags: Vec::new(),
        attributes: LiteMap::new(),
        ttl: None,
        check: None,
        health: Health::None,
        origin: Origin {
            container: ContainerId::from("0123"),
            created: "".into(),
            hostname: "inside".into(),
            exposed_port: 80,
        },
    }
}
