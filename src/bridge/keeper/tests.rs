//! What a keeper promises, in virtual time, against the registry in memory.

use std::collections::BTreeMap;

use tokio::time::{sleep, timeout};

use super::intents::Intent;
use super::operations::{Attempt, OPERATION_DEADLINE};
use super::outcomes::READING_SHARE;
use super::*;
use crate::bridge::desired::{Kept, Want};
use crate::config::{Deregister, OnShutdown};
use crate::container::{ContainerId, Health, Moment, Protocol};
use crate::registry::memory::{Faults, Memory, Request};
use crate::registry::{self, Action, Mark, Marked, Policy, Reason, RegistryError, Write};
use crate::service::{Origin, Service};

mod guarded;
mod life;

/// A keeper at work on a registry in memory.
struct Bench {
    memory: Memory,
    keeper: tokio::task::JoinHandle<()>,
    commands: mpsc::UnboundedSender<Command>,
    stop: CancellationToken,
}

impl Bench {
    fn new() -> Self {
        Self::on(Memory::new("us"))
    }

    fn on(memory: Memory) -> Self {
        Self::with(memory, rules())
    }

    fn with(memory: Memory, rules: Rules) -> Self {
        let keeper = Keeper::new("memory://".to_owned(), Arc::new(memory.clone()), rules);
        Self::of(memory, keeper)
    }

    fn of(memory: Memory, keeper: Keeper) -> Self {
        let (commands, receiver) = mpsc::unbounded_channel();
        let stop = CancellationToken::new();
        let keeper = tokio::spawn(keeper.run(receiver, stop.clone()));
        Self { memory, keeper, commands, stop }
    }

    fn update(&self, updates: impl IntoIterator<Item = (String, Want)>) {
        let updates = updates.into_iter().map(|(id, want)| update(&service(&id, 1), want));
        self.commands.send(Command::Update(updates.collect())).unwrap();
    }

    fn compare(&self, complete: bool, cleanup: bool) {
        self.commands.send(Command::Compare(Scope { complete, cleanup })).unwrap();
    }

    /// Lets virtual time pass until everything that is not a matter of minutes is done.
    async fn settle(&self) {
        sleep(Duration::from_secs(15)).await;
    }

    /// Tells it to stop, and says how long that took.
    async fn part(mut self) -> Duration {
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
        origin: Origin {
            container: ContainerId::from(id),
            created: Moment::default(),
            started: Moment::default(),
            claimed: false,
            address_of: crate::service::AddressOf::Container,
            hostname: id.into(),
            exposed_port: 80,
        },
    })
}

/// A change of what becomes of this service.
fn update(service: &Arc<Service>, want: Want) -> Update {
    Update { source: service.source(), was: Some(Arc::clone(service)), want }
}

fn wanted(id: &str, port: u16) -> (String, Want) {
    (id.to_owned(), Want::Registered(service(id, port)))
}

