use std::collections::BTreeMap;

use litemap::LiteMap;
use proptest::prelude::*;

use super::*;
use crate::container::{Health, Moment, NetworkMode, State};

fn id(number: usize) -> ContainerId {
    ContainerId::from(format!("{number:02}").as_str())
}

const RUNNING: State = State::Running { paused: false, health: Health::None };
const EXITED: State = State::Exited { code: 1 };

fn container(number: usize, name: &str, state: State) -> Container {
    Container {
        id: id(number),
        name: name.into(),
        image: Arc::default(),
        hostname: "".into(),
        env: Arc::default(),
        labels: LiteMap::new(),
        network_mode: NetworkMode::Host,
        networks: LiteMap::new(),
        ports: Vec::new(),
        state,
        created: Moment::default(),
        started: Moment::default(),
        stop: crate::container::Stop::default(),
        inspect: None,
    }
}

fn listed(number: usize, digest: u64) -> Listed {
    Listed { id: id(number), said: Said { names: Default::default(), running: None, digest } }
}

fn is(container: Container) -> Inspected {
    Inspected::Is(Arc::new(container))
}

fn running(number: usize) -> Inspected {
    is(container(number, "", RUNNING))
}

fn changes(tracker: &mut Tracker) -> Vec<Change> {
    std::iter::from_fn(|| tracker.take_change()).collect()
}

/// Reports in short form: `+1` runs, `.1` does not, `-1` is gone, `[1 ?2]` a snapshot.
fn reports(tracker: &mut Tracker) -> String {
    let mark = |container: &Container| if container.state.is_running() { "+" } else { "." };
    let number = |id: &ContainerId| id.as_str().trim_start_matches('0').to_owned();
    let one = |change: Change| match change {
        Change::Changed(container) => format!("{}{}", mark(&container), number(&container.id)),
        Change::Stopping(id) => format!("s{}", number(&id)),
        Change::Gone(id) => format!("-{}", number(&id)),
        Change::Missing(id) => format!("!{}", number(&id)),
        Change::Snapshot(snapshot) => {
            let known = snapshot.containers.iter().map(|container| number(&container.id));
            let unknown = snapshot.unknown.iter().map(|unknown| format!("?{}", number(&unknown.id)));
            format!("[{}]", known.chain(unknown).collect::<Vec<_>>().join(" "))
        }
    };
    changes(tracker).into_iter().map(one).collect::<Vec<_>>().join(" ")
}

/// A tracker that knows these running containers and has reported them.
fn synced(list_all: bool, numbers: &[usize], now: Instant) -> Tracker {
    let mut tracker = Tracker::new(list_all);
    tracker.listing();
    tracker.begin_pass(numbers.iter().map(|number| listed(*number, 0)).collect(), now);
    answer_all(&mut tracker, now, running);
    assert!(matches!(changes(&mut tracker)[..], [Change::Snapshot(_)]));
    tracker
}

fn answer_all(tracker: &mut Tracker, now: Instant, mut answer: impl FnMut(usize) -> Inspected) {
    while let Some(id) = tracker.next(now) {
        tracker.inspected(&id, answer(id.as_str().parse().unwrap()), now);
    }
}

#[test]
fn nothing_is_told_before_the_first_snapshot() {
    let now = Instant::now();
    let mut tracker = Tracker::new(false);
    tracker.hint(id(9));
    answer_all(&mut tracker, now, running);
    assert_eq!(reports(&mut tracker), "");
    tracker.listing();
    tracker.begin_pass(vec![listed(1, 0)], now);
    answer_all(&mut tracker, now, running);
    assert_eq!(reports(&mut tracker), "[1 9]");
}

#[test]
fn an_empty_engine_has_an_empty_snapshot() {
    let mut tracker = Tracker::new(false);
    tracker.begin_pass(vec![], Instant::now());
    assert_eq!(reports(&mut tracker), "[]");
}

