//! How Consul 1.8 spells the catalog: names, order and emptiness of fields. Pure.

mod agent;

use std::collections::BTreeMap;
use std::net::IpAddr;

use bytes::Bytes;
use litemap::LiteMap;
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

use crate::catalog::{self, CheckState, Instance};
use crate::definition::Definition;
pub(super) use agent::{AgentSelf, AgentService, Member, SERVER_PORT};

/// The output of the check that stands for the node.
const SERF_OUTPUT: &str = "Agent alive and reachable";

/// A value as the body of an answer; with line breaks and Consul's four spaces where asked for.
pub(crate) fn body(value: &impl Serialize, pretty: bool) -> Bytes {
    let mut body = Vec::new();
    let written = if pretty {
        let written =
            value.serialize(&mut Serializer::with_formatter(&mut body, PrettyFormatter::with_indent(b"    ")));
        body.push(b'\n');
        written
    } else {
        value.serialize(&mut Serializer::new(&mut body))
    };
    // Maps have string keys and writing to memory cannot fail, so no value of ours ends here.
    if let Err(error) = written {
        tracing::debug!("embedded: an answer cannot be spelled: {error}");
        return Bytes::from_static(b"null");
    }
    body.into()
}

/// Writes a map as an object, also where it is empty.
fn object<S: serde::Serializer>(map: &LiteMap<String, String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(map)
}

/// A node.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Node<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    node: &'a str,
    address: IpAddr,
    datacenter: &'a str,
    tagged_addresses: BTreeMap<&'static str, IpAddr>,
    meta: NodeMeta,
    create_index: u64,
    modify_index: u64,
}

/// What Consul says of every node that stands in no network segment.
#[derive(Clone, Copy, Default, Serialize)]
pub(super) struct NodeMeta {
    #[serde(rename = "consul-network-segment")]
    segment: &'static str,
}

impl NodeMeta {
    /// Whether a node has all these keys with these values.
    pub(super) fn has(wanted: &[(String, String)]) -> bool {
        wanted.iter().all(|(key, value)| key == "consul-network-segment" && value.is_empty())
    }
}

impl<'a> Node<'a> {
    pub(super) fn new(node: &'a catalog::Node) -> Self {
        Self {
            id: &node.id,
            node: &node.name,
            address: node.address,
            datacenter: &node.datacenter,
            tagged_addresses: tagged(node.address),
            meta: NodeMeta::default(),
            create_index: node.index,
            modify_index: node.index,
        }
    }
}

fn tagged(address: IpAddr) -> BTreeMap<&'static str, IpAddr> {
    let [lan, wan] = families(address);
    [("lan", address), (lan, address), ("wan", address), (wan, address)].into()
}

fn families(address: IpAddr) -> [&'static str; 2] {
    if address.is_ipv4() { ["lan_ipv4", "wan_ipv4"] } else { ["lan_ipv6", "wan_ipv6"] }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct AddressPort<'a> {
    address: &'a str,
    port: u16,
}

type ServiceAddresses<'a> = BTreeMap<&'static str, AddressPort<'a>>;

/// The address under the names of its family; nothing for a host's name.
fn service_addresses(service: &Definition) -> ServiceAddresses<'_> {
    let Ok(address) = service.address.parse() else { return BTreeMap::new() };
    families(address).map(|name| (name, AddressPort { address: &service.address, port: service.port })).into()
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Weights {
    passing: u8,
    warning: u8,
}

const WEIGHTS: Weights = Weights { passing: 1, warning: 1 };

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Proxy {
    mesh_gateway: Nothing,
    expose: Nothing,
}

const PROXY: Proxy = Proxy { mesh_gateway: Nothing {}, expose: Nothing {} };

/// An element of `/v1/catalog/service/<name>`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CatalogService<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    node: &'a str,
    address: IpAddr,
    datacenter: &'a str,
    tagged_addresses: BTreeMap<&'static str, IpAddr>,
    node_meta: NodeMeta,
    service_kind: &'static str,
    #[serde(rename = "ServiceID")]
    service_id: &'a str,
    service_name: &'a str,
    service_tags: &'a [String],
    service_address: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    service_tagged_addresses: ServiceAddresses<'a>,
    service_weights: Weights,
    #[serde(serialize_with = "object")]
    service_meta: &'a LiteMap<String, String>,
    service_port: u16,
    service_enable_tag_override: bool,
    service_proxy: Proxy,
    service_connect: Nothing,
    create_index: u64,
    modify_index: u64,
}

