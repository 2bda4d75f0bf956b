//! Who looks after the services' checks: one task for each, which probes and reports to the catalog.
//!
//! Statuses and words are those of Consul's agent. A probe begins at a random moment within its first
//! interval, so that a hundred checks do not all fire at once, and only so many run at the same time.
//!
//! A service that is critical for longer than its check allows (a minute at least) is withdrawn: it is in
//! no answer any more. Consul would forget it, and the bridge would register it anew at its next look,
//! again and again while its container runs; here its check goes on, and its first result that is not
//! critical brings it back.

mod dial;
mod grpc;
mod http;
mod output;
mod script;
mod tcp;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::catalog::{Catalog, ProbeId, Registered, Status};
use crate::service::{Check, CheckKind, Service};

/// The shortest interval; a shorter one is lengthened to it, as Consul does.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);
/// How long a probe may take where neither the check nor its interval says less.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a script may take.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(30);
/// The least time for which a service must be critical before it is withdrawn.
const SHORTEST_CRITICAL: Duration = Duration::from_secs(60);
/// Probes that run at the same time.
const PROBES: usize = 64;

/// What a probe found.
type Outcome = (Status, String);

/// Runs the checks of every registered service, until it is dropped.
pub(super) struct Checks {
    catalog: Arc<Catalog>,
    running: Mutex<HashMap<Arc<str>, Running>>,
    tools: Arc<Tools>,
}

/// What probes share.
struct Tools {
    permits: Semaphore,
    http: http::Clients,
    grpc: grpc::Connectors,
}

/// One check: its task ends with it.
struct Running {
    /// Notified at each sign of life, for a TTL check.
    beat: Option<Arc<Notify>>,
    _task: AbortOnDropHandle<()>,
}

impl Checks {
    /// # Errors
    /// When TLS cannot be set up.
    pub(super) fn new(catalog: Arc<Catalog>) -> Result<Self, crate::http::ClientError> {
        let tools =
            Tools { permits: Semaphore::new(PROBES), http: http::Clients::new()?, grpc: grpc::Connectors::new()? };
        Ok(Self { catalog, running: Mutex::default(), tools: Arc::new(tools) })
    }

    /// Looks after the check of a service that was just registered.
    pub(super) fn follow(&self, service: &Arc<Service>, registered: Registered) {
        let Some(check) = service.check.as_deref() else {
            self.forget(&service.id);
            return;
        };
        let mut running = self.running();
        if !registered.fresh
            && let Some(known) = running.get(&service.id)
        {
            if let Some(beat) = &known.beat {
                beat.notify_one();
            }
            return;
        }
        let follower = Follower {
            catalog: Arc::clone(&self.catalog),
            service: Arc::clone(service),
            probe: registered.probe,
            patience: check.deregister_after.map(|after| after.max(SHORTEST_CRITICAL)),
            critical_since: registered.critical.then(Instant::now),
        };
        let (beat, task) = match check.kind {
            CheckKind::Ttl(ttl) => {
                let beat = Arc::new(Notify::new());
                (Some(Arc::clone(&beat)), tokio::spawn(follower.await_beats(ttl, beat)))
            }
            _ => (None, tokio::spawn(follower.run_probes(check.clone(), Arc::clone(&self.tools)))),
        };
        running.insert(service.id.clone(), Running { beat, _task: AbortOnDropHandle::new(task) });
    }

    /// Ends the check of a service that is gone.
    pub(super) fn forget(&self, id: &str) {
        self.running().remove(id);
    }

    /// A sign of life of a service with a TTL check: it passes from now on for its TTL.
    pub(super) fn beat(&self, id: &str, probe: ProbeId) {
        if let Some(beat) = self.running().get(id).and_then(|running| running.beat.as_ref()) {
            beat.notify_one();
            self.catalog.report(id, probe, Status::Passing, "");
        }
    }

    fn running(&self) -> MutexGuard<'_, HashMap<Arc<str>, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The task behind one check.
struct Follower {
    catalog: Arc<Catalog>,
    service: Arc<Service>,
    probe: ProbeId,
    /// How long the service may be critical before it is withdrawn.
    patience: Option<Duration>,
    critical_since: Option<Instant>,
}

impl Follower {
    async fn run_probes(mut self, check: Check, tools: Arc<Tools>) {
        let interval = check.interval.max(SHORTEST_INTERVAL);
        let mut next = Instant::now() + interval.mul_f64(fastrand::f64());
        loop {
            self.sleep_until(next).await;
            let (status, output) = {
                let Ok(_permit) = tools.permits.acquire().await else { return };
                probe(&self.service, &check, &tools).await
            };
            self.report(status, &output);
            next = Instant::now() + interval;
        }
    }

    async fn await_beats(mut self, ttl: Duration, beat: Arc<Notify>) {
        loop {
            let beaten = timeout_at(Instant::now() + ttl, beat.notified()).await;
            if beaten.is_ok() {
                self.critical_since = None;
                continue;
            }
            self.report(Status::Critical, "TTL expired");
            let end = self.end_of_patience();
            let again = async {
                match end {
                    Some(end) => timeout_at(end, beat.notified()).await.is_ok(),
                    None => {
                        beat.notified().await;
                        true
                    }
                }
            };
            if !again.await {
                self.catalog.withdraw(&self.service.id, self.probe);
                beat.notified().await;
            }
            self.critical_since = None;
        }
    }

    fn report(&mut self, status: Status, output: &str) {
        let was_critical = self.critical_since.take();
        if status == Status::Critical {
            self.critical_since = was_critical.or_else(|| Some(Instant::now()));
        }
        self.catalog.report(&self.service.id, self.probe, status, output);
    }

    fn end_of_patience(&self) -> Option<Instant> {
        Some(self.critical_since? + self.patience?)
    }

    /// Sleeps, and withdraws the service should its time come meanwhile.
    async fn sleep_until(&self, next: Instant) {
        if let Some(end) = self.end_of_patience().filter(|end| *end < next) {
            sleep_until(end).await;
            self.catalog.withdraw(&self.service.id, self.probe);
        }
        sleep_until(next).await;
    }
}

/// Looks once, for no longer than the check allows.
async fn probe(service: &Service, check: &Check, tools: &Tools) -> Outcome {
    let target = service.authority();
    let limit = check.timeout.unwrap_or(PROBE_TIMEOUT.min(check.interval.max(SHORTEST_INTERVAL)));
    match &check.kind {
        CheckKind::Http { tls, path, method, skip_verify } => {
            let scheme = if *tls { "https" } else { "http" };
            let url = format!("{scheme}://{target}{path}");
            tools.http.probe(&url, method.as_deref().unwrap_or("GET"), *skip_verify, limit).await
        }
        CheckKind::Tcp => tcp::probe(&target, limit).await,
        CheckKind::Grpc { tls, skip_verify } => {
            let tls = tls.then(|| tools.grpc.connector(*skip_verify));
            grpc::probe(&service.address, &target, tls, limit).await
        }
        CheckKind::Command(command) => {
            let origin = &service.origin;
            let port = origin.exposed_port.to_string();
            script::run("check-cmd", &[origin.container.short(), &port, command], SCRIPT_TIMEOUT).await
        }
        CheckKind::Script(script) => script::run("sh", &["-c", script], SCRIPT_TIMEOUT).await,
        // It has no probe: somebody else says that it lives.
        CheckKind::Ttl(_) => (Status::Passing, String::new()),
    }
}

#[cfg(test)]
mod tests;
