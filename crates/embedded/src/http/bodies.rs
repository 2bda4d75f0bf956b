//! What stands in the body of each endpoint's answer.
//!
//! The answers that most readers ask for are spelled once for each state of what they tell, and kept:
//! those of one service with the service, those of everything here.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use serde::Serialize;

use super::json::{
    self, AgentSelf, AgentService, CatalogNode, CatalogService, HealthCheck, HealthService, Member, Node, NodeMeta,
    NodeService, SERVER_PORT,
};
use super::query::Query;
use super::reply::Body;
use super::route::Endpoint;
use crate::catalog::{Catalog, Group, Instance, Rendered, Status};
use crate::filter::{Evaluation, Filter};
use crate::prometheus::Target;
use crate::traefik;

/// Makes bodies from the catalog.
pub(super) struct Bodies {
    catalog: Arc<Catalog>,
    /// Whole-catalog answers with the index that they were made at.
    whole: Mutex<HashMap<Whole, (u64, Bytes)>>,
}

/// A service with more instances is costly to spell.
const MANY: usize = 100;

/// A filter takes too long on what is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooCostly;

/// Answers over the whole catalog that readers ask for again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whole {
    Services,
    Node,
}

impl Bodies {
    pub(super) fn new(catalog: Arc<Catalog>) -> Self {
        Self { catalog, whole: Mutex::default() }
    }

    /// Whether a body takes so long to make that it should stall nobody else.
    pub(super) fn is_costly(&self, endpoint: &Endpoint, query: &Query, filtered: bool) -> bool {
        if filtered {
            return true;
        }
        match endpoint {
            Endpoint::CatalogServices | Endpoint::CatalogNode(_) => {
                query.pretty || whole(endpoint).and_then(|whole| self.remembered(whole)).is_none()
            }
            Endpoint::CatalogService(name) => self.is_large(name, query, |rendered| &rendered.catalog),
            Endpoint::HealthService(name) if query.passing => self.is_large(name, query, |rendered| &rendered.passing),
            Endpoint::HealthService(name) => self.is_large(name, query, |rendered| &rendered.health),
            Endpoint::HealthChecks(name) => {
                self.catalog.service(name, true).group.is_some_and(|group| group.instances.len() > MANY)
            }
            Endpoint::HealthNode(_)
            | Endpoint::HealthState(_)
            | Endpoint::AgentServices
            | Endpoint::AgentChecks
            | Endpoint::Prometheus
            | Endpoint::Traefik => true,
            _ => false,
        }
    }

    /// Whether the service has many instances, and the answer is not there already.
    fn is_large(&self, name: &str, query: &Query, answer: impl Fn(&Rendered) -> &OnceLock<Bytes>) -> bool {
        let Some(group) = self.catalog.service(name, true).group else { return false };
        let ready = is_plain(query, false) && answer(&group.rendered).get().is_some();
        group.instances.len() > MANY && !ready
    }

    /// The body of an answer.
    ///
    /// # Errors
    /// When the filter takes too long.
    pub(super) fn make(&self, endpoint: &Endpoint, query: &Query, filter: Option<&Filter>) -> Result<Body, TooCostly> {
        let evaluation = filter.map(Evaluation::new);
        let body = self.spell(endpoint, query, evaluation.as_ref());
        if evaluation.is_some_and(|evaluation| evaluation.is_over()) { Err(TooCostly) } else { Ok(body) }
    }

