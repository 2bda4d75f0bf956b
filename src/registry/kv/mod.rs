//! Registries that are key-value stores: one engine over what a store can do ([`Store`]) and how a service is
//! spelt in it ([`Layout`]).
//!
//! Stands below the bridge: [`slot`] decides what to write for one key, [`records`] says what stands beside entries,
//! [`seats`] keeps the signs of life, [`watch`] hears of other hands, this file reads and writes. A new store
//! implements [`Store`], a new spelling [`Layout`]; neither knows of owners.
//!
//! # Whose an entry is
//!
//! Keys and values are documented, so who wrote an entry is recorded beside it: a claim names the owner, and the
//! *seat* that an instance of that owner holds as long as it lives. What an owner's dead instance left is taken over
//! by taking its seat, which writes one record, and no entry. docs/ownership.md has the whole story.

mod encode;
mod layout;
mod records;
mod seats;
mod slot;
mod store;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::config::RegistryConfig;
use crate::pool::Pool;
use crate::service::Service;

use super::text::one_line;
use super::{Entry, Marked, Registry, RegistryError};

pub(in crate::registry) use layout::{Layout, Plain};
pub(in crate::registry) use records::Records;
pub(in crate::registry) use store::{Action, Applied, Condition, Held, News, Step, Store, Write};

use records::{Alive, Claim, read};
use slot::{Company, Next, Seen, Slot, Standing, Wish, digest, fingerprint};

/// Within what any method ends, whatever the store does.
const DEADLINE: Duration = Duration::from_secs(15);
/// The same for reading everything, which goes on page by page: begun anew, it would take as long again.
const READING_DEADLINE: Duration = Duration::from_secs(45);
/// While so many entries are others', only our own part is read.
const MANY: usize = 1000;
/// How often everything is read all the same, more or less: many hosts should not do it at one time.
const EVERYTHING: Duration = Duration::from_secs(300);
/// How often a write is begun again when another hand was in between.
const TRIES: usize = 5;
/// How many keys are read at once.
const CONCURRENCY: usize = 32;

/// A registry that is a key-value store.
pub(in crate::registry) struct KvRegistry {
    engine: Arc<Engine>,
    heart: OnceLock<AbortOnDropHandle<()>>,
    ears: OnceLock<AbortOnDropHandle<()>>,
}

/// What its tasks share.
struct Engine {
    store: Box<dyn Store>,
    layout: Box<dyn Layout>,
    /// Where claims are made, if they are.
    records: Option<Records>,
    /// What this run is called.
    run: String,
    /// From how many entries of others on only our own part is read.
    many: usize,
    /// How often TTLs are refreshed, where the settings say.
    ttl_refresh: Option<Duration>,
    state: Mutex<State>,
    /// Something may have changed by another hand.
    bell: Notify,
}

/// What is known of the store.
#[derive(Default)]
struct State {
    /// When everything is to be read again, even if most of it is others'; `None` before it was read once.
    everything: Option<Instant>,
    /// How many entries are others', at most.
    others: usize,
    /// By key. A tree, which grows piece by piece: of a table, half as much again would be needed for a moment.
    slots: BTreeMap<Box<str>, Slot>,
    /// The owners and seats that claims name, each kept once.
    names: Pool<str>,
    /// Keys of which it is not known whether our last write of them arrived, since everything was read.
    unsure: BTreeSet<String>,
    company: Company,
    /// Writes that are on their way, and those that were ever begun.
    writing: usize,
    begun: u64,
    /// When a change was reported last.
    told: Option<Instant>,
}

impl State {
    /// This is what stands at a key, and the claim on it.
    fn saw(&mut self, key: &str, entry: Option<Seen<u64>>, claim: Option<Seen<Option<Claim>>>) {
        let written = self.slots.get(key).is_some_and(|before| before.written);
        let claim = claim.map(|claim| self.shared(claim));
        match (Slot { entry, claim, written }) {
            Slot { entry: None, claim: None, written: false } => self.slots.remove(key),
            slot => self.slots.insert(key.into(), slot),
        };
    }

    /// This is the sign of life at a seat, if there is one.
    fn saw_sign(&mut self, seat: &str, sign: Option<&Held>) {
        match sign.and_then(|held| read(&held.value)) {
            Some(sign) => self.company.alive.insert(seat.to_owned(), sign),
            None => self.company.alive.remove(seat),
        };
    }

    /// The same claim, with the names that others have as well.
    fn shared(&mut self, mut seen: Seen<Option<Claim>>) -> Seen<Option<Claim>> {
        if let Some(claim) = &mut seen.content {
            self.names.share(&mut claim.owner);
            self.names.share(&mut claim.seat);
        }
        seen
    }
}

