//! Reads keys of etcd: by its v2 API where the server offers it, otherwise by v3.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::OnceCell;

use super::Api;
use super::settings::Settings;
use super::v2::Etcd2;
use super::v2::reader::Etcd2Reader;
use super::v3::reader::Etcd3Reader;
use crate::config::RegistryConfig;
use crate::registry::kv::{Layout, Plain};
use crate::registry::reader::{Access, KeyReader, Mark, Values};
use crate::registry::services::{ServiceReader, StoredServices};
use crate::registry::uri::Uri;
use crate::registry::{OpenError, RegistryError};

/// Opens etcd for reading, by the API that it offers.
///
/// # Errors
/// When the servers or the files of TLS cannot be used.
pub(crate) fn open(access: &Access) -> Result<EtcdReader, OpenError> {
    Ok(EtcdReader::new(settings(access)?))
}

/// Opens etcd's v3 API for reading.
///
/// # Errors
/// As those of [`open`].
pub(crate) fn open_v3(access: &Access) -> Result<Etcd3Reader, OpenError> {
    Ok(Etcd3Reader::new(settings(access)?))
}

/// Opens etcd's v2 API for reading.
///
/// # Errors
/// As those of [`open`].
pub(crate) fn open_v2(access: &Access) -> Result<Etcd2Reader, OpenError> {
    Ok(Etcd2Reader::new(settings(access)?))
}

/// The services in etcd, for reading.
pub(in crate::registry) fn services(settings: Settings, api: Api, layout: impl Layout) -> Arc<dyn ServiceReader> {
    let reader: Box<dyn KeyReader> = match api {
        Api::V2 => Box::new(Etcd2Reader::new(settings)),
        Api::V3 => Box::new(Etcd3Reader::new(settings)),
        Api::Either => Box::new(EtcdReader::new(settings)),
    };
    StoredServices::of_layout(reader, layout)
}

/// Opens the services in etcd for reading, by this API.
///
/// # Errors
/// When the URI, the `ETCD_*` variables or the files that they name cannot be used.
pub(in crate::registry) fn open_services(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    api: Api,
) -> Result<Arc<dyn ServiceReader>, OpenError> {
    let settings = Settings::new(uri, config)?;
    let layout = Plain::new(settings.root.clone());
    Ok(services(settings, api, layout))
}

fn settings(access: &Access) -> Result<Settings, OpenError> {
    let settings = Settings::of_access(access)?;
    if let Some(line) = settings.unencrypted() {
        access.reporter("etcd").warn("unencrypted", format!("etcd: {line}"));
    }
    Ok(settings)
}

/// A reader with v2 or v3; which of them is detected at the first use.
pub(crate) struct EtcdReader {
    probe: Etcd2,
    v2: Etcd2Reader,
    v3: Etcd3Reader,
    /// Whether it is v2, once detected.
    is_v2: OnceCell<bool>,
}

impl EtcdReader {
    fn new(settings: Settings) -> Self {
        Self {
            probe: Etcd2::new(settings.clone(), None),
            v2: Etcd2Reader::new(settings.clone()),
            v3: Etcd3Reader::new(settings),
            is_v2: OnceCell::new(),
        }
    }

    async fn chosen(&self) -> Result<&dyn KeyReader, RegistryError> {
        let is_v2 = *self.is_v2.get_or_try_init(|| self.probe.served()).await?;
        Ok(if is_v2 { &self.v2 } else { &self.v3 })
    }
}

#[async_trait]
impl KeyReader for EtcdReader {
    async fn read(&self, keys: &[String]) -> Result<Values, RegistryError> {
        self.chosen().await?.read(keys).await
    }

    async fn mark(&self, keys: &[String]) -> Result<Mark, RegistryError> {
        self.chosen().await?.mark(keys).await
    }

    async fn changed(&self, keys: &[String], since: Mark) -> Result<Mark, RegistryError> {
        self.chosen().await?.changed(keys, since).await
    }
}
