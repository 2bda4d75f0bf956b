//! The services of all nodes with their health, from Consul's catalog or whatever serves its read API
//! (<https://developer.hashicorp.com/consul/api-docs/health>).

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use super::client::{Client, DEADLINE};
use super::kv::parsed;
use super::settings::{Settings, TLS_NAMES};
use crate::config::RegistryConfig;
use crate::registry::reader::Mark;
use crate::registry::reporter::Reporter;
use crate::registry::services::{ServiceReader, sorted};
use crate::registry::uri::Uri;
use crate::registry::{OpenError, RegistryError};
use crate::template::{Health, Instance};

/// How many services are asked for at once.
const CONCURRENCY: usize = 16;
/// How long a blocking query waits, and its deadline. Short, because a Consul that has lost its data lets a query wait
/// whose index it has not reached yet.
const WAIT: &str = "10s";
const WAIT_DEADLINE: Duration = Duration::from_secs(21);
/// The shortest time between two readings, for each service; and the longest pause if queries do not block.
const PACE: Duration = Duration::from_millis(100);
const PACE_OF_A_SERVICE: Duration = Duration::from_millis(1);
const BLIND_PACE: Duration = Duration::from_secs(10);
/// The rights that reading needs.
const RIGHT: &str = "service_prefix:read and node_prefix:read on \"\"";

/// Opens the catalog for reading.
///
/// # Errors
/// When the URI or the `CONSUL_*` variables cannot be used.
pub(in crate::registry) fn open(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Catalog, OpenError> {
    let client = Client::new(Settings::new(uri, config)?, reporter.clone())
        .map_err(|error| OpenError::Settings(format!("consul: {}", TLS_NAMES.of_files(&error))))?;
    Ok(Catalog { client })
}

/// A catalog.
pub(in crate::registry) struct Catalog {
    client: Client,
}

/// One instance, as `/v1/health/service/<name>` gives it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Row {
    node: Node,
    service: Service,
    #[serde(default)]
    checks: Option<Vec<Check>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Node {
    node: String,
    #[serde(default)]
    address: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Service {
    #[serde(rename = "ID")]
    id: String,
    service: String,
    #[serde(default)]
    address: String,
    #[serde(default)]
    port: u16,
    #[serde(default)]
    tags: Option<Vec<String>>,
    #[serde(default)]
    meta: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Check {
    #[serde(default)]
    status: String,
}

impl From<Row> for Instance {
    fn from(Row { node, service, checks }: Row) -> Self {
        let health = |check: &Check| match check.status.as_str() {
            "passing" => Health::Passing,
            "warning" => Health::Warning,
            // Maintenance is a critical check.
            _ => Health::Critical,
        };
        Self {
            id: service.id,
            name: service.service,
            address: if service.address.is_empty() { node.address } else { service.address },
            port: service.port,
            tags: service.tags.unwrap_or_default(),
            attrs: service.meta.unwrap_or_default(),
            health: checks.unwrap_or_default().iter().map(health).max().unwrap_or_default(),
            node: node.node,
            container: String::new(),
        }
    }
}

/// The indexes to wait with: of the services, and of the checks.
type Indexes = [Option<u64>; 2];

/// What a change of either shows in.
const PATHS: [&[&str]; 2] = [&["catalog", "services"], &["health", "state", "any"]];

impl Catalog {
    async fn instances(&self) -> Result<Vec<Instance>, RegistryError> {
        let answer = self.client.get(PATHS[0], &[], DEADLINE, RIGHT).await?;
        let names: BTreeMap<String, serde_json::Value> = parsed(&self.client, &answer)?;
        let of = |name: String| async move {
            let answer = self.client.get(&["health", "service", &name], &[], DEADLINE, RIGHT).await?;
            let rows: Vec<Row> = parsed(&self.client, &answer)?;
            Ok::<_, RegistryError>(rows.into_iter().map(Instance::from).collect::<Vec<_>>())
        };
        let asked: Vec<_> = names.into_keys().map(of).collect();
        let found: Vec<_> = stream::iter(asked).buffer_unordered(CONCURRENCY).try_collect().await?;
        Ok(sorted(found.into_iter().flatten().collect()))
    }

    /// Where both are now.
    async fn indexes(&self) -> Result<Indexes, RegistryError> {
        let mut indexes = [None; 2];
        for (index, path) in indexes.iter_mut().zip(PATHS) {
            *index = self.client.get(path, &[], DEADLINE, RIGHT).await?.index;
        }
        Ok(indexes)
    }

    /// Waits until one of them goes on, or for a while.
    async fn wait(&self, [services, checks]: Indexes) -> Result<(), RegistryError> {
        let wait = async |path: &[&str], index: Option<u64>| match index {
            None => {
                sleep(BLIND_PACE).await;
                Ok(())
            }
            Some(index) => {
                let index = index.to_string();
                let query = [("index", index.as_str()), ("wait", WAIT)];
                self.client.get(path, &query, WAIT_DEADLINE, RIGHT).await.map(drop)
            }
        };
        tokio::select! {
            waited = wait(PATHS[0], services) => waited,
            waited = wait(PATHS[1], checks) => waited,
        }
    }
}

fn digest(instances: &[Instance]) -> Mark {
    let mut hasher = DefaultHasher::new();
    for Instance { id, name, address, port, tags, attrs, health, node, container } in instances {
        (id, name, address, port, tags, attrs, health, node, container).hash(&mut hasher);
    }
    hasher.finish()
}

#[async_trait]
impl ServiceReader for Catalog {
    async fn read(&self) -> Result<Vec<Instance>, RegistryError> {
        self.instances().await
    }

    async fn mark(&self) -> Result<Mark, RegistryError> {
        Ok(digest(&self.instances().await?))
    }

    async fn changed(&self, since: Mark) -> Result<Mark, RegistryError> {
        let mut pause = PACE;
        loop {
            // Asked for before the services are read, so that nothing is missed between.
            let indexes = self.indexes().await?;
            let instances = self.instances().await?;
            let now = digest(&instances);
            if now != since {
                return Ok(now);
            }
            let began = Instant::now();
            self.wait(indexes).await?;
            // Queries that end at once and show nothing are sent less and less often.
            pause = if began.elapsed() < PACE { (pause * 2).min(BLIND_PACE) } else { PACE };
            let many = u32::try_from(instances.len()).unwrap_or(u32::MAX);
            sleep(pause.max((PACE_OF_A_SERVICE * many).min(BLIND_PACE))).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_an_instance_with_the_worst_health_of_its_checks() {
        let row = r#"{"Node": {"Node": "n1", "Address": "10.0.0.1"},
            "Service": {"ID": "web-1", "Service": "web", "Address": "", "Port": 80, "Tags": null, "Meta": {"a": "b"}},
            "Checks": [{"Status": "passing"}, {"Status": "critical"}, {"Status": "warning"}]}"#;
        let instance = Instance::from(serde_json::from_str::<Row>(row).unwrap());
        let expected = Instance {
            id: "web-1".to_owned(),
            name: "web".to_owned(),
            address: "10.0.0.1".to_owned(),
            port: 80,
            attrs: [("a".to_owned(), "b".to_owned())].into(),
            health: Health::Critical,
            node: "n1".to_owned(),
            ..Instance::default()
        };
        assert_eq!(instance, expected);
        let plain =
            r#"{"Node": {"Node": "n"}, "Service": {"ID": "x", "Service": "x", "Address": "a"}, "Checks": null}"#;
        let instance = Instance::from(serde_json::from_str::<Row>(plain).unwrap());
        assert_eq!((instance.health, instance.address.as_str()), (Health::Passing, "a"));
    }
}
