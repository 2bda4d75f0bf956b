//! Who looks after the services' checks: one task for each, which probes and reports to the catalog.
//!
//! Statuses and words are those of Consul's agent. A probe begins at a random moment within its first
//! interval, so that a hundred checks do not all fire at once, and only so many run at the same time (`crate::permits`).
//! What a probe may do to others is decided in `policy`.
//!
//! A service that is critical for longer than its check allows (a minute at least) is withdrawn: it is in
//! no answer any more. Consul would forget it, and whoever registers it would write it anew at the next comparison,
//! again and again while its container runs; here its check goes on, and its first result that is not
//! critical brings it back.

mod dial;
mod grpc;
mod http;
mod output;
mod policy;
mod script;
mod tcp;

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::catalog::{Catalog, ProbeId, Registered, Status};
use crate::Tls;
use crate::definition::{Check, CheckKind, Definition};
use dial::Dialer;
use policy::Policy;
use registrator_web::Network;
use registrator_web::{Permits, Room};

/// How long a script may take.
const SCRIPT_TIMEOUT: Duration = Duration::from_secs(30);
/// The least time for which a service must be critical before it is withdrawn.
const SHORTEST_CRITICAL: Duration = Duration::from_secs(60);
/// Probes that run at the same time. One that goes to a silent address holds its permit for all of its time.
const ROOM: Room = Room { most: 64, reserve: 64, share: 16 };
/// The most of what a check says that is kept, in bytes: what it looked at, and the beginning of what it found.
const LONGEST_OUTPUT: usize = output::LONGEST + 1024;

/// Leave to run one probe.
type Permit = registrator_web::Permit<Arc<str>>;

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
    policy: Policy,
    /// By container.
    permits: Permits<Arc<str>>,
    http: http::Client,
    grpc: grpc::Connectors,
}

/// One check: its task ends with it.
struct Running {
    /// Notified at each keep-alive, for a TTL check.
    alive: Option<Arc<Notify>>,
    _task: AbortOnDropHandle<()>,
}

impl Checks {
    pub(super) fn new(catalog: Arc<Catalog>, tls: &Tls, networks: Vec<Network>) -> Self {
        let tools = Tools {
            policy: Policy::new(networks),
            permits: Permits::new(ROOM),
            http: http::Client::new(tls),
            grpc: grpc::Connectors::new(tls),
        };
        Self { catalog, running: Mutex::default(), tools: Arc::new(tools) }
    }

    /// Looks after the check of a service that was just registered.
    pub(super) fn follow(&self, registered: Registered) {
        let definition = registered.definition;
        let Some(check) = definition.check.as_ref() else {
            self.forget(&definition.id);
            return;
        };
        let mut running = self.running();
        if !registered.fresh
            && let Some(known) = running.get(&definition.id)
        {
            if let Some(alive) = &known.alive {
                alive.notify_one();
            }
            return;
        }
        let follower = Follower {
            catalog: Arc::clone(&self.catalog),
            definition: Arc::clone(&definition),
            probe: registered.probe,
            patience: check.deregister_after.map(|after| after.max(SHORTEST_CRITICAL)),
            critical_since: registered.critical.then(Instant::now),
        };
        let (alive, task) = match check.kind {
            CheckKind::Ttl(ttl) => {
                let alive = Arc::new(Notify::new());
                (Some(Arc::clone(&alive)), tokio::spawn(follower.await_keep_alives(ttl, alive)))
            }
            _ => (None, tokio::spawn(follower.run_probes(Arc::clone(check), Arc::clone(&self.tools)))),
        };
        running.insert(Arc::clone(&definition.id), Running { alive, _task: AbortOnDropHandle::new(task) });
    }

    /// Ends the check of a service that is gone.
    pub(super) fn forget(&self, id: &str) {
        self.running().remove(id);
    }

