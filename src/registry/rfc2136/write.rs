//! Writes and removes entries. Each update has conditions, so whatever changes between a look and an update is safe: the
//! server makes all of an update, or nothing.

use std::collections::{BTreeSet, HashMap};

use futures_util::future::join_all;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::registry::chunks::{Room, chunks};
use crate::registry::dns::{Spot, fits};
use crate::registry::{Action, Cause, RegistryError, Write};

use super::claim::Claim;
use super::client::Session;
use super::decide::{Change, Decision, Item, Judge, Seen};
use super::known::Known;
use super::message::Update;
use super::names::LONGEST;
use super::read::sets;

/// How often a write is started again because an external writer was faster.
const TRIES: usize = 4;
/// The limits of one update; a message has 64 KiB.
const ROOM: Room = Room { steps: 50, bytes: 40_000 };
/// What an entry takes of a message besides its claim.
const OVERHEAD: usize = 500;

type Outcome = Result<(), RegistryError>;

/// Makes writes in a zone.
pub(super) struct Writer<'a> {
    pub(super) session: &'a Session<'a>,
    pub(super) judge: Judge<'a>,
    pub(super) known: &'a mut Known,
    /// Counts updates, each of which changes the zone's serial number.
    pub(super) updates: &'a (dyn Fn() + Send + Sync),
}

/// Why an update was not made.
enum Failure {
    /// A condition does not hold; whether that is because something is there that should not be.
    Conflict {
        is_there: bool,
    },
    Other(RegistryError),
}

