//! Consul's agent: the services of its node, with their checks.
//!
//! The agent is the authority for its node, so everything is read from it and written to it. Only [`watch`] asks the
//! catalog, because the agent has no blocking queries. [`spelling`] and [`check`] translate services, [`client`] sends
//! requests.

pub(super) mod catalog;
mod check;
mod claimed;
mod client;
mod critical;
pub(super) mod kv;
mod list;
pub(super) mod settings;
pub(super) mod spelling;
mod token;
mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::config::RegistryConfig;
use crate::json::{Shape, Value};
use crate::service::Service;

use super::batch;
use super::reporter::Reporter;
use super::text::one_line;
use super::throttle::Throttle;
use super::uri::Uri;
use super::{
    About, Action, Capabilities, Change, Entry, Mark, Marked, OpenError, Registry, RegistryError, Scope, Site, Store,
    Write,
};

use client::{Client, Question};
use critical::Criticals;
use list::List;
use settings::{Settings, TLS_NAMES};
use spelling::{Checks, Compare, HeldCheck, Reader};
use watch::Watch;

/// The shortest interval of heartbeats for a TTL check, so that a tiny TTL does not keep the agent busy.
const LEAST_REFRESH: Duration = Duration::from_millis(200);
/// How many characters of a name or attribute a line repeats.
const NAME_LIMIT: usize = 100;

