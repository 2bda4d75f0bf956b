//! How each event looks in the log: its level, its line and its fields.
//!
//! Lines that scripts know (`added:`, `removed:`, `ignored:` …) never change their words. The fields are those of
//! `-log-format json`; all events use the same names.

use std::fmt;
use std::time::Duration;

use crate::container::ContainerId;
use crate::service::Service;

use super::{Counts, Event, Tally};

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// For close inspection.
    Debug,
    /// What was done.
    Info,
    /// Something is wrong, and is being handled.
    Warn,
    /// Something could not be done.
    Error,
}

impl Level {
    /// A word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// An event as a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// How much it matters.
    pub level: Level,
    /// The kind of the event: a word that never changes.
    pub event: &'static str,
    /// The line, as it is logged; not escaped.
    pub text: String,
    /// What it is about.
    pub fields: Fields<'a>,
}

/// What an event is about. Unknown fields are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    /// Why it happened.
    pub reason: Option<&'a str>,
    /// The registry, without secrets.
    pub registry: Option<&'a str>,
    /// The ID of the service.
    pub service: Option<&'a str>,
    /// The name of the service.
    pub name: Option<&'a str>,
    /// Its address.
    pub address: Option<&'a str>,
    /// Its port.
    pub port: Option<u16>,
    /// The first 12 characters of the container's ID.
    pub container: Option<&'a str>,
    /// The container's name.
    pub container_name: Option<&'a str>,
    /// The number of things it is about.
    pub count: Option<usize>,
    /// The rendered file, or the folder of several.
    pub file: Option<&'a str>,
}

impl<'a> Fields<'a> {
    fn registry(registry: &'a str) -> Self {
        Self { registry: Some(registry), ..Self::default() }
    }

    fn container(container: &'a ContainerId) -> Self {
        Self { container: Some(container.short()), ..Self::default() }
    }

    fn service(registry: &'a str, service: &'a Service) -> Self {
        Self {
            registry: Some(registry),
            service: Some(&service.id),
            name: Some(&service.name),
            address: Some(&service.address),
            port: Some(service.port),
            container: Some(service.origin.container.short()),
            container_name: Some(&service.origin.container_name),
            ..Self::default()
        }
    }

    /// A service by its ID; the rest where it is known.
    fn entry(registry: &'a str, id: &'a str, service: Option<&'a std::sync::Arc<Service>>) -> Self {
        match service {
            Some(service) => Self { service: Some(id), ..Self::service(registry, service) },
            None => Self { service: Some(id), ..Self::registry(registry) },
        }
    }

    fn because(self, reason: &'a str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    fn counting(self, count: usize) -> Self {
        Self { count: Some(count), ..self }
    }
}

impl Line<'_> {
    /// Writes it to the log.
    pub fn log(&self) {
        let Self { level, event, text, fields } = self;
        let Fields { reason, registry, service, name, address, port, container, container_name, count, file } = *fields;
        // `tracing` fixes the level of a callsite, so each level needs its own.
        macro_rules! log {
            ($level:ident) => {
                tracing::event!(
                    tracing::Level::$level,
                    event,
                    reason,
                    registry,
                    service,
                    name,
                    address,
                    port,
                    container,
                    container_name,
                    count,
                    file,
                    "{text}"
                )
            };
        }
        match level {
            Level::Debug => log!(DEBUG),
            Level::Info => log!(INFO),
            Level::Warn => log!(WARN),
            Level::Error => log!(ERROR),
        }
    }
}

