//! What a keeper promises, in virtual time, against the registry in memory.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use registrator::config::{Deregister, OnShutdown};
use registrator::container::{ContainerId, Health, Moment, Protocol};
use registrator::desired::{Command, Compare, Desired, Evidence, Kept, Mode, Occasion, Unknown, Update};
use registrator::event::Events;
use registrator::reconcile::{Guarded, Keeper, OPERATION_DEADLINE, Rules};
use registrator::registry::{Action, Entry, Mark, Marked, Policy, Reason, Registry, Write};
use registrator::service::{AddressOf, Origin, Service};
use testkit::memory::{Faults, Memory, Request};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

mod guarded;
mod life;

/// The longest pause between two attempts to reach a registry, with its jitter.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// When what failed on the way, or what is in our way, is looked at once more.
const RECHECK: Duration = Duration::from_secs(30);

/// A keeper at work on a registry in memory.
struct Bench {
    memory: Memory,
    keeper: tokio::task::JoinHandle<()>,
    commands: mpsc::UnboundedSender<Command>,
    stop: CancellationToken,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Bench {
    fn new() -> Self {
        Self::on(Memory::new("us"))
    }

    fn on(memory: Memory) -> Self {
        Self::with(memory, rules())
    }

    fn with(memory: Memory, rules: Rules) -> Self {
        Self::guarded(memory, rules, Guarded { percent: 0, ask: Arc::default() })
    }

    fn guarded(memory: Memory, rules: Rules, guard: Guarded) -> Self {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let told = Arc::clone(&lines);
        let events = Events::new(move |event| told.lock().unwrap().push(event.line().text));
        let keeper = Keeper::guarded("memory://", Arc::new(memory.clone()), rules, events, guard);
        let (commands, receiver) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let keeper = tokio::spawn(keeper.run(receiver, stop.clone()));
        Self { memory, keeper, commands, stop, lines }
    }

    /// The lines of the log since the last call of this that contain this.
    fn lines(&self, part: &str) -> Vec<String> {
        let lines = std::mem::take(&mut *self.lines.lock().unwrap());
        lines.into_iter().filter(|line| line.contains(part)).collect()
    }

    /// A person asks for everything to be compared.
    fn ask(&self) {
        let compare = Compare { unknown: Arc::default(), cleanup: false, occasion: Occasion::Asked };
        self.commands.send(Command::Compare(compare)).unwrap();
    }

    fn update(&self, updates: impl IntoIterator<Item = (String, Desired)>) {
        let updates = updates.into_iter().map(|(id, desired)| update(&service(&id, 1), desired));
        self.commands.send(Command::Updates(updates.collect(), None)).unwrap();
    }

    fn compare(&self, complete: bool, cleanup: bool) {
        let unknown = if complete { Vec::new() } else { vec![Unknown { name: None }] };
        let compare = Compare { unknown: unknown.into(), cleanup, occasion: Occasion::Listed };
        self.commands.send(Command::Compare(compare)).unwrap();
    }

    /// Lets virtual time pass until everything that is not a matter of minutes is done.
    async fn settle(&self) {
        sleep(Duration::from_secs(15)).await;
    }

    /// Tells it to stop, and says how long that took.
    async fn end(mut self) -> Duration {
        let begin = Instant::now();
        self.stop.cancel();
        (&mut self.keeper).await.unwrap();
        begin.elapsed()
    }

    fn ids(&self) -> Vec<String> {
        self.memory.held().into_keys().collect()
    }

    fn writes(&self) -> Vec<Request> {
        self.memory.take_requests().into_iter().filter(|request| *request != Request::Read).collect()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn rules() -> Rules {
    Rules { owner: "us".into(), hostname: "host".into(), ..Rules::default() }
}

fn service(id: &str, port: u16) -> Arc<Service> {
    Arc::new(Service {
        id: id.into(),
        name: "web".to_owned(),
        address: "10.0.0.1".into(),
        port,
        protocol: Protocol::Tcp,
        tags: Arc::default(),
        attributes: Arc::default(),
        ttl: None,
        check: None,
        health: Health::None,
        traefik: None,
        origin: Origin {
            container: ContainerId::from(id),
            container_name: "web".into(),
            created: Moment::default(),
            started: Moment::default(),
            claimed: false,
            address_of: AddressOf::Container,
            hostname: id.into(),
            exposed_port: 80,
        },
    })
}

/// A change of what becomes of this service.
fn update(service: &Arc<Service>, desired: Desired) -> Update {
    Update { source: service.source(), was: Some(Arc::clone(service)), desired }
}

fn wanted(id: &str, port: u16) -> (String, Desired) {
    (id.to_owned(), Desired::Present(service(id, port), Mode::Serving))
}

fn absent(id: &str) -> (String, Desired) {
    (id.to_owned(), Desired::Absent(Evidence::Event))
}

fn foreign(id: &str, owner: Option<&str>) -> Entry {
    Entry {
        key: id.into(),
        service_id: id.into(),
        owner: owner.map(Arc::from),
        fingerprint: 7,
        marked: Marked::No,
        critical: false,
        content: None,
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_before_everything_was_looked_at() {
    let bench = Bench::new();
    bench.memory.put(foreign("old", Some("us")));
    bench.update([wanted("a", 1)]);
    bench.settle().await;
    assert_eq!(bench.ids(), ["old"]);
    bench.compare(true, false);
    bench.settle().await;
    assert_eq!(bench.ids(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_is_right_is_not_written_to() {
    let bench = Bench::new();
    bench.update([wanted("a", 1), wanted("b", 2)]);
    bench.compare(true, true);
    bench.settle().await;
    assert_eq!(bench.writes().len(), 2);

    bench.compare(true, true);
    bench.settle().await;
    assert_eq!(bench.writes(), []);

    // Nor by a second keeper that finds it so.
    let second = Bench::on(bench.memory.clone());
    second.update([wanted("a", 1), wanted("b", 2)]);
    second.compare(true, true);
    second.settle().await;
    assert_eq!(second.writes(), []);
}

#[tokio::test(start_paused = true)]
async fn what_stops_is_removed_and_what_changes_is_written_again() {
    let bench = Bench::new();
    bench.compare(true, false);
    bench.update([wanted("a", 1), wanted("b", 1)]);
    bench.settle().await;
    bench.update([absent("a"), wanted("b", 2)]);
    bench.settle().await;
    assert_eq!(bench.ids(), ["b"]);
    let fingerprint = bench.memory.canonical(&service("b", 2)).fingerprint;
    assert_eq!(bench.memory.held()["b"].fingerprint, fingerprint);
}

#[tokio::test(start_paused = true)]
async fn the_last_state_wins_while_a_write_is_under_way() {
    let bench = Bench::new();
    bench.memory.fail(Faults { delay: Duration::from_secs(1), ..Faults::default() });
    bench.compare(true, false);
    bench.update([wanted("a", 1), wanted("b", 1)]);
    sleep(Duration::from_millis(1500)).await;
    // The first batch is being written now.
    bench.update([absent("a"), wanted("b", 2)]);
    bench.update([wanted("b", 3)]);
    bench.settle().await;
    assert_eq!(bench.ids(), ["b"]);
    assert_eq!(bench.memory.held()["b"].fingerprint, bench.memory.canonical(&service("b", 3)).fingerprint);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_survived_and_everything_caught_up() {
    let bench = Bench::new();
    bench.compare(true, false);
    bench.update([wanted("a", 1), wanted("b", 1)]);
    bench.settle().await;
    bench.memory.fail(Faults { away: true, ..Faults::default() });
    bench.update([absent("a"), wanted("c", 1)]);
    bench.settle().await;
    assert_eq!(bench.ids(), ["a", "b"]);
    // It comes back without what it held.
    bench.memory.wipe();
    bench.memory.fail(Faults::default());
    // The pause may be twice as long, for the jitter.
    sleep(LONGEST_PAUSE * 2).await;
    bench.settle().await;
    assert_eq!(bench.ids(), ["b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_hung_registry_is_given_up_and_tried_again() {
    let bench = Bench::new();
    bench.memory.fail(Faults { hung: true, ..Faults::default() });
    bench.compare(true, false);
    bench.update([wanted("a", 1)]);
    sleep(OPERATION_DEADLINE * 2).await;
    bench.memory.fail(Faults::default());
    sleep(OPERATION_DEADLINE + LONGEST_PAUSE * 2).await;
    assert_eq!(bench.ids(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_was_done_but_reported_as_failed_is_not_done_twice() {
    let bench = Bench::new();
    bench.memory.fail(Faults { mute: true, ..Faults::default() });
    bench.compare(true, false);
    bench.update([wanted("a", 1)]);
    bench.settle().await;
    assert_eq!(bench.writes(), [Request::Register("a".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn after_a_failed_write_it_looks_once_more_for_what_arrives_late() {
    let bench = Bench::new();
    bench.compare(true, false);
    bench.settle().await;
    bench.memory.fail(Faults { away: true, ..Faults::default() });
    bench.update([wanted("a", 1)]);
    sleep(Duration::from_secs(1)).await;
    bench.memory.fail(Faults::default());
    bench.settle().await;
    assert_eq!(bench.ids(), ["a"]);
    // As a removal would that was given up long ago.
    bench.memory.expire("a");
    sleep(RECHECK).await;
    assert_eq!(bench.ids(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_late_write_of_ours_goes_although_it_has_no_owner() {
    let bench = Bench::new();
    bench.compare(true, false);
    bench.update([wanted("a", 1)]);
    bench.settle().await;
    let late = Entry { owner: None, ..bench.memory.held()["a"].clone() };
    bench.update([absent("a")]);
    bench.settle().await;
    bench.memory.fail(Faults { away: true, ..Faults::default() });
    bench.update([wanted("a", 1)]);
    sleep(Duration::from_secs(1)).await;
    bench.update([absent("a")]);
    bench.memory.fail(Faults::default());
    bench.settle().await;
    assert_eq!(bench.ids(), [""; 0]);
    bench.memory.put(late.clone());
    bench.settle().await;
    assert_eq!(bench.ids(), [""; 0]);
    // What is at another key is not ours for being equal.
    bench.memory.put(Entry { key: "b".into(), ..late });
    bench.settle().await;
    assert_eq!(bench.ids(), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn one_refused_service_stops_no_other_and_is_tried_again_when_it_changes_and_now_and_then() {
    let bench = Bench::new();
    bench.memory.fail(Faults { refuses: Some("bad".to_owned()), ..Faults::default() });
    bench.compare(true, false);
    bench.update([wanted("bad", 1), wanted("good", 1)]);
    bench.settle().await;
    assert_eq!(bench.ids(), ["good"]);
    assert_eq!(bench.lines("register failed"), ["register failed: bad: refused"]);

    // Ever more rarely, and no more often because an external writer changed something.
    sleep(Duration::from_secs(600)).await;
    drop(bench.writes());
    bench.memory.put(foreign("theirs", Some("them")));
    sleep(Duration::from_secs(240)).await;
    assert_eq!(bench.writes().len(), 4);

    bench.update([wanted("bad", 2)]);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(bench.writes(), [Request::Register("bad".to_owned())]);

    // Nobody says that it is taken now.
    bench.memory.fail(Faults::default());
    sleep(Duration::from_secs(61)).await;
    assert_eq!(bench.ids(), ["bad", "good", "theirs"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_tried_at_once_when_a_person_asks() {
    let bench = Bench::new();
    bench.memory.fail(Faults { refuses: Some("bad".to_owned()), ..Faults::default() });
    bench.compare(true, false);
    bench.update([wanted("bad", 1)]);
    sleep(Duration::from_secs(600)).await;
    bench.memory.fail(Faults::default());
    bench.ask();
    sleep(Duration::from_millis(10)).await;
    assert_eq!(bench.ids(), ["bad"]);
}

#[tokio::test(start_paused = true)]
async fn what_another_hand_removes_or_changes_is_repaired_at_once() {
    let bench = Bench::new();
    bench.compare(true, false);
    bench.update([wanted("a", 1), wanted("b", 1)]);
    bench.settle().await;
    bench.memory.wipe();
    bench.settle().await;
    assert_eq!(bench.ids(), ["a", "b"]);
    bench.memory.put(foreign("a", Some("us")));
    bench.settle().await;
    assert_eq!(bench.memory.held()["a"].fingerprint, bench.memory.canonical(&service("a", 1)).fingerprint);
}

#[tokio::test(start_paused = true)]
async fn an_entry_of_another_owner_is_left_alone_until_its_owner_removes_it() {
    let bench = Bench::new();
    bench.memory.put(foreign("a", Some("them")));
    bench.compare(true, true);
    bench.update([wanted("a", 1)]);
    bench.settle().await;
    bench.update([absent("a")]);
    bench.settle().await;
    bench.update([wanted("a", 1)]);
    bench.settle().await;
    assert_eq!(bench.memory.held()["a"], foreign("a", Some("them")));
    assert_eq!(bench.writes(), []);
    bench.memory.wipe();
    bench.settle().await;
    assert_eq!(bench.memory.held()["a"].owner.as_deref(), Some("us"));
}

#[tokio::test(start_paused = true)]
async fn what_is_in_the_way_is_looked_at_again_even_if_nobody_tells_that_it_went() {
    let bench = Bench::new();
    bench.memory.put(foreign("a", Some("them")));
    bench.compare(true, true);
    bench.update([wanted("a", 1)]);
    bench.settle().await;
    bench.memory.expire("a");
    sleep(RECHECK).await;
    assert_eq!(bench.memory.held()["a"].owner.as_deref(), Some("us"));
}

/// It came after we read and went before we read again: what is read is as it was.
#[tokio::test(start_paused = true)]
async fn what_was_in_the_way_of_a_write_alone_is_tried_again() {
    let bench = Bench::new();
    bench.memory.fail(Faults { taken: Some("a".to_owned()), ..Faults::default() });
    bench.compare(true, false);
    bench.update([wanted("a", 1), wanted("b", 1)]);
    bench.settle().await;
    assert_eq!(bench.ids(), ["b"]);
    assert_eq!(bench.writes().len(), 2);
    bench.memory.fail(Faults::default());
    sleep(RECHECK).await;
    assert_eq!(bench.ids(), ["a", "b"]);
    assert_eq!(bench.writes(), [Request::Register("a".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_changes_all_the_time_is_read_for_a_small_part_of_the_time() {
    let bench = Bench::new();
    bench.compare(true, false);
    bench.update([wanted("a", 1)]);
    bench.settle().await;
    bench.memory.fail(Faults { delay: Duration::from_millis(100), ..Faults::default() });
    let _ = bench.memory.take_requests();
    for port in 0..100 {
        bench.memory.put(Entry { fingerprint: port, ..foreign("theirs", Some("them")) });
        sleep(Duration::from_millis(200)).await;
    }
    let reads = bench.memory.take_requests().len();
    assert!((8..=11).contains(&reads), "{reads} reads of 0.1 s in 20 s");
    // The last change is not missed.
    bench.memory.put(foreign("a", Some("us")));
    bench.settle().await;
    assert_eq!(bench.memory.held()["a"].fingerprint, bench.memory.canonical(&service("a", 1)).fingerprint);
}

#[tokio::test(start_paused = true)]
async fn a_registry_that_holds_much_and_changes_all_the_time_is_read_less_often() {
    for (held, expected) in [(0, 100), (4_000, 20), (20_000, 4), (200_000, 2)] {
        let memory = Memory::new("us");
        (0..held).for_each(|number| memory.put(foreign(&format!("theirs {number}"), Some("them"))));
        let bench = Bench::on(memory);
        bench.compare(true, false);
        bench.settle().await;
        let _ = bench.memory.take_requests();
        for port in 0..100 {
            bench.memory.put(Entry { fingerprint: port, ..foreign("theirs", Some("them")) });
            sleep(Duration::from_millis(200)).await;
        }
        let reads = bench.memory.take_requests().len();
        assert!(reads.abs_diff(expected) <= 2, "{reads} reads of {held} entries in 20 s");
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_without_an_owner_is_adopted_and_goes_with_its_container() {
    let bench = Bench::new();
    bench.memory.put(foreign("host:a:80", None));
    bench.compare(true, false);
    bench.update([wanted("host:a:80", 1)]);
    bench.settle().await;
    assert_eq!(bench.memory.held()["host:a:80"].owner.as_deref(), Some("us"));
    bench.update([absent("host:a:80")]);
    bench.settle().await;
    assert_eq!(bench.ids(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_for_dangling_while_a_container_is_unknown() {
    let bench = Bench::new();
    bench.memory.put(foreign("host:lost:80", Some("us")));
    bench.compare(false, true);
    bench.settle().await;
    assert_eq!(bench.ids(), ["host:lost:80"]);
    bench.compare(true, false);
    bench.settle().await;
    assert_eq!(bench.ids(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_of_our_name_holds_alive_is_removed_once_at_most() {
    let bench = Bench::new();
    for _ in 0..3 {
        bench.memory.put(foreign("host:twin:80", Some("us")));
        bench.compare(true, true);
        bench.settle().await;
    }
    assert_eq!(bench.writes(), [Request::Deregister("host:twin:80".to_owned())]);
    assert_eq!(bench.ids(), ["host:twin:80"]);
    // A container of our own with that ID makes it ours again.
    bench.update([wanted("host:twin:80", 1)]);
    bench.settle().await;
    bench.update([absent("host:twin:80")]);
    bench.settle().await;
    assert_eq!(bench.ids(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn cleanup_is_for_starts_and_resyncs_alone() {
    let bench = Bench::new();
    bench.compare(true, true);
    bench.settle().await;
    bench.memory.put(foreign("host:lost:80", None));
    bench.settle().await;
    assert_eq!(bench.ids(), ["host:lost:80"]);
    bench.compare(true, true);
    bench.settle().await;
    assert_eq!(bench.ids(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_neither_removed_nor_refreshed() {
    let bench = Bench::new();
    bench.compare(true, false);
    let mut lively = (*service("a", 1)).clone();
    lively.ttl = Some(Duration::from_secs(4));
    let lively = Arc::new(lively);
    bench.update([("a".to_owned(), Desired::Present(Arc::clone(&lively), Mode::Serving))]);
    bench.settle().await;
    let refreshes = bench.writes().iter().filter(|request| matches!(request, Request::Refresh(_))).count();
    assert!((5..=8).contains(&refreshes), "{refreshes} refreshes in 15 s at every 2 s");
    bench.update([("a".to_owned(), Desired::Present(lively, Mode::Kept(Kept::Failed)))]);
    bench.settle().await;
    assert_eq!(bench.writes(), [Request::Mark("a".to_owned(), Some(Mark::Ended))]);
    assert_eq!(bench.ids(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_finds_nothing_brings_it_back() {
    let bench = Bench::new();
    let mut lively = (*service("a", 1)).clone();
    lively.ttl = Some(Duration::from_secs(4));
    // Found there at the start: it is refreshed without a write.
    let memory = bench.memory.clone();
    let put = Action::Put(Arc::new(lively.clone()));
    memory.apply(&[Write { key: "a".into(), action: put, reason: Reason::Missing }]).await;
    drop(memory.take_requests());
    bench.compare(true, false);
    bench.update([("a".to_owned(), Desired::Present(Arc::new(lively), Mode::Serving))]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.writes(), [Request::Refresh("a".to_owned())]);
    // It expires, and this registry tells nobody.
    memory.expire("a");
    bench.settle().await;
    assert_eq!(bench.ids(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn of_two_that_claim_one_key_the_one_that_is_there_keeps_it_and_the_other_follows() {
    let claim = |container: &str, created: i64, port: u16| {
        let mut service = (*service("one", port)).clone();
        service.origin.container = ContainerId::from(container);
        service.origin.created = Moment(created);
        Arc::new(service)
    };
    let bench = Bench::new();
    bench.compare(true, false);
    let tell = |service: &Arc<Service>, desired: Desired| {
        bench.commands.send(Command::Updates([update(service, desired)].into(), None)).unwrap();
    };
    let expect = async |expected: Option<&Arc<Service>>, what: &str| {
        bench.settle().await;
        let held = bench.memory.held().get("one").map(|entry| entry.fingerprint);
        assert_eq!(held, expected.map(|service| bench.memory.canonical(service).fingerprint), "{what}");
    };
    let (old, young) = (claim("old", 1, 1), claim("young", 2, 2));
    tell(&old, Desired::Present(Arc::clone(&old), Mode::Serving));
    expect(Some(&old), "alone").await;
    tell(&young, Desired::Present(Arc::clone(&young), Mode::Serving));
    expect(Some(&old), "who is there keeps it").await;
    tell(&old, Desired::Present(Arc::clone(&old), Mode::Kept(Kept::Failed)));
    expect(Some(&young), "what failed does not stand in the way of what runs").await;
    tell(&young, Desired::Absent(Evidence::Event));
    expect(None, "what failed is no reason to keep what served in its place").await;
    tell(&young, Desired::Present(Arc::clone(&young), Mode::Serving));
    expect(Some(&young), "it serves again").await;
    tell(&young, Desired::Present(Arc::clone(&young), Mode::Kept(Kept::Failed)));
    expect(Some(&young), "it failed, too").await;
    tell(&old, Desired::Absent(Evidence::Event));
    expect(Some(&young), "the other is gone").await;
    tell(&young, Desired::Absent(Evidence::Event));
    expect(None, "nobody claims it").await;
}

#[tokio::test(start_paused = true)]
async fn what_moved_away_is_not_kept_for_one_that_ended() {
    let claim = |container: &str, port: u16| {
        let mut service = (*service("one", port)).clone();
        service.origin.container = ContainerId::from(container);
        Arc::new(service)
    };
    for (want, stays) in [(Desired::Absent(Evidence::Event), false), (Desired::Forgotten, true)] {
        let bench = Bench::new();
        bench.compare(true, false);
        let tell = |service: &Arc<Service>, desired: Desired| {
            bench.commands.send(Command::Updates([update(service, desired)].into(), None)).unwrap();
        };
        let (ended, runs) = (claim("ended", 1), claim("runs", 2));
        tell(&ended, Desired::Present(Arc::clone(&ended), Mode::Kept(Kept::Ended)));
        tell(&runs, Desired::Present(Arc::clone(&runs), Mode::Serving));
        bench.settle().await;
        assert!(bench.memory.held().contains_key("one"));
        tell(&runs, want.clone());
        bench.settle().await;
        assert_eq!(bench.memory.held().contains_key("one"), stays, "{want:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_stops_at_once_whatever_hangs() {
    let bench = Bench::new();
    bench.memory.fail(Faults { hung: true, ..Faults::default() });
    bench.compare(true, false);
    bench.update([wanted("a", 1)]);
    sleep(Duration::from_secs(1)).await;
    bench.stop.cancel();
    timeout(Duration::from_millis(10), bench.commands.closed()).await.unwrap();
}

/// Something that happens in the life of a keeper.
#[derive(Clone, Debug)]
enum Step {
    Want(u8, u16),
    Drop(u8),
    Resync,
    Fail(Faults),
    Wipe,
    Steal(u8),
    Expire(u8),
    Pass(u64),
}

fn steps() -> impl proptest::strategy::Strategy<Value = Vec<Step>> {
    use proptest::prelude::*;
    let faults = (any::<bool>(), any::<bool>(), any::<bool>(), prop::option::of(0_u8..4), 0_u64..3000).prop_map(
        |(away, hung, mute, refuses, delay)| Faults {
            away,
            hung,
            mute,
            refuses: refuses.map(|id| format!("s{id}")),
            taken: None,
            delay: Duration::from_millis(delay),
        },
    );
    let event = prop_oneof![
        4 => (0_u8..6, 1_u16..4).prop_map(|(id, port)| Step::Want(id, port)),
        3 => (0_u8..6).prop_map(Step::Drop),
        1 => Just(Step::Resync),
        2 => faults.prop_map(Step::Fail),
        1 => Just(Step::Fail(Faults::default())),
        1 => Just(Step::Wipe),
        1 => (0_u8..6).prop_map(Step::Steal),
        1 => (0_u8..6).prop_map(Step::Expire),
        4 => (0_u64..40_000).prop_map(Step::Pass),
    ];
    prop::collection::vec(event, 1..40)
}

/// Whatever happened, once the registry is well again it holds exactly what is wanted, nobody
/// else's entry was touched, and nothing more is written.
async fn whatever_happened_it_ends_right(history: Vec<Step>) {
    let bench = Bench::with(Memory::new("us"), Rules { adopt: true, ..rules() });
    bench.memory.put(foreign("s0", Some("them")));
    bench.memory.put(foreign("stale", Some("us")));
    bench.memory.put(foreign("s1", None));
    bench.compare(true, false);
    let mut desired = BTreeMap::new();
    let mut theirs = true;
    let mut stolen = HashSet::new();
    for event in history {
        match event {
            Step::Want(id, port) => {
                let id = format!("s{id}");
                bench.update([wanted(&id, port)]);
                desired.insert(id, port);
            }
            Step::Drop(id) => {
                let id = format!("s{id}");
                if desired.remove(&id).is_some() {
                    bench.update([absent(&id)]);
                }
            }
            Step::Resync => bench.compare(true, false),
            Step::Fail(faults) => bench.memory.fail(faults),
            Step::Wipe => {
                bench.memory.wipe();
                theirs = false;
            }
            // Another hand writes what looks like ours; whoever does so again holds it alive.
            Step::Steal(0) => {}
            Step::Steal(id) if !stolen.insert(id) => {}
            Step::Steal(id) => bench.memory.put(foreign(&format!("s{id}"), Some("us"))),
            Step::Expire(0) => {}
            Step::Expire(id) => bench.memory.expire(&format!("s{id}")),
            Step::Pass(milliseconds) => sleep(Duration::from_millis(milliseconds)).await,
        }
    }
    bench.memory.fail(Faults::default());
    sleep(OPERATION_DEADLINE * 3).await;
    bench.compare(true, false);
    bench.settle().await;

    let held = bench.memory.held();
    if theirs {
        assert_eq!(held["s0"], foreign("s0", Some("them")));
    }
    let ours: BTreeMap<_, _> = held
        .iter()
        .filter(|(_, entry)| entry.owner.as_deref() == Some("us"))
        .map(|(key, entry)| (key.clone(), entry.fingerprint))
        .collect();
    let expected: BTreeMap<_, _> = desired
        .iter()
        .filter(|(id, _)| !(theirs && *id == "s0"))
        .map(|(id, port)| (id.clone(), bench.memory.canonical(&service(id, *port)).fingerprint))
        .collect();
    assert_eq!(ours, expected);
    drop(bench.memory.take_requests());
    bench.compare(true, false);
    bench.settle().await;
    assert_eq!(bench.writes(), []);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 512, ..Default::default() })]

    #[test]
    fn a_keeper_ends_right_whatever_happened(history in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(whatever_happened_it_ends_right(history));
    }
}