#[test]
fn a_container_that_is_as_it_was_is_not_told_again() {
    let now = Instant::now();
    let mut tracker = synced(false, &[1], now);
    tracker.hint(id(1));
    answer_all(&mut tracker, now, running);
    assert_eq!(reports(&mut tracker), "");
    tracker.hint(id(1));
    answer_all(&mut tracker, now, |number| is(container(number, "renamed", RUNNING)));
    assert_eq!(reports(&mut tracker), "+1");
}

#[test]
fn an_end_is_told_once_and_the_removal_after_it() {
    let now = Instant::now();
    let mut tracker = synced(false, &[1], now);
    for expected in [".1", ""] {
        tracker.hint(id(1));
        answer_all(&mut tracker, now, |number| is(container(number, "", EXITED)));
        assert_eq!(reports(&mut tracker), expected);
    }
    for expected in ["-1", ""] {
        tracker.hint(id(1));
        answer_all(&mut tracker, now, |_| Inspected::Gone);
        assert_eq!(reports(&mut tracker), expected);
    }
    assert!(tracker.entries.is_empty());
}

#[test]
fn a_container_that_never_ran_is_told_only_where_all_are_listed() {
    let now = Instant::now();
    for (list_all, expected) in [(false, ""), (true, ".2")] {
        let mut tracker = synced(list_all, &[1], now);
        tracker.hint(id(2));
        answer_all(&mut tracker, now, |number| is(container(number, "", State::Created)));
        assert_eq!(reports(&mut tracker), expected);
        assert_eq!(tracker.entries.len(), if list_all { 2 } else { 1 });
    }
}

#[test]
fn a_hint_during_an_inspect_causes_another_one_after_it() {
    let now = Instant::now();
    let mut tracker = synced(false, &[1], now);
    tracker.hint(id(1));
    assert_eq!(tracker.next(now), Some(id(1)));
    tracker.hint(id(1));
    tracker.hint(id(1));
    assert_eq!(tracker.next(now), None, "two inspects of the same container");
    tracker.inspected(&id(1), running(1), now);
    assert_eq!(tracker.next(now), Some(id(1)));
    tracker.inspected(&id(1), is(container(1, "", EXITED)), now);
    assert_eq!(tracker.next(now), None);
    assert_eq!(reports(&mut tracker), ".1");
}

#[test]
fn an_empty_list_removes_nothing_that_the_engine_still_has() {
    let now = Instant::now();
    let mut tracker = synced(false, &[1, 2], now);
    tracker.listing();
    tracker.begin_pass(vec![], now);
    answer_all(&mut tracker, now, |number| if number == 1 { running(1) } else { Inspected::Gone });
    assert_eq!(reports(&mut tracker), "!2 [1]", "no event told of it");
}

#[test]
fn an_end_is_told_of_by_an_event_or_only_missed() {
    let now = Instant::now();
    for heard in [true, false] {
        let mut tracker = synced(false, &[1, 2], now);
        if heard {
            tracker.hint(id(1));
        }
        tracker.listing();
        tracker.check(vec![listed(2, 0)]);
        answer_all(&mut tracker, now, |number| if number == 2 { running(2) } else { Inspected::Gone });
        assert_eq!(reports(&mut tracker), if heard { "-1" } else { "!1" });
    }
    // One that was heard of and was there is as one that was not.
    let mut tracker = synced(false, &[1, 2], now);
    tracker.hint(id(1));
    answer_all(&mut tracker, now, running);
    tracker.listing();
    tracker.check(vec![listed(2, 0)]);
    answer_all(&mut tracker, now, |_| Inspected::Gone);
    assert!(reports(&mut tracker).contains("!1"));
}

#[test]
fn only_the_signal_that_stops_a_container_is_told() {
    let now = Instant::now();
    let mut tracker = synced(false, &[1], now);
    for signal in [1, 9, 15, 15] {
        tracker.signalled(&id(1), signal);
    }
    tracker.signalled(&id(2), 15);
    assert_eq!(reports(&mut tracker), "s1", "once, until it is looked at again");
    tracker.hint(id(1));
    answer_all(&mut tracker, now, running);
    tracker.signalled(&id(1), 15);
    assert_eq!(reports(&mut tracker), "s1");
}