impl Event {
    /// The event as a line.
    #[must_use]
    pub fn line(&self) -> Line<'_> {
        let plain = |level, event, text| Line { level, event, text, fields: Fields::default() };
        let line = |level, event, text, fields| Line { level, event, text, fields };
        let (debug, info, warn) = (Level::Debug, Level::Info, Level::Warn);
        match self {
            Self::Starting { version } => plain(info, "starting", format!("Starting registrator {version} ...")),
            Self::ForcingIp { ip } => plain(info, "forcing_ip", format!("Forcing host IP to {ip}")),
            Self::HostAddress { address, how } => {
                line(info, "host_address", how.clone(), Fields { address: Some(address), ..Fields::default() })
            }
            Self::Advice { about, text } => line(warn, "advice", text.clone(), Fields::default().because(about)),
            Self::SettingsRead { change } => plain(info, "settings_read", format!("settings: {change}")),
            Self::Stopping { signal } => plain(info, "stopping", format!("Stopping: signal {signal}")),
            Self::StatusListening { address, https } => {
                let scheme = if *https { "https" } else { "http" };
                plain(info, "status_listening", format!("status: {scheme}://{address}/"))
            }
            Self::State { text } => plain(info, "state", format!("state: {text}")),
            Self::StillBusy => plain(warn, "still_busy", "a registry is still busy; leaving it as it is".to_owned()),

            Self::Listening => plain(info, "listening", "Listening for Docker events ...".to_owned()),
            Self::Syncing { containers } => line(
                info,
                "syncing",
                format!("Syncing services on {containers} containers"),
                Fields::default().counting(*containers),
            ),
            Self::ConnectingToDocker { attempt, attempts } => {
                plain(info, "connecting_to_docker", format!("Connecting to Docker ({attempt}/{attempts})"))
            }
            Self::DockerAway { why, pause } => line(
                warn,
                "docker_away",
                format!("{why}; trying again in {}", Span(*pause)),
                Fields::default().because(why),
            ),
            Self::DockerLost { endpoint, why } => line(
                warn,
                "docker_lost",
                format!("Docker at {endpoint} is lost: {why}; reconnecting"),
                Fields::default().because(why),
            ),
            Self::DockerStillLost { endpoint, away, hint } => line(
                warn,
                "docker_still_lost",
                format!("Docker at {endpoint} has been lost for {}: {hint}", Span(*away)),
                Fields::default().because(hint),
            ),
            Self::DockerBack { endpoint, away } => {
                plain(info, "docker_back", format!("Docker at {endpoint} is back after {}", Span(*away)))
            }
            Self::DockerRefuses { endpoint, path, why } => line(
                warn,
                "docker_refuses",
                format!("Docker at {endpoint} refuses {path}: {why}"),
                Fields::default().because(why),
            ),
            Self::DockerAllows { endpoint, path, refused_for } => plain(
                info,
                "docker_allows",
                format!("Docker at {endpoint} answers {path} again, after it refused it for {}", Span(*refused_for)),
            ),
            Self::InspectFailed { container, why } => line(
                warn,
                "inspect_failed",
                format!("Docker cannot inspect {}: {why}; it stays as it was, and is tried again", container.short()),
                Fields::container(container).because(why),
            ),
            Self::EventsSkipped { count } => line(
                warn,
                "events_skipped",
                format!("Docker sent {count} events that cannot be read; the containers are listed again instead"),
                Fields::default().counting(*count),
            ),
            Self::ContainerTooLarge { container, what } => line(
                warn,
                "container_too_large",
                format!("{}: {what}; it is skipped, and its entries stay as they are", container.short()),
                Fields::container(container).because(what),
            ),

            Self::Ignored { container, reason } => line(
                info,
                "ignored",
                format!("ignored: {} {reason}", container.short()),
                Fields::container(container).because(reason),
            ),
            Self::Metadata { container, note } => line(
                warn,
                "metadata",
                format!("{}: {note}", container.short()),
                Fields::container(container).because(note),
            ),
            Self::TagsFailed { container, why } => line(
                warn,
                "tags_failed",
                format!("{}: registered without the tags of -tags: {why}", container.short()),
                Fields::container(container).because(why),
            ),
            Self::HttpGetFailed { why } => plain(warn, "http_get_failed", why.clone()),
            Self::Flapping { container, name, ends, window, pause } => line(
                warn,
                "flapping",
                format!(
                    "{}: ended {ends} times within {}: {name} is registered when it has run for {}",
                    container.short(),
                    Span(*window),
                    Span(*pause)
                ),
                Fields { container_name: Some(name), ..Fields::container(container) },
            ),
            Self::RunsOn { container } => line(
                info,
                "runs_on",
                format!("{}: was told to stop, but still runs; its entries are restored", container.short()),
                Fields::container(container),
            ),
            Self::IdTaken { registry, loser, winner } => {
                let container = loser.origin.container.short();
                let text = format!(
                    "ignored: {container} service on port {}: the ID {} is used by port {} of {}; give one of them \
                     another SERVICE_ID",
                    loser.origin.exposed_port,
                    loser.id,
                    winner.origin.exposed_port,
                    winner.origin.container.short(),
                );
                line(warn, "id_taken", text, Fields::service(registry, loser))
            }

            Self::UsingAdapter { registry, scheme } => {
                line(info, "using_adapter", format!("Using {scheme} adapter: {registry}"), Fields::registry(registry))
            }
            Self::Connecting { registry, attempt, attempts } => line(
                info,
                "connecting",
                format!("Connecting to backend ({attempt}/{attempts})"),
                Fields::registry(registry),
            ),
            Self::ConnectFailed { registry, why, pause } => line(
                warn,
                "connect_failed",
                format!("{why}; trying again in {}", Span(*pause)),
                Fields::registry(registry).because(why),
            ),
            Self::StartingWithout { registry, why } => line(
                warn,
                "starting_without",
                format!("{registry}: starting without it, and trying again: {why}"),
                Fields::registry(registry).because(why),
            ),
            Self::RegistryLost { registry, why } => {
                line(warn, "registry_lost", format!("{why}; trying again"), Fields::registry(registry).because(why))
            }
            Self::RegistryBack { registry, away, caught_up } => line(
                info,
                "registry_back",
                format!("{registry}: reached again after {}: {caught_up}", Span(*away)),
                Fields::registry(registry),
            ),
            Self::Resynced { registry, tally } => {
                line(info, "resynced", format!("{registry}: compared: {tally}"), Fields::registry(registry))
            }
            Self::Added { registry, service, reason } => line(
                info,
                "added",
                format!("added: {} {}", service.origin.container.short(), service.id),
                Fields::service(registry, service).because(reason),
            ),
            Self::Removed { registry, service, reason } => line(
                info,
                "removed",
                format!("removed: {} {}", service.origin.container.short(), service.id),
                Fields::service(registry, service).because(reason),
            ),
            Self::Dangling { registry, id } => line(
                info,
                "dangling",
                format!("dangling: {id}"),
                Fields::entry(registry, id, None).because("it has no container"),
            ),
            Self::Would { registry, what, id, service, reason } => line(
                info,
                "would",
                match service {
                    Some(service) => {
                        let container = service.origin.container.short();
                        format!("would {what}: {container} {id}: {reason}")
                    }
                    None => format!("would {what}: {id}: {reason}"),
                },
                Fields::entry(registry, id, service.as_ref()).because(reason),
            ),
            Self::Rehearsed { registry, would, others } => line(
                info,
                "rehearsed",
                format!(
                    "would {would}; {others} of other owners left alone ({registry}); nothing was written (-dry-run)"
                ),
                Fields::registry(registry).counting(would.sum()),
            ),
            Self::ReadDone { registry, error, took } => line(
                debug,
                "read",
                format!("{registry} was read in {} ms", took.as_millis()),
                Fields { reason: error.as_deref(), ..Fields::registry(registry) },
            ),
            Self::Wrote { registry, action, id, service, reason, error, took, waited: _ } => {
                let result = error.as_deref().unwrap_or("ok");
                let text = format!("{action} {id}: {result} in {} ms", took.as_millis());
                line(debug, "wrote", text, Fields::entry(registry, id, service.as_ref()).because(reason))
            }
            Self::RefreshesDone { registry, succeeded, failed } => line(
                debug,
                "refreshes",
                format!("{succeeded} refreshes, {failed} failed"),
                Fields::registry(registry).counting(*succeeded),
            ),
            Self::DockerListed { containers, took } => {
                plain(debug, "listed", format!("Docker listed {containers} containers in {} ms", took.as_millis()))
            }
            Self::DockerEvents { actions } => plain(debug, "docker_events", actions.join(" ")),
            Self::Refreshed { registry, service } => line(
                debug,
                "refreshed",
                format!("refreshed: {} {}", service.origin.container.short(), service.id),
                Fields::service(registry, service),
            ),
            Self::MarkedCritical { registry, id, service, reason } => {
                let container = service.as_ref().map_or("-", |service| service.origin.container.short());
                let text = format!("critical: {container} {id}: {reason}");
                line(info, "critical", text, Fields::entry(registry, id, service.as_ref()).because(reason))
            }
            Self::Unmarked { registry, id, service } => {
                let container = service.as_ref().map_or("-", |service| service.origin.container.short());
                let text = format!("no longer critical: {container} {id}");
                line(info, "not_critical", text, Fields::entry(registry, id, service.as_ref()))
            }
            Self::WriteFailed { registry, what, id, service, why } => {
                let event = match *what {
                    "register" => "register_failed",
                    "deregister" => "deregister_failed",
                    "refresh" => "refresh_failed",
                    _ => "mark_failed",
                };
                let text = format!("{what} failed: {id}: {why}");
                line(warn, event, text, Fields::entry(registry, id, service.as_ref()).because(why))
            }
            Self::WritesFailed { registry, count, example } => line(
                warn,
                "writes_failed",
                format!("{registry}: {count} more writes failed like this: {example}"),
                Fields::registry(registry).because(example).counting(*count),
            ),
            Self::StillRefused { registry, count, since, example } => line(
                warn,
                "still_refused",
                format!("{registry} has refused {} for {}; trying again: {example}", services(*count), Span(*since)),
                Fields::registry(registry).because(example).counting(*count),
            ),
            Self::RefusalOver { registry, since } => line(
                info,
                "refusal_over",
                format!("{registry}: takes again what it refused for {}", Span(*since)),
                Fields::registry(registry),
            ),
            Self::HeldByAnother { registry, count, owner } => {
                let services = if *count == 1 { "1 service is".to_owned() } else { format!("{count} services are") };
                let (whose, advice) = match owner {
                    Some(owner) => {
                        (format!(" with the owner {owner:?}"), ". If both should run, give each its own -owner")
                    }
                    None => (String::new(), ". If both should run, give each its own -ip, or its own path in the URI"),
                };
                let text = format!(
                    "{registry}: {services} already registered by another instance{whose}; waiting for it to stop{advice}"
                );
                line(info, "held_by_another", text, Fields::registry(registry).counting(*count))
            }
            Self::Reappeared { registry, id, owner } => line(
                warn,
                "reappeared",
                format!(
                    "dangling: {id} is back after it was removed, and stays: another instance registers it under the owner \
                     {owner:?}; give each its own -owner or -hostname"
                ),
                Fields::entry(registry, id, None),
            ),
            Self::Contested { registry, owner, id, difference } => {
                let both = difference.as_ref().map(|(here, there)| format!(": {here} here, {there} there"));
                line(
                    warn,
                    "contested",
                    format!(
                        "{registry}: another instance writes {id} and others under the owner {owner:?}{}; give each its \
                         own -hostname or -owner",
                        both.unwrap_or_default()
                    ),
                    Fields::entry(registry, id, None),
                )
            }
            Self::ContestOver { registry, since } => line(
                info,
                "contest_over",
                format!("{registry}: no other instance writes our entries any more; one did for {}", Span(*since)),
                Fields::registry(registry),
            ),
            Self::Reaped { registry, service } => line(
                warn,
                "reaped",
                format!(
                    "{}: {registry} removed it after it had been critical for too long (CHECK_DEREGISTER_AFTER); it is \
                     registered again when its container starts again, its metadata changes, or on SIGHUP",
                    service.id
                ),
                Fields::service(registry, service),
            ),
            Self::GuardHolds { registry, doubts, held, pause } => line(
                warn,
                "guard_holds",
                format!(
                    "{registry}: {doubts} of {held} entries have no container, but no event reported an end; asking Docker \
                     again in {} before they are removed (-removal-guard)",
                    Span(*pause)
                ),
                Fields::registry(registry).counting(*doubts),
            ),
            Self::LeftAsItIs { registry, why } => line(
                info,
                "left_as_it_is",
                format!("{registry}: its entries stay as they are: {why}"),
                Fields::registry(registry).because(why),
            ),
            Self::LeftUnfinished { registry, entries } => line(
                warn,
                "left_unfinished",
                match entries {
                    Some(entries) => format!("{registry}: gave no answer in time: {entries} entries stay as they are"),
                    None => format!("{registry}: gave no answer in time: what it holds stays as it is"),
                },
                Fields::registry(registry),
            ),
            Self::HealthChanged { registry, id, change } => line(
                info,
                "health",
                format!("health: {id} {change}"),
                Fields::entry(registry, id, None).because(change),
            ),
            Self::File { dest, what } => {
                let (level, event, text) = what.line(dest);
                line(level, event, text, Fields { file: Some(dest), ..Fields::default() })
            }
            Self::Adapter { registry, about, level, text } => {
                line(*level, about, text.clone(), Fields::registry(registry))
            }
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { add, change, take_over, remove, mark } = self;
        write!(f, "add {add}, change {change}, take over {take_over}, remove {remove}")?;
        if *mark > 0 { write!(f, ", mark or unmark {mark}") } else { Ok(()) }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { right, added, changed, removed } = self;
        write!(f, "{right} right, {added} added, {changed} changed, {removed} removed")
    }
}

