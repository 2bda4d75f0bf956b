//! A simulated registry: what it holds, how it fails, and what every write to it must be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use registrator::config::RegistryConfig;
use registrator::registry::{
    self, Action, Capabilities, Cause, Entry, Mark, Marked, Registry, RegistryError, Scope, Write,
};
use registrator::service::Service;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

use crate::history::Kind;
use crate::world::{Change, Shared, World, lock};

/// How long a request may take before the registry's own client gives it up.
const OWN_DEADLINE: Duration = Duration::from_secs(10);
/// How long after a failure the program must still reckon with a write that arrives.
const SECOND_LOOK: Duration = Duration::from_secs(29);
/// How long a registry that tells may change without being read.
pub(crate) const UNREAD: Duration = Duration::from_secs(60);
/// How often a registry that can tell says that something changed, at most.
const PACE: Duration = Duration::from_millis(200);

/// What a registry holds of a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Content {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) port: u16,
    pub(crate) tags: Vec<String>,
    pub(crate) health: String,
    pub(crate) ttl: Option<u64>,
    /// For how many seconds it may be critical.
    pub(crate) reaped_after: Option<u64>,
}

impl Content {
    fn of(service: &Service) -> Self {
        Self {
            id: service.id.to_string(),
            name: service.name.clone(),
            address: service.address.to_string(),
            port: service.port,
            tags: service.tags.to_vec(),
            health: match service.health {
                registrator::container::Health::None => "",
                registrator::container::Health::Starting => "starting",
                registrator::container::Health::Healthy => "healthy",
                registrator::container::Health::Unhealthy => "unhealthy",
            }
            .to_owned(),
            ttl: service.ttl.map(|ttl| ttl.as_secs()),
            reaped_after: service.check.as_ref().and_then(|check| check.deregister_after).map(|after| after.as_secs()),
        }
    }

    /// Where it says the service is.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.address, self.port)
    }

    /// Whether it says the same to who looks for a service.
    pub(crate) fn leads_where(&self, other: &Self) -> bool {
        (&self.name, self.authority()) == (&other.name, other.authority())
    }

    fn fingerprint(&self, owner: Option<&str>) -> u64 {
        let mut digest = DefaultHasher::new();
        (owner, self).hash(&mut digest);
        digest.finish()
    }
}

/// How a registry calls its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// By the service's ID, as Consul does.
    ById,
    /// By name and place, as ZooKeeper does.
    ByPlace,
}

impl Shape {
    pub(crate) fn key(self, content: &Content) -> String {
        match self {
            Self::ById => content.id.clone(),
            Self::ByPlace => format!("{}/{}:{}", content.name, content.address, content.port),
        }
    }
}

/// An entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) owner: Option<String>,
    pub(crate) content: Content,
    pub(crate) marked: Marked,
    pub(crate) expires: Option<Instant>,
    /// Since when the registry's own check fails.
    pub(crate) critical: Option<Instant>,
}

impl Held {
    /// `contents`: also what it says is wanted, where it is not another owner's.
    fn entry(&self, key: &str, contents: bool) -> Entry {
        let Content { name, address, port, tags, .. } = &self.content;
        let content =
            || registry::Content { name: name.clone(), address: address.clone(), port: *port, tags: tags.clone() };
        Entry {
            key: key.into(),
            service_id: self.content.id.as_str().into(),
            owner: self.owner.as_deref().map(Arc::from),
            fingerprint: self.content.fingerprint(self.owner.as_deref()),
            marked: self.marked,
            critical: self.critical.is_some() && self.content.reaped_after.is_some(),
            content: (contents || self.owner.is_none()).then(|| Box::new(content())),
        }
    }
}

/// How a registry fails.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Faults {
    /// Nobody answers.
    pub(crate) away: bool,
    /// It takes requests and answers none, until it thaws.
    pub(crate) frozen: bool,
    /// How many of a hundred requests fail, without effect.
    pub(crate) failing: u8,
    /// How many of a hundred writes are done, and reported as failed.
    pub(crate) mute: u8,
    /// How many of a hundred writes are reported as failed, and done later.
    pub(crate) late: u8,
    /// How many of a hundred requests are never answered, while others are.
    pub(crate) silent: u8,
    /// It refuses what concerns services whose ID contains this, for this reason.
    pub(crate) refuses: Option<(Cause, &'static str)>,
    /// It refuses to be read as well.
    pub(crate) deaf: bool,
    /// When it refuses no longer, we hear of it as of a changed credential.
    pub(crate) announces: bool,
    /// The longest that an answer takes, in milliseconds.
    pub(crate) slow: u64,
}

