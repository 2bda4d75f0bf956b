//! The removal guard: if a list of containers suggests removing many entries at once, Docker is asked again before they
//! are removed.
//!
//! A missing container is a weak reason for a removal: at a start, after a reconnect or after lost events, an engine
//! may list nothing although containers run, for example because it has just restarted or because another engine has
//! taken over its address. So the guard collects such removals for a moment and counts them. If they are too large a
//! share of our entries, it asks the engine again some time later, and removes only the entries that still have no
//! container. Removals because of an event (the container died) are not delayed.
//!
//! Pure, except that the clock is passed in.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

/// This few removals are always allowed.
const FEW: usize = 3;

/// Removals within this time are counted together.
const GATHER: Duration = Duration::from_secs(1);

/// Counting ends after this time at the latest.
const GATHER_AT_MOST: Duration = Duration::from_secs(5);

/// When the engine is asked again.
pub(super) const ASK_AFTER: Duration = Duration::from_secs(10);

/// The guard of one registry.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// Percentage of entries from which on removals are delayed; 0 turns the guard off.
    share: usize,
    /// Keys that would be removed.
    doubts: BTreeSet<Arc<str>>,
    /// Keys that may be removed.
    confirmed: HashSet<Arc<str>>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    #[default]
    Idle,
    /// More may come.
    Gathering { until: Instant, at_most: Instant },
    /// Too many removals. The engine gets some time to start.
    Waiting { until: Instant },
    /// The engine was asked.
    Asked,
}

/// The decision about the pending removals, once it is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The removals are allowed: plan these keys again.
    Go(Vec<Arc<str>>),
    /// This many removals are too many.
    Wait(usize),
    /// Ask the engine for a new list.
    Ask,
}

impl Guard {
    pub(super) fn new(percent: u8) -> Self {
        Self { share: percent.into(), ..Self::default() }
    }

    /// Whether this key may be removed now. If not, [`Guard::verdict`] decides later.
    pub(super) fn permits(&mut self, key: &Arc<str>, now: Instant) -> bool {
        if self.share == 0 {
            self.confirmed.insert(Arc::clone(key));
        }
        if self.confirmed.contains(key) {
            return true;
        }
        if self.doubts.insert(Arc::clone(key)) {
            self.stage = match self.stage {
                Stage::Idle => Stage::Gathering { until: now + GATHER, at_most: now + GATHER_AT_MOST },
                Stage::Gathering { at_most, .. } => Stage::Gathering { until: (now + GATHER).min(at_most), at_most },
                stage => stage,
            };
        }
        false
    }

    /// Whether the guard delays the removal of this key.
    pub(super) fn holds(&self, key: &str) -> bool {
        self.share > 0 && !self.confirmed.contains(key)
    }

    /// This key has a container again, or its entry is gone.
    pub(super) fn clear(&mut self, key: &str) {
        self.doubts.remove(key);
        self.confirmed.remove(key);
    }

    /// Everything will be planned again; the registry holds these keys.
    pub(super) fn begin(&mut self, held: impl Fn(&str) -> bool) {
        self.doubts.clear();
        self.confirmed.retain(|key| held(key));
    }

    /// The engine listed everything again. If that answers our question, the pending removals are allowed.
    pub(super) fn answered(&mut self) {
        if let Stage::Asked = self.stage {
            self.stage = Stage::Idle;
            self.confirmed = std::mem::take(&mut self.doubts).into_iter().collect();
        }
    }

    /// Whether any removal is delayed, or is allowed and not yet made.
    pub(super) fn is_busy(&self) -> bool {
        !matches!(self.stage, Stage::Idle) || !self.confirmed.is_empty()
    }

    /// Whether it is about to decide on removals that it has just met.
    pub(super) fn is_gathering(&self) -> bool {
        matches!(self.stage, Stage::Gathering { .. })
    }

    /// When the next decision is due.
    pub(super) fn due(&self) -> Option<Instant> {
        match self.stage {
            Stage::Gathering { until, .. } | Stage::Waiting { until } => Some(until),
            Stage::Idle | Stage::Asked => None,
        }
    }

    /// The decision, if it is due. Call it when everything is planned; `held` is the number of our entries.
    pub(super) fn verdict(&mut self, held: usize, now: Instant) -> Option<Verdict> {
        if self.due().is_none_or(|due| now < due) {
            return None;
        }
        let doubts = self.doubts.len();
        if doubts == 0 || held <= FEW || doubts * 100 < self.share * held {
            self.stage = Stage::Idle;
            let go: Vec<_> = std::mem::take(&mut self.doubts).into_iter().collect();
            self.confirmed.extend(go.iter().cloned());
            return Some(Verdict::Go(go));
        }
        if let Stage::Waiting { .. } = self.stage {
            self.stage = Stage::Asked;
            return Some(Verdict::Ask);
        }
        self.stage = Stage::Waiting { until: now + ASK_AFTER };
        Some(Verdict::Wait(doubts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Arc<str> {
        number.to_string().into()
    }

    /// A guard with these pending removals, at the time of its decision.
    fn doubting(percent: u8, keys: usize) -> (Guard, Instant) {
        let now = Instant::now();
        let mut guard = Guard::new(percent);
        for number in 0..keys {
            assert!(!guard.permits(&key(number), now));
        }
        (guard, now + GATHER)
    }

    #[tokio::test]
    async fn too_large_a_share_of_removals_waits_and_a_smaller_one_does_not() {
        for (percent, doubts, held, waits) in [
            (100, 1, 1, false),
            (100, 3, 3, false),
            (100, 4, 4, true),
            (100, 4, 5, false),
            (100, 99, 100, false),
            (100, 100, 100, true),
            (50, 49, 100, false),
            (50, 50, 100, true),
            (50, 3, 4, true),
            (50, 3, 3, false),
            (1, 1, 100, true),
            (1, 1, 101, false),
        ] {
            let (mut guard, now) = doubting(percent, doubts);
            let verdict = guard.verdict(held, now).expect("a verdict");
            assert_eq!(verdict == Verdict::Wait(doubts), waits, "{percent} % {doubts} of {held}");
            assert_eq!(guard.permits(&key(0), now), !waits);
        }
    }

    #[tokio::test]
    async fn without_a_share_everything_goes_at_once() {
        let mut guard = Guard::new(0);
        assert!(guard.permits(&key(0), Instant::now()));
        assert_eq!(guard.due(), None);
    }

    #[tokio::test]
    async fn doubts_that_follow_each_other_are_counted_together_but_not_for_ever() {
        let (mut guard, mut now) = doubting(100, 1);
        for number in 1..7 {
            assert_eq!(guard.verdict(9, now - GATHER / 5), None);
            guard.permits(&key(number), now - GATHER / 5);
            now += GATHER * 4 / 5;
        }
        assert!(matches!(guard.verdict(9, now), Some(Verdict::Go(keys)) if keys.len() == 7));
    }

    #[tokio::test]
    async fn only_the_answer_to_its_question_confirms() {
        let (mut guard, now) = doubting(100, 5);
        assert_eq!(guard.verdict(5, now), Some(Verdict::Wait(5)));
        guard.answered();
        assert!(!guard.permits(&key(0), now), "the engine had no time to start");
        guard.clear("4");
        let later = now + ASK_AFTER;
        assert_eq!(guard.verdict(4, later), Some(Verdict::Ask));
        assert_eq!((guard.verdict(4, later), guard.due()), (None, None));
        guard.answered();
        assert!(guard.permits(&key(0), later));
        assert!(!guard.permits(&key(4), later), "it came up again meanwhile");
    }
}
