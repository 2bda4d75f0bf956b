//! Netflix's Eureka, and Spring Cloud's server of it: the registry of Spring applications.
//!
//! - **The spelling.** A service is an instance of the application with its name (`WEB`), with its ID as instance ID, and its
//!   name in lower case as `vipAddress`, by which Spring looks it up. [`spelling`] has it byte for byte.
//! - **The owner** stands in the instance's metadata (`registrator.owner`). What has none of our metadata was registered by
//!   another program, and is never touched, whatever its ID.
//! - **The end.** A lease is renewed by heartbeats. After a crash it expires, 2 × 90 seconds after the last one; but a server
//!   in self-preservation, which small ones nearly always are, lets nothing expire. So what a crashed run left is found by its
//!   owner at the next start, and removed.
//! - **Failures.** [`client`] says which answers are `Unreachable` (also 403 of a server that waits for its peers' data), and
//!   which are `Refused`; `Taken` comes from the instance that is read right before each write ([`write`]).

mod client;
mod instance;
mod known;
mod settings;
pub(super) mod spelling;
mod write;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::http::StatusCode;
use async_trait::async_trait;
use tokio::time::sleep;

use crate::config::RegistryConfig;
use crate::service::Service;

use super::batch;
use super::reporter::Reporter;
use super::text::one_line;
use super::throttle::Throttle;
use super::uri::Uri;
use super::web::Question;
use super::{About, Action, Capabilities, Change, Entry, OpenError, Registry, RegistryError, Scope, Site, Write};

use client::Client;
use instance::Instance;
use known::Knowledge;
use settings::Settings;
use spelling::Style;
use write::Writer;

/// How often one of our instances is looked at, each in turn: a server that lost everything is noticed at once.
const LOOK: Duration = Duration::from_secs(5);
/// How many characters of a name or attribute a line repeats.
const NAME_LIMIT: usize = 100;

