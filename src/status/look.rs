//! Looks: asks the tasks, and makes views of what they answer.
//!
//! A look at all containers is taken in parts, so that no task is asked for long and no answer is held as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::container::{self, ContainerId, Health, Protocol};
use crate::desired::Mode;
use crate::docker::{self, Unread};
use crate::event::Counts;
use crate::host::Knowledge;
use crate::host::desired::Remark;
use crate::host::pacing::{Delay, Delayed};
use crate::reconcile::{Left, Plan, Planned, Reach, Reconciler, Regard, Summary, SyncState};
use crate::registry::{Action, Content, Reason, Write};
use crate::service::describe::{self, PortDecisions};
use crate::service::notes::{quote, quote_key};
use crate::service::{self, CheckKind};
use crate::validate::{Misspelt, misspelt};

use super::clock::seconds;
use super::entry;
use super::hub::{Hub, Kept, ago, ahead};
use super::meter::RunningCounts;
use super::view;

/// How many containers are looked at in one question.
pub const PART: usize = 100;

/// How many misspelt keys of a container are named.
const MOST_HINTS: usize = 20;

/// The state of a registry in views.
pub const UP: &str = "up";

/// The engine.
pub async fn docker(hub: &Hub) -> view::Docker {
    let engine = hub.listeners.engine();
    let (containers, unknown) = hub.host.ask(|known| (count(known), unknown(known))).await.unwrap_or_default();
    let state = match (engine.up, engine.listed) {
        (true, true) => UP,
        (false, true) => "lost",
        _ => "connecting",
    };
    view::Docker {
        endpoint: engine.endpoint,
        state: state.to_owned(),
        since: engine.since,
        error: engine.error,
        containers,
        unknown,
    }
}

fn count(known: &Knowledge) -> usize {
    known.desired.containers().count() + undescribed(known).count()
}

/// The containers of which nothing is known but that the engine lists them. Those that were described before the engine
/// was lost are known.
fn undescribed(known: &Knowledge) -> impl Iterator<Item = &docker::Unknown> {
    known.unknown.values().filter(|unknown| known.desired.container(&unknown.id).is_none())
}

fn unknown(known: &Knowledge) -> Vec<view::Unknown> {
    let view = |unknown: &docker::Unknown| {
        let view::Ignored { text, cure, .. } = unread_view(unknown.why);
        view::Unknown {
            id: unknown.id.to_string(),
            name: unknown.name.as_ref().map(ToString::to_string),
            reason: format!("{text}: {cure}"),
        }
    };
    let mut unknown: Vec<_> = known.unknown.values().map(view).collect();
    unknown.sort_by(|one, other| one.id.cmp(&other.id));
    unknown
}

/// Figures about what runs.
pub async fn running(hub: &Hub) -> RunningCounts {
    hub.host.ask(running_counts).await.unwrap_or_default()
}

fn running_counts(known: &Knowledge) -> RunningCounts {
    let mut counts = RunningCounts::default();
    let mut states: BTreeMap<&'static str, usize> =
        ["created", "running", "paused", "exited"].into_iter().map(|state| (state, 0)).collect();
    let mut ignored: BTreeMap<&'static str, usize> = BTreeMap::new();
    for container in known.desired.containers() {
        *states.entry(state_of(container.state)).or_default() += 1;
        counts.services += known.desired.offers(&container.id).count();
        for remark in known.desired.remarks(&container.id) {
            if let Remark::Ignored(reason) = remark {
                *ignored.entry(reason.as_str()).or_default() += reason.count();
            }
        }
    }
    counts.containers = states.into_iter().chain([("unknown", undescribed(known).count())]).collect();
    counts.ignored = ignored.into_iter().collect();
    counts
}

/// All registries.
pub async fn registries(hub: &Hub) -> Vec<view::Registry> {
    let mut views = Vec::new();
    for kept in hub.registries.iter() {
        let summary = kept.asker.ask(|reconciler: &Reconciler| reconciler.summary(Instant::now())).await;
        views.push(registry(hub, kept, summary.unwrap_or_default()));
    }
    views
}