#[test]
fn what_cannot_be_inspected_is_unknown_in_the_snapshot_and_told_later() {
    let now = Instant::now();
    let mut tracker = synced(false, &[1, 2, 3], now);
    tracker.listing();
    tracker.begin_pass(vec![listed(1, 0), listed(2, 0), listed(3, 0)], now);
    answer_all(&mut tracker, now, |number| if number == 1 { running(1) } else { Inspected::Failed });
    assert_eq!(reports(&mut tracker), "[1 ?2 ?3]");
    let due = tracker.due().unwrap();
    assert!(due > now && due < now + Duration::from_secs(1));
    let later = now + Duration::from_secs(1);
    answer_all(&mut tracker, later, |number| if number == 2 { running(2) } else { Inspected::Gone });
    // As it was before, but the other side could not know that.
    let reported = reports(&mut tracker);
    assert!(reported == "+2 !3" || reported == "!3 +2", "{reported}");
    assert_eq!(tracker.due(), None);
}

#[test]
fn what_was_learnt_before_the_engine_was_lost_is_told_when_it_cannot_be_asked_again() {
    let now = Instant::now();
    let mut tracker = Tracker::new(false);
    let all = [listed(1, 0), listed(2, 0), listed(3, 0)];
    tracker.begin_pass(all.to_vec(), now);
    for (number, said) in [(1, running(1)), (2, running(2)), (3, Inspected::Failed)] {
        tracker.next(now);
        tracker.inspected(&id(number), said, now);
        tracker.abandon_pass();
    }
    tracker.begin_pass(all.to_vec(), now);
    let later = now + Duration::from_secs(1);
    answer_all(&mut tracker, later, |number| if number == 1 { running(1) } else { Inspected::Failed });
    assert_eq!(reports(&mut tracker), "[1 2 ?2 ?3]");
    // It is reported again, once, when it is known for sure.
    answer_all(&mut tracker, later + Duration::from_secs(9), running);
    let reported = reports(&mut tracker);
    assert!(reported == "+2 +3" || reported == "+3 +2", "{reported}");
}

#[test]
fn a_failing_inspect_is_tried_again_with_growing_pauses() {
    let mut now = Instant::now();
    let mut tracker = synced(false, &[1], now);
    tracker.hint(id(1));
    let mut pauses = Vec::new();
    for attempt in 0..9 {
        assert_eq!(tracker.next(now), Some(id(1)));
        assert_eq!(tracker.inspected(&id(1), Inspected::Failed, now), attempt == 0, "only the first is worth a line");
        assert_eq!(tracker.next(now), None);
        let due = tracker.due().unwrap();
        pauses.push(due - now);
        now = due;
    }
    assert!(pauses[0] < Duration::from_millis(300) && pauses[8] >= Duration::from_secs(5), "{pauses:?}");
    // An event may mean that it can be inspected again.
    tracker.hint(id(1));
    assert_eq!(tracker.next(now), Some(id(1)));
}