impl KvRegistry {
    /// A registry that speaks to the store when it is first asked something.
    pub(in crate::registry) fn new(
        store: Box<dyn Store>,
        layout: Box<dyn Layout>,
        records: Records,
        config: &RegistryConfig,
    ) -> Self {
        let company = Company { owner: config.owner.as_str().into(), ..Company::default() };
        let engine = Engine {
            store,
            layout,
            records: config.record_owner.then_some(records),
            run: seats::token(),
            many: MANY,
            ttl_refresh: config.ttl_refresh,
            state: Mutex::new(State { company, ..State::default() }),
            bell: Notify::new(),
        };
        Self { engine: Arc::new(engine), heart: OnceLock::new(), ears: OnceLock::new() }
    }

    /// Begins to show signs of life, if there is anything to show them for.
    fn live(&self) {
        if self.engine.records.is_some() {
            let engine = &self.engine;
            self.heart.get_or_init(|| AbortOnDropHandle::new(tokio::spawn(seats::beat(Arc::clone(engine)))));
        }
    }
}

#[async_trait]
impl Registry for KvRegistry {
    fn key(&self, service: &Service) -> Arc<str> {
        self.engine.layout.key(service).into()
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        let Engine { layout, records, .. } = &*self.engine;
        fingerprint(digest(layout.value(service).as_bytes()), service.ttl, records.is_some())
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        in_time(DEADLINE, self.engine.store.ping()).await?
    }

    async fn entries(&self) -> Result<Vec<Entry>, RegistryError> {
        self.live();
        in_time(READING_DEADLINE, self.engine.entries(None)).await?
    }

    async fn own_entries(&self, keys: &[Arc<str>]) -> Result<Vec<Entry>, RegistryError> {
        self.live();
        in_time(READING_DEADLINE, self.engine.entries(Some(keys))).await?
    }

    async fn register(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        self.live();
        let written = in_time(DEADLINE, self.engine.register(services)).await;
        written.unwrap_or_else(|error| vec![Err(error); services.len()])
    }

    async fn deregister(&self, entries: &[Entry]) -> Vec<Result<(), RegistryError>> {
        let gone: Vec<_> = entries.iter().map(|entry| (entry.key.to_string(), Wish::Gone)).collect();
        let written = in_time(DEADLINE, self.engine.write(&gone)).await;
        let written = written.unwrap_or_else(|error| vec![Err(error); entries.len()]);
        // One that has become another's is no longer ours to remove: that is what was asked.
        written.into_iter().map(|result| result.map(drop)).collect()
    }

    fn refresh_interval(&self, service: &Service) -> Option<Duration> {
        service.ttl.map(|ttl| self.engine.ttl_refresh.filter(|refresh| *refresh < ttl).unwrap_or(ttl / 3))
    }

    async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        let refreshed = in_time(DEADLINE, self.engine.refresh(services)).await;
        refreshed.unwrap_or_else(|error| vec![Err(error); services.len()])
    }

    async fn changed(&self) {
        let engine = &self.engine;
        self.ears.get_or_init(|| AbortOnDropHandle::new(tokio::spawn(watch::listen(Arc::clone(engine)))));
        watch::changed(engine).await;
    }

    async fn close(&self) {
        if let Some(heart) = self.heart.get() {
            heart.abort();
        }
        self.engine.rise().await;
    }
}

/// What became of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Granted {
    Done,
    /// The key belongs to this other.
    Refused(Arc<str>),
}

/// A wish that is still to be granted.
#[derive(Clone, Copy)]
struct Pending {
    index: usize,
    /// Its key was read since it was wished for.
    fresh: bool,
}

impl Engine {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // === reading ===

    /// Everything, or what is ours and what stands at these keys, where that is much less.
    async fn entries(&self, keys: Option<&[Arc<str>]>) -> Result<Vec<Entry>, RegistryError> {
        let begun = {
            let state = self.state();
            (state.writing == 0).then_some(state.begun)
        };
        let part = keys.and_then(|keys| self.part(keys));
        match &part {
            Some(part) => self.look_at_part(part).await?,
            None => self.look().await?,
        }
        self.inherit().await?;
        let (entries, left) = {
            let state = self.state();
            let slots: Vec<(&str, &Slot)> = match &part {
                Some(part) => {
                    part.iter().filter_map(|key| Some((key.as_str(), state.slots.get(key.as_str())?))).collect()
                }
                None => state.slots.iter().map(|(key, slot)| (&**key, slot)).collect(),
            };
            let entries = slots.iter().filter_map(|(key, slot)| self.entry(&state, key, slot)).collect();
            // A claim of ours without an entry, while nothing was being written, is what a crash has left.
            let quiet = begun == Some(state.begun);
            let left = slots.iter().filter(|(_, slot)| quiet && state.company.left_behind(slot));
            let left: Vec<_> = left.map(|(key, _)| ((*key).to_owned(), Wish::Gone)).collect();
            (entries, left)
        };
        if !left.is_empty() {
            self.write(&left).await;
        }
        Ok(entries)
    }

