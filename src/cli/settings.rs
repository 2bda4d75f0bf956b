//! Combines the parsed options into validated settings.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Invalid;
use super::options::{self, OPTIONS, Opt, Takes, flag, word};
use super::read::Reading;
use super::typed::Typed;
use crate::config::{
    Applies, BridgeConfig, Config, Deregister, DockerConfig, Environment, LogConfig, Mode, Origin, REGISTRIES,
    RegistryConfig, RenderConfig, ServiceConfig, Setting, StatusConfig, StatusTls,
};
use crate::registry::is_for_traefik;

/// Builds each module's settings, and checks the combinations of options: what the daemon would say first comes first.
pub(super) fn settle(reading: &Reading, environment: &Arc<Environment>, machine: &str) -> (Config, Vec<Invalid>) {
    let Reading { typed, .. } = reading;
    let mut problems = Vec::new();
    if typed.uris.is_empty() {
        problems.push(Invalid::NoRegistry);
    }
    problems.extend(contradictions(typed).map(|rule| Invalid::Rule(rule.to_owned())));
    let hostname = typed.hostname.clone().unwrap_or_else(|| {
        word(machine).unwrap_or_else(|_| {
            let line = format!("the machine's host name {machine:?} cannot be used: give one with -hostname");
            problems.push(Invalid::Rule(line));
            "localhost".to_owned()
        })
    });
    let owner = typed.owner.clone().unwrap_or_else(|| hostname.clone());
    let ttl_refresh = seconds(typed.ttl_refresh);
    let config = Config {
        log: LogConfig { format: typed.log_format, level: typed.log_level },
        docker: engine(typed, environment),
        service: ServiceConfig {
            hostname: hostname.clone(),
            ip: typed.ip.clone(),
            internal: typed.internal,
            explicit: typed.explicit,
            ip_label: typed.ip_label.clone(),
            tags: typed.tags.clone(),
            ttl: seconds(typed.ttl),
            max_services: usize::try_from(typed.max_services).unwrap_or(usize::MAX),
            traefik: typed.traefik || typed.uris.iter().any(|uri| is_for_traefik(uri)),
        },
        registries: typed
            .uris
            .iter()
            .map(|uri| RegistryConfig {
                uri: uri.clone(),
                owner: owner.clone(),
                hostname: hostname.clone(),
                record_owner: typed.owner_meta,
                ttl: seconds(typed.ttl),
                ttl_refresh,
                environment: Arc::clone(environment),
            })
            .collect(),
        bridge: BridgeConfig {
            deregister: typed.deregister,
            on_shutdown: typed.on_shutdown,
            cleanup: typed.cleanup,
            adopt: typed.adopt,
            drain: seconds(typed.drain),
            removal_guard: typed.removal_guard,
            retry_attempts: u32::try_from(typed.retry_attempts).ok(),
            retry_interval: Duration::from_millis(typed.retry_interval.unsigned_abs()),
        },
        status: StatusConfig {
            address: typed.status.clone(),
            tls: typed
                .status_tls_cert
                .clone()
                .zip(typed.status_tls_key.clone())
                .map(|(certificate, key)| StatusTls { certificate, key }),
            token_file: typed.status_token_file.clone(),
            prometheus_file: typed.prometheus_file.clone(),
        },
        render: typed.render.clone().map(|folder| RenderConfig { folder, allow_signals: typed.allow_signals }),
        audit: typed.audit.clone(),
        mode: match (typed.dry_run, typed.once) {
            (false, _) => Mode::Write,
            (true, false) => Mode::DryRun,
            (true, true) => Mode::DryRunOnce,
        },
        settings: effective(reading, &hostname, &owner),
    };
    (config, problems)
}

/// The rules that these options break.
fn contradictions(typed: &Typed) -> impl Iterator<Item = &'static str> {
    let served = typed.status.is_some();
    let tls = (typed.status_tls_cert.is_some(), typed.status_tls_key.is_some());
    let rules = [
        (
            (typed.ttl == 0) != (typed.ttl_refresh == 0),
            "-ttl and -ttl-refresh must be specified together or not at all",
        ),
        (
            typed.ttl > 0 && typed.ttl_refresh > 0 && typed.ttl <= typed.ttl_refresh,
            "-ttl must be greater than -ttl-refresh",
        ),
        (tls.0 != tls.1, "-status-tls-cert and -status-tls-key must be specified together or not at all"),
        (!served && tls.0 && tls.1, "-status-tls-cert needs -status, which says where to listen"),
        (!served && typed.status_token_file.is_some(), "-status-token-file needs -status, which says where to listen"),
        (typed.once && !typed.dry_run, "-once needs -dry-run"),
        (typed.allow_signals && typed.render.is_none(), "-allow-signals needs -render, whose files it is about"),
    ];
    rules.into_iter().filter(|(broken, _)| *broken).map(|(_, rule)| rule)
}

/// Each option's value and its origin, in the order of the table; then the registries.
fn effective(reading: &Reading, hostname: &str, owner: &str) -> Vec<Setting> {
    let Reading { typed, given, uri_origins, .. } = reading;
    let options = OPTIONS.iter().filter(|option| option.is_setting()).map(|option| {
        let (value, origin) =
            given.get(option.name).cloned().unwrap_or_else(|| (option.default.to_owned(), Origin::Default));
        let value = match (option.name, &origin) {
            // These depend on the machine and on each other.
            ("hostname", Origin::Default) => hostname.to_owned(),
            ("owner", Origin::Default) => owner.to_owned(),
            _ => normal(option, value),
        };
        Setting { option: option.name, value, origin, applies: option.applies }
    });
    let registries = typed.uris.iter().zip(uri_origins).map(|(uri, origin)| Setting {
        option: REGISTRIES,
        value: uri.clone(),
        origin: origin.clone(),
        applies: Applies::AtStart,
    });
    options.chain(registries).collect()
}

/// A value in its usual spelling, so that equal values look equal.
fn normal(option: &Opt, value: String) -> String {
    let usual = match option.takes {
        Takes::Flag => flag(&value).map(|on| on.to_string()),
        Takes::Value("SECONDS") => options::seconds(&value).map(|seconds| seconds.to_string()),
        Takes::Value("MS") => options::milliseconds(&value).map(|milliseconds| milliseconds.to_string()),
        Takes::Value(_) | Takes::Choice(..) => return value,
    };
    usual.unwrap_or(value)
}

/// The engine's own variables, as Docker's client reads them, and what our options need from it.
fn engine(typed: &Typed, environment: &Environment) -> DockerConfig {
    let owned = |name: &str| environment.get(name).map(str::to_owned);
    DockerConfig {
        host: owned("DOCKER_HOST"),
        tls_verify: environment.get("DOCKER_TLS_VERIFY").is_some(),
        cert_path: environment.get("DOCKER_CERT_PATH").map(PathBuf::from),
        api_version: owned("DOCKER_API_VERSION"),
        keep_inspect: typed.tags.as_deref().is_some_and(|tags| tags.contains("{{")),
        ip_label: typed.ip_label.clone(),
        list_all: typed.deregister != Deregister::Always,
        resync: seconds(typed.resync),
    }
}

/// 0 is none.
fn seconds(typed: i64) -> Option<Duration> {
    u64::try_from(typed).ok().filter(|seconds| *seconds > 0).map(Duration::from_secs)
}
