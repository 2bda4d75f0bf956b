//! What everybody is put through in the end, when all is well: each mechanism once, with what it promises.

use std::time::Duration;

use registrator::registry::{Cause, Marked};
use tokio::time::sleep;

use crate::container::State;
use crate::history::Step;
use crate::process::{kill, launch, resync};
use crate::steps::{content, empty_engine, end_process, held, picked, rest, stop_process, take};
use crate::store::{Content, Faults, Held, Store};
use crate::world::{Shared, lock};

/// How long a change may take when nothing is in its way.
const AT_ONCE: Duration = Duration::from_secs(3);
/// How long it takes at most until what stands in the way of an entry is looked at again.
const NEXT_LOOK: Duration = Duration::from_secs(35);
/// How long it may take until what was refused is right, once it is allowed.
const REPAIR: Duration = Duration::from_secs(61);
/// An engine that is without its containers for so long may have just been started.
const EMPTY: Duration = Duration::from_secs(5);
/// What kind of container has a check after which the registry removes it, and when that has happened at the latest.
const REAPED: u8 = 14;
const REAPED_AFTER: Duration = Duration::from_secs(130);
/// So few entries may always go.
const FEW: usize = 3;

/// Something that is tried.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trial {
    /// A container starts on every host, and ends.
    Changes,
    /// Registries refuse everything, then nothing any more.
    Refusals,
    /// A container is told to stop, and does (`-drain`).
    Stops,
    /// A service is critical for too long (`CHECK_DEREGISTER_AFTER`).
    Reaping,
    /// An engine cannot describe one of its containers, and the program starts.
    Unknown,
    /// An engine is there again and has no containers, then has them (`-removal-guard`).
    NoContainers,
}

impl Trial {
    pub(crate) async fn run(self, world: &Shared, hosts: usize) {
        match self {
            Self::Changes => changes(world, hosts).await,
            Self::Refusals => refusals(world, hosts).await,
            Self::Stops => {
                for host in 0..hosts {
                    stops(world, host).await;
                }
            }
            Self::Unknown => {
                for host in 0..hosts {
                    unknown(world, host).await;
                }
            }
            Self::Reaping => reaping(world, hosts).await,
            Self::NoContainers => {
                for host in 0..hosts {
                    no_containers(world, host).await;
                }
            }
        }
    }
}

/// Every registry must be right, but one where a host replaced another's entry unseen.
fn check_all(world: &Shared) {
    let mut at = lock(world);
    for store in 0..at.stores.len() {
        if !at.stores[store].unsure {
            at.check(store, false);
        }
    }
}

/// A person asks every program to compare everything.
pub(crate) fn compare(world: &Shared, hosts: usize) {
    for host in 0..hosts {
        resync(world, host);
    }
}

async fn start_one(world: &Shared, host: usize) {
    take(world, Step::Create { host, kind: 0, pick: 0, start: true }).await;
}

fn end_newest(world: &Shared, host: usize) {
    let newest = picked_last(world, host);
    end_process(world, host, &newest.unwrap_or_default(), State::Exited(0));
}

fn picked_last(world: &Shared, host: usize) -> Option<String> {
    lock(world).hosts[host].engine.containers.keys().next_back().cloned()
}

async fn changes(world: &Shared, hosts: usize) {
    // A place that one host leaves to another is found free at once only where the registry tells.
    let left_unseen = hosts > 1 && lock(world).stores.iter().any(|store| !store.tells);
    for starts in [true, false] {
        for host in 0..hosts {
            if starts {
                start_one(world, host).await;
            } else {
                end_newest(world, host);
            }
        }
        rest(world, if left_unseen { NEXT_LOOK } else { AT_ONCE }).await;
        check_all(world);
    }
}

async fn refusals(world: &Shared, hosts: usize) {
    let (faults, time) = {
        let mut at = lock(world);
        let cause = [Cause::Rights, Cause::Service, Cause::Server][at.rng.usize(0..3)];
        let deaf = cause == Cause::Rights && at.rng.bool();
        let faults = Faults { refuses: Some((cause, "")), deaf, announces: at.rng.bool(), ..Faults::default() };
        (faults, Duration::from_millis(at.rng.u64(1_000..150_000)))
    };
    lock(world).note(|| format!("every registry fails: {faults:?}"));
    lock(world).stores.iter_mut().for_each(|store| store.fail(faults.clone()));
    for host in 0..hosts {
        start_one(world, host).await;
    }
    rest(world, time / 2).await;
    for host in 0..hosts {
        if let Some(id) = picked(world, host, 0, |container| container.state.runs()) {
            end_process(world, host, &id, State::Exited(0));
        }
    }
    rest(world, time / 2).await;
    lock(world).note(|| "no registry fails".to_owned());
    lock(world).stores.iter_mut().for_each(|store| store.fail(Faults::default()));
    let at_once = faults.announces
        && matches!(faults.refuses, Some((Cause::Rights, _)))
        && lock(world).hosts.iter().all(|host| host.settings.ttl.is_none());
    rest(world, if at_once && hosts == 1 { AT_ONCE } else { REPAIR }).await;
    check_all(world);
}