impl Writer<'_> {
    /// Makes writes, with one result each, in order.
    pub(super) async fn apply(&mut self, writes: &[Write]) -> Vec<Outcome> {
        let mut results: Vec<Option<Outcome>> = Vec::with_capacity(writes.len());
        let (mut items, mut places) = (Vec::new(), Vec::new());
        for (place, write) in writes.iter().enumerate() {
            let item = match &write.action {
                Action::Put(service) => fits(service).map(|()| {
                    let claim = Claim::of(service, self.judge.owner, self.judge.ttl);
                    Some(Item { spot: Spot::of(service, LONGEST), claim: Some(claim) })
                }),
                Action::Remove(entry) => Ok(self.judge.names.spot(&entry.key).map(|spot| Item { spot, claim: None })),
                Action::Mark(..) | Action::Unmark(_) => Ok(None),
            };
            match item {
                Ok(Some(item)) => {
                    items.push(item);
                    places.push(place);
                    results.push(None);
                }
                Ok(None) => results.push(Some(Ok(()))),
                Err(error) => results.push(Some(Err(error))),
            }
        }
        // What will be: so no record is deleted that a neighbour in this batch needs.
        for Item { spot, claim } in &items {
            if claim.is_some() || self.known.owner(spot).is_none_or(|owner| owner == self.judge.owner) {
                self.known.set(spot, claim.clone());
            }
        }
        for (place, outcome) in places.into_iter().zip(self.make(&items).await) {
            results[place] = Some(outcome);
        }
        self.sweep(&items).await;
        results.into_iter().map(|result| result.unwrap_or_else(|| Err(self.session.words().too_late()))).collect()
    }

    async fn make(&mut self, items: &[Item]) -> Vec<Outcome> {
        let mut seen = match self.look(items).await {
            Ok(seen) => seen.into_iter(),
            Err(error) => return vec![Err(error); items.len()],
        };
        let takes = |item: &Item| {
            let strings = item.claim.iter().flat_map(Claim::strings).map(|string| string.len()).sum::<usize>();
            Room { steps: 1, bytes: OVERHEAD + 2 * strings }
        };
        let (mut results, mut hopeless) = (Vec::with_capacity(items.len()), None);
        for chunk in chunks(items, ROOM, takes) {
            let seen: Vec<_> = seen.by_ref().take(chunk.len()).collect();
            // Where the server is away, or lets us do nothing, the others need not be tried.
            let made = match &hopeless {
                Some(error) => vec![Err(RegistryError::clone(error)); chunk.len()],
                None => self.chunk(chunk, seen).await,
            };
            if made.iter().all(|result| result.as_ref().is_err_and(is_in_common)) {
                hopeless = made.first().and_then(|result| result.clone().err());
            }
            results.extend(made);
        }
        results
    }

    /// Makes some writes in one update, or each alone where that fails.
    async fn chunk(&mut self, items: &[Item], mut seen: Vec<Seen>) -> Vec<Outcome> {
        for again in [true, false] {
            match self.update(items, &seen).await {
                Ok(results) => return results,
                // One that is refused may be refused for its own name.
                Err(Failure::Other(error)) if is_away(&error) || items.len() == 1 => {
                    return self.failed(items, &seen, &error);
                }
                Err(Failure::Conflict { .. }) if again => match self.look(items).await {
                    Ok(fresh) => seen = fresh,
                    Err(error) => return self.failed(items, &seen, &error),
                },
                Err(_) => break,
            }
        }
        let mut results: Vec<Outcome> = Vec::with_capacity(items.len());
        for (item, seen) in items.iter().zip(seen) {
            let result = match results.last() {
                Some(Err(error)) if is_away(error) => Err(error.clone()),
                _ => self.alone(item, seen).await,
            };
            results.push(result);
        }
        results
    }

    async fn alone(&mut self, item: &Item, mut seen: Seen) -> Outcome {
        let one = std::slice::from_ref(item);
        let mut blocked = false;
        for _ in 0..TRIES {
            match self.update(one, std::slice::from_ref(&seen)).await {
                Ok(results) => return results.into_iter().next().unwrap_or(Ok(())),
                Err(Failure::Other(error)) => return self.fail(item, &seen, error),
                Err(Failure::Conflict { is_there }) => blocked = is_there,
            }
            match self.look(one).await {
                Ok(fresh) => seen = fresh.into_iter().next().unwrap_or_default(),
                Err(error) => return self.fail(item, &seen, error),
            }
        }
        let names = self.judge.names;
        let error = if blocked {
            let shared = format!("{}.{}", item.spot.name, names.zone_text());
            RegistryError::service(format!(
                "another program has records at {shared} or at {}, and they stay as they are; give the service another \
                 name (SERVICE_NAME), or remove them",
                names.key(&item.spot)
            ))
        } else {
            RegistryError::Unreachable(format!("{} is being changed by others all the time", names.key(&item.spot)))
        };
        self.fail(item, &seen, error)
    }

    fn failed(&mut self, items: &[Item], seen: &[Seen], error: &RegistryError) -> Vec<Outcome> {
        items.iter().zip(seen).map(|(item, seen)| self.fail(item, seen, error.clone())).collect()
    }

    /// What was there is still there.
    fn fail(&mut self, item: &Item, seen: &Seen, error: RegistryError) -> Outcome {
        self.known.set(&item.spot, seen.claim());
        Err(error)
    }

    /// What stands at the names of writes, in order.
    async fn look(&self, items: &[Item]) -> Result<Vec<Seen>, RegistryError> {
        let names = self.judge.names;
        let labels: BTreeSet<_> = items.iter().map(|item| item.spot.name.as_str()).collect();
        let own = items.iter().map(|item| names.own(&item.spot));
        let asked = own.chain(labels.iter().map(|label| names.shared(label))).map(|name| (name, RecordType::TXT));
        let mut found = sets(self.session, asked.collect()).await?;
        if found.iter().any(|answer| answer.is_oversized) {
            return Err(RegistryError::server(format!("{} cannot tell what is there", self.session.words().place())));
        }
        let data = |records: Vec<Record>| records.into_iter().map(|record| record.data).collect::<Vec<RData>>();
        let marks = found.split_off(items.len()).into_iter().map(|answer| data(answer.records));
        let marks: HashMap<_, _> = labels.into_iter().zip(marks).collect();
        let seen = items.iter().zip(found).map(|(item, answer)| Seen {
            own: data(answer.records),
            shared: marks.get(item.spot.name.as_str()).cloned().unwrap_or_default(),
        });
        Ok(seen.collect())
    }

    /// Makes writes in one update. Those that need none have their result.
    async fn update(&mut self, items: &[Item], seen: &[Seen]) -> Result<Vec<Outcome>, Failure> {
        let (mut all, mut results) = (Change::default(), Vec::with_capacity(items.len()));
        let mut pointed = Vec::new();
        for (place, (item, seen)) in items.iter().zip(seen).enumerate() {
            match self.judge.decide(item, seen, self.known) {
                Decision::Done(result) => {
                    self.known.set(&item.spot, seen.claim());
                    results.push(result);
                }
                Decision::Change(change) => {
                    if !change.after.is_empty() {
                        pointed.push(place);
                    }
                    all.update.join(change.update);
                    all.before.extend(change.before);
                    all.after.extend(change.after);
                    results.push(Ok(()));
                }
            }
        }
        self.pointers(all.before, false).await.map_err(Failure::Other)?;
        if !all.update.is_empty() {
            self.send(&all.update, &self.judge.names.zone).await?;
        }
        if let Err(error) = self.pointers(all.after, true).await {
            for place in pointed {
                results[place] = Err(error.clone());
            }
        }
        Ok(results)
    }

    /// Adds or deletes reverse names, each in its zone.
    async fn pointers(&self, pointers: Vec<(Name, Record)>, add: bool) -> Outcome {
        let mut zones = HashMap::<Name, Update>::new();
        for (zone, record) in pointers {
            let update = zones.entry(zone).or_default();
            if add { update.add(record) } else { update.delete(record) }
        }
        for (zone, update) in zones {
            self.send(&update, &zone).await.map_err(|failure| match failure {
                Failure::Other(error) => error,
                Failure::Conflict { .. } => self.session.words().of_question(ResponseCode::NXDomain),
            })?;
        }
        Ok(())
    }

    async fn send(&self, update: &Update, zone: &Name) -> Result<(), Failure> {
        let words = self.session.words();
        let answer = self.session.ask(update.message(zone)).await;
        let answer = answer.map_err(|fault| Failure::Other(words.of_fault(&fault)))?;
        match answer.response_code {
            ResponseCode::NoError => {
                if *zone == self.judge.names.zone {
                    (self.updates)();
                }
                Ok(())
            }
            ResponseCode::YXDomain | ResponseCode::YXRRSet => Err(Failure::Conflict { is_there: true }),
            ResponseCode::NXDomain | ResponseCode::NXRRSet => Err(Failure::Conflict { is_there: false }),
            code => {
                let shown = zone.to_ascii();
                Err(Failure::Other(words.of_code(code, shown.trim_end_matches('.'))))
            }
        }
    }

    /// Removes what no entry needs any more. What stays of it does no harm, and goes another time.
    async fn sweep(&self, items: &[Item]) {
        let removed = items.iter().filter(|item| item.claim.is_none());
        let names: BTreeSet<_> =
            removed.map(|item| item.spot.name.as_str()).filter(|name| !self.known.has_name(name)).collect();
        let mut updates: Vec<_> = names.iter().map(|name| self.judge.unmark(name)).collect();
        if !items.is_empty() && !self.known.has_owner(self.judge.owner) {
            updates.push(self.judge.leave());
        }
        for some in updates.chunks(ROOM.steps) {
            let mut joined = Update::default();
            some.iter().cloned().for_each(|update| joined.join(update));
            match self.send(&joined, &self.judge.names.zone).await {
                Err(Failure::Conflict { .. }) if some.len() > 1 => {
                    join_all(some.iter().map(|update| self.send(update, &self.judge.names.zone))).await;
                }
                Err(Failure::Other(error)) if is_in_common(&error) => return,
                _ => {}
            }
        }
    }
}

/// Whether nobody can be served now.
fn is_away(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Unreachable(_))
}

/// Whether the neighbours of a write fail for the same cause.
fn is_in_common(error: &RegistryError) -> bool {
    matches!(error, RegistryError::Unreachable(_) | RegistryError::Refused { cause: Cause::Rights, .. })
}
