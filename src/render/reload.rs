//! When a program is told that its file has changed: as soon as it may be, and again until it succeeds. Pure, except
//! that the clock is passed in.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::retry::{Cause, Pauses};

/// The pause after the first failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The reloads of one resource.
#[derive(Debug)]
pub struct Reloads {
    min_interval: Duration,
    /// When the next one is due, if one is.
    due: Option<Instant>,
    /// One is being done. What it reads may be older than a change that comes now.
    running: bool,
    /// When the last one began.
    last: Option<Instant>,
    /// Why the one that is due, or is being done, is tried.
    cause: Cause,
    pauses: Pauses,
    failures: u32,
    /// The files that changed since the last success.
    changed: Vec<PathBuf>,
    /// Those of them that the one that is being done is about.
    told: Vec<PathBuf>,
}

/// How a reload ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// It succeeded, after so many failures. The program knows of these files.
    Well {
        /// The files.
        files: Vec<PathBuf>,
        /// The failures before.
        failures: u32,
    },
    /// It failed, and is due again after this pause.
    Again(Duration),
}

impl Reloads {
    /// None is due. `min_interval`: the shortest time between two.
    #[must_use]
    pub fn new(min_interval: Duration) -> Self {
        Self {
            min_interval,
            due: None,
            running: false,
            last: None,
            cause: Cause::Change,
            pauses: Pauses::new(FIRST_PAUSE, LONGEST_PAUSE),
            failures: 0,
            changed: Vec::new(),
            told: Vec::new(),
        }
    }

    /// These files have changed, or a former process has left a reload undone. Returns for how long it must wait, if
    /// the last one was just now.
    pub fn want(&mut self, files: Vec<PathBuf>, now: Instant) -> Option<Duration> {
        for file in files {
            if !self.changed.contains(&file) {
                self.changed.push(file);
            }
        }
        let allowed = self.last.map_or(now, |last| (last + self.min_interval).max(now));
        // A change may be what the last failure needed: it is tried at once.
        if !self.running {
            self.cause = Cause::Change;
        }
        self.due = Some(self.due.map_or(allowed, |due| due.min(allowed)));
        (allowed > now).then(|| allowed - now)
    }

