//! Services to prove a registry with: plain ones, odd ones, and whatever proptest comes upon.

use std::sync::Arc;
use std::time::Duration;

use litemap::LiteMap;
use proptest::prelude::*;
use registrator::container::{Health, Moment, Protocol};
use registrator::service::{Check, CheckKind, Origin, Service};

/// A plain service of this ID.
pub(crate) fn service(id: &str) -> Service {
    Service {
        id: id.into(),
        name: "web".to_owned(),
        address: "10.1.2.3".into(),
        port: 8000,
        protocol: Protocol::Tcp,
        tags: vec!["www".to_owned(), "b".to_owned()].into(),
        attributes: Arc::new(LiteMap::from_iter([("region".to_owned(), "us2".to_owned())])),
        ttl: None,
        check: None,
        health: Health::None,
        traefik: None,
        origin: Origin {
            container_name: "web".into(),
            created: Moment::default(),
            started: Moment::default(),
            claimed: false,
            address_of: registrator::service::AddressOf::Container,
            container: "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef".into(),
            hostname: "inside".into(),
            exposed_port: 80,
        },
    }
}

/// A plain service of this ID, at this port: some stores know services by where they are.
pub(crate) fn at_port(id: &str, port: u16) -> Service {
    Service { port, ..service(id) }
}

/// The service, changed.
pub(crate) fn with(mut service: Service, change: impl FnOnce(&mut Service)) -> Arc<Service> {
    change(&mut service);
    Arc::new(service)
}

/// A check with nothing but its kind.
pub(crate) fn check(kind: CheckKind) -> Check {
    Check {
        kind,
        interval: Duration::from_secs(10),
        timeout: None,
        initial_status: None,
        deregister_after: None,
        heartbeat: None,
    }
}

prop_compose! {
    pub(crate) fn any_service()(
        id in "[a-zA-Z0-9:._ é%/-]{1,40}[a-z]",
        name in "[a-z][a-zA-Z0-9._ é%-]{0,60}",
        address in prop_oneof!["10\\.[0-9]\\.[0-9]\\.1", Just("2001:db8::7".to_owned()), "[a-z]{1,20}\\.example"],
        port in 1u16..,
        tags in proptest::collection::vec(".{0,20}", 0..6),
        attributes in proptest::collection::btree_map("[a-z_.-]{0,20}", ".{0,40}|x{500,520}", 0..80),
        check in proptest::option::of(any_check()),
    ) -> Service {
        Service {
            id: id.replace("//", "-").replace("/.", "-").replace("./", "-").into(),
            name,
            address: address.into(),
            port,
            tags: tags.into(),
            attributes: Arc::new(attributes.into_iter().collect()),
            check: check.map(Box::new),
            ..service("")
        }
    }
}

prop_compose! {
    /// Checks that any server takes without running anything.
    fn any_check()(
        kind in prop_oneof![
            (any::<bool>(), "/[ -~é]{0,30}", proptest::option::of("GET|HEAD|POST"), any::<bool>()).prop_map(
                |(tls, path, method, skip_verify)| CheckKind::Http { tls, path, method, skip_verify }
            ),
            Just(CheckKind::Tcp),
            (1u64..100).prop_map(|seconds| CheckKind::Ttl(Duration::from_secs(seconds))),
            (any::<bool>(), any::<bool>()).prop_map(|(tls, skip_verify)| CheckKind::Grpc { tls, skip_verify }),
        ],
        interval in 600_000u64..700_000,
        timeout in proptest::option::of(1u64..100_000),
        initial_status in proptest::option::of("passing|warning|critical"),
        deregister_after in proptest::option::of(600u64..10_000),
    ) -> Check {
        Check {
            kind,
            interval: Duration::from_millis(interval),
            timeout: timeout.map(Duration::from_millis),
            initial_status,
            deregister_after: deregister_after.map(Duration::from_secs),
            heartbeat: None,
        }
    }
}