fn registry(hub: &Hub, kept: &Kept, summary: Summary) -> view::Registry {
    let last = hub.listeners.meter.last_of(&kept.name);
    let Summary { reach, read, states, refused, guard, .. } = &summary;
    let (state, since, error, next) = match reach {
        Reach::NotYet => ("connecting", None, None, None),
        Reach::Up => (UP, None, None, None),
        Reach::Down { since, why, next } => ("unreachable", Some(ago(*since)), Some(why), Some(ahead(*next))),
    };
    let refused = refused.as_ref().map(|refused| view::Refused {
        count: refused.count,
        since: ago(refused.since),
        example: refused.example.to_string(),
        next_attempt: refused.next.map(ahead),
    });
    let problem = if let Some(why) = error {
        format!("it cannot be reached: {why}")
    } else if let (Reach::NotYet, Some(last)) = (reach, &last.error) {
        format!("it was never reached: {}", last.text)
    } else if let Some(refused) = &refused {
        format!("it refuses {}: {}", services(refused.count), refused.example)
    } else if summary.in_the_way > 0 {
        format!(
            "entries of other owners are in the way of {}: give the containers another SERVICE_ID",
            services(summary.in_the_way)
        )
    } else if guard.is_some() {
        "removals wait: Docker is asked again whether the containers are gone (-removal-guard)".to_owned()
    } else if let Some(count) = states.get(&SyncState::Contested) {
        format!("another instance writes {}: give each instance its own -owner", services(*count))
    } else {
        String::new()
    };
    let next_attempt = next.or_else(|| refused.as_ref().and_then(|refused| refused.next_attempt));
    let Counts { add, change, take_over, remove, mark } = summary.pending;
    let pending = [("add", add), ("change", change + take_over), ("remove", remove), ("mark", mark)];
    view::Registry {
        name: kept.name.to_string(),
        adapter: kept.adapter.to_owned(),
        owner: kept.owner.to_string(),
        state: state.to_owned(),
        attention: !problem.is_empty(),
        problem,
        since,
        last_error: last.error,
        next_attempt,
        last_read: read.map(ago),
        last_write: last.write,
        desired: summary.desired,
        entries: summary.entries,
        foreign: summary.foreign,
        in_the_way: summary.in_the_way,
        unowned: summary.unowned,
        queue: summary.queue,
        states: states.iter().map(|(state, count)| (state.as_str().to_owned(), *count)).collect(),
        pending: pending.into_iter().map(|(action, count)| (action.to_owned(), count)).collect(),
        refused,
        guard: guard.map(ahead),
    }
}

fn services(count: usize) -> String {
    if count == 1 { "1 service".to_owned() } else { format!("{count} services") }
}

/// The IDs of all containers, ordered by name.
pub async fn ids(hub: &Hub) -> Vec<ContainerId> {
    let named = |known: &Knowledge| {
        let mut all: Vec<(Arc<str>, ContainerId)> =
            known.desired.containers().map(|container| (Arc::clone(&container.name), container.id.clone())).collect();
        all.extend(known.pacing.delayed(Instant::now()).filter_map(|Delayed { container, .. }| {
            let is_new = known.desired.container(&container.id).is_none();
            is_new.then(|| (Arc::clone(&container.name), container.id.clone()))
        }));
        all.sort_unstable();
        all.into_iter().map(|(_, id)| id).collect()
    };
    hub.host.ask(named).await.unwrap_or_default()
}

/// The containers that a person means by a name, an ID or the beginning of one; also those that the engine lists but
/// does not describe.
pub async fn find(hub: &Hub, reference: &str) -> Vec<ContainerId> {
    let reference = reference.trim_start_matches('/').to_owned();
    let search = move |known: &Knowledge| {
        let delayed: Vec<_> = known.pacing.delayed(Instant::now()).map(|delayed| delayed.container).collect();
        let described =
            known.desired.containers().chain(&delayed).map(|container| (Some(&*container.name), &container.id));
        let undescribed = undescribed(known).map(|unknown| (unknown.name.as_deref(), &unknown.id));
        let mut exact = Vec::new();
        let mut begins = Vec::new();
        for (name, id) in described.chain(undescribed) {
            if name == Some(reference.as_str()) || id.as_str() == reference {
                exact.push(id.clone());
            } else if reference.len() >= 2 && id.as_str().starts_with(&reference) {
                begins.push(id.clone());
            }
        }
        let mut found = if exact.is_empty() { begins } else { exact };
        found.sort_unstable();
        found.dedup();
        found
    };
    hub.host.ask(search).await.unwrap_or_default()
}

