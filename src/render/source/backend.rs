//! confd's back ends by name, the settings that say how each is reached, and their opening.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::SecretString;

use super::Source;
use super::environment::Variables;
use super::files::Files;
use super::services::RegistrySource;
use super::store::StoreSource;
use crate::config::Environment;
use crate::event::Events;
use crate::http::Tls;
use crate::nearest::nearest;
use crate::registry::reader::{Access, AccessNames};
use crate::registry::{ReadableStore, open_reader, open_services};

/// A back end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Consul's key-value store.
    Consul,
    /// etcd, by the API that it offers.
    Etcd,
    /// etcd's v2 API.
    EtcdV2,
    /// etcd's v3 API.
    EtcdV3,
    /// ZooKeeper.
    ZooKeeper,
    /// Redis.
    Redis,
    /// Variables of the environment.
    Env,
    /// YAML and JSON files.
    File,
    /// The services of all hosts in a registry.
    Services,
    /// The containers of this host.
    Docker,
}

/// All of them, by their names.
const BACKENDS: &[(&str, Backend)] = &[
    ("consul", Backend::Consul),
    ("docker", Backend::Docker),
    ("env", Backend::Env),
    ("etcd", Backend::Etcd),
    ("etcdv2", Backend::EtcdV2),
    ("etcdv3", Backend::EtcdV3),
    ("file", Backend::File),
    ("redis", Backend::Redis),
    ("services", Backend::Services),
    ("zookeeper", Backend::ZooKeeper),
];

/// Those of confd that are not here.
const ELSEWHERE: &[&str] = &["dynamodb", "rancher", "ssm", "vault"];

impl Backend {
    /// The back end of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        BACKENDS.iter().find(|(known, _)| *known == name).map(|(_, backend)| *backend)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        BACKENDS.iter().find(|(_, backend)| *backend == self).map_or("", |(name, _)| name)
    }

    /// The nodes if none are given.
    #[must_use]
    pub fn default_nodes(self, environment: &Environment) -> Vec<String> {
        let node = match self {
            Self::Consul => "127.0.0.1:8500",
            Self::Etcd | Self::EtcdV2 => match environment.get("ETCDCTL_PEERS") {
                Some(peers) => return peers.split(',').map(|peer| peer.trim().to_owned()).collect(),
                None => "http://127.0.0.1:4001",
            },
            Self::EtcdV3 => "127.0.0.1:2379",
            Self::Redis => "127.0.0.1:6379",
            Self::ZooKeeper => "127.0.0.1:2181",
            Self::Env | Self::File | Self::Services | Self::Docker => return Vec::new(),
        };
        vec![node.to_owned()]
    }

    /// Whether it is reached over the network, at nodes that SRV records may name.
    #[must_use]
    pub fn has_nodes(self) -> bool {
        !matches!(self, Self::Env | Self::File | Self::Services | Self::Docker)
    }
}

/// Why there is no such back end; one line.
#[must_use]
pub fn unknown(name: &str) -> String {
    let names: Vec<_> = BACKENDS.iter().map(|(name, _)| *name).collect();
    let shown = name.escape_debug();
    if ELSEWHERE.contains(&name) {
        return format!("Invalid backend: {shown} is not built in here; there are {}", names.join(", "));
    }
    match nearest(name, names.iter().copied()) {
        Some(meant) => format!("Invalid backend: there is no {shown}; did you mean {meant}?"),
        None => format!("Invalid backend: there is no {shown}; there are {}", names.join(", ")),
    }
}

/// How a back end is reached; all but the back end itself may be left out.
#[derive(Clone)]
pub struct BackendSettings {
    /// Which one it is.
    pub backend: Backend,
    /// Its servers, each with or without `http://` or `https://`; for [`Backend::Services`], the URI of a registry.
    pub nodes: Vec<String>,
    /// The scheme of nodes that have none.
    pub scheme: Option<String>,
    /// User and password of `-basic-auth`, or those of Redis.
    pub user: Option<(String, SecretString)>,
    /// A token (Consul).
    pub token: Option<SecretString>,
    /// The files of TLS.
    pub tls: Tls,
    /// What stands in keys of Redis where others have a slash.
    pub separator: String,
    /// Files, and folders of files.
    pub files: Vec<PathBuf>,
    /// Which files of a folder count.
    pub filter: String,
    /// The variables of this process.
    pub environment: Arc<Environment>,
    /// Where a back end reports odd things.
    pub events: Events,
}

