//! discoverd, the registry of Flynn: no longer maintained since 2021, and here for those who still run it.
//!
//! - **The spelling.** A service is an instance of the discoverd service with its name. An instance's ID is the digest of its
//!   protocol and address ([`instance`]), so two services of one name and one address are one instance.
//! - **The owner** stands in the instance's metadata (`registrator.owner`). An instance without it was registered by another
//!   program, and is never touched.
//! - **The end.** Registering is the heartbeat: what is not registered again within ten seconds is gone.
//! - **What is read.** There is no list of services, so only the names that were written or asked for are read.

mod client;
mod instance;
mod known;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::sleep;

use crate::config::RegistryConfig;
use crate::service::Service;

use super::batch;
use super::parameters::Parameters;
use super::reporter::Reporter;
use super::throttle::Throttle;
use super::uri::{Uri, redacted};
use super::web::{self, Kind};
use super::{About, Action, Capabilities, Change, Entry, OpenError, Registry, RegistryError, Scope, Site, Write};

use client::Client;
use instance::Instance;
use known::Known;

/// How often an instance is registered again. discoverd forgets it after 10 seconds.
const BEAT: Duration = Duration::from_secs(3);
/// How often one of our names is looked at, each in turn.
const LOOK: Duration = Duration::from_secs(5);

/// What is discoverd's own.
const KIND: Kind = Kind {
    name: "discoverd",
    topic: "discoverd",
    port: 1111,
    media: "application/json",
    deadline: Duration::from_secs(6),
    access: None,
};

/// Opens discoverd for `discoverd:`.
///
/// # Errors
/// When the URI cannot be used.
pub(super) fn open(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Arc<dyn Registry>, OpenError> {
    let bad = |reason: String| OpenError::BadUri { uri: redacted(&config.uri), reason };
    if !uri.path.trim_matches('/').is_empty() {
        return Err(bad("discoverd has no paths: write discoverd://host:1111".to_owned()));
    }
    let mut parameters = Parameters::read(uri.query).map_err(bad)?;
    let settings = web::Settings::new(&KIND, (uri, false), config, "", &mut parameters)?;
    parameters.finish(&[]).map_err(bad)?;
    Ok(Arc::new(Discoverd {
        client: Client::new(web::Client::new(&KIND, settings, reporter.clone())?),
        owner: config.owner.as_str().into(),
        throttle: Throttle::default(),
        known: Known::default(),
    }))
}

struct Discoverd {
    client: Client,
    owner: Arc<str>,
    throttle: Throttle,
    known: Known,
}

/// The instances of some names, by key.
type Instances = HashMap<String, Instance>;

impl Discoverd {
    fn is_ours(&self, instance: &Instance) -> bool {
        instance.owner.as_deref() == Some(&*self.owner)
    }

    /// The instances of some names.
    async fn instances(&self, names: &BTreeSet<String>) -> Result<Instances, RegistryError> {
        let names: Vec<_> = names.iter().collect();
        let mut all = Instances::new();
        for found in self.throttle.all(names.len(), |place| self.client.instances(names[place])).await {
            all.extend(found?.into_iter().map(|instance| (instance.key(), instance)));
        }
        Ok(all)
    }

    /// Makes one write, by what was there right before.
    async fn apply_one(&self, write: &Write, found: &Instances) -> Result<(), RegistryError> {
        match &write.action {
            Action::Put(service) => {
                let wanted = Instance::of(service, &self.owner)?;
                match found.get(&wanted.key()) {
                    Some(found) if !self.is_ours(found) => Err(found.taken()),
                    _ => self.register(&wanted).await,
                }
            }
            Action::Remove(entry) => match found.get(&*entry.key) {
                Some(found) if self.is_ours(found) => {
                    self.client.remove(found).await?;
                    self.known.removed(&entry.key);
                    Ok(())
                }
                // Ours is not there.
                _ => Ok(()),
            },
            Action::Mark(..) | Action::Unmark(_) => Ok(()),
        }
    }

    async fn register(&self, wanted: &Instance) -> Result<(), RegistryError> {
        self.client.register(wanted).await?;
        self.known.written(wanted);
        Ok(())
    }

    /// Registers again what is still there.
    async fn refresh_one(&self, service: &Service, found: &Instances) -> Result<(), RegistryError> {
        let wanted = Instance::of(service, &self.owner)?;
        match found.get(&wanted.key()) {
            Some(found) if self.is_ours(found) => self.register(&wanted).await,
            Some(found) => Err(found.taken()),
            None => Err(RegistryError::service("it is no longer registered")),
        }
    }

    /// Returns when one of our instances is not as it was written.
    async fn lost(&self) {
        loop {
            sleep(LOOK).await;
            let Some(name) = self.known.next() else { continue };
            let before = self.known.of(&name);
            let Ok(found) = self.client.instances(&name).await else { continue };
            // A write of ours may have come in between.
            if self.known.of(&name) == before && self.known.differs(&name, &found) {
                self.known.forget(&name);
                return;
            }
        }
    }

    /// The names of writes.
    fn names<'a>(keys: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
        keys.filter_map(|key| Some(key.split_once('/')?.0.to_owned())).collect()
    }
}

#[async_trait]
impl Registry for Discoverd {
    fn capabilities(&self) -> Capabilities {
        Capabilities { heartbeats: true, ..Capabilities::default() }
    }

    fn key(&self, service: &Service) -> Arc<str> {
        instance::key(service).into()
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        // What does not fit is refused when it is written.
        Instance::of(service, &self.owner).map_or(0, |instance| instance.fingerprint())
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        self.client.ping().await.map(drop)
    }

    async fn read(&self, scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
        self.client.ping().await?;
        let mut names = self.known.names();
        names.extend(Self::names(scope.keys.iter().flatten().map(|key| &**key)));
        let instances = self.instances(&names).await?;
        self.known.read(&names, instances.values(), |instance| self.is_ours(instance));
        Ok(instances.values().map(|instance| instance.entry(scope.contents)).collect())
    }

    async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
        let names = Self::names(writes.iter().map(|write| &*write.key));
        let found = match self.instances(&names).await {
            Ok(found) => found,
            Err(error) => return vec![Err(error); writes.len()],
        };
        batch::all(&self.throttle, "discoverd", writes.len(), |place| self.apply_one(&writes[place], &found)).await
    }

    fn continuity(&self) -> u64 {
        self.client.failures()
    }

    fn refresh_interval(&self, _service: &Service) -> Option<Duration> {
        Some(BEAT)
    }

    async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        let names = services.iter().map(|service| instance::name(service)).collect();
        let found = match self.instances(&names).await {
            Ok(found) => found,
            Err(error) => return vec![Err(error); services.len()],
        };
        let refresh = |place: usize| self.refresh_one(&services[place], &found);
        batch::all(&self.throttle, "discoverd", services.len(), refresh).await
    }

    async fn changed(&self) -> Change {
        self.lost().await;
        Change::Content
    }

    fn site(&self) -> Site {
        self.client.site()
    }

    async fn about(&self, _written: Option<&str>) -> Result<About, RegistryError> {
        let answer = self.client.ping().await?;
        Ok(About { name: self.client.place(&answer), clock: answer.clock(), ..About::default() })
    }
}
