//! Checks in Consul's form, for Consul and in words. Pure.
//!
//! The fields are those of `/v1/agent/check/register` (<https://developer.hashicorp.com/consul/api-docs/agent/check>).

use std::time::Duration;

use serde::Serialize;

use crate::container::Health;
use crate::registry::text::stable_digest;
use crate::service::{Check, CheckKind, Heartbeat, Service};

/// The definition of a check, as sent with a registration.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Definition {
    #[serde(rename = "CheckID", skip_serializing_if = "Option::is_none")]
    pub(super) check_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'static str>,
    #[serde(rename = "HTTP", skip_serializing_if = "Option::is_none")]
    http: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<String>,
    #[serde(rename = "TLSSkipVerify", skip_serializing_if = "is_false")]
    tls_skip_verify: bool,
    #[serde(rename = "TCP", skip_serializing_if = "Option::is_none")]
    tcp: Option<String>,
    #[serde(rename = "GRPC", skip_serializing_if = "Option::is_none")]
    grpc: Option<String>,
    #[serde(rename = "GRPCUseTLS", skip_serializing_if = "is_false")]
    grpc_use_tls: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<String>,
    #[serde(rename = "TTL", skip_serializing_if = "Option::is_none")]
    ttl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deregister_critical_service_after: Option<String>,
    /// A free text, which the agent returns with the check's state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) notes: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_false(flag: &bool) -> bool {
    !flag
}

/// The check of a service. A TTL of zero means no check, because Consul would not create one.
fn of(service: &Service) -> Option<&Check> {
    service.check.as_deref().filter(|check| check.kind != CheckKind::Ttl(Duration::ZERO))
}

/// The TTL of a check whose heartbeats we send (`CHECK_TTL_HEARTBEAT`). Other TTL checks get the application's
/// heartbeats.
pub(super) fn heartbeat(service: &Service) -> Option<Duration> {
    let check = of(service)?;
    match (&check.kind, check.heartbeat) {
        (CheckKind::Ttl(ttl), Some(Heartbeat::Container)) => Some(*ttl),
        _ => None,
    }
}

/// Whether the heartbeat is a passing one: the container runs and, if it has a HEALTHCHECK, is healthy.
pub(super) fn is_well(service: &Service) -> bool {
    matches!(service.health, Health::None | Health::Healthy)
}

/// The definition that is registered with a service.
pub(super) fn definition(service: &Service) -> Option<Definition> {
    let check = of(service)?;
    let mut definition = Definition {
        status: check.initial_status.clone(),
        deregister_critical_service_after: check.deregister_after.map(duration),
        interval: Some(duration(check.interval)),
        ..Definition::default()
    };
    match &check.kind {
        CheckKind::Http { tls, path, method, skip_verify } => {
            definition.http = Some(url(service, *tls, path));
            definition.method.clone_from(method);
            definition.tls_skip_verify = *skip_verify;
        }
        CheckKind::Tcp => definition.tcp = Some(service.authority()),
        CheckKind::Grpc { tls, skip_verify } => {
            definition.grpc = Some(service.authority());
            definition.grpc_use_tls = *tls;
            definition.tls_skip_verify = *skip_verify;
        }
        CheckKind::Command(command) => {
            let origin = &service.origin;
            definition.args = vec![
                "check-cmd".to_owned(),
                origin.container.short().to_owned(),
                origin.exposed_port.to_string(),
                command.clone(),
            ];
        }
        CheckKind::Script(script) => definition.args = vec!["sh".to_owned(), "-c".to_owned(), script.clone()],
        CheckKind::Ttl(ttl) => {
            definition.ttl = Some(duration(*ttl));
            definition.interval = None;
            // Without a status, Consul starts as critical, until the application's first heartbeat.
            if heartbeat(service).is_some() && is_well(service) {
                definition.status.get_or_insert_with(|| "passing".to_owned());
            }
        }
    }
    if takes_timeout(&check.kind) {
        definition.timeout = check.timeout.map(duration);
    }
    Some(definition)
}

/// The shortest time that Consul accepts.
const LEAST_DEREGISTER_AFTER: Duration = Duration::from_secs(60);

/// The additional check of an entry with a TTL: it turns critical if the entry is not refreshed in time, and then
/// Consul removes the entry.
pub(super) fn lease(service: &Service) -> Option<Definition> {
    let ttl = service.ttl?;
    Some(Definition {
        check_id: Some(lease_id(&service.id)),
        name: Some("registrator looks after it"),
        ttl: Some(duration(ttl)),
        status: Some("passing".to_owned()),
        deregister_critical_service_after: Some(duration(ttl.max(LEAST_DEREGISTER_AFTER))),
        ..Definition::default()
    })
}

/// The name of that check.
pub(super) fn lease_id(id: &str) -> String {
    format!("registrator:{id}")
}

/// The definition of that check in words, as [`notes`].
pub(super) fn lease_notes(service: &Service) -> Option<String> {
    service.ttl.map(|ttl| format!("ttl {}", duration(ttl)))
}

