//! A Docker engine that holds any number of containers, and breaks on command.
//!
//! For what a real engine cannot be made to do: lose events, cut a stream in the middle of a line, hang
//! on one container, speak another version. It answers `GET /version`, `/containers/json`,
//! `/containers/{id}/json` and `/events`, on a unix socket of its own or on TCP, and counts who asks.
//!
//! ```no_run
//! # async fn example() {
//! use testkit::engine::{FakeContainer, FakeEngine, Fault};
//!
//! let engine = FakeEngine::start().await;
//! let web = engine.run(FakeContainer::new("web").image("nginx:1").publish("80/tcp", 8080));
//! engine.fault_inspect_of(&web, Fault::Hang);
//! engine.stop(&web, 137);
//! engine.go_away().await;
//! engine.come_back().await;
//! # }
//! ```

mod container;
mod http;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
pub use container::FakeContainer;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::{JoinHandle, JoinSet};

/// How a kind of request goes wrong.
#[derive(Clone, Debug, Default)]
pub enum Fault {
    /// It does not.
    #[default]
    None,
    /// It is answered with this status and a message.
    Fail(u16),
    /// It is never answered.
    Hang,
    /// It is answered late, with what is there then.
    Delay(Duration),
    /// It is answered late, with what was there when it was asked.
    Stale(Duration),
    /// It is answered with these bytes.
    Garbage(Bytes),
}

/// A request that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`.
    pub method: String,
    /// The path, with its version, without its query: `/v1.41/containers/json`.
    pub path: String,
}

/// An engine that runs until it is dropped.
pub struct FakeEngine {
    shared: Arc<Shared>,
    address: Address,
    server: Mutex<Option<JoinHandle<()>>>,
    /// Holds the socket; removed at the end.
    _folder: TempDir,
}

enum Address {
    Unix(PathBuf),
    Tcp(std::net::SocketAddr),
}

/// What the engine and its connections share.
#[derive(Default)]
struct Shared(Mutex<State>);

/// What the engine holds, and how it is broken.
struct State {
    containers: BTreeMap<String, FakeContainer>,
    /// Answers that were made already, for as long as they hold: wording ten thousand containers takes longer than serving them.
    said: Said,
    /// How many containers there ever were.
    created: u64,
    /// How many events there ever were: their time.
    events: u64,
    streams: Vec<UnboundedSender<Piece>>,
    requests: Vec<Request>,
    api: (u16, u16),
    oldest_api: (u16, u16),
    is_dropping_events: bool,
    is_listing_nothing: bool,
    list: Fault,
    inspect: Fault,
    inspect_of: BTreeMap<String, Fault>,
    stream: Fault,
    version: Fault,
}

/// Answers as they were last sent.
#[derive(Default)]
struct Said {
    inspects: HashMap<String, Bytes>,
    /// Of what runs, and of all.
    lists: [Option<Bytes>; 2],
}

/// What an event stream is made of.
enum Piece {
    Bytes(Bytes),
    /// The connection breaks.
    Cut,
}