    /// Reads everything, and remembers it.
    ///
    /// Claims are written before entries and removed after them, and signs of life come before both: read in
    /// the other order, no entry seems to be nobody's, and no seat empty, that is not.
    async fn look(&self) -> Result<(), RegistryError> {
        let entries = self.store.list(&format!("{}/", self.layout.root())).await?;
        // Of the values only digests are needed from here on.
        let ours = |held: Held| self.layout.service_id(&held.key).map(|_| (Seen::entry(&held), held.key));
        let entries: Vec<_> = entries.into_iter().filter_map(ours).collect();
        let (claims, alive) = match &self.records {
            None => (Vec::new(), Vec::new()),
            Some(records) => {
                let claims = self.store.list(&records.all_claims()).await?;
                (claims, self.store.list(&records.all_alive()).await?)
            }
        };
        let state = &mut *self.state();
        for slot in state.slots.values_mut() {
            *slot = Slot { written: slot.written, ..Slot::default() };
        }
        for (seen, key) in entries {
            state.slots.entry(key.into()).or_default().entry = Some(seen);
        }
        if let Some(records) = &self.records {
            for held in claims {
                let key = records.entry(&held.key).filter(|key| self.layout.service_id(key).is_some());
                if let Some(key) = key {
                    let claim = state.shared(Seen::claim(&held));
                    state.slots.entry(key.into()).or_default().claim = Some(claim);
                }
            }
            let signs = alive.iter().filter_map(|held| Some((records.seat(&held.key)?, read(&held.value)?)));
            state.company.alive = signs.map(|(seat, sign): (&str, Alive)| (seat.to_owned(), sign)).collect();
        }
        state.slots.retain(|_, slot| slot.entry.is_some() || slot.claim.is_some());
        state.unsure.clear();
        state.others = state.slots.values().filter(|slot| !state.company.is_ours(slot)).count();
        state.everything = Some(Instant::now() + EVERYTHING.mul_f64(0.75 + fastrand::f64() / 2.0));
        Ok(())
    }

    /// What to read instead of everything, where most of that is others': these keys, and those that are ours, or may be.
    fn part(&self, keys: &[Arc<str>]) -> Option<Vec<String>> {
        let state = self.state();
        let due = state.everything.is_none_or(|due| due <= Instant::now());
        if due || state.others < self.many {
            return None;
        }
        let ours = state.slots.iter().filter(|(_, slot)| state.company.is_ours(slot)).map(|(key, _)| key);
        let ours = ours.map(AsRef::as_ref).chain(state.unsure.iter().map(String::as_str));
        let part: BTreeSet<_> = ours.chain(keys.iter().map(AsRef::as_ref)).collect();
        Some(part.into_iter().map(str::to_owned).collect())
    }

    /// [`Engine::look`] at some keys, in the same order.
    async fn look_at_part(&self, keys: &[String]) -> Result<(), RegistryError> {
        let entries = self.store.get_all(keys).await?;
        let mut claims: Vec<Option<Seen<Option<Claim>>>> = vec![None; keys.len()];
        let mut signs = Vec::new();
        if let Some(records) = &self.records {
            let claim_keys: Vec<_> = keys.iter().map(|key| records.claim(key)).collect();
            let read_claims = self.store.get_all(&claim_keys).await?;
            claims = read_claims.iter().map(|held| held.as_ref().map(Seen::claim)).collect();
            let seats = claims.iter().flatten().filter_map(|seen| Some(Arc::clone(&seen.content.as_ref()?.seat)));
            let seats: Vec<_> = seats.collect::<BTreeSet<_>>().into_iter().collect();
            let sign_keys: Vec<_> = seats.iter().map(|seat| records.alive(seat)).collect();
            let alive = self.store.get_all(&sign_keys).await?;
            signs = seats.into_iter().zip(alive).collect();
        }
        let mut state = self.state();
        for ((key, entry), claim) in keys.iter().zip(&entries).zip(claims) {
            state.saw(key, entry.as_ref().map(Seen::entry), claim);
        }
        for (seat, sign) in signs {
            state.saw_sign(&seat, sign.as_ref());
        }
        Ok(())
    }

