//! Hears that another hand was in the store, tells what concerns us at once and the rest in passing.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tracing::debug;

use super::records::Records;
use super::slot::Standing;
use super::store::News;
use super::{Engine, State};

/// The least time between two reports.
const PACE: Duration = Duration::from_secs(1);
/// The least time between two reports of what concerns others: something that we wait for may have become free.
const OTHERS_PACE: Duration = Duration::from_secs(30);
/// How long it takes until the store is watched again after that could not be done.
const PAUSE: Duration = Duration::from_secs(2);
/// How long news are gathered before they are judged: by then our own writes are known to be ours.
const GATHER: Duration = Duration::from_millis(200);

/// Returns when something may have changed by another hand.
pub(super) async fn changed(engine: &Engine) {
    let told = engine.state().told;
    if let Some(told) = told {
        sleep_until(told + PACE).await;
    }
    engine.bell.notified().await;
    engine.state().told = Some(Instant::now());
}

/// Watches, and rings the bell. Never returns.
pub(super) async fn listen(engine: Arc<Engine>) {
    // Claims are written with their entries: to be told of both would be to be told of everything twice.
    let entries = format!("{}/", engine.layout.root());
    let prefixes: Vec<_> = [entries].into_iter().chain(engine.records.as_ref().map(Records::all_alive)).collect();
    let (tell, news) = mpsc::unbounded_channel();
    let watching = async {
        loop {
            let reason = engine.store.watch(&prefixes, &|news| drop(tell.send(news))).await;
            debug!("changes by others are not heard of: {reason}");
            sleep(PAUSE).await;
        }
    };
    tokio::join!(watching, judge(&engine, news));
}

async fn judge(engine: &Engine, mut news: mpsc::UnboundedReceiver<News>) {
    let mut others: Option<Instant> = None;
    loop {
        let first = match others {
            None => news.recv().await,
            Some(due) => timeout_at(due, news.recv()).await.unwrap_or(None),
        };
        if others.is_some_and(|due| due <= Instant::now()) {
            others = None;
            engine.bell.notify_one();
        }
        let Some(first) = first else { if news.is_closed() { return } else { continue } };
        sleep(GATHER).await;
        // Of each key the last is what counts.
        let mut latest = HashMap::new();
        let mut begun = false;
        let mut note = |news| match news {
            News::Begun => begun = true,
            News::Changed { key, version, gone } => drop(latest.insert(key, (version, gone))),
        };
        note(first);
        while let Ok(more) = news.try_recv() {
            note(more);
        }
        let mut state = engine.state();
        let concerns = latest.iter().map(|(key, (version, gone))| concern(engine, &state, key, *version, *gone));
        let concerns: Vec<_> = concerns.collect();
        state.others += concerns.iter().filter(|concern| **concern == Concern::Others).count();
        drop(state);
        if begun || concerns.contains(&Concern::Ours) {
            engine.bell.notify_one();
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
    if let Some(seat) = engine.records.as_ref().and_then(|records| records.seat(key)) {
        let company = &state.company;
        let ours = || {
            let mut claims = state.slots.values().filter_map(|slot| slot.claimed());
            claims.any(|claim| &*claim.seat == seat && claim.owner == company.owner)
        };
        return if gone && company.alive.contains_key(seat) && ours() { Concern::Ours } else { Concern::Nobody };
    }
    if engine.layout.service_id(key).is_none() {
        return Concern::Nobody;
    }
    let slot = state.slots.get(key);
    let ours = slot.is_some_and(|slot| slot.written || state.company.standing(slot) == Standing::Ours);
    match (newer(slot.and_then(|slot| slot.entry.as_ref()).map(|seen| seen.version)), ours) {
        (false, _) => Concern::Nobody,
        (true, true) => Concern::Ours,
        (true, false) => Concern::Others,
    }
}
