//! From a request to its answer: who may ask, what is asked, and how long it waits for a change.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, Method, StatusCode};
use registrator_web::page::HTML;
use registrator_web::{Foreign, Names, Network, Permits, RESERVE_FRACTION, Room, Unsent};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::Limits;
use super::bodies::{Bodies, TooCostly};
use super::figures::{self, Requests};
use super::page;
use super::query::Query;
use super::reply::{self, Answer, Body, moved, status, text, with_methods};
use super::route::{Endpoint, route};
use crate::catalog::{Catalog, Topic};
use crate::eureka::Question;
use crate::filter::{Filter, Filters, Held, Refusal, fields};
use crate::notice::{Notice, Tell};

const READ_ONLY: &str =
    "this registry is read-only: it holds what runs in Docker, so start or stop a container instead";
const OTHER_NAME: &str = "this registry answers to IP addresses, to names without a dot and to those of this host and of its zone; \
     names=registry.example.com in its URI (embedded://?names=…) allows another";
const TOO_MANY_BLOCKED: &str = "too many queries wait for a change here: ask again without index, later";
pub(super) const TOO_MUCH_UNSENT: &str = "too many large answers are not taken yet: ask again later";
const TOO_MANY_FILTERS: &str = "too many filters are in use here: ask again without index, later";
const TOO_COSTLY: &str = "this filter takes too long on what is here: make its regular expressions simpler";

/// What `/` tells a person.
const WELCOME: &str = "This is registrator's embedded registry. It answers the read side of Consul's API:
/v1/catalog/services, /v1/catalog/service/<name>, /v1/catalog/nodes, /v1/catalog/node/<node>,
/v1/catalog/datacenters, /v1/health/service/<name>, /v1/health/node/<node>, /v1/health/state/<state>,
/v1/health/checks/<name>, /v1/agent/self, /v1/agent/services, /v1/agent/checks, /v1/agent/members,
/v1/status/leader, /v1/status/peers; /eureka/apps and what is below it for clients of Eureka;
/sd/prometheus for Prometheus's http_sd_configs; /traefik for Traefik's HTTP provider; and
/metrics, /health, /ready. In a browser this is a page.
";

/// Answers from the catalog.
pub(crate) struct Api {
    catalog: Arc<Catalog>,
    bodies: Arc<Bodies>,
    names: Names,
    /// By client.
    blocked: Permits<Network>,
    /// By client, for what takes long: an answer over the whole catalog, a regular expression.
    costly: Permits<Network>,
    filters: Arc<Filters>,
    unsent: Arc<Unsent>,
    requests: Requests,
    tell: Tell,
}

impl Api {
    pub(crate) fn new(catalog: Arc<Catalog>, names: Names, limits: Limits, tell: Tell) -> Self {
        Self {
            bodies: Arc::new(Bodies::new(Arc::clone(&catalog))),
            catalog,
            names,
            blocked: Permits::new(Room {
                most: limits.blocked_queries,
                reserve: limits.blocked_queries / RESERVE_FRACTION,
                share: limits.blocked_queries,
            }),
            costly: Permits::new(limits.costly_answers),
            filters: Arc::default(),
            unsent: Arc::new(Unsent::new(limits.unsent_bytes)),
            requests: Requests::default(),
            tell,
        }
    }

    /// Answers a request of a client, whose body is not looked at.
    pub(super) async fn answer(&self, request: &Parts, client: Network) -> Answer {
        let answer = self.respond(request, client).await;
        self.requests.count(answer.status());
        answer
    }

