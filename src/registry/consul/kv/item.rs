//! A key as Consul returns it (<https://developer.hashicorp.com/consul/api-docs/kv>).

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::json;
use crate::registry::RegistryError;

use super::super::client::{Answer, Client};

/// How many characters of a key a line repeats.
pub(super) const KEY_LIMIT: usize = 300;

/// The most values of an answer: those of half a million keys.
pub(super) const MOST_VALUES: usize = 1 << 22;

/// A key with its data.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Item {
    pub(super) key: String,
    /// Base64; null for an empty value.
    pub(super) value: Option<String>,
    pub(super) modify_index: u64,
    /// The session that the key is bound to.
    pub(super) session: Option<String>,
}

/// A key or prefix in Consul's form. Elsewhere, keys begin with a slash.
pub(super) fn inside(key: &str) -> &str {
    key.strip_prefix('/').unwrap_or(key)
}

/// The body of an answer.
pub(in crate::registry::consul) fn parsed<T: DeserializeOwned>(
    client: &Client,
    answer: &Answer,
) -> Result<T, RegistryError> {
    json::owned(&answer.body, MOST_VALUES)
        .map_err(|_| client.unreachable("its answer cannot be read: is this a Consul agent?"))
}
