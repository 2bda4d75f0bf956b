//! Reading keys of a store and hearing of changes, for those who write nothing to it: rendered files.
//!
//! One implementation for each store, in its folder; [`Access`] says how a store is reached.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use secrecy::SecretString;

use super::RegistryError;
use super::advice::TlsNames;
use super::reporter::Reporter;
use crate::config::Environment;
use crate::event::Events;
use crate::http::Tls;

/// How a store is reached.
#[derive(Clone)]
pub struct Access {
    /// The servers: `host:port`, without a scheme. Never empty, unless there is a socket.
    pub servers: Vec<String>,
    /// The unix socket, if it is one.
    pub socket: Option<PathBuf>,
    /// Whether TLS is spoken.
    pub secure: bool,
    /// The files of TLS.
    pub tls: Tls,
    /// The user and the password.
    pub user: Option<(String, SecretString)>,
    /// A token of the store's own.
    pub token: Option<SecretString>,
    /// The variables that the store's own tools read.
    pub environment: Arc<Environment>,
    /// What people call the options that the user and the password come from.
    pub names: &'static AccessNames,
    /// Where odd things are reported.
    pub events: Events,
}

/// What people call the options that say how a store is reached.
#[derive(Debug, PartialEq, Eq)]
pub struct AccessNames {
    /// That of the address.
    pub address: &'static str,
    /// Those of the user and the password.
    pub user: &'static str,
    /// How a user is given: `by -username`.
    pub give_user: &'static str,
    /// Turns TLS on.
    pub with_tls: &'static str,
    /// Turns TLS off.
    pub without_tls: &'static str,
    /// The file of trusted authorities.
    pub authorities: &'static str,
    /// The file of our certificate.
    pub certificate: &'static str,
    /// The file of its key.
    pub key: &'static str,
}

impl AccessNames {
    /// Those of TLS.
    pub(super) fn tls(&self) -> TlsNames {
        let Self { with_tls, without_tls, authorities, certificate, key, .. } = *self;
        TlsNames { with: with_tls, without: without_tls, authorities, certificate, key }
    }
}

impl Access {
    /// A reporter for the store with this name.
    pub(super) fn reporter(&self, name: &str) -> Reporter {
        Reporter::new(name.into(), self.events.clone())
    }

    /// The servers, as in a URI.
    pub(super) fn hosts(&self) -> String {
        self.servers.join(",")
    }
}

/// The values of keys, by their whole keys.
pub type Values = BTreeMap<String, Vec<u8>>;

/// Where a store was in its own history, or a digest of what it held. Only compared.
pub type Mark = u64;

/// Reads keys of a store.
///
/// The contract:
///
/// - Keys begin with a slash and end with none, but for the root. Each asks for itself and for all below it.
/// - Every method ends within a deadline of the store's own, except [`KeyReader::changed`].
/// - An error is one line that names the store.
#[async_trait]
pub trait KeyReader: Send + Sync + 'static {
    /// Reads keys, all as of one moment where the store can do that.
    ///
    /// # Errors
    /// When the store cannot be read completely.
    async fn read(&self, keys: &[String]) -> Result<Values, RegistryError>;

    /// Where the store is now. A [`KeyReader::read`] after it misses nothing that is before the mark.
    ///
    /// # Errors
    /// When the store cannot be reached.
    async fn mark(&self, keys: &[String]) -> Result<Mark, RegistryError>;

    /// Returns when something may have changed since a mark, with the mark of then. Limits its own pace. Safe to cancel.
    ///
    /// # Errors
    /// When that can no longer be told.
    async fn changed(&self, keys: &[String], since: Mark) -> Result<Mark, RegistryError>;
}

/// The keys without those that another one brings along.
pub(super) fn outermost(keys: &[String], brings: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let mut sorted: Vec<&String> = keys.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    let mut outermost: Vec<String> = Vec::new();
    for key in sorted {
        if !outermost.iter().any(|outer| brings(outer, key)) {
            outermost.push(key.clone());
        }
    }
    outermost
}

/// Whether a key is `outer` or below it.
pub(super) fn is_below(outer: &str, key: &str) -> bool {
    outer == "/" || key.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The deepest folder that holds all of the keys, or the only key.
pub(super) fn common_folder(keys: &[String]) -> String {
    let Some((first, others)) = keys.split_first() else { return "/".to_owned() };
    let mut common: Vec<&str> = first.split('/').collect();
    for key in others {
        let same = common.iter().zip(key.split('/')).take_while(|(one, other)| **one == *other).count();
        common.truncate(same);
    }
    let folder = common.join("/");
    if folder.is_empty() { "/".to_owned() } else { folder }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|key| (*key).to_owned()).collect()
    }

    #[test]
    fn keys_that_another_one_brings_along_are_left_out() {
        let given = keys(&["/b/c", "/a", "/b", "/a", "/ab", "/b/c/d"]);
        assert_eq!(outermost(&given, is_below), ["/a", "/ab", "/b"]);
        assert_eq!(outermost(&given, |outer, key| key.starts_with(outer)), ["/a", "/b"]);
        assert_eq!(outermost(&keys(&["/x", "/"]), is_below), ["/"]);
    }

    #[test]
    fn the_common_folder_holds_all_keys_and_is_the_deepest_that_does() {
        for (given, folder) in [
            (&["/a/b"][..], "/a/b"),
            (&["/a/b", "/a/c"], "/a"),
            (&["/a/b", "/a/bc"], "/a"),
            (&["/a/b", "/a/b/c"], "/a/b"),
            (&["/a", "/b"], "/"),
            (&["/", "/b"], "/"),
            (&[], "/"),
        ] {
            assert_eq!(common_folder(&keys(given)), folder, "{given:?}");
        }
    }
}