fn absent(id: &str) -> (String, Want) {
    (id.to_owned(), Want::Absent)
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
    sleep(SECOND_LOOK).await;
    assert_eq!(bench.ids(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn one_refused_service_stops_no_other_and_is_tried_again_when_it_changes_or_at_a_resync() {
    let bench = Bench::new();
    bench.memory.fail(Faults { refuses: Some("bad".to_owned()), ..Faults::default() });
    bench.compare(true, false);
    bench.update([wanted("bad", 1), wanted("good", 1)]);
    bench.settle().await;
    assert_eq!(bench.ids(), ["good"]);
    assert_eq!(bench.writes().len(), 2);

    // Not of itself, and not because another hand changed something.
    bench.memory.put(foreign("theirs", Some("them")));
    bench.settle().await;
    assert_eq!(bench.writes(), []);

    bench.update([wanted("bad", 2)]);
    bench.settle().await;
    assert_eq!(bench.writes(), [Request::Register("bad".to_owned())]);

    bench.memory.fail(Faults::default());
    bench.compare(true, false);
    bench.settle().await;
    assert_eq!(bench.ids(), ["bad", "good", "theirs"]);
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
    sleep(SECOND_LOOK).await;
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
    sleep(SECOND_LOOK).await;
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
    bench.memory.put(foreign("a", None));
    bench.compare(true, false);
    bench.update([wanted("a", 1)]);
    bench.settle().await;
    assert_eq!(bench.memory.held()["a"].owner.as_deref(), Some("us"));
    bench.update([absent("a")]);
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
    bench.update([("a".to_owned(), Want::Registered(Arc::clone(&lively)))]);
    bench.settle().await;
    let refreshes = bench.writes().iter().filter(|request| matches!(request, Request::Refresh(_))).count();
    assert!((5..=8).contains(&refreshes), "{refreshes} refreshes in 15 s at every 2 s");
    bench.update([("a".to_owned(), Want::Kept(lively, Kept::Failed))]);
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
    bench.update([("a".to_owned(), Want::Registered(Arc::new(lively)))]);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.writes(), [Request::Refresh("a".to_owned())]);
    // It expires, and this registry tells nobody.
    memory.expire("a");
    bench.settle().await;
    assert_eq!(bench.ids(), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_moves_to_another_key_leaves_the_old_one_to_who_took_it() {
    let mut keeper = Keeper::new("memory://".to_owned(), Arc::new(ByPort), rules());
    for (id, port) in [("a", 1), ("b", 2)] {
        keeper.update(&Update { was: None, ..update(&service(id, 1), Want::Registered(service(id, port))) });
    }
    // They exchange their places.
    for (id, was, port) in [("a", 1, 2), ("b", 2, 1)] {
        keeper.update(&update(&service(id, was), Want::Registered(service(id, port))));
    }
    for (key, id) in [("1", "b"), ("2", "a")] {
        assert!(
            matches!(keeper.places.intent(key), Some(Intent::Register(service, _)) if &*service.id == id),
            "{key}: {:?}",
            keeper.places.intent(key)
        );
    }
    keeper.update(&update(&service("a", 2), Want::Absent));
    assert!(matches!(keeper.places.intent("2"), Some(Intent::Withdraw(..))));
}

#[tokio::test(start_paused = true)]
async fn of_two_that_claim_one_key_the_older_has_it_and_the_other_follows() {
    let claim = |container: &str, created: i64, port: u16| {
        let mut service = (*service("one", port)).clone();
        service.origin.container = ContainerId::from(container);
        service.origin.created = Moment(created);
        Arc::new(service)
    };
    let bench = Bench::new();
    bench.compare(true, false);
    let tell = |service: &Arc<Service>, want: Want| {
        bench.commands.send(Command::Update([update(service, want)].into())).unwrap();
    };
    let expect = async |expected: Option<&Arc<Service>>, what: &str| {
        bench.settle().await;
        let held = bench.memory.held().get("one").map(|entry| entry.fingerprint);
        assert_eq!(held, expected.map(|service| bench.memory.canonical(service).fingerprint), "{what}");
    };
    let (old, young) = (claim("old", 1, 1), claim("young", 2, 2));
    tell(&young, Want::Registered(Arc::clone(&young)));
    expect(Some(&young), "alone").await;
    tell(&old, Want::Registered(Arc::clone(&old)));
    expect(Some(&old), "the older has it").await;
    tell(&old, Want::Kept(Arc::clone(&old), Kept::Failed));
    expect(Some(&young), "what failed does not stand in the way of what runs").await;
    tell(&young, Want::Absent);
    expect(None, "what failed is no reason to keep what served in its place").await;
    tell(&young, Want::Registered(Arc::clone(&young)));
    expect(Some(&young), "it serves again").await;
    tell(&young, Want::Kept(Arc::clone(&young), Kept::Failed));
    expect(Some(&young), "it failed, too").await;
    tell(&old, Want::Absent);
    expect(Some(&young), "the other is gone").await;
    tell(&young, Want::Absent);
    expect(None, "nobody claims it").await;
}

#[tokio::test(start_paused = true)]
async fn what_moved_away_is_not_kept_for_one_that_ended() {
    let claim = |container: &str, port: u16| {
        let mut service = (*service("one", port)).clone();
        service.origin.container = ContainerId::from(container);
        Arc::new(service)
    };
    for (want, stays) in [(Want::Absent, false), (Want::Forgotten, true)] {
        let bench = Bench::new();
        bench.compare(true, false);
        let tell = |service: &Arc<Service>, want: Want| {
            bench.commands.send(Command::Update([update(service, want)].into())).unwrap();
        };
        let (ended, runs) = (claim("ended", 1), claim("runs", 2));
        tell(&ended, Want::Kept(Arc::clone(&ended), Kept::Ended));
        tell(&runs, Want::Registered(Arc::clone(&runs)));
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

/// A registry whose keys are made of the port, so that services change places.
struct ByPort;

#[async_trait::async_trait]
impl Registry for ByPort {
    fn key(&self, service: &Service) -> Arc<str> {
        service.port.to_string().into()
    }

    fn fingerprint(&self, service: &Service) -> u64 {
        service.port.into()
    }

    async fn ping(&self) -> Result<(), RegistryError> {
        Ok(())
    }

    async fn read(&self, _scope: &registry::Scope) -> Result<Vec<Entry>, RegistryError> {
        Ok(Vec::new())
    }

    async fn apply(&self, writes: &[Write]) -> Vec<Attempt> {
        writes.iter().map(|_| Ok(())).collect()
    }
}

/// Something that happens in the life of a keeper.
#[derive(Clone, Debug)]
enum Event {
    Want(u8, u16),
    Drop(u8),
    Resync,
    Fail(Faults),
    Wipe,
    Steal(u8),
    Expire(u8),
    Pass(u64),
}

fn events() -> impl proptest::strategy::Strategy<Value = Vec<Event>> {
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
        4 => (0_u8..6, 1_u16..4).prop_map(|(id, port)| Event::Want(id, port)),
        3 => (0_u8..6).prop_map(Event::Drop),
        1 => Just(Event::Resync),
        2 => faults.prop_map(Event::Fail),
        1 => Just(Event::Fail(Faults::default())),
        1 => Just(Event::Wipe),
        1 => (0_u8..6).prop_map(Event::Steal),
        1 => (0_u8..6).prop_map(Event::Expire),
        4 => (0_u64..40_000).prop_map(Event::Pass),
    ];
    prop::collection::vec(event, 1..40)
}

/// Whatever happened, once the registry is well again it holds exactly what is wanted, nobody
/// else's entry was touched, and nothing more is written.
async fn whatever_happened_it_ends_right(history: Vec<Event>) {
    let bench = Bench::new();
    bench.memory.put(foreign("s0", Some("them")));
    bench.memory.put(foreign("stale", Some("us")));
    bench.memory.put(foreign("s1", None));
    bench.compare(true, false);
    let mut desired = BTreeMap::new();
    let mut theirs = true;
    let mut stolen = HashSet::new();
    for event in history {
        match event {
            Event::Want(id, port) => {
                let id = format!("s{id}");
                bench.update([wanted(&id, port)]);
                desired.insert(id, port);
            }
            Event::Drop(id) => {
                let id = format!("s{id}");
                if desired.remove(&id).is_some() {
                    bench.update([absent(&id)]);
                }
            }
            Event::Resync => bench.compare(true, false),
            Event::Fail(faults) => bench.memory.fail(faults),
            Event::Wipe => {
                bench.memory.wipe();
                theirs = false;
            }
            // Another hand writes what looks like ours; whoever does so again holds it alive.
            Event::Steal(0) => {}
            Event::Steal(id) if !stolen.insert(id) => {}
            Event::Steal(id) => bench.memory.put(foreign(&format!("s{id}"), Some("us"))),
            Event::Expire(0) => {}
            Event::Expire(id) => bench.memory.expire(&format!("s{id}")),
            Event::Pass(milliseconds) => sleep(Duration::from_millis(milliseconds)).await,
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
    fn a_keeper_ends_right_whatever_happened(history in events()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(whatever_happened_it_ends_right(history));
    }
}
