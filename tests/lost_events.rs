//! Whatever an engine loses, drops, breaks or garbles on the way: what runs is known in the end, and
//! nothing is taken for gone that the engine has not itself called gone.

// A test that cannot be set up has failed: saying so at once is the point.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use registrator::config::DockerConfig;
use registrator::container::{Container, Health, State};
use registrator::docker::{Change, Docker, watch};
use registrator::event::Events;
use serde_json::json;
use testkit::engine::{FakeContainer, FakeEngine, Fault};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Longer than any repair may take. Time is paused in these tests: waiting costs nothing.
const PATIENCE: Duration = Duration::from_secs(120);

/// One who listens to a watch, and believes what it says.
struct Follower {
    changes: mpsc::Receiver<Change>,
    containers: BTreeMap<String, Arc<Container>>,
    unknown: BTreeSet<String>,
    /// `[…]` for each snapshot, then `+name`, `.name` or `-id`.
    history: Vec<String>,
    resync: Arc<Notify>,
    stop: CancellationToken,
    _guard: DropGuard,
}

fn config(engine: &FakeEngine) -> DockerConfig {
    DockerConfig {
        host: Some(engine.host()),
        tls_verify: false,
        cert_path: None,
        api_version: None,
        keep_inspect: false,
        ip_label: None,
        list_all: false,
        resync: None,
    }
}

impl Follower {
    async fn of(engine: &FakeEngine) -> Self {
        Self::with(&config(engine)).await
    }

    async fn with(config: &DockerConfig) -> Self {
        Self::telling(config, Events::to_log()).await
    }

    async fn telling(config: &DockerConfig, events: Events) -> Self {
        let docker = Docker::connect(config).await.unwrap();
        let (resync, stop) = (Arc::new(Notify::new()), CancellationToken::new());
        Self {
            changes: watch(docker, config, Arc::clone(&resync), stop.clone(), events),
            containers: BTreeMap::new(),
            unknown: BTreeSet::new(),
            history: Vec::new(),
            resync,
            _guard: stop.clone().drop_guard(),
            stop,
        }
    }

    /// One that has heard its first snapshot.
    async fn synced(engine: &FakeEngine) -> Self {
        let mut follower = Self::of(engine).await;
        follower.snapshot().await;
        follower
    }

    fn believe(&mut self, change: Change) {
        match change {
            Change::Changed(container) => {
                let mark = if container.state.is_running() { '+' } else { '.' };
                self.history.push(format!("{mark}{}", container.name));
                self.unknown.remove(container.id.as_str());
                self.containers.insert(container.id.to_string(), container);
            }
            Change::Stopping(id) => self.history.push(format!("s{}", id.short())),
            Change::Gone(id) | Change::Missing(id) => {
                self.history.push(format!("-{}", id.short()));
                self.unknown.remove(id.as_str());
                self.containers.remove(id.as_str());
            }
            Change::Snapshot(snapshot) => {
                self.history.push("[…]".to_owned());
                self.unknown = snapshot.unknown.iter().map(|unknown| unknown.id.to_string()).collect();
                let unknown = &self.unknown;
                self.containers.retain(|id, _| unknown.contains(id));
                self.containers
                    .extend(snapshot.containers.into_iter().map(|container| (container.id.to_string(), container)));
            }
        }
    }

    async fn hear(&mut self) {
        let change = timeout(PATIENCE, self.changes.recv()).await.expect("a change in time").expect("a watch");
        self.believe(change);
    }

    /// Waits for the next snapshot.
    async fn snapshot(&mut self) {
        loop {
            self.hear().await;
            if self.history.last().is_some_and(|last| last == "[…]") {
                return;
            }
        }
    }

    async fn until(&mut self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !holds(self) {
            let heard = tokio::time::timeout_at(deadline, self.changes.recv()).await;
            let history = &self.history;
            self.believe(heard.unwrap_or_else(|_| panic!("never: {what}; heard {history:?}")).expect("a watch"));
        }
    }

    fn running(&self) -> Vec<String> {
        let running = self.containers.iter().filter(|(_, container)| container.state.is_running());
        running.map(|(id, _)| id.clone()).collect()
    }

