//! The metrics. Counters and histograms are fed by events; gauges are set from the state when they are asked for.
//!
//! Names and conventions: <https://prometheus.io/docs/practices/naming/>. No label holds a container or a service, so that
//! the number of series does not grow with what runs.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::core::Collector;
use prometheus::process_collector::ProcessCollector;
use prometheus::{
    Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use super::clock::{fractional, seconds};
use super::templates::Templates;
use super::view::{LastError, Registry as RegistryView};
use crate::event::Event;

/// Buckets of requests to a registry, in seconds.
const REQUESTS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];
/// Buckets from an event of the engine to the entry, in seconds.
const LATENCIES: [f64; 12] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 30.0, 120.0];

/// The commit that the program was built from, where the build says; empty otherwise.
const COMMIT: &str = match option_env!("REGISTRATOR_COMMIT") {
    Some(commit) => commit,
    None => "",
};

/// Counts what happens.
pub struct Meter {
    metrics: Registry,
    writes: IntCounterVec,
    write_duration: HistogramVec,
    request_duration: HistogramVec,
    event_to_entry: HistogramVec,
    consecutive_errors: IntGaugeVec,
    last_success: GaugeVec,
    last_reconcile: GaugeVec,
    noop_reconciles: IntCounterVec,
    docker_events: IntCounterVec,
    docker_reconnects: IntCounter,
    docker_connected: IntGauge,
    docker_list_duration: Gauge,
    guard_refusals: IntCounterVec,
    heartbeats: IntCounterVec,
    leases_lost: IntCounterVec,
    containers: IntGaugeVec,
    services: IntGauge,
    ports_ignored: IntGaugeVec,
    registry_up: IntGaugeVec,
    desired: IntGaugeVec,
    actual: IntGaugeVec,
    foreign: IntGaugeVec,
    owner_mismatch: IntGaugeVec,
    entries: IntGaugeVec,
    pending: IntGaugeVec,
    queue: IntGaugeVec,
    certificate: GaugeVec,
    reloaded: IntGauge,
    reloaded_at: Gauge,
    templates: Templates,
    /// What is told of registries beside figures.
    last: Mutex<HashMap<Arc<str>, Last>>,
}

/// The last of something that happened with a registry.
#[derive(Clone, Debug, Default)]
pub struct Last {
    /// The last error.
    pub error: Option<LastError>,
    /// When something was last written, in seconds since 1970.
    pub write: Option<u64>,
}

/// Makes and registers metrics. A name that is invalid or taken would be a fault in this file, and is left out.
struct Maker(Registry);

impl Maker {
    fn add<C: Collector + Clone + 'static>(&self, collector: C) -> C {
        let registered = self.0.register(Box::new(collector.clone()));
        debug_assert!(registered.is_ok(), "{registered:?}");
        collector
    }
}

fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("registrator")
}

