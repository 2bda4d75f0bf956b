//! The watch task: hears of changes by others, and reports those that concern what we ask for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tracing::debug;

use registrator_traefik::object_of;

use crate::registry::kv::store::StoreEvent;

use super::Shared;

/// The pause before watching again after a failure.
const PAUSE: Duration = Duration::from_secs(2);
/// How long events are collected before they are examined: by then, our own writes are recognised.
const GATHER: Duration = Duration::from_millis(200);
/// After an instance of another owner ended, its part is looked at again, when it can be removed.
const AFTER_A_DEATH: Duration = Duration::from_secs(35);

/// Watches, and wakes whoever waits for changes. Never returns.
pub(super) async fn watch(shared: Arc<Shared>) {
    let (report, events) = mpsc::unbounded_channel();
    let report = move |event| drop(report.send(event));
    let listen = async {
        let mut prefixes = vec![format!("{}/", shared.root), shared.offers.all()];
        prefixes.extend(shared.engine.claims.as_ref().map(super::ClaimKeys::all_leases));
        loop {
            let reason = shared.engine.store.watch(&prefixes, &report).await;
            debug!("the store is not watched: {reason}");
            sleep(PAUSE).await;
        }
    };
    tokio::join!(listen, judge(&shared, events));
}

/// Judges what was heard.
async fn judge(shared: &Shared, mut events: mpsc::UnboundedReceiver<StoreEvent>) {
    let mut later: Option<Instant> = None;
    loop {
        let first = tokio::select! {
            first = events.recv() => first,
            () = async { match later { Some(later) => sleep_until(later).await, None => std::future::pending().await } } => {
                later = None;
                shared.engine.notifier.notify_one();
                continue;
            }
        };
        let Some(first) = first else { return };
        sleep(GATHER).await;
        let mut latest = HashMap::new();
        let mut started = false;
        let mut note = |event| match event {
            StoreEvent::Started => started = true,
            StoreEvent::Seen { key, version, .. } => drop(latest.insert(key, version)),
        };
        note(first);
        while let Ok(more) = events.try_recv() {
            note(more);
        }
        let concern = latest.iter().map(|(key, version)| concern(shared, key, *version)).max();
        if started || concern == Some(Concern::Ours) {
            shared.engine.notifier.notify_one();
        }
        if latest.iter().any(|(key, version)| is_a_death(shared, key, *version)) {
            later = Some(Instant::now() + AFTER_A_DEATH);
        }
    }
}

/// Whom a change is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Concern {
    Others,
    Ours,
}

fn concern(shared: &Shared, key: &str, version: Option<u64>) -> Concern {
    let state = shared.state();
    if !state.is_known {
        // A write is in progress: what it did not do is found by the next comparison.
        return Concern::Others;
    }
    let of_us = |concerns: bool| if concerns { Concern::Ours } else { Concern::Others };
    if let Some(below) = key.strip_prefix(&shared.root).and_then(|key| key.strip_prefix('/')) {
        if state.tree.version(below) == version {
            return Concern::Others;
        }
        return of_us(object_of(below).is_some_and(|object| state.tree.is_held_by(&object, &shared.owner)));
    }
    if let Some(held) = state.tree.offers.get(key) {
        return of_us(held.offer.owner == shared.owner && Some(held.version) != version);
    }
    of_us(is_a_death(shared, key, version))
}

/// Whether another instance ended.
fn is_a_death(shared: &Shared, key: &str, version: Option<u64>) -> bool {
    let Some(lease) = shared.engine.claims.as_ref().and_then(|claims| claims.lease(key)) else { return false };
    let state = shared.engine.state();
    version.is_none() && state.instances.alive.contains_key(lease) && !state.instances.ours.contains(lease)
}
