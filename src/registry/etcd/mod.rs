//! etcd: its v3 API, and the v2 API of older servers. Both store one key per service.
//!
//! [`settings`] reads the URI, [`about`] asks which version answers, [`v2`] and [`v3`] talk to the server, [`either`] detects which of them it offers;
//! [`super::kv`] does the rest. Other registries that are stored in etcd are opened with [`registry`].

mod about;
mod either;
pub(super) mod reader;
mod settings;
mod v2;
mod v3;

use std::sync::Arc;

use tokio::sync::OnceCell;

use crate::config::RegistryConfig;

use super::kv::{ClaimKeys, KvRegistry, Layout, Plain, Store, TraefikRegistry};
use super::reporter::Reporter;
use super::traefik;
use super::uri::{Uri, redacted};
use super::{OpenError, Registry};

use either::Either;
pub(super) use settings::Settings;
use v2::Etcd2;
use v3::Etcd3;

/// Which API is spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    V2,
    V3,
    /// v2 if the server offers it, otherwise v3.
    Either,
}

/// Opens etcd for `etcd:` and `etcd-tls:`.
///
/// # Errors
/// When the URI, the `ETCD_*` variables or the files that they name cannot be used.
pub(super) fn open(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Arc<dyn Registry>, OpenError> {
    open_with(uri, config, reporter, Api::Either)
}

/// Opens etcd's v2 API for `etcd2:`, `etcd2-tls:` and `etcd-legacy:`.
///
/// # Errors
/// As those of [`open`].
pub(super) fn open_v2(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Arc<dyn Registry>, OpenError> {
    open_with(uri, config, reporter, Api::V2)
}

/// Opens etcd's v3 API for `etcd3:` and `etcd3-tls:`.
///
/// # Errors
/// As those of [`open`].
pub(super) fn open_v3(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Arc<dyn Registry>, OpenError> {
    open_with(uri, config, reporter, Api::V3)
}

fn open_with(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
    api: Api,
) -> Result<Arc<dyn Registry>, OpenError> {
    let (layout, query) = traefik::take(uri, &config.uri)?;
    let uri = &Uri { query: query.as_deref(), ..*uri };
    let settings = Settings::new(uri, config)?;
    if let Some(layout) = layout {
        if api == Api::V2 {
            let reason = "Traefik reads etcd's v3 API alone: write etcd:// or etcd3://".to_owned();
            return Err(OpenError::BadUri { uri: redacted(&config.uri), reason });
        }
        return Ok(for_traefik(settings, layout, config, reporter));
    }
    let root = settings.root.clone();
    Ok(registry(&settings, api, config, reporter, &move || Box::new(Plain::new(root.clone()))))
}

/// Traefik's keys in etcd. Traefik's begin without a slash.
fn for_traefik(
    settings: Settings,
    layout: registrator_traefik::Settings,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Arc<dyn Registry> {
    if let Some(line) = settings.unencrypted() {
        reporter.warn("unencrypted", format!("etcd: {line}"));
    }
    let root = match settings.root.trim_start_matches('/') {
        "" => traefik::ROOT.to_owned(),
        root => root.to_owned(),
    };
    let records = settings.records.clone().unwrap_or_else(|| format!("/_registrator/{root}"));
    let store = Box::new(Etcd3::new(settings));
    Arc::new(TraefikRegistry::new(store, (&root, &records), layout, config, reporter.clone()))
}

/// A registry stored in etcd, in any layout.
pub(super) fn registry(
    settings: &Settings,
    api: Api,
    config: &RegistryConfig,
    reporter: &Reporter,
    layout: &dyn Fn() -> Box<dyn Layout>,
) -> Arc<dyn Registry> {
    if let Some(line) = settings.unencrypted() {
        reporter.warn("unencrypted", format!("etcd: {line}"));
    }
    let root = layout().root().to_owned();
    let opened = |store: Box<dyn Store>, records: String| -> Arc<dyn Registry> {
        let records = ClaimKeys::new(&root, settings.records.as_deref().unwrap_or(&records));
        Arc::new(KvRegistry::new(store, layout(), records, config, reporter.clone()))
    };
    let store = || Etcd2::new(settings.clone(), config.ttl);
    // v2 hides keys that begin with an underscore. v3 hides nothing, so records are stored outside the prefix, where
    // its readers do not look.
    let v2 = || opened(Box::new(store()), format!("{root}/_registrator"));
    let v3 = || opened(Box::new(Etcd3::new(settings.clone())), format!("/_registrator{root}"));
    match api {
        Api::V2 => v2(),
        Api::V3 => v3(),
        Api::Either => {
            Arc::new(Either { v2: v2(), v3: v3(), probe: store(), is_v2: OnceCell::new(), reporter: reporter.clone() })
        }
    }
}