    /// Waits until exactly what runs is believed to run, and as it is called.
    async fn agrees_with(&mut self, engine: &FakeEngine) {
        self.until("the same containers as the engine has", |follower| {
            follower.unknown.is_empty() && follower.running() == engine.running()
        })
        .await;
    }

    /// Takes what is said for so long.
    async fn listen_for(&mut self, time: Duration) {
        let end = Instant::now() + time;
        while let Ok(Some(change)) = tokio::time::timeout_at(end, self.changes.recv()).await {
            self.believe(change);
        }
    }
}

fn web(number: usize) -> FakeContainer {
    FakeContainer::new(&format!("web{number}")).image("nginx:1").publish("80/tcp", 8000)
}

#[tokio::test(start_paused = true)]
async fn every_change_that_an_event_tells_of_is_seen() {
    let engine = FakeEngine::start().await;
    let one = engine.run(web(1));
    let mut follower = Follower::synced(&engine).await;
    assert_eq!(follower.running(), std::slice::from_ref(&one));
    assert_eq!(follower.containers[&one].ports[0].bindings[0].port, 8000);

    let two = engine.run(web(2));
    follower.until("a start", |follower| follower.containers.contains_key(&two)).await;
    engine.rename(&two, "other");
    follower.until("a new name", |follower| &*follower.containers[&two].name == "other").await;
    engine.connect(&two, "shop", "10.1.0.2");
    follower.until("a network", |follower| follower.containers[&two].networks.contains_key("shop")).await;
    engine.set_health(&two, "unhealthy");
    let state = State::Running { paused: false, health: Health::Unhealthy };
    follower.until("a health", |follower| follower.containers[&two].state == state).await;
    engine.pause(&two);
    let state = State::Running { paused: true, health: Health::Unhealthy };
    follower.until("a pause", |follower| follower.containers[&two].state == state).await;
    engine.stop(&two, 3);
    follower.until("an end", |follower| follower.containers[&two].state == State::Exited { code: 3 }).await;
    engine.remove(&two);
    follower.until("a removal", |follower| !follower.containers.contains_key(&two)).await;
    engine.begin_removal(&one);
    follower.until("the begin of a removal", |follower| !follower.containers.contains_key(&one)).await;
}

#[tokio::test(start_paused = true)]
async fn what_starts_or_ends_during_the_first_listing_is_not_missed() {
    let engine = FakeEngine::start().await;
    let ended = engine.run(web(1));
    engine.fault_list(Fault::Stale(Duration::from_secs(2)));
    let mut follower = Follower::of(&engine).await;
    while engine.count("/containers/json") == 0 {
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_secs(1)).await;
    let started = engine.run(web(2));
    engine.remove(&ended);
    follower.snapshot().await;
    assert_eq!(follower.running(), [started], "{:?}", follower.history);
}

#[tokio::test(start_paused = true)]
async fn an_event_during_an_inspect_causes_another_one() {
    let engine = FakeEngine::start().await;
    let id = engine.run(web(1));
    let mut follower = Follower::synced(&engine).await;
    engine.fault_inspect(Fault::Stale(Duration::from_secs(1)));
    engine.rename(&id, "second");
    sleep(Duration::from_millis(500)).await;
    engine.rename(&id, "third");
    let begin = Instant::now();
    follower.until("the last name", |follower| &*follower.containers[&id].name == "third").await;
    assert!(begin.elapsed() < Duration::from_secs(3), "not by a check");
}

#[tokio::test(start_paused = true)]
async fn events_that_were_never_sent_are_made_up_for() {
    let engine = FakeEngine::start().await;
    let [removed, stopped, renamed, connected, sick, paused, flapped] =
        std::array::from_fn(|number| engine.run(web(number).health("healthy")));
    let mut follower = Follower::synced(&engine).await;
    // After the first check.
    follower.listen_for(Duration::from_secs(5)).await;

    engine.drop_events(true);
    engine.remove(&removed);
    engine.stop(&stopped, 1);
    engine.rename(&renamed, "other");
    engine.connect(&connected, "shop", "10.1.0.2");
    engine.set_health(&sick, "unhealthy");
    engine.pause(&paused);
    let started = engine.run(web(9));
    follower
        .until("everything that was not told", |follower| {
            let container = |id: &String| follower.containers.get(id);
            container(&removed).is_none()
                && container(&stopped).is_some_and(|it| it.state == State::Exited { code: 1 })
                && container(&renamed).is_some_and(|it| &*it.name == "other")
                && container(&connected).is_some_and(|it| it.networks.contains_key("shop"))
                && container(&sick)
                    .is_some_and(|it| it.state == State::Running { paused: false, health: Health::Unhealthy })
                && container(&paused).is_some_and(|it| matches!(it.state, State::Running { paused: true, .. }))
                && container(&started).is_some()
        })
        .await;

    // An end that was told, and a start after it that was not.
    engine.drop_events(false);
    engine.stop(&flapped, 0);
    follower.until("the end", |follower| !follower.containers[&flapped].state.is_running()).await;
    engine.drop_events(true);
    engine.start_container(&flapped);
    follower.until("the start", |follower| follower.containers[&flapped].state.is_running()).await;
    assert_eq!(follower.history.iter().filter(|said| *said == "[…]").count(), 1, "a check makes no snapshot");
}

