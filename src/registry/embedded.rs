//! The embedded registry: one machine needs nothing else.
//!
//! The registry itself is [`registrator_embedded`], which knows neither Docker nor services. This adapter reads its
//! URI, translates services into its definitions, and turns its reports into events.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::Hasher;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registrator_embedded::{
    Condition, Definition, Face, HealthChange, Notice, PARAMETERS, Server, Settings, Source, StartError, Surroundings,
    Target,
};

use super::parameters::Parameters;
use super::reporter::Reporter;
use super::text::one_line;
use super::uri::{Uri, redacted};
use super::{Action, Capabilities, Entry, Marked, OpenError, Registry, RegistryError, Scope, Write};
use crate::config::RegistryConfig;
use crate::container::Health;
use crate::event::Events;
use crate::http::{ClientError, Tls, tls_config};
use crate::machine;
use crate::service::{self, AddressOf, Check, CheckKind, Service};

/// The most characters of what a check found that are logged.
const REASON_LENGTH: usize = 160;

/// How often a TTL is renewed within its time.
const KEEP_ALIVES_PER_TTL: u32 = 3;

/// The running embedded registry. It stops serving when it is dropped.
pub struct Embedded {
    server: Server,
    owner: Arc<str>,
    script_checks: bool,
}

/// Opens the embedded registry of a URI with the scheme `embedded`, and serves. Must be called in a Tokio runtime.
///
/// # Errors
/// When the URI is invalid, or a port is not available; then nothing was started.
pub(super) fn open(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Arc<dyn Registry>, OpenError> {
    Ok(Arc::new(Embedded::serve(uri, config, reporter)?))
}

/// Whether `open` would accept this URI; nothing is started.
///
/// # Errors
/// When the URI is invalid.
pub(super) fn check(uri: &Uri<'_>, config: &RegistryConfig) -> Result<(), OpenError> {
    let bad_uri = |reason: String| OpenError::BadUri { uri: redacted(&config.uri), reason };
    settings(uri, &config.owner).map(drop).map_err(bad_uri)
}

impl Embedded {
    /// As `open`; also returns the listening addresses.
    ///
    /// # Errors
    /// As `open`.
    pub fn start(config: &RegistryConfig) -> Result<Self, OpenError> {
        let uri = Uri::split(&config.uri).ok_or_else(|| OpenError::BadUri {
            uri: redacted(&config.uri),
            reason: "it names no adapter, as embedded:// does".to_owned(),
        })?;
        Self::serve(&uri, config, &Reporter::new(redacted(&config.uri).into(), Events::to_log()))
    }

    fn serve(uri: &Uri<'_>, config: &RegistryConfig, reporter: &Reporter) -> Result<Self, OpenError> {
        let reporter = reporter.clone();
        let bad_uri = |reason: String| OpenError::BadUri { uri: redacted(&config.uri), reason };
        let settings = settings(uri, &config.owner).map_err(bad_uri)?;
        let script_checks = settings.script_checks;
        let surroundings = Surroundings {
            address: machine::default_route().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            names: vec![machine::name(), config.owner.clone()],
            tls: tls().map_err(|error| OpenError::Settings(format!("embedded: {error}")))?,
            tell: Arc::new(move |notice| tell(&reporter, &notice)),
        };
        let server = Server::start(settings, &surroundings).map_err(|error| match error {
            StartError::Names(error) => bad_uri(error.to_string()),
            StartError::Listen { face, .. } => OpenError::Settings(format!("embedded: {error}; {}", advice(face))),
            StartError::System(_) => OpenError::Settings(format!("embedded: {error}")),
        })?;
        Ok(Self { server, owner: config.owner.as_str().into(), script_checks })
    }

    /// Its HTTP address; `None` if it serves no HTTP.
    #[must_use]
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.server.http_address()
    }

    /// Its DNS address, for UDP and TCP; `None` if it serves no DNS.
    #[must_use]
    pub fn dns_address(&self) -> Option<SocketAddr> {
        self.server.dns_address()
    }

    fn register_one(&self, service: &Service) -> Result<(), RegistryError> {
        if service.id.is_empty() || service.name.is_empty() {
            return Err(RegistryError::service("it has no ID or no name"));
        }
        let check = service.check.as_ref().map(|check| &check.kind);
        if matches!(check, Some(CheckKind::Command(_) | CheckKind::Script(_))) && !self.script_checks {
            return Err(RegistryError::service(
                "its check runs a command, which this registry does only with script-checks=true in its URI \
                 (embedded://?script-checks=true)",
            ));
        }
        self.server.register(definition(service), fingerprint(service));
        Ok(())
    }

    fn apply_one(&self, write: &Write) -> Result<(), RegistryError> {
        match &write.action {
            Action::Put(service) => self.register_one(service)?,
            Action::Remove(entry) => self.server.deregister(&entry.key),
            Action::Mark(entry, mark) => self.server.mark(&entry.key, Some(mark.reason())),
            Action::Unmark(entry) => self.server.mark(&entry.key, None),
        }
        Ok(())
    }

    fn refresh_one(&self, service: &Service) -> Result<(), RegistryError> {
        if self.server.keep_alive(&service.id) {
            Ok(())
        } else {
            Err(RegistryError::service("it is no longer registered"))
        }
    }
}

