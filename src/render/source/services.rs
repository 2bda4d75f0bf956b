//! A source that is a registry: the services of all hosts, as instances and as keys `/<name>/<id>` = `ip:port`, as the
//! key-value stores have them.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Reading, Source, SourceError, Trust, Wanted, Watch};
use crate::registry::RegistryError;
use crate::registry::reader::Mark;
use crate::registry::services::{ServiceReader, key};
use crate::service::id;
use crate::template::Instance;

/// A registry that is read.
pub(super) struct RegistrySource(pub(super) Arc<dyn ServiceReader>);

fn failed(error: RegistryError) -> SourceError {
    SourceError(error.to_string())
}

/// The key of an instance, and its value.
pub(super) fn entry(instance: &Instance) -> (String, String) {
    let authority = registrator_words::authority(&instance.address, instance.port);
    (key(&instance.name, &instance.id), authority)
}

/// Registries do not hold the container; an ID that nobody chose says it, and the host.
fn told_by_id(mut instance: Instance) -> Instance {
    if let Some((hostname, container)) = id::parts(&instance.id) {
        let [hostname, container] = [hostname, container].map(str::to_owned);
        if instance.node.is_empty() {
            instance.node = hostname;
        }
        instance.container = container;
    }
    instance
}

#[async_trait]
impl Source for RegistrySource {
    async fn fetch(&self, wanted: &Wanted) -> Result<Reading, SourceError> {
        let instances: Vec<_> = self.0.read().await.map_err(failed)?.into_iter().map(told_by_id).collect();
        let is_wanted = |key: &str| {
            wanted.keys.iter().any(|wanted| {
                wanted == "/"
                    || key.strip_prefix(wanted.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        Ok(Reading {
            keys: instances.iter().map(entry).filter(|(key, _)| is_wanted(key)).collect(),
            instances: instances.into_iter().map(Arc::new).collect(),
            trust: Trust::Partial,
        })
    }

    fn watch(&self, _wanted: &Wanted) -> Box<dyn Watch> {
        Box::new(RegistryWatch { reader: Arc::clone(&self.0), mark: None })
    }
}

/// Where the registry was at the last return.
struct RegistryWatch {
    reader: Arc<dyn ServiceReader>,
    mark: Option<Mark>,
}

#[async_trait]
impl Watch for RegistryWatch {
    async fn changed(&mut self) -> Result<(), SourceError> {
        // After an error there is no mark: as soon as the registry answers again, it is read.
        let mark = match self.mark.take() {
            None => self.reader.mark().await.map_err(failed)?,
            Some(mark) => self.reader.changed(mark).await.map_err(failed)?,
        };
        self.mark = Some(mark);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_nobody_chose_says_host_and_container() {
        let told = |id: &str, node: &str| {
            let instance = Instance { id: id.to_owned(), node: node.to_owned(), ..Instance::default() };
            let Instance { node, container, .. } = told_by_id(instance);
            (node, container)
        };
        let pair = |node: &str, container: &str| (node.to_owned(), container.to_owned());
        assert_eq!(told("h1:web.1:80", ""), pair("h1", "web.1"));
        assert_eq!(told("h1:dns:53:udp", "agent-1"), pair("agent-1", "dns"));
        assert_eq!(told("chosen", ""), pair("", ""));
        assert_eq!(told("chosen:by:me", "agent-1"), pair("agent-1", ""));
    }

    #[test]
    fn an_instance_is_a_key_as_in_the_stores() {
        let instance = |name: &str, id: &str, address: &str| Instance {
            name: name.to_owned(),
            id: id.to_owned(),
            address: address.to_owned(),
            port: 80,
            ..Instance::default()
        };
        for (given, key, value) in [
            (instance("web", "host:web.1:80", "10.0.0.1"), "/web/host:web.1:80", "10.0.0.1:80"),
            (instance("a/b", "..", "::1"), "/a%2Fb/%2E%2E", "[::1]:80"),
        ] {
            assert_eq!(entry(&given), (key.to_owned(), value.to_owned()));
        }
    }
}
