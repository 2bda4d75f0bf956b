//! A stand-in for a Eureka server, for one test: on a port of its own, empty at the start, gone at the end.
//!
//! No real one is to be had as a package. This one follows the rules of Netflix's server (`AbstractInstanceRegistry`, its
//! rules for statuses, its response cache), and is judged by an independent client of Eureka, `py-eureka-client`.

mod answer;
mod rules;
mod xml;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use crate::servers::server;
use crate::stand_in::StandIn;

pub use crate::stand_in::Seen;
use answer::answer;
use rules::Registry;

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
    server: StandIn<State>,
}

struct State {
    options: Options,
    registry: Registry,
    /// It has just started, and waits for its peers' data.
    waits: bool,
    seen: Vec<Seen>,
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
        let state = State { options, registry: Registry::new(options), waits: false, seen: Vec::new() };
        Self { options, server: StandIn::start(state, answer).await }
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// `eureka://127.0.0.1:port/path`.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("eureka://{}{}", self.address(), self.options.path)
    }

    /// `http://127.0.0.1:port/path/`, as clients of Eureka are told.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{}/", self.address(), self.options.path)
    }

    /// Stops it, as a crash would.
    pub async fn kill(&mut self) {
        self.server.kill().await;
    }

    /// Starts it again, at the same place, with what it held: as one that got it back from a peer.
    ///
    /// # Panics
    /// When its port is taken.
    pub async fn restart(&mut self) {
        self.server.restart().await;
    }

    /// Starts it again, at the same place, with nothing in it: as a real one does that has no peers.
    pub async fn restart_empty(&mut self) {
        self.server.kill().await;
        self.server.lock().registry = Registry::new(self.options);
        self.server.restart().await;
    }

    /// Stops it where it stands: it accepts connections, and answers none.
    pub fn freeze(&self) {
        self.server.freeze();
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.server.thaw();
    }

    /// Whether it has just started, and answers no list until its peers' data are there.
    pub fn set_waiting(&self, waits: bool) {
        self.server.lock().waits = waits;
    }

    /// Lets this time pass on its clock: leases expire, caches age.
    pub fn pass(&self, time: Duration) {
        self.server.lock().registry.pass(time);
    }

    /// The instance as it is stored; `None` if there is none.
    #[must_use]
    pub fn instance(&self, app: &str, id: &str) -> Option<Value> {
        self.server.lock().registry.instance(app, id)
    }

    /// All instances, by `APP/ID`.
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.server.lock().registry.keys()
    }

    /// The requests since the last call.
    #[must_use]
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.server.lock().seen)
    }
}

server!(Eureka);