    /// A keep-alive of a service with a TTL check: it passes from now on for its TTL.
    pub(super) fn keep_alive(&self, id: &str, probe: ProbeId) {
        if let Some(alive) = self.running().get(id).and_then(|running| running.alive.as_ref()) {
            alive.notify_one();
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
    definition: Arc<Definition>,
    probe: ProbeId,
    /// How long the service may be critical before it is withdrawn.
    patience: Option<Duration>,
    critical_since: Option<Instant>,
}

impl Follower {
    async fn run_probes(mut self, check: Arc<Check>, tools: Arc<Tools>) {
        let interval = Policy::interval(&check);
        let mut next = Instant::now() + interval.mul_f64(fastrand::f64());
        loop {
            self.withdrawing(sleep_until(next)).await;
            let permit = Arc::new(self.permit(interval, &tools).await);
            let (status, output) = probe(&self.definition, &check, &tools, &permit).await;
            drop(permit);
            self.report(status, &output);
            next = Instant::now() + interval;
        }
    }

    /// Waits until a probe may run. One that may not within an interval counts as failed: nobody knows how it is.
    async fn permit(&mut self, interval: Duration, tools: &Tools) -> Permit {
        let group = Arc::clone(&self.definition.group);
        let mut acquiring = pin!(tools.permits.acquire(&group));
        if let Ok(permit) = timeout_at(Instant::now() + interval, acquiring.as_mut()).await {
            return permit;
        }
        let share = ROOM.share;
        self.report(
            Status::Critical,
            &format!(
                "not checked for {interval:?}: too many checks run here, or {share} of this container do; give them \
                 shorter timeouts or longer intervals"
            ),
        );
        self.withdrawing(acquiring).await
    }

    async fn await_keep_alives(mut self, ttl: Duration, alive: Arc<Notify>) {
        loop {
            if timeout_at(Instant::now() + ttl, alive.notified()).await.is_ok() {
                self.critical_since = None;
                continue;
            }
            self.report(Status::Critical, "TTL expired");
            let end = self.end_of_patience();
            let again = async {
                match end {
                    Some(end) => timeout_at(end, alive.notified()).await.is_ok(),
                    None => {
                        alive.notified().await;
                        true
                    }
                }
            };
            if !again.await {
                self.catalog.withdraw(&self.definition.id, self.probe);
                alive.notified().await;
            }
            self.critical_since = None;
        }
    }

    fn report(&mut self, status: Status, output: &str) {
        let was_critical = self.critical_since.take();
        if status == Status::Critical {
            self.critical_since = was_critical.or_else(|| Some(Instant::now()));
        }
        let end = output.floor_char_boundary(LONGEST_OUTPUT);
        self.catalog.report(&self.definition.id, self.probe, status, output.get(..end).unwrap_or(output));
    }

    fn end_of_patience(&self) -> Option<Instant> {
        Some(self.critical_since? + self.patience?)
    }

    /// Waits for something, and withdraws the service should its time come meanwhile.
    async fn withdrawing<F: Future>(&self, awaited: F) -> F::Output {
        let mut awaited = pin!(awaited);
        if let Some(end) = self.end_of_patience() {
            if let Ok(came) = timeout_at(end, awaited.as_mut()).await {
                return came;
            }
            self.catalog.withdraw(&self.definition.id, self.probe);
        }
        awaited.await
    }
}

/// Looks once, for no longer than the check allows.
async fn probe(definition: &Definition, check: &Check, tools: &Tools, permit: &Arc<Permit>) -> Outcome {
    let limit = Policy::timeout(check);
    let dialer = Dialer { policy: &tools.policy, target: definition.target, permit };
    match &check.kind {
        CheckKind::Http { tls, path, method, skip_verify } => {
            let scheme = if *tls { "https" } else { "http" };
            let url = format!("{scheme}://{}{path}", definition.authority());
            let asked = http::Asked { url, method: method.as_deref(), skip_verify: *skip_verify };
            tools.http.probe(&asked, dialer, limit).await
        }
        CheckKind::Tcp => tcp::probe(definition, dialer, limit).await,
        CheckKind::Grpc { tls, skip_verify } => {
            let tls = tls.then(|| tools.grpc.connector(*skip_verify));
            grpc::probe(definition, tls, dialer, limit).await
        }
        CheckKind::Command { program, arguments } => script::run(program, arguments, SCRIPT_TIMEOUT).await,
        // It has no probe: somebody else says that it lives.
        CheckKind::Ttl(_) => (Status::Passing, String::new()),
    }
}

#[cfg(test)]
mod tests;
