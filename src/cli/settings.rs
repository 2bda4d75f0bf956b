//! Combines the parsed options into validated settings.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::Invalid;
use super::options::word;
use super::typed::Typed;
use crate::config::{
    BridgeConfig, Config, Deregister, DockerConfig, Environment, LogConfig, Mode, RegistryConfig, ServiceConfig,
    StatusConfig,
};

/// Checks the combinations of options, and builds each module's settings.
pub(super) fn settle(typed: Typed, environment: &Arc<Environment>, machine: &str) -> Result<Config, Invalid> {
    if typed.uris.is_empty() {
        return Err(Invalid::Usage("Missing required argument for registry URI.".to_owned()));
    }
    if (typed.ttl == 0) != (typed.ttl_refresh == 0) {
        return Err(Invalid::Rule("-ttl and -ttl-refresh must be specified together or not at all".to_owned()));
    }
    if typed.ttl > 0 && typed.ttl <= typed.ttl_refresh {
        return Err(Invalid::Rule("-ttl must be greater than -ttl-refresh".to_owned()));
    }
    let docker = engine(&typed, environment);
    let hostname = match typed.hostname {
        Some(hostname) => hostname,
        None => word(machine).map_err(|_| {
            Invalid::Rule(format!("the machine's host name {machine:?} cannot be used: give one with -hostname"))
        })?,
    };
    let owner = typed.owner.unwrap_or_else(|| hostname.clone());
    let ttl_refresh = seconds(typed.ttl_refresh);
    Ok(Config {
        log: LogConfig { format: typed.log_format, level: typed.log_level },
        docker,
        service: ServiceConfig {
            hostname: hostname.clone(),
            ip: typed.ip,
            internal: typed.internal,
            explicit: typed.explicit,
            ip_label: typed.ip_label,
            tags: typed.tags,
            ttl: seconds(typed.ttl),
            max_services: usize::try_from(typed.max_services).unwrap_or(usize::MAX),
        },
        registries: typed
            .uris
            .into_iter()
            .map(|uri| RegistryConfig {
                uri,
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
            address: environment.get("REGISTRATOR_STATUS").and_then(|text| {
                let (host, port) = text.rsplit_once(':')?;
                let host = if host.is_empty() { "127.0.0.1" } else { host };
                Some(crate::config::StatusAddress { host: host.to_owned(), port: port.parse().ok()? })
            }),
            ..StatusConfig::default()
        },
        audit: None,
        mode: Mode::Write,
        settings: Vec::new(),
    })
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
