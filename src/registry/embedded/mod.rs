//! The registry inside: what runs is its only store, so that one machine needs nothing else.
//!
//! The bridge writes to it as to any other registry; everybody else reads, over HTTP as from Consul
//! (`http`) and over DNS ([`dns`]). It checks the services itself (`checks`). Nothing is stored: after
//! a restart the bridge writes everything again.

mod catalog;
mod checks;
mod clients;
mod directory;
pub mod dns;
mod files;
mod filter;
mod http;
mod prometheus;
mod settings;

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::Hasher;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::runtime::{Builder, EnterGuard, Runtime};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::uri::{Uri, redacted};
use super::{Entry, Mark, Marked, OpenError, Registry, RegistryError};
use crate::config::RegistryConfig;
use crate::host;
use crate::service::{CheckKind, Service};
use catalog::{Catalog, Node};
use checks::Checks;
use directory::CatalogDirectory;
use settings::Settings;

pub use filter::{FilterError, check as check_filter};
pub use http::query::{Consistency, Query, QueryError};
pub use http::route::{Endpoint, host_is_local, route};

/// How often a TTL is renewed within its time.
const BEATS_PER_TTL: u32 = 3;

/// The registry inside, running. It stops serving when it is dropped.
pub struct Embedded {
    catalog: Arc<Catalog>,
    checks: Checks,
    owner: String,
    script_checks: bool,
    http: Option<SocketAddr>,
    dns: Option<SocketAddr>,
    _stop: DropGuard,
    _readers: Readers,
}

/// The thread on which readers are answered: however many there are, the bridge has its own.
struct Readers(Option<Runtime>);

impl Readers {
    fn start() -> io::Result<Self> {
        Ok(Self(Some(Builder::new_multi_thread().worker_threads(1).thread_name("readers").enable_all().build()?)))
    }

    /// What is spawned while this is held runs on that thread.
    fn enter(&self) -> Option<EnterGuard<'_>> {
        self.0.as_ref().map(Runtime::enter)
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        // Whoever drops it may be a task, which must not wait.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Opens the embedded registry of a URI whose scheme is `embedded`, and serves. To be called within a
/// Tokio runtime.
///
/// # Errors
/// When the URI is wrong, or a port cannot be had; then nothing was begun.
pub(super) fn open(uri: &Uri<'_>, config: &RegistryConfig) -> Result<Arc<dyn Registry>, OpenError> {
    Ok(Arc::new(Embedded::serve(uri, config)?))
}

impl Embedded {
    /// As [`super::open`], for those who want to know where it listens.
    ///
    /// # Errors
    /// As [`super::open`].
    pub fn start(config: &RegistryConfig) -> Result<Self, OpenError> {
        let uri = Uri::split(&config.uri).ok_or_else(|| OpenError::Unrecognized(redacted(&config.uri)))?;
        Self::serve(&uri, config)
    }

