//! Reads the store's content, and remembers it.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tokio::time::Instant;

use crate::registry::{Content, RegistryError};

use super::claims::{Claim, InstanceLease, read};
use super::engine::{Engine, State};
use super::key::{Known, Ownership, Seen};
use super::store::Stored;

/// The content of entries, by key.
pub(super) type Contents = HashMap<String, Box<Content>>;

/// Reads and remembers everything. Returns the content of entries without an owner, or of all.
///
/// Leases are written before claims, and claims before entries; they are removed in the reverse order. Reading in the
/// order of removal ensures that an owned entry never seems to have no owner, and a held lease never seems free.
pub(super) async fn everything(engine: &Engine, all_contents: bool) -> Result<Contents, RegistryError> {
    let entries = engine.store.list(&format!("{}/", engine.layout.root())).await?;
    let (claims, leases) = match &engine.claims {
        None => (Vec::new(), Vec::new()),
        Some(keys) => {
            let claims = engine.store.list(&keys.all_claims()).await?;
            (claims, engine.store.list(&keys.all_leases()).await?)
        }
    };
    let state = &mut *engine.state();
    for known in state.keys.values_mut() {
        **known = Known { written: known.written, wanted: known.wanted, ..Known::default() };
    }
    if let Some(keys) = &engine.claims {
        for stored in claims {
            let key = keys.entry(&stored.key).filter(|key| engine.layout.service_id(key).is_some());
            if let Some(key) = key {
                let claim = state.shared(Seen::claim(&stored));
                state.keys.entry(key.into()).or_default().claim = Some(claim);
            }
        }
        let alive = leases.iter().filter_map(|stored| {
            let holder: InstanceLease = read(&stored.value)?;
            Some((keys.lease(&stored.key)?.to_owned(), holder))
        });
        state.instances.alive = alive.collect();
    }
    let mut contents = Contents::new();
    for stored in entries {
        if engine.layout.service_id(&stored.key).is_none() {
            continue;
        }
        let seen = Seen::entry(&stored);
        let known = match state.keys.get_mut(stored.key.as_str()) {
            Some(known) => known,
            None => state.keys.entry(stored.key.as_str().into()).or_default(),
        };
        known.entry = Some(seen);
        if all_contents || state.instances.ownership(known) == Ownership::Free {
            contents.extend(content(engine, stored));
        }
    }
    state.keys.retain(|_, known| known.entry.is_some() || known.claim.is_some() || known.wanted);
    state.in_doubt.clear();
    let ours = state.keys.values().filter(|known| state.instances.is_ours(known)).count();
    counted(state, state.keys.len() - ours, ours);
    Ok(contents)
}

fn content(engine: &Engine, Stored { key, value, .. }: Stored) -> Option<(String, Box<Content>)> {
    let content = engine.layout.content(&key, &value)?;
    Some((key, Box::new(content)))
}

/// What is read instead of everything.
pub(super) struct Part {
    pub(super) keys: Vec<String>,
    /// Every key that carries our owner's name is among them, whoever wrote it.
    counted: bool,
}

/// What to read instead of everything, where that is less: these keys, and those that are or may be ours.
pub(super) async fn part(engine: &Engine, wanted: &[Arc<str>]) -> Result<Option<Part>, RegistryError> {
    let census = {
        let mut state = engine.state();
        state.now_wanted(wanted);
        state.census
    };
    if census.is_done() && census.reads_everything(wanted.len()) {
        return Ok(None);
    }
    let counted = census.is_due(Instant::now());
    if counted {
        count(engine).await?;
    }
    let state = engine.state();
    let known = state.keys.iter();
    let ours = known.filter(|(_, known)| known.wanted || known.written || state.instances.is_of_our_name(known));
    let keys: BTreeSet<_> = ours.map(|(key, _)| &**key).chain(state.in_doubt.iter().map(String::as_str)).collect();
    let keys: Vec<_> = keys.into_iter().map(str::to_owned).collect();
    Ok((!state.census.reads_everything(keys.len())).then_some(Part { keys, counted }))
}