/// A registry.
pub(crate) struct Store {
    pub(crate) name: String,
    pub(crate) shape: Shape,
    /// Whether it tells that another hand changed it.
    pub(crate) tells: bool,
    /// `policy=upsert-only`.
    pub(crate) upsert_only: bool,
    /// Whether it has health, so that entries can be marked as not to be used.
    pub(crate) marks: bool,
    /// Whether it removes what was critical for long.
    pub(crate) reaps: bool,
    /// Whether it holds too much to be read as a whole each time; such a store keeps owners apart by itself.
    vast: bool,
    pub(crate) entries: BTreeMap<String, Held>,
    /// What it removed by its own rule, and is not there again.
    pub(crate) reaped: BTreeMap<String, Reaped>,
    /// When an entry went that it did not remove by its own rule.
    pub(crate) robbed: Option<Instant>,
    /// How often it lost everything.
    pub(crate) losses: u64,
    /// How often it was said that our credentials are others.
    credentials: u64,
    /// Every key that was emptied at any time.
    pub(crate) emptied: BTreeSet<String>,
    /// Every key that ever was written, with each place that it said the service was at.
    pub(crate) written: BTreeSet<(String, String)>,
    /// What others put there, as long as it must be just so.
    pub(crate) planted: BTreeMap<String, Held>,
    pub(crate) faults: Faults,
    /// Since when it has no faults.
    pub(crate) well_since: Option<Instant>,
    /// Whether something changed that only a resync can find out.
    pub(crate) unsure: bool,
    /// How many entries were removed at all.
    pub(crate) removals: usize,
    /// How often it was changed, and by which client last.
    changes: BTreeMap<Client, u64>,
    total_changes: u64,
    pub(crate) bell: Arc<Notify>,
    pub(crate) thaw: Arc<Notify>,
}

/// What a registry removed by its own rule.
#[derive(Clone, Debug)]
pub(crate) struct Reaped {
    pub(crate) content: Content,
    pub(crate) at: Instant,
    /// The life that must know why it is gone, if any must.
    pub(crate) known_to: Option<Client>,
}

/// A host, and which life of its process.
pub(crate) type Client = (usize, u64);

impl Store {
    pub(crate) fn new(name: String, kind: &Kind, vast: bool) -> Self {
        let &Kind { shape, tells, upsert_only, marks, reaps } = kind;
        Self {
            name,
            shape,
            tells,
            upsert_only,
            marks,
            reaps,
            vast,
            entries: BTreeMap::new(),
            reaped: BTreeMap::new(),
            robbed: None,
            losses: 0,
            credentials: 0,
            emptied: BTreeSet::new(),
            written: BTreeSet::new(),
            planted: BTreeMap::new(),
            faults: Faults::default(),
            well_since: Some(Instant::now()),
            unsure: false,
            removals: 0,
            changes: BTreeMap::new(),
            total_changes: 0,
            bell: Arc::default(),
            thaw: Arc::default(),
        }
    }

    /// From now on it fails like this.
    pub(crate) fn fail(&mut self, faults: Faults) {
        let well = faults == Faults::default();
        self.well_since = well.then(|| self.well_since.unwrap_or_else(Instant::now));
        if self.faults.refuses.is_some() && faults.refuses.is_none() && self.faults.announces {
            self.credentials += 1;
        }
        self.faults = faults;
        self.thaw.notify_waiters();
        self.bell.notify_waiters();
    }

    /// Another hand changed it.
    pub(crate) fn touched(&mut self) {
        self.total_changes += 1;
        self.unsure |= !self.tells;
        self.bell.notify_waiters();
    }

    /// A request changed it.
    fn touched_by(&mut self, client: Client, sender: Sender) {
        self.total_changes += 1;
        match sender {
            Sender::Waits => *self.changes.entry(client).or_default() += 1,
            Sender::GaveUp => {}
            Sender::Forgot => self.unsure |= !self.tells,
        }
        self.bell.notify_waiters();
    }

