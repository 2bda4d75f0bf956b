//! Looks at what [`super::judge`] decides from: the engine, the system, and each registry.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use super::engine::{self, Engine};
use super::instances::{self, Instance};
use super::interfaces;
use crate::ask::check::is_embedded;
use crate::config::{Config, Deregister, RegistryConfig};
use crate::container::Container;
use crate::desired::Desired;
use crate::event::Events;
use crate::host::desired::DesiredServices;
use crate::host::tagging::Tagged;
use crate::machine;
use crate::registry::{self, About, Cause, Entry, Opened, Policy, Registry, RegistryError, Scope, Store, redacted};
use crate::service::Service;

/// After this time, an entry without a container is still there: not one whose container has just ended.
const SETTLED: Duration = Duration::from_secs(3);

/// What was seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) engine: Engine,
    /// The host's name in service IDs.
    pub(super) hostname: String,
    /// The address at which published ports are registered; `None` if the containers' own ones are (`-internal`).
    pub(super) address: Option<String>,
    /// The engine's bridge that this is the address of.
    pub(super) bridge: Option<String>,
    /// What [`machine::advice`] says.
    pub(super) advice: Option<String>,
    /// Whether this process has a network of its own, so that the host's addresses are not seen.
    pub(super) on_a_bridge: bool,
    /// The container that this process runs in.
    pub(super) own_container: Option<String>,
    /// The instances that run as processes here.
    pub(super) instances: Vec<Instance>,
    pub(super) registries: Vec<SeenRegistry>,
}

/// What was seen of one registry.
#[derive(Clone, Debug)]
pub(super) struct SeenRegistry {
    /// Its URI without secrets.
    pub(super) name: String,
    pub(super) owner: String,
    pub(super) ttl: Option<Duration>,
    pub(super) ttl_refresh: Option<Duration>,
    pub(super) answer: Answer,
}

/// What a registry answered.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// It is embedded, and was not asked.
    Embedded,
    /// It cannot be used: one line.
    Failed(String),
    /// It refuses to be read: one line.
    Refused(String),
    /// It was read.
    Read(Held),
}

/// What a registry holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Held {
    pub(super) about: About,
    pub(super) store: Store,
    /// Whether the address of its node is one of this host; `None` if there is none.
    pub(super) is_here: Option<bool>,
    /// The IDs of our owner's entries for which nothing runs here.
    pub(super) strays: Vec<String>,
}

/// Looks at everything.
pub(super) async fn look(config: &Config) -> Seen {
    let hostname = config.service.hostname.clone();
    let found = match &config.service.ip {
        Some(_) => None,
        None => Some(machine::address(&hostname).await.address),
    };
    let address = config.service.ip.clone().or_else(|| found.clone());
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let engine = engine::look(&config.docker).await;
    let services = engine.containers.as_ref().map(|containers| desired(config, containers, address.as_deref()));
    let services = services.as_deref();
    let registries = join_all(config.registries.iter().map(|settings| {
        let judged = if config.bridge.deregister == Deregister::Never { None } else { services };
        registry(settings, judged)
    }));
    Seen {
        registries: registries.await,
        bridge: address.as_deref().and_then(|address| interfaces::bridge_of(&routes, address.parse().ok()?)),
        advice: machine::advice(&hostname, found.as_deref().filter(|_| !config.service.internal)),
        on_a_bridge: machine::is_on_a_bridge(),
        own_container: machine::own_container(),
        instances: instances::running(),
        address: address.filter(|_| !config.service.internal),
        engine,
        hostname,
    }
}

/// The services that should exist, as the daemon would describe them.
fn desired(config: &Config, containers: &[Container], address: Option<&str>) -> Vec<Arc<Service>> {
    let address = address.unwrap_or_default().to_owned();
    let mut desired = DesiredServices::new(config.service.clone(), config.bridge.deregister, address);
    let all =
        containers.iter().map(|container| Tagged { container: Arc::new(container.clone()), tags: Arc::default() });
    let updates = desired.replace(all.collect(), &[]);
    updates.iter().filter_map(|update| Desired::service(&update.desired)).cloned().collect()
}

