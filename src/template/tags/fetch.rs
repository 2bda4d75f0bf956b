//! `httpGet`: an HTTP request from inside a template, which cannot be asynchronous.
//!
//! Template functions are bare `fn`s that may be called on any thread, with or without a runtime. So the requests have
//! their own small runtime, created at the first use, and the caller blocks. Templates that may block run on that
//! runtime's threads as well, not on the program's.

use std::cell::RefCell;
use std::sync::OnceLock;
use std::sync::mpsc;
use std::time::Duration;

use ::http::header::LOCATION;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, timeout_at};
use url::Url;

use super::hosts::Hosts;
use crate::http::{self, Client, Tls};

/// How long one request may take, redirects included.
const DEADLINE: Duration = Duration::from_secs(10);

/// How much longer the caller waits for the result.
const GRACE: Duration = Duration::from_millis(500);

/// A host that does not answer for this long counts as silent. A wait that the template's own limit cut shorter does
/// not count.
const SILENCE: Duration = Duration::from_secs(5);

/// The maximum number of redirects, as in Go's client.
const MOST_REDIRECTS: usize = 10;

/// How many templates may block at a time.
const MOST_TEMPLATES: usize = 256;

/// How many failures of one evaluation are reported.
const MOST_FAILURES: usize = 4;

thread_local! {
    /// The failures of the evaluation on this thread.
    static FAILURES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// Who asks.
struct Fetcher {
    runtime: Runtime,
    client: Client,
    hosts: Hosts,
}

/// The runtime for the requests of all templates; `None` if it cannot be created.
fn fetcher() -> Option<&'static Fetcher> {
    static FETCHER: OnceLock<Option<Fetcher>> = OnceLock::new();
    let made = || {
        let mut builder = Builder::new_multi_thread();
        builder.worker_threads(1).max_blocking_threads(MOST_TEMPLATES).thread_name("httpGet").enable_all();
        let client = http::client(None, &Tls::default()).ok()?;
        Some(Fetcher { runtime: builder.build().ok()?, client, hosts: Hosts::default() })
    };
    FETCHER.get_or_init(made).as_ref()
}

/// Runs the work, and returns its result with its failed requests, one line each. The lines omit the URL, which may
/// hold a secret.
pub(super) fn noting_failures<T>(work: impl FnOnce() -> T) -> (T, Vec<String>) {
    FAILURES.take();
    let done = work();
    (done, FAILURES.take())
}

/// Runs the work on a thread for blocking templates. `None` if there is no such thread, or the work panics.
pub(super) async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    fetcher()?.runtime.spawn_blocking(work).await.ok()
}

/// The server's answer to a GET request: a success of at most `longest` bytes, in time. `remaining` is the rest of the
/// template's own time limit.
pub(super) fn get(url: &str, longest: usize, remaining: Option<Duration>) -> Option<String> {
    let patience = remaining.map_or(DEADLINE, |remaining| remaining.min(DEADLINE));
    let outcome = match Url::parse(url) {
        Ok(url) => {
            let host = url.host_str().unwrap_or_default().to_owned();
            fetched(url, longest, patience).map_err(|reason| format!("httpGet from {host}: {reason}"))
        }
        Err(error) => Err(format!("httpGet: {error}")),
    };
    let note = |failure: String| {
        FAILURES.with_borrow_mut(|failures| {
            if failures.len() < MOST_FAILURES && !failures.contains(&failure) {
                failures.push(failure);
            }
        });
    };
    outcome.map_err(note).ok()
}

fn fetched(url: Url, longest: usize, patience: Duration) -> Result<String, String> {
    let fetcher = fetcher().ok_or("no HTTP client can be made")?;
    let (answer, answered) = mpsc::sync_channel(1);
    fetcher.runtime.spawn(async move {
        // The caller no longer waits, so the result is not needed.
        let _ = answer.send(fetcher.fetch(url, longest, patience).await);
    });
    answered.recv_timeout(patience + GRACE).unwrap_or_else(|_| Err(LATE.to_owned()))
}

const LATE: &str = "no answer in time";

impl Fetcher {
    async fn fetch(&self, mut url: Url, longest: usize, patience: Duration) -> Result<String, String> {
        let deadline = Instant::now() + patience;
        for _ in 0..=MOST_REDIRECTS {
            match self.ask(&url, longest, deadline).await? {
                Answer::Body(body) => return Ok(body),
                Answer::Redirect(next) => url = next,
            }
        }
        Err("too many redirects".to_owned())
    }

    /// Sends a request to one host, if that is allowed now.
    async fn ask(&self, url: &Url, longest: usize, deadline: Instant) -> Result<Answer, String> {
        let port = url.port_or_known_default().unwrap_or_default();
        let host = format!("{}:{port}", url.host_str().unwrap_or_default());
        let permit = timeout_at(deadline, self.hosts.ask(&host)).await;
        let _permit = permit.map_err(|_| LATE.to_owned())?.map_err(|silent| silent.to_string())?;
        let begun = Instant::now();
        match timeout_at(deadline, self.answer(url, longest)).await {
            Ok(answer) => answer,
            Err(_) => {
                if begun.elapsed() >= SILENCE {
                    self.hosts.was_silent(&host);
                }
                Err(LATE.to_owned())
            }
        }
    }

    async fn answer(&self, url: &Url, longest: usize) -> Result<Answer, String> {
        let response = self.client.get(url.as_str()).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let location = response.headers().get(LOCATION).filter(|_| status.is_redirection());
        if let Some(location) = location.and_then(|location| location.to_str().ok()) {
            return Ok(Answer::Redirect(url.join(location).map_err(|error| error.to_string())?));
        }
        if !status.is_success() {
            return Err(format!("it answered {status}"));
        }
        let body = http::body(response, longest).await.map_err(|error| error.to_string())?;
        Ok(Answer::Body(String::from_utf8_lossy(&body).into_owned()))
    }
}

enum Answer {
    Body(String),
    Redirect(Url),
}