    /// Why it does not do what concerns a service of this ID, if it does not.
    pub(crate) fn refusal(&self, id: &str, registers: bool) -> Option<RegistryError> {
        let (cause, part) = self.faults.refuses?;
        let concerned = id.contains(part) && (registers || cause != Cause::Service);
        let text = "simulated: refused".to_owned();
        concerned.then_some(RegistryError::Refused { cause, text })
    }

    fn refuses_to_be_read(&self) -> Result<(), RegistryError> {
        if self.faults.deaf { Err(RegistryError::rights("simulated: it may not be read")) } else { Ok(()) }
    }

    /// The registry's own checks find every service dead that has one.
    pub(crate) fn every_check_fails(&mut self) {
        for held in self.entries.values_mut().filter(|held| held.content.reaped_after.is_some()) {
            held.critical.get_or_insert_with(Instant::now);
        }
        self.touched();
    }

    /// Its own rule removes what was critical for long.
    pub(crate) fn overdue(&self, held: &Held, now: Instant) -> bool {
        // It does not look all the time.
        const PACE: u64 = 15;
        let after = held.content.reaped_after.map(|after| Duration::from_secs(after.max(60) + PACE));
        self.reaps && held.critical.zip(after).is_some_and(|(since, after)| since + after <= now)
    }

    /// Something went that it did not remove by its own rule: then who reads it next may take it for having lost its data.
    pub(crate) fn is_robbed(&mut self) {
        self.robbed = Some(Instant::now());
        for reaped in self.reaped.values_mut().filter(|reaped| reaped.at.elapsed() < UNREAD) {
            reaped.known_to = None;
        }
    }

    /// Whether it keeps what is there from this owner.
    fn is_anothers(&self, key: &str, owner: &str) -> bool {
        let holder = self.entries.get(key).and_then(|held| held.owner.as_deref());
        self.vast && holder.is_some_and(|holder| holder != owner)
    }

    /// How often it was changed by other hands than this.
    fn changes_of_others(&self, client: Client) -> u64 {
        self.total_changes - self.changes.get(&client).copied().unwrap_or_default()
    }
}

/// What became of who sent a request, when it is done at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Waits,
    /// It was told of a failure, so short ago that it must still be looking.
    GaveUp,
    /// It is dead, or has no reason to look again.
    Forgot,
}

/// A registry as one life of one process sees it.
pub(crate) struct Link {
    world: Shared,
    store: usize,
    client: Client,
    owner: String,
    records_owner: bool,
    ttl_refresh: Option<Duration>,
    seen: AtomicU64,
    credentials_seen: AtomicU64,
    /// How often a request failed.
    failures: AtomicU64,
}

/// What becomes of a request.
enum Fate {
    /// It is done after the first pause and answered after the second.
    Done(Duration, Duration),
    /// It is done and reported as failed.
    Mute(Duration, Duration),
    /// It is reported as failed, and done so much later.
    Late(Duration, Duration),
    Fails(Duration),
    /// It is never heard of again.
    Silent,
    /// Nothing happens before the thaw.
    Frozen,
}

fn unreachable(why: &str) -> RegistryError {
    RegistryError::Unreachable(format!("simulated: {why}"))
}

impl Link {
    pub(crate) fn new(world: &Shared, store: usize, client: Client, settings: &RegistryConfig) -> Self {
        let at = lock(world);
        let (seen, credentials) = (at.stores[store].changes_of_others(client), at.stores[store].credentials);
        drop(at);
        Self {
            world: Arc::clone(world),
            store,
            client,
            owner: settings.owner.clone(),
            records_owner: settings.record_owner,
            ttl_refresh: settings.ttl_refresh,
            seen: seen.into(),
            credentials_seen: credentials.into(),
            failures: AtomicU64::new(0),
        }
    }

    /// The owner that is recorded with what it writes.
    fn recorded(&self) -> Option<String> {
        self.records_owner.then(|| self.owner.clone())
    }

    /// Waits for ever if the process that asks is dead.
    async fn alive(&self) {
        if !lock(&self.world).lives(self.client) {
            std::future::pending::<()>().await;
        }
    }

