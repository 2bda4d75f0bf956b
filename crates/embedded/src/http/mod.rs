//! The registry's HTTP face: the read side of Consul's API, and Prometheus's service discovery.
//!
//! Nothing that comes in can change anything: there is no handler that writes, and no body is ever
//! read. What one client can take is bounded here ([`Limits`]): connections, the head of a request, the
//! time to send it and to take the answer. What a request costs is bounded in
//! [`answer`].

mod answer;
mod bodies;
mod figures;
mod json;
mod page;
pub(super) mod query;
mod reply;
pub(super) mod route;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::request::Parts;
use http_body_util::Full;
use registrator_web::{Answerer, Network, Room};

use crate::http::reply::Answer;

pub(super) use answer::Api;

/// What the network may take of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    /// Connections, and how long they may do nothing; Consul has 200 connections of an address.
    pub(super) web: registrator_web::Limits,
    /// Queries that wait for a change at the same time.
    pub(super) blocked_queries: usize,
    /// Answers over the whole catalog, or through a filter, that are made at the same time, by clients.
    pub(super) costly_answers: Room,
    /// Bytes of answers of their own (through a filter, indented, over the whole) that clients have not taken yet.
    pub(super) unsent_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            web: registrator_web::Limits::default(),
            blocked_queries: 512,
            costly_answers: Room { most: 2, reserve: 1, share: 1 },
            unsent_bytes: 64 << 20,
        }
    }
}

impl Answerer for Api {
    type Body = Full<Bytes>;

    const WHO: &'static str = "this registry";

    async fn answer(&self, request: &Parts, client: Network) -> Answer {
        Self::answer(self, request, client).await
    }
}
