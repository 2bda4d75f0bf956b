//! One registry, running: its ports, its threads, and what whoever runs it can ask of it.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::sync::Arc;

use rustls::ClientConfig;
use tokio::runtime::{Builder, EnterGuard, Runtime};
use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::AbortOnDropHandle;

use crate::catalog::{self, Catalog, Node};
use crate::checks::Checks;
use crate::definition::Definition;
use crate::directory::CatalogDirectory;
use crate::flaps::tell_changes;
use crate::notice::{Notice, Tell};
use crate::settings::Settings;
use crate::{dns, files, http};
use registrator_web::Names;

/// How often a free port is sought that both UDP and TCP have.
const ATTEMPTS: usize = 10;

/// What a registry needs of the program that it runs in.
#[derive(Clone)]
pub struct Surroundings {
    /// The address of this machine where neither the settings nor the HTTP address say one that others reach.
    pub address: IpAddr,
    /// The names of this machine, to which HTTP is answered.
    pub names: Vec<String>,
    /// How checks speak TLS.
    pub tls: Tls,
    /// Is told what happens.
    pub tell: Tell,
}

/// The two ways of TLS that checks need.
#[derive(Clone, Debug)]
pub struct Tls {
    /// Accepts certificates of authorities that this machine trusts.
    pub verifying: Arc<ClientConfig>,
    /// Accepts any certificate.
    pub trusting: Arc<ClientConfig>,
}

/// Why a registry cannot be started. Nothing has begun then.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port cannot be had.
    #[error("cannot listen on {address} for {face}: {}", reason(.error))]
    Listen {
        /// Where it would listen.
        address: SocketAddr,
        /// What for.
        face: Face,
        /// Why it cannot.
        #[source]
        error: io::Error,
    },
    /// Names of the settings cannot stand in DNS.
    #[error(transparent)]
    Names(#[from] dns::SettingsError),
    /// The system does not give what it needs.
    #[error(transparent)]
    System(#[from] io::Error),
}

/// What readers speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// Consul's read API.
    Http,
    /// Names.
    Dns,
}

impl std::fmt::Display for Face {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Http => "HTTP",
            Self::Dns => "DNS",
        })
    }
}

/// Why a port cannot be had, in words for a person.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "that port is taken".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine has no such address".to_owned(),
        io::ErrorKind::PermissionDenied => "ports below 1024 are for root".to_owned(),
        _ => error.to_string(),
    }
}

/// A registry that serves, until it is dropped.
pub struct Server {
    catalog: Arc<Catalog>,
    checks: Checks,
    http: Option<SocketAddr>,
    dns: Option<SocketAddr>,
    _telling: AbortOnDropHandle<()>,
    _stop: DropGuard,
    _readers: Readers,
}

/// What is registered, as whoever registered it may ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The identity of the instance.
    pub id: Arc<str>,
    /// What it was registered with.
    pub fingerprint: u64,
    /// Whether it is in maintenance mode.
    pub marked: bool,
}

/// The thread on which readers are answered: however many there are, the rest of the program has its own.
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

impl Server {
    /// Takes the ports, and serves. To be called within a Tokio runtime, on which checks will run.
    ///
    /// # Errors
    /// When a port cannot be had, or names of the settings cannot stand in DNS; then nothing was begun.
    pub fn start(mut settings: Settings, surroundings: &Surroundings) -> Result<Self, StartError> {
        let mut spoken = dns::Settings::new(&settings.domain, &settings.datacenter, &settings.node)?;
        // Every port first: where one is taken, nothing has begun.
        let http = settings.http.map(listen_http).transpose()?;
        let dns = settings.dns.map(listen_dns).transpose()?;
        let wishes = [settings.http_limits.web.connections, settings.dns_limits.tcp_connections];
        let (granted, fewer) = files::within_reach(wishes);
        [settings.http_limits.web.connections, settings.dns_limits.tcp_connections] = granted;
        spoken.limits = settings.dns_limits;
        let node = Node {
            id: node_id(&settings.node),
            address: settings.address.unwrap_or_else(|| own_address(settings.http, surroundings.address)),
            name: settings.node,
            datacenter: settings.datacenter,
            index: catalog::first_index(),
        };
        let tell = &surroundings.tell;
        let (reports, heard) = unbounded_channel();
        let telling = AbortOnDropHandle::new(tokio::spawn(tell_changes(heard, Arc::clone(tell))));
        let catalog = Arc::new(Catalog::new(node, reports));
        let checks = Checks::new(Arc::clone(&catalog), &surroundings.tls, settings.check_networks);
        let stop = CancellationToken::new();
        let http_address = http.as_ref().map(TcpListener::local_addr).transpose()?;
        let dns_address = dns.as_ref().map(|(_, tcp)| tcp.local_addr()).transpose()?;
        let readers = Readers::start()?;
        let entered = readers.enter();
        if let Some(listener) = http {
            listener.set_nonblocking(true)?;
            let listener = tokio::net::TcpListener::from_std(listener)?;
            let names = settings.names.into_iter().chain(surroundings.names.iter().cloned());
            let names = Names::new(&settings.domain, names);
            let api = http::Api::new(Arc::clone(&catalog), names, settings.http_limits, Arc::clone(tell));
            tokio::spawn(registrator_web::serve(listener, Arc::new(api), settings.http_limits.web, None, stop.clone()));
        }
        if let Some((udp, tcp)) = dns {
            let directory = Arc::new(CatalogDirectory::new(Arc::clone(&catalog)));
            dns::serve(udp, tcp, spoken, directory, stop.clone())?;
        }
        drop(entered);
        if let Some(notice) = fewer {
            tell(notice);
        }
        tell(Notice::Listening { http: http_address, dns: dns_address });
        Ok(Self {
            catalog,
            checks,
            http: http_address,
            dns: dns_address,
            _telling: telling,
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

    /// Registers an instance, in the place of the one with its ID, and looks after its check. A TTL check begins anew.
    ///
    /// `fingerprint` is kept for whoever asks with [`Server::registered`]. To be called within a Tokio runtime.
    pub fn register(&self, definition: Definition, fingerprint: u64) {
        self.checks.follow(self.catalog.register(definition, fingerprint));
    }

    /// Removes an instance; nothing happens where there is none.
    pub fn deregister(&self, id: &str) {
        self.checks.forget(id);
        self.catalog.deregister(id);
    }

    /// Puts an instance into maintenance mode for this reason, or out of it.
    pub fn mark(&self, id: &str, reason: Option<&str>) {
        self.catalog.mark(id, reason);
    }

    /// Says that an instance with a TTL check is alive; false where it is not registered.
    pub fn keep_alive(&self, id: &str) -> bool {
        let probe = self.catalog.probe(id);
        if let Some(probe) = probe {
            self.checks.keep_alive(id, probe);
        }
        probe.is_some()
    }

    /// Everything that is registered, in no order.
    #[must_use]
    pub fn registered(&self) -> Vec<Registered> {
        self.catalog.registered()
    }
}

fn listen_http(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|error| StartError::Listen { address, face: Face::Http, error })
}

fn listen_dns(address: SocketAddr) -> Result<(UdpSocket, TcpListener), StartError> {
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
    bound.map_err(|error| StartError::Listen { address, face: Face::Dns, error })
}

/// The address of this machine: the one it serves on, if that is one address that others reach, else the other.
fn own_address(http: Option<SocketAddr>, otherwise: IpAddr) -> IpAddr {
    http.map(|http| http.ip()).filter(|ip| !ip.is_unspecified() && !ip.is_loopback()).unwrap_or(otherwise)
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