    fn fate(&self, write: bool) -> Fate {
        let mut world = lock(&self.world);
        let faults = world.stores[self.store].faults.clone();
        let slow = faults.slow.max(5);
        let mut pause = |most: u64| Duration::from_millis(world.rng.u64(1..=most));
        let (first, second) = (pause(slow), pause(slow));
        let later = pause(19_000);
        let chance = world.rng.u8(0..100);
        if faults.away {
            Fate::Fails(Duration::from_millis(1))
        } else if faults.frozen {
            Fate::Frozen
        } else if chance < faults.silent {
            Fate::Silent
        } else if chance < faults.failing {
            Fate::Fails(first)
        } else if write && chance < faults.failing + faults.mute {
            Fate::Mute(first, second)
        } else if write && chance < faults.failing + faults.mute + faults.late {
            Fate::Late(second, later)
        } else {
            Fate::Done(first, second)
        }
    }

    /// Sends a request: does it when its time comes, whether or not somebody still waits for it.
    async fn send<T: Send + 'static>(
        &self,
        write: bool,
        done: impl FnOnce(&mut World, Sender) -> T + Send + 'static,
    ) -> Result<T, RegistryError> {
        let fate = self.fate(write);
        let (world, store) = (Arc::clone(&self.world), self.store);
        let (alive, client) = (Arc::new(()), self.client);
        let waits = Arc::downgrade(&alive);
        let begun = Instant::now();
        let at = move |pause: Duration| {
            tokio::spawn(async move {
                sleep(pause).await;
                // A frozen registry does what was asked of it when it thaws, before anything else.
                loop {
                    let thaw = {
                        let world = lock(&world);
                        let store = &world.stores[store];
                        store.faults.frozen.then(|| Arc::clone(&store.thaw))
                    };
                    let Some(thaw) = thaw else { break };
                    thaw.notified().await;
                }
                let mut world = lock(&world);
                // Who died before it was done: its request was done soon, or never.
                let died = world.died(client);
                let lost = died.is_some_and(|died| Instant::now() > died + Duration::from_millis(200));
                let sender = match died {
                    None if waits.strong_count() > 0 => Sender::Waits,
                    None if Instant::now() < begun + SECOND_LOOK => Sender::GaveUp,
                    _ => Sender::Forgot,
                };
                (!lost).then(|| done(&mut world, sender))
            })
        };
        let in_time = async |answer: tokio::task::JoinHandle<Option<T>>, pause: Duration| match tokio::time::timeout(
            OWN_DEADLINE,
            answer,
        )
        .await
        {
            Ok(Ok(Some(answer))) => {
                sleep(pause).await;
                Ok(answer)
            }
            Ok(Ok(None)) => std::future::pending().await,
            Ok(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
            Err(_) => Err(unreachable("no answer in time")),
        };
        let answer = match fate {
            Fate::Done(first, second) => in_time(at(first), second).await,
            Fate::Mute(first, second) => in_time(at(first), second).await.and(Err(unreachable("the answer was lost"))),
            Fate::Late(second, later) => {
                drop(at(second + later));
                sleep(second).await;
                Err(unreachable("the connection broke"))
            }
            Fate::Fails(pause) => {
                sleep(pause).await;
                Err(unreachable("no connection"))
            }
            Fate::Silent => {
                sleep(OWN_DEADLINE).await;
                Err(unreachable("no answer in time"))
            }
            Fate::Frozen => in_time(at(Duration::ZERO), Duration::ZERO).await,
        };
        drop(alive);
        self.alive().await;
        if answer.is_err() {
            self.failures.fetch_add(1, Relaxed);
        }
        answer
    }

    fn place(&self, content: &Content) -> String {
        lock(&self.world).stores[self.store].shape.key(content)
    }

    async fn everything(&self, scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
        self.alive().await;
        let (client, store) = (self.client, self.store);
        let held = self
            .send(false, move |world, _| {
                world.expire();
                world.stores[store].refuses_to_be_read()?;
                Ok(world.stores[store].entries.clone())
            })
            .await??;
        let mut world = lock(&self.world);
        world.note(|| format!("host {} reads store {store}: {:?}", client.0, held.keys().collect::<Vec<_>>()));
        world.counts.reads += 1;
        world.reads(client, store, &self.owner, held.clone());
        Ok(held.iter().map(|(key, held)| held.entry(key, scope.contents)).collect())
    }

    async fn register_one(&self, service: &Service) -> Result<(), RegistryError> {
        let content = Content::of(service);
        let key = self.place(&content);
        let _write = Writing::begin(self, &key, Change::To(&content));
        let (client, store, owner, recorded) = (self.client, self.store, self.owner.clone(), self.recorded());
        let expires = content.ttl.map(|ttl| Instant::now() + Duration::from_secs(ttl));
        let new = Held { owner: recorded, content, marked: Marked::No, expires, critical: None };
        let held = (key.clone(), new.clone());
        self.send(true, move |world, sender| {
            let (key, new) = held;
            world.refuses(client, store, (&key, &new.content.id), true)?;
            if world.stores[store].is_anothers(&key, &owner) {
                let at = &mut world.stores[store];
                at.unsure |= !at.tells;
                world.note(|| format!("store {store} keeps {key} as another's, and not as {owner} asks"));
                return Err(RegistryError::Taken("simulated: it is another's".to_owned()));
            }
            // Without its times, which differ from run to run.
            world.note(|| format!("store {store} holds {key} of {:?}: {:?}", new.owner, new.content));
            let twin = world.twin;
            let at = &mut world.stores[store];
            at.planted.remove(&key);
            at.reaped.remove(&key);
            at.written.insert((key.clone(), new.content.authority()));
            let old = at.entries.insert(key.clone(), new);
            let stranger = old.is_some_and(|old| old.owner.is_some_and(|other| other != owner));
            at.unsure |= (stranger || twin) && !at.tells;
            at.touched_by(client, sender);
            Ok(())
        })
        .await??;
        lock(&self.world).wrote(self.client, self.store, &key, Held { expires: None, ..new });
        Ok(())
    }

    async fn deregister_one(&self, entry: &Entry) -> Result<(), RegistryError> {
        let key = entry.key.to_string();
        let _write = Writing::begin(self, &key, Change::Away);
        let (client, store, owner) = (self.client, self.store, self.owner.clone());
        let (removed, id) = (key.clone(), entry.service_id.to_string());
        self.send(true, move |world, sender| {
            world.refuses(client, store, (&removed, &id), false)?;
            if world.stores[store].is_anothers(&removed, &owner) {
                world.note(|| format!("store {store} keeps {removed} as another's, which {owner} asks to be removed"));
                return Ok(());
            }
            world.note(|| format!("store {store} removes {removed}, as {owner} asks"));
            let twin = world.twin;
            let at = &mut world.stores[store];
            at.planted.remove(&removed);
            at.emptied.insert(removed.clone());
            at.removals += 1;
            if sender != Sender::Waits {
                at.is_robbed();
            }
            if let Some(old) = at.entries.remove(&removed) {
                let stranger = old.owner.is_some_and(|other| other != owner);
                at.unsure |= (stranger || twin) && !at.tells;
                at.touched_by(client, sender);
            }
            Ok(())
        })
        .await??;
        lock(&self.world).removed(self.client, self.store, &key);
        Ok(())
    }

    async fn mark_one(&self, entry: &Entry, mark: Option<Mark>) -> Result<(), RegistryError> {
        let key = entry.key.to_string();
        let _write = Writing::begin(self, &key, Change::Mark(mark));
        let (client, store, owner) = (self.client, self.store, self.owner.clone());
        let marked = if mark.is_some() { Marked::Ours } else { Marked::No };
        let (at, id) = (key.clone(), entry.service_id.to_string());
        self.send(true, move |world, sender| {
            world.refuses(client, store, (&at, &id), false)?;
            world.note(|| format!("store {store} marks {at} as {mark:?}, as {owner} asks"));
            let store = &mut world.stores[store];
            if let Some(held) = store.entries.get_mut(&at) {
                held.marked = marked;
                // What nobody owns is as good as ours where a container of ours claims it; why it is marked was judged.
                store.planted.remove(&at);
                store.touched_by(client, sender);
            }
            Ok(())
        })
        .await??;
        lock(&self.world).marked(self.client, self.store, &key, marked);
        Ok(())
    }

    async fn refresh_one(&self, service: &Service) -> Result<(), RegistryError> {
        let content = Content::of(service);
        let key = self.place(&content);
        let (store, recorded) = (self.store, self.recorded());
        self.send(true, move |world, _| {
            world.expire();
            let ttl = content.ttl.map(Duration::from_secs);
            if let Some(refused) = world.stores[store].refusal(&content.id, false) {
                return Err(refused);
            }
            match world.stores[store].entries.get_mut(&key) {
                Some(held) if held.owner == recorded => {
                    held.expires = ttl.map(|ttl| Instant::now() + ttl);
                    Ok(())
                }
                _ => Err(RegistryError::service("simulated: no such entry")),
            }
        })
        .await?
    }
}

