//! `httpGet`: a request from within a template, which is no place to be asynchronous in.
//!
//! Template functions are bare `fn`s that may be called on any thread, on a runtime's or not. So the
//! requests have a small runtime of their own, made when first used, and the caller waits for it.

use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

use ::http::header::LOCATION;
use tokio::runtime::{Builder, Runtime};
use url::Url;

use crate::http::{self, Client, Tls};

/// How long one request may take, redirects included.
const DEADLINE: Duration = Duration::from_secs(10);

/// How much longer than that the caller waits for a word of it.
const GRACE: Duration = Duration::from_millis(500);

/// How many redirects are followed; as many as Go's client does.
const MOST_REDIRECTS: usize = 10;

/// What a server answers to GET, if it is a success of at most `longest` bytes, in time; `remaining` is what
/// the template's own deadline leaves. Failures are logged, without the URL, which may hold a secret.
pub(super) fn get(url: &str, longest: usize, remaining: Option<Duration>) -> Option<String> {
    static FETCHER: OnceLock<Option<(Runtime, Client)>> = OnceLock::new();
    let deadline = remaining.map_or(DEADLINE, |remaining| remaining.min(DEADLINE));
    let url = Url::parse(url).inspect_err(|error| tracing::warn!("httpGet: {error}")).ok()?;
    let host = url.host_str().unwrap_or_default().to_owned();
    let outcome = match FETCHER.get_or_init(fetcher) {
        Some((runtime, client)) => {
            let (answer, answered) = mpsc::sync_channel(1);
            let request = fetch(client.clone(), url, longest);
            runtime.spawn(async move {
                let outcome = tokio::time::timeout(deadline, request).await;
                // Nobody waits any more: then nobody misses it.
                let _ = answer.send(outcome.unwrap_or_else(|_| Err("no answer in time".to_owned())));
            });
            answered.recv_timeout(deadline + GRACE).unwrap_or_else(|_| Err("no answer in time".to_owned()))
        }
        None => Err("no HTTP client can be made".to_owned()),
    };
    outcome.inspect_err(|reason| tracing::warn!("httpGet from {host}: {reason}")).ok()
}

fn fetcher() -> Option<(Runtime, Client)> {
    let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("httpGet").enable_all().build().ok()?;
    let client = http::client(None, &Tls::default()).ok()?;
    Some((runtime, client))
}

async fn fetch(client: Client, mut url: Url, longest: usize) -> Result<String, String> {
    for _ in 0..=MOST_REDIRECTS {
        let response = client.get(url.as_str()).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let location = response.headers().get(LOCATION).filter(|_| status.is_redirection());
        if let Some(location) = location.and_then(|location| location.to_str().ok()) {
            url = url.join(location).map_err(|error| error.to_string())?;
            continue;
        }
        if !status.is_success() {
            return Err(format!("it answered {status}"));
        }
        let body = http::body(response, longest).await.map_err(|error| error.to_string())?;
        return Ok(String::from_utf8_lossy(&body).into_owned());
    }
    Err("too many redirects".to_owned())
}
