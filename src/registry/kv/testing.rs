//! Helpers for this folder's tests.

use std::sync::Arc;

use crate::container::{ContainerId, Health, Moment, Protocol};
use crate::service::{Origin, Service};

/// A plain service with this ID.
pub(in crate::registry) fn service(id: &str) -> Service {
    Service {
        id: id.into(),
        name: "web".to_owned(),
        address: "10.1.2.3".into(),
        port: 8000,
        protocol: Protocol::Tcp,
        tags: Arc::default(),
        attributes: Arc::default(),
        ttl: None,
        check: None,
        health: Health::None,
        traefik: None,
        origin: Origin {
            container: ContainerId::from("0123"),
            container_name: "web".into(),
            created: Moment::default(),
            started: Moment::default(),
            claimed: false,
            address_of: crate::service::AddressOf::Container,
            hostname: "inside".into(),
            exposed_port: 80,
        },
    }
}
