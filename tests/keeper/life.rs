//! Marks, and the end: what stays, what goes, and what is critical meanwhile.

use super::*;

fn mark(id: &str, mark: Option<Mark>) -> Request {
    Request::Mark(id.to_owned(), mark)
}

fn paused(id: &str) -> (String, Desired) {
    (id.to_owned(), Desired::Present(service(id, 1), Mode::Paused))
}

fn kept(id: &str, why: Kept) -> (String, Desired) {
    (id.to_owned(), Desired::Present(service(id, 1), Mode::Kept(why)))
}

/// A bench with these rules, at which `a` and `b` are registered.
async fn bench(memory: Memory, rules: Rules) -> Bench {
    let bench = Bench::with(memory, rules);
    bench.update([wanted("a", 1), wanted("b", 1)]);
    bench.compare(true, false);
    bench.settle().await;
    drop(bench.writes());
    bench
}

fn rules_at_the_end(on_shutdown: OnShutdown) -> Rules {
    Rules { on_shutdown, ..rules() }
}

#[tokio::test(start_paused = true)]
async fn what_is_paused_is_critical_until_it_goes_on_and_is_written_once_each_way() {
    let bench = bench(Memory::new("us"), rules()).await;
    bench.update([paused("a")]);
    bench.settle().await;
    assert_eq!(bench.writes(), [mark("a", Some(Mark::Paused))]);
    bench.compare(true, true);
    bench.settle().await;
    assert_eq!(bench.writes(), []);
    bench.update([wanted("a", 1)]);
    bench.settle().await;
    assert_eq!(bench.writes(), [mark("a", None)]);
}