/// What people call these settings.
const NAMES: AccessNames = AccessNames {
    address: "-node",
    user: "-username and -password",
    give_user: "by -basic-auth, -username and -password",
    with_tls: "https:// in -node",
    without_tls: "http:// in -node",
    authorities: "-client-ca-keys",
    certificate: "-client-cert",
    key: "-client-key",
};

/// The same for Redis, whose password confd takes as the key.
const REDIS_NAMES: AccessNames = AccessNames {
    user: "-client-key (or -username and -password)",
    give_user: "by -client-key, or -username and -password",
    ..NAMES
};

/// Opens a back end, without connecting to it.
///
/// # Errors
/// When its settings cannot be used; one line.
pub fn open(settings: &BackendSettings) -> Result<Arc<dyn Source>, String> {
    let store = match settings.backend {
        Backend::Env => return Ok(Arc::new(Variables(Arc::clone(&settings.environment)))),
        Backend::File if settings.files.is_empty() => {
            return Err("the backend file needs -file: a YAML or JSON file, or a folder of them".to_owned());
        }
        Backend::File => return Ok(Arc::new(Files::new(settings.files.clone(), &settings.filter))),
        Backend::Services => return services(settings),
        // Whoever has a host to follow opens it.
        Backend::Docker => return Err("the backend docker is for all resources: give it by -backend docker".to_owned()),
        Backend::Consul => ReadableStore::Consul,
        Backend::Etcd => ReadableStore::Etcd,
        Backend::EtcdV2 => ReadableStore::Etcd2,
        Backend::EtcdV3 => ReadableStore::Etcd3,
        Backend::ZooKeeper => ReadableStore::ZooKeeper,
        Backend::Redis => ReadableStore::Redis { separator: settings.separator.clone() },
    };
    let reader = open_reader(&store, &access(settings)?).map_err(|error| error.to_string())?;
    Ok(Arc::new(StoreSource(reader)))
}

/// Opens the registry that a node names by its URI.
fn services(settings: &BackendSettings) -> Result<Arc<dyn Source>, String> {
    let [uri] = settings.nodes.as_slice() else {
        return Err(
            "the backend services needs one -node: the URI of a registry, as consul://127.0.0.1:8500".to_owned()
        );
    };
    let reader = open_services(uri, &settings.environment, &settings.events).map_err(|error| error.to_string())?;
    Ok(Arc::new(RegistrySource(reader)))
}

/// How the store is reached.
fn access(settings: &BackendSettings) -> Result<Access, String> {
    // Several may stand in one, as in ETCDCTL_PEERS.
    let nodes = settings.nodes.iter().flat_map(|node| node.split(',')).filter(|node| !node.trim().is_empty());
    let nodes: Vec<_> = nodes.map(Node::parse).collect();
    if nodes.is_empty() {
        return Err(format!("the backend {} needs a -node", settings.backend.name()));
    }
    let has_files = settings.tls.ca.is_some() || settings.tls.identity.is_some();
    let https = settings.scheme.as_deref() == Some("https");
    // etcd's v3 client, and ours, has TLS where there are files for it.
    let by_default = match settings.backend {
        Backend::Consul => https,
        Backend::Redis => false,
        _ => https || has_files,
    };
    let secure = |node: &Node| node.https.unwrap_or(by_default);
    let all_secure = nodes.iter().all(secure);
    if !all_secure && nodes.iter().any(secure) {
        return Err("either all nodes are https, or none".to_owned());
    }
    let socket = nodes.first().and_then(|node| node.socket.clone());
    if settings.backend == Backend::EtcdV3 && all_secure && settings.tls.skip_verify {
        return Err("-client-insecure is not there for etcd's v3 API: name the authority by -client-ca-keys".to_owned());
    }
    Ok(Access {
        servers: nodes.into_iter().map(|node| node.server).collect(),
        socket,
        secure: all_secure,
        tls: settings.tls.clone(),
        user: settings.user.clone(),
        token: settings.token.clone(),
        environment: Arc::clone(&settings.environment),
        names: if settings.backend == Backend::Redis { &REDIS_NAMES } else { &NAMES },
        events: settings.events.clone(),
    })
}

/// One node.
#[derive(Debug, PartialEq, Eq)]
struct Node {
    /// What it says of TLS.
    https: Option<bool>,
    /// `host:port`, and what follows.
    server: String,
    socket: Option<PathBuf>,
}