#[test]
fn a_container_larger_than_is_read_is_named_and_asked_for_seldom_whatever_happens_to_it() {
    let mut now = Instant::now();
    let mut tracker = Tracker::new(false);
    // Others call it by other names.
    let names = ["two/db", "three"].into_iter().map(Box::from).collect();
    let third = Listed { id: id(3), said: Said { names, running: None, digest: 0 } };
    tracker.begin_pass(vec![listed(1, 0), listed(2, 0), third], now);
    answer_all(&mut tracker, now, |number| match number {
        1 => running(1),
        2 => Inspected::TooLarge("huge".to_owned()),
        _ => Inspected::Failed,
    });
    let [Change::Snapshot(snapshot)] = &changes(&mut tracker)[..] else { panic!("no snapshot") };
    let unknown = |number, name: &str, why| Unknown { id: id(number), name: Some(name.into()), why };
    assert_eq!(snapshot.unknown, [unknown(2, "huge", Unread::TooLarge), unknown(3, "three", Unread::NotYet)]);
    answer_all(&mut tracker, now + Duration::from_secs(1), running);
    for _ in 0..20 {
        now += Duration::from_millis(100);
        tracker.hint(id(2));
        assert_eq!(tracker.next(now), None, "an event does not change what it is made of");
    }
    // A pass asks for everything.
    tracker.begin_pass(vec![listed(1, 0), listed(2, 0)], now);
    let mut asked = 0;
    answer_all(&mut tracker, now, |number| {
        asked += 1;
        if number == 2 { Inspected::TooLarge("huge".to_owned()) } else { running(number) }
    });
    assert_eq!(asked, 3);
    now = tracker.due().unwrap();
    assert_eq!(tracker.next(now), Some(id(2)));
    tracker.inspected(&id(2), Inspected::Gone, now);
    assert!(reports(&mut tracker).ends_with("-2"));
    assert_eq!(tracker.due(), None);
}

#[test]
fn a_pass_does_not_wait_for_an_inspect_that_hangs() {
    let now = Instant::now();
    let mut tracker = Tracker::new(false);
    tracker.begin_pass(vec![listed(1, 0), listed(2, 0)], now);
    let first = tracker.next(now).unwrap();
    let second = tracker.next(now).unwrap();
    tracker.inspected(&first, is(container(first.as_str().parse().unwrap(), "", RUNNING)), now);
    tracker.tick(now);
    assert_eq!(reports(&mut tracker), "");
    assert_eq!(tracker.due(), Some(now + STALL));
    tracker.tick(now + STALL);
    assert!(reports(&mut tracker).contains('?'));
    let number = second.as_str().parse().unwrap();
    tracker.inspected(&second, running(number), now);
    assert_eq!(reports(&mut tracker), format!("+{number}"));
}

#[test]
fn hints_go_before_a_pass_and_neither_takes_every_place() {
    let now = Instant::now();
    let mut tracker = synced(false, &[], now);
    tracker.begin_pass((1..=30).map(|number| listed(number, 0)).collect(), now);
    for number in 31..=60 {
        tracker.hint(id(number));
    }
    let asked: Vec<_> = std::iter::from_fn(|| tracker.next(now)).collect();
    assert_eq!(asked.len(), SLOTS);
    assert!(asked[..SHARE].iter().all(|asked| *asked > id(30)), "{asked:?}");
    assert!(asked[SHARE..].iter().all(|asked| *asked < id(30)), "{asked:?}");
}

#[test]
fn a_check_inspects_what_differs_is_new_or_is_missing() {
    let now = Instant::now();
    let mut tracker = synced(false, &[1, 2, 3], now);
    tracker.listing();
    tracker.check(vec![listed(1, 0), listed(2, 7), listed(4, 0)]);
    let asked: Vec<_> = std::iter::from_fn(|| tracker.next(now)).collect();
    assert_eq!(asked, [id(2), id(3), id(4)]);
}

#[test]
fn a_check_does_not_trust_a_digest_from_before_an_event() {
    let now = Instant::now();
    let mut tracker = synced(false, &[1], now);
    tracker.hint(id(1));
    answer_all(&mut tracker, now, |number| is(container(number, "", EXITED)));
    assert_eq!(reports(&mut tracker), ".1");
    // It runs again as before, and that event was lost.
    tracker.listing();
    tracker.check(vec![listed(1, 0)]);
    answer_all(&mut tracker, now, running);
    assert_eq!(reports(&mut tracker), "+1");
    // Once is enough.
    tracker.listing();
    tracker.check(vec![listed(1, 0)]);
    assert_eq!(tracker.next(now), None);
}