    fn serve(uri: &Uri<'_>, config: &RegistryConfig) -> Result<Self, OpenError> {
        let bad_uri = |reason: String| OpenError::BadUri { uri: redacted(&config.uri), reason };
        let mut settings = Settings::parse(uri, &config.owner).map_err(bad_uri)?;
        let mut spoken = dns::Settings::new(&settings.domain, &settings.datacenter, &settings.node)
            .map_err(|error| bad_uri(error.to_string()))?;
        // Every port first: where one is taken, nothing has begun.
        let http = settings.http.map(listen_http).transpose()?;
        let dns = settings.dns.map(listen_dns).transpose()?;
        let wishes = [settings.http_limits.connections, settings.dns_limits.tcp_connections];
        [settings.http_limits.connections, settings.dns_limits.tcp_connections] = files::within_reach(wishes);
        spoken.limits = settings.dns_limits;
        let node = Node {
            id: node_id(&settings.node),
            address: settings.address.unwrap_or_else(|| own_address(settings.http)),
            name: settings.node,
            datacenter: settings.datacenter,
            index: catalog::first_index(),
        };
        let catalog = Arc::new(Catalog::new(node));
        let checks = Checks::new(Arc::clone(&catalog)).map_err(unusable)?;
        let stop = CancellationToken::new();
        let http_address = http.as_ref().map(TcpListener::local_addr).transpose().map_err(unusable)?;
        let dns_address = dns.as_ref().map(|(_, tcp)| tcp.local_addr()).transpose().map_err(unusable)?;
        let readers = Readers::start().map_err(unusable)?;
        let entered = readers.enter();
        if let Some(listener) = http {
            listener.set_nonblocking(true).map_err(unusable)?;
            let listener = tokio::net::TcpListener::from_std(listener).map_err(unusable)?;
            let only_local = http_address.is_some_and(|address| address.ip().to_canonical().is_loopback());
            let zone = only_local.then_some(settings.domain);
            let api = Arc::new(http::Api::new(Arc::clone(&catalog), zone, settings.http_limits));
            tokio::spawn(http::serve(listener, api, stop.clone()));
        }
        if let Some((udp, tcp)) = dns {
            let directory = Arc::new(CatalogDirectory::new(Arc::clone(&catalog)));
            dns::serve(udp, tcp, spoken, directory, stop.clone()).map_err(unusable)?;
        }
        drop(entered);
        let shown = |address: Option<SocketAddr>| address.map_or("nowhere".to_owned(), |address| address.to_string());
        tracing::info!("embedded: HTTP on {}, DNS on {}", shown(http_address), shown(dns_address));
        Ok(Self {
            catalog,
            checks,
            owner: config.owner.clone(),
            script_checks: settings.script_checks,
            http: http_address,
            dns: dns_address,
            _stop: stop.drop_guard(),
            _readers: readers,
        })
    }

    /// Where it serves HTTP; `None` where it does not.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Where it serves DNS, over UDP and TCP; `None` where it does not.
    #[must_use]
    pub fn dns_address(&self) -> Option<SocketAddr> {
        self.dns
    }

    fn register_one(&self, service: &Arc<Service>) -> Result<(), RegistryError> {
        if service.id.is_empty() || service.name.is_empty() {
            return Err(RegistryError::Rejected("it has no ID or no name".to_owned()));
        }
        let check = service.check.as_ref().map(|check| &check.kind);
        if matches!(check, Some(CheckKind::Command(_) | CheckKind::Script(_))) && !self.script_checks {
            return Err(RegistryError::Rejected(
                "its check runs a command, which this registry does only with script-checks=true in its URI \
                 (embedded://?script-checks=true)"
                    .to_owned(),
            ));
        }
        let registered = self.catalog.register(service, fingerprint(service));
        self.checks.follow(service, registered);
        Ok(())
    }

