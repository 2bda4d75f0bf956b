//! What a person is told about a store: where it is, what of it is ours, and who answers there.

use std::time::SystemTime;

use chrono::DateTime;
use http::HeaderValue;

use crate::http::Tls;

/// Where a store is, and what of it is ours; by the settings alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Site {
    /// What is spoken there.
    pub store: Store,
    /// Its servers, as host and port; none for a unix socket.
    pub servers: Vec<(String, u16)>,
    /// The TLS settings, if TLS is used.
    pub tls: Option<Tls>,
    /// The prefix of the entries: begins with a slash (in Redis, only if the URI says so) and does not end with one; empty
    /// for the root, or without keys.
    pub root: String,
    /// The prefix of the ownership records, in the same form, if there are any.
    pub records: Option<String>,
    /// The user, if there is one.
    pub user: Option<String>,
    /// The number of the database, where a server has several.
    pub database: i64,
}

/// What is spoken with a store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Store {
    /// Consul's agent.
    Consul,
    /// Consul's key-value store.
    ConsulKv,
    /// etcd's v2 API.
    Etcd2,
    /// etcd's v3 API.
    Etcd3,
    /// ZooKeeper.
    ZooKeeper,
    /// Redis, or Valkey.
    Redis,
    /// Eureka, Netflix's or Spring Cloud's.
    Eureka,
    /// A DNS server that takes updates; the root is the zone.
    Dns,
    /// A provider of external-dns; the root is the zone.
    Webhook,
    /// discoverd of Flynn.
    Discoverd,
    /// Something without rights or versions, such as the embedded registry.
    #[default]
    Other,
}

/// Who answers; what is not told is `None`. Every text is one line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// What it is and where: `Consul at http://127.0.0.1:8500`.
    pub name: String,
    /// Its version.
    pub version: Option<String>,
    /// The node that it is the agent of.
    pub node: Option<String>,
    /// The address that the node tells others.
    pub address: Option<String>,
    /// The time of its clock when it answered.
    pub clock: Option<SystemTime>,
}

/// The time in a `Date` header.
pub(super) fn date(value: &HeaderValue) -> Option<SystemTime> {
    Some(DateTime::parse_from_rfc2822(value.to_str().ok()?).ok()?.into())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_date_is_read_and_anything_else_is_none() {
        let read = |text| date(&HeaderValue::from_static(text)).map(|time| time.duration_since(UNIX_EPOCH).unwrap());
        assert_eq!(read("Fri, 27 Nov 2026 01:42:00 GMT"), Some(Duration::from_secs(1_795_743_720)));
        for odd in ["", "yesterday", "Fri, 27 Nov 2026", "99"] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }
}