#[tokio::test(start_paused = true)]
async fn what_changes_while_it_is_paused_is_marked_again_since_registering_takes_the_mark_away() {
    let bench = bench(Memory::new("us"), rules()).await;
    bench.update([paused("a")]);
    bench.settle().await;
    bench.update([("a".to_owned(), Desired::Present(service("a", 2), Mode::Paused))]);
    bench.settle().await;
    let again = mark("a", Some(Mark::Paused));
    assert_eq!(bench.writes(), [again.clone(), Request::Register("a".to_owned()), again]);
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_health_a_pause_changes_nothing() {
    let bench = bench(Memory::new("us").without_marks(), rules()).await;
    bench.update([paused("a"), kept("b", Kept::Ended)]);
    bench.settle().await;
    assert_eq!(bench.writes(), []);
    assert_eq!(bench.ids(), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_health_one_that_drains_goes_unless_what_ended_is_to_stay() {
    for (deregister, left) in [(Deregister::Always, vec!["b"]), (Deregister::Never, vec!["a", "b"])] {
        let rules = Rules { deregister, ..rules() };
        let bench = bench(Memory::new("us").without_marks(), rules).await;
        bench.update([kept("a", Kept::Draining)]);
        bench.settle().await;
        assert_eq!(bench.ids(), left, "{deregister:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_mark_of_another_hand_stays() {
    let bench = bench(Memory::new("us"), rules()).await;
    let entry = bench.memory.held().remove("a").unwrap();
    bench.memory.put(Entry { marked: Marked::Theirs, ..entry });
    bench.settle().await;
    bench.update([paused("a")]);
    bench.settle().await;
    bench.update([wanted("a", 1)]);
    bench.settle().await;
    assert_eq!(bench.writes(), []);
}

#[tokio::test(start_paused = true)]
async fn a_mark_that_fails_on_the_way_is_put_on_once_the_registry_is_back() {
    let bench = bench(Memory::new("us"), rules()).await;
    bench.memory.fail(Faults { away: true, ..Faults::default() });
    bench.update([paused("a")]);
    bench.settle().await;
    bench.memory.fail(Faults::default());
    bench.settle().await;
    assert_eq!(bench.writes(), [mark("a", Some(Mark::Paused))]);
}

#[tokio::test(start_paused = true)]
async fn never_is_an_entry_removed_for_its_container_unless_it_is_cleaned_up() {
    let rules = Rules { deregister: Deregister::Never, ..rules() };
    let bench = bench(Memory::new("us"), rules.clone()).await;
    // One exits, the other is removed at once.
    bench.update([kept("a", Kept::Ended), ("b".to_owned(), Desired::Forgotten)]);
    bench.settle().await;
    let mut writes = bench.writes();
    writes.sort_by_key(|request| format!("{request:?}"));
    assert_eq!(writes, [mark("a", Some(Mark::Ended)), mark("b", Some(Mark::Ended))]);
    bench.compare(true, false);
    bench.settle().await;
    assert_eq!((bench.writes(), bench.ids()), (vec![], vec!["a".to_owned(), "b".to_owned()]));

    // So it is for the next run of ours.
    let second = Bench::with(bench.memory.clone(), rules);
    drop(bench);
    second.update([kept("a", Kept::Ended)]);
    second.compare(true, false);
    second.settle().await;
    assert_eq!((second.writes(), second.ids()), (vec![], vec!["a".to_owned(), "b".to_owned()]));
    // With a cleanup, what no container is there for goes.
    second.compare(true, true);
    second.settle().await;
    assert_eq!(second.ids(), ["a"]);
    // And what runs again is good again.
    drop(second.writes());
    second.update([wanted("a", 1)]);
    second.settle().await;
    assert_eq!(second.writes(), [mark("a", None)]);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_entries_stay_unless_something_else_is_asked_for() {
    let bench = bench(Memory::new("us"), rules()).await;
    let memory = bench.memory.clone();
    assert_eq!(bench.end().await, Duration::ZERO);
    assert_eq!(memory.take_requests(), []);
    assert_eq!(memory.held().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_exactly_what_is_ours_is_removed() {
    let memory = Memory::new("us");
    for (id, owner) in [("theirs", Some("them")), ("nobodys", None), ("host:adopted:80", None)] {
        memory.put(foreign(id, owner));
    }
    let bench = Bench::with(memory.clone(), rules_at_the_end(OnShutdown::Deregister));
    let many: Vec<String> = (0..1200).map(|n| format!("s{n}")).collect();
    bench.update(many.iter().map(|id| wanted(id, 1)));
    bench.update([kept("host:adopted:80", Kept::Failed)]);
    // Not every container is known: what was left behind is there still.
    memory.put(foreign("left", Some("us")));
    bench.compare(false, false);
    bench.settle().await;
    assert_eq!(memory.held().len(), 1204);
    bench.end().await;
    assert_eq!(memory.held().into_keys().collect::<Vec<_>>(), ["nobodys", "theirs"]);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_what_is_under_way_is_removed_as_well() {
    let memory = Memory::new("us");
    let bench = Bench::with(memory.clone(), rules_at_the_end(OnShutdown::Deregister));
    bench.compare(true, false);
    bench.settle().await;
    memory.fail(Faults { delay: Duration::from_millis(200), ..Faults::default() });
    bench.update([wanted("a", 1)]);
    sleep(Duration::from_millis(100)).await;
    assert!(bench.end().await < Duration::from_secs(1));
    assert_eq!(memory.held().len(), 0);
    assert!(memory.take_requests().contains(&Request::Register("a".to_owned())), "it was under way");
}

#[tokio::test(start_paused = true)]
async fn at_the_end_a_registry_that_never_answers_is_left_in_time() {
    for on_shutdown in [OnShutdown::Deregister, OnShutdown::Critical] {
        for faults in [Faults { hung: true, ..Faults::default() }, Faults { away: true, ..Faults::default() }] {
            let bench = bench(Memory::new("us"), rules_at_the_end(on_shutdown)).await;
            bench.memory.fail(faults.clone());
            assert!(bench.end().await < Duration::from_millis(1500), "{faults:?}");
            // One that was never read at all.
            let memory = Memory::new("us");
            memory.fail(faults);
            let bench = Bench::with(memory, rules_at_the_end(on_shutdown));
            assert!(bench.end().await < Duration::from_millis(1500));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_end_one_short_failure_is_got_over() {
    let bench = bench(Memory::new("us"), rules_at_the_end(OnShutdown::Deregister)).await;
    let memory = bench.memory.clone();
    memory.fail(Faults { away: true, ..Faults::default() });
    let parted = tokio::spawn(bench.end());
    sleep(Duration::from_millis(300)).await;
    memory.fail(Faults::default());
    assert!(parted.await.unwrap() < Duration::from_secs(1));
    assert_eq!(memory.held().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_nothing_is_removed_where_nothing_may_be() {
    let rules = Rules { policy: Policy::UpsertOnly, ..rules_at_the_end(OnShutdown::Deregister) };
    let bench = bench(Memory::new("us"), rules).await;
    let memory = bench.memory.clone();
    bench.end().await;
    assert_eq!(memory.held().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_entries_become_critical_and_the_next_start_undoes_it() {
    let bench = bench(Memory::new("us"), rules_at_the_end(OnShutdown::Critical)).await;
    bench.memory.put(foreign("theirs", Some("them")));
    bench.settle().await;
    let memory = bench.memory.clone();
    bench.end().await;
    let marks: Vec<_> = memory.held().into_values().map(|entry| (entry.key, entry.marked)).collect();
    let expected = [("a", Marked::Ours), ("b", Marked::Ours), ("theirs", Marked::No)];
    assert_eq!(marks, expected.map(|(key, marked)| (key.into(), marked)));
    drop(memory.take_requests());

    let next = Bench::on(memory);
    next.update([wanted("a", 1)]);
    next.compare(true, false);
    next.settle().await;
    let mut writes = next.writes();
    writes.sort_by_key(|request| format!("{request:?}"));
    assert_eq!(writes, [Request::Deregister("b".to_owned()), mark("a", None)]);
}

#[tokio::test(start_paused = true)]
async fn at_the_end_entries_stay_as_they_are_where_there_is_no_health() {
    let bench = bench(Memory::new("us").without_marks(), rules_at_the_end(OnShutdown::Critical)).await;
    let memory = bench.memory.clone();
    assert_eq!(bench.end().await, Duration::ZERO);
    assert_eq!(memory.take_requests(), []);
}
