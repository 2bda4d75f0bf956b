//! What happens to engines, containers, registries and programs, step by step.

use std::time::Duration;

use registrator::registry::Marked;
use tokio::time::{Instant, sleep};

use crate::container::{Container, Network, State};
use crate::engine::emit;
use crate::history::{self, NAMES, Step};
use crate::process::{kill, launch, resync, stop};
use crate::store::{Content, Held, Store};
use crate::world::{Shared, lock};

pub(crate) fn content(id: &str) -> Content {
    Content {
        id: id.to_owned(),
        name: "planted".to_owned(),
        address: "10.1.1.1".to_owned(),
        port: 1 + u16::try_from(id.len()).unwrap_or_default(),
        tags: Vec::new(),
        health: String::new(),
        ttl: None,
        reaped_after: None,
    }
}

pub(crate) fn held(content: Content, owner: Option<&str>) -> Held {
    Held { owner: owner.map(str::to_owned), content, marked: Marked::No, expires: None, critical: None }
}

/// Somebody else writes an entry.
pub(crate) fn plant(store: &mut Store, held: Held) {
    let key = store.shape.key(&held.content);
    store.entries.insert(key.clone(), held.clone());
    store.planted.insert(key, held);
    store.touched();
}

/// Lets time pass; what expires, expires in time.
pub(crate) async fn rest(world: &Shared, time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        sleep((end - Instant::now()).min(Duration::from_secs(5))).await;
        lock(world).expire();
        lock(world).reap();
    }
}

/// The container that is picked among those that this is true of.
pub(crate) fn picked(world: &Shared, host: usize, pick: usize, is: impl Fn(&Container) -> bool) -> Option<String> {
    let at = lock(world);
    let engine = &at.hosts[host].engine;
    let fit: Vec<_> = engine.containers.values().filter(|container| !engine.empty && is(container)).collect();
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

pub(crate) fn end_process(world: &Shared, host: usize, id: &str, state: State) {
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
        emit(world, host, id, "kill 9");
    }
    emit(world, host, id, "die");
}

/// It is sent the signal that asks it to stop.
pub(crate) fn stop_process(world: &Shared, host: usize, id: &str) {
    change(world, host, id, |container| container.told_to_stop = Some(Instant::now()));
    emit(world, host, id, "kill 15");
}

pub(crate) async fn take(world: &Shared, step: Step) {
    let runs = |container: &Container| container.state.runs();
    match step {
        Step::Create { host, kind, pick, start: started } => {
            let other = picked(world, host, pick, |container| container.made.network != Network::None);
            let id = {
                let mut at = lock(world);
                let engine = &mut at.hosts[host].engine;
                if engine.down || engine.empty {
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
        Step::Stop { host, pick, pause, ends } => {
            if let Some(id) = picked(world, host, pick, runs) {
                stop_process(world, host, &id);
                sleep(Duration::from_millis(pause)).await;
                if ends && picked(world, host, 0, |container| container.id == id && container.state.runs()).is_some() {
                    end_process(world, host, &id, State::Exited(143));
                }
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
            {
                let engine = &mut lock(world).hosts[host].engine;
                let gone = engine.containers.remove(&id);
                engine.removed.extend(gone.map(|container| (id.clone(), container)));
            }
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
        Step::EngineIsEmpty { host, pause } => empty_engine(world, host, Duration::from_millis(pause)).await,
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

/// An engine is started with other data than its own, and again with its own.
pub(crate) async fn empty_engine(world: &Shared, host: usize, pause: Duration) {
    let be = |empty: bool| {
        let mut at = lock(world);
        at.note(|| format!("docker {host}: it knows of {} container", if empty { "no" } else { "every" }));
        at.hosts[host].engine.crash();
        at.hosts[host].engine.down = false;
        at.hosts[host].engine.empty = empty;
        at.hosts[host].saw_nothing |= empty;
    };
    if lock(world).hosts[host].engine.down {
        return;
    }
    be(true);
    sleep(pause).await;
    be(false);
}

/// What other hands do to registries and programs.
async fn meddle(world: &Shared, step: Step) {
    match step {
        Step::StoreIsWiped { store } => {
            let mut at = lock(world);
            let at = &mut at.stores[store];
            at.entries.clear();
            at.losses += 1;
            at.planted.clear();
            at.is_robbed();
            at.touched();
        }
        Step::EntryIsRemoved { store, pick } => {
            let mut at = lock(world);
            let at = &mut at.stores[store];
            let key = at.entries.keys().nth(pick % at.entries.len().max(1)).cloned();
            if let Some(key) = key {
                at.entries.remove(&key);
                at.planted.remove(&key);
                at.is_robbed();
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
        Step::EntryAppears { store, kind, pick } => {
            let mut at = lock(world);
            let shape = at.stores[store].shape;
            let appears = match kind {
                0 => held(content("theirs"), Some("elsewhere")),
                1 => held(content("claimed"), Some("elsewhere")),
                2 => held(content("host0:ghost:81"), None),
                3 => held(content("host0:db:80"), None),
                // As the program that was replaced left it: without an owner, and where a service is.
                _ => {
                    let offers: Vec<_> =
                        at.hosts.iter().flat_map(|host| host.truth(shape)).flat_map(|it| it.1).collect();
                    let offers: Vec<_> = offers.into_iter().filter(|offer| !offer.kept).collect();
                    let Some(offer) = offers.get(pick % offers.len().max(1)) else { return };
                    let plain = Content { tags: Vec::new(), health: String::new(), ttl: None, ..offer.content.clone() };
                    held(plain, None)
                }
            };
            let at = &mut at.stores[store];
            // Nobody takes a place that is taken; and what comes back after it was removed is held by another
            // instance, and may stay.
            let key = at.shape.key(&appears.content);
            if !at.entries.contains_key(&key) && !at.emptied.contains(&key) {
                plant(at, appears);
            }
        }
        Step::EntryIsFought { store, pick, gap, times } => {
            let gap = Duration::from_millis(gap);
            let ours = {
                let mut at = lock(world);
                at.fought = true;
                let at = &at.stores[store];
                let ours: Vec<_> = at.entries.keys().filter(|key| !at.planted.contains_key(*key)).cloned().collect();
                ours.get(pick % ours.len().max(1)).cloned()
            };
            for _ in 0..times {
                sleep(gap).await;
                let mut at = lock(world);
                let at = &mut at.stores[store];
                let held = ours.as_ref().filter(|key| !at.planted.contains_key(*key));
                if let Some(held) = held.and_then(|key| at.entries.get_mut(key))
                    && held.content.tags != ["fought"]
                {
                    held.content.tags = vec!["fought".to_owned()];
                    at.touched();
                }
            }
        }
        Step::CheckTurns { store, pick, critical } => {
            let mut at = lock(world);
            let at = &mut at.stores[store];
            let checked: Vec<_> = at.entries.values_mut().filter(|held| held.content.reaped_after.is_some()).collect();
            let count = checked.len();
            if let Some(held) = checked.into_iter().nth(pick % count.max(1)) {
                held.critical = critical.then(|| held.critical.unwrap_or_else(Instant::now));
                at.touched();
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
