//! An outage of the engine: why the connection failed, and what the log says about it.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;

use super::errors::{ConnectError, RequestError};
use super::refusals::Request;

/// After failing for this long, the log says what may be wrong; it is repeated after the same time.
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
    /// The request that the engine, or a proxy in front of it, refuses.
    pub(super) fn refused(&self) -> Option<Request> {
        match self {
            Self::Request(request, error) if error.is_refusal() => Some(*request),
            Self::Request(..) | Self::Connect(_) => None,
        }
    }

    /// What to do if it lasts; nothing if the refusal's line said so.
    fn advice(&self, is_socket: bool) -> Option<String> {
        match self {
            Self::Connect(
                ConnectError::Missing { .. } | ConnectError::NotASocket { .. } | ConnectError::NothingListens { .. },
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

/// A period in which the engine fails.
#[derive(Debug)]
pub(super) struct Outage {
    since: Instant,
    /// Whether the log reports it as lost. A refusal has its own lines.
    said: bool,
    advice: Option<String>,
    advise_at: Instant,
}

impl Outage {
    /// It begins.
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, said: false, advice: None, advise_at: now + ADVICE }
    }

    /// Takes a failure. Returns whether it should be logged.
    pub(super) fn failed(&mut self, failure: &Failure, is_socket: bool) -> bool {
        self.advice = failure.advice(is_socket);
        failure.refused().is_none() && !std::mem::replace(&mut self.said, true)
    }

    /// If it has lasted long enough: for how long, and what to do.
    pub(super) fn advise(&mut self, now: Instant) -> Option<(Duration, String)> {
        let advice = self.advice.clone().filter(|_| now >= self.advise_at)?;
        self.advise_at = now + ADVICE_AGAIN;
        Some((now - self.since, advice))
    }

    /// When [`Outage::advise`] is due next.
    pub(super) fn advise_at(&self) -> Option<Instant> {
        self.advice.as_ref().map(|_| self.advise_at)
    }

    /// How long it lasted, if its beginning was logged.
    pub(super) fn end(self, now: Instant) -> Option<Duration> {
        self.said.then(|| now - self.since)
    }
}
