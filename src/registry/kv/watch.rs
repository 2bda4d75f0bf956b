//! The watch task: hears of changes by external writers, reports those of our own keys at once and others' now and then.
//!
//! A host watches the keys that concern it: its own, those where its services belong, and the signs of life of other instances of its
//! owner. So what it is told does not grow with the fleet. Everything is watched where nearly all of it is ours, or where
//! it is little and watching single keys costs more.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::debug;

use super::claims::ClaimKeys;
use super::engine::{Engine, State};
use super::store::{Keys, StoreEvent};

/// The shortest time between two reports.
const PACE: Duration = Duration::from_secs(1);
/// The shortest time between two reports about others' keys: a key that we wait for may be free now.
const OTHERS_PACE: Duration = Duration::from_secs(30);
/// The pause before watching again after a failure.
const PAUSE: Duration = Duration::from_secs(2);
/// How long events are collected before they are examined: by then, our own writes are recognised.
const GATHER: Duration = Duration::from_millis(200);

/// Returns when an external writer may have changed something.
pub(super) async fn changed(engine: &Engine) {
    let reported = engine.state().reported;
    if let Some(reported) = reported {
        sleep_until(reported + PACE).await;
    }
    engine.notifier.notified().await;
    engine.state().reported = Some(Instant::now());
}

/// Watches, and wakes the callers of [`changed`]. Never returns.
pub(super) async fn watch(engine: Arc<Engine>) {
    let (report, events) = mpsc::unbounded_channel();
    let report = move |event| drop(report.send(event));
    let watching = async {
        // Before, nothing is known that could have changed.
        while !engine.state().census.is_done() {
            engine.concerns.notified().await;
        }
        tokio::join!(listen(&engine, &report), count_again(&engine));
    };
    tokio::join!(watching, judge(&engine, events));
}

/// Has the store watched: our own keys, or everything where that costs less.
async fn listen(engine: &Engine, report: &(dyn Fn(StoreEvent) + Send + Sync)) {
    // Claims are not watched: they are written together with entries, so each change would be reported twice.
    let entries = format!("{}/", engine.layout.root());
    let prefixes: Vec<_> = [entries].into_iter().chain(engine.claims.as_ref().map(ClaimKeys::all_leases)).collect();
    let (sender, mut keys) = watch::channel(Keys::default());
    loop {
        let everything = update(engine, &sender);
        let watching = async {
            if everything {
                engine.store.watch(&prefixes, report).await
            } else {
                engine.store.watch_keys(&mut keys, report).await
            }
        };
        let other_way = async {
            loop {
                engine.concerns.notified().await;
                sleep(GATHER).await;
                if update(engine, &sender) != everything {
                    return;
                }
            }
        };
        tokio::select! {
            reason = watching => {
                debug!("the store is not watched: {reason}");
                sleep(PAUSE).await;
            }
            () = other_way => {}
        }
    }
}

/// Decides whether everything is to be watched; if not, says which keys are.
fn update(engine: &Engine, sender: &watch::Sender<Keys>) -> bool {
    let state = engine.state();
    // Without claims, nothing says which keys are ours.
    let Some(claims) = &engine.claims else { return true };
    let concern = || state.keys.iter().filter(|(_, known)| state.instances.concerns(known));
    if state.census.watches_everything(concern().count(), !engine.store.hears_of_single_keys()) {
        return true;
    }
    // Other instances of our owner: what they hold is ours when they are dead.
    let of_others = state.keys.values().filter_map(|known| {
        let claim = known.claimed().filter(|claim| claim.owner == state.instances.owner)?;
        (!state.instances.ours.contains(&claim.lease)).then(|| claims.alive(&claim.lease))
    });
    let in_doubt = state.in_doubt.iter().cloned();
    let now: BTreeSet<_> = concern().map(|(key, _)| key.to_string()).chain(in_doubt).chain(of_others).collect();
    sender.send_if_modified(|keys| {
        let differ = **keys != now;
        if differ {
            *keys = Arc::new(now);
        }
        differ
    });
    false
}

/// Notifies whoever waits in [`changed`] when everything is to be counted again.
async fn count_again(engine: &Engine) {
    loop {
        let due = engine.state().census.due();
        match due {
            Some(due) if due > Instant::now() => sleep_until(due).await,
            _ => {
                engine.notifier.notify_one();
                sleep(OTHERS_PACE).await;
            }
        }
    }
}

/// Judges what was heard, and notifies whoever waits in [`changed`] of what concerns us.
async fn judge(engine: &Engine, mut events: mpsc::UnboundedReceiver<StoreEvent>) {
    let mut others: Option<Instant> = None;
    loop {
        let first = match others {
            None => events.recv().await,
            Some(due) => timeout_at(due, events.recv()).await.unwrap_or(None),
        };
        if others.is_some_and(|due| due <= Instant::now()) {
            others = None;
            engine.notifier.notify_one();
        }
        let Some(first) = first else { if events.is_closed() { return } else { continue } };
        sleep(GATHER).await;
        // Only the last event of each key matters.
        let mut latest = HashMap::new();
        let mut started = false;
        let mut note = |event| match event {
            StoreEvent::Started => started = true,
            StoreEvent::Seen { key, version, at } => drop(latest.insert(key, (version, at))),
        };
        note(first);
        while let Ok(more) = events.try_recv() {
            note(more);
        }
        let mut state = engine.state();
        let concerns: Vec<_> =
            latest.iter().map(|(key, (version, at))| concern(engine, &state, key, *version, *at)).collect();
        let written_by_others = concerns.iter().filter(|concern| **concern == Concern::Others).count();
        state.census.written_by_others(written_by_others);
        drop(state);
        if written_by_others > 0 {
            // There may be too much of others' now to hear of all of it.
            engine.concerns.notify_one();
        }
        if started || concerns.contains(&Concern::Ours) {
            engine.notifier.notify_one();
        } else if written_by_others > 0 {
            others.get_or_insert_with(|| Instant::now() + OTHERS_PACE);
        }
    }
}

/// Whose key a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Concern {
    Nobody,
    Others,
    Ours,
}

/// Whom it concerns that a key was in this version, or not there, at this moment.
pub(super) fn concern(engine: &Engine, state: &State, key: &str, version: Option<u64>, at: u64) -> Concern {
    if let Some(lease) = engine.claims.as_ref().and_then(|claims| claims.lease(key)) {
        let instances = &state.instances;
        let held = || {
            let mut claims = state.keys.values().filter_map(|known| known.claimed());
            claims.any(|claim| &*claim.lease == lease && claim.owner == instances.owner)
        };
        let lost = version.is_none() && instances.alive.contains_key(lease) && held();
        return if lost { Concern::Ours } else { Concern::Nobody };
    }
    if engine.layout.service_id(key).is_none() {
        return Concern::Nobody;
    }
    let known = state.keys.get(key);
    let news = match known.and_then(|known| known.entry.as_ref()) {
        Some(entry) => entry.version <= at && version != Some(entry.version),
        None => version.is_some(),
    };
    let ours = known.is_some_and(|known| known.written || state.instances.is_ours(known));
    let free = known.is_some_and(|known| known.wanted) && version.is_none();
    match (news, ours || free) {
        (false, _) => Concern::Nobody,
        (true, true) => Concern::Ours,
        (true, false) => Concern::Others,
    }
}
