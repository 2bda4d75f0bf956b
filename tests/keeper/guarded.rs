//! The removal guard at work: what waits until the engine was asked again, and what does not.

use super::*;

/// Removals that come so shortly after each other are counted together.
const GATHER: Duration = Duration::from_secs(1);
/// Reading a registry because it changed takes one part in so many of the time at most.
const READING_SHARE: u32 = 20;

/// A guarded keeper at which ten services are registered, and how it asks the engine.
async fn guarded(percent: u8) -> (Bench, Arc<Notify>) {
    let ask = Arc::new(Notify::new());
    let memory = Memory::new("us");
    let bench = Bench::guarded(memory, rules(), Guarded { percent, ask: Arc::clone(&ask) });
    bench.update(ten().map(|id| wanted(&id, 1)));
    bench.compare(true, false);
    bench.settle().await;
    assert_eq!(bench.ids().len(), 10);
    (bench, ask)
}

fn empty(percent: u8) -> Bench {
    Bench::guarded(Memory::new("us"), rules(), Guarded { percent, ask: Arc::default() })
}

fn ten() -> impl Iterator<Item = String> {
    (0..10).map(|n| format!("s{n}"))
}

fn missing(id: String) -> (String, Desired) {
    (id, Desired::Absent(Evidence::List))
}

async fn asked(ask: &Notify) -> bool {
    timeout(Duration::from_millis(1), ask.notified()).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_cleaned_up_goes_whenever_the_registry_changes_meanwhile() {
    for milliseconds in (0..2000).step_by(50) {
        let bench = empty(100);
        bench.memory.put(foreign("host:old:80", None));
        // Then it is read again just when the guard has gathered.
        let delay = GATHER / READING_SHARE;
        bench.memory.fail(Faults { delay, ..Faults::default() });
        bench.compare(true, true);
        sleep(Duration::from_millis(milliseconds)).await;
        bench.memory.put(foreign("theirs", Some("them")));
        bench.settle().await;
        assert_eq!(bench.ids(), ["theirs"], "a change after {milliseconds} ms");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_cleaned_up_goes_also_when_the_registry_was_away_meanwhile() {
    for percent in [0, 100] {
        let bench = empty(percent);
        bench.memory.put(foreign("host:old:80", None));
        bench.memory.fail(Faults { delay: Duration::from_millis(10), ..Faults::default() });
        bench.compare(true, true);
        sleep(Duration::from_millis(15)).await;
        bench.memory.fail(Faults { away: true, ..Faults::default() });
        sleep(Duration::from_secs(5)).await;
        bench.memory.fail(Faults::default());
        bench.settle().await;
        assert_eq!(bench.ids(), [""; 0], "with a guard of {percent} %");
    }
}

#[tokio::test(start_paused = true)]
async fn what_events_told_of_goes_at_once_however_much_it_is() {
    let (bench, ask) = guarded(100).await;
    bench.update(ten().map(|id| absent(&id)));
    sleep(Duration::from_millis(10)).await;
    assert_eq!(bench.ids(), [""; 0]);
    bench.settle().await;
    assert!(!asked(&ask).await);
}

#[tokio::test(start_paused = true)]
async fn a_few_that_no_event_told_of_go_a_moment_later() {
    let (bench, ask) = guarded(100).await;
    bench.update(ten().skip(1).map(missing));
    sleep(Duration::from_millis(500)).await;
    assert_eq!(bench.ids().len(), 10);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(bench.ids(), ["s0"]);
    assert!(!asked(&ask).await);
}

#[tokio::test(start_paused = true)]
async fn all_at_once_is_asked_for_again_and_goes_if_it_is_still_so() {
    let (bench, ask) = guarded(100).await;
    // One after the other, as a list is followed up.
    for id in ten() {
        bench.update([missing(id)]);
        sleep(Duration::from_millis(200)).await;
    }
    sleep(Duration::from_secs(9)).await;
    assert!(!asked(&ask).await, "too soon");
    // A resync in between proves nothing: the engine may still be starting.
    bench.compare(true, false);
    bench.settle().await;
    assert_eq!(bench.ids().len(), 10);
    assert!(asked(&ask).await);
    // Nothing is removed before the answer, however long that takes.
    sleep(Duration::from_secs(1000)).await;
    assert_eq!(bench.ids().len(), 10);
    bench.compare(true, false);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(bench.ids(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn what_is_there_again_at_the_second_look_was_never_written_to() {
    let (bench, ask) = guarded(50).await;
    drop(bench.writes());
    bench.update(ten().take(5).map(missing));
    bench.settle().await;
    assert!(asked(&ask).await);
    bench.update(ten().take(4).map(|id| wanted(&id, 1)));
    bench.compare(true, false);
    bench.settle().await;
    assert_eq!(bench.writes(), [Request::Deregister("s4".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn what_a_start_finds_without_a_container_waits_as_well() {
    let (bench, _) = guarded(100).await;
    let ask = Arc::new(Notify::new());
    let next = Bench::guarded(bench.memory.clone(), rules(), Guarded { percent: 100, ask: Arc::clone(&ask) });
    drop(bench);
    // The engine starts as we do, and has started nothing yet.
    next.compare(true, true);
    next.settle().await;
    assert!(asked(&ask).await);
    assert_eq!(next.ids().len(), 10);
    drop(next.writes());
    // By then, most of it runs again.
    next.update(ten().skip(2).map(|id| wanted(&id, 1)));
    next.compare(true, true);
    next.settle().await;
    assert_eq!(next.writes(), [Request::Deregister("s0".to_owned()), Request::Deregister("s1".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn a_removal_that_was_confirmed_is_made_once_the_registry_is_back() {
    let (bench, ask) = guarded(100).await;
    bench.update(ten().map(missing));
    bench.settle().await;
    assert!(asked(&ask).await);
    bench.memory.fail(Faults { away: true, ..Faults::default() });
    bench.compare(true, false);
    bench.settle().await;
    bench.memory.fail(Faults::default());
    bench.settle().await;
    assert_eq!(bench.ids(), [""; 0]);
}