#[async_trait]
impl Registry for Embedded {
    fn capabilities(&self) -> Capabilities {
        Capabilities { marks: true, ..Capabilities::default() }
    }

    fn key(&self, service: &Service) -> Arc<str> {
        Arc::clone(&service.id)
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        fingerprint(service)
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn read(&self, _scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
        let entry = |registered: registrator_embedded::Registered| Entry {
            service_id: Arc::clone(&registered.id),
            key: registered.id,
            owner: Some(Arc::clone(&self.owner)),
            fingerprint: registered.fingerprint,
            marked: if registered.marked { Marked::Ours } else { Marked::No },
            critical: false,
            content: None,
        };
        Ok(self.server.registered().into_iter().map(entry).collect())
    }

    async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
        writes.iter().map(|write| self.apply_one(write)).collect()
    }

    fn refresh_interval(&self, service: &Service) -> Option<Duration> {
        match service.check.as_ref()?.kind {
            CheckKind::Ttl(ttl) => Some(ttl / KEEP_ALIVES_PER_TTL),
            _ => None,
        }
    }

    async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        services.iter().map(|service| self.refresh_one(service)).collect()
    }
}

/// Parses a URI with the scheme `embedded`: `embedded://<http address>?dns=<address>&domain=…`; `owner` is the default
/// name of the node.
///
/// # Errors
/// One line that says what is wrong and what would be right.
fn settings(uri: &Uri<'_>, owner: &str) -> Result<Settings, String> {
    if uri.userinfo.is_some() {
        return Err(
            "it has no users: whoever reaches its ports may ask, so it listens on 127.0.0.1 unless told otherwise"
                .to_owned(),
        );
    }
    if !matches!(uri.path, "" | "/") {
        return Err(format!("{:?} is a path, and there are none: write embedded://<address>:<port>", uri.path));
    }
    let mut parameters = Parameters::read(uri.query)?;
    let settings = Settings::parse(uri.hosts, owner, |name| parameters.take(name))?;
    parameters.finish(&PARAMETERS)?;
    Ok(settings)
}

/// What to write in the URI if a port is not available.
fn advice(face: Face) -> &'static str {
    match face {
        Face::Http => "choose another with embedded://<address>:<port>, or embedded://off for none",
        Face::Dns => "choose another with embedded://?dns=<address>:<port>, or dns=off for none",
    }
}

/// The TLS settings of its checks, as everywhere else in this program.
fn tls() -> Result<registrator_embedded::Tls, ClientError> {
    let config = |skip_verify| tls_config(&Tls { skip_verify, ..Tls::default() }).map(Arc::new);
    Ok(registrator_embedded::Tls { verifying: config(false)?, trusting: config(true)? })
}

/// Turns the registry's reports into events.
fn tell(reporter: &Reporter, notice: &Notice) {
    match notice {
        Notice::Listening { http, dns } => {
            let shown =
                |address: &Option<SocketAddr>| address.map_or("nowhere".to_owned(), |address| address.to_string());
            reporter.info("listening", format!("embedded: HTTP on {}, DNS on {}", shown(http), shown(dns)));
        }
        Notice::FewerConnections { files, taken, allowed } => reporter.warn(
            "fewer_connections",
            format!(
                "embedded: this process may open {files} files, so it takes {taken} connections at the same time \
                 instead of {allowed}; raise ulimit -n for more"
            ),
        ),
        Notice::Health(change) => reporter.health(Arc::clone(&change.id), health(change)),
        Notice::AnswerFailed { reason } => {
            reporter.error("answer_failed", format!("embedded: an answer could not be made: {reason}"));
        }
    }
}

/// What is said of a service whose health changed, behind its ID: `is critical (was passing): connection refused`.
fn health(change: &HealthChange) -> String {
    let HealthChange { source, from, to, reason, changes, .. } = change;
    let mut text = format!("is {to}");
    if *source == Source::Docker {
        text += " by Docker's HEALTHCHECK";
    }
    text += &match changes {
        1 => format!(" (was {from})"),
        _ => format!(" (was {from}; {changes} changes in a minute)"),
    };
    // What passes needs no reason, and Docker gives none.
    if *to != Condition::Passing && *source == Source::Check && !reason.is_empty() {
        text = text + ": " + &one_line(reason, REASON_LENGTH);
    }
    text
}

