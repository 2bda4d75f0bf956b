//! The HTTP client that Docker and the HTTP registries share: TCP or a unix socket, with TLS.
//!
//! Connections are kept and used again, until a request misses its deadline: then all of them are closed, since a
//! firewall or proxy that lost track of one has mostly lost track of all. Each request is one, to the place that its URL
//! names, through no proxy and after no redirect. What this client lacks of larger ones would be done for every request
//! anew: two more readings of its URL, and copies of its headers.

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

pub use fault::Fault;
pub use tls::{ClientError, Pem, Tls, speaks_tls, tls_config, try_tls};

const AGENT: HeaderValue = HeaderValue::from_static(concat!("registrator/", env!("CARGO_PKG_VERSION")));
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(90);

/// A client, with its connections. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    connector: Connector,
    /// The connections of now. Whoever waits for a change is woken when they are thrown away.
    pool: watch::Sender<Pool>,
}

/// How connections are made.
enum Connector {
    Network(InTime<HttpsConnector<HttpConnector>>),
    Socket(InTime<Socket>),
}

/// Connections that were made after the same time.
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
    /// A pool without a connection.
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

/// A client whose requests all go to `socket`, if given, and otherwise where their URL says.
///
/// # Errors
/// When a PEM file is missing or is not one, or the certificate does not fit the key.
pub fn client(socket: Option<&Path>, tls: &Tls) -> Result<Client, ClientError> {
    let connector = match socket {
        Some(path) => Connector::Socket(connect::socket(path)),
        None => Connector::Network(connect::network(tls_config(tls)?)),
    };
    let pool = watch::Sender::new(connector.pool());
    Ok(Client(Arc::new(Shared { connector, pool })))
}

/// No answer came before the deadline, or the connections were thrown away meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no answer in time")]
pub struct Late;

impl Client {
    /// Sends a request to its URL; ends when the answer begins. The user and the password of a URL are sent as such.
    ///
    /// # Errors
    /// When there is no connection, or none that bears an answer.
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

    /// Asks for what is at a URL.
    ///
    /// # Errors
    /// As [`Client::send`], and when it is no URL.
    pub async fn get(&self, url: &str) -> Result<Response, Error> {
        self.send(Request::get(url).body(Bytes::new())?).await
    }

    /// Waits for an exchange with the server, body included, for no longer than this. When it takes longer, every
    /// connection that there was when it began is thrown away.
    ///
    /// # Errors
    /// When it takes longer.
    pub async fn in_time<T>(&self, deadline: Duration, exchange: impl Future<Output = T>) -> Result<T, Late> {
        let asked = Instant::now();
        timeout(deadline, exchange).await.map_err(|_| {
            self.drop_connections(asked);
            Late
        })
    }

    /// The same for an exchange that changes nothing and that the server answers late on purpose, as a blocking query:
    /// it also ends when another exchange has shown that the connections are no good.
    ///
    /// # Errors
    /// When it takes longer, or the connections were thrown away.
    pub async fn long_poll<T>(&self, deadline: Duration, exchange: impl Future<Output = T>) -> Result<T, Late> {
        let mut pool = self.0.pool.subscribe();
        tokio::select! {
            outcome = self.in_time(deadline, exchange) => outcome,
            _ = pool.changed() => Err(Late),
        }
    }

    /// Throws away the connections that there were at this time: one of them did not bear an answer. Requests under
    /// way on them go on until their own deadlines; none begins on them.
    pub fn drop_connections(&self, asked: Instant) {
        let Shared { connector, pool } = &*self.0;
        pool.send_if_modified(|pool| {
            // Many requests fail at the same time; what was made since the first of them failed is good.
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

/// Says who asks as a header has it, where a URL says it.
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

/// What was answered, with a body that is still to be read.
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

    /// The next piece of its body; `None` at its end.
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

/// What went wrong with a request, in one line: the innermost reason, which says most.
#[derive(Debug, thiserror::Error)]
#[error("{}", innermost(failure.as_ref()))]
pub struct Error {
    connecting: bool,
    #[source]
    failure: Failure,
}

impl Error {
    /// Whether no connection could be made.
    #[must_use]
    pub fn is_connect(&self) -> bool {
        self.connecting
    }

    /// What is wrong with the connection.
    #[must_use]
    pub fn fault(&self) -> Fault {
        Fault::of(self)
    }

    /// A connection that broke for this reason.
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
    /// It is longer than any that makes sense; holds the most that is read, in bytes.
    #[error("the answer is larger than {} KiB", .0 >> 10)]
    TooLarge(usize),
    /// The connection broke.
    #[error(transparent)]
    Broken(#[from] Error),
}

/// However long an answer is, or says that it is, no more room than this is made before it arrives, in bytes. Its headers
/// have to fit.
const MOST_AT_ONCE: usize = 64 << 10;

/// The body of an answer: nobody is listened to for more than `limit` bytes.
///
/// # Errors
/// When it is longer, or breaks off.
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
    fn who_asks_is_taken_from_the_url_into_a_header() {
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
