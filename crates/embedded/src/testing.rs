//! What the unit tests register, and how their checks speak TLS.

use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use crate::definition::{Check, CheckKind, Definition, Health, Target};
use crate::health::Report;
use crate::server::Tls;

/// A plain instance at 10.0.0.1:80.
pub(crate) fn definition(id: &str, name: &str) -> Definition {
    Definition {
        id: id.into(),
        name: name.into(),
        address: "10.0.0.1".into(),
        port: 80,
        protocol: "tcp",
        tags: Arc::default(),
        meta: Arc::default(),
        check: None,
        health: Health::None,
        group: id.into(),
        target: Target::Own,
        traefik: None,
    }
}

/// The same, with a TCP check each second.
pub(crate) fn checked(id: &str, name: &str) -> Definition {
    let interval = Duration::from_secs(1);
    let check = Check { kind: CheckKind::Tcp, interval, timeout: None, initial_status: None, deregister_after: None };
    Definition { check: Some(Arc::new(check)), ..definition(id, name) }
}

/// TLS that trusts nobody.
pub(crate) fn tls() -> Tls {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    Tls { verifying: Arc::new(config.clone()), trusting: Arc::new(config) }
}

/// Where a catalog's reports go that nobody hears.
pub(crate) fn reports() -> UnboundedSender<Report> {
    unbounded_channel().0
}
