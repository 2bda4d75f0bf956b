//! What pacing holds back, and for how long. The tests compute the times.

use litemap::LiteMap;

use super::*;
use crate::container::{Health, Moment, NetworkMode, State, Stop};

const RUNNING: State = State::Running { paused: false, health: Health::None };
const EXITED: State = State::Exited { code: 0 };

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A container in its n-th life.
fn web(life: u32, state: State) -> Seen {
    Seen::Changed(tagged(life, state))
}

fn tagged(life: u32, state: State) -> Tagged {
    let container = Container {
        id: id(),
        name: "web".into(),
        image: "web".into(),
        hostname: "web".into(),
        env: Arc::default(),
        labels: LiteMap::new(),
        network_mode: NetworkMode::Network("default".to_owned()),
        networks: LiteMap::new(),
        ports: Vec::new(),
        state,
        created: Moment::default(),
        started: Moment(life.into()),
        stop: Stop { signal: 15, timeout: secs(20) },
        inspect: None,
    };
    Tagged { container: Arc::new(container), tags: Arc::default() }
}

fn id() -> ContainerId {
    ContainerId::from("0123456789ab")
}

fn all(containers: Vec<Tagged>) -> Seen {
    Seen::Snapshot { containers, unknown: Vec::new(), held: Vec::new() }
}

/// `+life` or `.life` for what is taken in, `-` and `!` for an end, `undrain`, and for a snapshot what it has and holds.
fn told(steps: Vec<Step>) -> String {
    let container = |tagged: &Tagged| {
        let mark = if tagged.container.state.is_running() { '+' } else { '.' };
        format!("{mark}{}", tagged.container.started.0)
    };
    let told = steps.iter().map(|step| match step {
        Step::Take(Seen::Changed(tagged)) => container(tagged),
        Step::Take(Seen::Gone(_)) => "-".to_owned(),
        Step::Take(Seen::Missing(_)) => "!".to_owned(),
        Step::Take(Seen::Stopping(_)) => "stopping".to_owned(),
        Step::Take(Seen::Snapshot { containers, held, .. }) => {
            format!("[{} held {}]", containers.iter().map(container).collect::<String>(), held.len())
        }
        Step::Undrain(_) => "undrain".to_owned(),
    });
    told.collect::<Vec<_>>().join(" ")
}

/// A pacing that knows one running container.
fn pacing(drain: u64) -> (Pacing, Instant) {
    let now = Instant::now();
    let mut pacing = Pacing::new((drain > 0).then(|| secs(drain)));
    assert_eq!(told(pacing.see(all(vec![tagged(1, RUNNING)]), now)), "[+1 held 0]");
    (pacing, now)
}

#[tokio::test]
async fn without_a_drain_an_end_is_taken_in_at_once() {
    let (mut pacing, now) = pacing(0);
    assert!(!pacing.stopping(&id(), now));
    assert_eq!(told(pacing.see(web(1, EXITED), now)), ".1");
    assert_eq!(told(pacing.see(Seen::Gone(id()), now)), "-");
    assert_eq!(pacing.due(), None);
}

#[tokio::test]
async fn the_end_of_one_that_drains_waits_for_the_time_that_was_promised() {
    for ends in [vec![web(1, EXITED)], vec![Seen::Gone(id())], vec![web(1, EXITED), Seen::Gone(id())]] {
        let (mut pacing, now) = pacing(30);
        assert!(pacing.stopping(&id(), now));
        let last = if matches!(ends.last(), Some(Seen::Gone(_))) { "- undrain" } else { ".1 undrain" };
        for seen in ends {
            assert_eq!(told(pacing.see(seen, now + secs(1))), "");
        }
        assert_eq!(told(pacing.release(now + secs(29))), "");
        assert_eq!(pacing.due(), Some(now + secs(30)));
        assert_eq!(told(pacing.release(now + secs(30))), last);
        assert_eq!(pacing.due(), None);
    }
}

#[tokio::test]
async fn an_end_after_that_time_is_taken_in_at_once() {
    let (mut pacing, now) = pacing(3);
    pacing.stopping(&id(), now);
    assert_eq!(told(pacing.see(web(1, EXITED), now + secs(3))), ".1 undrain");
    assert_eq!(pacing.due(), None);
}

#[tokio::test]
async fn a_container_that_ignores_its_stop_signal_serves_again_after_its_timeout() {
    for (drain, patience) in [(3, 25), (30, 35)] {
        let (mut pacing, now) = pacing(drain);
        pacing.stopping(&id(), now);
        assert_eq!(pacing.due(), Some(now + secs(patience)), "{drain}");
        // A second signal starts the drain again.
        assert!(pacing.stopping(&id(), now + secs(1)));
        assert_eq!(told(pacing.release(now + secs(patience))), "");
        assert_eq!(told(pacing.release(now + secs(patience + 1))), "undrain");
        assert_eq!(told(pacing.see(web(1, EXITED), now + secs(patience + 2))), ".1");
    }
}