    async fn respond(&self, request: &Parts, client: Network) -> Answer {
        let path = request.uri.path();
        if let Err(foreign) = self.names.check(&request.headers) {
            let why = match foreign {
                Foreign::Name => OTHER_NAME,
                Foreign::Page => "this registry answers to no page of another site",
            };
            return text(StatusCode::FORBIDDEN, why);
        }
        let endpoint = route(path);
        let reads = matches!(request.method, Method::GET | Method::HEAD | Method::OPTIONS);
        match (&endpoint, &request.method) {
            // What Consul writes through is not known here, so every path of its API may be one.
            (Endpoint::Unknown, _) if reads || !path.starts_with("/v1/") => status(StatusCode::NOT_FOUND),
            (_, &Method::OPTIONS) => with_methods(status(StatusCode::OK)),
            (Endpoint::PageServices, &Method::GET) => self.page(page::rows, &request.headers, client).await,
            (Endpoint::Root, &Method::GET) if wants_html(&request.headers) => {
                self.page(page::whole, &request.headers, client).await
            }
            (Endpoint::PageFile(file), &Method::GET) if file.is_known(&request.headers) => {
                reply::same(file.kind(), &file.tag())
            }
            (Endpoint::Eureka(question), &Method::GET) => self.eureka(question.clone(), &request.headers, client).await,
            (_, &Method::GET) => self.get(endpoint, request.uri.query().unwrap_or_default(), client).await,
            (_, &Method::HEAD) => with_methods(text(StatusCode::METHOD_NOT_ALLOWED, "method HEAD not allowed")),
            _ => with_methods(text(StatusCode::METHOD_NOT_ALLOWED, READ_ONLY)),
        }
    }

