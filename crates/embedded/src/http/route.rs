//! From a path to an endpoint. Pure.

use percent_encoding::percent_decode_str;
use registrator_web::page::File;

use crate::eureka::Question;

/// What a path asks for. Names are as they stand in the path, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `/`: a page for a browser, a few words for others.
    Root,
    /// `/page/services`: the rows of the page.
    PageServices,
    /// A file that the page loads.
    PageFile(File),
    /// `/metrics`
    Metrics,
    /// `/health`
    Health,
    /// `/ready`
    Ready,
    /// `/v1/catalog/services`
    CatalogServices,
    /// `/v1/catalog/service/<name>`
    CatalogService(String),
    /// `/v1/catalog/nodes`
    CatalogNodes,
    /// `/v1/catalog/node/<node>`
    CatalogNode(String),
    /// `/v1/catalog/datacenters`
    CatalogDatacenters,
    /// `/v1/health/service/<name>`
    HealthService(String),
    /// `/v1/health/node/<node>`
    HealthNode(String),
    /// `/v1/health/state/<state>`
    HealthState(String),
    /// `/v1/health/checks/<name>`
    HealthChecks(String),
    /// `/v1/agent/self`
    AgentSelf,
    /// `/v1/agent/services`
    AgentServices,
    /// `/v1/agent/checks`
    AgentChecks,
    /// `/v1/agent/members`
    AgentMembers,
    /// `/v1/status/leader`
    StatusLeader,
    /// `/v1/status/peers`
    StatusPeers,
    /// `/sd/prometheus`
    Prometheus,
    /// `/traefik`
    Traefik,
    /// `/eureka/…`
    Eureka(Question),
    /// A path that lacks the name it needs, and what Consul says to that.
    Lacking(&'static str),
    /// A path that lacks only its last slash: where it is.
    Moved(&'static str),
    /// None of ours.
    Unknown,
}

/// Endpoints that a name follows: the prefix, what is said without one, and what it is with one.
type Named = (&'static str, &'static str, fn(String) -> Endpoint);

const NAMED: [Named; 6] = [
    ("/v1/catalog/service/", "Missing service name", Endpoint::CatalogService),
    ("/v1/catalog/node/", "Missing node name", Endpoint::CatalogNode),
    ("/v1/health/service/", "Missing service name", Endpoint::HealthService),
    ("/v1/health/node/", "Missing node name", Endpoint::HealthNode),
    ("/v1/health/state/", "Missing check state", Endpoint::HealthState),
    ("/v1/health/checks/", "Missing service name", Endpoint::HealthChecks),
];

/// What a path (without its query) asks for.
#[must_use]
pub fn route(path: &str) -> Endpoint {
    match path {
        "/" => return Endpoint::Root,
        "/v1/catalog/services" => return Endpoint::CatalogServices,
        "/v1/catalog/nodes" => return Endpoint::CatalogNodes,
        "/v1/catalog/datacenters" => return Endpoint::CatalogDatacenters,
        "/v1/agent/self" => return Endpoint::AgentSelf,
        "/v1/agent/services" => return Endpoint::AgentServices,
        "/v1/agent/checks" => return Endpoint::AgentChecks,
        "/v1/agent/members" => return Endpoint::AgentMembers,
        "/v1/status/leader" => return Endpoint::StatusLeader,
        "/v1/status/peers" => return Endpoint::StatusPeers,
        "/sd/prometheus" => return Endpoint::Prometheus,
        "/traefik" => return Endpoint::Traefik,
        "/page/services" => return Endpoint::PageServices,
        "/metrics" => return Endpoint::Metrics,
        "/health" => return Endpoint::Health,
        "/ready" => return Endpoint::Ready,
        _ => {}
    }
    if let Some(question) = Question::of_path(path) {
        return Endpoint::Eureka(question);
    }
    if let Some(file) = File::find(path) {
        return Endpoint::PageFile(file);
    }
    for (prefix, lacking, endpoint) in NAMED {
        match path.strip_prefix(prefix) {
            Some("") => return Endpoint::Lacking(lacking),
            Some(name) => return endpoint(percent_decode_str(name).decode_utf8_lossy().into_owned()),
            None if prefix.strip_suffix('/') == Some(path) => return Endpoint::Moved(prefix),
            None => {}
        }
    }
    Endpoint::Unknown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_path_is_an_endpoint_or_none_of_ours() {
        for (path, expected) in [
            ("/", Endpoint::Root),
            ("/v1/catalog/services", Endpoint::CatalogServices),
            ("/v1/catalog/services/", Endpoint::Unknown),
            ("/v1/catalog/service/we%62%2Fx", Endpoint::CatalogService("web/x".into())),
            ("/v1/catalog/service/a/b", Endpoint::CatalogService("a/b".into())),
            ("/v1/health/service", Endpoint::Moved("/v1/health/service/")),
            ("/v1/health/service/", Endpoint::Lacking("Missing service name")),
            ("/v1/health/state/", Endpoint::Lacking("Missing check state")),
            ("/v1/health/node/%ff", Endpoint::HealthNode("\u{fffd}".into())),
            ("/page/style.css", Endpoint::PageFile(File::Style)),
            ("/page/services", Endpoint::PageServices),
            ("/metrics", Endpoint::Metrics),
            ("/page/", Endpoint::Unknown),
            ("/v1/kv/x", Endpoint::Unknown),
            ("/eureka/apps", Endpoint::Eureka(Question::Apps)),
            ("/eureka", Endpoint::Unknown),
            ("/V1/catalog/nodes", Endpoint::Unknown),
            ("", Endpoint::Unknown),
        ] {
            assert_eq!(route(path), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_path_makes_it_panic(text in "(?s).{0,60}") {
            let _ = route(&text);
        }
    }
}
