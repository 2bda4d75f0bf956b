//! Runs a history, lets everything come to rest, and looks at what is there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use registrator::registry::Marked;
use tokio::time::sleep;

use crate::history::{History, Step};
use crate::oracle::Rules;
use crate::process::{kill, launch, stop};
use crate::steps::{content, held, plant, rest, take};
use crate::store::{self, Held, Store};
use crate::trace::Trace;
use crate::trials::{Trial, compare};
use crate::world::{Counts, Host, Shared, World, lock};

/// How long everything may take to come to rest once all is well: a list of every half minute, an inspect or a
/// write that hangs for as long as it may, the longest pauses, and a second look.
const REST: Duration = Duration::from_secs(240);

/// How much longer where somebody rewrote entries again and again: then they are written ever more rarely.
const PEACE: Duration = Duration::from_secs(440);

/// What came of a history.
pub(crate) struct Outcome {
    /// The first promise that was broken.
    pub(crate) violation: Option<String>,
    pub(crate) trace: Vec<String>,
    pub(crate) counts: Counts,
}

/// Runs a history of this seed, with the steps that `kept` says.
pub(crate) fn run(seed: u64, history: &History, kept: &dyn Fn(usize) -> bool, traced: bool) -> Outcome {
    // All chance comes from here: also that of the program, whose jitter is of this thread's generator.
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let trace = Trace::new(traced);
        let _log = trace.listen();
        let world = build(seed, history, &trace);
        play(&world, history, kept).await;
        let mut at = lock(&world);
        at.counts.histories = 1;
        Outcome { violation: at.violation.clone(), trace: trace.lines(), counts: at.counts.clone() }
    })
}

fn build(seed: u64, history: &History, trace: &Arc<Trace>) -> Shared {
    let twin = history.twin;
    let records = history.hosts.iter().all(|settings| settings.records_owner);
    let hosts = history.hosts.iter().enumerate().map(|(index, settings)| {
        let rules = Rules {
            hostname: format!("host{}", if twin { 0 } else { index }),
            ip: settings.ip.then(|| format!("10.9.{index}.1")),
            internal: settings.internal,
            deregister: settings.deregister,
            tags: vec!["simulated"],
            ttl: settings.ttl,
            records_owner: settings.records_owner,
        };
        let mut host = Host::new(settings.clone(), rules, format!("10.0.{index}.1"));
        // Hosts may have the same addresses, where they record whose each is.
        host.engine.subnet = if records || twin || index == 0 { 17 } else { 18 };
        host
    });
    let stores = history.stores.iter().enumerate().map(|(index, kind)| {
        let mut store = Store::new(format!("store{index}"), kind, index % 2 == 1);
        for (id, owner) in [
            ("theirs", Some("elsewhere")),
            ("legacy", None),
            ("host0:ghost:80", None),
            ("host9:ghost:80", None),
            ("host0:web:80", Some("elsewhere2")),
        ] {
            // The last one stands in the way of a default name, in some histories.
            if id != "host0:web:80" || seed.is_multiple_of(4) {
                plant(&mut store, held(content(id), owner));
            }
        }
        for owner in ["host0", "elsewhere"] {
            let left = content(&format!("{owner}:left:80"));
            store.entries.insert(store.shape.key(&left), held(left, Some(owner)));
        }
        store
    });
    let (hosts, stores) = (hosts.collect(), stores.collect());
    let mut world = World::new(Rng::with_seed(!seed), Arc::clone(trace), hosts, stores);
    world.twin = twin;
    Arc::new(Mutex::new(world))
}

async fn play(world: &Shared, history: &History, kept: &dyn Fn(usize) -> bool) {
    for host in 0..history.hosts.len() {
        for (kind, pick) in [(0, 0), (1, 1), (6, 0)] {
            take(world, Step::Create { host, kind, pick, start: true }).await;
        }
        launch(world, host);
    }
    for store in &mut lock(world).stores {
        store.unsure = false;
    }
    // Some take their time, and others happen meanwhile.
    let mut under_way = Vec::new();
    for (index, (gap, step)) in history.steps.iter().enumerate() {
        sleep(*gap).await;
        if kept(index) {
            lock(world).note(|| format!("--- step {index}: {step:?}"));
            lock(world).counts.steps += 1;
            let world = Arc::clone(world);
            let step = step.clone();
            under_way.push(tokio::spawn(async move { take(&world, step).await }));
        }
        lock(world).expire();
        lock(world).reap();
        if lock(world).violation.is_some() {
            return;
        }
    }
    for step in under_way {
        step.await.unwrap();
    }
    end(world, history).await;
}

