//! The services of all hosts that a registry holds, for rendered files. Nothing is written.
//!
//! Consul's catalog tells health as well; a key-value store holds what its layout says.

use std::sync::Arc;

use async_trait::async_trait;

use super::kv::{Layout, encode};
use super::reader::{KeyReader, Mark};
use super::{Content, RegistryError};
use crate::template::Instance;

/// Reads the services of a registry.
///
/// Every method but [`ServiceReader::changed`] ends within a deadline of its own. An error is one line that names the
/// registry.
#[async_trait]
pub trait ServiceReader: Send + Sync + 'static {
    /// All instances, in order of name and ID.
    ///
    /// # Errors
    /// When they cannot be read completely.
    async fn read(&self) -> Result<Vec<Instance>, RegistryError>;

    /// Where the registry is now; a [`ServiceReader::read`] after it misses nothing that is before the mark.
    ///
    /// # Errors
    /// When the registry cannot be reached.
    async fn mark(&self) -> Result<Mark, RegistryError>;

    /// Returns when something may have changed since a mark, with the mark of then. Limits its own pace. Safe to cancel.
    ///
    /// # Errors
    /// When that can no longer be told.
    async fn changed(&self, since: Mark) -> Result<Mark, RegistryError>;
}

/// The ID and the content of an entry, by its key and value; `None` if it is no entry.
type Decode = Box<dyn Fn(&str, &[u8]) -> Option<(String, Content)> + Send + Sync>;

/// The services in a key-value store.
pub(super) struct StoredServices {
    reader: Box<dyn KeyReader>,
    /// The prefix of all entries, as a key.
    root: [String; 1],
    decode: Decode,
}

impl StoredServices {
    /// Those below a root, which is empty for the root of the store.
    pub(super) fn below(
        reader: Box<dyn KeyReader>,
        root: &str,
        decode: impl Fn(&str, &[u8]) -> Option<(String, Content)> + Send + Sync + 'static,
    ) -> Arc<dyn ServiceReader> {
        let root = if root.is_empty() { "/" } else { root };
        Arc::new(Self { reader, root: [root.to_owned()], decode: Box::new(decode) })
    }

    /// Those in a layout.
    pub(super) fn of_layout(reader: Box<dyn KeyReader>, layout: impl Layout) -> Arc<dyn ServiceReader> {
        let root = layout.root().to_owned();
        Self::below(reader, &root, move |key, value| Some((layout.service_id(key)?, layout.content(key, value)?)))
    }
}

#[async_trait]
impl ServiceReader for StoredServices {
    async fn read(&self) -> Result<Vec<Instance>, RegistryError> {
        let values = self.reader.read(&self.root).await?;
        let instance = |(key, value): (&String, &Vec<u8>)| {
            let (id, Content { name, address, port, tags }) = (self.decode)(key, value)?;
            Some(Instance { id, name, address, port, tags, ..Instance::default() })
        };
        Ok(sorted(values.iter().filter_map(instance).collect()))
    }

    async fn mark(&self) -> Result<Mark, RegistryError> {
        self.reader.mark(&self.root).await
    }

    async fn changed(&self, since: Mark) -> Result<Mark, RegistryError> {
        self.reader.changed(&self.root, since).await
    }
}

/// In order of name and ID.
pub(super) fn sorted(mut instances: Vec<Instance>) -> Vec<Instance> {
    instances.sort_by(|one, other| (&one.name, &one.id).cmp(&(&other.name, &other.id)));
    instances
}

/// The key of an instance as key-value stores have it, without a prefix: `/<name>/<id>`.
#[must_use]
pub fn key(name: &str, id: &str) -> String {
    format!("/{}/{}", encode::part(name), encode::part(id))
}
