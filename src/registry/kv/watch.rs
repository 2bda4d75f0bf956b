//! The watch task: hears of changes by external writers, reports those of our own keys at once and others' now and then.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::debug;

use super::claims::ClaimKeys;
use super::engine::{Engine, State};
use super::key::Ownership;
use super::store::StoreEvent;

/// The least time between two reports.
const PACE: Duration = Duration::from_secs(1);
/// The least time between two reports of what concerns others: a key that we wait for may have become free.
const OTHERS_PACE: Duration = Duration::from_secs(30);
/// The pause before the store is watched again after that failed.
const PAUSE: Duration = Duration::from_secs(2);
/// How long events are gathered before they are judged: by then our own writes are known to be ours.
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

/// Watches, and notifies whoever waits in [`changed`]. Never returns.
pub(super) async fn watch(engine: Arc<Engine>) {
    // Claims are not watched: they are written with their entries, and each change would be reported twice.
    let entries = format!("{}/", engine.layout.root());
    let prefixes: Vec<_> = [entries].into_iter().chain(engine.claims.as_ref().map(ClaimKeys::all_leases)).collect();
    let (report, events) = mpsc::unbounded_channel();
    let watching = async {
        loop {
            let reason = engine.store.watch(&prefixes, &|event| drop(report.send(event))).await;
            debug!("the store is not watched: {reason}");
            sleep(PAUSE).await;
        }
    };
    tokio::join!(watching, judge(&engine, events));
}

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
        // Only the last event of each key counts.
        let mut latest = HashMap::new();
        let mut started = false;
        let mut note = |event| match event {
            StoreEvent::Started => started = true,
            StoreEvent::Changed { key, version, gone } => drop(latest.insert(key, (version, gone))),
        };
        note(first);
        while let Ok(more) = events.try_recv() {
            note(more);
        }
        let mut state = engine.state();
        let concerns = latest.iter().map(|(key, (version, gone))| concern(engine, &state, key, *version, *gone));
        let concerns: Vec<_> = concerns.collect();
        state.others += concerns.iter().filter(|concern| **concern == Concern::Others).count();
        drop(state);
        if started || concerns.contains(&Concern::Ours) {
            engine.notifier.notify_one();
        } else if concerns.contains(&Concern::Others) {
            others.get_or_insert_with(|| Instant::now() + OTHERS_PACE);
        }
    }
}

/// Whom a change concerns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Concern {
    Nobody,
    Others,
    Ours,
}

/// Whom it concerns that a key was written in this version, or is gone since.
fn concern(engine: &Engine, state: &State, key: &str, version: u64, gone: bool) -> Concern {
    let newer = |seen: Option<u64>| match seen {
        Some(seen) => version > seen,
        None => !gone,
    };
    if let Some(lease) = engine.claims.as_ref().and_then(|claims| claims.lease(key)) {
        let instances = &state.instances;
        let ours = || {
            let mut claims = state.keys.values().filter_map(|known| known.claimed());
            claims.any(|claim| &*claim.lease == lease && claim.owner == instances.owner)
        };
        return if gone && instances.alive.contains_key(lease) && ours() { Concern::Ours } else { Concern::Nobody };
    }
    if engine.layout.service_id(key).is_none() {
        return Concern::Nobody;
    }
    let known = state.keys.get(key);
    let ours = known.is_some_and(|known| known.written || state.instances.ownership(known) == Ownership::Ours);
    match (newer(known.and_then(|known| known.entry.as_ref()).map(|seen| seen.version)), ours) {
        (false, _) => Concern::Nobody,
        (true, true) => Concern::Ours,
        (true, false) => Concern::Others,
    }
}