fn services(count: usize) -> String {
    if count == 1 { "1 service".to_owned() } else { format!("{count} services") }
}

/// A length of time for people: `200ms`, `12s`, `3m`, `2h5m`.
pub(super) struct Span(pub(super) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
            (0, 0, 0) => write!(f, "{}ms", self.0.as_millis()),
            (0, 0, seconds) => write!(f, "{seconds}s"),
            (0, minutes, 0) => write!(f, "{minutes}m"),
            (0, minutes, seconds) => write!(f, "{minutes}m{seconds}s"),
            (hours, 0, _) => write!(f, "{hours}h"),
            (hours, minutes, _) => write!(f, "{hours}h{minutes}m"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_scripts_know_keep_their_words() {
        for (event, text) in [
            (Event::Starting { version: "1.2" }, "Starting registrator 1.2 ..."),
            (Event::ForcingIp { ip: "10.0.0.1".to_owned() }, "Forcing host IP to 10.0.0.1"),
            (Event::Listening, "Listening for Docker events ..."),
            (Event::Syncing { containers: 3 }, "Syncing services on 3 containers"),
            (
                Event::UsingAdapter { registry: "consul://h:8500".into(), scheme: "consul".to_owned() },
                "Using consul adapter: consul://h:8500",
            ),
            (
                Event::Connecting { registry: "r".into(), attempt: 1, attempts: "3".to_owned() },
                "Connecting to backend (1/3)",
            ),
            (
                Event::Ignored { container: "0123456789abcdef".into(), reason: "no published ports".to_owned() },
                "ignored: 0123456789ab no published ports",
            ),
            (Event::Dangling { registry: "r".into(), id: "web:a:80".into() }, "dangling: web:a:80"),
        ] {
            assert_eq!(event.line().text, text);
        }
    }

    #[test]
    fn a_length_of_time_is_short() {
        for (millis, text) in
            [(0, "0ms"), (250, "250ms"), (1_500, "1s"), (60_000, "1m"), (61_000, "1m1s"), (7_500_000, "2h5m")]
        {
            assert_eq!(Span(Duration::from_millis(millis)).to_string(), text);
        }
    }
}
