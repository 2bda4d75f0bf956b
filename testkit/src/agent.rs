//! A Consul agent that answers at once, or as late as it is told, and knows when each entry came and went.
//!
//! For benches: a real agent's own work would hide ours, and cannot say to the microsecond when an entry
//! was there. It holds whatever is registered, answers what a bridge asks of an agent, and counts.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::{Path, Query, State as Extract};
use axum::http::{HeaderName, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::{Router, extract::Request};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The name of its node.
const NODE: &str = "fake";

/// How long a query for a change may wait, as Consul has it by default.
const WAIT: Duration = Duration::from_secs(300);

/// A Consul agent that runs until it is dropped.
pub struct FakeAgent {
    shared: Arc<Shared>,
    address: SocketAddr,
    server: JoinHandle<()>,
}

struct Shared {
    state: Mutex<State>,
    /// The index of the last change; waiters listen.
    index: watch::Sender<u64>,
}

/// What it holds, and what was done to it.
#[derive(Default)]
struct State {
    /// As they are listed, by ID.
    services: BTreeMap<String, Value>,
    /// The list of services, for as long as it holds.
    list: Option<Bytes>,
    delay: Duration,
    requests: u64,
    writes: Vec<Write>,
}

/// A write that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// When it was done.
    pub at: Instant,
    /// The ID of the service.
    pub id: String,
    /// Whether it was registered; if not, it was removed.
    pub registered: bool,
}

impl FakeAgent {
    /// An empty agent on a port of its own.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared { state: Mutex::default(), index: watch::Sender::new(1) });
        let router = router(Arc::clone(&shared));
        let server = tokio::spawn(async move {
            // Ends when it is aborted.
            let _ = axum::serve(listener, router).await;
        });
        Self { shared, address, server }
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `consul://127.0.0.1:port`.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("consul://{}", self.address)
    }

    /// Every answer takes so long from now on.
    pub fn set_delay(&self, delay: Duration) {
        self.shared.state().delay = delay;
    }

    /// How many services it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shared.state().services.len()
    }

    /// Whether it holds none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The IDs of all that it holds, in order.
    #[must_use]
    pub fn ids(&self) -> Vec<String> {
        self.shared.state().services.keys().cloned().collect()
    }

    /// How many requests it has had.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.shared.state().requests
    }

    /// How many writes it has had since they were last taken.
    #[must_use]
    pub fn write_count(&self) -> usize {
        self.shared.state().writes.len()
    }

    /// The writes since they were last taken, in their order.
    #[must_use]
    pub fn take_writes(&self) -> Vec<Write> {
        std::mem::take(&mut self.shared.state().writes)
    }

    /// Forgets every service, as an agent does that lost its disk.
    pub fn wipe(&self) {
        let mut state = self.shared.state();
        state.services.clear();
        state.list = None;
        drop(state);
        self.shared.tell();
    }

    /// Waits until it holds so many services; false when it does not in time.
    pub async fn holds(&self, count: usize, deadline: Duration) -> bool {
        let mut index = self.shared.index.subscribe();
        let reached = index.wait_for(|_| self.len() == count);
        tokio::time::timeout(deadline, reached).await.is_ok()
    }

    /// Waits until this service is there, or is gone; `None` when it does not happen in time.
    pub async fn becomes(&self, id: &str, there: bool, deadline: Duration) -> Option<Instant> {
        let mut index = self.shared.index.subscribe();
        let reached = index.wait_for(|_| self.shared.state().services.contains_key(id) == there);
        let _ = tokio::time::timeout(deadline, reached).await.ok()?;
        let state = self.shared.state();
        state.writes.iter().rev().find(|write| write.id == id && write.registered == there).map(|write| write.at)
    }
}

impl Drop for FakeAgent {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A bench that panicked holds nothing that matters.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something changed. Not to be called with the state in hand: waiters look at it while they hold the index.
    fn tell(&self) {
        self.index.send_modify(|index| *index += 1);
    }

    fn write(&self, id: String, service: Option<Value>) {
        let mut state = self.state();
        state.writes.push(Write { at: Instant::now(), id: id.clone(), registered: service.is_some() });
        match service {
            Some(service) => drop(state.services.insert(id, service)),
            None => drop(state.services.remove(&id)),
        }
        state.list = None;
        drop(state);
        self.tell();
    }
}

fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/status/leader", get(|| async { axum::Json("127.0.0.1:8300") }))
        .route("/v1/agent/self", get(|| async { axum::Json(json!({"Config": {"NodeName": NODE}})) }))
        .route("/v1/agent/services", get(services))
        .route("/v1/agent/checks", get(|| async { axum::Json(json!({})) }))
        .route("/v1/agent/service/register", put(register))
        .route("/v1/agent/service/deregister/{*id}", put(deregister))
        .route("/v1/catalog/node/{node}", get(node))
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), count))
        .with_state(shared)
}

async fn count(Extract(shared): Extract<Arc<Shared>>, request: Request, next: Next) -> Response {
    let delay = {
        let mut state = shared.state();
        state.requests += 1;
        state.delay
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    next.run(request).await
}

async fn services(Extract(shared): Extract<Arc<Shared>>) -> Response {
    let list = {
        let mut state = shared.state();
        let State { services, list, .. } = &mut *state;
        list.get_or_insert_with(|| serde_json::to_vec(services).expect("JSON").into()).clone()
    };
    ([(header::CONTENT_TYPE, "application/json")], list).into_response()
}

/// As an agent lists what it was told: other names for some fields, and none missing.
fn listed(mut told: Value) -> Option<(String, Value)> {
    let id = told["ID"].as_str().filter(|id| !id.is_empty()).or(told["Name"].as_str())?.to_owned();
    let mut take = |key: &str| told.get_mut(key).map(Value::take).filter(|value| !value.is_null());
    let service = json!({
        "ID": id,
        "Service": take("Name"),
        "Tags": take("Tags").unwrap_or_else(|| json!([])),
        "Meta": take("Meta").unwrap_or_else(|| json!({})),
        "Port": take("Port").unwrap_or_else(|| json!(0)),
        "Address": take("Address").unwrap_or_else(|| json!("")),
        "EnableTagOverride": false,
    });
    Some((id, service))
}

async fn register(Extract(shared): Extract<Arc<Shared>>, body: Bytes) -> StatusCode {
    let Some((id, service)) = serde_json::from_slice(&body).ok().and_then(listed) else {
        return StatusCode::BAD_REQUEST;
    };
    shared.write(id, Some(service));
    StatusCode::OK
}

async fn deregister(Extract(shared): Extract<Arc<Shared>>, Path(id): Path<String>) -> StatusCode {
    shared.write(id, None);
    StatusCode::OK
}

/// The catalog's view of the node: a digest of it, for whoever waits until it changes.
async fn node(Extract(shared): Extract<Arc<Shared>>, Query(query): Query<BTreeMap<String, String>>) -> Response {
    let mut index = shared.index.subscribe();
    if let Some(seen) = query.get("index").and_then(|seen| seen.parse::<u64>().ok()) {
        let _ = tokio::time::timeout(WAIT, index.wait_for(|index| *index != seen)).await;
    }
    let now = *index.borrow();
    let body = axum::Json(json!({"Node": {"Node": NODE}, "Services": {"at": now}}));
    ([(HeaderName::from_static("x-consul-index"), now.to_string())], body).into_response()
}
