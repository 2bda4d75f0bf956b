//! A stand-in for a provider of external-dns, for one test: on a port of its own, empty at the start, gone at the end.
//!
//! It follows external-dns's webhook contract (its OpenAPI file and its own server), and is as strict as the strictest
//! provider: what it holds already is not created again, and what it does not hold is neither changed nor deleted. A request
//! is no transaction: what it did before a fault stays done.

mod answer;
mod zone;

use std::net::SocketAddr;

use crate::servers::server;
use crate::stand_in::StandIn;

pub use crate::stand_in::Seen;
use answer::answer;
use zone::Zone;

/// The type of every body.
pub const MEDIA: &str = "application/external.dns.webhook+json;version=1";
/// The domain that it serves.
pub const ZONE: &str = "services.example.com";

/// How a provider differs from the plainest one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The user and password that a proxy before it wants.
    pub user: Option<(&'static str, &'static str)>,
    /// `/adjustendpoints` leaves out sets of this type.
    pub drops: Option<&'static str>,
    /// Sets of this type are refused with 500, and `/adjustendpoints` says nothing of it.
    pub refuses: Option<&'static str>,
    /// Sets of this type are accepted and forgotten.
    pub forgets: Option<&'static str>,
    /// It lists each target by itself, names with a dot at their end, and TXT records without quotes.
    pub is_odd: bool,
    /// The smallest TTL that it takes; `/adjustendpoints` says so.
    pub least_ttl: u64,
}

/// What another instance does.
type Meanwhile = Box<dyn FnOnce(&mut Zone) + Send>;

/// A stand-in for a provider, gone when dropped.
pub struct Webhook {
    server: StandIn<State>,
}

struct State {
    options: Options,
    zone: Zone,
    seen: Vec<Seen>,
    /// The status of each answer from now on, if another than it should be.
    status: Option<u16>,
    /// After how many sets the next change stops with a fault.
    stops_after: Option<usize>,
    /// Happens right before the next change is made: what another instance did since everything was read.
    meanwhile: Option<Meanwhile>,
}

impl Webhook {
    /// Starts the plainest provider.
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// Starts a provider.
    ///
    /// # Panics
    /// When there is no port.
    pub async fn with(options: Options) -> Self {
        let state = State {
            options,
            zone: Zone::default(),
            seen: Vec::new(),
            status: None,
            stops_after: None,
            meanwhile: None,
        };
        Self { server: StandIn::start(state, answer).await }
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// `webhook+http://127.0.0.1:port/services.example.com?interval=1s`.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("webhook+http://{}/{ZONE}?interval=1s", self.address())
    }

    /// Stops it, as a crash would.
    pub async fn kill(&mut self) {
        self.server.kill().await;
    }

    /// Starts it again, at the same place, with what it held.
    ///
    /// # Panics
    /// When its port is taken.
    pub async fn restart(&mut self) {
        self.server.restart().await;
    }

    /// Starts it again, at the same place, with nothing in it.
    pub async fn restart_empty(&mut self) {
        self.server.kill().await;
        self.server.lock().zone = Zone::default();
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

    /// Another program writes a set.
    pub fn put(&self, name: &str, kind: &str, targets: &[&str]) {
        self.server.lock().zone.put(name, kind, targets);
    }

    /// Another program deletes a set.
    pub fn delete(&self, name: &str, kind: &str) {
        self.server.lock().zone.delete(name, kind);
    }

    /// Another instance writes a set between the next change and what was read before it.
    pub fn put_meanwhile(&self, sets: &[(&str, &str, &[&str])]) {
        let sets: Vec<_> = sets
            .iter()
            .map(|(name, kind, targets)| {
                let targets: Vec<_> = targets.iter().map(|target| (*target).to_owned()).collect();
                ((*name).to_owned(), (*kind).to_owned(), targets)
            })
            .collect();
        self.server.lock().meanwhile = Some(Box::new(move |zone| {
            for (name, kind, targets) in sets {
                let targets: Vec<_> = targets.iter().map(String::as_str).collect();
                zone.put(&name, &kind, &targets);
            }
        }));
    }

    /// All answers have this status from now on; `None` for what they should have.
    pub fn set_status(&self, status: Option<u16>) {
        self.server.lock().status = status;
    }

    /// The next change stops with a fault after so many sets.
    pub fn stop_after(&self, sets: usize) {
        self.server.lock().stops_after = Some(sets);
    }

    /// The targets of a set, sorted; empty if there is none.
    #[must_use]
    pub fn targets(&self, name: &str, kind: &str) -> Vec<String> {
        self.server.lock().zone.targets(name, kind)
    }

    /// All sets, as lines: the name, the type and the targets.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.server.lock().zone.lines()
    }

    /// The requests since the last call.
    #[must_use]
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.server.lock().seen)
    }
}

server!(Webhook);