/// Why a reference is no container, or several, in one line.
#[must_use]
pub fn not_one(reference: &str, count: usize) -> String {
    let reference = quote(reference);
    match count {
        0 => format!("no container is called {reference}, or has an ID that begins so; docker ps shows those that run"),
        _ => format!("{count} containers are meant by {reference}: give more of the ID"),
    }
}

/// What a host says of a container.
enum Looked {
    Described(Seen),
    Undescribed(docker::Unknown),
}

/// What a host knows of a container.
struct Seen {
    container: Arc<container::Container>,
    delayed: Option<(Duration, Delay)>,
    offers: Vec<(Arc<service::Service>, Mode)>,
    ignored: Vec<describe::Ignored>,
    notes: Vec<String>,
    /// Why each field is as it is, if that was asked for.
    explained: Vec<PortDecisions>,
    /// Keys that are probably misspelt, if that was asked for.
    hints: Vec<String>,
}

/// These containers; those that are gone meanwhile are left out. With `decisions`, why each field is as it is.
pub async fn containers(hub: &Hub, ids: Vec<ContainerId>, decisions: bool) -> Vec<view::Container> {
    let see = move |known: &Knowledge| {
        let delayed = known.pacing.delayed(Instant::now());
        let delayed: BTreeMap<ContainerId, Delayed> =
            delayed.map(|delayed| (delayed.container.id.clone(), delayed)).collect();
        let look = |id| {
            let described = seen(known, id, delayed.get(id), decisions).map(Looked::Described);
            described.or_else(|| known.unknown.get(id).cloned().map(Looked::Undescribed))
        };
        ids.iter().filter_map(look).collect::<Vec<_>>()
    };
    let looked = hub.host.ask(see).await.unwrap_or_default();
    let offers = looked.iter().flat_map(|looked| match looked {
        Looked::Described(seen) => seen.offers.as_slice(),
        Looked::Undescribed(_) => &[],
    });
    let services: Vec<Arc<service::Service>> = offers.map(|(service, _)| Arc::clone(service)).collect();
    let mut statuses = Vec::new();
    for kept in hub.registries.iter() {
        let asked = services.clone();
        let ask = move |reconciler: &Reconciler| {
            let statuses = reconciler.statuses(&asked, Instant::now());
            statuses.into_iter().zip(asked.iter().map(|service| reconciler.regard(service))).collect::<Vec<_>>()
        };
        let answers = kept.asker.ask(ask).await;
        statuses.push((kept, answers.unwrap_or_default()));
    }
    let mut at = 0;
    let mut views = Vec::with_capacity(looked.len());
    for looked in looked {
        let seen = match looked {
            Looked::Described(seen) => seen,
            Looked::Undescribed(unknown) => {
                views.push(undescribed_view(&unknown));
                continue;
            }
        };
        let next = at + seen.offers.len();
        let entries = |place: usize| {
            let place = at + place;
            statuses
                .iter()
                .filter_map(|(kept, all)| match all.get(place)? {
                    (_, Regard::NotTaken) => None,
                    (status, Regard::Taken(remark)) => {
                        Some(entry::view(&kept.name, status, remark.clone(), hub.about.dry_run))
                    }
                })
                .collect::<Vec<_>>()
        };
        views.push(container_view(seen, entries));
        at = next;
    }
    views
}

fn seen(known: &Knowledge, id: &ContainerId, delayed: Option<&Delayed>, decisions: bool) -> Option<Seen> {
    // What Docker says of it now, even if that takes effect only later.
    let container = delayed.map(|delayed| &delayed.container).or_else(|| known.desired.container(id))?;
    let (mut ignored, mut notes) = (Vec::new(), Vec::new());
    for remark in known.desired.remarks(id) {
        match remark {
            Remark::Ignored(reason) => ignored.push(reason.clone()),
            Remark::Note(note) => notes.push(note.clone()),
        }
    }
    if known.unknown.contains_key(id) {
        notes.push("Docker does not describe it at present: what is said here is as it was before".to_owned());
    }
    let explained = if decisions { known.desired.explain(id).map(|explanation| explanation.ports) } else { None };
    Some(Seen {
        container: Arc::clone(container),
        delayed: delayed.map(|delayed| (delayed.rest, delayed.why)),
        offers: known.desired.offers(id).map(|(service, mode)| (Arc::clone(service), mode)).collect(),
        ignored,
        notes,
        explained: explained.unwrap_or_default(),
        hints: if decisions { hints(container) } else { Vec::new() },
    })
}