impl Default for State {
    fn default() -> Self {
        Self {
            containers: BTreeMap::new(),
            said: Said::default(),
            created: 0,
            events: 0,
            streams: Vec::new(),
            requests: Vec::new(),
            api: (1, 41),
            oldest_api: (1, 12),
            is_dropping_events: false,
            is_listing_nothing: false,
            list: Fault::None,
            inspect: Fault::None,
            inspect_of: BTreeMap::new(),
            stream: Fault::None,
            version: Fault::None,
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked holds nothing that matters.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl FakeEngine: its life ===

impl FakeEngine {
    /// An empty engine on a socket of its own; it speaks API 1.41, down to 1.12.
    ///
    /// # Panics
    /// When no socket can be made.
    pub async fn start() -> Self {
        let folder = TempDir::new().expect("a folder for the socket");
        let address = Address::Unix(folder.path().join("docker.sock"));
        Self::start_at(address, folder).await
    }

    /// The same on a free TCP port of the loopback address.
    ///
    /// # Panics
    /// When there is none.
    pub async fn start_tcp() -> Self {
        let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = Address::Tcp(free.local_addr().expect("its address"));
        drop(free);
        Self::start_at(address, TempDir::new().expect("a folder")).await
    }

    async fn start_at(address: Address, folder: TempDir) -> Self {
        let engine = Self { shared: Arc::default(), address, server: Mutex::default(), _folder: folder };
        engine.come_back().await;
        engine
    }

    /// What `DOCKER_HOST` would be: `unix:///…/docker.sock`, `tcp://127.0.0.1:…`.
    #[must_use]
    pub fn host(&self) -> String {
        match &self.address {
            Address::Unix(path) => format!("unix://{}", path.display()),
            Address::Tcp(address) => format!("tcp://{address}"),
        }
    }

    /// Goes away, as an engine that is stopped: every connection breaks, the socket vanishes. Its
    /// containers stay, and can be changed meanwhile.
    pub async fn go_away(&self) {
        let server = self.server.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(server) = server {
            server.abort();
            let _ = server.await;
        }
        self.shared.state().streams.clear();
        if let Address::Unix(path) = &self.address {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Comes back at the same place.
    ///
    /// # Panics
    /// When the place is taken.
    pub async fn come_back(&self) {
        let listener = match &self.address {
            Address::Unix(path) => Listener::Unix(UnixListener::bind(path).expect("the socket")),
            Address::Tcp(address) => Listener::Tcp(TcpListener::bind(address).await.expect("the port")),
        };
        let server = tokio::spawn(serve(listener, http::router(Arc::clone(&self.shared))));
        *self.server.lock().unwrap_or_else(PoisonError::into_inner) = Some(server);
    }

    /// Goes away and comes back: every connection breaks, nothing else changes.
    ///
    /// # Panics
    /// When the place is taken meanwhile.
    pub async fn restart(&self) {
        self.go_away().await;
        self.come_back().await;
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        if let Some(server) = self.server.lock().unwrap_or_else(PoisonError::into_inner).take() {
            server.abort();
        }
    }
}

enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

/// A connection of either kind.
trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<C: AsyncRead + AsyncWrite + Send + Unpin> Connection for C {}

impl Listener {
    async fn accept(&self) -> std::io::Result<Box<dyn Connection>> {
        Ok(match self {
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

/// Serves until it is aborted, and its connections with it.
async fn serve(listener: Listener, router: Router) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok(connection) = listener.accept() => {
                let service = TowerToHyperService::new(router.clone());
                connections.spawn(http1::Builder::new().serve_connection(TokioIo::new(connection), service));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

// === impl FakeEngine: its containers ===

impl FakeEngine {
    /// Creates a container without starting it, and returns its id.
    pub fn create(&self, container: FakeContainer) -> String {
        let mut state = self.shared.state();
        let id = state.add(container);
        state.emit_of(&id, "create");
        id
    }

    /// Creates and starts a container, and returns its id.
    pub fn run(&self, container: FakeContainer) -> String {
        let id = self.create(container);
        self.start_container(&id);
        id
    }

    /// Fills the engine with this many running containers, as if they had always been there; no events.
    pub fn populate(&self, count: usize, container: impl Fn(usize) -> FakeContainer) -> Vec<String> {
        let mut state = self.shared.state();
        (0..count)
            .map(|number| {
                let id = state.add(container(number));
                state.change(&id, FakeContainer::start);
                id
            })
            .collect()
    }

    /// Starts a container.
    pub fn start_container(&self, id: &str) {
        let mut state = self.shared.state();
        state.change(id, FakeContainer::start);
        state.emit_network(id, "connect");
        state.emit_of(id, "start");
    }

    /// Ends a container's process with this exit code.
    pub fn stop(&self, id: &str, code: i64) {
        let mut state = self.shared.state();
        state.emit_of(id, "kill");
        state.change(id, |container| container.stop(code));
        state.emit_of(id, "die");
        state.emit_network(id, "disconnect");
        state.emit_of(id, "stop");
    }

    /// Removes a container, running or not.
    pub fn remove(&self, id: &str) {
        if self.shared.state().containers.get(id).is_some_and(FakeContainer::is_running) {
            self.stop(id, 137);
        }
        let mut state = self.shared.state();
        state.forget_answers(id);
        let removed = state.containers.remove(id);
        if let Some(container) = removed {
            state.emit(&container.event(id, "destroy"));
        }
    }

    /// Renames a container.
    pub fn rename(&self, id: &str, name: &str) {
        self.change(id, "rename", |container| container.rename(name));
    }

    /// Pauses a container.
    pub fn pause(&self, id: &str) {
        self.change(id, "pause", |container| container.set_state("Paused", json!(true), "paused"));
    }

    /// Lets a paused container go on.
    pub fn unpause(&self, id: &str) {
        self.change(id, "unpause", |container| container.set_state("Paused", json!(false), "running"));
    }

    /// What a container's HEALTHCHECK says from now on: `starting`, `healthy`, `unhealthy`.
    pub fn set_health(&self, id: &str, status: &str) {
        self.change(id, &format!("health_status: {status}"), |container| container.set_health(status));
    }

    /// Begins to remove a container, and gets no further.
    pub fn begin_removal(&self, id: &str) {
        self.change(id, "die", FakeContainer::begin_removal);
    }

    /// Connects a container to a network, with this address.
    pub fn connect(&self, id: &str, network: &str, ip: &str) {
        let mut state = self.shared.state();
        state.change(id, |container| container.attach(network, ip));
        state.emit_network(id, "connect");
    }

    /// Changes a container in any way, and says so with an event of this action.
    pub fn change(&self, id: &str, action: &str, change: impl FnOnce(&mut FakeContainer)) {
        let mut state = self.shared.state();
        state.change(id, change);
        state.emit_of(id, action);
    }

    /// The ids of all containers that run.
    #[must_use]
    pub fn running(&self) -> Vec<String> {
        let state = self.shared.state();
        state.containers.iter().filter(|(_, container)| container.is_running()).map(|(id, _)| id.clone()).collect()
    }
}

// === impl FakeEngine: its faults ===

impl FakeEngine {
    /// The newest and oldest version of the API that it speaks, each `(1, minor)`. From 1.52 its
    /// answers have the shape of Docker 29, before that of 20.10.
    pub fn set_api(&self, newest: (u16, u16), oldest: (u16, u16)) {
        let mut state = self.shared.state();
        (state.api, state.oldest_api) = (newest, oldest);
        state.said = Said::default();
    }

    /// Events happen, and are not sent.
    pub fn drop_events(&self, dropping: bool) {
        self.shared.state().is_dropping_events = dropping;
    }

    /// Lists are empty, whatever runs.
    pub fn list_nothing(&self, nothing: bool) {
        self.shared.state().is_listing_nothing = nothing;
    }

    /// How requests for lists go wrong from now on.
    pub fn fault_list(&self, fault: Fault) {
        self.shared.state().list = fault;
    }

    /// How requests for any container go wrong from now on.
    pub fn fault_inspect(&self, fault: Fault) {
        self.shared.state().inspect = fault;
    }

    /// How requests for this container go wrong from now on; [`Fault::None`] leaves it to [`FakeEngine::fault_inspect`].
    pub fn fault_inspect_of(&self, id: &str, fault: Fault) {
        self.shared.state().inspect_of.insert(id.to_owned(), fault);
    }

    /// How requests for event streams go wrong from now on, before their first byte.
    pub fn fault_events(&self, fault: Fault) {
        self.shared.state().stream = fault;
    }

    /// How requests for the version go wrong from now on.
    pub fn fault_version(&self, fault: Fault) {
        self.shared.state().version = fault;
    }

    /// Ends every event stream, as if it were complete.
    pub fn end_streams(&self) {
        self.shared.state().streams.clear();
    }

    /// Breaks every event stream's connection.
    pub fn cut_streams(&self) {
        let mut state = self.shared.state();
        state.send(|| Piece::Cut);
        state.streams.clear();
    }

    /// Sends half of an event that never happened, and breaks the connection.
    pub fn cut_streams_in_a_line(&self) {
        self.send_raw(r#"{"status":"start","id":"0123456789ab","#);
        self.cut_streams();
    }

    /// Sends these bytes on every event stream.
    pub fn send_raw(&self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.shared.state().send(|| Piece::Bytes(bytes.clone()));
    }

    /// Sends this event, whether or not anything happened.
    pub fn send_event(&self, event: &Value) {
        self.send_raw(format!("{event}\n"));
    }
}

// === impl FakeEngine: what was asked ===

impl FakeEngine {
    /// Every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// How many requests so far had a path with this end: `/containers/json`, `/events`, `/<id>/json`.
    #[must_use]
    pub fn count(&self, end: &str) -> usize {
        self.shared.state().requests.iter().filter(|request| request.path.ends_with(end)).count()
    }

    /// How many inspects were asked for so far.
    #[must_use]
    pub fn inspects(&self) -> usize {
        self.count("/json") - self.count("/containers/json")
    }

    /// Forgets the requests so far.
    pub fn forget_requests(&self) {
        self.shared.state().requests.clear();
    }

    /// How many event streams are open.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        let mut state = self.shared.state();
        state.streams.retain(|stream| !stream.is_closed());
        state.streams.len()
    }
}

// === impl State ===

impl State {
    fn add(&mut self, container: FakeContainer) -> String {
        self.created += 1;
        // Unlike in their first 12 characters already.
        let id = format!("{0:012x}{0:052x}", self.created);
        self.containers.insert(id.clone(), container.created_as(self.created));
        self.forget_answers(&id);
        id
    }

    fn forget_answers(&mut self, id: &str) {
        self.said.inspects.remove(id);
        self.said.lists = [None, None];
    }

    /// The answer to an inspect, if there is such a container.
    fn inspected(&mut self, id: &str) -> Option<Bytes> {
        let Self { containers, said, api, .. } = self;
        let container = containers.get(id)?;
        let answer =
            said.inspects.entry(id.to_owned()).or_insert_with(|| container.inspect(id, *api).to_string().into());
        Some(answer.clone())
    }

    /// The answer to a list.
    fn listed(&mut self, all: bool) -> Bytes {
        let Self { containers, said, .. } = self;
        let answer = said.lists[usize::from(all)].get_or_insert_with(|| {
            let listed = containers.iter().filter(|(_, container)| all || container.is_running());
            Value::Array(listed.map(|(id, container)| container.entry(id)).collect()).to_string().into()
        });
        answer.clone()
    }

    fn change(&mut self, id: &str, change: impl FnOnce(&mut FakeContainer)) {
        self.forget_answers(id);
        change(self.containers.get_mut(id).expect("a container of this id"));
    }

    fn emit_of(&mut self, id: &str, action: &str) {
        let event = self.containers.get(id).expect("a container of this id").event(id, action);
        self.emit(&event);
    }

    fn emit_network(&mut self, id: &str, action: &str) {
        self.emit(&json!({
            "Type": "network",
            "Action": action,
            "Actor": {"ID": "f".repeat(64), "Attributes": {"container": id, "name": "bridge", "type": "bridge"}},
        }));
    }

    fn emit(&mut self, event: &Value) {
        if self.is_dropping_events {
            return;
        }
        self.events += 1;
        let mut event = event.clone();
        event["scope"] = json!("local");
        event["time"] = json!(1_700_000_000 + self.events);
        if self.api < (1, 52) && event["Type"] == "container" {
            event["status"] = event["Action"].clone();
            event["id"] = event["Actor"]["ID"].clone();
            event["from"] = event["Actor"]["Attributes"]["image"].clone();
        }
        let line = Bytes::from(format!("{event}\n"));
        self.send(|| Piece::Bytes(line.clone()));
    }

    fn send(&mut self, piece: impl Fn() -> Piece) {
        self.streams.retain(|stream| stream.send(piece()).is_ok());
    }
}