    /// Takes the seats that dead instances of ours have left.
    async fn inherit(&self) -> Result<(), RegistryError> {
        let seats: BTreeSet<_> = {
            let State { slots, company, .. } = &*self.state();
            slots
                .values()
                .filter_map(|slot| match company.standing(slot) {
                    Standing::Inherited(seat) => Some(seat),
                    _ => None,
                })
                .collect()
        };
        for seat in seats {
            self.take(&seat).await?;
        }
        Ok(())
    }

    /// What the bridge is told of what stands at a key.
    fn entry(&self, state: &State, key: &str, slot: &Slot) -> Option<Entry> {
        let by_key = self.layout.service_id(key)?;
        let seen = slot.entry.as_ref()?;
        let claim = slot.claimed();
        let owner = match state.company.standing(slot) {
            Standing::Free => None,
            Standing::Ours | Standing::Inherited(_) => Some(Arc::clone(&state.company.owner)),
            Standing::Foreign(owner) => Some(owner),
        };
        Some(Entry {
            key: key.into(),
            service_id: claim.map_or_else(|| by_key.into(), |claim| Arc::clone(&claim.id)),
            owner,
            fingerprint: fingerprint(seen.content, seen.ttl, claim.is_some()),
            marked: Marked::No,
        })
    }

    /// Reads one key again, and what says whose it is.
    async fn look_at(&self, key: &str) -> Result<(), RegistryError> {
        let entry = self.store.get(key).await?;
        let claim = match &self.records {
            None => None,
            Some(records) => self.store.get(&records.claim(key)).await?,
        };
        let claim = claim.as_ref().map(Seen::claim);
        let seat = claim.as_ref().and_then(|seen| Some(Arc::clone(&seen.content.as_ref()?.seat)));
        let sign = match (&self.records, &seat) {
            (Some(records), Some(seat)) => self.store.get(&records.alive(seat)).await?,
            _ => None,
        };
        let mut state = self.state();
        state.saw(key, entry.as_ref().map(Seen::entry), claim);
        if let Some(seat) = seat {
            state.saw_sign(&seat, sign.as_ref());
        }
        Ok(())
    }

    // === writing ===

    async fn register(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        let seat = match &self.records {
            Some(_) if !services.is_empty() => match self.seat().await {
                Ok(seat) => Some(seat),
                Err(error) => return vec![Err(whole(error)); services.len()],
            },
            _ => None,
        };
        let owner = Arc::clone(&self.state().company.owner);
        let wishes: Vec<_> = services
            .iter()
            .filter(|service| named(service))
            .map(|service| {
                let claim = seat.as_ref().map(|seat| Claim {
                    owner: Arc::clone(&owner),
                    seat: Arc::clone(seat),
                    id: Arc::clone(&service.id),
                });
                (self.layout.key(service), Wish::Put { value: self.layout.value(service), ttl: service.ttl, claim })
            })
            .collect();
        let mut granted = self.write(&wishes).await.into_iter();
        services
            .iter()
            .map(|service| {
                if !named(service) {
                    return Err(RegistryError::Rejected("it has no name, or no ID".to_owned()));
                }
                match granted.next().unwrap_or_else(|| Err(busy(&service.id)))? {
                    Granted::Done => Ok(()),
                    Granted::Refused(owner) => {
                        let (key, owner) = (one_line(&self.layout.key(service), 300), one_line(&owner, 300));
                        Err(RegistryError::Taken(format!("{key} belongs to the owner {owner}")))
                    }
                }
            })
            .collect()
    }

    /// Grants wishes, each for another key, with a result for each.
    async fn write(&self, wishes: &[(String, Wish)]) -> Vec<Result<Granted, RegistryError>> {
        if wishes.is_empty() {
            return Vec::new();
        }
        if self.state().everything.is_none()
            && let Err(error) = self.look().await
        {
            return vec![Err(whole(error)); wishes.len()];
        }
        let _writing = Writing::begin(self);
        let mut results: Vec<_> = wishes.iter().map(|(key, _)| Err(busy(key))).collect();
        let mut pending: Vec<_> = (0..wishes.len()).map(|index| Pending { index, fresh: false }).collect();
        for _ in 0..TRIES {
            pending = self.round(wishes, &pending, &mut results).await;
            if pending.is_empty() {
                break;
            }
        }
        results
    }

