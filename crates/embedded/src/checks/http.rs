//! HTTP and HTTPS checks: 2xx passes, 429 is a warning, anything else critical.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::{Position, Url};

use super::dial::Dialer;
use super::output::LONGEST;
use super::policy::Policy;
use super::{Outcome, Status};
use crate::Tls;

/// Redirects that are followed, as many as Go's client does.
const REDIRECTS: usize = 10;
/// The most of an answer's head that is read, in bytes.
const HEAD: usize = 64 << 10;

const AGENT: HeaderValue = HeaderValue::from_static(concat!("registrator/", env!("CARGO_PKG_VERSION")));

/// Asks, over a connection of its own each time: so each probe says anew whether one can be made.
pub(super) struct Client {
    verifying: TlsConnector,
    trusting: TlsConnector,
}

/// An answer whose body is still to be read, and the connection that it comes by.
struct Answer {
    response: Response<Incoming>,
    _connection: AbortOnDropHandle<()>,
}

impl Client {
    pub(super) fn new(tls: &Tls) -> Self {
        Self { verifying: Arc::clone(&tls.verifying).into(), trusting: Arc::clone(&tls.trusting).into() }
    }

    pub(super) async fn probe(&self, asked: &Asked<'_>, dialer: Dialer<'_>, limit: Duration) -> Outcome {
        let tls = if asked.skip_verify { &self.trusting } else { &self.verifying };
        let url = &asked.url;
        let called = asked.method.unwrap_or("GET");
        match timeout(limit, ask(tls, asked, dialer)).await {
            Ok(Ok(answered)) => (worth(answered.status), format!("HTTP {called} {url}: {answered}")),
            Ok(Err(reason)) => (Status::Critical, format!("{} {url:?}: {reason}", capitalized(called))),
            Err(_) => (Status::Critical, format!("{} {url:?}: no answer within {limit:?}", capitalized(called))),
        }
    }
}

/// What a check asks for.
pub(super) struct Asked<'a> {
    pub(super) url: String,
    pub(super) method: Option<&'a str>,
    pub(super) skip_verify: bool,
}

/// The last answer of a chain of redirects.
struct Answered {
    status: StatusCode,
    /// What readers are shown of it beside its status.
    shown: Option<String>,
}

impl fmt::Display for Answered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status)?;
        self.shown.as_ref().map_or(Ok(()), |shown| write!(f, " Output: {shown}"))
    }
}

/// Consul's reading of a status.
fn worth(status: StatusCode) -> Status {
    match status {
        StatusCode::TOO_MANY_REQUESTS => Status::Warning,
        _ if status.is_success() => Status::Passing,
        _ => Status::Critical,
    }
}

async fn ask(tls: &TlsConnector, asked: &Asked<'_>, dialer: Dialer<'_>) -> Result<Answered, String> {
    let mut url = Url::parse(&asked.url).map_err(|error| error.to_string())?;
    let method = Policy::method(asked.method).map_err(|refusal| refusal.to_string())?;
    for _ in 0..=REDIRECTS {
        let mut answer = send(tls, &url, &method, dialer).await?;
        let response = &mut answer.response;
        let status = response.status();
        let next = response.headers().get(LOCATION).filter(|_| status.is_redirection());
        if let Some(next) = next.and_then(|next| next.to_str().ok()).and_then(|next| url.join(next).ok()) {
            if Policy::follows(&url, &next) {
                url = next;
                continue;
            }
            let shown = "a redirect to another server is not followed".to_owned();
            return Ok(Answered { status, shown: Some(shown) });
        }
        let shown = match Policy::shows_answers(dialer.target) {
            true => Some(beginning(response.body_mut()).await?),
            false => None,
        };
        return Ok(Answered { status, shown });
    }
    Err(format!("stopped after {REDIRECTS} redirects"))
}

/// Sends one request; ends when the answer begins.
async fn send(tls: &TlsConnector, url: &Url, method: &Method, dialer: Dialer<'_>) -> Result<Answer, String> {
    let host = url.host_str().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let stream = dialer.connect(bare, url.port_or_known_default().unwrap_or_default()).await?;
    let request = Request::builder()
        .method(method)
        .uri(&url[Position::BeforePath..Position::AfterQuery])
        .header(HOST, &url[Position::BeforeHost..Position::AfterPort])
        .header(USER_AGENT, AGENT)
        .header(ACCEPT, "text/plain, text/*, */*")
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|error| error.to_string())?;
    if url.scheme() == "https" {
        let name = ServerName::try_from(bare.to_owned()).map_err(|error| error.to_string())?;
        let stream = tls.connect(name, stream).await.map_err(|error| innermost(&error))?;
        exchange(stream, request).await
    } else {
        exchange(stream, request).await
    }
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<Answer, String>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut builder = http1::Builder::new();
    let (mut sender, connection) =
        builder.max_buf_size(HEAD).handshake(TokioIo::new(stream)).await.map_err(|error| innermost(&error))?;
    let connection = AbortOnDropHandle::new(tokio::spawn(async move {
        // Its end is seen by the request, too.
        let _ = connection.await;
    }));
    let response = sender.send_request(request).await.map_err(|error| innermost(&error))?;
    Ok(Answer { response, _connection: connection })
}

/// The first bytes of a body.
async fn beginning(body: &mut Incoming) -> Result<String, String> {
    let mut read = Vec::new();
    while read.len() < LONGEST
        && let Some(frame) = body.frame().await
    {
        if let Ok(data) = frame.map_err(|error| innermost(&error))?.into_data() {
            read.extend_from_slice(&data);
        }
    }
    read.truncate(LONGEST);
    Ok(String::from_utf8_lossy(&read).into_owned())
}

/// The innermost reason, which says most.
fn innermost(mut error: &(dyn Error + 'static)) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// `Get`, as Go's client names the method in its errors.
fn capitalized(method: &str) -> String {
    let mut letters = method.chars();
    letters.next().map_or_else(String::new, |first| first.to_string() + &letters.as_str().to_lowercase())
}