    fn spell(&self, endpoint: &Endpoint, query: &Query, filter: Option<&Evaluation<'_>>) -> Body {
        let node = &self.catalog.node;
        let pretty = query.pretty;
        let only = |value: &dyn Fn() -> Bytes| Body { index: None, json: value() };
        match endpoint {
            Endpoint::CatalogService(name) => self.catalog_service(name, query, filter),
            Endpoint::HealthService(name) => self.health_service(name, query, filter),
            Endpoint::CatalogServices => self.catalog_services(query),
            Endpoint::CatalogNodes => {
                let nodes: Vec<_> = Some(Node::new(node))
                    .filter(|node| NodeMeta::has(&query.node_meta) && accepts(filter, node))
                    .into_iter()
                    .collect();
                Body { index: Some(node.index), json: json::body(&nodes, pretty) }
            }
            Endpoint::CatalogNode(name) => self.catalog_node(name, query, filter),
            Endpoint::HealthNode(name) => self.checks(query, filter, |_| self.catalog.node.is_called(name)),
            Endpoint::HealthState(state) => self.checks(query, filter, |check| state == "any" || check.status == state),
            Endpoint::HealthChecks(name) => self.service_checks(name, query, filter),
            Endpoint::AgentServices => {
                let (_, instances) = self.catalog.instances();
                let services: BTreeMap<_, _> = instances
                    .iter()
                    .filter(|instance| filter.is_none() || accepts(filter, &NodeService::new(instance)))
                    .map(|instance| (&*instance.definition.id, AgentService::new(instance)))
                    .collect();
                only(&|| json::body(&services, pretty))
            }
            Endpoint::AgentChecks => {
                let (_, instances) = self.catalog.instances();
                let checks: BTreeMap<_, _> = instances
                    .iter()
                    .flat_map(|instance| instance.checks.iter().map(move |check| (instance, check)))
                    .map(|(instance, check)| (&*check.id, HealthCheck::new(node, instance, check).of_agent()))
                    .filter(|(_, check)| accepts(filter, check))
                    .collect();
                only(&|| json::body(&checks, pretty))
            }
            Endpoint::AgentSelf => only(&|| json::body(&AgentSelf::new(node), pretty)),
            Endpoint::AgentMembers => only(&|| json::body(&[Member::new(node)], pretty)),
            Endpoint::CatalogDatacenters => only(&|| json::body(&[&node.datacenter], pretty)),
            Endpoint::StatusLeader => only(&|| json::body(&self.server(), pretty)),
            Endpoint::StatusPeers => only(&|| json::body(&[self.server()], pretty)),
            Endpoint::Prometheus => {
                let instances = match &query.service {
                    Some(name) => {
                        self.catalog.service(name, true).group.map_or_else(Vec::new, |it| it.instances.clone())
                    }
                    None => self.catalog.instances().1,
                };
                let instances = instances.iter().filter(|instance| has_tags(instance, &query.tags));
                let targets: Vec<_> = instances.map(|instance| Target::new(node, instance)).collect();
                only(&|| json::body(&targets, pretty))
            }
            Endpoint::Traefik => {
                let instances = self.catalog.instances().1;
                only(&|| json::body(&traefik::document(node, &instances, &query.traefik), pretty))
            }
            // Answered before anything is looked up.
            Endpoint::Root
            | Endpoint::PageServices
            | Endpoint::PageFile(_)
            | Endpoint::Metrics
            | Endpoint::Health
            | Endpoint::Ready
            | Endpoint::Eureka(_)
            | Endpoint::Lacking(_)
            | Endpoint::Moved(_)
            | Endpoint::Unknown => only(&|| json::body(&(), pretty)),
        }
    }

    fn catalog_service(&self, name: &str, query: &Query, filter: Option<&Evaluation<'_>>) -> Body {
        let view = self.catalog.service(name, false);
        let node = &self.catalog.node;
        let list = |group: &Group| {
            let chosen = group.instances.iter().filter(|instance| has_tags(instance, &query.tags));
            let all = chosen.map(|instance| CatalogService::new(node, instance));
            json::body(&all.filter(|one| accepts(filter, one)).collect::<Vec<_>>(), query.pretty)
        };
        let json = match view.group.filter(|_| NodeMeta::has(&query.node_meta)) {
            Some(group) if is_plain(query, filter.is_some()) => {
                group.rendered.catalog.get_or_init(|| list(&group)).clone()
            }
            Some(group) => list(&group),
            None => json::body(&[(); 0], query.pretty),
        };
        Body { index: Some(view.index), json }
    }

    fn health_service(&self, name: &str, query: &Query, filter: Option<&Evaluation<'_>>) -> Body {
        let view = self.catalog.service(name, true);
        let node = &self.catalog.node;
        let list = |group: &Group| {
            let chosen = group.instances.iter().filter(|instance| {
                has_tags(instance, &query.tags) && (!query.passing || instance.status() == Status::Passing)
            });
            let all = chosen.map(|instance| HealthService::new(node, instance));
            json::body(&all.filter(|one| accepts(filter, one)).collect::<Vec<_>>(), query.pretty)
        };
        let json = match view.group.filter(|_| NodeMeta::has(&query.node_meta)) {
            Some(group) if is_plain(query, filter.is_some()) => {
                let slot = if query.passing { &group.rendered.passing } else { &group.rendered.health };
                slot.get_or_init(|| list(&group)).clone()
            }
            Some(group) => list(&group),
            None => json::body(&[(); 0], query.pretty),
        };
        Body { index: Some(view.index), json }
    }

    fn catalog_services(&self, query: &Query) -> Body {
        if !NodeMeta::has(&query.node_meta) {
            let nothing: BTreeMap<&str, ()> = BTreeMap::new();
            return Body { index: Some(self.catalog.indexes().services), json: json::body(&nothing, query.pretty) };
        }
        self.remember(Whole::Services, query, None, || {
            let (indexes, groups) = self.catalog.groups();
            let mut services: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
            for instance in groups.iter().flat_map(|group| &group.instances) {
                let tags = services.entry(&instance.definition.name).or_default();
                tags.extend(instance.definition.tags.iter().map(String::as_str));
            }
            (indexes.services, json::body(&services, query.pretty))
        })
    }