/// Everything gets well, one registry after the others; then each must be right.
async fn end(world: &Shared, history: &History) {
    lock(world).note(|| "--- all but one registry gets well".to_owned());
    if history.twin {
        lock(world).hosts[1].given_up = true;
        kill(world, 1);
    }
    let hosts = lock(world).lasting_hosts();
    for host in 0..history.hosts.len() {
        lock(world).hosts[host].engine.heal();
    }
    for (index, store) in lock(world).stores.iter_mut().enumerate() {
        if index != history.last_to_heal {
            store.fail(store::Faults::default());
        }
    }
    for host in 0..hosts {
        launch(world, host);
    }
    let long = REST + if history.twin || lock(world).fought { PEACE } else { Duration::ZERO };
    rest(world, long).await;
    let alone = history.stores.len() > 1 && waits_for_nobody(world);
    if alone {
        check_those_that_are_sure(world, Some(history.last_to_heal));
    }
    if lock(world).violation.is_some() {
        return;
    }
    lock(world).note(|| "--- the last registry gets well".to_owned());
    lock(world).stores[history.last_to_heal].fail(store::Faults::default());
    rest(world, REST).await;
    check_those_that_are_sure(world, None);
    if lock(world).violation.is_some() {
        return;
    }
    lock(world).note(|| "--- everything is compared again".to_owned());
    lock(world).every_check_passes();
    compare(world, hosts);
    rest(world, REST).await;
    for store in 0..history.stores.len() {
        lock(world).check(store, true);
        lock(world).stores[store].unsure = false;
        lock(world).counts.exact += 1;
    }
    if lock(world).violation.is_some() {
        return;
    }
    lock(world).note(|| "--- and again".to_owned());
    let before = writes(world);
    compare(world, hosts);
    rest(world, REST / 4).await;
    if writes(world) != before {
        lock(world).violated("a registry that was right was written to".to_owned());
    }
    for trial in [Trial::Changes, Trial::Refusals, Trial::Stops, Trial::Reaping, Trial::Unknown, Trial::NoContainers] {
        if lock(world).violation.is_none() {
            lock(world).note(|| format!("--- {trial:?}"));
            trial.run(world, hosts).await;
        }
    }
    for host in 0..hosts {
        part(world, host).await;
    }
}

/// Stops the program for good, and looks at what it leaves.
async fn part(world: &Shared, host: usize) {
    let own = || -> Vec<BTreeMap<String, Held>> {
        let at = lock(world);
        let ours = |held: &Held| held.owner.as_deref() == Some(at.hosts[host].owner());
        // One that is renewed at the last moment is the same.
        let same = |(key, held): (String, Held)| (key, Held { expires: None, ..held });
        let own = |store: &Store| store.entries.clone().into_iter().filter(|(_, held)| ours(held)).map(same).collect();
        at.stores.iter().map(own).collect()
    };
    let before = own();
    stop(world, host).await;
    let after = own();
    let mut at = lock(world);
    let on_shutdown = at.hosts[host].settings.on_shutdown;
    let right = (0..at.stores.len()).all(|index| {
        let store = &at.stores[index];
        match on_shutdown {
            "deregister" if !store.upsert_only => after[index].is_empty(),
            "critical" if store.marks => {
                after[index].keys().eq(before[index].keys())
                    && after[index].values().all(|held| held.marked != Marked::No)
            }
            _ => after[index] == before[index],
        }
    });
    if !right {
        at.violated(format!(
            "host {host} was stopped with -on-shutdown {on_shutdown}, and left {after:?} of {before:?}"
        ));
    }
}

/// Whether every program has begun its work: one that is started while a registry is away waits for it.
fn waits_for_nobody(world: &Shared) -> bool {
    let at = lock(world);
    let lasting = at.lasting_hosts();
    at.hosts[..lasting].iter().all(|host| host.alive && host.alive_since.elapsed() > REST)
        && (0..lasting).all(|host| {
            let client = (host, at.hosts[host].life);
            (0..at.stores.len()).all(|store| store_is_read(&at, client, store))
        })
}

fn store_is_read(world: &World, client: store::Client, store: usize) -> bool {
    world.views.contains_key(&(client, store))
}

fn writes(world: &Shared) -> usize {
    let at = lock(world);
    at.counts.writes + at.counts.removals + at.counts.marks
}

/// A registry of which no change was kept from us must be right without a resync.
fn check_those_that_are_sure(world: &Shared, but: Option<usize>) {
    let mut at = lock(world);
    if at.hosts.iter().any(|host| host.unsure) {
        return;
    }
    for store in 0..at.stores.len() {
        if Some(store) != but && !at.stores[store].unsure {
            at.check(store, false);
            at.counts.exact_by_itself += 1;
        }
    }
}