/// The type that the agent returns for it.
pub(super) fn kind(service: &Service) -> Option<&'static str> {
    Some(match of(service)?.kind {
        CheckKind::Http { .. } => "http",
        CheckKind::Tcp => "tcp",
        CheckKind::Grpc { .. } => "grpc",
        CheckKind::Command(_) | CheckKind::Script(_) => "script",
        CheckKind::Ttl(_) => "ttl",
    })
}

/// The definition in words: `http http://10.0.0.1:80/health every 10s`. The agent returns notes but not definitions.
/// Two different checks have different notes.
///
/// A command line may hold a password, and everybody can read notes, so they contain a digest of it.
pub(super) fn notes(service: &Service) -> String {
    let Some(check) = of(service) else { return String::new() };
    let mut notes = match &check.kind {
        CheckKind::Http { tls, path, method, .. } => {
            let method = method.as_deref().map_or(String::new(), |method| format!("{method} "));
            format!("http {method}{}", url(service, *tls, path))
        }
        CheckKind::Tcp => format!("tcp {}", service.authority()),
        CheckKind::Grpc { tls, .. } => {
            format!("grpc {}{}", service.authority(), if *tls { " with TLS" } else { "" })
        }
        CheckKind::Command(command) => {
            let origin = &service.origin;
            format!("check-cmd {} {} {:016x}", origin.container.short(), origin.exposed_port, stable_digest(command))
        }
        CheckKind::Script(script) => format!("script {:016x}", stable_digest(script)),
        CheckKind::Ttl(ttl) => format!("ttl {}", duration(*ttl)),
    };
    if !matches!(check.kind, CheckKind::Ttl(_)) {
        notes += &format!(" every {}", duration(check.interval));
    }
    if let Some(timeout) = check.timeout.filter(|_| takes_timeout(&check.kind)) {
        notes += &format!(", timeout {}", duration(timeout));
    }
    if let CheckKind::Http { skip_verify: true, .. } | CheckKind::Grpc { skip_verify: true, .. } = check.kind {
        notes += ", any certificate";
    }
    if heartbeat(service).is_some() {
        notes += HEARTBEAT;
    }
    if let Some(status) = &check.initial_status {
        notes += &format!(", at first {status}");
    }
    if let Some(after) = check.deregister_after {
        notes += &format!("{REMOVED_AFTER}{} critical", duration(after));
    }
    notes
}

/// How [`notes`] describe a check whose heartbeats we send.
const HEARTBEAT: &str = ", kept by registrator";
/// What precedes the time in [`notes`] of a check for which Consul removes a service.
const REMOVED_AFTER: &str = ", removed after ";

/// Whether these notes describe a check whose heartbeats we send.
pub(super) fn notes_heartbeat(notes: &str) -> bool {
    notes.contains(HEARTBEAT)
}

/// Whether these notes describe a check for which Consul removes a service.
pub(super) fn notes_removal(notes: &str) -> bool {
    notes.contains(REMOVED_AFTER)
}

fn takes_timeout(kind: &CheckKind) -> bool {
    matches!(kind, CheckKind::Http { .. } | CheckKind::Tcp | CheckKind::Grpc { .. })
}

fn url(service: &Service, tls: bool, path: &str) -> String {
    format!("{}://{}{path}", if tls { "https" } else { "http" }, service.authority())
}

