//! From a request to its answer: who may ask, what is asked, and how long it waits for a change.

use std::sync::Arc;

use bytes::Bytes;
use http::header::HOST;
use http::request::Parts;
use http::{Method, StatusCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::Limits;
use super::bodies::Bodies;
use super::query::Query;
use super::reply::{Answer, Body, moved, status, text, with_methods};
use super::route::{Endpoint, host_is_local, route};
use crate::catalog::{Catalog, Topic};
use crate::filter::{Filter, fields};
use crate::notice::{Notice, Tell};

const READ_ONLY: &str =
    "this registry is read-only: it holds what runs in Docker, so start or stop a container instead";
const TOO_MANY_BLOCKED: &str = "too many queries wait for a change here: ask again without index, later";
pub(super) const TOO_MUCH_UNSENT: &str = "too many large answers are not taken yet: ask again later";
const FOREIGN_HOST: &str = "this registry answers here to localhost, IP addresses and names without a dot only";

/// What `/` tells a person.
const WELCOME: &str = "This is registrator's embedded registry. It answers the read side of Consul's API:
/v1/catalog/services, /v1/catalog/service/<name>, /v1/catalog/nodes, /v1/catalog/node/<node>,
/v1/catalog/datacenters, /v1/health/service/<name>, /v1/health/node/<node>, /v1/health/state/<state>,
/v1/health/checks/<name>, /v1/agent/self, /v1/agent/services, /v1/agent/checks, /v1/agent/members,
/v1/status/leader, /v1/status/peers; and /sd/prometheus for Prometheus's http_sd_configs.
";

const KILOBYTE: usize = 1024;

/// Answers below this size are never counted: as many as there are connections take little.
const SMALL: usize = 4 * KILOBYTE;

/// Answers from the catalog.
pub(crate) struct Api {
    catalog: Arc<Catalog>,
    bodies: Arc<Bodies>,
    limits: Limits,
    /// The zone whose names are ours, where only this machine may ask; `None` where others may, too.
    local_zone: Option<String>,
    blocked: Semaphore,
    costly: Semaphore,
    /// Of kilobytes that may be held for clients that have not taken them yet.
    unsent: Arc<Semaphore>,
    tell: Tell,
}

/// An answer that one client alone is sent, and leave to hold it.
struct Unsent {
    json: Bytes,
    _leave: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Unsent {
    fn as_ref(&self) -> &[u8] {
        &self.json
    }
}

impl Api {
    pub(crate) fn new(catalog: Arc<Catalog>, local_zone: Option<String>, limits: Limits, tell: Tell) -> Self {
        Self {
            bodies: Arc::new(Bodies::new(Arc::clone(&catalog))),
            catalog,
            local_zone,
            blocked: Semaphore::new(limits.blocked_queries),
            costly: Semaphore::new(limits.costly_answers),
            unsent: Arc::new(Semaphore::new(limits.unsent_bytes / KILOBYTE)),
            limits,
            tell,
        }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Answers a request, whose body is not looked at.
    pub(super) async fn answer(&self, request: &Parts) -> Answer {
        let path = request.uri.path();
        if let Some(zone) = &self.local_zone {
            let host = request.headers.get(HOST).map_or(Some(""), |host| host.to_str().ok());
            if !host.is_some_and(|host| host_is_local(host, zone)) {
                return text(StatusCode::FORBIDDEN, FOREIGN_HOST);
            }
        }
        let endpoint = route(path);
        let reads = matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS);
        match (&endpoint, &request.method) {
            // What Consul writes through is not known here, so every path of its API may be one.
            (Endpoint::Unknown, _) if reads || !path.starts_with("/v1/") => status(StatusCode::NOT_FOUND),
            (_, &Method::OPTIONS) => with_methods(status(StatusCode::OK)),
            (_, &Method::GET) => self.get(endpoint, request.uri.query().unwrap_or_default()).await,
            (_, &Method::HEAD) => with_methods(text(StatusCode::METHOD_NOT_ALLOWED, "method HEAD not allowed")),
            _ => with_methods(text(StatusCode::METHOD_NOT_ALLOWED, READ_ONLY)),
        }
    }

    async fn get(&self, endpoint: Endpoint, query: &str) -> Answer {
        match &endpoint {
            Endpoint::Root => return text(StatusCode::OK, WELCOME),
            Endpoint::Unknown => return status(StatusCode::NOT_FOUND),
            Endpoint::Lacking(name) => return text(StatusCode::BAD_REQUEST, name),
            Endpoint::Moved(to) => return moved(to, query),
            _ => {}
        }
        let topic = self.topic(&endpoint);
        let query = match topic {
            Some(_) => match Query::parse(query) {
                Ok(query) => query,
                Err(error) => return text(StatusCode::BAD_REQUEST, &error.to_string()),
            },
            None => Query::lenient(query),
        };
        if topic.is_some() && !["", self.catalog.node.datacenter.as_str()].contains(&query.datacenter.as_str()) {
            return text(StatusCode::INTERNAL_SERVER_ERROR, "No path to datacenter");
        }
        let filter = match kind(&endpoint).filter(|_| !query.filter.is_empty()) {
            Some(kind) => match Filter::new(&query.filter, kind) {
                Ok(filter) => Some(filter),
                Err(error) => return text(StatusCode::BAD_REQUEST, &error.to_string()),
            },
            None => None,
        };
        if let Some(topic) = topic
            && self.wait(&endpoint, topic, &query).await.is_err()
        {
            return text(StatusCode::TOO_MANY_REQUESTS, TOO_MANY_BLOCKED);
        }
        let (consistency, cached) = (query.consistency, query.cached && has_cache(&endpoint));
        match self.hold(self.body(endpoint, query, filter).await) {
            Some(body) => body.into_answer(consistency, cached),
            None => text(StatusCode::TOO_MANY_REQUESTS, TOO_MUCH_UNSENT),
        }
    }

    /// Counts a body until its client has taken it, so that many who take theirs slowly do not fill the
    /// memory; `None` where too much is held already. What many are sent is held but once.
    fn hold(&self, body: Body) -> Option<Body> {
        let Body { index, json } = body;
        if json.len() < SMALL || !json.is_unique() {
            return Some(Body { index, json });
        }
        // One that is larger than all that may be held is held alone.
        let kilobytes = json.len().min(self.limits.unsent_bytes) / KILOBYTE;
        let leave = Arc::clone(&self.unsent).try_acquire_many_owned(u32::try_from(kilobytes).ok()?).ok()?;
        Some(Body { index, json: Bytes::from_owner(Unsent { json, _leave: leave }) })
    }

    /// Returns when the endpoint's index is beyond the query's, or the query has waited long enough.
    ///
    /// # Errors
    /// When too many wait already.
    async fn wait(&self, endpoint: &Endpoint, topic: Topic, query: &Query) -> Result<(), ()> {
        if query.index == 0 || self.index(endpoint) > query.index {
            return Ok(());
        }
        let _permit = self.blocked.try_acquire().map_err(drop)?;
        let subscription = self.catalog.subscribe(topic);
        let changed = async {
            loop {
                // Heard from here on, so that no change falls between the look and the wait.
                let mut notified = std::pin::pin!(subscription.notify.notified());
                notified.as_mut().enable();
                if self.index(endpoint) > query.index {
                    return;
                }
                notified.await;
            }
        };
        let _ = timeout(query.wait_with_jitter(), changed).await;
        Ok(())
    }

    /// What an endpoint with an index waits for.
    fn topic(&self, endpoint: &Endpoint) -> Option<Topic> {
        Some(match endpoint {
            Endpoint::CatalogServices => Topic::Services,
            Endpoint::CatalogNodes => Topic::Node,
            Endpoint::CatalogNode(node) if self.catalog.node.is_called(node) => Topic::Services,
            Endpoint::CatalogNode(_) => Topic::Node,
            Endpoint::CatalogService(name) => Topic::service(name),
            Endpoint::HealthService(name) | Endpoint::HealthChecks(name) => Topic::health(name),
            Endpoint::HealthNode(_) | Endpoint::HealthState(_) => Topic::Checks,
            _ => return None,
        })
    }

    /// The index of an endpoint that has one.
    fn index(&self, endpoint: &Endpoint) -> u64 {
        let indexes = || self.catalog.indexes();
        match endpoint {
            Endpoint::CatalogService(name) => self.catalog.service(name, false).index,
            Endpoint::HealthService(name) => self.catalog.service(name, true).index,
            Endpoint::CatalogServices => indexes().services,
            Endpoint::CatalogNodes => indexes().nodes,
            Endpoint::CatalogNode(node) if self.catalog.node.is_called(node) => indexes().services,
            Endpoint::CatalogNode(_) => 1,
            _ => indexes().checks,
        }
    }

    /// Makes a body; a costly one where it stalls nobody else, and only a few at a time.
    async fn body(&self, endpoint: Endpoint, query: Query, filter: Option<Filter>) -> Body {
        if !self.bodies.is_costly(&endpoint, &query, filter.as_ref()) {
            return self.bodies.make(&endpoint, &query, filter.as_ref());
        }
        let _permit = self.costly.acquire().await;
        let bodies = Arc::clone(&self.bodies);
        let making = tokio::task::spawn_blocking(move || bodies.make(&endpoint, &query, filter.as_ref()));
        making.await.unwrap_or_else(|error| {
            (self.tell)(Notice::AnswerFailed { reason: error.to_string() });
            Body { index: None, json: Bytes::from_static(b"null") }
        })
    }
}

/// What an endpoint's elements can be filtered by; `None` where Consul ignores a filter.
fn kind(endpoint: &Endpoint) -> Option<&'static fields::Kind> {
    match endpoint {
        Endpoint::CatalogNodes => Some(&fields::NODE),
        Endpoint::CatalogService(_) => Some(&fields::CATALOG_SERVICE),
        Endpoint::CatalogNode(_) | Endpoint::AgentServices => Some(&fields::SERVICE),
        Endpoint::HealthService(_) => Some(&fields::HEALTH_SERVICE),
        Endpoint::HealthNode(_) | Endpoint::HealthState(_) | Endpoint::HealthChecks(_) | Endpoint::AgentChecks => {
            Some(&fields::CHECK)
        }
        _ => None,
    }
}

/// Whether Consul's agent would answer it from its cache; what is here is as fresh as a cache can be.
fn has_cache(endpoint: &Endpoint) -> bool {
    matches!(
        endpoint,
        Endpoint::CatalogServices
            | Endpoint::CatalogService(_)
            | Endpoint::CatalogDatacenters
            | Endpoint::HealthService(_)
    )
}