/// The keys of a container that are probably misspelt, with what was probably meant.
fn hints(container: &container::Container) -> Vec<String> {
    let variables = container.env.iter().filter_map(|line| line.split_once('=')).map(|(key, _)| key);
    let mut keys: Vec<&str> = variables.chain(container.labels.keys().map(String::as_str)).collect();
    keys.sort_unstable();
    keys.dedup();
    let hint = |key: &str| {
        let Misspelt { effect, meant } = misspelt(key)?;
        Some(format!("{} {effect}; write {meant} if that is meant", quote_key(key)))
    };
    keys.into_iter().filter_map(hint).take(MOST_HINTS).collect()
}

fn container_view(seen: Seen, entries: impl Fn(usize) -> Vec<view::Entry>) -> view::Container {
    let Seen { container, delayed, offers, ignored, notes, explained, hints } = seen;
    let mut ports: Vec<view::Port> = Vec::new();
    for (place, (service, mode)) in offers.iter().enumerate() {
        let source = service.source();
        let decided = explained.iter().find(|port| (port.port, port.protocol) == (source.port, source.protocol));
        ports.push(view::Port {
            port: source.port,
            protocol: source.protocol.as_str().to_owned(),
            service: Some(service_view(service, *mode)),
            ignored: None,
            decisions: decided.map(decisions).unwrap_or_default(),
            entries: entries(place),
        });
    }
    let mut rest = Vec::new();
    for reason in &ignored {
        let Some(port) = reason.port() else {
            rest.push(ignored_view(reason, None));
            continue;
        };
        let of_port: Vec<_> = container.ports.iter().filter(|known| known.number == port).collect();
        let offered = |protocol| offers.iter().any(|(s, _)| (s.origin.exposed_port, s.protocol) == (port, protocol));
        for known in of_port.into_iter().filter(|known| !offered(known.protocol)) {
            let decided = explained.iter().find(|said| (said.port, said.protocol) == (port, known.protocol));
            // The protocols of a port may be ignored for different reasons, and each is named once.
            let is_other = decided.is_some_and(|said| said.outcome.as_ref().err() != Some(reason));
            let is_named = ports.iter().any(|said| (said.port, &*said.protocol) == (port, known.protocol.as_str()));
            if is_other || is_named {
                continue;
            }
            ports.push(view::Port {
                port,
                protocol: known.protocol.as_str().to_owned(),
                service: None,
                ignored: Some(ignored_view(reason, Some(known.protocol))),
                decisions: decided.map(decisions).unwrap_or_default(),
                entries: Vec::new(),
            });
        }
    }
    if offers.is_empty()
        && ports.is_empty()
        && delayed.is_none()
        && let Some(reason) = not_running_view(container.state)
    {
        rest.push(reason);
    }
    let wrong = |entry: &view::Entry| matches!(entry.state.as_str(), "refused" | "contested" | "reaped" | "in_doubt");
    let attention = !notes.is_empty() || ports.iter().any(|port| port.entries.iter().any(wrong));
    let health = match container.state {
        container::State::Running { health, .. } => health,
        _ => Health::None,
    };
    let started = u64::try_from(container.started.0 / 1_000_000_000).ok().filter(|started| *started > 0);
    view::Container {
        id: container.id.to_string(),
        name: container.name.to_string(),
        image: container.image.to_string(),
        state: state_of(container.state).to_owned(),
        health: match health {
            Health::None => "none",
            Health::Starting => "starting",
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy",
        }
        .to_owned(),
        started,
        attention,
        delayed_until: delayed.map(|(rest, _)| ahead(rest)),
        delayed_because: delayed.map(|(_, why)| why.as_str().to_owned()),
        ports,
        ignored: rest,
        notes,
        hints,
    }
}

