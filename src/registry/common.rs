//! What any registry's URI can say, whichever registry it is: `?ttl=60&policy=upsert-only`.
//!
//! These parameters are taken off the URI before the registry sees it. Where entries have another TTL
//! than `-ttl` says, [`Retimed`] stands before the registry, so that nobody else need know.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::parameters::{COMMON, Parameters, decoded};
use super::uri::{Uri, redacted};
use super::{Entry, Mark, OpenError, Registry, RegistryError};
use crate::config::RegistryConfig;
use crate::service::Service;

/// What may be done to a registry's entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Whatever makes it equal to what runs.
    #[default]
    Sync,
    /// Nothing is ever removed: entries are added and changed.
    UpsertOnly,
}

/// What may be done to the entries of the registry that the URI names (`?policy=`).
///
/// # Errors
/// When its parameters cannot be used; [`super::open`] says so as well.
pub fn policy(uri: &str) -> Result<Policy, OpenError> {
    Uri::split(uri).map_or(Ok(Policy::default()), |parts| Common::take(&parts, uri).map(|(common, _)| common.policy))
}

/// The values of these parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Common {
    /// How long entries live without a refresh, where the URI says so; `Some(None)` for ever.
    pub(super) ttl: Option<Option<Duration>>,
    /// What may be done.
    pub(super) policy: Policy,
}

impl Common {
    /// Takes these parameters out of a URI; the second is the query that is left for the registry.
    pub(super) fn take(uri: &Uri<'_>, whole: &str) -> Result<(Self, Option<String>), OpenError> {
        let bad = |reason| OpenError::BadUri { uri: redacted(whole), reason };
        let mut parameters = Parameters::read(uri.query).map_err(bad)?;
        let ttl = match parameters.take("ttl") {
            None => None,
            Some(text) => Some(seconds(&text).ok_or_else(|| bad(format!("ttl={text:?} is no number of seconds")))?),
        };
        let policy = match parameters.take("policy").as_deref() {
            None | Some("sync") => Policy::Sync,
            Some("upsert-only") => Policy::UpsertOnly,
            Some(other) => return Err(bad(format!("policy={other:?} is neither sync nor upsert-only"))),
        };
        Ok((Self { ttl, policy }, uri.query.map(rest).filter(|rest| !rest.is_empty())))
    }

    /// The settings of the registry, with what the URI says instead of the options. A refresh that would
    /// come too late for the TTL, or that nobody asked for, comes in time for two to be missed.
    pub(super) fn applied<'a>(&self, config: &'a RegistryConfig) -> Cow<'a, RegistryConfig> {
        let Some(ttl) = self.ttl else { return Cow::Borrowed(config) };
        let ttl_refresh = ttl.map(|ttl| config.ttl_refresh.filter(|refresh| *refresh < ttl).unwrap_or(ttl / 3));
        Cow::Owned(RegistryConfig { ttl, ttl_refresh, ..config.clone() })
    }
}

/// A whole number of seconds, 0 for ever.
fn seconds(text: &str) -> Option<Option<Duration>> {
    let seconds: u32 = text.parse().ok()?;
    Some((seconds > 0).then(|| Duration::from_secs(seconds.into())))
}

/// A query without these parameters, the others as they were written.
fn rest(query: &str) -> String {
    let name = |parameter: &str| decoded(parameter.split('=').next().unwrap_or_default());
    let others: Vec<_> = query
        .split('&')
        .filter(|parameter| name(parameter).is_none_or(|name| !COMMON.contains(&name.as_str())))
        .collect();
    others.join("&")
}

/// A registry in which entries live for another time than their services say.
pub(super) struct Retimed {
    pub(super) registry: Arc<dyn Registry>,
    pub(super) ttl: Option<Duration>,
}

impl Retimed {
    fn retimed(&self, service: &Service) -> Service {
        Service { ttl: self.ttl, ..service.clone() }
    }

    fn all(&self, services: &[Arc<Service>]) -> Vec<Arc<Service>> {
        services.iter().map(|service| Arc::new(self.retimed(service))).collect()
    }
}

#[async_trait]
impl Registry for Retimed {
    fn key(&self, service: &Service) -> Arc<str> {
        self.registry.key(&self.retimed(service))
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        self.registry.fingerprint(&self.retimed(service))
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        self.registry.ping().await
    }

    async fn entries(&self) -> Result<Vec<Entry>, RegistryError> {
        self.registry.entries().await
    }

    async fn own_entries(&self, keys: &[Arc<str>]) -> Result<Vec<Entry>, RegistryError> {
        self.registry.own_entries(keys).await
    }

    async fn register(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        self.registry.register(&self.all(services)).await
    }

    async fn deregister(&self, entries: &[Entry]) -> Vec<Result<(), RegistryError>> {
        self.registry.deregister(entries).await
    }

    fn refresh_interval(&self, service: &Service) -> Option<Duration> {
        self.registry.refresh_interval(&self.retimed(service))
    }