impl Node {
    fn parse(text: &str) -> Self {
        let text = text.trim();
        let (https, rest) = match text.split_once("://") {
            Some(("http" | "redis", rest)) => (Some(false), rest),
            Some(("https", rest)) => (Some(true), rest),
            Some(("unix", rest)) => (None, rest),
            _ => (None, text),
        };
        let socket = rest.starts_with('/').then(|| PathBuf::from(rest));
        Self { https, server: rest.trim_end_matches('/').to_owned(), socket }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(backend: Backend, nodes: &[&str]) -> BackendSettings {
        BackendSettings {
            backend,
            nodes: nodes.iter().map(|node| (*node).to_owned()).collect(),
            scheme: None,
            user: None,
            token: None,
            tls: Tls::default(),
            separator: String::new(),
            files: Vec::new(),
            filter: "*".to_owned(),
            environment: Arc::default(),
            events: Events::new(|_| {}),
        }
    }

    #[test]
    fn every_back_end_has_a_name_and_nodes_of_its_own() {
        for (name, backend) in BACKENDS {
            assert_eq!(Backend::named(name), Some(*backend));
            assert_eq!(backend.name(), *name);
            assert_eq!(backend.has_nodes(), !backend.default_nodes(&Environment::default()).is_empty(), "{name}");
        }
        assert_eq!(Backend::named("vault"), None);
        let peers: Environment = [("ETCDCTL_PEERS".into(), "http://a:2379,http://b:2379".into())].into_iter().collect();
        assert_eq!(Backend::Etcd.default_nodes(&peers), ["http://a:2379", "http://b:2379"]);
        assert_eq!(Backend::Etcd.default_nodes(&Environment::default()), ["http://127.0.0.1:4001"]);
    }

    #[test]
    fn a_back_end_that_is_not_here_is_answered_with_those_that_are() {
        assert_eq!(unknown("consull"), "Invalid backend: there is no consull; did you mean consul?");
        assert_eq!(
            unknown("vault"),
            "Invalid backend: vault is not built in here; there are consul, docker, env, etcd, etcdv2, etcdv3, file, redis, \
             services, zookeeper"
        );
        assert!(unknown("x\ny").starts_with("Invalid backend: there is no x\\ny; there are consul,"));
    }

    #[test]
    fn tls_is_spoken_where_a_node_the_scheme_or_a_file_says_so() {
        let file = || Tls { ca: Some("/ca".into()), ..Tls::default() };
        let scheme = |scheme: &str| Some(scheme.to_owned());
        for (backend, node, said, tls, expected) in [
            (Backend::Etcd, "h:1", None, Tls::default(), false),
            (Backend::Etcd, "https://h:1", None, Tls::default(), true),
            (Backend::Etcd, "http://h:1", scheme("https"), file(), false),
            (Backend::Etcd, "h:1", scheme("https"), Tls::default(), true),
            (Backend::EtcdV3, "h:1", None, file(), true),
            (Backend::Consul, "h:1", None, file(), false),
            (Backend::Consul, "h:1", scheme("https"), Tls::default(), true),
            (Backend::Consul, "https://h:1/", None, Tls::default(), true),
        ] {
            let settings = BackendSettings { scheme: said, tls, ..settings(backend, &[node]) };
            let access = access(&settings).unwrap();
            assert_eq!((access.secure, access.servers), (expected, vec!["h:1".to_owned()]), "{backend:?} {node}");
        }
        let several = access(&settings(Backend::Etcd, &["http://a:1, http://b:2", "c:3,"])).unwrap();
        assert_eq!(several.servers, ["a:1", "b:2", "c:3"]);
        let mixed = access(&settings(Backend::Etcd, &["https://a", "http://b"]));
        assert_eq!(mixed.err().as_deref(), Some("either all nodes are https, or none"));
        let socket = access(&settings(Backend::Redis, &["/run/redis.sock"])).ok().unwrap();
        assert_eq!(socket.socket, Some("/run/redis.sock".into()));
    }

    #[test]
    fn settings_that_cannot_be_used_are_refused_before_anybody_is_asked() {
        for (settings, reason) in [
            (settings(Backend::File, &[]), "the backend file needs -file: a YAML or JSON file, or a folder of them"),
            (settings(Backend::Consul, &[]), "the backend consul needs a -node"),
            (
                settings(Backend::Etcd, &["not a host"]),
                "etcd: \"not a host\" is no host:port, an IPv6 address in brackets; correct -node",
            ),
            (settings(Backend::Redis, &["h:1/x"]), "redis: \"x\" is no number of a database; correct -node"),
        ] {
            assert_eq!(open(&settings).err().as_deref(), Some(reason));
        }
    }
}
