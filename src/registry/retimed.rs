//! A registry whose URI sets another TTL than `-ttl`. Only this wrapper knows about it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::entry::{Entry, Scope};
use super::error::RegistryError;
use super::site::{About, Site};
use super::write::{Action, Write};
use super::{Capabilities, Change, Registry};
use crate::service::Service;

/// A registry whose entries have this TTL instead of that of their services.
pub(super) struct Retimed {
    pub(super) registry: Arc<dyn Registry>,
    pub(super) ttl: Option<Duration>,
}

impl Retimed {
    fn retimed(&self, service: &Service) -> Service {
        Service { ttl: self.ttl, ..service.clone() }
    }

    fn write(&self, write: &Write) -> Write {
        let mut write = write.clone();
        if let Action::Put(service) = &mut write.action {
            *service = Arc::new(self.retimed(service));
        }
        write
    }
}

#[async_trait]
impl Registry for Retimed {
    fn capabilities(&self) -> Capabilities {
        self.registry.capabilities()
    }

    fn takes(&self, service: &Service) -> bool {
        self.registry.takes(&self.retimed(service))
    }

    fn remark(&self, service: &Service) -> Option<String> {
        self.registry.remark(&self.retimed(service))
    }

    fn key(&self, service: &Service) -> Arc<str> {
        self.registry.key(&self.retimed(service))
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        self.registry.fingerprint(&self.retimed(service))
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        self.registry.ping().await
    }

    async fn read(&self, scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
        self.registry.read(scope).await
    }

    fn site(&self) -> Site {
        self.registry.site()
    }

    async fn about(&self, written: Option<&str>) -> Result<About, RegistryError> {
        self.registry.about(written).await
    }

    async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
        let writes: Vec<_> = writes.iter().map(|write| self.write(write)).collect();
        self.registry.apply(&writes).await
    }

    fn continuity(&self) -> u64 {
        self.registry.continuity()
    }

    fn refresh_interval(&self, service: &Service) -> Option<Duration> {
        self.registry.refresh_interval(&self.retimed(service))
    }

    async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        let services: Vec<_> = services.iter().map(|service| Arc::new(self.retimed(service))).collect();
        self.registry.refresh(&services).await
    }

    async fn changed(&self) -> Change {
        self.registry.changed().await
    }

    async fn close(&self) {
        self.registry.close().await;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::container::{Moment, Protocol};
    use crate::registry::Reason;
    use crate::service::Origin;

    /// Remembers the TTLs of the services passed to it.
    #[derive(Default)]
    struct Seen(Mutex<Vec<Option<Duration>>>);

    #[async_trait]
    impl Registry for Seen {
        fn key(&self, service: &Service) -> Arc<str> {
            format!("{:?}", service.ttl).into()
        }

        fn fingerprint(&self, _service: &Service) -> u64 {
            0
        }

        async fn ping(&self) -> Result<(), RegistryError> {
            Ok(())
        }

        async fn read(&self, _scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
            Ok(Vec::new())
        }

        async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
            for write in writes {
                if let Action::Put(service) = &write.action {
                    self.0.lock().unwrap().push(service.ttl);
                }
            }
            vec![Ok(()); writes.len()]
        }

        fn refresh_interval(&self, service: &Service) -> Option<Duration> {
            service.ttl
        }

        async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
            self.0.lock().unwrap().extend(services.iter().map(|service| service.ttl));
            vec![Ok(()); services.len()]
        }
    }

    #[tokio::test]
    async fn a_registry_with_a_ttl_of_its_own_sees_no_other() {
        let service = Arc::new(Service {
            id: "id".into(),
            name: "web".to_owned(),
            address: "10.0.0.1".into(),
            port: 80,
            protocol: Protocol::Tcp,
            tags: vec![].into(),
            attributes: Arc::default(),
            ttl: Some(Duration::from_secs(60)),
            check: None,
            health: crate::container::Health::None,
            traefik: None,
            origin: Origin {
                container: "0123".into(),
                container_name: "web".into(),
                hostname: "inside".into(),
                exposed_port: 80,
                created: Moment::default(),
                started: Moment::default(),
                claimed: false,
                address_of: crate::service::AddressOf::Container,
            },
        });
        for ttl in [Some(Duration::from_secs(5)), None] {
            let seen = Arc::new(Seen::default());
            let retimed = Retimed { registry: Arc::<Seen>::clone(&seen), ttl };
            let put = Action::Put(Arc::clone(&service));
            let write = Write { key: retimed.key(&service), action: put, reason: Reason::Missing };
            assert_eq!(retimed.apply(&[write]).await, [Ok(())]);
            assert_eq!(retimed.refresh(&[Arc::clone(&service)]).await, [Ok(())]);
            assert_eq!(*seen.0.lock().unwrap(), [ttl, ttl]);
            assert_eq!(retimed.refresh_interval(&service), ttl);
            assert_eq!(*retimed.canonical(&service).key, format!("{ttl:?}"));
        }
    }
}
