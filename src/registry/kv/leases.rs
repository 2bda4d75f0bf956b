//! Leases: each instance holds one while it lives.
//!
//! The lease's key holds the ID of the instance's run, and expires unless it is renewed. Claims name leases, not runs:
//! a restarted instance takes over the lease of its dead predecessor, with all entries, by writing one key.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;
use tracing::debug;

use crate::registry::RegistryError;

use super::claims::{InstanceLease, read, written};
use super::engine::{Engine, State, busy, token};
use super::key::Ownership;
use super::store::{Applied, Condition, Operation, Step};

/// The TTL of a lease. A dead instance's entries are taken over after this time. It allows a cluster to elect a leader;
/// a Consul session needs at least 10 s.
const TTL: Duration = Duration::from_secs(12);
/// How often leases are renewed; two renewals may fail.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// The pause after a failed renewal.
const RETRY: Duration = Duration::from_secs(1);

/// A lease that we hold; takes a new one if there is none.
pub(super) async fn any(engine: &Engine) -> Result<Arc<str>, RegistryError> {
    let held = engine.state().instances.ours.first().cloned();
    if let Some(lease) = held {
        return Ok(lease);
    }
    let lease: Arc<str> = token().into();
    if take(engine, &lease).await? { Ok(lease) } else { Err(busy(&lease)) }
}

/// Takes a lease, unless another instance holds it. Returns whether we hold it now.
pub(super) async fn take(engine: &Engine, lease: &str) -> Result<bool, RegistryError> {
    let Some(claims) = &engine.claims else { return Ok(false) };
    let key = claims.alive(lease);
    let ours = InstanceLease { owner: engine.state().instances.owner.to_string(), run: engine.run.clone() };
    let operation = Operation::Put { value: written(&ours), ttl: Some(TTL) };
    let transaction = vec![Step { key: key.clone(), condition: Condition::Absent, operation }];
    let applied = engine.store.apply(&[transaction]).await.pop().unwrap_or_else(|| Err(busy(&key)))?;
    let holder = match applied {
        Applied::Done(_) => Some(ours),
        Applied::Conflict => engine.store.get(&key).await?.and_then(|stored| read(&stored.value)),
    };
    let mut state = engine.state();
    let is_ours = holder.as_ref().is_some_and(|holder| holder.run == engine.run);
    if is_ours {
        state.instances.ours.insert(lease.into());
    } else {
        state.instances.ours.remove(lease);
    }
    if let Some(holder) = holder {
        state.instances.alive.insert(lease.to_owned(), holder);
    }
    Ok(is_ours)
}

/// Takes the leases of our owner's dead instances.
pub(super) async fn inherit(engine: &Engine) -> Result<(), RegistryError> {
    let leases: BTreeSet<_> = {
        let State { keys, instances, .. } = &*engine.state();
        keys.values()
            .filter_map(|known| match instances.ownership(known) {
                Ownership::Inherited(lease) => Some(lease),
                _ => None,
            })
            .collect()
    };
    for lease in leases {
        take(engine, &lease).await?;
    }
    Ok(())
}

/// Releases all leases, so that the next run need not wait until they expire.
pub(super) async fn release(engine: &Engine) {
    let Some(claims) = &engine.claims else { return };
    let leases = std::mem::take(&mut engine.state().instances.ours);
    let released = leases.iter().map(async |lease| {
        let key = claims.alive(lease);
        let Ok(Some(stored)) = engine.store.get(&key).await else { return };
        if read::<InstanceLease>(&stored.value).is_some_and(|holder| holder.run == engine.run) {
            let step = Step { key, condition: Condition::At(stored.version), operation: Operation::Delete };
            // If this fails, the lease expires.
            engine.store.apply(&[vec![step]]).await;
        }
    });
    join_all(released).await;
}

/// The keep-alive task of our leases. Never returns.
pub(super) async fn keep_alive(engine: &Engine) {
    loop {
        let pause = if renew(engine).await { KEEP_ALIVE } else { RETRY };
        sleep(pause).await;
    }
}

/// Renews all our leases. Returns false if one could not be renewed.
async fn renew(engine: &Engine) -> bool {
    let Some(claims) = &engine.claims else { return true };
    let leases: Vec<_> = engine.state().instances.ours.iter().cloned().collect();
    if leases.is_empty() {
        return true;
    }
    let keys: Vec<_> = leases.iter().map(|lease| (claims.alive(lease), TTL)).collect();
    let mut well = true;
    for (lease, renewed) in leases.iter().zip(engine.store.renew(&keys).await) {
        match renewed {
            Ok(()) => {}
            Err(RegistryError::Unreachable(reason)) => {
                debug!("the lease {lease} cannot be renewed: {reason}");
                well = false;
            }
            // It expired, or an external writer removed it.
            Err(RegistryError::Refused { .. } | RegistryError::Taken(_)) => match take(engine, lease).await {
                Ok(true) => engine.notifier.notify_one(),
                Ok(false) => {
                    let text = "another instance of this owner has taken over the entries written by this one: give \
                                each its own -owner";
                    engine.reporter.warn("taken_over", text.to_owned());
                    engine.notifier.notify_one();
                }
                Err(_) => well = false,
            },
        }
    }
    well
}
