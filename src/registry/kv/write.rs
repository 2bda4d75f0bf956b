//! Grants wishes: writes what is to be, and begins again where another hand was in between.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::{StreamExt, stream};

use crate::registry::text::one_line;
use crate::registry::{Action, RegistryError, Write};
use crate::service::Service;

use super::records::Claim;
use super::slot::{Next, Slot, Wish, next};
use super::store::Applied;
use super::{Engine, busy};

/// How often a write is begun again when another hand was in between.
const TRIES: usize = 5;
/// How many keys are read at once.
const CONCURRENCY: usize = 32;

/// What became of a wish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Granted {
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
    /// Makes writes, with a result for each.
    pub(super) async fn apply(&self, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
        let puts = writes.iter().any(|write| matches!(write.action, Action::Put(_)));
        let seat = match &self.records {
            Some(_) if puts => self.seat().await.map(Some).map_err(whole),
            _ => Ok(None),
        };
        let owner = Arc::clone(&self.state().company.owner);
        let wish = |write: &Write| match &write.action {
            Action::Put(service) => {
                if service.name.is_empty() || service.id.is_empty() {
                    return Err(Err(RegistryError::service("it has no name, or no ID")));
                }
                let seat = seat.as_ref().map_err(|error| Err(error.clone()))?;
                let claim = seat.as_ref().map(|seat| Claim {
                    owner: Arc::clone(&owner),
                    seat: Arc::clone(seat),
                    id: Arc::clone(&service.id),
                });
                Ok((self.layout.key(service), Wish::Put { value: self.layout.value(service), ttl: service.ttl, claim }))
            }
            Action::Remove(entry) => Ok((entry.key.to_string(), Wish::Gone)),
            Action::Mark(..) | Action::Unmark(_) => Err(Ok(())),
        };
        let (mut wishes, mut settled) = (Vec::new(), Vec::with_capacity(writes.len()));
        for write in writes {
            match wish(write) {
                Ok(wish) => {
                    wishes.push(wish);
                    settled.push(None);
                }
                Err(result) => settled.push(Some(result)),
            }
        }
        let mut granted = self.write(&wishes).await.into_iter();
        let results = writes.iter().zip(settled).map(|(write, settled)| match settled {
            Some(result) => result,
            None => match (granted.next().unwrap_or_else(|| Err(busy(&write.key)))?, &write.action) {
                (Granted::Refused(owner), Action::Put(service)) => {
                    let (key, owner) = (one_line(&self.layout.key(service), 300), one_line(&owner, 300));
                    Err(RegistryError::Taken(format!("{key} belongs to the owner {owner}")))
                }
                // One that has become another's is no longer ours to remove: that is what was asked.
                (Granted::Done | Granted::Refused(_), _) => Ok(()),
            },
        });
        results.collect()
    }

    /// Grants wishes, each for another key, with a result for each.
    pub(super) async fn write(&self, wishes: &[(String, Wish)]) -> Vec<Result<Granted, RegistryError>> {
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
                let slot = state.slots.get(key.as_str()).map_or(&unknown, |slot| &**slot);
                match next(key, claim_key.as_deref(), slot, &state.company, wish) {
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

    pub(super) async fn refresh(&self, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
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

/// That we are refused altogether is no reason to give up a single service.
fn whole(error: RegistryError) -> RegistryError {
    match error {
        RegistryError::Refused { text, .. } | RegistryError::Taken(text) => RegistryError::Unreachable(text),
        RegistryError::Unreachable(_) => error,
    }
}
