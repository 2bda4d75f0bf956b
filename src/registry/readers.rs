//! Opens a reader of keys: the table of the stores that have one.

use std::sync::Arc;

use super::OpenError;
use super::reader::{Access, KeyReader};
#[cfg(feature = "zookeeper")]
use super::zookeeper;
use super::{consul, etcd, redis};

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
