//! Sources: what templates are rendered from. One type for each kind of store, all behind [`Source`].

mod backend;
mod environment;
mod files;
mod running;
mod services;
mod store;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;

use crate::template::Instance;

pub use backend::{Backend, BackendSettings, open, unknown as unknown_backend};
pub use files::file_keys;
pub use running::Running;

/// What a resource reads: its prefix, and its keys below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The prefix, with a leading slash.
    pub prefix: String,
    /// Each key with the prefix in front, cleaned as Go's `path.Join` does it.
    pub keys: Vec<String>,
}

/// One reading of a source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reading {
    /// Values by their whole keys, with the prefix.
    pub keys: BTreeMap<String, String>,
    /// The instances of services, where the source knows them.
    pub instances: Vec<Arc<Instance>>,
    /// How far it is believed if it has suspiciously few services.
    pub trust: Trust,
}

/// How far a source believes its own reading.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Trust {
    /// It counts as it is: a key-value store's answer, or services whose ends were all told by events.
    #[default]
    Whole,
    /// Something may be missing, as in a list of what runs while an engine or an agent starts. If it has fewer services
    /// than `min_services`, it is read again before a file follows it.
    Partial,
}

/// Why a source could not be read or watched. Displays as one line that names the source, and shows no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SourceError(pub String);

/// What templates are rendered from.
#[async_trait]
pub trait Source: Send + Sync {
    /// Reads what is wanted, as of one time where the store can do that. Has its own deadline.
    async fn fetch(&self, wanted: &Wanted) -> Result<Reading, SourceError>;

    /// Begins to watch what is wanted. Does not wait for the store.
    fn watch(&self, wanted: &Wanted) -> Box<dyn Watch>;

    /// Asks whoever knows to look again, before a doubted reading is read again. Has its own deadline.
    async fn recheck(&self) {}
}

/// Waits for changes of a source.
#[async_trait]
pub trait Watch: Send {
    /// Returns when something may have changed: the first time as soon as the watch stands, so that a
    /// [`Source::fetch`] after it misses nothing; then after each change since the last return.
    ///
    /// After an error the caller waits a while and calls it again; then it may return at once. The caller gives up its
    /// future only together with the watch, so it need not be safe to cancel.
    async fn changed(&mut self) -> Result<(), SourceError>;
}

impl Wanted {
    /// What a resource with this prefix and these keys reads.
    #[must_use]
    pub fn new(prefix: &str, keys: &[String]) -> Self {
        let prefix = if prefix.starts_with('/') { prefix.to_owned() } else { format!("/{prefix}") };
        let keys = keys.iter().map(|key| clean(&format!("{prefix}/{key}"))).collect();
        Self { prefix, keys }
    }
}

impl Reading {
    /// The keys as templates see them: without the prefix, with a leading slash.
    pub fn stripped<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (String, String)> + 'a {
        self.keys.iter().map(move |(key, value)| {
            let rest = key.strip_prefix(prefix).unwrap_or(key);
            (clean(&format!("/{rest}")), value.clone())
        })
    }
}

/// Go's `path.Clean` for a path with a leading slash.
#[must_use]
pub fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_joined_with_the_prefix_as_go_does_it() {
        for (prefix, key, expected) in [
            ("/", "/nginx", "/nginx"),
            ("/", "nginx/", "/nginx"),
            ("", "/", "/"),
            ("myapp", "/upstream/", "/myapp/upstream"),
            ("/myapp/", "upstream", "/myapp/upstream"),
            ("/myapp", "/../other", "/other"),
            ("/a", "/./b//c", "/a/b/c"),
        ] {
            assert_eq!(Wanted::new(prefix, &[key.to_owned()]).keys, [expected], "{prefix:?} {key:?}");
        }
        assert_eq!(Wanted::new("myapp", &[]).prefix, "/myapp");
    }

    #[test]
    fn templates_see_keys_without_the_prefix() {
        for (prefix, key, expected) in [
            ("/", "/nginx/a", "/nginx/a"),
            ("/myapp", "/myapp/nginx", "/nginx"),
            ("/myapp", "/myappendix", "/endix"),
            ("/myapp", "/other", "/other"),
            ("/myapp/", "/myapp/x", "/x"),
        ] {
            let reading = Reading { keys: [(key.to_owned(), "v".to_owned())].into(), ..Reading::default() };
            assert_eq!(reading.stripped(prefix).collect::<Vec<_>>(), [(expected.to_owned(), "v".to_owned())]);
        }
    }
}