    /// When one is due, if none is being done.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.running)
    }

    /// Whether one is due or being done.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.running || self.due.is_some()
    }

    /// It begins.
    pub fn begin(&mut self, now: Instant) {
        self.due = None;
        self.running = true;
        self.last = Some(now);
        self.told = std::mem::take(&mut self.changed);
    }

    /// It ended.
    pub fn end(&mut self, well: bool, now: Instant) -> Ended {
        self.running = false;
        let mut told = std::mem::take(&mut self.told);
        if well {
            self.pauses.succeeded();
            self.cause = Cause::Change;
            return Ended::Well { files: told, failures: std::mem::take(&mut self.failures) };
        }
        self.failures = self.failures.saturating_add(1);
        told.retain(|file| !self.changed.contains(file));
        self.changed.splice(..0, told);
        let pause = self.pauses.failed(self.cause).max(self.min_interval);
        // What has changed meanwhile may be due earlier.
        self.cause = if self.due.is_some() { Cause::Change } else { Cause::Retry };
        let due = self.due.map_or(now + pause, |earlier| earlier.min(now + pause));
        self.due = Some(due);
        Ended::Again(due.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn file(name: &str) -> Vec<PathBuf> {
        vec![name.into()]
    }

    #[test]
    fn a_change_is_told_at_once() {
        let (mut reloads, now) = (Reloads::new(Duration::ZERO), Instant::now());
        assert_eq!(reloads.due(), None);
        assert_eq!(reloads.want(file("a"), now), None);
        assert_eq!(reloads.due(), Some(now));
        reloads.begin(now);
        assert_eq!(reloads.due(), None);
        assert_eq!(reloads.end(true, now), Ended::Well { files: file("a"), failures: 0 });
        assert!(!reloads.is_busy());
    }

    #[test]
    fn a_failure_is_tried_again_until_it_succeeds_with_growing_pauses() {
        let (mut reloads, mut now) = (Reloads::new(Duration::ZERO), Instant::now());
        reloads.want(file("a"), now);
        let mut pauses = Vec::new();
        for _ in 0..20 {
            now = reloads.due().unwrap();
            reloads.begin(now);
            match reloads.end(false, now) {
                Ended::Again(pause) => pauses.push(pause),
                ended => panic!("{ended:?}"),
            }
        }
        assert!(pauses[0] < 3 * SECOND, "{pauses:?}");
        assert!(pauses[19] >= LONGEST_PAUSE && pauses[19] <= 2 * LONGEST_PAUSE, "{pauses:?}");
        now = reloads.due().unwrap();
        reloads.begin(now);
        assert_eq!(reloads.end(true, now), Ended::Well { files: file("a"), failures: 20 });
        assert_eq!(reloads.due(), None);
    }

    #[test]
    fn a_reload_that_is_due_survives_the_next_change_and_is_not_delayed_by_it() {
        let (mut reloads, now) = (Reloads::new(10 * SECOND), Instant::now());
        reloads.want(file("a"), now);
        reloads.begin(now);
        reloads.end(true, now);
        assert_eq!(reloads.want(file("a"), now + SECOND), Some(9 * SECOND));
        assert_eq!(reloads.want(file("b"), now + 5 * SECOND), Some(5 * SECOND));
        assert_eq!(reloads.due(), Some(now + 10 * SECOND));
        reloads.begin(now + 10 * SECOND);
        let files = vec!["a".into(), "b".into()];
        assert_eq!(reloads.end(true, now + 10 * SECOND), Ended::Well { files, failures: 0 });
    }

    #[test]
    fn a_change_during_a_reload_is_told_by_another_one() {
        let (mut reloads, now) = (Reloads::new(Duration::ZERO), Instant::now());
        reloads.want(file("a"), now);
        reloads.begin(now);
        reloads.want(file("a"), now);
        assert_eq!(reloads.due(), None);
        assert_eq!(reloads.end(true, now), Ended::Well { files: file("a"), failures: 0 });
        assert_eq!(reloads.due(), Some(now));
    }

    #[test]
    fn a_change_ends_the_pause_after_a_failure() {
        let (mut reloads, mut now) = (Reloads::new(Duration::ZERO), Instant::now());
        reloads.want(file("a"), now);
        for _ in 0..10 {
            now = reloads.due().unwrap();
            reloads.begin(now);
            reloads.end(false, now);
        }
        assert_eq!(reloads.want(file("a"), now + SECOND), None);
        assert_eq!(reloads.due(), Some(now + SECOND));
    }

    proptest! {
        #[test]
        fn the_last_change_is_always_told_and_never_too_soon(
            steps in prop::collection::vec((0_u8..3, 0_u32..20), 1..60),
            min in 0_u32..15,
        ) {
            let mut reloads = Reloads::new(SECOND * min);
            let mut now = Instant::now();
            let mut begun: Vec<Instant> = Vec::new();
            let (mut untold, mut running) = (false, false);
            for (step, seconds) in steps {
                now += SECOND * seconds;
                match step {
                    0 => {
                        reloads.want(file("a"), now);
                        untold = true;
                    }
                    step if running => {
                        let well = step == 1;
                        reloads.end(well, now);
                        running = false;
                        untold |= !well;
                    }
                    _ => {}
                }
                if reloads.due().is_some_and(|due| due <= now) {
                    prop_assert!(!running);
                    reloads.begin(now);
                    begun.push(now);
                    (running, untold) = (true, false);
                }
                // Whatever was not told is due, or will be when the one in progress has ended.
                prop_assert!(!untold || reloads.is_busy());
                prop_assert!(!untold || running || reloads.due().is_some());
            }
            prop_assert!(begun.windows(2).all(|pair| pair[1] - pair[0] >= SECOND * min), "{:?}", begun);
        }
    }
}
