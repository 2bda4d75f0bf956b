//! Writes keys as desired, and starts again if an external writer was faster.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::{StreamExt, stream};

use crate::registry::text::one_line;
use crate::registry::{Action, RegistryError, Write};
use crate::service::Service;

use super::claims::Claim;
use super::engine::{Engine, busy};
use super::key::{Desired, Known, Next, next};
use super::store::Applied;
use super::{leases, read};

/// How often a write is started again because an external writer was faster.
const TRIES: usize = 5;
/// How many keys are read at once.
const CONCURRENCY: usize = 32;

/// The result for a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is as desired.
    Done,
    /// It belongs to this other owner.
    Foreign(Arc<str>),
}

/// A key that is not yet as desired.
#[derive(Clone, Copy)]
struct Pending {
    index: usize,
    /// It was read since this write began.
    fresh: bool,
}

/// Makes writes, with one result each.
pub(super) async fn apply(engine: &Engine, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
    let puts = writes.iter().any(|write| matches!(write.action, Action::Put(_)));
    let lease = match &engine.claims {
        Some(_) if puts => leases::any(engine).await.map(Some),
        _ => Ok(None),
    };
    let owner = Arc::clone(&engine.state().instances.owner);
    let entry = |service: &Service| {
        if service.name.is_empty() || service.id.is_empty() {
            return Err(RegistryError::service("it has no name, or no ID"));
        }
        let lease = lease.as_ref().map_err(Clone::clone)?;
        let claim = lease.as_ref().map(|lease| Claim {
            owner: Arc::clone(&owner),
            lease: Arc::clone(lease),
            id: Arc::clone(&service.id),
        });
        let value = engine.layout.value(service);
        Ok((engine.layout.key(service), Desired::Entry { value, ttl: service.ttl, claim }))
    };
    let (mut desired, mut settled) = (Vec::new(), Vec::with_capacity(writes.len()));
    for write in writes {
        let next = match &write.action {
            Action::Put(service) => entry(service).map_err(Err),
            Action::Remove(entry) => Ok((entry.key.to_string(), Desired::Absent)),
            Action::Mark(..) | Action::Unmark(_) => Err(Ok(())),
        };
        settled.push(next.map(|next| desired.push(next)).err());
    }
    engine.state().are_wanted(&desired);
    let mut outcomes = make(engine, &desired).await.into_iter();
    engine.concerns.notify_one();
    let mut result = |write: &Write| match (outcomes.next().unwrap_or_else(|| Err(busy(&write.key)))?, &write.action) {
        (Outcome::Foreign(owner), Action::Put(service)) => {
            let (key, owner) = (one_line(&engine.layout.key(service), 300), one_line(&owner, 300));
            Err(RegistryError::Taken(format!("{key} belongs to the owner {owner}")))
        }
        // The entry now belongs to another owner, so nothing is left to remove.
        (Outcome::Done | Outcome::Foreign(_), _) => Ok(()),
    };
    writes.iter().zip(settled).map(|(write, settled)| settled.unwrap_or_else(|| result(write))).collect()
}

/// Writes different keys as desired, with one result each.
pub(super) async fn make(engine: &Engine, desired: &[(String, Desired)]) -> Vec<Result<Outcome, RegistryError>> {
    if desired.is_empty() {
        return Vec::new();
    }
    let counted = engine.state().census.is_done();
    if !counted && let Err(error) = read::everything(engine, false).await {
        return vec![Err(error); desired.len()];
    }
    let _writing = Writing::begin(engine);
    let mut results: Vec<_> = desired.iter().map(|(key, _)| Err(busy(key))).collect();
    let mut pending: Vec<_> = (0..desired.len()).map(|index| Pending { index, fresh: false }).collect();
    for _ in 0..TRIES {
        pending = round(engine, desired, &pending, &mut results).await;
        if pending.is_empty() {
            break;
        }
    }
    results
}

/// One round of transactions. Returns the keys that need another round.
async fn round(
    engine: &Engine,
    desired: &[(String, Desired)],
    pending: &[Pending],
    results: &mut [Result<Outcome, RegistryError>],
) -> Vec<Pending> {
    let mut again = Vec::new();
    let mut stale = Vec::new();
    let mut writes = Vec::new();
    let mut wanted = BTreeSet::new();
    {
        let state = engine.state();
        let unknown = Known::default();
        for &Pending { index, fresh } in pending {
            let (key, desired) = &desired[index];
            let claim_key = engine.claims.as_ref().map(|claims| claims.claim(key));
            let known = state.keys.get(key.as_str()).map_or(&unknown, |known| &**known);
            match next(key, claim_key.as_deref(), known, &state.instances, desired) {
                // The store is always asked before a write counts as done: memory may be out of date.
                Next::Nothing | Next::Foreign(_) if !fresh => stale.push(index),
                Next::Nothing => results[index] = Ok(Outcome::Done),
                Next::Foreign(owner) => results[index] = Ok(Outcome::Foreign(owner)),
                Next::Write(transaction) => writes.push((index, transaction)),
                Next::Take(lease) => {
                    wanted.insert(lease);
                    again.push(Pending { index, fresh });
                }
            }
        }
    }
    for lease in wanted {
        if let Err(error) = leases::take(engine, &lease).await {
            again.drain(..).for_each(|Pending { index, .. }| results[index] = Err(error.clone()));
        }
    }
    let (indices, transactions): (Vec<usize>, Vec<_>) = writes.into_iter().unzip();
    engine.state().in_doubt.extend(indices.iter().map(|&index| desired[index].0.clone()));
    let applied = if transactions.is_empty() { Vec::new() } else { engine.store.apply(&transactions).await };
    for ((index, transaction), applied) in indices.into_iter().zip(&transactions).zip(applied) {
        let (key, desired) = &desired[index];
        let mut state = engine.state();
        match applied {
            Ok(Applied::Done(versions)) => {
                state.wrote(key, desired, transaction, &versions);
                results[index] = Ok(Outcome::Done);
            }
            Ok(Applied::Conflict) => stale.push(index),
            Err(error) => {
                results[index] = Err(error);
                continue;
            }
        }
        state.in_doubt.remove(key);
    }
    let reread: Vec<_> = stream::iter(stale)
        .map(async |index: usize| (index, read::key(engine, &desired[index].0).await))
        .buffer_unordered(CONCURRENCY)
        .collect()
        .await;
    for (index, reread) in reread {
        match reread {
            Ok(()) => again.push(Pending { index, fresh: true }),
            Err(error) => results[index] = Err(error),
        }
    }
    again
}

/// Renews the TTLs of services, with one result each.
pub(super) async fn refresh(engine: &Engine, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
    let keys: Vec<_> = services.iter().filter_map(|service| Some((engine.layout.key(service), service.ttl?))).collect();
    let claims: Vec<_> =
        engine.claims.iter().flat_map(|claims| keys.iter().map(|(key, ttl)| (claims.claim(key), *ttl))).collect();
    // Claims after entries, because they should live longer.
    let mut renewed = engine.store.renew(&keys).await.into_iter();
    let claims = if claims.is_empty() { Vec::new() } else { engine.store.renew(&claims).await };
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

/// Counts a batch of writes while it is in progress, even if it is cancelled.
struct Writing<'a>(&'a Engine);

impl<'a> Writing<'a> {
    fn begin(engine: &'a Engine) -> Self {
        let mut state = engine.state();
        state.writing += 1;
        state.started += 1;
        Self(engine)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.state().writing -= 1;
    }
}
