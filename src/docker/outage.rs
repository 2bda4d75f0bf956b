//! Why the connection to an engine failed, and what is said of it: once, and after a while what to do.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::errors::{ConnectError, RequestError};
use super::refusals::Request;

/// After failing for so long, it is said what may be wrong; and again so often.
const ADVICE: Duration = Duration::from_secs(60);
const ADVICE_AGAIN: Duration = Duration::from_secs(600);

const STALE: &str = "a socket that is mounted into a container goes stale when dockerd restarts; mount its directory \
                     instead, or restart this container";

/// What failed, so that a new connection is needed.
#[derive(Debug)]
pub(super) enum Failure {
    Connect(ConnectError),
    Request(Request, RequestError),
}

impl Failure {
    /// The request that the engine, or a proxy before it, will not answer.
    pub(super) fn refused(&self) -> Option<Request> {
        match self {
            Self::Request(request, error) if error.is_refusal() => Some(*request),
            Self::Request(..) | Self::Connect(_) => None,
        }
    }

    /// What to do when it lasts; nothing where that was said with the refusal.
    fn advice(&self, is_socket: bool) -> Option<String> {
        match self {
            Self::Connect(
                ConnectError::Missing { .. } | ConnectError::NotASocket { .. } | ConnectError::NobodyThere { .. },
            ) if is_socket => Some(STALE.to_owned()),
            _ if self.refused().is_some() => None,
            _ => Some(self.to_string()),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => error.fmt(f),
            Self::Request(Request::List, error) => write!(f, "the list of containers: {error}"),
            Self::Request(Request::Events | Request::Inspect, error) => error.fmt(f),
        }
    }
}

/// A time during which the engine fails.
#[derive(Debug)]
pub(super) struct Outage {
    since: Instant,
    /// Whether the log says that it is lost. A refusal has lines of its own.
    said: bool,
    advice: Option<String>,
    advise_at: Instant,
}

impl Outage {
    /// It begins.
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, said: false, advice: None, advise_at: now + ADVICE }
    }

    /// Takes in a failure, and returns whether it is to be said.
    pub(super) fn failed(&mut self, failure: &Failure, is_socket: bool) -> bool {
        self.advice = failure.advice(is_socket);
        failure.refused().is_none() && !std::mem::replace(&mut self.said, true)
    }

    /// What is to be said because it lasts: for how long it has, and what to do.
    pub(super) fn advise(&mut self, now: Instant) -> Option<(Duration, String)> {
        let advice = self.advice.clone().filter(|_| now >= self.advise_at)?;
        self.advise_at = now + ADVICE_AGAIN;
        Some((now - self.since, advice))
    }

    /// When [`Outage::advise`] has something to say, if nothing else happens.
    pub(super) fn advise_at(&self) -> Option<Instant> {
        self.advice.as_ref().map(|_| self.advise_at)
    }

    /// How long it has been, if it was said that it began.
    pub(super) fn end(self, now: Instant) -> Option<Duration> {
        self.said.then(|| now - self.since)
    }
}
