//! DNS servers that take updates (RFC 2136): BIND, Knot, PowerDNS, Windows. Services become records of a zone.
//!
//! Stands below the reconciler: [`settings`] reads the URI, [`names`] and [`claim`] say how a service stands in a zone,
//! [`message`] spells questions and updates, [`client`] sends them, signed with a [`key`], [`zone`] and [`read`] find
//! entries, [`decide`], [`known`] and [`write`] change them, [`watch`] hears of changes.
//!
//! # Whose an entry is
//!
//! A TXT record beside each entry names its owner ([`claim`]). It is a condition of every update, and the server makes
//! an update as a whole or not at all. So of two owners who want one name one gets it, and nothing of another owner or
//! program is changed, whatever happens between a look and an update. A name that another program uses gets no record of
//! ours: a TXT record marks the names that are ours.
//!
//! # The end
//!
//! Records do not expire. What a crashed run left is found by its owner when it starts again: by a transfer of the zone,
//! or by an index in TXT records where transfers are not allowed.
//!
//! # Several hosts
//!
//! Hosts share names. Each adds and deletes single records, never whole sets, and a record that several entries need is
//! deleted with the last of them that is known. Should two hosts do that at the same moment for one address, the other
//! sees within seconds that its record is missing, and writes it again.

mod claim;
mod client;
mod decide;
mod failure;
mod key;
mod known;
mod message;
mod names;
mod read;
mod settings;
mod watch;
mod write;
mod zone;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::config::RegistryConfig;
use crate::service::Service;

use super::dns::Spot;
use super::files::CredentialFiles;
use super::reporter::Reporter;
use super::uri::Uri;
use super::{About, Change, Entry, OpenError, Registry, RegistryError, Scope, Site, Store, Write};

use claim::Claim;
use client::Client;
use decide::Judge;
use known::Known;
use names::{LONGEST, Names};
use settings::{Secret, Settings};
use watch::Watch;
use write::Writer;

/// The deadline of every method, for a server that is slow: PowerDNS takes half a minute for a thousand instances of one
/// service. One that does not answer is left after [`failure::REQUEST`].
const DEADLINE: Duration = Duration::from_secs(50);

/// Opens a zone for `rfc2136:`.
///
/// # Errors
/// When the URI or `RFC2136_TSIG_SECRET` cannot be used.
pub(super) fn open(
    uri: &Uri<'_>,
    config: &RegistryConfig,
    _reporter: &Reporter,
) -> Result<Arc<dyn Registry>, OpenError> {
    let settings = Settings::new(uri, config)?;
    let names = Names { zone: settings.zone.clone(), ptr_zones: settings.ptr_zones.clone() };
    let file = settings.key.as_ref().and_then(|key| match &key.secret {
        Secret::File(path) => Some(path.clone()),
        Secret::Fixed(_) => None,
    });
    Ok(Arc::new(Dns {
        client: Client::new(&settings),
        known: Mutex::new(Known::new(names.clone())),
        names,
        owner: config.owner.clone(),
        files: CredentialFiles::new(file),
        watch: Watch::default(),
        settings,
    }))
}

struct Dns {
    settings: Settings,
    client: Client,
    names: Names,
    owner: String,
    /// Held while entries are read or written, so that what is known is as it is there.
    known: Mutex<Known>,
    files: CredentialFiles,
    watch: Watch,
}

impl Dns {
    async fn in_time<F: Future>(&self, future: F) -> Result<F::Output, RegistryError> {
        timeout(DEADLINE, future).await.map_err(|_| self.client.words.too_late())
    }

    async fn serial(&self) -> Result<u32, RegistryError> {
        let session = self.client.session().await?;
        read::serial(&session, &self.names).await
    }

    async fn entries(&self, scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
        let session = self.client.session().await?;
        let mut known = self.known.lock().await;
        let found = read::read(&session, &self.names, &self.owner, scope).await?;
        known.replace(&found, &self.owner);
        self.watch.seen(found.serial);
        let entry = |claim| found.zone.entry(&self.names, claim, scope.contents);
        Ok(found.claims.iter().map(entry).collect())
    }

    async fn write(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
        let session = match self.client.session().await {
            Ok(session) => session,
            Err(error) => return vec![Err(error); writes.len()],
        };
        let mut known = self.known.lock().await;
        let judge = Judge { names: &self.names, owner: &self.owner, ttl: self.settings.ttl };
        let updates = || self.watch.updated();
        Writer { session: &session, judge, known: &mut known, updates: &updates }.apply(writes).await
    }
}

#[async_trait]
impl Registry for Dns {
    fn key(&self, service: &Service) -> Arc<str> {
        self.names.key(&Spot::of(service, LONGEST)).into()
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        Claim::of(service, &self.owner, self.settings.ttl).fingerprint()
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        self.in_time(self.serial()).await?.map(drop)
    }

    async fn read(&self, scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
        self.in_time(self.entries(scope)).await?
    }

    async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
        self.in_time(self.write(writes)).await.unwrap_or_else(|error| vec![Err(error); writes.len()])
    }

    async fn changed(&self) -> Change {
        let serial = || async { self.in_time(self.serial()).await.ok()?.ok() };
        tokio::select! {
            () = self.watch.changed(serial) => Change::Content,
            () = self.files.changed() => Change::Credentials,
        }
    }

    fn site(&self) -> Site {
        let Settings { servers, key, .. } = &self.settings;
        Site {
            store: Store::Dns,
            servers: servers.iter().map(|server| (server.host.clone(), server.port)).collect(),
            root: self.names.zone_text(),
            user: key.as_ref().map(|key| key.name.to_ascii().trim_end_matches('.').to_owned()),
            ..Site::default()
        }
    }

    async fn about(&self, _written: Option<&str>) -> Result<About, RegistryError> {
        self.in_time(self.serial()).await??;
        Ok(About { name: self.client.words.place().to_owned(), ..About::default() })
    }
}