/// A container of which nothing is known but that it is there.
fn undescribed_view(unknown: &docker::Unknown) -> view::Container {
    view::Container {
        id: unknown.id.to_string(),
        name: unknown.name.as_deref().unwrap_or(unknown.id.as_str()).to_owned(),
        image: String::new(),
        state: view::UNKNOWN.to_owned(),
        health: "none".to_owned(),
        started: None,
        attention: true,
        delayed_until: None,
        delayed_because: None,
        ports: Vec::new(),
        ignored: vec![unread_view(unknown.why)],
        notes: Vec::new(),
        hints: Vec::new(),
    }
}

fn unread_view(why: Unread) -> view::Ignored {
    let (reason, text, cure) = match why {
        Unread::NotYet => (
            "not_described",
            "Docker lists it, but does not describe it yet",
            "it is asked again; if this stays so, see what docker inspect says of it",
        ),
        Unread::TooLarge => {
            ("too_large_to_read", "its labels or environment are larger than what is read", "make them smaller")
        }
    };
    view::Ignored { reason: reason.to_owned(), text: text.to_owned(), cure: cure.to_owned() }
}

/// Why a container that does not run offers nothing.
fn not_running_view(state: container::State) -> Option<view::Ignored> {
    let text = match state {
        container::State::Running { .. } => return None,
        container::State::Created => "it was created, but not started yet".to_owned(),
        container::State::Exited { code } => format!("it does not run: it ended with the exit code {code}"),
    };
    let cure = "start it: docker start <container>".to_owned();
    Some(view::Ignored { reason: "not_running".to_owned(), text, cure })
}

fn state_of(state: container::State) -> &'static str {
    match state {
        container::State::Created => "created",
        container::State::Running { paused: true, .. } => "paused",
        container::State::Running { .. } => "running",
        container::State::Exited { .. } => "exited",
    }
}

fn ignored_view(reason: &describe::Ignored, protocol: Option<Protocol>) -> view::Ignored {
    view::Ignored { reason: reason.as_str().to_owned(), text: reason.in_words(), cure: reason.cure(protocol) }
}

fn decisions(port: &PortDecisions) -> Vec<view::Decision> {
    let view = |decision: &service::decision::Decision| view::Decision {
        field: decision.field.to_string(),
        value: decision.value.clone(),
        because: decision.rule.to_string(),
    };
    port.decisions.iter().map(view).collect()
}

fn service_view(service: &service::Service, mode: Mode) -> view::Service {
    view::Service {
        id: service.id.to_string(),
        name: service.name.clone(),
        address: service.address.to_string(),
        port: service.port,
        tags: service.tags.to_vec(),
        attributes: service.attributes.iter().map(|(key, value)| (key.clone(), value.clone())).collect(),
        check: service.check.as_ref().map(|check| check_in_words(check)),
        ttl: service.ttl.map(|ttl| ttl.as_secs()),
        mode: match mode {
            Mode::Serving => "serving",
            Mode::Paused => "paused",
            Mode::Kept(_) => "kept",
        }
        .to_owned(),
    }
}

fn check_in_words(check: &service::Check) -> String {
    let every = check.interval.as_secs();
    match &check.kind {
        CheckKind::Http { tls, path, .. } => format!("http{} {path} every {every} s", if *tls { "s" } else { "" }),
        CheckKind::Command(_) => format!("a command every {every} s"),
        CheckKind::Script(_) => format!("a script every {every} s"),
        CheckKind::Ttl(ttl) => format!("heartbeats within {} s", ttl.as_secs()),
        CheckKind::Tcp => format!("tcp every {every} s"),
        CheckKind::Grpc { .. } => format!("grpc every {every} s"),
    }
}

/// The plans of all registries.
pub async fn plans(hub: &Hub) -> Vec<view::Plan> {
    let mut plans = Vec::new();
    for kept in hub.registries.iter() {
        let ask = |reconciler: &Reconciler| {
            let now = Instant::now();
            (reconciler.plan(now), reconciler.reach(now))
        };
        let (plan, reach) = kept.asker.ask(ask).await.unwrap_or_default();
        plans.push(plan_view(&kept.name, &plan, &reach));
    }
    plans
}

