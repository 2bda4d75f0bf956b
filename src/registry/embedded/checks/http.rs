//! HTTP and HTTPS checks: 2xx passes, 429 is a warning, anything else critical.

use std::time::Duration;

use ::http::header::{ACCEPT, CONNECTION, LOCATION};
use ::http::{Method, Request, StatusCode};
use bytes::Bytes;
use tokio::time::timeout;
use url::Url;

use super::output::LONGEST;
use super::{Outcome, Status, dial};
use crate::http::{self, Client, ClientError, Tls, client};

/// Redirects that are followed, as many as Go's client does.
const REDIRECTS: usize = 10;

/// The two clients that checks need.
pub(super) struct Clients {
    verifying: Client,
    trusting: Client,
}

impl Clients {
    pub(super) fn new() -> Result<Self, ClientError> {
        let of = |skip_verify| client(None, &Tls { skip_verify, ..Tls::default() });
        Ok(Self { verifying: of(false)?, trusting: of(true)? })
    }

    pub(super) async fn probe(&self, url: &str, method: &str, skip_verify: bool, limit: Duration) -> Outcome {
        let client = if skip_verify { &self.trusting } else { &self.verifying };
        match timeout(limit, ask(client, url, method)).await {
            Ok(Ok((status, body))) => (worth(status), format!("HTTP {method} {url}: {status} Output: {body}")),
            Ok(Err(reason)) => (Status::Critical, format!("{} {url:?}: {reason}", capitalized(method))),
            Err(_) => (Status::Critical, format!("{} {url:?}: no answer within {limit:?}", capitalized(method))),
        }
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

/// The last answer of a chain of redirects, and the first bytes of its body.
async fn ask(client: &Client, url: &str, method: &str) -> Result<(StatusCode, String), String> {
    let mut url = Url::parse(url).map_err(|error| error.to_string())?;
    let mut method = Method::from_bytes(method.as_bytes()).map_err(|error| error.to_string())?;
    for _ in 0..=REDIRECTS {
        let request = Request::builder()
            .method(method.clone())
            .uri(url.as_str())
            .header(ACCEPT, "text/plain, text/*, */*")
            // Each probe says anew whether a connection can be made.
            .header(CONNECTION, "close")
            .body(Bytes::new())
            .map_err(|error| error.to_string())?;
        let mut answer = client.send(request).await.map_err(|error| reason(&url, &error))?;
        let status = answer.status();
        let next = answer.headers().get(LOCATION).filter(|_| status.is_redirection());
        if let Some(next) = next.and_then(|next| next.to_str().ok()).and_then(|next| url.join(next).ok()) {
            if !matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT)
                && method != Method::HEAD
            {
                method = Method::GET;
            }
            url = next;
            continue;
        }
        let mut body = Vec::new();
        while body.len() < LONGEST
            && let Some(chunk) = answer.chunk().await.map_err(|error| error.to_string())?
        {
            body.extend_from_slice(&chunk);
        }
        body.truncate(LONGEST);
        return Ok((status, String::from_utf8_lossy(&body).into_owned()));
    }
    Err(format!("stopped after {REDIRECTS} redirects"))
}

fn reason(url: &Url, error: &http::Error) -> String {
    let target = format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
    match dial::behind(error) {
        Some(io) if error.is_connect() && io.raw_os_error().is_some() => dial::refused(&target, io),
        _ => error.to_string(),
    }
}

/// `Get`, as Go's client names the method in its errors.
fn capitalized(method: &str) -> String {
    let mut letters = method.chars();
    letters.next().map_or_else(String::new, |first| first.to_string() + &letters.as_str().to_lowercase())
}