/// Looks at one registry; `services` are those that should exist, if all are known and others are a mistake.
async fn registry(settings: &RegistryConfig, services: Option<&[Arc<Service>]>) -> SeenRegistry {
    let (ttl, ttl_refresh) = match registry::settings(settings) {
        Ok(settings) => (settings.ttl, settings.ttl_refresh),
        // Opening it tells what is wrong.
        Err(_) => (None, None),
    };
    let answer = if is_embedded(&settings.uri) { Answer::Embedded } else { asked(settings, services).await };
    SeenRegistry { name: redacted(&settings.uri), owner: settings.owner.clone(), ttl, ttl_refresh, answer }
}

async fn asked(settings: &RegistryConfig, services: Option<&[Arc<Service>]>) -> Answer {
    // Under an owner of its own: reading under ours would take over what a dead instance of it has left.
    let reader = format!("registrator-doctor-{:016x}", fastrand::u64(..));
    let opened = match registry::open(&RegistryConfig { owner: reader, ..settings.clone() }, &Events::new(|_| {})) {
        Ok(opened) => opened,
        Err(error) => return Answer::Failed(error.to_string()),
    };
    let answer = match held(&opened, &settings.owner, services).await {
        Ok(held) => Answer::Read(held),
        Err(RegistryError::Refused { cause: Cause::Rights, text }) => Answer::Refused(text),
        Err(error) => Answer::Failed(error.to_string()),
    };
    opened.registry.close().await;
    answer
}

async fn held(opened: &Opened, owner: &str, services: Option<&[Arc<Service>]>) -> Result<Held, RegistryError> {
    let registry = opened.registry.as_ref();
    registry.ping().await?;
    let entries = registry.read(&Scope::default()).await?;
    let about = registry.about(None).await.unwrap_or_default();
    // A session owns its entries there, so none can be ours.
    let owns = !registry.capabilities().sessions_own && opened.policy == Policy::Sync;
    let strays = match services.filter(|_| owns) {
        Some(services) => strays(registry, owner, &entries, services).await?,
        None => Vec::new(),
    };
    let is_here = about.address.as_deref().and_then(|address| address.parse().ok()).map(is_here);
    Ok(Held { store: registry.site().store, is_here, about, strays })
}

/// The IDs of the entries of this owner that are of none of these services, now and after a while.
async fn strays(
    registry: &dyn Registry,
    owner: &str,
    entries: &[Entry],
    services: &[Arc<Service>],
) -> Result<Vec<String>, RegistryError> {
    let wanted: HashSet<Arc<str>> = services.iter().map(|service| registry.key(service)).collect();
    let is_stray = |entry: &&Entry| entry.owner.as_deref() == Some(owner) && !wanted.contains(&entry.key);
    let keys: Vec<_> = entries.iter().filter(is_stray).map(|entry| Arc::clone(&entry.key)).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    sleep(SETTLED).await;
    let still: HashSet<_> = keys.iter().cloned().collect();
    let entries = registry.read(&Scope { keys: Some(keys), contents: false, looks: true }).await?;
    let mut ids: Vec<_> = entries
        .iter()
        .filter(is_stray)
        .filter(|entry| still.contains(&entry.key))
        .map(|entry| entry.service_id.to_string())
        .collect();
    ids.sort_unstable();
    Ok(ids)
}

/// Whether an address is one of this host: only then a socket can have it.
fn is_here(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_this_host_is_told_from_others() {
        assert!(is_here(IpAddr::from([127, 0, 0, 1])));
        // For documentation (RFC 5737): no host has it.
        assert!(!is_here(IpAddr::from([192, 0, 2, 7])));
    }
}
