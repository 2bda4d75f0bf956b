//! The HTTP client for Docker and the HTTP registries: TCP or a unix socket, with TLS.
//!
//! Connections are kept and reused until a request misses its deadline. Then all of them are closed: a firewall or
//! proxy that has lost track of one has usually lost track of all. A request goes directly to the host in its URL,
//! without proxies or redirects. Larger clients would cost more for every request: they parse the URL twice more and
//! copy the headers.

mod certificate;
mod connect;
mod fault;
mod tls;

use std::error::Error as StdError;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Body;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use percent_encoding::percent_decode_str;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use connect::{Failure, InTime, Socket};

pub use certificate::{not_after, served_until, valid_until};
pub use fault::Fault;
pub use tls::{ClientError, Pem, Tls, speaks_tls, tls_config, try_tls};

const AGENT: HeaderValue = HeaderValue::from_static(concat!("registrator/", env!("CARGO_PKG_VERSION")));
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(90);

/// A client with its connections. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    connector: Connector,
    /// The current connections. Requests that wait for a change are woken when the connections are discarded.
    pool: watch::Sender<Pool>,
}

/// How to connect.
enum Connector {
    Network(InTime<HttpsConnector<HttpConnector>>),
    Socket(InTime<Socket>),
}

/// A pool of connections, all made after the same time.
#[derive(Clone)]
struct Pool {
    made: Instant,
    way: Way,
}

#[derive(Clone)]
enum Way {
    Network(legacy::Client<InTime<HttpsConnector<HttpConnector>>, Full<Bytes>>),
    Socket(legacy::Client<InTime<Socket>, Full<Bytes>>),
}

impl Connector {
    /// An empty pool.
    fn pool(&self) -> Pool {
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).http1_max_buf_size(MOST_AT_ONCE);
        let way = match self {
            Self::Network(connector) => Way::Network(builder.build(connector.clone())),
            Self::Socket(connector) => Way::Socket(builder.build(connector.clone())),
        };
        Pool { made: Instant::now(), way }
    }
}

/// A client that sends all requests to `socket`, if given, and otherwise to the host of their URL.
///
/// # Errors
/// When a PEM file is missing or invalid, or the certificate does not match the key.
pub fn client(socket: Option<&Path>, tls: &Tls) -> Result<Client, ClientError> {
    let connector = match socket {
        Some(path) => Connector::Socket(connect::socket(path)),
        None => Connector::Network(connect::network(tls_config(tls)?)),
    };
    let pool = watch::Sender::new(connector.pool());
    Ok(Client(Arc::new(Shared { connector, pool })))
}

/// No answer arrived before the deadline, or the connections were discarded in the meantime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer in time")]
pub struct Late;

impl Client {
    /// Sends a request to its URL; returns when the answer begins. A user and password in the URL are sent as basic
    /// authentication.
    ///
    /// # Errors
    /// When no connection can be made, or it fails before an answer.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response, Error> {
        let mut request = request.map(Full::new);
        request.headers_mut().entry(USER_AGENT).or_insert(AGENT);
        request.headers_mut().entry(ACCEPT).or_insert(ANYTHING);
        take_credentials(&mut request);
        let way = self.0.pool.borrow().way.clone();
        let answered = match way {
            Way::Network(client) => client.request(request).await,
            Way::Socket(client) => client.request(request).await,
        };
        match answered {
            Ok(response) => Ok(response.into()),
            Err(error) => Err(Error { connecting: error.is_connect(), failure: error.into() }),
        }
    }

    /// Sends a GET request to a URL.
    ///
    /// # Errors
    /// As [`Client::send`], and when the URL is invalid.
    pub async fn get(&self, url: &str) -> Result<Response, Error> {
        self.send(Request::get(url).body(Bytes::new())?).await
    }

    /// Waits for an exchange with the server, including the body, up to a deadline. If it is missed, all connections
    /// that existed at the beginning are discarded.
    ///
    /// # Errors
    /// When the deadline is missed.
    pub async fn in_time<T>(&self, deadline: Duration, exchange: impl Future<Output = T>) -> Result<T, Late> {
        let asked = Instant::now();
        timeout(deadline, exchange).await.map_err(|_| {
            self.drop_connections(asked);
            Late
        })
    }

    /// As above, for a read that the server answers late on purpose, such as a blocking query. It also ends when
    /// another exchange has shown that the connections are dead.
    ///
    /// # Errors
    /// When the deadline is missed, or the connections were discarded.
    pub async fn long_poll<T>(&self, deadline: Duration, exchange: impl Future<Output = T>) -> Result<T, Late> {
        let mut pool = self.0.pool.subscribe();
        tokio::select! {
            outcome = self.in_time(deadline, exchange) => outcome,
            _ = pool.changed() => Err(Late),
        }
    }

    /// Discards the connections that existed at this time, because one of them did not deliver an answer. Requests in
    /// progress on them continue until their own deadlines; new ones do not use them.
    pub fn drop_connections(&self, asked: Instant) {
        let Shared { connector, pool } = &*self.0;
        pool.send_if_modified(|pool| {
            // Many requests fail at once; connections made after the first failure are good.
            let is_old = pool.made <= asked;
            if is_old {
                *pool = connector.pool();
            }
            is_old
        });
    }
}