impl Meter {
    /// Counters at zero.
    ///
    /// # Errors
    /// When a metric's name is invalid, which a test excludes.
    pub fn new(version: &str) -> Result<Self, prometheus::Error> {
        let maker = Maker(Registry::new());
        let counters = |name, help, labels: &[&str]| {
            Ok::<_, prometheus::Error>(maker.add(IntCounterVec::new(opts(name, help), labels)?))
        };
        let gauges = |name, help, labels: &[&str]| {
            Ok::<_, prometheus::Error>(maker.add(IntGaugeVec::new(opts(name, help), labels)?))
        };
        let times = |name, help, labels: &[&str]| {
            Ok::<_, prometheus::Error>(maker.add(GaugeVec::new(opts(name, help), labels)?))
        };
        let histograms = |name, help, labels: &[&str], buckets: &[f64]| {
            let opts = HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec());
            Ok::<_, prometheus::Error>(maker.add(HistogramVec::new(opts, labels)?))
        };
        gauges("build_info", "The version that runs; always 1.", &["version", "commit"])?
            .with_label_values(&[version, COMMIT])
            .set(1);
        maker.0.register(Box::new(ProcessCollector::for_self()))?;
        let registry = &["registry"];
        Ok(Self {
            writes: counters(
                "writes_total",
                "Writes to a registry, by what was done.",
                &["registry", "action", "result"],
            )?,
            write_duration: histograms(
                "write_duration_seconds",
                "How long writes took; those of a batch take as long as it.",
                &["registry", "action"],
                &REQUESTS,
            )?,
            request_duration: histograms(
                "request_duration_seconds",
                "How long operations of a registry took.",
                &["registry", "operation"],
                &REQUESTS,
            )?,
            event_to_entry: histograms(
                "event_to_entry_seconds",
                "From a container's start, stop or change to the entry in the registry.",
                registry,
                &LATENCIES,
            )?,
            consecutive_errors: gauges(
                "consecutive_errors",
                "Operations that failed since the last success.",
                registry,
            )?,
            last_success: times("last_success_timestamp_seconds", "When a registry last answered well.", registry)?,
            last_reconcile: times(
                "last_reconcile_timestamp_seconds",
                "When everything was last compared and repaired.",
                registry,
            )?,
            noop_reconciles: counters("noop_reconciles_total", "Comparisons that found nothing to write.", registry)?,
            docker_events: counters("docker_events_total", "Events of the engine about containers.", &["action"])?,
            docker_reconnects: maker.add(IntCounter::with_opts(opts(
                "docker_reconnects_total",
                "How often the engine was lost and found again.",
            ))?),
            docker_connected: maker
                .add(IntGauge::with_opts(opts("docker_connected", "Whether the engine answers: 1 or 0."))?),
            docker_list_duration: maker
                .add(Gauge::with_opts(opts("docker_list_duration_seconds", "How long the engine's last list took."))?),
            guard_refusals: counters(
                "guard_refusals_total",
                "How often the removal guard delayed removals.",
                registry,
            )?,
            heartbeats: counters(
                "heartbeats_total",
                "Renewals of leases, TTLs and heartbeats, by their result.",
                &["registry", "result"],
            )?,
            leases_lost: counters(
                "leases_lost_total",
                "How often an entry expired although it was renewed.",
                registry,
            )?,
            containers: gauges("containers", "Containers that the engine lists, by what they do.", &["state"])?,
            services: maker.add(IntGauge::with_opts(opts("services", "Services that containers here offer."))?),
            ports_ignored: gauges(
                "ports_ignored",
                "Ports and containers that are no services, by the reason.",
                &["reason"],
            )?,
            registry_up: gauges("registry_up", "Whether a registry can be reached: 1 or 0.", registry)?,
            desired: gauges("entries_desired", "Services that should have an entry.", registry)?,
            actual: gauges(
                "entries_actual",
                "Entries, as last read: ours, and those of others that were read with them.",
                registry,
            )?,
            foreign: gauges("entries_foreign", "Entries of other owners that were read.", registry)?,
            owner_mismatch: gauges(
                "entries_owner_mismatch",
                "Entries of other owners where a service of ours should be.",
                registry,
            )?,
            entries: gauges("entries", "Services and entries of ours, by their state.", &["registry", "state"])?,
            pending: gauges("plan_pending", "Writes that are due or wait, by what they do.", &["registry", "action"])?,
            queue: gauges("queue_depth", "Entries whose next write is to be decided.", registry)?,
            certificate: times(
                "certificate_not_after_timestamp_seconds",
                "Until when a certificate is valid: the server's, the client's or the authority's.",
                &["registry", "kind"],
            )?,
            reloaded: maker.add(IntGauge::with_opts(opts(
                "config_last_reload_successful",
                "Whether the last reading of the settings succeeded: 1 or 0.",
            ))?),
            reloaded_at: maker.add(Gauge::with_opts(opts(
                "config_last_reload_success_timestamp_seconds",
                "When the settings were last read.",
            ))?),
            templates: Templates {
                rendered: counters(
                    "templates_rendered_total",
                    "Runs of rendered files, by what came of them.",
                    &["dest", "result"],
                )?,
                reload: counters(
                    "template_reload_total",
                    "How often a program was told of its rendered file, by the result.",
                    &["dest", "result"],
                )?,
                last_change: times(
                    "template_last_change_timestamp_seconds",
                    "When the content of a rendered file last changed.",
                    &["dest"],
                )?,
                right: gauges(
                    "template_right",
                    "Whether the last run of a rendered file succeeded: 1 or 0.",
                    &["dest"],
                )?,
                told: gauges(
                    "template_told",
                    "Whether the program of a rendered file knows its content: 1 or 0.",
                    &["dest"],
                )?,
            },
            last: Mutex::default(),
            metrics: maker.0,
        })
    }

    /// A registry that is used, so that its counters are there from the start.
    pub fn expect(&self, registry: &str) {
        for action in ["put", "remove", "mark", "unmark"] {
            for result in ["ok", "failed"] {
                self.writes.with_label_values(&[registry, action, result]);
            }
        }
        for result in ["ok", "failed"] {
            self.heartbeats.with_label_values(&[registry, result]);
        }
        for counter in [&self.noop_reconciles, &self.guard_refusals, &self.leases_lost] {
            counter.with_label_values(&[registry]);
        }
        self.consecutive_errors.with_label_values(&[registry]);
        self.event_to_entry.with_label_values(&[registry]);
    }

    /// Until when a certificate is valid, in seconds since 1970.
    pub fn certificate(&self, registry: &str, kind: &str, until: i64) {
        #[expect(clippy::cast_precision_loss, reason = "seconds since 1970 fit")]
        self.certificate.with_label_values(&[registry, kind]).set(until as f64);
    }

    /// The settings were read.
    pub fn reloaded(&self, successfully: bool) {
        self.reloaded.set(successfully.into());
        if successfully {
            self.reloaded_at.set(fractional());
        }
    }

    /// Counts an event.
    pub fn take(&self, event: &Event) {
        match event {
            Event::Listening => self.docker_connected.set(1),
            Event::DockerLost { .. } => self.docker_connected.set(0),
            Event::DockerBack { .. } => {
                self.docker_connected.set(1);
                self.docker_reconnects.inc();
            }
            Event::DockerListed { took, .. } => self.docker_list_duration.set(took.as_secs_f64()),
            Event::DockerEvents { actions } => {
                actions.iter().for_each(|action| self.docker_events.with_label_values(&[action]).inc());
            }
            Event::ReadDone { registry, error, took } => {
                self.request_duration.with_label_values(&[registry, "read"]).observe(took.as_secs_f64());
                self.answered(registry, error.as_deref());
            }
            Event::Wrote { registry, action, id, error, took, waited, .. } => {
                let result = if error.is_some() { "failed" } else { "ok" };
                self.writes.with_label_values(&[&**registry, *action, result]).inc();
                self.write_duration.with_label_values(&[&**registry, *action]).observe(took.as_secs_f64());
                if let Some(waited) = waited {
                    self.event_to_entry.with_label_values(&[registry]).observe(waited.as_secs_f64());
                }
                self.answered(registry, error.as_ref().map(|error| format!("{id}: {error}")).as_deref());
                if error.is_none() {
                    self.last(registry, |last| last.write = Some(seconds()));
                }
            }
            Event::RefreshesDone { registry, succeeded, failed } => {
                let count = |count: &usize| u64::try_from(*count).unwrap_or(u64::MAX);
                self.heartbeats.with_label_values(&[registry, "ok"]).inc_by(count(succeeded));
                self.heartbeats.with_label_values(&[registry, "failed"]).inc_by(count(failed));
            }
            Event::WriteFailed { registry, what: "refresh", .. } => {
                self.leases_lost.with_label_values(&[registry]).inc();
            }
            Event::ConnectFailed { registry, why, .. } => self.answered(registry, Some(why)),
            Event::Resynced { registry, tally } => {
                self.last_reconcile.with_label_values(&[registry]).set(fractional());
                if tally.added + tally.changed + tally.removed == 0 {
                    self.noop_reconciles.with_label_values(&[registry]).inc();
                }
            }
            Event::File { dest, what } => self.templates.take(dest, what),
            Event::GuardHolds { registry, .. } => self.guard_refusals.with_label_values(&[registry]).inc(),
            _ => {}
        }
    }

    fn answered(&self, registry: &Arc<str>, error: Option<&str>) {
        let errors = self.consecutive_errors.with_label_values(&[registry]);
        match error {
            None => {
                errors.set(0);
                self.last_success.with_label_values(&[registry]).set(fractional());
            }
            Some(error) => {
                errors.inc();
                let error = LastError { text: error.to_owned(), at: seconds() };
                self.last(registry, |last| last.error = Some(error));
            }
        }
    }

    fn last(&self, registry: &Arc<str>, change: impl FnOnce(&mut Last)) {
        change(self.lock().entry(Arc::clone(registry)).or_default());
    }

    /// What last happened with a registry.
    #[must_use]
    pub fn last_of(&self, registry: &str) -> Last {
        self.lock().get(registry).cloned().unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Last>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the gauges about what runs.
    pub fn set_running(&self, counts: &RunningCounts) {
        for (state, count) in &counts.containers {
            self.containers.with_label_values(&[state]).set(gauge(*count));
        }
        self.services.set(gauge(counts.services));
        self.ports_ignored.reset();
        for (reason, count) in &counts.ignored {
            self.ports_ignored.with_label_values(&[reason]).set(gauge(*count));
        }
    }

    /// Sets the gauges about a registry.
    pub fn set_registry(&self, view: &RegistryView) {
        let name: &[&str] = &[&view.name];
        self.registry_up.with_label_values(name).set((view.state == "up").into());
        self.desired.with_label_values(name).set(gauge(view.desired));
        self.actual.with_label_values(name).set(gauge(view.entries + view.foreign + view.in_the_way));
        self.foreign.with_label_values(name).set(gauge(view.foreign + view.in_the_way));
        self.owner_mismatch.with_label_values(name).set(gauge(view.in_the_way));
        self.queue.with_label_values(name).set(gauge(view.queue));
        for state in crate::reconcile::SyncState::ALL {
            let count = view.states.get(state.as_str()).copied().unwrap_or_default();
            self.entries.with_label_values(&[&view.name, state.as_str()]).set(gauge(count));
        }
        for (action, count) in &view.pending {
            self.pending.with_label_values(&[&view.name, action]).set(gauge(*count));
        }
    }

    /// All metrics in Prometheus's text format.
    ///
    /// # Errors
    /// When they cannot be written as text.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.metrics.gather())
    }
}

/// Figures about what runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunningCounts {
    /// Containers by their state.
    pub containers: Vec<(&'static str, usize)>,
    /// Services that are offered.
    pub services: usize,
    /// What is no service, by reason.
    pub ignored: Vec<(&'static str, usize)>,
}

fn gauge(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
