//! Providers of external-dns, by its webhook contract: forty DNS services, each a small HTTP server beside this program.
//!
//! Stands below the reconciler: [`settings`] reads the URI, [`negotiate`] knows a provider, [`names`] and [`claim`] say how a
//! service stands in a zone, [`endpoint`] spells sets of records, [`client`] sends them, [`zone`] is what was read and what
//! should be there, [`write`] changes it.
//!
//! # Whose an entry is
//!
//! A TXT record beside each set says so, in the words of external-dns's TXT registry ([`claim`]): an external-dns in the same
//! zone leaves what is ours alone. What has no TXT record of ours is another program's, and is never changed.
//!
//! # Several hosts
//!
//! The contract has whole sets and no conditions. So every write begins with reading everything, and ends with reading it
//! again. An entry's own sets are written by its owner alone. A set that entries share is made of the claims of all of them
//! ([`zone`]): if two hosts write it at once, the one that reads last finds that it is not as it should be, and writes it
//! again. Until then, a few seconds, the address of one of them may be missing in it.
//!
//! # The end
//!
//! Records do not expire. What a crashed run left is found by its owner when it starts again.

mod claim;
mod client;
mod endpoint;
mod names;
mod negotiate;
mod settings;
mod write;
mod zone;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, timeout};

use crate::config::RegistryConfig;
use crate::service::Service;

use super::reporter::Reporter;
use super::uri::Uri;
use super::{About, Change, Entry, OpenError, Registry, RegistryError, Scope, Site, Write};

use claim::Claim;
use client::Client;
use endpoint::Key;
use names::Names;
use settings::Settings;
use write::Writer;
use zone::{Wanted, Zone};

/// The deadline of every method, for a provider that is slow. One that does not answer is left sooner.
const DEADLINE: Duration = Duration::from_secs(120);

/// Opens a provider for `webhook+http:` and `webhook+https:`.
///
/// # Errors
/// When the URI or the `WEBHOOK_*` variables cannot be used.
pub(super) fn open(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    reporter: &Reporter,
) -> Result<Arc<dyn Registry>, OpenError> {
    let settings = Settings::new(uri, config)?;
    Ok(Arc::new(Webhook {
        names: settings.names.clone(),
        ttl: settings.ttl,
        interval: settings.interval,
        client: Client::new(settings, reporter.clone())?,
        owner: config.owner.clone(),
        state: Mutex::default(),
    }))
}

struct Webhook {
    client: Client,
    names: Names,
    owner: String,
    ttl: u32,
    interval: Duration,
    /// Held while entries are read or written, so that nothing is read halfway.
    state: Mutex<State>,
}

/// What is known of the provider.
#[derive(Default)]
struct State {
    /// The digest of the zone when it was last read, and when that was.
    seen: Option<(u64, Instant)>,
    /// Sets that we began to write, and that may be there without their TXT record.
    tried: HashSet<Key>,
}

impl State {
    fn saw(&mut self, zone: &Zone) {
        self.seen = Some((zone.digest(), Instant::now()));
    }
}

impl Webhook {
    async fn in_time<T>(&self, act: impl Future<Output = Result<T, RegistryError>>) -> Result<T, RegistryError> {
        let late = format!("the webhook provider is too slow: not done in {} s", DEADLINE.as_secs());
        timeout(DEADLINE, act).await.unwrap_or(Err(RegistryError::Unreachable(late)))
    }

    /// The state, unless the provider failed to answer while others had it: then it would not answer us either.
    async fn state(&self) -> Result<MutexGuard<'_, State>, RegistryError> {
        let before = self.client.failures();
        let state = self.state.lock().await;
        if self.client.failures() == before {
            Ok(state)
        } else {
            Err(RegistryError::Unreachable("the webhook provider did not answer another request".to_owned()))
        }
    }

    async fn entries(&self, scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
        let mut state = self.state().await?;
        let zone = self.client.zone().await?;
        state.saw(&zone);
        drop(state);
        // What should stand there, for each of our own entries: as the provider would hold it.
        let ours = || zone.claims().filter(|(_, claim)| claim.owner == self.owner);
        let (mut all, mut names) = (Wanted::new(), BTreeSet::new());
        for (spot, _) in ours() {
            zone.own(spot, &mut all);
            names.insert(spot.name.as_str());
        }
        names.iter().for_each(|name| zone.shared(name, &mut all));
        self.client.adjust(&mut all).await?;
        let is_right = |part: Wanted| {
            part.keys().all(|key| all.get_key_value(key).is_none_or(|(key, set)| zone.is_so(key, set.as_ref())))
        };
        let mut shared = HashMap::new();
        for name in names {
            let mut part = Wanted::new();
            zone.shared(name, &mut part);
            shared.insert(name, is_right(part));
        }
        let entry = |(spot, claim): (&super::dns::Spot, &Claim)| {
            let is_whole = shared.get(spot.name.as_str()).copied().unwrap_or(true) && claim.owner == self.owner && {
                let mut part = Wanted::new();
                zone.own(spot, &mut part);
                is_right(part)
            };
            zone.entry(spot, claim, (is_whole || claim.owner != self.owner, scope.contents))
        };
        Ok(zone.claims().map(entry).collect())
    }

    async fn write(&self, writes: &[Write]) -> Result<Vec<Result<(), RegistryError>>, RegistryError> {
        let mut state = self.state().await?;
        let State { tried, .. } = &mut *state;
        let mut writer = Writer { client: &self.client, owner: &self.owner, ttl: self.ttl, tried };
        let (results, zone) = writer.apply(writes).await;
        if let Some(zone) = zone {
            state.saw(&zone);
        }
        Ok(results)
    }

    /// Whether the records are not as they were last seen.
    async fn look(&self) -> Result<bool, RegistryError> {
        let mut state = self.state().await?;
        let Some((digest, at)) = state.seen else { return Ok(false) };
        // Somebody else has just looked.
        if at.elapsed() < self.interval {
            return Ok(false);
        }
        let zone = self.client.zone().await?;
        state.saw(&zone);
        Ok(zone.digest() != digest)
    }

    /// Returns when the records are not as they were last seen.
    async fn altered(&self) {
        loop {
            sleep(self.interval).await;
            if self.in_time(self.look()).await.unwrap_or(false) {
                return;
            }
        }
    }
}

#[async_trait]
impl Registry for Webhook {
    fn key(&self, service: &Service) -> Arc<str> {
        self.names.own(&Names::place(service)).into()
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        // What does not fit is refused when it is written.
        Claim::of(service, &self.owner, self.ttl).map_or(0, |claim| claim.fingerprint())
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        self.client.negotiate().await.map(drop)
    }

    async fn read(&self, scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
        self.in_time(self.entries(scope)).await
    }

    async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
        self.in_time(self.write(writes)).await.unwrap_or_else(|error| vec![Err(error); writes.len()])
    }

    async fn changed(&self) -> Change {
        tokio::select! {
            () = self.altered() => Change::Content,
            () = self.client.credentials_changed() => Change::Credentials,
        }
    }

    fn site(&self) -> Site {
        self.client.site()
    }

    async fn about(&self, _written: Option<&str>) -> Result<About, RegistryError> {
        self.client.about().await
    }
}
