//! When to read a registry again: for a comparison, after a reported change, or to see the result of an in-doubt write.

use std::time::Duration;

use tokio::time::Instant;

/// Reads because of changes (mostly our own writes) may take one part in this many of the time.
const READING_SHARE: u32 = 20;
/// Minimum time between two reads per entry held: about a hundredth of the time is spent reading.
const COOLDOWN_EACH: Duration = Duration::from_micros(250);
/// A change by an external writer is read after this time at the latest.
const LONGEST_COOLDOWN: Duration = Duration::from_secs(10);
/// When an in-doubt write or a blocked key is read again.
pub(super) const RECHECK: Duration = Duration::from_secs(30);

/// When the next read is due.
#[derive(Debug)]
pub(super) struct Readings {
    /// A read is due now. The value says whether it is a comparison, after which a cleanup may follow.
    wanted: Option<bool>,
    /// A read is due at this time, because the registry may have changed.
    reread: Option<Instant>,
    /// A read is due at this time, whatever is read before.
    recheck: Option<Instant>,
    /// Changes reported by the registry cause no read before this time.
    cooldown: Instant,
}

impl Readings {
    pub(super) fn new(now: Instant) -> Self {
        Self { wanted: None, reread: None, recheck: None, cooldown: now }
    }

    /// Requests a comparison; `cleanup` says whether a cleanup may follow.
    pub(super) fn compare(&mut self, cleanup: bool) {
        self.wanted = Some(cleanup || self.wanted.unwrap_or_default());
    }

    /// Something may have changed. This read draws none of the conclusions that need a comparison.
    pub(super) fn again(&mut self) {
        self.wanted.get_or_insert(false);
    }

    /// The registry reported a change.
    pub(super) fn changed(&mut self, now: Instant) {
        self.at(self.cooldown.max(now));
    }

    /// Requests a read at this time at the latest.
    pub(super) fn at(&mut self, time: Instant) {
        self.reread = Some(self.reread.map_or(time, |due| due.min(time)));
    }

    /// Requests a read at this time, whatever is read before.
    pub(super) fn recheck_at(&mut self, time: Instant) {
        self.recheck = Some(time);
    }

    /// Takes the read that is due. Returns whether a cleanup may follow.
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

    /// The read failed, and is requested again.
    pub(super) fn failed(&mut self, cleanup: bool) {
        self.compare(cleanup);
    }

    /// The read took this long and found this many entries.
    pub(super) fn done(&mut self, took: Duration, entries: usize, now: Instant) {
        let each = COOLDOWN_EACH * u32::try_from(entries).unwrap_or(u32::MAX);
        self.cooldown = now + (took * READING_SHARE).max(each).min(LONGEST_COOLDOWN);
        self.reread = self.reread.map(|due| due.max(self.cooldown));
    }

    /// When the next scheduled read is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.reread.into_iter().chain(self.recheck).min()
    }
}