#[tokio::test]
async fn one_that_starts_again_while_it_drains_is_good_again_at_once() {
    // With its end in between, and without.
    for ended in [true, false] {
        let (mut pacing, now) = pacing(30);
        pacing.stopping(&id(), now);
        if ended {
            assert_eq!(told(pacing.see(web(1, EXITED), now + secs(1))), "");
        }
        assert_eq!(told(pacing.see(web(2, RUNNING), now + secs(2))), "+2 undrain");
        assert_eq!(pacing.due(), None);
    }
}

#[tokio::test]
async fn a_snapshot_says_no_more_of_one_that_drains_than_an_event() {
    for there in [vec![], vec![tagged(1, EXITED)]] {
        let (mut pacing, now) = pacing(30);
        pacing.stopping(&id(), now);
        assert_eq!(told(pacing.see(all(vec![tagged(1, RUNNING)]), now)), "[+1 held 0]");
        let last = if there.is_empty() { "! undrain" } else { ".1 undrain" };
        assert_eq!(told(pacing.see(all(there.clone()), now + secs(1))), "[ held 1]");
        assert_eq!(told(pacing.see(all(there), now + secs(2))), "[ held 1]");
        assert_eq!(told(pacing.release(now + secs(30))), last);
    }
}

/// Ends and starts again, so many times a second, and says what was taken in.
fn flap(pacing: &mut Pacing, from: u32, times: u32, now: Instant) -> String {
    let mut steps = Vec::new();
    for life in from..from + times {
        let now = now + secs((life - from).into());
        steps.extend(pacing.release(now));
        steps.extend(pacing.see(web(life, EXITED), now));
        steps.extend(pacing.see(web(life + 1, RUNNING), now));
    }
    told(steps)
}

#[tokio::test]
async fn a_flapping_container_is_registered_after_running_for_a_while_each_time_longer() {
    let (mut pacing, mut now) = pacing(0);
    assert_eq!(flap(&mut pacing, 1, 4, now), ".1 +2 .2 +3 .3 +4 .4", "the fourth start is held back");
    now += secs(3);
    assert_eq!(told(pacing.release(now + secs(9))), "");
    assert_eq!(told(pacing.release(now + secs(10))), "+5");
    for (life, pause) in [(5, 20), (6, 40), (7, 60), (8, 60)] {
        now += secs(100);
        // It ended after less than a minute.
        pacing.lives.get_mut(&id()).expect("a life").since = now - secs(50);
        assert_eq!(flap(&mut pacing, life, 1, now), format!(".{life}"));
        assert_eq!(pacing.due(), Some(now + secs(pause)), "{life}");
        // A change in the meantime is taken in then.
        assert_eq!(told(pacing.see(web(life + 1, RUNNING), now + secs(1))), "");
        assert_eq!(told(pacing.release(now + secs(pause))), format!("+{}", life + 1));
    }
    // After a minute of running, the history is forgotten.
    assert_eq!(flap(&mut pacing, 9, 1, now + secs(200)), ".9 +10");
}

#[tokio::test]
async fn a_crash_loop_that_never_ends_is_no_longer_written() {
    let (mut pacing, now) = pacing(0);
    let taken = flap(&mut pacing, 1, 500, now);
    assert_eq!(taken.matches('+').count(), 3, "{taken}");
    // The same if the ends in between were not seen.
    let begin = now + secs(500);
    for life in 600..700_u32 {
        assert_eq!(told(pacing.see(web(life, RUNNING), begin + secs(u64::from(life) - 600))), "");
    }
}

#[tokio::test]
async fn four_restarts_in_four_minutes_are_no_flapping() {
    let (mut pacing, mut now) = pacing(0);
    for life in 1..5 {
        now += secs(30);
        assert_eq!(flap(&mut pacing, life, 1, now), format!(".{life} +{}", life + 1));
    }
}

#[tokio::test]
async fn a_removed_container_is_no_longer_delayed() {
    let (mut pacing, now) = pacing(0);
    flap(&mut pacing, 1, 4, now);
    assert_eq!(told(pacing.see(all(vec![tagged(5, RUNNING)]), now + secs(4))), "[ held 1]");
    assert_eq!(told(pacing.see(Seen::Gone(id()), now + secs(5))), "-");
    assert_eq!((pacing.due(), pacing.lives.len()), (None, 0));
}