    async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        self.registry.refresh(&self.all(services)).await
    }

    fn marks(&self) -> bool {
        self.registry.marks()
    }

    async fn mark(&self, entries: &[(Entry, Option<Mark>)]) -> Vec<Result<(), RegistryError>> {
        self.registry.mark(entries).await
    }

    async fn changed(&self) {
        self.registry.changed().await;
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
    use crate::service::Origin;

    fn taken(uri: &str) -> Result<(Common, Option<String>), String> {
        Common::take(&Uri::split(uri).unwrap(), uri).map_err(|error| error.to_string())
    }

    #[test]
    fn what_every_registry_knows_is_taken_off_and_the_rest_is_left_as_it_was() {
        let secs = Duration::from_secs;
        for (uri, ttl, policy, rest) in [
            ("x://h", None, Policy::Sync, None),
            ("x://h?", None, Policy::Sync, None),
            ("x://h?ttl=60", Some(Some(secs(60))), Policy::Sync, None),
            ("x://h?ttl=0", Some(None), Policy::Sync, None),
            ("x://h?policy=sync", None, Policy::Sync, None),
            ("x://h?policy=upsert-only&ttl=5", Some(Some(secs(5))), Policy::UpsertOnly, None),
            ("x://h?a=%2F&ttl=5&b", Some(Some(secs(5))), Policy::Sync, Some("a=%2F&b")),
            ("x://h?%74tl=5&c=ttl=7", Some(Some(secs(5))), Policy::Sync, Some("c=ttl=7")),
        ] {
            assert_eq!(taken(uri), Ok((Common { ttl, policy }, rest.map(str::to_owned))), "{uri}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_in_one_line_without_secrets() {
        for (uri, reason) in [
            ("x://me:pw@h?ttl=1m", r#"bad adapter uri: x://me:***@h?ttl=1m: ttl="1m" is no number of seconds"#),
            ("x://h?ttl=-1", r#"bad adapter uri: x://h?ttl=-1: ttl="-1" is no number of seconds"#),
            ("x://h?ttl", r#"bad adapter uri: x://h?ttl: ttl="" is no number of seconds"#),
            ("x://h?policy=add", r#"bad adapter uri: x://h?policy=add: policy="add" is neither sync nor upsert-only"#),
            ("x://h?ttl=1&ttl=2", "bad adapter uri: x://h?ttl=1&ttl=2: the parameter ttl is given twice"),
        ] {
            assert_eq!(taken(uri), Err(reason.to_owned()));
            if uri.contains("policy") {
                assert_eq!(policy(uri).map_err(|error| error.to_string()), Err(reason.to_owned()));
            }
        }
        assert_eq!(policy("x://h?policy=upsert-only"), Ok(Policy::UpsertOnly));
        assert_eq!(policy("no uri"), Ok(Policy::Sync));
    }

    #[test]
    fn a_ttl_of_the_uri_wins_and_is_refreshed_in_time() {
        let secs = Duration::from_secs;
        for (uri, options, expected) in [
            ("x://h", (Some(60), Some(20)), (Some(60), Some(20))),
            ("x://h?ttl=90", (None, None), (Some(90), Some(30))),
            ("x://h?ttl=90", (Some(60), Some(20)), (Some(90), Some(20))),
            ("x://h?ttl=15", (Some(60), Some(20)), (Some(15), Some(5))),
            ("x://h?ttl=0", (Some(60), Some(20)), (None, None)),
        ] {
            let (ttl, ttl_refresh) = options;
            let config = RegistryConfig {
                uri: uri.to_owned(),
                owner: "host".to_owned(),
                record_owner: true,
                ttl: ttl.map(secs),
                ttl_refresh: ttl_refresh.map(secs),
                environment: Arc::default(),
            };
            let (common, _) = taken(uri).unwrap();
            let applied = common.applied(&config);
            assert_eq!((applied.ttl, applied.ttl_refresh), (expected.0.map(secs), expected.1.map(secs)), "{uri}");
        }
    }

    /// Remembers the TTLs of the services that it is handed.
    #[derive(Default)]
    struct Seen(Mutex<Vec<Option<Duration>>>);

    impl Seen {
        fn note(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
            self.0.lock().unwrap().extend(services.iter().map(|service| service.ttl));
            vec![Ok(()); services.len()]
        }
    }

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
        async fn entries(&self) -> Result<Vec<Entry>, RegistryError> {
            Ok(Vec::new())
        }
        async fn register(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
            self.note(services)
        }
        async fn deregister(&self, entries: &[Entry]) -> Vec<Result<(), RegistryError>> {
            vec![Ok(()); entries.len()]
        }
        fn refresh_interval(&self, service: &Service) -> Option<Duration> {
            service.ttl
        }
        async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
            self.note(services)
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
            origin: Origin {
                container: "0123".into(),
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
            assert_eq!(retimed.register(&[Arc::clone(&service)]).await, [Ok(())]);
            assert_eq!(retimed.refresh(&[Arc::clone(&service)]).await, [Ok(())]);
            assert_eq!(*seen.0.lock().unwrap(), [ttl, ttl]);
            assert_eq!(retimed.refresh_interval(&service), ttl);
            assert_eq!(*retimed.canonical(&service).key, format!("{ttl:?}"));
        }
    }
}
