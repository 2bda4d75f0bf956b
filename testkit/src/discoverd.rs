//! A stand-in for Flynn's discoverd, for one test: on a port of its own, empty at the start, gone at the end.
//!
//! No real one is to be had: it is no longer maintained. This one follows the rules of its server: names, IDs by digest, ten
//! seconds of life, and servers that send every request on to another.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::Body;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use hyper::http::request::Parts;
use serde_json::{Value, json};

use crate::servers::server;
use crate::stand_in::StandIn;

pub use crate::stand_in::Seen;

/// How long an instance lives that is not registered again.
const LIFE: Duration = Duration::from_secs(10);

/// A stand-in for discoverd, gone when dropped.
pub struct Discoverd {
    server: StandIn<State>,
}

#[derive(Default)]
struct State {
    /// By name, instances by ID, each with the time of its last registration.
    services: BTreeMap<String, BTreeMap<String, (Value, Duration)>>,
    /// The leader that everything is sent on to, if it is not this one.
    leader: Option<SocketAddr>,
    /// When its clock began, if it goes by itself.
    since: Option<Instant>,
    ahead: Duration,
    seen: Vec<Seen>,
}

impl State {
    fn now(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed()) + self.ahead
    }

    fn expire(&mut self) {
        let now = self.now();
        for instances in self.services.values_mut() {
            instances.retain(|_, (_, at)| *at + LIFE > now);
        }
    }
}

impl Discoverd {
    /// Starts a leader whose clock stands still but for [`Self::pass`].
    pub async fn start() -> Self {
        Self::holding(State::default()).await
    }

    /// Starts a leader whose clock goes.
    pub async fn ticking() -> Self {
        Self::holding(State { since: Some(Instant::now()), ..State::default() }).await
    }

    /// Starts a server that sends everything on to a leader.
    pub async fn follower(leader: SocketAddr) -> Self {
        Self::holding(State { leader: Some(leader), ..State::default() }).await
    }

    async fn holding(state: State) -> Self {
        Self { server: StandIn::start(state, answer).await }
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// `discoverd://127.0.0.1:port`.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("discoverd://{}", self.address())
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
        self.server.lock().services.clear();
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

    /// Lets this time pass on its clock.
    pub fn pass(&self, time: Duration) {
        self.server.lock().ahead += time;
    }

    /// Another program registers an instance.
    pub fn put(&self, name: &str, address: &str) {
        let id = id("tcp", address);
        let instance = json!({"id": id, "addr": address, "proto": "tcp", "meta": {"by": "hand"}});
        let mut state = self.server.lock();
        let now = state.now();
        state.services.entry(name.to_owned()).or_default().insert(id, (instance, now));
    }

    /// All instances of a name are removed.
    pub fn clear(&self, name: &str) {
        if let Some(instances) = self.server.lock().services.get_mut(name) {
            instances.clear();
        }
    }

    /// The addresses of a name, sorted; `None` if there is no such name.
    #[must_use]
    pub fn addresses(&self, name: &str) -> Option<Vec<String>> {
        let mut state = self.server.lock();
        state.expire();
        let instances = state.services.get(name)?.values();
        let mut all: Vec<_> =
            instances.filter_map(|(instance, _)| instance["addr"].as_str().map(str::to_owned)).collect();
        all.sort();
        Some(all)
    }

    /// The requests since the last call.
    #[must_use]
    pub fn take_seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.server.lock().seen)
    }
}

server!(Discoverd);

fn id(protocol: &str, address: &str) -> String {
    format!("{:x}", md5::compute(format!("{protocol}-{address}")))
}

/// Answers a request.
fn answer(state: &mut State, request: &Parts, body: &[u8]) -> Response<Body> {
    let path = request.uri.path();
    state.seen.push(Seen { method: request.method.to_string(), path: path.to_owned() });
    state.expire();
    if let Some(leader) = state.leader {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = 307.try_into().expect("a status");
        let location = HeaderValue::from_str(&format!("http://{leader}{path}")).expect("an address");
        response.headers_mut().insert(LOCATION, location);
        return response;
    }
    let (status, value) = reply(state, request.method.as_str(), path, body);
    let text = if value.is_null() { String::new() } else { value.to_string() };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status.try_into().expect("a status");
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert("discoverd-index", HeaderValue::from_static("7"));
    response.headers_mut().insert("discoverd-peers", HeaderValue::from_static(""));
    response
}

fn reply(state: &mut State, method: &str, path: &str, body: &[u8]) -> (u16, Value) {
    let said = |status: u16, code: &str, message: &str| (status, json!({"code": code, "message": message}));
    let missing = || said(404, "object_not_found", "service not found");
    let is_name = |name: &str| {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        !name.is_empty() && name.bytes().all(plain)
    };
    let segments: Vec<_> = path.split('/').skip(1).collect();
    let value = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let now = state.now();
    match (method, &segments[..]) {
        ("GET", ["ping"]) => (200, Value::Null),
        ("PUT", ["services", name]) if !is_name(name) => said(400, "validation_error", "invalid service name"),
        ("PUT", ["services", name]) => match state.services.get(*name) {
            Some(_) => said(409, "object_exists", "service already exists"),
            None if !value.is_object() => said(400, "syntax_error", "invalid JSON"),
            None => {
                state.services.insert((*name).to_owned(), BTreeMap::new());
                (200, Value::Null)
            }
        },
        ("GET", ["services", name, "instances"]) => match state.services.get(*name) {
            Some(instances) => (200, instances.values().map(|(instance, _)| instance.clone()).collect()),
            None => missing(),
        },
        ("PUT", ["services", name, "instances", given]) => {
            let text = |name: &str| value[name].as_str().unwrap_or_default();
            let is_meta = |meta: &Value| meta.as_object().is_none_or(|meta| meta.values().all(Value::is_string));
            if text("id") != *given || id(text("proto"), text("addr")) != *given || !is_meta(&value["meta"]) {
                return said(400, "validation_error", "instance is not valid");
            }
            match state.services.get_mut(*name) {
                Some(instances) => {
                    instances.insert((*given).to_owned(), (value, now));
                    (200, Value::Null)
                }
                None => missing(),
            }
        }
        ("DELETE", ["services", name, "instances", given]) => {
            let removed = state.services.get_mut(*name).and_then(|instances| instances.remove(*given));
            match removed {
                Some(_) => (200, Value::Null),
                None => said(404, "object_not_found", "instance not found"),
            }
        }
        _ => said(404, "not_found", "no such path"),
    }
}
