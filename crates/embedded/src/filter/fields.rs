//! The fields that each endpoint's elements can be filtered by: those of Consul 1.8, by their JSON names.

/// What a field holds.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A string.
    Text,
    /// A whole number.
    Number,
    /// True or false.
    Flag,
    /// A list of strings.
    Texts,
    /// Strings by name.
    TextMap,
    /// Fields.
    Record(&'static [(&'static str, Kind)]),
    /// Records by name.
    RecordMap(&'static Kind),
    /// A list of records, of which any may match.
    Records(&'static Kind),
}

impl Kind {
    /// The kind of what a path leads to.
    ///
    /// # Errors
    /// The position in the path of what is not there.
    pub(super) fn at(&'static self, path: &[String]) -> Result<&'static Kind, usize> {
        let mut kind = self;
        for (at, key) in path.iter().enumerate() {
            if let Self::Records(record) = kind {
                kind = record;
            }
            kind = match kind {
                Self::Record(fields) => fields.iter().find(|(name, _)| name == key).map(|(_, kind)| kind).ok_or(at)?,
                Self::TextMap => &Self::Text,
                Self::RecordMap(record) => record,
                _ => return Err(at),
            };
        }
        Ok(kind)
    }
}

/// `/v1/catalog/nodes`
pub(crate) const NODE: Kind = Kind::Record(&[
    ("ID", Kind::Text),
    ("Node", Kind::Text),
    ("Address", Kind::Text),
    ("Datacenter", Kind::Text),
    ("TaggedAddresses", Kind::TextMap),
    ("Meta", Kind::TextMap),
]);

/// `/v1/catalog/service/<name>`
pub(crate) static CATALOG_SERVICE: Kind = Kind::Record(&[
    ("ID", Kind::Text),
    ("Node", Kind::Text),
    ("Address", Kind::Text),
    ("Datacenter", Kind::Text),
    ("TaggedAddresses", Kind::TextMap),
    ("NodeMeta", Kind::TextMap),
    ("ServiceKind", Kind::Text),
    ("ServiceID", Kind::Text),
    ("ServiceName", Kind::Text),
    ("ServiceTags", Kind::Texts),
    ("ServiceAddress", Kind::Text),
    ("ServiceTaggedAddresses", Kind::RecordMap(&ADDRESS)),
    ("ServiceWeights", WEIGHTS),
    ("ServiceMeta", Kind::TextMap),
    ("ServicePort", Kind::Number),
    ("ServiceEnableTagOverride", Kind::Flag),
    ("ServiceProxy", PROXY),
    ("ServiceConnect", CONNECT),
]);

/// `/v1/agent/services` and the services of `/v1/catalog/node/<name>`
pub(crate) const SERVICE: Kind = Kind::Record(&[
    ("ID", Kind::Text),
    ("Kind", Kind::Text),
    ("Service", Kind::Text),
    ("Tags", Kind::Texts),
    ("Address", Kind::Text),
    ("TaggedAddresses", Kind::RecordMap(&ADDRESS)),
    ("Meta", Kind::TextMap),
    ("Port", Kind::Number),
    ("Weights", WEIGHTS),
    ("EnableTagOverride", Kind::Flag),
    ("Proxy", PROXY),
    ("Connect", CONNECT),
]);

/// The lists of checks
pub(crate) static CHECK: Kind = Kind::Record(&[
    ("Node", Kind::Text),
    ("CheckID", Kind::Text),
    ("Name", Kind::Text),
    ("Status", Kind::Text),
    ("Notes", Kind::Text),
    ("Output", Kind::Text),
    ("ServiceID", Kind::Text),
    ("ServiceName", Kind::Text),
    ("ServiceTags", Kind::Texts),
    ("Type", Kind::Text),
]);

/// `/v1/health/service/<name>`: a node, a service and its checks.
pub(crate) static HEALTH_SERVICE: Kind =
    Kind::Record(&[("Node", NODE), ("Service", SERVICE), ("Checks", Kind::Records(&CHECK))]);

static ADDRESS: Kind = Kind::Record(&[("Address", Kind::Text), ("Port", Kind::Number)]);
static UPSTREAM: Kind = Kind::Record(&[
    ("DestinationType", Kind::Text),
    ("DestinationName", Kind::Text),
    ("Datacenter", Kind::Text),
    ("LocalBindAddress", Kind::Text),
    ("LocalBindPort", Kind::Number),
    ("MeshGateway", MESH_GATEWAY),
]);
static EXPOSED_PATH: Kind = Kind::Record(&[
    ("ListenerPort", Kind::Number),
    ("Path", Kind::Text),
    ("LocalPathPort", Kind::Number),
    ("Protocol", Kind::Text),
]);

const WEIGHTS: Kind = Kind::Record(&[("Passing", Kind::Number), ("Warning", Kind::Number)]);
const CONNECT: Kind = Kind::Record(&[("Native", Kind::Flag)]);
const MESH_GATEWAY: Kind = Kind::Record(&[("Mode", Kind::Text)]);
const PROXY: Kind = Kind::Record(&[
    ("DestinationServiceName", Kind::Text),
    ("DestinationServiceID", Kind::Text),
    ("LocalServiceAddress", Kind::Text),
    ("LocalServicePort", Kind::Number),
    ("Upstreams", Kind::Records(&UPSTREAM)),
    ("MeshGateway", MESH_GATEWAY),
    ("Expose", Kind::Record(&[("Checks", Kind::Flag), ("Paths", Kind::Records(&EXPOSED_PATH))])),
]);