fn plan_view(registry: &str, plan: &Plan, reach: &Reach) -> view::Plan {
    let problem = match reach {
        Reach::Up => None,
        Reach::NotYet => Some("it was not read yet".to_owned()),
        Reach::Down { why, .. } => Some(format!("it cannot be reached: {why}")),
    };
    let mut left: BTreeMap<&'static str, view::Left> = BTreeMap::new();
    for (reason, count) in &plan.left {
        let all = left.entry(reason.as_str()).or_insert_with(|| view::Left {
            reason: reason.as_str().to_owned(),
            text: reason.in_words().to_owned(),
            count: 0,
            attention: !matches!(reason, Left::Right | Left::Foreign | Left::Kept | Left::InFlight),
        });
        all.count += count;
    }
    view::Plan {
        registry: registry.to_owned(),
        problem,
        writes: plan.writes.iter().map(planned).collect(),
        left: left.into_values().collect(),
    }
}

fn planned(planned: &Planned) -> view::Write {
    let Planned { write: Write { key, action, reason }, found } = planned;
    let (id, service) = match action {
        Action::Put(service) => (&service.id, Some(service)),
        Action::Remove(entry) | Action::Mark(entry, _) | Action::Unmark(entry) => (&entry.service_id, None),
    };
    let word = match (action, reason) {
        (Action::Put(_), Reason::Missing) => "add",
        (Action::Put(_), Reason::Unowned) => "take over",
        (Action::Put(_), _) => "change",
        (action, _) => action.kind().as_str(),
    };
    view::Write {
        action: word.to_owned(),
        key: key.to_string(),
        id: id.to_string(),
        container: service.map(|service| service.origin.container_name.to_string()),
        reason: reason.in_words().to_owned(),
        differences: found
            .as_ref()
            .zip(service)
            .map(|(found, service)| differences(found, service))
            .unwrap_or_default(),
    }
}

/// How an entry differs from a service. Where what is known of it is equal, something else differs.
fn differences(content: &Content, service: &service::Service) -> Vec<view::Difference> {
    let Content { name, address, port, tags } = content;
    let pairs = [
        ("name", name.clone(), service.name.clone()),
        ("address", address.clone(), service.address.to_string()),
        ("port", port.to_string(), service.port.to_string()),
        ("tags", tags.join(","), service.tags.join(",")),
    ];
    let differ = pairs.into_iter().filter(|(_, is, should_be)| is != should_be);
    differ.map(|(field, is, should_be)| view::Difference { field: field.to_owned(), is, should_be }).collect()
}

/// A number that changes with what is looked at, and differs from run to run.
pub async fn version(hub: &Hub) -> u64 {
    let mut version = hub.listeners.born;
    version = version.wrapping_mul(31).wrapping_add(hub.host.ask(|known| known.version).await.unwrap_or_default());
    for kept in hub.registries.iter() {
        let of_registry = kept.asker.ask(Reconciler::version).await.unwrap_or_default();
        version = version.wrapping_mul(1_000_003).wrapping_add(of_registry);
    }
    version.wrapping_mul(1_000_033).wrapping_add(hub.listeners.files.version())
}

/// Now, for views.
#[must_use]
pub fn now() -> u64 {
    seconds()
}

/// How often it is looked whether everything was compared.
const SETTLE_PACE: Duration = Duration::from_millis(20);

/// Waits until the containers were listed, and each registry was compared or cannot be reached.
pub async fn settle(hub: &Hub) {
    loop {
        let mut all = hub.host.ask(|known| known.listed).await.unwrap_or(true);
        for kept in hub.registries.iter() {
            let ask = |reconciler: &Reconciler| {
                reconciler.is_settled() || matches!(reconciler.reach(Instant::now()), Reach::Down { .. })
            };
            all &= kept.asker.ask(ask).await.unwrap_or(true);
        }
        if all {
            return;
        }
        sleep(SETTLE_PACE).await;
    }
}

/// The registries that cannot be reached.
pub async fn unread(hub: &Hub) -> Vec<String> {
    registries(hub).await.into_iter().filter(|registry| registry.state != UP).map(|registry| registry.name).collect()
}
