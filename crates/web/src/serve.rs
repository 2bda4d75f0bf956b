//! The listener: connections, each with its requests, within limits.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http::request::Parts;
use http_body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::deadline::{Activity, Deadline, Patience};
use crate::network::Network;
use crate::permits::{Permits, Room};

/// What clients may take of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at the same time.
    pub connections: usize,
    /// Connections of one client's network (an IPv4 /24 or an IPv6 /56) at the same time.
    pub connections_per_client: usize,
    /// The head of a request, in bytes; hyper allows 100 headers.
    pub head_bytes: usize,
    /// How long a connection may be idle, or take to send the head of a request; a tenth of that when it is crowded.
    pub idle: Duration,
    /// How long a client may take nothing of its answer; a tenth of that when it is crowded.
    pub stalled: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 768,
            connections_per_client: 256,
            head_bytes: 16 * 1024,
            idle: Duration::from_secs(60),
            stalled: Duration::from_secs(30),
        }
    }
}

/// Which part of all connections, or of all blocked queries, is kept besides for networks that have none.
pub const RESERVE_FRACTION: usize = 16;

/// How long to pause when the system has no file descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Answers requests.
pub trait Answerer: Send + Sync + 'static {
    /// The body of an answer.
    type Body: Body<Data = Bytes, Error = Infallible> + Send + 'static;

    /// Who answers, as in "this registry": for messages.
    const WHO: &'static str;

    /// Answers a request; its body is not read.
    fn answer(&self, request: &Parts, client: Network) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Answers until told to stop, which ends every connection. With a TLS configuration, over TLS alone.
pub async fn serve<A: Answerer>(
    listener: TcpListener,
    answerer: Arc<A>,
    limits: Limits,
    tls: Option<Arc<ServerConfig>>,
    stop: CancellationToken,
) {
    let clients = Permits::new(Room {
        most: limits.connections,
        reserve: limits.connections / RESERVE_FRACTION,
        share: limits.connections_per_client,
    });
    let tls = tls.map(TlsAcceptor::from);
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
            // A client that does not take it at once does without. Nobody speaks TLS that early.
            if tls.is_none() {
                let _ = stream.try_write(too_many(A::WHO).as_bytes());
            }
            continue;
        };
        let (answerer, tls, stop) = (Arc::clone(&answerer), tls.clone(), stop.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = converse(stream, client, answerer, &limits, tls) => {}
            }
            drop(permit);
        });
    }
}

/// What one client too many is told, before it asked anything.
fn too_many(who: &str) -> String {
    let text = format!("{who} has too many connections: close some, and then retry\n");
    format!(
        "HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n{text}",
        text.len()
    )
}

/// The client of a connection.
struct Client {
    network: Network,
    /// The connections of all clients.
    all: Permits<Network>,
}

/// One connection, request by request.
async fn converse<A: Answerer>(
    stream: TcpStream,
    client: Client,
    answerer: Arc<A>,
    limits: &Limits,
    tls: Option<TlsAcceptor>,
) {
    // Answers are written whole: waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let Client { network, all } = client;
    let activity = Arc::new(Activity::default());
    let patience =
        Patience { idle: limits.idle, stalled: limits.stalled, crowded: Box::new(move || all.is_crowded(&network)) };
    let stream = Deadline::new(stream, patience, Arc::clone(&activity));
    match tls {
        None => requests(stream, network, &answerer, limits, &activity).await,
        Some(tls) => match tls.accept(stream).await {
            Ok(stream) => requests(stream, network, &answerer, limits, &activity).await,
            Err(error) => tracing::debug!("HTTP: {error}"),
        },
    }
}

async fn requests<A: Answerer>(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    client: Network,
    answerer: &Arc<A>,
    limits: &Limits,
    activity: &Arc<Activity>,
) {
    let answering = service_fn(|request: http::Request<hyper::body::Incoming>| {
        let (answerer, busy) = (Arc::clone(answerer), Activity::begin(activity));
        async move {
            let answer = answerer.answer(&request.into_parts().0, client).await;
            drop(busy);
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.idle)
        .max_buf_size(limits.head_bytes)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(stream), answering);
    if let Err(error) = connection.await {
        tracing::debug!("HTTP: {error}");
    }
}
