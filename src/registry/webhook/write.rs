//! Writes and removes entries: read everything, merge, write, and read again.
//!
//! The contract has no conditions, so another instance may write the same set at the same time. Reading again shows that,
//! and the set is written once more, from the claims that are there by then.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::sleep;

use crate::registry::chunks::{Room, chunks, each_alone};
use crate::registry::dns::{Spot, fits};
use crate::registry::{Action, Cause, RegistryError, Write};

use super::claim::Claim;
use super::client::Client;
use super::endpoint::{Changes, Key, Kind};
use super::names::Names;
use super::zone::{Wanted, Zone};

/// How often what others changed at the same time is written again.
const TRIES: u32 = 3;
/// The longest pause before that, so that two instances do not go on in step, in milliseconds.
const PAUSE: u64 = 200;
/// How many entries are in one request: a provider may need a second for each of their records.
const ROOM: Room = Room { steps: 25, bytes: usize::MAX };

type Outcome = Result<(), RegistryError>;

/// A write.
struct Item {
    spot: Spot,
    /// What shall be there; `None` to remove it.
    claim: Option<Claim>,
}

/// Makes writes in a zone.
pub(super) struct Writer<'a> {
    pub(super) client: &'a Client,
    pub(super) owner: &'a str,
    /// The TTL of records in seconds, where a service has none of its own.
    pub(super) ttl: u32,
    /// Sets that we began to write.
    pub(super) tried: &'a mut HashSet<Key>,
}

/// The zone as it is while a batch is written.
struct Work<'a, 'b> {
    writer: &'b mut Writer<'a>,
    zone: Zone,
    /// Whether anything was written.
    wrote: bool,
    /// A request failed that may have done half of what it should: the zone has to be read again.
    is_stale: bool,
}

impl<'a> Writer<'a> {
    /// Makes writes, with one result each, in order. Also returns the zone as it is afterwards, if that is known.
    pub(super) async fn apply(&mut self, writes: &[Write]) -> (Vec<Outcome>, Option<Zone>) {
        let zone = match self.client.zone().await {
            Ok(zone) => zone,
            Err(error) => return (vec![Err(error); writes.len()], None),
        };
        let names = zone.names().clone();
        let mut results = vec![Ok(()); writes.len()];
        let (mut items, mut places) = (Vec::new(), Vec::new());
        for (place, write) in writes.iter().enumerate() {
            let item = match &write.action {
                Action::Put(service) => fits(service).and_then(|()| {
                    let claim = Claim::of(service, self.owner, self.ttl)?;
                    Ok(Some(Item { spot: Names::place(service), claim: Some(claim) }))
                }),
                Action::Remove(entry) => Ok(names.spot(&entry.key).map(|spot| Item { spot, claim: None })),
                Action::Mark(..) | Action::Unmark(_) => Ok(None),
            };
            match item.and_then(|item| self.permitted(&zone, item)) {
                Ok(Some(item)) => {
                    items.push(item);
                    places.push(place);
                }
                Ok(None) => {}
                Err(error) => results[place] = Err(error),
            }
        }
        let mut work = Work { writer: self, zone, wrote: false, is_stale: false };
        for (place, outcome) in places.iter().zip(work.make(&items).await) {
            results[*place] = outcome;
        }
        if !work.wrote {
            return (results, None);
        }
        let done: Vec<_> = (0..items.len()).filter(|&index| results[places[index]].is_ok()).collect();
        let made: Vec<_> = done.iter().map(|&index| &items[index]).collect();
        match work.verify(&made).await {
            Ok(outcomes) => {
                for (index, outcome) in done.into_iter().zip(outcomes) {
                    results[places[index]] = outcome;
                }
                (results, Some(work.zone))
            }
            // What was accepted is done; the next reading tells.
            Err(_) => (results, None),
        }
    }

    /// The item, if there is something to do.
    fn permitted(&self, zone: &Zone, item: Option<Item>) -> Result<Option<Item>, RegistryError> {
        let Some(item) = item else { return Ok(None) };
        match &item.claim {
            Some(claim) => zone.permits(&item.spot, claim, self.tried).map(|()| Some(item)),
            // Ours is not there, or it is another owner's.
            None => Ok(zone.claim(&item.spot).is_some_and(|found| found.owner == self.owner).then_some(item)),
        }
    }
}

impl Work<'_, '_> {
    async fn make(&mut self, items: &[Item]) -> Vec<Outcome> {
        let (mut results, mut hopeless) = (Vec::with_capacity(items.len()), None);
        for chunk in chunks(items, ROOM, |_| Room { steps: 1, bytes: 0 }) {
            // Where the provider is away, or lets us do nothing, the others need not be tried.
            let made = match &hopeless {
                Some(error) => vec![Err(RegistryError::clone(error)); chunk.len()],
                None => self.chunk(chunk).await,
            };
            if made.iter().all(is_in_common) {
                hopeless = made.first().and_then(|result| result.clone().err());
            }
            results.extend(made);
        }
        results
    }