/// The service as the registry's definition. Shared values stay shared.
fn definition(service: &Service) -> Definition {
    Definition {
        id: Arc::clone(&service.id),
        name: service.name.as_str().into(),
        address: Arc::clone(&service.address),
        port: service.port,
        protocol: service.protocol.as_str(),
        tags: Arc::clone(&service.tags),
        meta: Arc::clone(&service.attributes),
        check: service.check.as_deref().map(|check| Arc::new(check_of(service, check))),
        health: match service.health {
            Health::None => registrator_embedded::Health::None,
            Health::Starting => registrator_embedded::Health::Starting,
            Health::Healthy => registrator_embedded::Health::Healthy,
            Health::Unhealthy => registrator_embedded::Health::Unhealthy,
        },
        group: service.origin.container.shared(),
        target: match service.origin.address_of {
            AddressOf::Container => Target::Own,
            AddressOf::Metadata => Target::Elsewhere,
        },
        traefik: service::traefik::share(service),
    }
}

fn check_of(service: &Service, check: &Check) -> registrator_embedded::Check {
    use registrator_embedded::CheckKind as Kind;
    let kind = match &check.kind {
        CheckKind::Http { tls, path, method, skip_verify } => {
            Kind::Http { tls: *tls, path: path.clone(), method: method.clone(), skip_verify: *skip_verify }
        }
        CheckKind::Tcp => Kind::Tcp,
        CheckKind::Grpc { tls, skip_verify } => Kind::Grpc { tls: *tls, skip_verify: *skip_verify },
        CheckKind::Command(command) => {
            let origin = &service.origin;
            let arguments = [origin.container.short().to_owned(), origin.exposed_port.to_string(), command.clone()];
            Kind::Command { program: "check-cmd", arguments: arguments.into() }
        }
        CheckKind::Script(script) => Kind::Command { program: "sh", arguments: vec!["-c".to_owned(), script.clone()] },
        CheckKind::Ttl(ttl) => Kind::Ttl(*ttl),
    };
    let Check { interval, timeout, initial_status, deregister_after, .. } = check;
    registrator_embedded::Check {
        kind,
        interval: *interval,
        timeout: *timeout,
        initial_status: initial_status.clone(),
        deregister_after: *deregister_after,
    }
}

/// A digest of everything in a service that matters here. It never leaves this process.
fn fingerprint(service: &Service) -> u64 {
    /// Hashes what is written.
    struct Digest(DefaultHasher);
    impl std::fmt::Write for Digest {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            self.0.write(text.as_bytes());
            Ok(())
        }
    }
    let mut digest = Digest(DefaultHasher::new());
    let Service { id, name, address, port, protocol, tags, attributes, check, health, origin, traefik, .. } = service;
    let origin = (origin.container.as_str(), origin.address_of);
    // Writing to a digest cannot fail.
    let _ =
        write!(digest, "{:?}", (id, name, address, port, protocol, tags, attributes, check, health, origin, traefik));
    digest.0.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_in_its_uri_is_said_in_one_line() {
        for (uri, part) in [
            ("embedded://127.0.0.1/v1", "\"/v1\" is a path"),
            ("embedded://me:x@127.0.0.1", "it has no users"),
            ("embedded://somewhere", "write an address like 127.0.0.1:8500"),
            ("embedded://?color=red", "it knows dns, domain, datacenter, node, address, names, script-checks,"),
        ] {
            let error = settings(&Uri::split(uri).unwrap(), "host").unwrap_err();
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn its_uri_may_say_nothing_at_all() {
        for uri in ["embedded:", "embedded://", "embedded:///"] {
            assert!(settings(&Uri::split(uri).unwrap(), "host").is_ok(), "{uri}");
        }
    }

    #[test]
    fn a_change_of_health_is_one_short_line_that_prints() {
        let change = |source, to, reason: &str, changes| {
            let reason = reason.to_owned();
            health(&HealthChange { id: "web".into(), source, from: Condition::Passing, to, reason, changes })
        };
        for (line, expected) in [
            (
                change(Source::Check, Condition::Critical, "no\n\u{1b}[31m", 1),
                "is critical (was passing): no\\n\\u{1b}[31m",
            ),
            (change(Source::Check, Condition::Warning, "", 1), "is warning (was passing)"),
            (
                change(Source::Check, Condition::Passing, "200 OK", 37),
                "is passing (was passing; 37 changes in a minute)",
            ),
            (
                change(Source::Docker, Condition::Critical, "Docker says unhealthy", 1),
                "is critical by Docker's HEALTHCHECK (was passing)",
            ),
        ] {
            assert_eq!(line, expected);
        }
        let long = change(Source::Check, Condition::Critical, &"é".repeat(5000), 1);
        assert_eq!(long.chars().count(), "is critical (was passing): ".len() + REASON_LENGTH + 1);
    }
}
