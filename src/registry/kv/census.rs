//! How much of a store is others', as it was counted last: what that decides, and when it is counted again. Pure.
//!
//! A host of a large fleet reads and watches its own keys, and nothing else; so what an external writer made under our
//! owner's name at another key is found only where everything is counted.

use std::time::Duration;

use tokio::time::Instant;

/// The least time from one count to the next.
const PAUSE: Duration = Duration::from_secs(300);
/// And for each entry that was counted: so the time that it takes stays the same share.
const PAUSE_EACH: Duration = Duration::from_millis(25);
/// A store is known to hold little only when it was counted so long after the first time: a fleet may have been
/// starting then.
const SETTLED: Duration = Duration::from_secs(60);
/// Of fewer entries than this, all are read, if it was seen that there are not more.
const LITTLE: usize = 1000;
/// So many keys are read and watched one by one, whatever else there is.
const FEW_READ: usize = 240;
const FEW_WATCHED: usize = 1000;

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// When that was done first, and when it is due again.
    first: Option<Instant>,
    due: Option<Instant>,
    /// How many entries are others', at most.
    others: usize,
    settled: bool,
    /// Only our own keys are read, however little there is. For tests.
    pub(super) narrow: bool,
}

impl Census {
    /// So many entries are others', and so many ours. `chance`, from 0 to 1, spreads many hosts.
    pub(super) fn counted(&mut self, others: usize, ours: usize, now: Instant, chance: f64) {
        let first = *self.first.get_or_insert(now);
        self.settled = now.saturating_duration_since(first) >= SETTLED;
        self.others = others;
        let each = PAUSE_EACH * u32::try_from(others + ours).unwrap_or(u32::MAX);
        self.due = Some(now + (PAUSE + each).mul_f64(0.75 + chance / 2.0));
    }

    /// So many entries of others were written since.
    pub(super) fn written_by_others(&mut self, entries: usize) {
        self.others += entries;
    }

    /// Whether it was ever counted.
    pub(super) fn is_done(&self) -> bool {
        self.due.is_some()
    }

    /// When it is to be counted again; at once if it never was.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
    }

    /// Whether to read everything, where so many keys concern us.
    pub(super) fn reads_everything(&self, own: usize) -> bool {
        !self.narrow && (self.is_little() || own > FEW_READ && self.others < own)
    }

    /// Whether to watch everything, where so many keys concern us. `costly`: single keys are watched by asking for them
    /// again and again.
    pub(super) fn watches_everything(&self, own: usize, costly: bool) -> bool {
        !self.narrow && (costly && self.is_little() || own > FEW_WATCHED && self.others < own)
    }

    fn is_little(&self) -> bool {
        self.settled && self.others < LITTLE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(others: usize, after: Duration) -> Census {
        let mut census = Census::default();
        let now = Instant::now();
        census.counted(0, 0, now, 0.5);
        census.counted(others, 10, now + after, 0.5);
        census
    }

    #[test]
    fn a_host_of_a_large_fleet_reads_and_watches_its_own_keys_alone() {
        for (others, own, reads_all, watches_all) in [
            (0, 50, true, false),
            (999, 50, true, false),
            (1000, 50, false, false),
            (25_000, 50, false, false),
            (25_000, 10_000, false, false),
            // Nearly everything is ours.
            (0, 10_000, true, true),
            (9999, 10_000, true, true),
            (1500, 1600, true, true),
            (1500, 1500, false, false),
        ] {
            let census = counted(others, SETTLED);
            assert_eq!(census.reads_everything(own), reads_all, "{others} {own}");
            assert_eq!(census.watches_everything(own, false), watches_all, "{others} {own}");
            let costly = others < LITTLE || watches_all;
            assert_eq!(census.watches_everything(own, true), costly, "{others} {own}");
        }
    }

    #[test]
    fn a_store_that_is_empty_at_the_start_is_not_taken_for_a_small_one() {
        let starting = counted(0, SETTLED / 2);
        assert!(!starting.reads_everything(50) && !starting.watches_everything(50, true));
        assert!(starting.reads_everything(10_000) && starting.watches_everything(10_000, false));
        let mut growing = starting;
        growing.written_by_others(20_000);
        assert!(!growing.reads_everything(10_000) && !growing.watches_everything(10_000, true));
    }

    #[test]
    fn it_is_counted_again_the_more_rarely_the_more_there_is() {
        let (now, mut census) = (Instant::now(), Census::default());
        assert!(census.is_due(now) && !census.is_done());
        for (others, chance, seconds) in [(0, 0.5, 300), (24_000, 0.5, 900), (24_000, 0.0, 675), (24_000, 1.0, 1125)] {
            census.counted(others, 0, now, chance);
            let due = now + Duration::from_secs(seconds);
            assert_eq!(census.due(), Some(due));
            assert!(census.is_due(due) && !census.is_due(due - Duration::from_millis(1)));
        }
    }
}