    async fn get(&self, endpoint: Endpoint, query: &str, client: Network) -> Answer {
        match &endpoint {
            Endpoint::Root => return text(StatusCode::OK, WELCOME),
            Endpoint::PageFile(file) => {
                return reply::page(Bytes::from_static(file.text().as_bytes()), file.kind(), &file.tag());
            }
            Endpoint::Metrics => {
                let mut answer = text(StatusCode::OK, &figures::text(&self.catalog, &self.requests));
                answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(figures::KIND));
                return answer;
            }
            // Whoever gets an answer at all gets all that is known: there is nothing else to wait for.
            Endpoint::Health | Endpoint::Ready => return text(StatusCode::OK, "ok\n"),
            Endpoint::Unknown => return status(StatusCode::NOT_FOUND),
            Endpoint::Lacking(name) => return text(StatusCode::BAD_REQUEST, name),
            Endpoint::Moved(to) => return moved(to, query),
            Endpoint::Traefik => {
                if let Some(fault) = Query::fault_for_traefik(query) {
                    return text(StatusCode::BAD_REQUEST, &fault);
                }
            }
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
            Some(kind) => match self.filter(&query.filter, kind, client).await {
                Ok(filter) => Some(filter),
                Err(Refusal::Wrong(error)) => return text(StatusCode::BAD_REQUEST, &error.to_string()),
                Err(Refusal::TooMany) => return text(StatusCode::TOO_MANY_REQUESTS, TOO_MANY_FILTERS),
            },
            None => None,
        };
        if let Some(topic) = topic
            && self.wait(&endpoint, topic, &query, client).await.is_err()
        {
            return text(StatusCode::TOO_MANY_REQUESTS, TOO_MANY_BLOCKED);
        }
        let (consistency, cached) = (query.consistency, query.cached && has_cache(&endpoint));
        let body = match self.body(endpoint, query, filter, client).await {
            Ok(body) => body,
            Err(TooCostly) => return text(StatusCode::BAD_REQUEST, TOO_COSTLY),
        };
        let Body { index, json } = body;
        match Unsent::hold(&self.unsent, json, client) {
            Some(json) => Body { index, json }.into_answer(consistency, cached),
            None => text(StatusCode::TOO_MANY_REQUESTS, TOO_MUCH_UNSENT),
        }
    }

    /// A page, or a part of it, unless the browser has what is here now. It grows with what runs, so it is made where it
    /// stalls nobody else, and only a few at a time.
    async fn page(&self, make: fn(&Catalog) -> (String, String), headers: &HeaderMap, client: Network) -> Answer {
        let tag = page::tag(self.catalog.indexes());
        if headers.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
            return reply::same(HTML, &tag);
        }
        let permit = self.costly.acquire(&client).await;
        let catalog = Arc::clone(&self.catalog);
        let making = spawn_blocking(move || {
            let _permit = permit;
            make(&catalog)
        });
        match making.await {
            Ok((html, tag)) => match Unsent::hold(&self.unsent, Bytes::from(html), client) {
                Some(html) => reply::page(html, HTML, &tag),
                None => text(StatusCode::TOO_MANY_REQUESTS, TOO_MUCH_UNSENT),
            },
            Err(error) => {
                (self.tell)(Notice::AnswerFailed { reason: error.to_string() });
                status(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// What a client of Eureka is told, in JSON or XML. Its list is of everything, so it is made like a page.
    async fn eureka(&self, question: Question, headers: &HeaderMap, client: Network) -> Answer {
        let wants_json =
            headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("json"));
        let permit = self.costly.acquire(&client).await;
        let catalog = Arc::clone(&self.catalog);
        let making = spawn_blocking(move || {
            let _permit = permit;
            let spelled = question.answer(&catalog)?;
            Some(if wants_json { spelled.json() } else { spelled.xml() })
        });
        let kind = if wants_json { "application/json" } else { "application/xml" };
        match making.await {
            Ok(Some(body)) => match Unsent::hold(&self.unsent, Bytes::from(body), client) {
                Some(body) => reply::eureka(body, kind),
                None => text(StatusCode::TOO_MANY_REQUESTS, TOO_MUCH_UNSENT),
            },
            Ok(None) => status(StatusCode::NOT_FOUND),
            Err(error) => {
                (self.tell)(Notice::AnswerFailed { reason: error.to_string() });
                status(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// Returns when the endpoint's index is beyond the query's, or the query has waited long enough.
    ///
    /// # Errors
    /// When too many wait already.
    async fn wait(&self, endpoint: &Endpoint, topic: Topic, query: &Query, client: Network) -> Result<(), ()> {
        if query.index == 0 || self.index(endpoint) > query.index {
            return Ok(());
        }
        let _permit = self.blocked.try_acquire(&client).ok_or(())?;
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

    /// Reads a filter; one that may be costly where it stalls nobody else, and only a few at a time.
    async fn filter(&self, text: &str, kind: &'static fields::Kind, client: Network) -> Result<Arc<Held>, Refusal> {
        if let Some(known) = self.filters.known(text, kind) {
            return Ok(known);
        }
        if !Filter::is_costly(text) {
            return self.filters.read(text, kind);
        }
        // With the work, not with whoever asked: that may be gone before it is done.
        let permit = self.costly.acquire(&client).await;
        let (filters, text) = (Arc::clone(&self.filters), text.to_owned());
        let reading = spawn_blocking(move || {
            let _permit = permit;
            filters.read(&text, kind)
        });
        reading.await.unwrap_or_else(|error| {
            (self.tell)(Notice::AnswerFailed { reason: error.to_string() });
            Err(Refusal::TooMany)
        })
    }

    /// Makes a body; a costly one where it stalls nobody else, and only a few at a time.
    ///
    /// # Errors
    /// When its filter takes too long.
    async fn body(
        &self,
        endpoint: Endpoint,
        query: Query,
        filter: Option<Arc<Held>>,
        client: Network,
    ) -> Result<Body, TooCostly> {
        if !self.bodies.is_costly(&endpoint, &query, filter.is_some()) {
            return self.bodies.make(&endpoint, &query, None);
        }
        let permit = self.costly.acquire(&client).await;
        let bodies = Arc::clone(&self.bodies);
        let making = spawn_blocking(move || {
            let _permit = permit;
            bodies.make(&endpoint, &query, filter.as_deref().map(Held::filter))
        });
        making.await.unwrap_or_else(|error| {
            (self.tell)(Notice::AnswerFailed { reason: error.to_string() });
            Ok(Body { index: None, json: Bytes::from_static(b"null") })
        })
    }
}

/// Whether a browser asks, which names HTML first or at all; other programs take anything.
fn wants_html(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|accept| accept.to_str().ok()).is_some_and(|accept| accept.contains("text/html"))
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
