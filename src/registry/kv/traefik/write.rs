//! Writes offers with the keys that they ask for, many at once, and starts again where another host was faster.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use registrator_traefik::object_of;

use crate::registry::kv::engine::busy;
use crate::registry::kv::key::Instances;
use crate::registry::kv::leases;
use crate::registry::kv::store::{Applied, Operation, Transaction};
use crate::registry::text::one_line;
use crate::registry::{Action, RegistryError, Write};
use crate::service::Service;

use super::tree::Steps;
use super::{Offer, Shared, is_server, read};

/// How often a write is started again because another host was faster.
const TRIES: usize = 8;

/// One offer to be stored, or removed.
pub(super) struct Job {
    key: String,
    offer: Option<Arc<Offer>>,
    /// How often another host was faster.
    conflicts: usize,
    result: Option<Result<(), RegistryError>>,
}

impl Job {
    fn new(key: String, offer: Option<Arc<Offer>>) -> Self {
        Self { key, offer, conflicts: 0, result: None }
    }

    /// Removes what is at this key.
    pub(super) fn removal(key: String) -> Self {
        Self::new(key, None)
    }

    fn fail(&mut self, error: RegistryError) {
        self.result.get_or_insert(Err(error));
    }
}

/// Makes writes, with one result each.
pub(super) async fn apply(shared: &Shared, writes: &[Write]) -> Vec<Result<(), RegistryError>> {
    let puts = writes.iter().any(|write| matches!(write.action, Action::Put(_)));
    let lease = if puts { leases::any(&shared.engine).await.map(Some) } else { Ok(None) };
    let job = |write: &Write| match (&write.action, &lease) {
        (Action::Put(service), _) if service.id.is_empty() => Err(Err(RegistryError::service("it has no ID"))),
        (Action::Put(_), Err(error)) => Err(Err(error.clone())),
        (Action::Put(service), Ok(lease)) => {
            let lease = lease.clone().unwrap_or_default();
            Ok(Job::new(shared.key(service), Some(Arc::new(Offer { lease, ..shared.offer(service) }))))
        }
        (Action::Remove(entry), _) => Ok(Job::removal(entry.key.to_string())),
        (Action::Mark(..) | Action::Unmark(_), _) => Err(Ok(())),
    };
    let (mut jobs, mut settled) = (Vec::new(), Vec::with_capacity(writes.len()));
    for write in writes {
        settled.push(job(write).map(|job| jobs.push(job)).err());
    }
    let _turn = shared.turns.acquire().await;
    let mut made = make(shared, jobs).await.into_iter();
    read::report(shared);
    let mut next = |write: &Write| made.next().unwrap_or_else(|| Err(busy(&write.key)));
    writes.iter().zip(settled).map(|(write, settled)| settled.unwrap_or_else(|| next(write))).collect()
}

/// Does jobs for different keys, with one result each. Whoever calls has the turn.
pub(super) async fn make(shared: &Shared, mut jobs: Vec<Job>) -> Vec<Result<(), RegistryError>> {
    let mut fresh = false;
    let mut known = shared.state().is_known;
    while jobs.iter().any(|job| job.result.is_none()) {
        if !known {
            if let Err(error) = read::everything(shared).await {
                jobs.iter_mut().for_each(|job| job.fail(error.clone()));
                break;
            }
            fresh = true;
        }
        let batch = batch(shared, &mut jobs, fresh);
        if batch.is_empty() {
            // The store is always asked before a write counts as done that needs nothing.
            known = fresh;
            if fresh && jobs.iter().all(|job| job.result.is_none()) {
                jobs.iter_mut().for_each(|job| job.fail(busy(&job.key.clone())));
            }
            continue;
        }
        let transactions: Vec<Transaction> = batch.iter().map(|(_, steps)| steps.steps.clone()).collect();
        // Until the answers are here, nobody knows what the store holds.
        shared.state().is_known = false;
        let applied = shared.engine.store.apply(&transactions).await;
        known = true;
        for ((index, steps), applied) in batch.iter().zip(applied) {
            let job = &mut jobs[*index];
            match applied {
                Ok(Applied::Done(versions)) => {
                    shared.state().tree.made(&shared.root, steps, &versions);
                    if !steps.more {
                        job.result = Some(Ok(()));
                    }
                }
                Ok(Applied::Conflict) => {
                    known = false;
                    job.conflicts += 1;
                    if job.conflicts > TRIES {
                        job.fail(busy(&job.key.clone()));
                    }
                }
                Err(error) => {
                    known = false;
                    job.fail(error);
                }
            }
        }
        shared.state().is_known = known;
    }
    shared.state().is_known = known;
    jobs.into_iter().map(|job| job.result.unwrap_or_else(|| Err(busy(&job.key)))).collect()
}

