//! A stand-in for a Eureka server, for one test: on a port of its own, empty at the start, gone at the end.
//!
//! No real one is to be had as a package. This one follows the rules of Netflix's server (`AbstractInstanceRegistry`, its
//! rules for statuses, its response cache), and is judged by an independent client of Eureka, `py-eureka-client`.

mod answer;
mod rules;
mod xml;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use hyper::Response;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::servers::server;

pub use answer::Seen;
use answer::answer;
use rules::Registry;

/// The largest body that it reads.
const BODY_LIMIT: usize = 1 << 20;

/// How a server differs from the plainest one.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where its `apps/` is; Spring Cloud's is at `/eureka`.
    pub path: &'static str,
    /// The user and password that it wants.
    pub user: Option<(&'static str, &'static str)>,
    /// It answers lists from a cache of this age, as real ones do (30 s).
    pub cache: Option<Duration>,
    /// It lets nothing expire when heartbeats are missing, as real ones do.
    pub self_preservation: bool,
    /// It protects writes from other sites' pages, as Spring Security does if nobody turns that off.
    pub csrf: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { path: "/eureka", user: None, cache: None, self_preservation: true, csrf: false }
    }
}

/// A stand-in for a Eureka server, gone when dropped.
pub struct Eureka {
    options: Options,
    address: SocketAddr,
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

pub(crate) struct Shared {
    options: Options,
    state: Mutex<State>,
    frozen: watch::Sender<bool>,
}

pub(crate) struct State {
    registry: Registry,
    /// It has just started, and waits for its peers' data.
    waits: bool,
    seen: Vec<Seen>,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Eureka {
    /// Starts the plainest server.
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// Starts a server.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn with(options: Options) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let state = State { registry: Registry::new(options), waits: false, seen: Vec::new() };
        let shared = Arc::new(Shared { options, state: Mutex::new(state), frozen: watch::Sender::new(false) });
        let address = listener.local_addr().expect("its address");
        let mut server = Self { options, address, shared, tasks: JoinSet::new() };
        server.serve(listener);
        server
    }

    fn serve(&mut self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(converse(stream, Arc::clone(&shared)));
                while connections.try_join_next().is_some() {}
            }
        });
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `eureka://127.0.0.1:port/path`.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("eureka://{}{}", self.address, self.options.path)
    }

    /// `http://127.0.0.1:port/path/`, as clients of Eureka are told.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{}/", self.address, self.options.path)
    }

    /// Stops it, as a crash would.
    pub async fn kill(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Starts it again, at the same place, with what it held: as one that got it back from a peer.
    ///
    /// # Panics
    /// When its port is taken.
    pub async fn restart(&mut self) {
        self.kill().await;
        let listener = crate::wait::eventually("its port", Duration::from_secs(20), async || {
            TcpListener::bind(self.address).await.ok()
        });
        let listener = listener.await;
        self.serve(listener);
    }

    /// Starts it again, at the same place, with nothing in it: as a real one does that has no peers.
    pub async fn restart_empty(&mut self) {
        self.kill().await;
        self.shared.lock().registry = Registry::new(self.options);
        self.restart().await;
    }

    /// Stops it where it stands: it accepts connections, and answers none.
    pub fn freeze(&self) {
        self.shared.frozen.send_replace(true);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.shared.frozen.send_replace(false);
    }

    /// Whether it has just started, and answers no list until its peers' data are there.
    pub fn set_waiting(&self, waits: bool) {
        self.shared.lock().waits = waits;
    }

    /// Lets this time pass on its clock: leases expire, caches age.
    pub fn pass(&self, time: Duration) {
        self.shared.lock().registry.pass(time);
    }

    /// The instance as it is stored; `None` if there is none.
    #[must_use]
    pub fn instance(&self, app: &str, id: &str) -> Option<Value> {
        self.shared.lock().registry.instance(app, id)
    }

    /// All instances, by `APP/ID`.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.shared.lock().registry.keys()
    }

    /// The requests since the last call.
    #[must_use]
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.shared.lock().seen)
    }
}

server!(Eureka);

/// Serves one connection.
async fn converse(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move {
            let (parts, body) = request.into_parts();
            let body = to_bytes(Body::new(body), BODY_LIMIT).await.unwrap_or_default();
            // Nobody sends it anything that ends the wait but itself.
            let _ = shared.frozen.subscribe().wait_for(|frozen| !frozen).await;
            Ok::<Response<Body>, Infallible>(answer(&shared, &parts, &body))
        }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