/// A duration in Go's format, in the largest exact unit.
fn duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let (unit, name) = [(1_000_000_000, "s"), (1_000_000, "ms"), (1_000, "us")]
        .into_iter()
        .find(|(unit, _)| nanos.is_multiple_of(*unit))
        .unwrap_or((1, "ns"));
    format!("{}{name}", nanos / unit)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::container::{Moment, Protocol};
    use crate::service::Origin;
    use serde_json::json;

    fn service(address: &str, check: Option<Check>) -> Service {
        Service {
            id: "id".into(),
            name: "name".to_owned(),
            address: address.into(),
            port: 80,
            protocol: Protocol::Tcp,
            tags: Arc::default(),
            attributes: Arc::default(),
            ttl: None,
            check: check.map(Box::new),
            health: Health::None,
            traefik: None,
            origin: Origin {
                container: "0123456789abcdef".into(),
                container_name: "web".into(),
                created: Moment::default(),
                started: Moment::default(),
                claimed: false,
                address_of: crate::service::AddressOf::Container,
                hostname: "c".into(),
                exposed_port: 8080,
            },
        }
    }

    fn check(kind: CheckKind) -> Check {
        Check {
            kind,
            interval: Duration::from_secs(10),
            timeout: None,
            initial_status: None,
            deregister_after: None,
            heartbeat: None,
        }
    }

    fn full(kind: CheckKind) -> Check {
        Check {
            timeout: Some(Duration::from_millis(1500)),
            initial_status: Some("warning".to_owned()),
            deregister_after: Some(Duration::from_secs(90)),
            heartbeat: None,
            ..check(kind)
        }
    }

    fn http(tls: bool, method: Option<&str>, skip_verify: bool) -> CheckKind {
        CheckKind::Http { tls, path: "/up?a=b".to_owned(), method: method.map(str::to_owned), skip_verify }
    }

    #[test]
    fn every_kind_of_check_is_spelled_as_consul_documents_it() {
        let rows = [
            (
                check(http(false, None, false)),
                json!({"HTTP": "http://10.0.0.1:80/up?a=b", "Interval": "10s"}),
                "http http://10.0.0.1:80/up?a=b every 10s",
            ),
            (
                full(http(true, Some("HEAD"), true)),
                json!({
                    "HTTP": "https://10.0.0.1:80/up?a=b", "Method": "HEAD", "TLSSkipVerify": true, "Interval": "10s",
                    "Timeout": "1500ms", "Status": "warning", "DeregisterCriticalServiceAfter": "90s",
                }),
                "http HEAD https://10.0.0.1:80/up?a=b every 10s, timeout 1500ms, any certificate, at first warning, \
                 removed after 90s critical",
            ),
            (check(CheckKind::Tcp), json!({"TCP": "10.0.0.1:80", "Interval": "10s"}), "tcp 10.0.0.1:80 every 10s"),
            (
                check(CheckKind::Grpc { tls: false, skip_verify: false }),
                json!({"GRPC": "10.0.0.1:80", "Interval": "10s"}),
                "grpc 10.0.0.1:80 every 10s",
            ),
            (
                check(CheckKind::Grpc { tls: true, skip_verify: true }),
                json!({"GRPC": "10.0.0.1:80", "GRPCUseTLS": true, "TLSSkipVerify": true, "Interval": "10s"}),
                "grpc 10.0.0.1:80 with TLS every 10s, any certificate",
            ),
            (
                full(CheckKind::Command("ping -c 1".to_owned())),
                json!({
                    "Args": ["check-cmd", "0123456789ab", "8080", "ping -c 1"], "Interval": "10s",
                    "Status": "warning", "DeregisterCriticalServiceAfter": "90s",
                }),
                "check-cmd 0123456789ab 8080 f165aec21240c518 every 10s, at first warning, removed after 90s critical",
            ),
            (
                check(CheckKind::Script("curl -u me:secret x".to_owned())),
                json!({"Args": ["sh", "-c", "curl -u me:secret x"], "Interval": "10s"}),
                "script 771c12ba1e47e763 every 10s",
            ),
            (check(CheckKind::Ttl(Duration::from_secs(30))), json!({"TTL": "30s"}), "ttl 30s"),
            (
                Check { heartbeat: Some(Heartbeat::Container), ..check(CheckKind::Ttl(Duration::from_secs(30))) },
                json!({"TTL": "30s", "Status": "passing"}),
                "ttl 30s, kept by registrator",
            ),
            (
                full(CheckKind::Ttl(Duration::from_secs(30))),
                json!({"TTL": "30s", "Status": "warning", "DeregisterCriticalServiceAfter": "90s"}),
                "ttl 30s, at first warning, removed after 90s critical",
            ),
        ];
        for (check, expected, words) in rows {
            let service = service("10.0.0.1", Some(check));
            assert_eq!(serde_json::to_value(definition(&service)).expect("JSON"), expected);
            assert_eq!(notes(&service), words);
        }
    }

    #[test]
    fn a_heartbeat_of_ours_begins_as_its_container_is() {
        let ttl = Check { heartbeat: Some(Heartbeat::Container), ..check(CheckKind::Ttl(Duration::from_secs(30))) };
        for (health, status) in [
            (Health::None, Some("passing")),
            (Health::Healthy, Some("passing")),
            (Health::Starting, None),
            (Health::Unhealthy, None),
        ] {
            let service = Service { health, ..service("10.0.0.1", Some(ttl.clone())) };
            assert_eq!(definition(&service).unwrap().status.as_deref(), status, "{health:?}");
        }
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets() {
        for (kind, field, expected) in [
            (http(false, None, false), "HTTP", "http://[2001:db8::1]:80/up?a=b"),
            (CheckKind::Tcp, "TCP", "[2001:db8::1]:80"),
            (CheckKind::Grpc { tls: false, skip_verify: false }, "GRPC", "[2001:db8::1]:80"),
        ] {
            let service = service("2001:db8::1", Some(check(kind)));
            assert_eq!(serde_json::to_value(definition(&service)).expect("JSON")[field], expected);
        }
    }

    #[test]
    fn a_ttl_of_nothing_is_no_check() {
        let service = service("10.0.0.1", Some(check(CheckKind::Ttl(Duration::ZERO))));
        assert_eq!((definition(&service), kind(&service), heartbeat(&service)), (None, None, None));
    }

    #[test]
    fn durations_are_written_as_go_reads_them() {
        for (nanos, text) in
            [(90_000_000_000, "90s"), (1_500_000_000, "1500ms"), (1_000_500, "1000500ns"), (7_000, "7us"), (0, "0s")]
        {
            assert_eq!(duration(Duration::from_nanos(nanos)), text);
        }
    }
}