#[tokio::test(start_paused = true)]
async fn an_engine_where_nothing_happens_is_listed_now_and_then_and_inspected_once() {
    let engine = FakeEngine::start().await;
    engine.populate(20, web);
    let mut follower = Follower::synced(&engine).await;
    follower.listen_for(Duration::from_secs(305)).await;
    assert_eq!(engine.inspects(), 20);
    assert!((10..14).contains(&engine.count("/containers/json")), "{}", engine.count("/containers/json"));
    assert_eq!(follower.history.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_in_any_way_is_opened_again_and_everything_inspected() {
    for (how, break_it) in [
        ("end", FakeEngine::end_streams as fn(&FakeEngine)),
        ("cut", FakeEngine::cut_streams),
        ("cut in a line", FakeEngine::cut_streams_in_a_line),
    ] {
        let engine = FakeEngine::start().await;
        let gone = engine.run(web(1));
        let stays = engine.run(web(2));
        let mut follower = Follower::synced(&engine).await;
        engine.drop_events(true);
        engine.remove(&gone);
        engine.rename(&stays, "other");
        let new = engine.run(web(3));
        break_it(&engine);
        follower.snapshot().await;
        assert_eq!(follower.running(), [stays.clone(), new], "{how}");
        assert_eq!(&*follower.containers[&stays].name, "other", "{how}");
        assert!(follower.history.contains(&format!("-{}", &gone[..12])), "{how}: {:?}", follower.history);
        engine.drop_events(false);
        let later = engine.run(web(4));
        follower.until("an event of the new stream", |follower| follower.containers.contains_key(&later)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn garbage_in_the_stream_is_skipped_and_what_it_may_have_hidden_is_found_soon() {
    let engine = FakeEngine::start().await;
    let mut follower = Follower::synced(&engine).await;
    follower.listen_for(Duration::from_secs(5)).await;
    for garbage in [b"\xff\xfe\x00garbage\n".to_vec(), b"{\"Type\":\n".to_vec(), vec![b'x'; 3 << 20]] {
        engine.drop_events(true);
        let hidden = engine.run(web(1));
        engine.drop_events(false);
        engine.send_raw(garbage);
        engine.send_raw("\n");
        let begin = Instant::now();
        follower.until("the hidden start", |follower| follower.containers.contains_key(&hidden)).await;
        assert!(begin.elapsed() < Duration::from_secs(3));
        let next = engine.run(web(2));
        follower.until("the next event", |follower| follower.containers.contains_key(&next)).await;
    }
    assert_eq!(engine.count("/events"), 1, "the stream was good enough");
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_goes_away_takes_nothing_with_it() {
    let engine = FakeEngine::start().await;
    let ids = engine.populate(10, web);
    let mut follower = Follower::synced(&engine).await;
    engine.go_away().await;
    follower.listen_for(Duration::from_secs(600)).await;
    assert_eq!(follower.running(), ids);
    assert_eq!(follower.history.len(), 1, "{:?}", follower.history);

    // Meanwhile, with nobody to hear of it.
    engine.remove(&ids[0]);
    engine.stop(&ids[1], 5);
    engine.run(web(99));
    engine.come_back().await;
    let begin = Instant::now();
    follower.snapshot().await;
    assert!(begin.elapsed() < Duration::from_secs(12), "within the longest pause");
    follower.agrees_with(&engine).await;
    assert!(follower.history.contains(&".web1".to_owned()), "{:?}", follower.history);
    assert!(follower.history.contains(&format!("-{}", &ids[0][..12])), "{:?}", follower.history);
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_removes_nothing() {
    let engine = FakeEngine::start().await;
    let ids = engine.populate(5, web);
    let mut follower = Follower::synced(&engine).await;
    engine.list_nothing(true);
    for _ in 0..3 {
        engine.restart().await;
        follower.snapshot().await;
        assert_eq!(follower.running(), ids);
    }
    follower.listen_for(Duration::from_secs(100)).await;
    assert_eq!(follower.running(), ids);
    assert!(follower.history.iter().all(|said| said == "[…]"), "{:?}", follower.history);
}

#[tokio::test(start_paused = true)]
async fn a_list_that_fails_removes_nothing_and_is_asked_for_again() {
    for fault in
        [Fault::Fail(500), Fault::Hang, Fault::Garbage("{\"not\": \"a list\"}".into()), Fault::Garbage("[".into())]
    {
        let engine = FakeEngine::start().await;
        let ids = engine.populate(5, web);
        let mut follower = Follower::synced(&engine).await;
        engine.fault_list(fault.clone());
        follower.listen_for(Duration::from_secs(300)).await;
        assert_eq!(follower.running(), ids, "{fault:?}");
        engine.fault_list(Fault::None);
        follower.snapshot().await;
        let new = engine.run(web(9));
        follower.until("an event", |follower| follower.containers.contains_key(&new)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_refused_is_asked_for_again() {
    let engine = FakeEngine::start().await;
    engine.populate(5, web);
    engine.fault_events(Fault::Fail(403));
    let mut follower = Follower::of(&engine).await;
    follower.listen_for(Duration::from_secs(100)).await;
    assert!(follower.history.is_empty());
    engine.fault_events(Fault::None);
    follower.agrees_with(&engine).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_begins_late_or_never_keeps_nothing_from_being_known() {
    let engine = FakeEngine::start().await;
    engine.populate(5, web);
    engine.fault_events(Fault::Delay(Duration::from_secs(100)));
    let begin = Instant::now();
    let mut follower = Follower::synced(&engine).await;
    assert!(begin.elapsed() < Duration::from_secs(5));
    follower.agrees_with(&engine).await;
    let checked = engine.run(web(6));
    follower.until("a start without an event", |follower| follower.containers.contains_key(&checked)).await;

    follower.listen_for(Duration::from_secs(100)).await;
    assert_eq!((engine.open_streams(), engine.count("/events")), (1, 1));
    let told = engine.run(web(7));
    let begin = Instant::now();
    follower.until("a start with one", |follower| follower.containers.contains_key(&told)).await;
    assert!(begin.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn one_container_that_cannot_be_inspected_delays_no_other() {
    for fault in [Fault::Fail(500), Fault::Fail(404), Fault::Hang, Fault::Garbage("{}".into())] {
        let engine = FakeEngine::start().await;
        let ids = engine.populate(30, web);
        engine.fault_inspect_of(&ids[7], fault.clone());
        let begin = Instant::now();
        let mut follower = Follower::synced(&engine).await;
        assert!(begin.elapsed() < Duration::from_secs(5), "{fault:?}");
        assert_eq!(follower.running().len(), 29);
        assert_eq!(follower.unknown.iter().collect::<Vec<_>>(), [&ids[7]], "{fault:?}");
        let new = engine.run(web(99));
        let begin = Instant::now();
        follower.until("another one", |follower| follower.containers.contains_key(&new)).await;
        assert!(begin.elapsed() < Duration::from_secs(1), "{fault:?}");
        engine.fault_inspect_of(&ids[7], Fault::None);
        follower.agrees_with(&engine).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_known_stays_known_while_it_cannot_be_inspected() {
    for fault in [Fault::Fail(500), Fault::Hang] {
        let engine = FakeEngine::start().await;
        let ids = engine.populate(30, web);
        let mut follower = Follower::synced(&engine).await;
        engine.fault_inspect(fault.clone());
        engine.restart().await;
        follower.snapshot().await;
        assert_eq!(follower.unknown.len(), 30, "{fault:?}");
        follower.listen_for(Duration::from_secs(200)).await;
        assert_eq!(follower.running(), ids, "{fault:?}");
        engine.remove(&ids[0]);
        engine.fault_inspect(Fault::None);
        follower.agrees_with(&engine).await;
        assert!(follower.history.iter().all(|said| !said.starts_with('.')), "{:?}", follower.history);
    }
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_five_hundred_is_seen_whole() {
    let engine = FakeEngine::start().await;
    let before = engine.populate(50, web);
    let mut follower = Follower::synced(&engine).await;
    for id in &before {
        engine.remove(id);
    }
    let ids: Vec<_> = (0..500).map(|number| engine.run(web(number))).collect();
    for id in ids.iter().step_by(2) {
        engine.stop(id, 1);
    }
    let begin = Instant::now();
    follower.agrees_with(&engine).await;
    assert_eq!(follower.running().len(), 250);
    assert!(begin.elapsed() < Duration::from_secs(5), "by events, not by checks");
}

#[tokio::test(start_paused = true)]
async fn a_slow_listener_loses_nothing() {
    let engine = FakeEngine::start().await;
    let mut follower = Follower::synced(&engine).await;
    let ids: Vec<_> = (0..500).map(|number| engine.run(web(number))).collect();
    sleep(Duration::from_secs(300)).await;
    for id in &ids[..400] {
        engine.remove(id);
    }
    sleep(Duration::from_secs(300)).await;
    engine.restart().await;
    sleep(Duration::from_secs(300)).await;
    follower.agrees_with(&engine).await;
    assert_eq!(follower.running(), ids[400..]);
}

#[tokio::test(start_paused = true)]
async fn a_resync_inspects_everything_and_tells_it_all_again() {
    let engine = FakeEngine::start().await;
    let ids = engine.populate(20, web);
    let mut follower = Follower::synced(&engine).await;
    engine.drop_events(true);
    // In a way that no list shows.
    engine.change(&ids[3], "update", |container| *container = container.clone().with("/Config/Hostname", json!("new")));
    engine.forget_requests();
    follower.resync.notify_one();
    follower.snapshot().await;
    assert_eq!(&*follower.containers[&ids[3]].hostname, "new");
    assert_eq!((engine.inspects(), engine.count("/events")), (20, 0));

    let config = DockerConfig { resync: Some(Duration::from_secs(100)), ..config(&engine) };
    let mut follower = Follower::with(&config).await;
    let begin = Instant::now();
    for round in 0..4 {
        follower.snapshot().await;
        let elapsed = begin.elapsed().as_secs();
        assert_eq!(elapsed / 100, round, "{elapsed}");
    }
}

#[tokio::test(start_paused = true)]
async fn resyncs_without_end_do_not_keep_snapshots_from_ending() {
    let engine = FakeEngine::start().await;
    engine.populate(100, web);
    engine.fault_inspect(Fault::Delay(Duration::from_millis(100)));
    let mut follower = Follower::of(&engine).await;
    let resync = Arc::clone(&follower.resync);
    let eager = tokio::spawn(async move {
        loop {
            resync.notify_one();
            sleep(Duration::from_millis(10)).await;
        }
    });
    for _ in 0..3 {
        follower.snapshot().await;
        assert_eq!(follower.running().len(), 100);
    }
    eager.abort();
}

#[tokio::test(start_paused = true)]
async fn an_event_goes_before_a_resync() {
    let engine = FakeEngine::start().await;
    engine.populate(500, web);
    let mut follower = Follower::synced(&engine).await;
    engine.fault_inspect(Fault::Delay(Duration::from_millis(100)));
    follower.resync.notify_one();
    sleep(Duration::from_secs(1)).await;
    let new = engine.run(web(999));
    let begin = Instant::now();
    follower.until("the new one", |follower| follower.containers.contains_key(&new)).await;
    assert!(begin.elapsed() < Duration::from_millis(500), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn containers_that_do_not_run_are_told_where_they_are_wanted() {
    let engine = FakeEngine::start().await;
    let created = engine.create(web(1));
    let ended = engine.run(web(2));
    engine.stop(&ended, 3);
    let running = engine.run(web(3));

    let mut few = Follower::synced(&engine).await;
    assert_eq!(few.containers.keys().collect::<Vec<_>>(), [&running]);

    let mut all = Follower::with(&DockerConfig { list_all: true, ..config(&engine) }).await;
    all.snapshot().await;
    assert_eq!(all.containers.keys().collect::<Vec<_>>(), [&created, &ended, &running]);
    assert_eq!(all.containers[&ended].state, State::Exited { code: 3 });
    assert_eq!(all.containers[&ended].ports[0].bindings[0].port, 8000, "where it was published");

    engine.stop(&running, 4);
    for follower in [&mut few, &mut all] {
        follower.until("the end", |it| it.containers[&running].state == State::Exited { code: 4 }).await;
    }
    few.resync.notify_one();
    all.resync.notify_one();
    few.snapshot().await;
    all.snapshot().await;
    assert!(few.containers.is_empty());
    assert_eq!(all.containers.len(), 3);
    engine.remove(&ended);
    all.until("the removal", |it| it.containers.len() == 2).await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_was_updated_is_spoken_to_in_its_new_version() {
    let engine = FakeEngine::start().await;
    let id = engine.run(web(1));
    let mut follower = Follower::synced(&engine).await;
    engine.go_away().await;
    engine.set_api((1, 60), (1, 44));
    engine.come_back().await;
    follower.snapshot().await;
    assert_eq!(follower.running(), [id]);
    assert!(engine.requests().iter().any(|request| request.path == "/v1.52/events"));
    let new = engine.run(web(2));
    follower.until("an event in its new shape", |follower| follower.containers.contains_key(&new)).await;
}

#[tokio::test(start_paused = true)]
async fn an_engine_is_only_ever_asked() {
    let engine = FakeEngine::start().await;
    engine.populate(5, web);
    let mut follower = Follower::synced(&engine).await;
    let id = engine.run(web(9));
    engine.stop(&id, 1);
    engine.remove(&id);
    engine.cut_streams();
    follower.snapshot().await;
    follower.resync.notify_one();
    follower.snapshot().await;
    follower.listen_for(Duration::from_secs(100)).await;
    let asked: BTreeSet<_> = engine.requests().into_iter().map(|request| request.method).collect();
    assert_eq!(asked, BTreeSet::from(["GET".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_at_once_whatever_hangs() {
    let engine = FakeEngine::start().await;
    engine.populate(100, web);
    engine.fault_inspect(Fault::Hang);
    let mut follower = Follower::of(&engine).await;
    sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    follower.stop.cancel();
    while follower.changes.recv().await.is_some() {}
    assert!(begin.elapsed() < Duration::from_millis(100));
}

/// What was told, as lines of the log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn events(&self) -> Events {
        let lines = Arc::clone(&self.0);
        Events::new(move |event| {
            if event.is_measurement() {
                return;
            }
            let line = event.line();
            lines.lock().unwrap().push(format!("{:?} {}", line.level, line.text));
        })
    }

    /// Each line begins as it is expected to.
    fn assert(&self, engine: &FakeEngine, expected: &[&str]) {
        let lines: Vec<_> =
            self.0.lock().unwrap().iter().map(|line| line.replace(&engine.host(), "unix:///docker.sock")).collect();
        let all = lines.join("\n");
        assert_eq!(lines.len(), expected.len(), "{all}");
        for (line, expected) in lines.iter().zip(expected) {
            assert!(line.starts_with(expected), "not {expected:?} in:\n{all}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn losing_an_engine_and_finding_it_again_is_one_line_each() {
    let (engine, log) = (FakeEngine::start().await, Log::default());
    let id = engine.run(web(1));
    let mut follower = Follower::telling(&config(&engine), log.events()).await;
    follower.snapshot().await;
    engine.end_streams();
    follower.snapshot().await;
    engine.go_away().await;
    follower.listen_for(Duration::from_secs(300)).await;
    engine.come_back().await;
    follower.snapshot().await;
    engine.fault_inspect_of(&id, Fault::Fail(500));
    engine.rename(&id, "other");
    engine.send_raw("garbage\nmore garbage\n");
    follower.listen_for(Duration::from_secs(60)).await;
    log.assert(
        &engine,
        &[
            "Info Listening for Docker events ...",
            "Warn Docker at unix:///docker.sock is lost: the event stream ended; reconnecting",
            "Info Docker at unix:///docker.sock is back after ",
            "Warn Docker at unix:///docker.sock is lost: the event stream broke: unexpected EOF during chunk size line; \
             reconnecting",
            "Warn Docker at unix:///docker.sock has been lost for 1m: a socket that is mounted into a container goes stale \
             when dockerd restarts; mount its directory instead, or restart this container",
            "Info Docker at unix:///docker.sock is back after 5m",
            "Warn Docker sent 2 events that cannot be read; the containers are listed again instead",
            "Warn Docker cannot inspect 000000000001: it answers 500: something went wrong on purpose; it stays as it was, \
             and is tried again",
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_stays_away_is_told_of_again_with_what_fails_now() {
    let (engine, log) = (FakeEngine::start().await, Log::default());
    let mut follower = Follower::telling(&config(&engine), log.events()).await;
    follower.snapshot().await;
    engine.fault_version(Fault::Garbage("<html>".into()));
    engine.cut_streams();
    follower.listen_for(Duration::from_secs(1300)).await;
    let lasts =
        |time| format!("Warn Docker at unix:///docker.sock has been lost for {time}: unix:///docker.sock is not a");
    log.assert(
        &engine,
        &[
            "Info Listening for Docker events ...",
            "Warn Docker at unix:///docker.sock is lost: the event stream broke",
            &lasts("1m"),
            &lasts("11m"),
            &lasts("21m"),
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_said_once_in_a_while_and_when_it_is_granted() {
    let (engine, log) = (FakeEngine::start().await, Log::default());
    let (known, new) = (engine.run(web(1)), web(2));
    let mut follower = Follower::telling(&config(&engine), log.events()).await;
    follower.snapshot().await;
    engine.fault_events(Fault::Fail(403));
    engine.end_streams();
    follower.listen_for(Duration::from_secs(400)).await;
    engine.fault_events(Fault::None);
    follower.snapshot().await;
    engine.fault_inspect(Fault::Fail(403));
    let new = engine.run(new);
    engine.rename(&known, "other");
    follower.listen_for(Duration::from_secs(400)).await;
    assert_eq!(follower.running(), std::slice::from_ref(&known), "what is known stays");
    engine.fault_inspect(Fault::None);
    follower.until("the new container", |follower| follower.containers.contains_key(&new)).await;
    follower.listen_for(Duration::from_secs(20)).await;
    engine.fault_list(Fault::Fail(403));
    follower.resync.notify_one();
    follower.listen_for(Duration::from_secs(20)).await;
    engine.fault_list(Fault::None);
    follower.snapshot().await;
    let refuses = |path: &str, hint: &str| {
        format!(
            "Warn Docker at unix:///docker.sock refuses {path}: it answers 403: something went wrong on purpose; let the \
             proxy before it pass GET {path} (docker-socket-proxy: {hint})"
        )
    };
    let again =
        |path: &str| format!("Info Docker at unix:///docker.sock answers {path} again, after it refused it for ");
    let (events, list, inspect) = ("/events", "/containers/json", "/containers/{id}/json");
    log.assert(
        &engine,
        &[
            "Info Listening for Docker events ...",
            "Warn Docker at unix:///docker.sock is lost: the event stream ended; reconnecting",
            &refuses(events, "EVENTS=1"),
            &refuses(events, "EVENTS=1"),
            &again(events),
            "Info Docker at unix:///docker.sock is back after 6m",
            &refuses(inspect, "CONTAINERS=1"),
            &refuses(inspect, "CONTAINERS=1"),
            &again(inspect),
            &refuses(list, "CONTAINERS=1"),
            &again(list),
        ],
    );
}

#[tokio::test(start_paused = true)]
async fn after_an_inspect_without_an_answer_the_event_stream_is_opened_again() {
    let engine = FakeEngine::start().await;
    let id = engine.run(web(1));
    let mut follower = Follower::synced(&engine).await;
    engine.forget_requests();
    engine.fault_inspect_of(&id, Fault::Hang);
    engine.rename(&id, "other");
    follower.listen_for(Duration::from_secs(120)).await;
    assert_eq!(engine.count("/events"), 1, "once, and not for each time that it fails again");
    assert_eq!(engine.open_streams(), 1);
    engine.fault_inspect_of(&id, Fault::None);
    follower.until("its new name", |follower| follower.containers.values().any(|known| &*known.name == "other")).await;
}
