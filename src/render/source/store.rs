//! A source that is a key-value store: Consul, etcd, ZooKeeper or Redis.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Reading, Source, SourceError, Wanted, Watch};
use crate::registry::RegistryError;
use crate::registry::reader::{KeyReader, Mark};

/// A store, of which only keys are read.
pub(super) struct StoreSource(pub(super) Arc<dyn KeyReader>);

fn failed(error: RegistryError) -> SourceError {
    SourceError(error.to_string())
}

#[async_trait]
impl Source for StoreSource {
    async fn fetch(&self, wanted: &Wanted) -> Result<Reading, SourceError> {
        let values = self.0.read(&wanted.keys).await.map_err(failed)?;
        // A template is text: bytes that are none are replaced, and not a reason to render nothing.
        let text = |(key, value): (String, Vec<u8>)| {
            let value =
                String::from_utf8(value).unwrap_or_else(|odd| String::from_utf8_lossy(odd.as_bytes()).into_owned());
            (key, value)
        };
        Ok(Reading { keys: values.into_iter().map(text).collect(), ..Reading::default() })
    }

    fn watch(&self, wanted: &Wanted) -> Box<dyn Watch> {
        Box::new(StoreWatch { reader: Arc::clone(&self.0), keys: wanted.keys.clone(), mark: None })
    }
}

/// Where the store was at the last return.
struct StoreWatch {
    reader: Arc<dyn KeyReader>,
    keys: Vec<String>,
    mark: Option<Mark>,
}

#[async_trait]
impl Watch for StoreWatch {
    async fn changed(&mut self) -> Result<(), SourceError> {
        if self.keys.is_empty() {
            // A template without keys changes with nothing.
            return match self.mark.replace(0) {
                None => Ok(()),
                Some(_) => std::future::pending().await,
            };
        }
        // After an error there is no mark: as soon as the store answers again, it is read, whatever happened meanwhile.
        let mark = match self.mark.take() {
            None => self.reader.mark(&self.keys).await.map_err(failed)?,
            Some(mark) => self.reader.changed(&self.keys, mark).await.map_err(failed)?,
        };
        self.mark = Some(mark);
        Ok(())
    }
}
