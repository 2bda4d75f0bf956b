//! Runs a history, lets everything come to rest, and looks at what is there.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use registrator::registry::Marked;
use tokio::time::{Instant, sleep};

use crate::container::{Container, Network, State};
use crate::engine::emit;
use crate::history::{self, History, NAMES, Step};
use crate::oracle::Rules;
use crate::process::{kill, launch, resync, stop};
use crate::store;
use crate::store::{Content, Held, Store};
use crate::trace::Trace;
use crate::world::{Counts, Host, Shared, World, lock};

/// How long everything may take to come to rest once all is well: a list of every half minute, an inspect or a
/// write that hangs for as long as it may, the longest pauses, and a second look.
const REST: Duration = Duration::from_secs(240);

/// How long a change may take when nothing is in its way.
const AT_ONCE: Duration = Duration::from_secs(3);

/// How long it takes at most until what stands in the way of an entry is looked at again.
const NEXT_LOOK: Duration = Duration::from_secs(35);

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
    let hosts = history.hosts.iter().enumerate().map(|(index, settings)| {
        let rules = Rules {
            hostname: format!("host{index}"),
            ip: settings.ip.then(|| format!("10.9.{index}.1")),
            internal: settings.internal,
            deregister: settings.deregister,
            tags: vec!["simulated"],
            ttl: settings.ttl,
        };
        Host::new(settings.clone(), rules, format!("10.0.{index}.1"))
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
                plant(&mut store, id, owner);
            }
        }
        for owner in ["host0", "elsewhere"] {
            store.entries.insert(
                store.shape.key(&content(&format!("{owner}:left:80"))),
                held(&format!("{owner}:left:80"), Some(owner)),
            );
        }
        store
    });
    let (hosts, stores) = (hosts.collect(), stores.collect());
    Arc::new(Mutex::new(World::new(Rng::with_seed(!seed), Arc::clone(trace), hosts, stores)))
}

fn content(id: &str) -> Content {
    Content {
        id: id.to_owned(),
        name: "planted".to_owned(),
        address: "10.1.1.1".to_owned(),
        port: 1 + u16::try_from(id.len()).unwrap_or_default(),
        tags: Vec::new(),
        health: String::new(),
        ttl: None,
    }
}

fn held(id: &str, owner: Option<&str>) -> Held {
    Held { owner: owner.map(str::to_owned), content: content(id), marked: Marked::No, expires: None }
}

