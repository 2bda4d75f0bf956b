//! How the agent spells itself and what it holds: like the catalog, but for a few fields.

use std::collections::BTreeMap;
use std::net::IpAddr;

use litemap::LiteMap;
use serde::Serialize;

use super::{NodeMeta, Nothing, ServiceAddresses, WEIGHTS, Weights, service_addresses};
use crate::catalog::{Instance, Node};

/// A service as the agent tells it.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AgentService<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    service: &'a str,
    tags: &'a [String],
    #[serde(serialize_with = "super::object")]
    meta: &'a LiteMap<String, String>,
    port: u16,
    address: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tagged_addresses: ServiceAddresses<'a>,
    weights: Weights,
    enable_tag_override: bool,
}

impl<'a> AgentService<'a> {
    pub(crate) fn new(instance: &'a Instance) -> Self {
        let service = &*instance.definition;
        Self {
            id: &service.id,
            service: &service.name,
            tags: &service.tags,
            meta: &service.meta,
            port: service.port,
            address: &service.address,
            tagged_addresses: service_addresses(service),
            weights: WEIGHTS,
            enable_tag_override: false,
        }
    }
}

/// A member of the cluster.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Member<'a> {
    name: &'a str,
    addr: IpAddr,
    port: u16,
    tags: BTreeMap<&'static str, &'a str>,
    status: u8,
    protocol_min: u8,
    protocol_max: u8,
    protocol_cur: u8,
    delegate_min: u8,
    delegate_max: u8,
    delegate_cur: u8,
}

/// The ports of Consul's own protocols, as answers name them; nobody listens there.
const SERF_PORT: u16 = 8301;
pub(crate) const SERVER_PORT: u16 = 8300;

/// The release of Consul whose API this is.
const SPOKEN: &str = "1.8.7";

impl<'a> Member<'a> {
    pub(crate) fn new(node: &'a Node) -> Self {
        Self {
            name: &node.name,
            addr: node.address,
            port: SERF_PORT,
            tags: [
                ("acls", "0"),
                ("build", "1.8.7:"),
                ("dc", &node.datacenter),
                ("id", &node.id),
                ("port", "8300"),
                ("raft_vsn", "3"),
                ("role", "consul"),
                ("segment", ""),
                ("vsn", "2"),
                ("vsn_max", "3"),
                ("vsn_min", "2"),
            ]
            .into(),
            status: 1,
            protocol_min: 1,
            protocol_max: 5,
            protocol_cur: 2,
            delegate_min: 2,
            delegate_max: 5,
            delegate_cur: 4,
        }
    }
}

/// `/v1/agent/self`
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AgentSelf<'a> {
    config: AgentConfig<'a>,
    debug_config: Nothing,
    member: Member<'a>,
    meta: NodeMeta,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AgentConfig<'a> {
    datacenter: &'a str,
    node_name: &'a str,
    #[serde(rename = "NodeID")]
    node_id: &'a str,
    revision: &'static str,
    server: bool,
    version: &'static str,
}

impl<'a> AgentSelf<'a> {
    pub(crate) fn new(node: &'a Node) -> Self {
        Self {
            config: AgentConfig {
                datacenter: &node.datacenter,
                node_name: &node.name,
                node_id: &node.id,
                revision: "",
                server: true,
                version: SPOKEN,
            },
            debug_config: Nothing {},
            member: Member::new(node),
            meta: NodeMeta::default(),
        }
    }
}