    fn catalog_node(&self, name: &str, query: &Query, filter: Option<&Evaluation<'_>>) -> Body {
        if !self.catalog.node.is_called(name) {
            return Body { index: Some(1), json: json::body(&(), query.pretty) };
        }
        self.remember(Whole::Node, query, filter, || {
            let (indexes, instances) = self.catalog.instances();
            let services = instances
                .iter()
                .map(|instance| (&*instance.definition.id, NodeService::new(instance)))
                .filter(|(_, service)| accepts(filter, service))
                .collect();
            let answer = CatalogNode { node: Node::new(&self.catalog.node), services };
            (indexes.services, json::body(&answer, query.pretty))
        })
    }

    fn service_checks(&self, name: &str, query: &Query, filter: Option<&Evaluation<'_>>) -> Body {
        let node = &self.catalog.node;
        // Consul answers with the index of all checks, and wakes only for those of the service.
        let index = self.catalog.indexes().checks;
        let group = self.catalog.service(name, true).group.filter(|_| NodeMeta::has(&query.node_meta));
        let instances = group.as_ref().map_or(&[][..], |group| &group.instances);
        let mut checks: Vec<_> = instances
            .iter()
            .flat_map(|instance| instance.checks.iter().map(|check| HealthCheck::new(node, instance, check)))
            .filter(|check| accepts(filter, check))
            .collect();
        checks.sort_by_cached_key(|check| check.check_id.to_lowercase());
        Body { index: Some(index), json: json::body(&checks, query.pretty) }
    }

    /// Every check of this kind, the node's among them.
    fn checks(
        &self,
        query: &Query,
        filter: Option<&Evaluation<'_>>,
        wanted: impl Fn(&HealthCheck<'_>) -> bool,
    ) -> Body {
        let node = &self.catalog.node;
        let (indexes, instances) = self.catalog.instances();
        let of_services = instances
            .iter()
            .flat_map(|instance| instance.checks.iter().map(move |check| HealthCheck::new(node, instance, check)));
        let mut checks: Vec<_> = std::iter::once(HealthCheck::serf(node))
            .chain(of_services)
            .filter(|check| NodeMeta::has(&query.node_meta) && wanted(check) && accepts(filter, check))
            .collect();
        checks.sort_by_cached_key(|check| check.check_id.to_lowercase());
        Body { index: Some(indexes.checks), json: json::body(&checks, query.pretty) }
    }

    /// The address that stands for the cluster's only server.
    fn server(&self) -> String {
        std::net::SocketAddr::new(self.catalog.node.address, SERVER_PORT).to_string()
    }

    /// The body as it was made for the present index, or made anew.
    fn remember(
        &self,
        whole: Whole,
        query: &Query,
        filter: Option<&Evaluation<'_>>,
        make: impl FnOnce() -> (u64, Bytes),
    ) -> Body {
        let plain = is_plain(query, filter.is_some());
        if plain && let Some((index, json)) = self.remembered(whole) {
            return Body { index: Some(index), json };
        }
        let (index, json) = make();
        if plain {
            self.whole.lock().unwrap_or_else(PoisonError::into_inner).insert(whole, (index, json.clone()));
        }
        Body { index: Some(index), json }
    }

    fn remembered(&self, whole: Whole) -> Option<(u64, Bytes)> {
        let index = self.catalog.indexes().services;
        let known = self.whole.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&whole).filter(|(at, _)| *at == index).cloned()
    }
}

fn whole(endpoint: &Endpoint) -> Option<Whole> {
    match endpoint {
        Endpoint::CatalogServices => Some(Whole::Services),
        Endpoint::CatalogNode(_) => Some(Whole::Node),
        _ => None,
    }
}

/// Whether the answer is the one that most readers ask for.
fn is_plain(query: &Query, filtered: bool) -> bool {
    query.tags.is_empty() && !query.pretty && !filtered
}

/// Whether an instance has all these tags, which are in lower case.
fn has_tags(instance: &Instance, wanted: &[String]) -> bool {
    wanted.iter().all(|wanted| instance.definition.tags.iter().any(|tag| tag.to_lowercase() == *wanted))
}

fn accepts(filter: Option<&Evaluation<'_>>, element: &impl Serialize) -> bool {
    filter.is_none_or(|filter| serde_json::to_value(element).is_ok_and(|element| filter.accepts(&element)))
}