/// Somebody else writes an entry.
fn plant(store: &mut Store, id: &str, owner: Option<&str>) {
    let held = held(id, owner);
    let key = store.shape.key(&held.content);
    store.entries.insert(key.clone(), held.clone());
    store.planted.insert(key, held);
    store.touched();
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
    for host in 0..history.hosts.len() {
        lock(world).hosts[host].engine.heal();
    }
    for (index, store) in lock(world).stores.iter_mut().enumerate() {
        if index != history.last_to_heal {
            store.fail(store::Faults::default());
        }
    }
    for host in 0..history.hosts.len() {
        launch(world, host);
    }
    rest(world, REST).await;
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
    for host in 0..history.hosts.len() {
        resync(world, host);
    }
    rest(world, REST).await;
    for store in 0..history.stores.len() {
        lock(world).check(store, true);
        lock(world).counts.exact += 1;
    }
    if lock(world).violation.is_some() {
        return;
    }
    lock(world).note(|| "--- and again".to_owned());
    let before = writes(world);
    for host in 0..history.hosts.len() {
        resync(world, host);
    }
    rest(world, REST / 4).await;
    if writes(world) != before {
        lock(world).violated("a registry that was right was written to".to_owned());
    }
    // A place that one host leaves to another is found free at once only where the registry tells.
    let left_unseen = history.hosts.len() > 1 && lock(world).stores.iter().any(|store| !store.tells);
    let soon = if left_unseen { NEXT_LOOK } else { AT_ONCE };
    for starts in [true, false] {
        for host in 0..history.hosts.len() {
            if starts {
                take(world, Step::Create { host, kind: 0, pick: 0, start: true }).await;
            } else {
                let newest = lock(world).hosts[host].engine.containers.keys().next_back().cloned();
                end_process(world, host, &newest.unwrap_or_default(), State::Exited(0));
            }
        }
        rest(world, soon).await;
        for store in 0..history.stores.len() {
            lock(world).check(store, false);
        }
    }
    for host in 0..history.hosts.len() {
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
    at.hosts.iter().all(|host| host.alive && host.alive_since.elapsed() > REST)
        && (0..at.hosts.len()).all(|host| {
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

/// Lets time pass; what expires, expires in time.
async fn rest(world: &Shared, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        sleep((end - Instant::now()).min(Duration::from_secs(5))).await;
        lock(world).expire();
    }
}

/// The container that is picked among those that this is true of.
fn picked(world: &Shared, host: usize, pick: usize, is: impl Fn(&Container) -> bool) -> Option<String> {
    let at = lock(world);
    let fit: Vec<_> = at.hosts[host].engine.containers.values().filter(|container| is(container)).collect();
    (!fit.is_empty()).then(|| fit[pick % fit.len()].id.clone())
}

fn probed(container: &Container) -> bool {
    matches!(container.state, State::Running { paused: false, .. })
}

fn change(world: &Shared, host: usize, id: &str, how: impl FnOnce(&mut Container)) {
    if let Some(container) = lock(world).hosts[host].engine.containers.get_mut(id) {
        how(container);
    }
}

fn start(world: &Shared, host: usize, id: &str) {
    lock(world).hosts[host].engine.start(id);
    emit(world, host, id, "network connect");
    emit(world, host, id, "start");
}

fn end_process(world: &Shared, host: usize, id: &str, state: State) {
    {
        let mut at = lock(world);
        let at = &mut at.hosts[host];
        at.remember();
        at.engine.disconnect(id);
        if let Some(container) = at.engine.containers.get_mut(id) {
            container.state = state;
            container.ends.push(Instant::now());
        }
    }
    if matches!(state, State::Exited(code) | State::Restarting(code) if code > 128) {
        emit(world, host, id, "kill");
    }
    emit(world, host, id, "die");
}

async fn take(world: &Shared, step: Step) {
    let runs = |container: &Container| container.state.runs();
    match step {
        Step::Create { host, kind, pick, start: started } => {
            let other = picked(world, host, pick, |container| container.made.network != Network::None);
            let id = {
                let mut at = lock(world);
                let engine = &mut at.hosts[host].engine;
                if engine.down {
                    return;
                }
                let free = |name: &&&str| engine.containers.values().all(|container| container.name != **name);
                let names: Vec<_> = NAMES.iter().filter(free).collect();
                let Some(name) = names.get(pick % names.len().max(1)) else { return };
                engine.create(host, (**name).to_owned(), history::made(kind, other))
            };
            emit(world, host, &id, "create");
            if started {
                start(world, host, &id);
            }
        }
        Step::Start { host, pick } => {
            let idle = |container: &Container| matches!(container.state, State::Created | State::Exited(_));
            if !lock(world).hosts[host].engine.down
                && let Some(id) = picked(world, host, pick, idle)
            {
                start(world, host, &id);
            }
        }
        Step::Die { host, pick, code } => {
            if let Some(id) = picked(world, host, pick, runs) {
                end_process(world, host, &id, State::Exited(code));
            }
        }
        Step::Restart { host, pick, code, pause } => {
            if let Some(id) = picked(world, host, pick, runs) {
                end_process(world, host, &id, State::Restarting(code));
                sleep(Duration::from_millis(pause)).await;
                let still = lock(world).hosts[host]
                    .engine
                    .containers
                    .get(&id)
                    .is_some_and(|container| matches!(container.state, State::Restarting(_)));
                if still {
                    start(world, host, &id);
                }
            }
        }
        Step::Remove { host, pick, slowly } => {
            if lock(world).hosts[host].engine.down {
                return;
            }
            let Some(id) = picked(world, host, pick, |_| true) else { return };
            if picked(world, host, 0, |container| container.id == id && container.state.runs()).is_some() {
                end_process(world, host, &id, State::Exited(137));
            }
            if slowly {
                change(world, host, &id, |container| container.state = State::Removing);
                sleep(Duration::from_millis(500)).await;
            }
            lock(world).hosts[host].engine.containers.remove(&id);
            emit(world, host, &id, "destroy");
        }
        Step::Rename { host, pick, name } => {
            let taken = picked(world, host, 0, |container| container.name == NAMES[name]).is_some();
            if !taken && let Some(id) = picked(world, host, pick, |_| true) {
                change(world, host, &id, |container| NAMES[name].clone_into(&mut container.name));
                emit(world, host, &id, "rename");
            }
        }
        Step::Pause { host, pick } => {
            if let Some(id) = picked(world, host, pick, runs) {
                change(world, host, &id, |container| {
                    if let State::Running { paused, .. } = &mut container.state {
                        *paused = !*paused;
                    }
                });
                emit(world, host, &id, "pause");
            }
        }
        Step::Health { host, pick, health: new } => {
            // What is paused is not probed.
            if let Some(id) = picked(world, host, pick, probed) {
                change(world, host, &id, |container| {
                    if let State::Running { health, .. } = &mut container.state {
                        *health = Some(new);
                    }
                });
                emit(world, host, &id, "health_status");
            }
        }
        Step::Reconnect { host, pick, network } => {
            if let Some(id) = picked(world, host, pick, runs) {
                lock(world).hosts[host].engine.connect(&id, network);
                emit(world, host, &id, "network connect");
            }
        }
        Step::Disconnect { host, pick } => {
            if let Some(id) = picked(world, host, pick, runs) {
                lock(world).hosts[host].engine.disconnect(&id);
                emit(world, host, &id, "network disconnect");
            }
        }
        Step::EngineFails { host, faults } => lock(world).hosts[host].engine.faults = faults,
        Step::EngineRestarts { host, pause, containers_live } => {
            restart_engine(world, host, pause, containers_live).await
        }
        Step::StreamBreaks { host, in_a_line } => lock(world).hosts[host].engine.break_streams(in_a_line),
        Step::StreamIsMute { host } => {
            lock(world).hosts[host].engine.mute_streams();
        }
        Step::HostMoves { host } => {
            let mut at = lock(world);
            let address = format!("10.0.{host}.{}", at.rng.u8(2..250));
            at.hosts[host].address = address;
            at.hosts[host].remember();
            at.hosts[host].unsure = true;
        }
        Step::StoreFails { store, faults } => lock(world).stores[store].fail(faults),
        other => meddle(world, other).await,
    }
}

async fn restart_engine(world: &Shared, host: usize, pause: u64, containers_live: bool) {
    lock(world).hosts[host].engine.crash();
    if !containers_live {
        let all: Vec<_> = lock(world).hosts[host].engine.containers.keys().cloned().collect();
        for id in all {
            if picked(world, host, 0, |container| container.id == id && container.state.runs()).is_some() {
                end_process(world, host, &id, State::Exited(255));
            }
        }
    }
    sleep(Duration::from_millis(pause)).await;
    lock(world).hosts[host].engine.down = false;
    if !containers_live {
        // Those with a restart policy.
        let all: Vec<_> = lock(world).hosts[host].engine.containers.keys().cloned().collect();
        for id in all {
            let again = lock(world).rng.bool();
            if again
                && picked(world, host, 0, |container| container.id == id && container.state == State::Exited(255))
                    .is_some()
            {
                start(world, host, &id);
            }
        }
    }
}

/// What other hands do to registries and programs.
async fn meddle(world: &Shared, step: Step) {
    match step {
        Step::StoreIsWiped { store } => {
            let mut at = lock(world);
            let at = &mut at.stores[store];
            at.entries.clear();
            at.planted.clear();
            at.touched();
        }
        Step::EntryIsRemoved { store, pick } => {
            let mut at = lock(world);
            let at = &mut at.stores[store];
            let key = at.entries.keys().nth(pick % at.entries.len().max(1)).cloned();
            if let Some(key) = key {
                at.entries.remove(&key);
                at.planted.remove(&key);
                at.touched();
            }
        }
        Step::EntryIsChanged { store, pick } => {
            let mut at = lock(world);
            let at = &mut at.stores[store];
            let ours: Vec<_> = at.entries.keys().filter(|key| !at.planted.contains_key(*key)).cloned().collect();
            if let Some(held) = ours.get(pick % ours.len().max(1)).and_then(|key| at.entries.get_mut(key)) {
                held.content.tags = vec!["meddled".to_owned()];
                at.touched();
            }
        }
        Step::EntryAppears { store, kind } => {
            let (id, owner) = [
                ("theirs", Some("elsewhere")),
                ("claimed", Some("elsewhere")),
                ("host0:ghost:81", None),
                ("host0:db:80", None),
            ][usize::from(kind)];
            let mut at = lock(world);
            let at = &mut at.stores[store];
            // Nobody takes a place that is taken; and what comes back after it was removed is held by another
            // instance, and may stay.
            let key = at.shape.key(&content(id));
            if !at.entries.contains_key(&key) && !at.emptied.contains(&key) {
                plant(at, id, owner);
            }
        }
        Step::Killed { host, pause } => {
            kill(world, host);
            sleep(Duration::from_millis(pause)).await;
            launch(world, host);
        }
        Step::Stopped { host, pause } => {
            stop(world, host).await;
            sleep(Duration::from_millis(pause)).await;
            launch(world, host);
        }
        Step::Resync { host } => resync(world, host),
        _ => {}
    }
}
