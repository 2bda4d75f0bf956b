//! The registry's HTTP face: the read side of Consul's API, and Prometheus's service discovery.
//!
//! Nothing that comes in can change anything: there is no handler that writes, and no body is ever
//! read. What one client can take is bounded here ([`Limits`]): connections, the head of a request, the
//! time to send it and to take the answer. What a request costs is bounded in
//! [`answer`].

mod answer;
mod bodies;
mod deadline;
mod json;
pub(super) mod origin;
pub(super) mod query;
mod reply;
pub(super) mod route;
mod unsent;

#[cfg(test)]
mod tests;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::network::Network;
use super::permits::{Permits, Room};
pub(super) use answer::Api;
use deadline::{Activity, Deadline, Patience};

/// What the network may take of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Connections at the same time.
    pub(super) connections: usize,
    /// Connections of one client's network (an IPv4 /24 or an IPv6 /56) at the same time; Consul has 200 of an address.
    pub(super) connections_per_client: usize,
    /// Queries that wait for a change at the same time.
    pub(super) blocked_queries: usize,
    /// Answers over the whole catalog, or through a filter, that are made at the same time, by clients.
    pub(super) costly_answers: Room,
    /// Bytes of answers of their own (through a filter, indented, over the whole) that clients have not taken yet.
    pub(super) unsent_bytes: usize,
    /// The head of a request, in bytes; hyper allows 100 headers.
    pub(super) head_bytes: usize,
    /// How long a connection may be idle, or take to send the head of a request; a tenth of that when it is crowded.
    pub(super) idle: Duration,
    /// How long a client may take nothing of its answer; a tenth of that when it is crowded.
    pub(super) stalled: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 768,
            connections_per_client: 256,
            blocked_queries: 512,
            costly_answers: Room { most: 2, reserve: 1, share: 1 },
            unsent_bytes: 64 << 20,
            head_bytes: 16 * 1024,
            idle: Duration::from_secs(60),
            stalled: Duration::from_secs(30),
        }
    }
}

/// Which part of all connections, or of all blocked queries, is kept besides for networks that have none.
const RESERVE_FRACTION: usize = 16;

/// How long to leave off after the system would give no connection (no file descriptors, as a rule).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What one too many is told, before it asked anything.
const TOO_MANY: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Connection: close\r\nContent-Length: 67\r\n\r\nthis registry has too many connections: close some, and then retry\n";

/// Answers until told to stop, which ends every connection.
pub(super) async fn serve(listener: TcpListener, api: Arc<Api>, stop: CancellationToken) {
    let limits = *api.limits();
    let clients = Permits::new(Room {
        most: limits.connections,
        reserve: limits.connections / RESERVE_FRACTION,
        share: limits.connections_per_client,
    });
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, client)) = accepted else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let client = Client { network: Network::of_client(client.ip()), all: clients.clone() };
        let Some(permit) = clients.try_acquire(&client.network) else {
            // A client that does not take it at once does without.
            let _ = stream.try_write(TOO_MANY);
            continue;
        };
        let (api, stop) = (Arc::clone(&api), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = converse(stream, client, &api, &limits) => {}
            }
            drop(permit);
        });
    }
}

/// Who is at the other end of a connection.
struct Client {
    network: Network,
    /// The connections of all.
    all: Permits<Network>,
}

/// One connection, request by request.
async fn converse(stream: TcpStream, client: Client, api: &Arc<Api>, limits: &Limits) {
    // Answers are written whole: waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let Client { network, all } = client;
    let activity = Arc::new(Activity::default());
    let answering = service_fn(|request: http::Request<hyper::body::Incoming>| {
        let (api, busy) = (Arc::clone(api), Activity::begin(&activity));
        async move {
            let answer = api.answer(&request.into_parts().0, network).await;
            drop(busy);
            Ok::<_, Infallible>(answer)
        }
    });
    let patience =
        Patience { idle: limits.idle, stalled: limits.stalled, crowded: Box::new(move || all.is_crowded(&network)) };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(limits.head_bytes)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(Deadline::new(stream, patience, Arc::clone(&activity))), answering);
    if let Err(error) = connection.await {
        tracing::debug!("embedded: HTTP: {error}");
    }
}
