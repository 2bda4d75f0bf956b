//! Reads the tree and the offers, and reports what is different from what was asked for.

use std::sync::Arc;

use crate::registry::RegistryError;
use crate::registry::kv::claims::{Claim, InstanceLease, read as parsed};
use crate::registry::kv::key::{Known, Seen};
use crate::registry::text::one_line;

use super::tree::{Conflict, Tree};
use super::{Offer, Shared, State};

/// How often the tree is read again because an offer changed meanwhile. Where that happens all the time, the conditions of
/// each write and the next comparison have to do.
const READS: usize = 4;
/// The most conflicts that are reported one by one.
const MOST_CONFLICTS: usize = 20;

/// Reads everything. The tree belongs to the offers that were read: a host changes it together with its offer, so it is
/// read again until no offer changed meanwhile. Leases are read last, as everywhere in this folder: what is held never
/// seems free.
pub(super) async fn everything(shared: &Shared) -> Result<(), RegistryError> {
    let Shared { engine, offers, root, .. } = shared;
    let Some(claims) = &engine.claims else {
        return Err(RegistryError::service("layout=traefik stores whose each part is: run without -owner-meta=false"));
    };
    let root = format!("{root}/");
    let list = async || {
        let mut held = engine.store.list(&offers.all()).await?;
        held.sort_by(|one, other| one.key.cmp(&other.key));
        Ok::<_, RegistryError>(held)
    };
    let mut held = list().await?;
    let mut keys = engine.store.list(&root).await?;
    for _ in 0..READS {
        let again = list().await?;
        let is_same = held.len() == again.len()
            && held.iter().zip(&again).all(|(one, other)| (&one.key, one.version) == (&other.key, other.version));
        if is_same {
            break;
        }
        held = again;
        keys = engine.store.list(&root).await?;
    }
    let alive = engine.store.list(&claims.all_leases()).await?;
    let below = keys.into_iter().filter_map(|stored| Some((stored.key.strip_prefix(&root)?.to_owned(), stored)));
    let held = held.into_iter().filter(|stored| offers.id(&stored.key).is_some());
    let tree = Tree::of(held.map(|stored| (stored.key.clone(), stored)).collect(), below.collect());
    {
        let state = &mut *engine.state();
        let alive = alive.iter().filter_map(|stored| {
            let holder: InstanceLease = parsed(&stored.value)?;
            Some((claims.lease(&stored.key)?.to_owned(), holder))
        });
        state.instances.alive = alive.collect();
        // What the leases' code wants to know of the offers.
        let known =
            tree.offers.iter().map(|(key, held)| (key.as_str().into(), Box::new(known(held.version, &held.offer))));
        state.keys = known.collect();
    }
    let mut state = shared.state();
    state.tree = tree;
    state.is_known = true;
    Ok(())
}

/// An offer as the leases' code sees it: an entry with its claim.
fn known(version: u64, offer: &Offer) -> Known {
    let Offer { owner, lease, id, .. } = offer;
    let claim = Claim { owner: Arc::clone(owner), lease: Arc::clone(lease), id: Arc::clone(id) };
    Known {
        entry: Some(Seen { version, ttl: None, content: 0 }),
        claim: Some(Seen { version, ttl: None, content: Some(claim) }),
        ..Known::default()
    }
}

/// Reports each conflict once.
pub(super) fn report(shared: &Shared) {
    let mut state = shared.state();
    let State { tree, reported, .. } = &mut *state;
    let instances = &shared.engine.state().instances;
    let ours = tree.offers.iter().filter(|(_, held)| held.offer.owner == shared.owner);
    let now = ours.flat_map(|(key, held)| {
        let conflicts = tree.conflicts(key, &held.offer, instances);
        conflicts.into_iter().map(|conflict| (Arc::clone(&held.offer.id), conflict))
    });
    let now: std::collections::BTreeSet<_> = now.collect();
    let new: Vec<_> = now.difference(reported).collect();
    for (id, conflict) in new.iter().take(MOST_CONFLICTS) {
        shared.engine.reporter.warn("traefik_conflict", format!("traefik: {}: {conflict}", one_line(id, 300)));
    }
    if let Some(more) = new.len().checked_sub(MOST_CONFLICTS).filter(|more| *more > 0) {
        let text = format!("traefik: {more} more objects are defined differently by other services; see explain");
        shared.engine.reporter.warn("traefik_conflict", text);
    }
    *reported = now;
}

impl std::fmt::Display for Conflict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [object, id, owner] = [&self.object, &self.id, &self.owner].map(|text| one_line(text, 200));
        write!(
            f,
            "{object} counts as {id} of the owner {owner} defines it, whose container is older; give one of them another name"
        )
    }
}
