//! Entries for the reconciler: reads them, takes over those of dead instances, and determines their owners.

use std::sync::Arc;

use crate::registry::{Entry, Marked, RegistryError, Scope};

use super::engine::{Engine, State};
use super::key::{Desired, Known, Ownership, fingerprint};
use super::{leases, read, write};

/// All entries or, if that is much less, ours and those at the scope's keys.
pub(super) async fn entries(engine: &Engine, scope: &Scope) -> Result<Vec<Entry>, RegistryError> {
    let started = {
        let state = engine.state();
        (state.writing == 0).then_some(state.started)
    };
    let part = match &scope.keys {
        Some(keys) => read::part(engine, keys).await?,
        None => None,
    };
    let mut contents = match &part {
        Some(part) => read::some(engine, part, scope.contents).await?,
        None => read::everything(engine, scope.contents).await?,
    };
    if !scope.looks {
        leases::inherit(engine).await?;
    }
    let (entries, left) = {
        let state = engine.state();
        let keys: Vec<(&str, &Known)> = match &part {
            Some(part) => {
                let known = |key: &String| state.keys.get_key_value(key.as_str());
                part.keys.iter().filter_map(known).map(|(key, known)| (&**key, &**known)).collect()
            }
            None => state.keys.iter().map(|(key, known)| (&**key, &**known)).collect(),
        };
        let entries = keys
            .iter()
            .filter_map(|(key, known)| {
                entry(engine, &state, key, known).map(|entry| {
                    let content = contents.remove(&*entry.key);
                    Entry { content, ..entry }
                })
            })
            .collect();
        // If no write was in progress, a claim of ours without an entry is left over from a crash.
        let quiet = started == Some(state.started);
        let left = keys.iter().filter(|(_, known)| quiet && state.instances.left_behind(known));
        let left: Vec<_> = left.map(|(key, _)| ((*key).to_owned(), Desired::Absent)).collect();
        (entries, left)
    };
    if !left.is_empty() && !scope.looks {
        write::make(engine, &left).await;
    }
    engine.concerns.notify_one();
    Ok(entries)
}

fn entry(engine: &Engine, state: &State, key: &str, known: &Known) -> Option<Entry> {
    let by_key = engine.layout.service_id(key)?;
    let seen = known.entry.as_ref()?;
    let claim = known.claimed();
    let owner = match state.instances.ownership(known) {
        Ownership::Free => None,
        Ownership::Ours | Ownership::Inherited(_) => Some(Arc::clone(&state.instances.owner)),
        Ownership::Foreign(owner) => Some(owner),
    };
    Some(Entry {
        key: key.into(),
        service_id: claim.map_or_else(|| by_key.into(), |claim| Arc::clone(&claim.id)),
        owner,
        fingerprint: fingerprint(seen.content, seen.ttl, claim.is_some()),
        marked: Marked::No,
        critical: false,
        content: None,
    })
}