#[test]
fn a_list_that_was_asked_for_before_an_event_is_not_trusted_for_its_container() {
    let now = Instant::now();
    let mut tracker = synced(false, &[1], now);
    tracker.listing();
    tracker.hint(id(1));
    tracker.check(vec![listed(1, 5)]);
    answer_all(&mut tracker, now, running);
    tracker.listing();
    tracker.check(vec![listed(1, 5)]);
    assert_eq!(tracker.next(now), Some(id(1)));
}

#[test]
fn nothing_more_is_inspected_while_changes_wait_to_be_taken() {
    let now = Instant::now();
    let mut tracker = synced(false, &[], now);
    for number in 1..=99 {
        tracker.hint(id(number));
    }
    answer_all(&mut tracker, now, running);
    assert_eq!(tracker.changes.len(), BACKLOG);
    assert_eq!(changes(&mut tracker).len(), BACKLOG);
    answer_all(&mut tracker, now, running);
    assert_eq!(changes(&mut tracker).len(), 99 - BACKLOG);
}

/// Something that happens to an engine or to its watch.
#[derive(Clone, Debug)]
enum Step {
    /// The container is now in this state (`None`: removed), and the event arrives or is lost.
    Becomes { number: usize, state: Option<(State, u8)>, event: bool },
    /// A list is requested; `true` for a pass.
    Ask(bool),
    /// It is answered with the state at its request or, `true`, the present one.
    List(bool),
    /// It fails, with the stream.
    Lose,
    /// An inspect begins.
    Begin,
    /// The oldest in flight is answered with the state at its beginning, the present one, or an error.
    Answer(Seen),
    /// The receiver takes a change.
    Take,
    /// Time passes.
    Wait(u16),
}

#[derive(Clone, Copy, Debug)]
enum Seen {
    AtFirst,
    AtLast,
    Failed,
}

fn any_step() -> impl Strategy<Value = Step> {
    let state = prop_oneof![
        2 => (0..2u8).prop_map(|name| Some((RUNNING, name))),
        1 => (0..2u8).prop_map(|name| Some((EXITED, name))),
        1 => Just(None),
    ];
    prop_oneof![
        4 => (1..5usize, state, any::<bool>()).prop_map(|(number, state, event)| Step::Becomes { number, state, event }),
        1 => any::<bool>().prop_map(Step::Ask),
        2 => any::<bool>().prop_map(Step::List),
        1 => Just(Step::Lose),
        4 => Just(Step::Begin),
        4 => prop::sample::select(vec![Seen::AtFirst, Seen::AtLast, Seen::AtLast, Seen::Failed]).prop_map(Step::Answer),
        2 => Just(Step::Take),
        1 => (0..4000u16).prop_map(Step::Wait),
    ]
}

type Truth = BTreeMap<usize, (State, u8)>;

/// An engine, its watch, and what its receiver believes.
struct World {
    list_all: bool,
    truth: Truth,
    now: Instant,
    tracker: Tracker,
    asked: Option<(bool, Truth)>,
    in_flight: VecDeque<(ContainerId, Truth)>,
    believed: Truth,
    unknown: BTreeSet<usize>,
}

