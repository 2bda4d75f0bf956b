//! SkyDNS 2 and CoreDNS: services as records of a domain, stored in etcd, `/skydns/local/cluster/<name>/<id>` =
//! `{"host":"10.0.0.1","port":8000}`.
//!
//! [`super::label`] makes names fit for DNS, [`record`] builds keys and values; [`super::etcd`] stores them. SkyDNS reads
//! etcd's v2 API, CoreDNS its v3 API.
//!
//! # Names that resolve
//!
//! SkyDNS reverses `<id>.<name>.cluster.local` into a key. It answers a query for `<name>.cluster.local` with all
//! records below that key; the target of an SRV answer is the name of the record's key. So each part of a key must be a
//! label: a dot would add a level, and queries are always in lower case. gliderlabs/registrator wrote IDs unchanged, so
//! its SRV answers had targets that do not resolve. Here, a name or an ID that is a label is written unchanged; any
//! other becomes a label that resembles it and that no other shares.

mod record;

use std::sync::Arc;

use crate::config::RegistryConfig;

use super::etcd::{self, Api, Settings};
use super::kv::Layout;
use super::label::is_label;
use super::parameters::{Parameters, decoded};
use super::reporter::Reporter;
use super::services::ServiceReader;
use super::uri::{Uri, redacted};
use super::{OpenError, Registry};

use record::Records;

/// The default path of readers.
const TREE: &str = "/skydns";