/// The next transactions, no two of which touch one key, or an object that one of them changes. With fresh knowledge, jobs that need none are done.
fn batch(shared: &Shared, jobs: &mut [Job], fresh: bool) -> Vec<(usize, Steps)> {
    let mut state = shared.state();
    let instances = &shared.engine.state().instances;
    let (mut touched, mut changed) = (BTreeSet::new(), BTreeSet::new());
    let prefix = format!("{}/", shared.root);
    let mut batch = Vec::new();
    for (index, job) in jobs.iter_mut().enumerate().filter(|(_, job)| job.result.is_none()) {
        // Two instances of one owner do not take each other's parts.
        if let Some(held) = state.tree.offers.get(&job.key).filter(|held| is_anothers(&held.offer, instances)) {
            let owner = one_line(&held.offer.owner, 300);
            job.fail(RegistryError::Taken(format!("it belongs to another instance of the owner {owner}")));
            continue;
        }
        let steps = state.tree.steps(&shared.root, &job.key, job.offer.as_ref(), instances);
        if steps.steps.is_empty() {
            if fresh {
                job.result = Some(Ok(()));
            }
            continue;
        }
        let is_touched = steps.steps.iter().any(|step| touched.contains(&step.key));
        if is_touched || state.tree.objects(&job.key, job.offer.as_ref()).any(|object| changed.contains(object)) {
            continue;
        }
        touched.extend(steps.steps.iter().map(|step| step.key.clone()));
        let changing = steps.steps.iter().filter(|step| step.operation != Operation::Check);
        changed.extend(changing.filter_map(|step| object_of(step.key.strip_prefix(&prefix)?)));
        state.tree.expect(&job.key, &steps);
        batch.push((index, steps));
    }
    batch
}

/// Whether an offer is of our owner's name, and of another instance, which lives.
fn is_anothers(offer: &Offer, instances: &Instances) -> bool {
    let lives = instances.alive.contains_key(&*offer.lease);
    offer.owner == instances.owner && lives && !instances.ours.contains(&offer.lease)
}

/// Gives a sign of life of the servers of services, with one result each.
pub(super) async fn refresh(shared: &Shared, services: &[Arc<Service>]) -> Vec<Result<(), RegistryError>> {
    let mut keys = Vec::new();
    let mut of_service: Vec<std::ops::Range<usize>> = Vec::with_capacity(services.len());
    for service in services {
        let from = keys.len();
        let offer = shared.offer(service);
        let servers = offer.objects.iter().filter(|(object, _)| is_server(object)).flat_map(|(_, keys)| keys.keys());
        keys.extend(servers.map(|key| (format!("{}/{key}", shared.root), offer.ttl)));
        of_service.push(from..keys.len());
    }
    let renewed = if keys.is_empty() { Vec::new() } else { shared.engine.store.renew(&keys).await };
    let lost = BTreeMap::from_iter(
        renewed.into_iter().enumerate().filter_map(|(index, renewed)| Some((index, renewed.err()?))),
    );
    of_service
        .into_iter()
        .map(|range| lost.range(range).next().map_or(Ok(()), |(_, error)| Err(error.clone())))
        .collect()
}