    /// Makes some writes in one request, or each alone where that fails: one bad record must not stop its neighbours.
    async fn chunk(&mut self, items: &[Item]) -> Vec<Outcome> {
        let all: Vec<_> = items.iter().collect();
        match self.update(&all).await {
            Ok(()) => return vec![Ok(()); items.len()],
            Err(error) if items.len() == 1 || is_away(&error) => return vec![Err(error); items.len()],
            Err(_) => {}
        }
        let work = Mutex::new(self);
        let work = &work;
        let places: Vec<_> = (0..items.len()).collect();
        let attempt = |place: &usize| {
            let place = *place;
            async move { work.lock().await.update(&[&items[place]]).await }
        };
        each_alone(&places, 1, |place| items[*place].claim.is_some(), attempt, is_in_common).await
    }

    /// Makes writes in one request.
    async fn update(&mut self, items: &[&Item]) -> Outcome {
        if self.is_stale {
            self.zone = self.writer.client.zone().await?;
            self.is_stale = false;
        }
        let mut before = Vec::with_capacity(items.len());
        for Item { spot, claim } in items {
            before.push((spot, self.zone.set_claim(spot, claim.clone())));
        }
        let spots = items.iter().map(|item| &item.spot);
        let names: BTreeSet<_> = items.iter().map(|item| item.spot.name.as_str()).collect();
        let result = self.write(spots, &names).await;
        if result.is_err() {
            for (spot, claim) in before {
                self.zone.set_claim(spot, claim);
            }
        }
        result
    }

    /// Makes the sets of some entries, and those that are shared, what they should be by the claims.
    async fn write(&mut self, spots: impl Iterator<Item = &Spot>, names: &BTreeSet<&str>) -> Outcome {
        let mut wanted = Wanted::new();
        let mut own = Vec::new();
        for spot in spots {
            self.zone.own(spot, &mut wanted);
            if let Some(claim) = self.zone.claim(spot) {
                let name = self.zone.names().own(spot);
                own.push(Names::txt(claim.kind(), &name));
                own.extend((claim.kind() != Kind::Srv).then(|| (name, claim.kind())));
            }
        }
        for name in names {
            self.zone.shared(name, &mut wanted);
        }
        self.writer.client.adjust(&mut wanted).await?;
        if let Some((name, kind)) = own.iter().find(|key| !wanted.contains_key(key)) {
            let kind = kind.as_str();
            return Err(RegistryError::service(format!(
                "the provider does not take the {kind} record {name} (its /adjustendpoints leaves it out); use a provider \
                 that takes {kind} records"
            )));
        }
        let mut changes = Changes::default();
        for (key, set) in wanted {
            let old = self.zone.set(&key).cloned();
            changes.add(key, old.as_ref(), set);
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.writer.tried.extend(changes.iter().filter(|(_, set)| set.is_some()).map(|(key, _)| key.clone()));
        self.wrote = true;
        self.is_stale = true;
        self.writer.client.apply(&changes).await?;
        self.is_stale = false;
        for (key, set) in changes.iter() {
            self.zone.put(key, set);
            // From now on, its TXT record tells.
            self.writer.tried.remove(key);
        }
        Ok(())
    }

    /// Reads everything again. What others wrote over at the same time is written once more.
    async fn verify(&mut self, items: &[&Item]) -> Result<Vec<Outcome>, RegistryError> {
        let names: BTreeSet<_> = items.iter().map(|item| item.spot.name.as_str()).collect();
        for round in 0..TRIES {
            self.zone = self.writer.client.zone().await?;
            let mut wanted = Wanted::new();
            for name in &names {
                self.zone.shared(name, &mut wanted);
            }
            self.writer.client.adjust(&mut wanted).await?;
            if self.zone.is_as(&wanted) || round + 1 == TRIES {
                break;
            }
            sleep(Duration::from_millis(fastrand::u64(0..PAUSE))).await;
            self.write(std::iter::empty(), &names).await?;
        }
        Ok(items.iter().map(|Item { spot, claim }| self.outcome(spot, claim.as_ref())).collect())
    }

    /// What became of a write, by what is there now.
    fn outcome(&self, spot: &Spot, claim: Option<&Claim>) -> Outcome {
        let name = self.zone.names().own(spot);
        match (self.zone.claim(spot), claim) {
            (Some(found), Some(claim)) if found.owner != claim.owner => {
                Err(RegistryError::Taken(format!("{name} belongs to the owner {:?}, by its TXT record", found.owner)))
            }
            (None, Some(_)) => Err(self.writer.client.not_kept(&name)),
            _ => Ok(()),
        }
    }
}

/// Whether nobody can be served now.
fn is_away(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Unreachable(_))
}

/// Whether the neighbours of a write fail for the same cause.
fn is_in_common(result: &Outcome) -> bool {
    let in_common = |error: &RegistryError| {
        is_away(error) || matches!(error, RegistryError::Refused { cause: Cause::Rights | Cause::Server, .. })
    };
    result.as_ref().is_err_and(in_common)
}