async fn stops(world: &Shared, host: usize) {
    let Some(drain) = lock(world).hosts[host].settings.drain.map(Duration::from_secs) else { return };
    start_one(world, host).await;
    rest(world, NEXT_LOOK).await;
    check_all(world);
    let Some(id) = picked_last(world, host).filter(|id| lock(world).hosts[host].engine.containers[id].state.runs())
    else {
        return;
    };
    stop_process(world, host, &id);
    sleep(AT_ONCE / 2).await;
    check_out_of_use(world, host, &id);
    sleep(AT_ONCE / 3).await;
    end_process(world, host, &id, State::Exited(143));
    rest(world, drain + AT_ONCE).await;
    check_all(world);
}

/// Whether what a container offers is out of use.
fn check_out_of_use(world: &Shared, host: usize, id: &str) {
    let mut at = lock(world);
    for store in 0..at.stores.len() {
        let now = &at.stores[store];
        let truth = at.hosts[host].truth(now.shape);
        let alone = truth.iter().filter(|(_, offers)| offers.iter().all(|offer| offer.container == id));
        let used = alone.filter(|(key, offers)| {
            let as_offered = |held: &&Held| offers.iter().any(|offer| held.content == offer.content);
            let held = now.entries.get(*key).filter(as_offered);
            let stays = now.upsert_only || at.hosts[host].settings.deregister == "never";
            held.is_some_and(|held| if now.marks { held.marked == Marked::No } else { !stays })
        });
        let used: Vec<_> = used.map(|(key, _)| key.clone()).collect();
        if !used.is_empty() && !at.flaps(host, id) {
            at.violated(format!("in store {store}, {used:?} is in use, though its container was told to stop"));
        }
    }
}

async fn reaping(world: &Shared, hosts: usize) {
    for host in 0..hosts {
        take(world, Step::Create { host, kind: REAPED, pick: 0, start: true }).await;
    }
    rest(world, NEXT_LOOK).await;
    check_all(world);
    let reaping: Vec<_> = {
        let mut at = lock(world);
        at.stores.iter_mut().for_each(Store::every_check_fails);
        (0..at.stores.len()).filter(|store| at.stores[*store].reaps).collect()
    };
    rest(world, REAPED_AFTER).await;
    check_all(world);
    for store in reaping {
        let mut at = lock(world);
        let critical = |held: &&Held| held.critical.is_some();
        if let Some(held) = at.stores[store].entries.values().find(critical).cloned() {
            at.violated(format!("store {store} should not hold this any more: {held:?}"));
        }
    }
    // A person's wish is another chance.
    lock(world).every_check_passes();
    compare(world, hosts);
    rest(world, REPAIR).await;
    lock(world).stores.iter_mut().for_each(|store| store.reaped.clear());
    check_all(world);
}

async fn unknown(world: &Shared, host: usize) {
    let Some(id) = picked(world, host, 0, |container| container.state.runs()) else { return };
    let Some(owner) = lock(world).hosts[host].recorded().map(str::to_owned) else { return };
    if lock(world).hosts[host].settings.deregister == "never" {
        return;
    }
    kill(world, host);
    let (gone, its_own) = {
        let at = &mut *lock(world);
        let engine = &mut at.hosts[host].engine;
        engine.blind = Some(id.clone());
        let ids = (format!("{owner}:gone:9"), format!("{owner}:{}:9", engine.containers[&id].name));
        for store in &mut at.stores {
            for (id, name) in [(&ids.0, "gone"), (&ids.1, "unknown")] {
                let left = held(Content { name: name.to_owned(), ..content(id) }, Some(&owner));
                store.entries.insert(store.shape.key(&left.content), left);
            }
            store.touched();
        }
        ids
    };
    launch(world, host);
    rest(world, REPAIR).await;
    {
        let at = &mut *lock(world);
        for store in at.stores.iter().filter(|store| !store.upsert_only) {
            let is_there = |id: &str| store.entries.values().any(|held| held.content.id == id);
            if is_there(&gone) || !is_there(&its_own) {
                let keys = store.entries.keys();
                at.violation.get_or_insert(format!("{gone} should be gone, and {its_own} stay, of {keys:?}"));
            }
        }
        at.hosts[host].engine.blind = None;
    }
    rest(world, REPAIR).await;
    lock(world).stores.iter_mut().for_each(|store| store.unsure = false);
    check_all(world);
}

async fn no_containers(world: &Shared, host: usize) {
    launch(world, host);
    let removals = || -> Vec<usize> { lock(world).stores.iter().map(|store| store.removals).collect() };
    let guarded: Vec<_> = {
        let at = lock(world);
        let Some(owner) = at.hosts[host].recorded().filter(|_| at.hosts[host].settings.guard > 0) else { return };
        // Where it has others as well, whose containers are gone already, those are not all.
        let all = |store: &Store| {
            let truth = at.hosts[host].truth(store.shape);
            let ours: Vec<_> = store.entries.iter().filter(|(_, held)| held.owner.as_deref() == Some(owner)).collect();
            ours.len() > FEW && ours.iter().all(|(key, _)| truth.contains_key(*key))
        };
        at.stores.iter().map(all).collect()
    };
    let before = removals();
    empty_engine(world, host, EMPTY).await;
    let after = removals();
    for (store, guarded) in guarded.into_iter().enumerate() {
        if guarded && before[store] != after[store] {
            lock(world).violated(format!("host {host} removes from store {store} what an empty engine does not know"));
        }
    }
    rest(world, REPAIR).await;
    check_all(world);
}