/// Opens SkyDNS for `skydns2:`; the URI's path is the domain.
///
/// # Errors
/// When the URI, the `ETCD_*` variables or the files that they name cannot be used.
pub(super) fn open(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Arc<dyn Registry>, OpenError> {
    let root = root_of(uri, config)?;
    open_at(Uri { path: &root, ..*uri }, Api::Either, false, config, reporter)
}

/// Where the records of SkyDNS are.
fn root_of(uri: &Uri<'_>, config: &RegistryConfig) -> Result<String, OpenError> {
    let bad = |reason: String| OpenError::BadUri { uri: redacted(&config.uri), reason };
    let domain = decoded(uri.path).ok_or_else(|| bad("its path is not UTF-8".to_owned()))?;
    let domain = domain.trim_matches('/');
    if domain.is_empty() {
        return Err(bad("the domain is missing, as in skydns2://127.0.0.1:2379/cluster.local".to_owned()));
    }
    Ok(format!("{TREE}{}", reversed(domain).map_err(bad)?))
}

/// Opens CoreDNS for `coredns:`; the URI's path is the plugin's path, and `?zone=` is the domain.
///
/// # Errors
/// As [`open`].
pub(super) fn open_coredns(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Arc<dyn Registry>, OpenError> {
    let (root, query) = zone_of(uri, config)?;
    open_at(Uri { path: &root, query: query.as_deref(), ..*uri }, Api::V3, true, config, reporter)
}

/// Where the records of a zone of CoreDNS are, and the other parameters of the URI.
fn zone_of(uri: &Uri<'_>, config: &RegistryConfig) -> Result<(String, Option<String>), OpenError> {
    let bad = |reason: String| OpenError::BadUri { uri: redacted(&config.uri), reason };
    let zone = Parameters::read(uri.query).map_err(bad)?.take("zone");
    let zone = zone.ok_or_else(|| {
        bad("the zone is missing, as in coredns://127.0.0.1:2379/skydns?zone=cluster.local".to_owned())
    })?;
    let tree = match uri.path.trim_end_matches('/') {
        "" => TREE,
        path => path,
    };
    let root = format!("{tree}{}", reversed(&zone).map_err(bad)?);
    let query = uri.query.map(|query| {
        let others = query.split('&').filter(|parameter| *parameter != "zone" && !parameter.starts_with("zone="));
        others.collect::<Vec<_>>().join("&")
    });
    Ok((root, query))
}

/// Opens the services of SkyDNS for reading.
///
/// # Errors
/// As [`open`].
pub(super) fn services(uri: &Uri<'_>, config: &RegistryConfig) -> Result<Arc<dyn ServiceReader>, OpenError> {
    let root = root_of(uri, config)?;
    let settings = Settings::new(&Uri { path: &root, ..*uri }, config)?;
    let layout = Records::new(settings.root.clone(), false);
    Ok(etcd::reader::services(settings, Api::Either, layout))
}

/// Opens the services of a zone of CoreDNS for reading.
///
/// # Errors
/// As [`open`].
pub(super) fn services_of_coredns(uri: &Uri<'_>, config: &RegistryConfig) -> Result<Arc<dyn ServiceReader>, OpenError> {
    let (root, query) = zone_of(uri, config)?;
    let settings = Settings::new(&Uri { path: &root, query: query.as_deref(), ..*uri }, config)?;
    let layout = Records::new(settings.root.clone(), true);
    Ok(etcd::reader::services(settings, Api::V3, layout))
}

fn open_at(
    uri: Uri<'_>,
    api: Api,
    ttl_in_records: bool,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Arc<dyn Registry>, OpenError> {
    let settings = Settings::new(&uri, config)?;
    let root = settings.root.clone();
    let layout = move || -> Box<dyn Layout> { Box::new(Records::new(root.clone(), ttl_in_records)) };
    Ok(etcd::registry(&settings, api, config, reporter, &layout))
}

/// A domain as a key's path: `/local/cluster` for `cluster.local`.
fn reversed(domain: &str) -> Result<String, String> {
    let lower = domain.strip_suffix('.').unwrap_or(domain).to_ascii_lowercase();
    if lower.len() > 200 || !lower.split('.').all(is_label) {
        return Err(format!("{domain:?} is no domain: it is written as cluster.local"));
    }
    Ok(lower.rsplit('.').fold(String::new(), |path, label| path + "/" + label))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(uri: &str) -> Result<(), String> {
        let config = RegistryConfig {
            uri: uri.to_owned(),
            owner: "host".to_owned(),
            hostname: "host".to_owned(),
            record_owner: true,
            ttl: None,
            ttl_refresh: None,
            environment: Arc::default(),
        };
        super::super::open(&config, &crate::event::Events::to_log()).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn a_domain_is_turned_around() {
        for (domain, path) in
            [("cluster.local", "/local/cluster"), ("local", "/local"), ("A.b-c.example.", "/example/b-c/a")]
        {
            assert_eq!(reversed(domain).as_deref(), Ok(path));
        }
        for domain in ["", ".", "a..b", ".a", "a b", "-a", "a/b", "é", &"a.".repeat(150)] {
            assert!(reversed(domain).is_err(), "{domain}");
        }
    }

    #[test]
    fn a_uri_without_a_domain_is_said_with_one_that_has_it() {
        for uri in [
            "skydns2://h:2379/cluster.local",
            "skydns2:///cluster.local",
            "skydns2://a:1,b:2/local/",
            "coredns://h:2379/skydns?zone=cluster.local",
            "coredns://h?zone=cluster.local&records=/r",
        ] {
            assert_eq!(outcome(uri), Ok(()), "{uri}");
        }
        for (uri, said) in [
            ("skydns2://h", "the domain is missing, as in skydns2://127.0.0.1:2379/cluster.local"),
            ("skydns2://h/", "the domain is missing, as in skydns2://127.0.0.1:2379/cluster.local"),
            ("skydns2://h/a_b/c", "\"a_b/c\" is no domain: it is written as cluster.local"),
            ("coredns://h/skydns", "the zone is missing, as in coredns://127.0.0.1:2379/skydns?zone=cluster.local"),
            ("coredns://h/skydns?zone=..", "\"..\" is no domain: it is written as cluster.local"),
        ] {
            assert_eq!(outcome(uri), Err(format!("bad adapter uri: {uri}: {said}")));
        }
    }
}
