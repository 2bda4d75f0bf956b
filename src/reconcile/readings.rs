//! When a registry is read again: because everything is to be compared, because it says that it changed, or to see what
//! became of a write that failed on the way.

use std::time::Duration;

use tokio::time::Instant;

/// Reading a registry because it changed, mostly by our own writes, may take this share of the time: one in so many.
const READING_SHARE: u32 = 20;
/// And for each entry that it holds, there is so much time between two readings: a hundredth is spent on reading it.
const COOLDOWN_EACH: Duration = Duration::from_micros(250);
/// The longest that a change by an external writer waits to be read.
const LONGEST_COOLDOWN: Duration = Duration::from_secs(10);
/// When what failed on the way, or what is in our way, is looked at once more.
pub(super) const RECHECK: Duration = Duration::from_secs(30);

/// When the next reading is due.
#[derive(Debug)]
pub(super) struct Readings {
    /// It is due now; whether everything is compared, so that a cleanup may follow.
    wanted: Option<bool>,
    /// At this time, because the registry may have changed.
    reread: Option<Instant>,
    /// At this time, whatever is read before.
    recheck: Option<Instant>,
    /// Before this, no change that the registry tells of has it read again.
    cooldown: Instant,
}

impl Readings {
    pub(super) fn new(now: Instant) -> Self {
        Self { wanted: None, reread: None, recheck: None, cooldown: now }
    }

    /// Everything is to be compared; `cleanup` if a cleanup may follow.
    pub(super) fn compare(&mut self, cleanup: bool) {
        self.wanted = Some(cleanup || self.wanted.unwrap_or_default());
    }

    /// Something may have changed. Draws no conclusion that only a comparison may draw.
    pub(super) fn again(&mut self) {
        self.wanted.get_or_insert(false);
    }

    /// The registry says that it changed.
    pub(super) fn changed(&mut self, now: Instant) {
        self.at(self.cooldown.max(now));
    }

    /// At this time at the latest.
    pub(super) fn at(&mut self, time: Instant) {
        self.reread = Some(self.reread.map_or(time, |due| due.min(time)));
    }

    /// At this time, whatever is read before.
    pub(super) fn recheck_at(&mut self, time: Instant) {
        self.recheck = Some(time);
    }

    /// Takes the reading that is due, and says whether a cleanup may follow.
    pub(super) fn begin(&mut self, now: Instant) -> Option<bool> {
        for due in [&mut self.reread, &mut self.recheck] {
            if due.take_if(|due| *due <= now).is_some() {
                self.wanted.get_or_insert(false);
            }
        }
        let cleanup = self.wanted.take()?;
        self.reread = None;
        Some(cleanup)
    }

    /// A reading failed: it is still wanted.
    pub(super) fn failed(&mut self, cleanup: bool) {
        self.compare(cleanup);
    }

    /// A reading took so long and found so many entries.
    pub(super) fn done(&mut self, took: Duration, entries: usize, now: Instant) {
        let each = COOLDOWN_EACH * u32::try_from(entries).unwrap_or(u32::MAX);
        self.cooldown = now + (took * READING_SHARE).max(each).min(LONGEST_COOLDOWN);
        self.reread = self.reread.map(|due| due.max(self.cooldown));
    }

    /// When one is due that is not wanted yet.
    pub(super) fn next(&self) -> Option<Instant> {
        self.reread.into_iter().chain(self.recheck).min()
    }
}