    /// One round of writes: gives those that have to be tried again.
    async fn round(
        &self,
        wishes: &[(String, Wish)],
        pending: &[Pending],
        results: &mut [Result<Granted, RegistryError>],
    ) -> Vec<Pending> {
        let mut again = Vec::new();
        let mut stale = Vec::new();
        let mut writes = Vec::new();
        let mut seats = BTreeSet::new();
        {
            let state = self.state();
            let unknown = Slot::default();
            for &Pending { index, fresh } in pending {
                let (key, wish) = &wishes[index];
                let claim_key = self.records.as_ref().map(|records| records.claim(key));
                let slot = state.slots.get(key.as_str()).unwrap_or(&unknown);
                match slot::next(key, claim_key.as_deref(), slot, &state.company, wish) {
                    // That nothing need be done is not said from memory.
                    Next::Nothing | Next::Refused(_) if !fresh => stale.push(index),
                    Next::Nothing => results[index] = Ok(Granted::Done),
                    Next::Refused(owner) => results[index] = Ok(Granted::Refused(owner)),
                    Next::Write(write) => writes.push((index, write)),
                    Next::Take(seat) => {
                        seats.insert(seat);
                        again.push(Pending { index, fresh });
                    }
                }
            }
        }
        for seat in seats {
            if let Err(error) = self.take(&seat).await {
                again.drain(..).for_each(|Pending { index, .. }| results[index] = Err(error.clone()));
            }
        }
        let (indices, writes): (Vec<usize>, Vec<_>) = writes.into_iter().unzip();
        self.state().unsure.extend(indices.iter().map(|&index| wishes[index].0.clone()));
        let applied = if writes.is_empty() { Vec::new() } else { self.store.apply(&writes).await };
        for ((index, write), applied) in indices.into_iter().zip(&writes).zip(applied) {
            let (key, wish) = &wishes[index];
            let mut state = self.state();
            match applied {
                Ok(Applied::Done(versions)) => {
                    state.slots.entry(key.as_str().into()).or_default().wrote(key, wish, write, &versions);
                    results[index] = Ok(Granted::Done);
                }
                Ok(Applied::Changed) => stale.push(index),
                Err(error) => {
                    results[index] = Err(error);
                    continue;
                }
            }
            state.unsure.remove(key);
        }
        let looked: Vec<_> = stream::iter(stale)
            .map(async |index: usize| (index, self.look_at(&wishes[index].0).await))
            .buffer_unordered(CONCURRENCY)
            .collect()
            .await;
        for (index, looked) in looked {
            match looked {
                Ok(()) => again.push(Pending { index, fresh: true }),
                Err(error) => results[index] = Err(error),
            }
        }
        again
    }

    async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
        let keys: Vec<_> =
            services.iter().filter_map(|service| Some((self.layout.key(service), service.ttl?))).collect();
        let claims: Vec<_> =
            self.records.iter().flat_map(|records| keys.iter().map(|(key, ttl)| (records.claim(key), *ttl))).collect();
        // The claims after the entries, which they should outlive.
        let mut renewed = self.store.renew(&keys).await.into_iter();
        let claims = if claims.is_empty() { Vec::new() } else { self.store.renew(&claims).await };
        let mut claims = claims.into_iter();
        services
            .iter()
            .map(|service| match service.ttl {
                None => Ok(()),
                Some(_) => {
                    let claim = claims.next().unwrap_or(Ok(()));
                    renewed.next().unwrap_or_else(|| Err(busy(&service.id))).and(claim)
                }
            })
            .collect()
    }
}

/// Counts a batch of writes for as long as it is on its way, also when it is given up.
struct Writing<'a>(&'a Engine);

impl<'a> Writing<'a> {
    fn begin(engine: &'a Engine) -> Self {
        let mut state = engine.state();
        state.writing += 1;
        state.begun += 1;
        Self(engine)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.state().writing -= 1;
    }
}

/// No store takes a service without them.
fn named(service: &Service) -> bool {
    !service.name.is_empty() && !service.id.is_empty()
}

/// That we are refused altogether is no reason to give up a single service.
fn whole(error: RegistryError) -> RegistryError {
    match error {
        RegistryError::Rejected(reason) | RegistryError::Taken(reason) => RegistryError::Unreachable(reason),
        RegistryError::Unreachable(_) => error,
    }
}

fn busy(key: &str) -> RegistryError {
    RegistryError::Unreachable(format!("{} is being changed by others all the time", one_line(key, 300)))
}

async fn in_time<F: Future>(deadline: Duration, future: F) -> Result<F::Output, RegistryError> {
    let late = || RegistryError::Unreachable(format!("no answer within {} s", deadline.as_secs()));
    timeout(deadline, future).await.map_err(|_| late())
}