/// A write under way: no other is for the same key.
struct Writing<'a> {
    link: &'a Link,
    key: &'a str,
}

impl<'a> Writing<'a> {
    fn begin(link: &'a Link, key: &'a str, change: Change<'_>) -> Self {
        let mut world = lock(&link.world);
        if world.lives(link.client) {
            world.judge(link.client, link.store, &link.owner, key, change);
            if !world.writing.insert((link.client, link.store, key.to_owned())) {
                world.violated(format!("two writes for {key} are under way in store {}", link.store));
            }
        }
        Self { link, key }
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        lock(&self.link.world).writing.remove(&(self.link.client, self.link.store, self.key.to_owned()));
    }
}

/// Keys that a client is writing.
pub(crate) type InFlight = BTreeSet<(Client, usize, String)>;

#[async_trait]
impl Registry for Link {
    fn capabilities(&self) -> Capabilities {
        Capabilities { marks: lock(&self.world).stores[self.store].marks, ..Capabilities::default() }
    }

    fn key(&self, service: &Service) -> Arc<str> {
        self.place(&Content::of(service)).into()
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        Content::of(service).fingerprint(self.recorded().as_deref())
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        self.alive().await;
        let store = self.store;
        self.send(false, move |world, _| world.stores[store].refuses_to_be_read()).await?
    }