impl World {
    fn new(list_all: bool) -> Self {
        Self {
            list_all,
            truth: Truth::new(),
            now: Instant::now(),
            tracker: Tracker::new(list_all),
            asked: None,
            in_flight: VecDeque::new(),
            believed: Truth::new(),
            unknown: BTreeSet::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Becomes { number, state, event } => {
                match state {
                    Some(state) => self.truth.insert(number, state),
                    None => self.truth.remove(&number),
                };
                if event {
                    self.tracker.hint(id(number));
                }
            }
            Step::Ask(pass) if self.asked.is_none() && !(pass && self.tracker.in_pass()) => {
                self.tracker.listing();
                self.asked = Some((pass, self.truth.clone()));
            }
            Step::List(late) => {
                if let Some((pass, early)) = self.asked.take() {
                    let seen = if late { &self.truth } else { &early };
                    let list: Vec<_> = seen
                        .iter()
                        .filter(|(_, (state, _))| self.list_all || state.is_running())
                        .map(|(number, (state, name))| Listed {
                            id: id(*number),
                            said: Said {
                                names: [name.to_string().into()].into(),
                                running: Some(state.is_running()),
                                digest: u64::from(*name) * 2 + u64::from(state.is_running()),
                            },
                        })
                        .collect();
                    if pass {
                        self.tracker.begin_pass(list, self.now);
                    } else {
                        self.tracker.check(list);
                    }
                }
            }
            Step::Lose => {
                self.asked = None;
                self.tracker.abandon_pass();
            }
            Step::Begin => {
                if let Some(id) = self.tracker.next(self.now) {
                    assert!(self.in_flight.iter().all(|(other, _)| *other != id), "two inspects of {id}");
                    self.in_flight.push_back((id, self.truth.clone()));
                }
            }
            Step::Answer(seen) => {
                if let Some((id, first)) = self.in_flight.pop_front() {
                    let number: usize = id.as_str().parse().unwrap();
                    let said = match seen {
                        Seen::AtFirst => first.get(&number).copied(),
                        Seen::AtLast => self.truth.get(&number).copied(),
                        Seen::Failed => {
                            self.tracker.inspected(&id, Inspected::Failed, self.now);
                            return;
                        }
                    };
                    let said =
                        said.map_or(Inspected::Gone, |(state, name)| is(container(number, &name.to_string(), state)));
                    self.tracker.inspected(&id, said, self.now);
                }
            }
            Step::Take => {
                if let Some(change) = self.tracker.take_change() {
                    self.believe(change);
                }
            }
            Step::Wait(millis) => {
                self.now += Duration::from_millis(millis.into());
                self.tracker.tick(self.now);
            }
            Step::Ask(_) => {}
        }
    }

    fn believe(&mut self, change: Change) {
        let number = |id: &ContainerId| id.as_str().parse::<usize>().unwrap();
        let seen = |container: &Container| (container.state, container.name.parse::<u8>().unwrap());
        match change {
            Change::Changed(container) => {
                self.unknown.remove(&number(&container.id));
                self.believed.insert(number(&container.id), seen(&container));
            }
            Change::Stopping(_) => {}
            Change::Gone(id) | Change::Missing(id) => {
                self.unknown.remove(&number(&id));
                self.believed.remove(&number(&id));
            }
            Change::Snapshot(snapshot) => {
                self.unknown = snapshot.unknown.iter().map(|unknown| number(&unknown.id)).collect();
                let unknown = &self.unknown;
                self.believed.retain(|number, _| unknown.contains(number));
                self.believed.extend(snapshot.containers.iter().map(|one| (number(&one.id), seen(one))));
            }
        }
    }

    /// Lets all work in progress end.
    fn settle(&mut self) {
        for _ in 0..100 {
            self.step(Step::Begin);
            self.step(Step::Answer(Seen::AtLast));
            self.step(Step::Take);
            self.step(Step::Wait(500));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_is_lost_the_other_side_ends_up_believing_the_truth(
        list_all in any::<bool>(),
        steps in prop::collection::vec(any_step(), 0..80),
    ) {
        let mut world = World::new(list_all);
        for step in steps {
            world.step(step);
        }
        // At last a check, or a pass where there was none yet.
        world.settle();
        world.step(Step::List(true));
        let pass = !world.tracker.synced;
        world.step(Step::Ask(pass));
        world.step(Step::List(false));
        world.settle();

        prop_assert!(world.unknown.is_empty(), "{:?} stays unknown", world.unknown);
        prop_assert!(world.in_flight.is_empty());
        let counts = |(state, _): &(State, u8)| list_all || state.is_running();
        let truth: Truth = world.truth.iter().filter(|(_, it)| counts(it)).map(|(id, it)| (*id, *it)).collect();
        let believed: Truth = world.believed.iter().filter(|(_, it)| counts(it)).map(|(id, it)| (*id, *it)).collect();
        prop_assert_eq!(believed, truth);
    }
}
