//! `-srv-domain` and `-srv-record`: nodes that a DNS record names.

use std::time::Duration;

use crate::render::source::{Backend, BackendSettings};
use crate::template::{Srv, lookup_srv};

/// How long the name servers may take, in all.
const PATIENCE: Duration = Duration::from_secs(10);

/// The nodes of a record, in order of their priority; those of etcd have a scheme.
///
/// # Errors
/// When it names none; one line.
pub(super) async fn nodes(record: &str, backend: &BackendSettings) -> Result<Vec<String>, String> {
    let name = record.to_owned();
    let found = tokio::task::spawn_blocking(move || lookup_srv(&name, PATIENCE)).await.unwrap_or_default();
    if found.is_empty() {
        return Err(format!(
            "{}: the name servers of /etc/resolv.conf know no such record; correct -srv-record or -srv-domain",
            record.escape_debug()
        ));
    }
    Ok(named(found, backend))
}

fn named(mut records: Vec<Srv>, backend: &BackendSettings) -> Vec<String> {
    records.sort_by_key(|record| (record.priority, u16::MAX - record.weight));
    let scheme = match backend.backend {
        Backend::Etcd | Backend::EtcdV2 => format!("{}://", backend.scheme.as_deref().unwrap_or("http")),
        _ => String::new(),
    };
    let node = |record: &Srv| format!("{scheme}{}:{}", record.target.trim_end_matches('.'), record.port);
    records.iter().map(node).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::event::Events;

    fn record(target: &str, port: u16, priority: u16, weight: u16) -> Srv {
        Srv { target: target.to_owned(), port, priority, weight }
    }

    fn settings(backend: Backend, scheme: Option<&str>) -> BackendSettings {
        BackendSettings {
            backend,
            nodes: Vec::new(),
            scheme: scheme.map(str::to_owned),
            user: None,
            token: None,
            tls: crate::http::Tls::default(),
            separator: String::new(),
            files: Vec::new(),
            filter: String::new(),
            environment: Arc::default(),
            events: Events::new(|_| {}),
        }
    }

    #[test]
    fn the_nodes_are_in_order_and_those_of_etcd_have_a_scheme() {
        let records = || {
            vec![record("b.example.com.", 2379, 20, 0), record("a.example.com.", 2380, 10, 5), record("c.", 1, 10, 9)]
        };
        let plain = ["c:1", "a.example.com:2380", "b.example.com:2379"];
        for backend in [Backend::Consul, Backend::EtcdV3, Backend::Redis] {
            assert_eq!(named(records(), &settings(backend, Some("https"))), plain);
        }
        let with = |scheme: &str| plain.map(|node| format!("{scheme}://{node}"));
        assert_eq!(named(records(), &settings(Backend::Etcd, None)), with("http"));
        assert_eq!(named(records(), &settings(Backend::Etcd, Some("https"))), with("https"));
    }

    #[tokio::test]
    async fn a_record_that_is_not_there_is_an_error_that_names_it() {
        let error = nodes("_etcd._tcp.nowhere.invalid.", &settings(Backend::Etcd, None)).await.unwrap_err();
        assert!(error.starts_with("_etcd._tcp.nowhere.invalid.: ") && error.contains("-srv-record"), "{error}");
    }
}