    async fn read(&self, scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
        let mut entries = self.everything(scope).await?;
        let mut world = lock(&self.world);
        if let Some(keys) = scope.keys.as_ref().filter(|_| world.stores[self.store].vast) {
            entries.retain(|entry| entry.owner.as_deref() == Some(&*self.owner) || keys.contains(&entry.key));
            world.note(|| format!("host {} is told of its own in store {} alone", self.client.0, self.store));
            if let Some(view) = world.views.get_mut(&(self.client, self.store)) {
                view.retain(|key, _| entries.iter().any(|entry| *entry.key == **key));
            }
        }
        Ok(entries)
    }

    async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
        self.alive().await;
        let applied = writes.iter().map(async |write| match &write.action {
            Action::Put(service) => self.register_one(service).await,
            Action::Remove(entry) => self.deregister_one(entry).await,
            Action::Mark(entry, mark) => self.mark_one(entry, Some(*mark)).await,
            Action::Unmark(entry) => self.mark_one(entry, None).await,
        });
        futures_util::future::join_all(applied).await
    }

    fn continuity(&self) -> u64 {
        self.failures.load(Relaxed) + lock(&self.world).stores[self.store].losses
    }

    fn refresh_interval(&self, service: &Service) -> Option<Duration> {
        service.ttl.and(self.ttl_refresh)
    }

    async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        self.alive().await;
        lock(&self.world).counts.refreshes += services.len();
        futures_util::future::join_all(services.iter().map(|service| self.refresh_one(service))).await
    }

    async fn changed(&self) -> registry::Change {
        loop {
            let bell = {
                let world = lock(&self.world);
                let store = &world.stores[self.store];
                if self.credentials_seen.swap(store.credentials, Relaxed) != store.credentials {
                    return registry::Change::Credentials;
                }
                let now = store.changes_of_others(self.client);
                let well = !store.faults.away && !store.faults.frozen && !store.faults.deaf;
                if store.tells && well && self.seen.swap(now, Relaxed) != now {
                    break;
                }
                Arc::clone(&store.bell)
            };
            bell.notified().await;
        }
        sleep(PACE).await;
        registry::Change::Content
    }
}
