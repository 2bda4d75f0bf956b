//! What the store holds of ours, as entries; and on the way, what the dead left is removed.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::registry::kv::key::Ownership;
use crate::registry::kv::leases;
use crate::registry::{Entry, Marked, RegistryError, Scope};

use super::offer::is_living;
use super::read::{everything, report};
use super::write::{self, Job};
use super::{Offer, Shared, State};

/// How long an instance of another owner is dead before its part of the tree is removed.
const GRACE: Duration = Duration::from_secs(30);
/// The most offers of the dead that are removed at once.
const MOST: usize = 200;

/// The leases of instances that were found dead, and since when.
pub(super) type Dead = HashMap<Arc<str>, Instant>;

/// The offers of our owner, as entries. One whose keys are not right differs from what was asked for.
pub(super) async fn entries(shared: &Shared, scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
    let _turn = shared.turns.acquire().await;
    everything(shared).await?;
    if !scope.looks {
        leases::inherit(&shared.engine).await?;
        bury(shared).await?;
        report(shared);
    }
    let state = shared.state();
    let known = shared.engine.state();
    let entries = state.tree.offers.iter().filter(|(_, held)| held.offer.owner == shared.owner).map(|(key, held)| {
        let offer = &held.offer;
        let owner = match known.keys.get(key.as_str()).map(|seen| known.instances.ownership(seen)) {
            Some(Ownership::Foreign(owner)) => owner,
            _ => Arc::clone(&shared.owner),
        };
        let right = state.tree.is_right(offer, &known.instances);
        let fingerprint = offer.fingerprint();
        Entry {
            key: key.as_str().into(),
            service_id: Arc::clone(&offer.id),
            owner: Some(owner),
            fingerprint: if right { fingerprint } else { !fingerprint },
            marked: Marked::No,
            critical: false,
            content: None,
        }
    });
    Ok(entries.collect())
}

/// Removes the parts of other owners' instances that are dead for a while. Their servers are gone already.
async fn bury(shared: &Shared) -> Result<(), RegistryError> {
    let jobs: Vec<Job> = {
        let mut state = shared.state();
        let known = shared.engine.state();
        let State { tree, dead, .. } = &mut *state;
        let now = Instant::now();
        let is_dead = |offer: &Offer| !is_living(offer, &known.instances);
        let mut found = Dead::new();
        let mut jobs = Vec::new();
        for (key, held) in tree.offers.iter().filter(|(_, held)| is_dead(&held.offer)) {
            let lease = &held.offer.lease;
            let since = *dead.get(lease).unwrap_or(&now);
            found.insert(Arc::clone(lease), since);
            if now.duration_since(since) >= GRACE.max(held.offer.ttl) && jobs.len() < MOST {
                jobs.push(Job::removal(key.clone()));
            }
        }
        *dead = found;
        jobs
    };
    if jobs.is_empty() {
        return Ok(());
    }
    let count = jobs.len();
    let results = write::make(shared, jobs).await;
    let removed = results.iter().filter(|result| result.is_ok()).count();
    if removed > 0 {
        let text = format!("traefik: the parts of {removed} services of hosts that are gone are removed");
        shared.engine.reporter.info("traefik_buried", text);
    }
    // What could not be removed is tried again at the next comparison.
    if removed < count { everything(shared).await } else { Ok(()) }
}