/// Opens a Consul agent for `consul:`, `consul-tls:` and `consul-unix:`.
///
/// # Errors
/// When the URI or the `CONSUL_*` variables cannot be used.
pub(super) fn open(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Arc<dyn Registry>, OpenError> {
    if settings::is_tree(uri) {
        return kv::open(uri, config, reporter);
    }
    let settings = Settings::new(uri, config)?;
    let owner = settings.owner.as_deref().map(Arc::from);
    let client = Client::new(settings, reporter.clone())
        .map_err(|error| OpenError::Settings(format!("consul: {}", TLS_NAMES.of_files(&error))))?;
    Ok(Arc::new(Consul {
        client,
        owner,
        types_untold: AtomicBool::new(false),
        ttl_refresh: config.ttl_refresh,
        throttle: Throttle::default(),
        watch: Watch::new(reporter.clone()),
        criticals: Criticals::default(),
        hostname: config.hostname.clone(),
        reporter: reporter.clone(),
    }))
}

struct Consul {
    client: Client,
    /// The owner to record with each entry, if any.
    owner: Option<Arc<str>>,
    /// Whether the agent is known not to return the types of checks.
    types_untold: AtomicBool,
    /// How often entries with a TTL are refreshed.
    ttl_refresh: Option<Duration>,
    throttle: Throttle,
    watch: Watch,
    criticals: Criticals,
    /// The prefix of this host's default IDs.
    hostname: String,
    reporter: Reporter,
}

impl Consul {
    fn compare(&self) -> Compare {
        if self.owner.is_some() {
            Compare::Notes
        } else if self.types_untold.load(Ordering::Relaxed) {
            Compare::Presence
        } else {
            Compare::Type
        }
    }

    /// Reads a list of the agent, entry by entry.
    async fn list(
        &self,
        what: &str,
        shape: &'static Shape,
        take: impl FnMut(&str, Value<'_>) + Send,
    ) -> Result<(), RegistryError> {
        let list = List::new(shape, take);
        let answer = self.client.read(Question::get(&["agent", what]), "service:read", list).await?;
        if answer.body.end() {
            Ok(())
        } else {
            Err(self.client.unreachable(&format!("its list of {what} is none: is this a Consul agent?")))
        }
    }

    /// All checks of the agent.
    async fn checks(&self) -> Result<Checks, RegistryError> {
        let mut checks = Checks::new();
        self.list("checks", &HeldCheck::SHAPE, |id, said| drop(checks.insert(id.to_owned(), HeldCheck::read(&said))))
            .await?;
        Ok(checks)
    }

    /// Appends the agent's entries to these.
    async fn read_into(&self, mut entries: Vec<Entry>, contents: bool) -> Result<Vec<Entry>, RegistryError> {
        // Checks first, because each service is read with its own. A service registered between the two requests
        // differs from the desired one until the next read.
        let checks = self.checks().await?;
        if checks.iter().any(|(id, check)| spelling::is_of_a_service(id) && check.kind.is_empty()) {
            self.types_untold.store(true, Ordering::Relaxed);
        }
        let compare = self.compare();
        self.criticals.read(&checks, compare);
        let reader = Reader { checks: &checks, compare, owner: self.owner.as_ref(), contents };
        let take = |id: &str, service: Value<'_>| entries.push(spelling::entry(id, &service, reader));
        self.list("services", &spelling::READ, take).await?;
        Ok(entries)
    }

    async fn register_one(&self, service: &Service) -> Result<(), RegistryError> {
        if let Some(reason) = spelling::id_objection(&service.id) {
            return Err(RegistryError::service(reason));
        }
        let left_out = spelling::left_out(service, self.owner.as_deref());
        if !left_out.is_empty() {
            let attributes: Vec<_> =
                left_out.iter().map(|(key, reason)| format!("{} ({reason})", one_line(key, NAME_LIMIT))).collect();
            let text = format!(
                "consul: {}: attributes that Consul does not take are left out: {}",
                one_line(&service.id, NAME_LIMIT),
                one_line(&attributes.join(", "), 5 * NAME_LIMIT),
            );
            self.reporter.warn("attributes_left_out", text);
        }
        let body = serde_json::to_vec(&spelling::registration(service, self.owner.as_deref()))
            .map_err(|error| RegistryError::service(error.to_string()))?;
        if service.check.as_ref().is_some_and(|check| check.deregister_after.is_some()) {
            self.criticals.need();
        }
        let replace = [("replace-existing-checks", "true")];
        self.client.put(&["agent", "service", "register"], &replace, Some(body), &write_right(&service.name)).await?;
        // The agent keeps the state of a known check, so an expired one would stay critical.
        self.refresh_one(service).await
    }

    async fn deregister_one(&self, entry: &Entry) -> Result<(), RegistryError> {
        if let Some(reason) = spelling::id_objection(&entry.key) {
            return Err(RegistryError::service(reason));
        }
        let path = ["agent", "service", "deregister", &entry.key];
        let right = format!("service:write for the service with the ID \"{}\"", one_line(&entry.key, NAME_LIMIT));
        match self.client.put(&path, &[], None, &right).await {
            // With ACLs, and in later releases without, the agent reports an error if there is nothing to remove.
            Err(RegistryError::Refused { text, .. }) if text.starts_with("Unknown service") => Ok(()),
            other => other,
        }
    }

    /// Sends a heartbeat to a check of a service.
    async fn send_heartbeat(&self, service: &Service, check: &str, is_well: bool) -> Result<(), RegistryError> {
        let path = ["agent", "check", if is_well { "pass" } else { "fail" }, check];
        self.client.put(&path, &[], None, &write_right(&service.name)).await
    }

    /// The agent's maintenance mode of a service: an additional critical check, whatever the others say. It stays after
    /// this program and the agent have restarted.
    async fn mark_one(&self, entry: &Entry, mark: Option<Mark>) -> Result<(), RegistryError> {
        let path = ["agent", "service", "maintenance", &entry.key];
        let right = format!("service:write for the service with the ID \"{}\"", one_line(&entry.key, NAME_LIMIT));
        let reason = mark.map(|mark| spelling::mark_reason(mark.reason()));
        let query = match &reason {
            Some(reason) => vec![("enable", "true"), ("reason", reason.as_str())],
            None => vec![("enable", "false")],
        };
        self.client.put(&path, &query, None, &right).await
    }

    /// Makes one write; `checks` are the agent's, needed to remove a mark.
    async fn apply_one(&self, write: &Write, checks: &Result<Checks, RegistryError>) -> Result<(), RegistryError> {
        if claimed::is_claimed(write, &self.hostname) {
            let found = claimed::find(&self.client, &write.key).await?;
            claimed::permit(found.as_ref(), write, self.owner.as_deref())?;
        }
        match &write.action {
            Action::Put(service) => self.register_one(service).await,
            Action::Remove(entry) => self.deregister_one(entry).await,
            Action::Mark(entry, mark) => self.mark_one(entry, Some(*mark)).await,
            Action::Unmark(entry) => match checks {
                Ok(checks) if spelling::marked(&entry.key, checks) != Marked::Ours => Ok(()),
                Ok(_) => self.mark_one(entry, None).await,
                Err(error) => Err(error.clone()),
            },
        }
    }

    async fn refresh_one(&self, service: &Service) -> Result<(), RegistryError> {
        if check::heartbeat(service).is_some() {
            self.send_heartbeat(service, &spelling::check_id(&service.id), check::is_well(service)).await?;
        }
        if service.ttl.is_some() {
            self.send_heartbeat(service, &check::lease_id(&service.id), true).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Registry for Consul {
    fn capabilities(&self) -> Capabilities {
        Capabilities { marks: true, ..Capabilities::default() }
    }

    fn key(&self, service: &Service) -> Arc<str> {
        Arc::clone(&service.id)
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        spelling::fingerprint(service, self.owner.as_deref(), self.compare())
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        let leader = self.client.reach().await?;
        self.reporter.info("leader", format!("consul: current leader  {}", one_line(&leader, NAME_LIMIT)));
        Ok(())
    }

    fn site(&self) -> Site {
        self.client.site(Store::Consul)
    }

    async fn about(&self, _written: Option<&str>) -> Result<About, RegistryError> {
        self.client.about().await
    }

    async fn read(&self, scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
        // Most of an agent's entries are usually ours, so reserving space for all of them wastes nothing.
        let room = scope.keys.as_ref().map_or(0, |keys| keys.len() + 1);
        self.read_into(Vec::with_capacity(room), scope.contents).await
    }

    async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
        // Enabling maintenance mode keeps an existing one; disabling it must not remove another's.
        let unmarks = writes.iter().any(|write| matches!(write.action, Action::Unmark(_)));
        let checks = if unmarks { self.checks().await } else { Ok(Checks::new()) };
        let results =
            batch::all(&self.throttle, "Consul", writes.len(), |place| self.apply_one(&writes[place], &checks)).await;
        if results.iter().any(Result::is_ok) {
            self.watch.wrote();
        }
        results
    }

    fn continuity(&self) -> u64 {
        self.client.failures()
    }

    fn refresh_interval(&self, service: &Service) -> Option<Duration> {
        let lease = service.ttl.map(|ttl| self.ttl_refresh.unwrap_or(ttl / 3));
        let check = check::heartbeat(service).map(|ttl| (ttl / 3).max(LEAST_REFRESH));
        lease.into_iter().chain(check).min()
    }

    async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        batch::all(&self.throttle, "Consul", services.len(), |place| self.refresh_one(&services[place])).await
    }

    async fn changed(&self) -> Change {
        tokio::select! {
            () = self.watch.changed(&self.client) => {}
            () = self.criticals.changed(&self.client, || self.compare()) => {}
            () = self.client.credentials_changed() => return Change::Credentials,
        }
        Change::Content
    }
}

/// The ACL rule that registering needs.
fn write_right(name: &str) -> String {
    format!("service:write on \"{}\"", one_line(name, NAME_LIMIT))
}