/// Opens Eureka for `eureka:` and `eureka-tls:`.
///
/// # Errors
/// When the URI or the `EUREKA_*` variables cannot be used.
pub(super) fn open(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Arc<dyn Registry>, OpenError> {
    let settings = Settings::new(uri, config)?;
    let client = Client::new(settings, reporter.clone())?;
    Ok(Arc::new(Eureka {
        client,
        owner: config.record_owner.then(|| config.owner.as_str().into()),
        ttl_refresh: config.ttl_refresh,
        throttle: Throttle::default(),
        known: Knowledge::default(),
        reporter: reporter.clone(),
    }))
}

struct Eureka {
    client: Client,
    /// The owner to record with each entry, if any.
    owner: Option<Arc<str>>,
    /// How often entries with a TTL are refreshed.
    ttl_refresh: Option<Duration>,
    throttle: Throttle,
    known: Knowledge,
    reporter: Reporter,
}

impl Eureka {
    fn style(&self) -> Style<'_> {
        Style { owner: self.owner.as_deref(), refresh: self.ttl_refresh }
    }

    /// All instances, as they are now where we wrote lately.
    async fn instances(&self) -> Result<HashMap<Arc<str>, Instance>, RegistryError> {
        let answer = self.client.list().await?;
        let Some(list) = instance::list(&answer.body) else {
            return Err(self.client.no_eureka(&answer, "its answer is no list of applications"));
        };
        let mut instances: HashMap<_, _> = list.into_iter().map(|instance| (instance.key(), instance)).collect();
        let doubtful = self.known.doubtful(&instances);
        let read = self.throttle.all(doubtful.len(), |place| write::read(&self.client, &doubtful[place])).await;
        for (key, found) in doubtful.iter().zip(read) {
            match found? {
                Some(instance) => drop(instances.insert(Arc::clone(key), instance)),
                None => drop(instances.remove(key)),
            }
        }
        let is_ours = |instance: &&Instance| instance.is_of_registrator() && instance.owner() == self.owner.as_deref();
        self.known.read(instances.values().filter(is_ours));
        Ok(instances)
    }

    /// Says which attributes Eureka does not get.
    fn tell_left_out(&self, service: &Service) {
        let left_out = spelling::left_out(service);
        if !left_out.is_empty() {
            let attributes: Vec<_> =
                left_out.iter().map(|(key, reason)| format!("{} ({reason})", one_line(key, NAME_LIMIT))).collect();
            let text = format!(
                "eureka: {}: attributes that Eureka does not take are left out: {}",
                one_line(&service.id, NAME_LIMIT),
                one_line(&attributes.join(", "), 5 * NAME_LIMIT),
            );
            self.reporter.warn("attributes_left_out", text);
        }
    }

    async fn apply_one(&self, write: &Write) -> Result<(), RegistryError> {
        if let Action::Put(service) = &write.action {
            self.tell_left_out(service);
        }
        Writer { client: &self.client, known: &self.known, style: self.style() }.apply(write).await
    }

    /// Sends a heartbeat.
    async fn refresh_one(&self, service: &Service) -> Result<(), RegistryError> {
        let key = self.key(service);
        let wanted = spelling::instance(service, self.style())?;
        let mut path = format!("apps/{key}?status={}", wanted.status.as_str());
        if let Some(dirty) = self.known.dirty(&key) {
            path = format!("{path}&lastDirtyTimestamp={dirty}");
        }
        let answer = self.client.ask(Question::put(&path)).await?;
        match answer.status {
            // Also where the server has an older one: what is known of it no longer holds.
            StatusCode::NOT_FOUND => {
                self.known.forget(&key);
                Err(RegistryError::service("it is no longer registered"))
            }
            status if status.is_success() => Ok(()),
            _ => Err(self.client.refusal(&answer, false)),
        }
    }

    /// Returns when one of our instances is not as it was written.
    async fn lost(&self) {
        loop {
            sleep(LOOK).await;
            let Some(key) = self.known.next() else { continue };
            let before = self.known.fingerprint(&key);
            let Ok(found) = write::read(&self.client, &key).await else { continue };
            // A write of ours may have come in between.
            if self.known.fingerprint(&key) == before
                && found.as_ref().map(Instance::fingerprint) != before
                && before.is_some()
            {
                self.known.forget(&key);
                return;
            }
        }
    }
}

#[async_trait]
impl Registry for Eureka {
    fn capabilities(&self) -> Capabilities {
        Capabilities { marks: true, heartbeats: true, ..Capabilities::default() }
    }

    fn key(&self, service: &Service) -> Arc<str> {
        spelling::key(service)
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        // What Eureka could not hold is refused when it is written.
        spelling::instance(service, self.style()).map_or(0, |instance| instance.fingerprint())
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        let answer = self.client.list().await?;
        match instance::list(&answer.body) {
            Some(_) => Ok(()),
            None => Err(self.client.no_eureka(&answer, "its answer is no list of applications")),
        }
    }

    fn site(&self) -> Site {
        self.client.site()
    }

    async fn about(&self, _written: Option<&str>) -> Result<About, RegistryError> {
        self.client.about().await
    }

    async fn read(&self, scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
        let instances = self.instances().await?;
        Ok(instances.values().map(|instance| instance.entry(scope.contents)).collect())
    }

    async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
        batch::all(&self.throttle, "Eureka", writes.len(), |place| self.apply_one(&writes[place])).await
    }

    fn continuity(&self) -> u64 {
        self.client.failures()
    }

    fn refresh_interval(&self, service: &Service) -> Option<Duration> {
        Some(Duration::from_secs(spelling::lease(service, self.ttl_refresh).0))
    }

    async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        batch::all(&self.throttle, "Eureka", services.len(), |place| self.refresh_one(&services[place])).await
    }

    async fn changed(&self) -> Change {
        tokio::select! {
            () = self.lost() => Change::Content,
            () = self.client.credentials_changed() => Change::Credentials,
        }
    }
}