impl<'a> CatalogService<'a> {
    pub(super) fn new(node: &'a catalog::Node, instance: &'a Instance) -> Self {
        let service = &*instance.definition;
        Self {
            id: &node.id,
            node: &node.name,
            address: node.address,
            datacenter: &node.datacenter,
            tagged_addresses: tagged(node.address),
            node_meta: NodeMeta::default(),
            service_kind: "",
            service_id: &service.id,
            service_name: &service.name,
            service_tags: &service.tags,
            service_address: &service.address,
            service_tagged_addresses: service_addresses(service),
            service_weights: WEIGHTS,
            service_meta: &service.meta,
            service_port: service.port,
            service_enable_tag_override: false,
            service_proxy: PROXY,
            service_connect: Nothing {},
            create_index: instance.create_index,
            modify_index: instance.modify_index,
        }
    }
}

/// A service of a node.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NodeService<'a> {
    #[serde(rename = "ID")]
    id: &'a str,
    service: &'a str,
    tags: &'a [String],
    address: &'a str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    tagged_addresses: ServiceAddresses<'a>,
    #[serde(serialize_with = "object")]
    meta: &'a LiteMap<String, String>,
    port: u16,
    weights: Weights,
    enable_tag_override: bool,
    proxy: Proxy,
    connect: Nothing,
    create_index: u64,
    modify_index: u64,
}

impl<'a> NodeService<'a> {
    pub(super) fn new(instance: &'a Instance) -> Self {
        let service = &*instance.definition;
        Self {
            id: &service.id,
            service: &service.name,
            tags: &service.tags,
            address: &service.address,
            tagged_addresses: service_addresses(service),
            meta: &service.meta,
            port: service.port,
            weights: WEIGHTS,
            enable_tag_override: false,
            proxy: PROXY,
            connect: Nothing {},
            create_index: instance.create_index,
            modify_index: instance.modify_index,
        }
    }
}

/// A check.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HealthCheck<'a> {
    node: &'a str,
    #[serde(rename = "CheckID")]
    pub(super) check_id: &'a str,
    name: &'a str,
    pub(super) status: &'static str,
    notes: &'static str,
    output: &'a str,
    #[serde(rename = "ServiceID")]
    service_id: &'a str,
    service_name: &'a str,
    service_tags: &'a [String],
    #[serde(rename = "Type")]
    kind: &'static str,
    definition: Nothing,
    create_index: u64,
    modify_index: u64,
}

impl<'a> HealthCheck<'a> {
    /// The check that every node has, and that passes for as long as somebody answers.
    pub(super) fn serf(node: &'a catalog::Node) -> Self {
        Self {
            node: &node.name,
            check_id: "serfHealth",
            name: "Serf Health Status",
            status: "passing",
            notes: "",
            output: SERF_OUTPUT,
            service_id: "",
            service_name: "",
            service_tags: &[],
            kind: "",
            definition: Nothing {},
            create_index: node.index,
            modify_index: node.index,
        }
    }

    pub(super) fn new(node: &'a catalog::Node, instance: &'a Instance, check: &'a CheckState) -> Self {
        Self {
            node: &node.name,
            check_id: &check.id,
            name: &check.name,
            status: check.status.as_str(),
            notes: "",
            output: &check.output,
            service_id: &instance.definition.id,
            service_name: &instance.definition.name,
            service_tags: &instance.definition.tags,
            kind: check.kind,
            definition: Nothing {},
            create_index: check.create_index,
            modify_index: check.modify_index,
        }
    }

    /// As the agent tells it: without the catalog's indexes.
    pub(super) fn of_agent(self) -> Self {
        Self { create_index: 0, modify_index: 0, ..self }
    }
}

/// An element of `/v1/health/service/<name>`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct HealthService<'a> {
    node: Node<'a>,
    service: NodeService<'a>,
    checks: Vec<HealthCheck<'a>>,
}

impl<'a> HealthService<'a> {
    pub(super) fn new(node: &'a catalog::Node, instance: &'a Instance) -> Self {
        let own = instance.checks.iter().map(|check| HealthCheck::new(node, instance, check));
        Self {
            node: Node::new(node),
            service: NodeService::new(instance),
            checks: std::iter::once(HealthCheck::serf(node)).chain(own).collect(),
        }
    }
}

/// `/v1/catalog/node/<node>`
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct CatalogNode<'a> {
    pub(super) node: Node<'a>,
    pub(super) services: BTreeMap<&'a str, NodeService<'a>>,
}