/// The value of `Authorization` for a user and a password.
#[must_use]
pub fn basic(user: &str, password: &str) -> HeaderValue {
    let text = format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")));
    // Base64 has no character that a header could not have.
    let mut value = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

/// Moves a user and password from the URL to the `Authorization` header.
fn take_credentials<B>(request: &mut Request<B>) {
    let Some((user, host)) = request.uri().authority().and_then(|authority| authority.as_str().rsplit_once('@')) else {
        return;
    };
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let value = basic(&decoded(user), &decoded(password));
    let mut parts = request.uri().clone().into_parts();
    parts.authority = host.parse().ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
    request.headers_mut().entry(AUTHORIZATION).or_insert(value);
}

/// An answer; its body is not yet read.
#[derive(Debug)]
pub struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: UnsyncBoxBody<Bytes, Failure>,
}

impl Response {
    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The next part of the body; `None` at its end.
    ///
    /// # Errors
    /// When the connection breaks.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        while let Some(frame) = self.body.frame().await {
            let frame = frame.map_err(|failure| Error { connecting: false, failure })?;
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }
}

impl<B> From<http::Response<B>> for Response
where
    B: Body<Data = Bytes, Error: Into<Failure>> + Send + 'static,
{
    fn from(response: http::Response<B>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, body: body.map_err(Into::into).boxed_unsync() }
    }
}

/// Why a request failed, in one line: the innermost reason, which is the most precise.
#[derive(Debug, thiserror::Error)]
#[error("{}", innermost(failure.as_ref()))]
pub struct Error {
    connecting: bool,
    #[source]
    failure: Failure,
}

impl Error {
    /// Whether connecting failed.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.connecting
    }

    /// The kind of fault of the connection.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::of(self)
    }

    /// A connection that failed for this reason.
    pub fn broken(reason: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { connecting: false, failure: reason.into() }
    }
}

impl From<http::Error> for Error {
    fn from(error: http::Error) -> Self {
        Self::broken(error)
    }
}

fn innermost<'a>(mut error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

/// Why the body of an answer could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// It exceeds the limit. Holds the limit, in bytes.
    #[error("the answer is larger than {} KiB", .0 >> 10)]
    TooLarge(usize),
    /// The connection broke.
    #[error(transparent)]
    Broken(#[from] Error),
}

/// The largest buffer that is allocated in advance, whatever length the answer declares, in bytes. The headers must
/// fit.
const MOST_AT_ONCE: usize = 64 << 10;

/// Reads the body of an answer, up to `limit` bytes.
///
/// # Errors
/// When it is longer, or the connection breaks.
pub async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, BodyError> {
    let said = response.body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
    let mut body = Vec::with_capacity(said.unwrap_or_default().min(limit).min(MOST_AT_ONCE));
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_move_from_the_url_to_a_header() {
        for (url, said, left) in [
            ("http://host:2375/version", None, "http://host:2375/version"),
            ("http://user:pass@host/x?y=1", Some("user:pass"), "http://host/x?y=1"),
            ("http://user@host/", Some("user:"), "http://host/"),
            ("https://a%40b:p%2F%3A@[::1]:2376/", Some("a@b:p/:"), "https://[::1]:2376/"),
        ] {
            let mut request = Request::get(url).body(()).expect("a request");
            take_credentials(&mut request);
            assert_eq!(request.uri(), left);
            let expected = said.map(|said| format!("Basic {}", BASE64_STANDARD.encode(said)));
            let header = request.headers().get(AUTHORIZATION);
            assert_eq!(header.map(HeaderValue::as_bytes), expected.as_ref().map(|text| text.as_bytes()), "{url}");
            assert!(header.is_none_or(HeaderValue::is_sensitive));
        }
    }

    #[test]
    fn what_a_header_says_comes_before_what_the_url_says() {
        let mut request =
            Request::get("http://user:pass@host/").header(AUTHORIZATION, "Bearer x").body(()).expect("one");
        take_credentials(&mut request);
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer x");
    }

    #[test]
    fn the_innermost_reason_is_said() {
        let inner = std::io::Error::other("it is closed");
        let outer = Error { connecting: true, failure: Box::new(Error::broken(inner)) };
        assert_eq!(outer.to_string(), "it is closed");
    }
}