    fn refresh_one(&self, service: &Service) -> Result<(), RegistryError> {
        let probe = self
            .catalog
            .probe(&service.id)
            .ok_or_else(|| RegistryError::Rejected("it is no longer registered".to_owned()))?;
        self.checks.beat(&service.id, probe);
        Ok(())
    }
}

#[async_trait]
impl Registry for Embedded {
    fn key(&self, service: &Service) -> Arc<str> {
        Arc::clone(&service.id)
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        fingerprint(service)
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn entries(&self) -> Result<Vec<Entry>, RegistryError> {
        let owner: Arc<str> = self.owner.as_str().into();
        let entry = |(key, fingerprint, marked): (Arc<str>, u64, bool)| {
            let marked = if marked { Marked::Ours } else { Marked::No };
            Entry { service_id: Arc::clone(&key), key, owner: Some(Arc::clone(&owner)), fingerprint, marked }
        };
        Ok(self.catalog.entries().into_iter().map(entry).collect())
    }

    async fn register(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        services.iter().map(|service| self.register_one(service)).collect()
    }

    async fn deregister(&self, entries: &[Entry]) -> Vec<Result<(), RegistryError>> {
        for entry in entries {
            self.checks.forget(&entry.key);
            self.catalog.deregister(&entry.key);
        }
        entries.iter().map(|_| Ok(())).collect()
    }

    fn marks(&self) -> bool {
        true
    }

    async fn mark(&self, entries: &[(Entry, Option<Mark>)]) -> Vec<Result<(), RegistryError>> {
        for (entry, mark) in entries {
            self.catalog.mark(&entry.key, mark.map(Mark::reason));
        }
        entries.iter().map(|_| Ok(())).collect()
    }

    fn refresh_interval(&self, service: &Service) -> Option<Duration> {
        match service.check.as_ref()?.kind {
            CheckKind::Ttl(ttl) => Some(ttl / BEATS_PER_TTL),
            _ => None,
        }
    }

    async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        services.iter().map(|service| self.refresh_one(service)).collect()
    }
}

/// How often a free port is sought that both UDP and TCP have.
const ATTEMPTS: usize = 10;

fn listen_http(address: SocketAddr) -> Result<TcpListener, OpenError> {
    TcpListener::bind(address).map_err(|error| {
        taken(address, "HTTP", &error, "choose another with embedded://<address>:<port>, or embedded://off for none")
    })
}

fn listen_dns(address: SocketAddr) -> Result<(UdpSocket, TcpListener), OpenError> {
    let bind = || {
        let udp = UdpSocket::bind(address)?;
        // Of one number; the second can be taken where the first was given one by the system.
        let tcp = TcpListener::bind(udp.local_addr()?)?;
        Ok((udp, tcp))
    };
    let attempts = if address.port() == 0 { ATTEMPTS } else { 1 };
    let mut bound: io::Result<_> = bind();
    for _ in 1..attempts {
        bound = bound.or_else(|_| bind());
    }
    bound.map_err(|error| {
        taken(address, "DNS", &error, "choose another with embedded://?dns=<address>:<port>, or dns=off for none")
    })
}

/// Why a port cannot be had, and what to write instead.
fn taken(address: SocketAddr, what: &str, error: &io::Error, advice: &str) -> OpenError {
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => "that port is taken".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => "ports below 1024 are for root".to_owned(),
        _ => error.to_string(),
    };
    OpenError::Settings(format!("embedded: cannot listen on {address} for {what}: {reason}; {advice}"))
}

fn unusable(error: impl std::fmt::Display) -> OpenError {
    OpenError::Settings(format!("embedded: {error}"))
}

/// The address of this machine: the one it serves on, if that is one address that others reach, else
/// that of its default route, else loopback.
fn own_address(http: Option<SocketAddr>) -> IpAddr {
    if let Some(ip) = http.map(|http| http.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback()) {
        return ip;
    }
    host::default_route().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

/// A UUID made of the name, so that it outlives restarts; version 8 is for those made in one's own way.
fn node_id(name: &str) -> String {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        hasher.write_u8(salt);
        hasher.write(name.as_bytes());
        hasher.finish()
    };
    let (high, low) = (half(1), half(2));
    let version = (high & !0xf000) | 0x8000;
    let variant = (low & !(0b11 << 62)) | (0b10 << 62);
    format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        version >> 32,
        (version >> 16) & 0xffff,
        version & 0xffff,
        variant >> 48,
        variant & 0xffff_ffff_ffff
    )
}

/// A digest of all of a service that matters here. It never leaves this process.
fn fingerprint(service: &Service) -> u64 {
    /// What is written is hashed.
    struct Digest(DefaultHasher);
    impl std::fmt::Write for Digest {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut digest = Digest(DefaultHasher::new());
    let Service { id, name, address, port, protocol, tags, attributes, check, health, .. } = service;
    // A digest takes whatever is written to it.
    let _ = write!(
        digest,
        "{:?}",
        (id, name, address, port, protocol, tags, attributes, check, health, service.origin.container.as_str())
    );
    digest.0.finish()
}
