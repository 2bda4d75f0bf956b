//! A server inside the test's own process, for stores that no package has: it can be killed, started again and frozen.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use hyper::Response;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::wait::eventually;

/// The largest body that it reads: that of external-dns's contract.
const BODY_LIMIT: usize = 32 << 20;

/// From what a server holds and a request to an answer.
pub(crate) type Answer<S> = fn(&mut S, &Parts, &[u8]) -> Response<Body>;

/// A request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `GET`, `PUT`, …
    pub method: String,
    /// The path below that of the server, with its query.
    pub path: String,
}

/// A server on a port of its own, gone when dropped.
pub(crate) struct StandIn<S> {
    address: SocketAddr,
    shared: Arc<Shared<S>>,
    tasks: JoinSet<()>,
}

struct Shared<S> {
    state: Mutex<S>,
    answer: Answer<S>,
    frozen: watch::Sender<bool>,
}

impl<S: Send + 'static> StandIn<S> {
    /// Starts a server that holds this.
    pub(crate) async fn start(state: S, answer: Answer<S>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared { state: Mutex::new(state), answer, frozen: watch::Sender::new(false) });
        let mut server = Self { address, shared, tasks: JoinSet::new() };
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

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it holds.
    pub(crate) fn lock(&self) -> MutexGuard<'_, S> {
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops it, as a crash would.
    pub(crate) async fn kill(&mut self) {
        self.tasks.shutdown().await;
    }

    /// Starts it again, at the same place, with what it held.
    pub(crate) async fn restart(&mut self) {
        self.kill().await;
        let bind = async || TcpListener::bind(self.address).await.ok();
        let listener = eventually("its port", Duration::from_secs(20), bind).await;
        self.serve(listener);
    }

    /// Stops it where it stands: it accepts connections, and answers none.
    pub(crate) fn freeze(&self) {
        self.shared.frozen.send_replace(true);
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.shared.frozen.send_replace(false);
    }
}

/// Serves one connection.
async fn converse<S>(stream: TcpStream, shared: Arc<Shared<S>>) {
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let shared = Arc::clone(&shared);
        async move {
            let (parts, body) = request.into_parts();
            let body = to_bytes(Body::new(body), BODY_LIMIT).await.unwrap_or_default();
            // Nobody sends it anything that ends the wait but itself.
            let _ = shared.frozen.subscribe().wait_for(|frozen| !frozen).await;
            let mut state = shared.state.lock().unwrap_or_else(PoisonError::into_inner);
            Ok::<Response<Body>, Infallible>((shared.answer)(&mut state, &parts, &body))
        }
    });
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