/// Counts how many entries are others', and finds those that carry our owner's name at keys that we know nothing of.
async fn count(engine: &Engine) -> Result<(), RegistryError> {
    let listed = match &engine.claims {
        Some(keys) => engine.store.list(&keys.all_claims()).await?,
        // Nothing tells whose an entry is.
        None => engine.store.list(&format!("{}/", engine.layout.root())).await?,
    };
    let state = &mut *engine.state();
    let owner = &state.instances.owner;
    let of_our_name = |stored: &Stored| match &engine.claims {
        Some(keys) => {
            let key = keys.entry(&stored.key).filter(|key| engine.layout.service_id(key).is_some())?;
            (read::<Claim>(&stored.value)?.owner == *owner).then_some(key)
        }
        None => state.keys.get(&*stored.key).filter(|known| known.written).map(|_| stored.key.clone()),
    };
    let found: Vec<_> = listed.iter().filter_map(of_our_name).collect();
    counted(state, listed.len() - found.len(), found.len());
    state.in_doubt.extend(found);
    Ok(())
}

fn counted(state: &mut State, others: usize, ours: usize) {
    state.census.counted(others, ours, Instant::now(), fastrand::f64());
}

/// [`everything`] for a part of the keys, in the same order.
pub(super) async fn some(engine: &Engine, part: &Part, all_contents: bool) -> Result<Contents, RegistryError> {
    let keys = part.keys.as_slice();
    let entries = engine.store.get_all(keys).await?;
    let mut claims: Vec<Option<Seen<_>>> = vec![None; keys.len()];
    let mut leases = Vec::new();
    if let Some(spelling) = &engine.claims {
        let claim_keys: Vec<_> = keys.iter().map(|key| spelling.claim(key)).collect();
        let stored = engine.store.get_all(&claim_keys).await?;
        claims = stored.iter().map(|stored| stored.as_ref().map(Seen::claim)).collect();
        let named = claims.iter().flatten().filter_map(|seen| Some(Arc::clone(&seen.content.as_ref()?.lease)));
        let named: Vec<_> = named.collect::<BTreeSet<_>>().into_iter().collect();
        let lease_keys: Vec<_> = named.iter().map(|lease| spelling.alive(lease)).collect();
        let stored = engine.store.get_all(&lease_keys).await?;
        leases = named.into_iter().zip(stored).collect();
    }
    let state = &mut *engine.state();
    for (lease, stored) in leases {
        state.saw_lease(&lease, stored.as_ref());
    }
    let mut contents = Contents::new();
    for ((key, entry), claim) in keys.iter().zip(entries).zip(claims) {
        state.saw(key, entry.as_ref().map(Seen::entry), claim);
        let is_free = |known: &Known| state.instances.ownership(known) == Ownership::Free;
        if all_contents || state.keys.get(key.as_str()).is_some_and(|known| is_free(known)) {
            contents.extend(entry.and_then(|entry| content(engine, entry)));
        }
    }
    if part.counted {
        state.in_doubt.clear();
    }
    Ok(contents)
}

/// Reads one key again, with its claim.
pub(super) async fn key(engine: &Engine, key: &str) -> Result<(), RegistryError> {
    let entry = engine.store.get(key).await?;
    let claim = match &engine.claims {
        None => None,
        Some(keys) => engine.store.get(&keys.claim(key)).await?,
    };
    let claim = claim.as_ref().map(Seen::claim);
    let lease = claim.as_ref().and_then(|seen| Some(Arc::clone(&seen.content.as_ref()?.lease)));
    let holder = match (&engine.claims, &lease) {
        (Some(keys), Some(lease)) => engine.store.get(&keys.alive(lease)).await?,
        _ => None,
    };
    let mut state = engine.state();
    state.saw(key, entry.as_ref().map(Seen::entry), claim);
    if let Some(lease) = lease {
        state.saw_lease(&lease, holder.as_ref());
    }
    Ok(())
}
