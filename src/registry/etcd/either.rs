//! `etcd://`: the v2 API if the server offers it, because existing readers expect it; otherwise v3.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use crate::registry::reporter::Reporter;
use crate::registry::{About, Change, Entry, Registry, RegistryError, Scope, Site, Write};
use crate::service::Service;

use super::v2::Etcd2;

/// How long detecting the API may take.
const DEADLINE: Duration = Duration::from_secs(10);

/// A registry with v2 or v3; which of them is detected at the first use. Both use the same keys and values.
pub(super) struct Either {
    pub(super) v2: Arc<dyn Registry>,
    pub(super) v3: Arc<dyn Registry>,
    /// Asks which it is.
    pub(super) probe: Etcd2,
    /// Whether it is v2, once detected.
    pub(super) is_v2: OnceCell<bool>,
    pub(super) reporter: Reporter,
}

impl Either {
    async fn chosen(&self) -> Result<&dyn Registry, RegistryError> {
        let ask = async {
            let served = self.probe.served().await?;
            let api = if served { "v2" } else { "v3" };
            self.reporter.info("api", format!("etcd: its {api} API is used; etcd2:// and etcd3:// choose one"));
            Ok(served)
        };
        // Only one caller detects at a time. Callers that wait for its result wait no longer than for their own.
        let late = |_| Err(RegistryError::Unreachable("no answer in time".to_owned()));
        let is_v2 = *timeout(DEADLINE, self.is_v2.get_or_try_init(|| ask)).await.unwrap_or_else(late)?;
        Ok(if is_v2 { &*self.v2 } else { &*self.v3 })
    }
}

#[async_trait]
impl Registry for Either {
    fn takes(&self, service: &Service) -> bool {
        self.v3.takes(service)
    }

    fn remark(&self, service: &Service) -> Option<String> {
        if self.is_v2.get() == Some(&true) { self.v2.remark(service) } else { self.v3.remark(service) }
    }

    fn key(&self, service: &Service) -> Arc<str> {
        self.v3.key(service)
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        self.v3.fingerprint(service)
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        self.chosen().await?.ping().await
    }

    async fn read(&self, scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
        self.chosen().await?.read(scope).await
    }

    fn site(&self) -> Site {
        if self.is_v2.get() == Some(&true) { self.v2.site() } else { self.v3.site() }
    }

    async fn about(&self, written: Option<&str>) -> Result<About, RegistryError> {
        self.chosen().await?.about(written).await
    }

    async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
        match self.chosen().await {
            Ok(chosen) => chosen.apply(writes).await,
            Err(error) => vec![Err(error); writes.len()],
        }
    }

    fn refresh_interval(&self, service: &Service) -> Option<Duration> {
        self.v3.refresh_interval(service)
    }

    async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        match self.chosen().await {
            Ok(chosen) => chosen.refresh(services).await,
            Err(error) => vec![Err(error); services.len()],
        }
    }

    async fn changed(&self) -> Change {
        // Before the first contact nothing is known, so nothing can have changed.
        while self.is_v2.get().is_none() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        match self.chosen().await {
            Ok(chosen) => chosen.changed().await,
            Err(_) => Change::Content,
        }
    }

    async fn close(&self) {
        match self.is_v2.get() {
            Some(true) => self.v2.close().await,
            Some(false) => self.v3.close().await,
            None => {}
        }
    }
}
