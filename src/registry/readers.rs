//! Opens a reader of keys or of services: the tables of the stores that have one.

use std::sync::Arc;

use super::OpenError;
use super::open::find;
use super::reader::{Access, KeyReader};
use super::reporter::Reporter;
use super::services::ServiceReader;
use super::uri::Uri;
#[cfg(feature = "zookeeper")]
use super::zookeeper;
use super::{consul, etcd, redis, skydns2};
use crate::config::{Environment, RegistryConfig};
use crate::event::Events;

/// A store that keys can be read of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReadableStore {
    /// Consul's key-value store.
    Consul,
    /// etcd, by its v2 API where that is served, otherwise by v3.
    Etcd,
    /// etcd, by its v2 API.
    Etcd2,
    /// etcd, by its v3 API.
    Etcd3,
    /// ZooKeeper.
    ZooKeeper,
    /// Redis.
    Redis {
        /// What stands in its keys where others have a slash; empty for a slash.
        separator: String,
    },
}

/// Opens a reader, without connecting to the store.
///
/// # Errors
/// When the address or the files of TLS cannot be used, or this build does not contain the store.
pub fn open_reader(store: &ReadableStore, access: &Access) -> Result<Arc<dyn KeyReader>, OpenError> {
    Ok(match store {
        ReadableStore::Consul => Arc::new(consul::kv::reader::open(access)?),
        ReadableStore::Etcd => Arc::new(etcd::reader::open(access)?),
        ReadableStore::Etcd2 => Arc::new(etcd::reader::open_v2(access)?),
        ReadableStore::Etcd3 => Arc::new(etcd::reader::open_v3(access)?),
        #[cfg(feature = "zookeeper")]
        ReadableStore::ZooKeeper => Arc::new(zookeeper::reader::open(access)?),
        #[cfg(not(feature = "zookeeper"))]
        ReadableStore::ZooKeeper => {
            let reason = "this registrator was built without ZooKeeper: build it with its feature zookeeper";
            return Err(OpenError::Settings(reason.to_owned()));
        }
        ReadableStore::Redis { separator } => Arc::new(redis::reader::open(access, separator)?),
    })
}

/// Opens the services of all hosts in the registry of a URI for reading, without connecting to it.
///
/// # Errors
/// When the URI or the variables of its registry cannot be used, or its services cannot be read by others.
pub fn open_services(
    uri: &str,
    environment: &Arc<Environment>,
    events: &Events,
) -> Result<Arc<dyn ServiceReader>, OpenError> {
    let config = RegistryConfig {
        uri: uri.to_owned(),
        owner: String::new(),
        hostname: String::new(),
        record_owner: false,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::clone(environment),
    };
    find(&config, events, |row, uri, config, reporter| of_scheme(row.0, uri, config, reporter))
        .map(|(_, opened)| opened)
}

fn of_scheme(
    scheme: &str,
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Arc<dyn ServiceReader>, OpenError> {
    match scheme {
        "consul" | "consul-tls" | "consul-unix" if !consul::settings::is_tree(uri) => {
            Ok(Arc::new(consul::catalog::open(uri, config, reporter)?))
        }
        "consul" | "consul-tls" | "consulkv" | "consulkv-tls" | "consulkv-unix" => {
            consul::kv::services(uri, config, reporter)
        }
        "etcd" | "etcd-tls" => etcd::reader::open_services(uri, config, etcd::Api::Either),
        "etcd2" | "etcd2-tls" | "etcd-legacy" => etcd::reader::open_services(uri, config, etcd::Api::V2),
        "etcd3" | "etcd3-tls" => etcd::reader::open_services(uri, config, etcd::Api::V3),
        "redis" | "rediss" | "redis+sentinel" | "rediss+sentinel" | "valkey" | "valkeys" | "valkey+sentinel"
        | "valkeys+sentinel" => redis::services(uri, config, reporter),
        "skydns2" => skydns2::services(uri, config),
        "coredns" => skydns2::services_of_coredns(uri, config),
        #[cfg(feature = "zookeeper")]
        "zookeeper" | "zookeeper-tls" => zookeeper::reader::services(uri, config, reporter),
        "embedded" => Err(OpenError::Settings(
            "the services of an embedded registry are those of another process: name where it serves, as \
             consul://127.0.0.1:8500"
                .to_owned(),
        )),
        other => Err(OpenError::Settings(format!("the services of {other} cannot be read by others"))),
    }
}
