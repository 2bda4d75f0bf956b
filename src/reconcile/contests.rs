//! Contests: another instance rewrites our entries under our owner's name. Decides when they are written again.
//!
//! A change by an external writer is repaired at once, a few times. If changes continue, another instance with our
//! owner's name probably computes a different entry for the same key. Then the pauses grow, and one line reports it.
//! The contest ends by itself when the other instance stops.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::deadlines::Deadlines;
use crate::registry::Content;
use crate::service::{Service, authority};

use super::record::Contest;

/// This many changes in short succession are repaired at once.
const AT_ONCE: u32 = 3;
/// Changes that are further apart are counted separately.
const WINDOW: Duration = Duration::from_secs(120);
/// The first and the longest pause before a contested entry is written again.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

impl Contest {
    /// The entry was rewritten now; `before` is the contest so far.
    pub(super) fn after(before: Option<&Self>, now: Instant) -> Self {
        let rewrites = before.filter(|before| now < before.over()).map_or(0, |before| before.rewrites) + 1;
        let contest = Self { rewrites, last: now, until: now };
        Self { until: now + contest.pause(), ..contest }
    }

    /// Whether this is a contest, rather than a single change.
    pub(super) fn is_fight(&self) -> bool {
        self.rewrites > AT_ONCE
    }

    /// How long the entry is not written again.
    fn pause(&self) -> Duration {
        match self.rewrites.checked_sub(AT_ONCE + 1) {
            None => Duration::ZERO,
            Some(doublings) => (FIRST_PAUSE * 2_u32.pow(doublings.min(6))).min(LONGEST_PAUSE),
        }
    }

    /// When the contest is over, if nothing more happens.
    fn over(&self) -> Instant {
        self.until + WINDOW.max(self.pause())
    }
}

/// The contests of one registry.
#[derive(Debug, Default)]
pub(super) struct Contests {
    /// When each contested key is due again.
    deadlines: Deadlines<Arc<str>>,
    /// Start of the contest that was reported.
    since: Option<Instant>,
}

impl Contests {
    /// Takes the new contest of this key. Returns whether it is the first one to report.
    pub(super) fn contested(&mut self, key: &Arc<str>, contest: &Contest) -> bool {
        let again = if contest.is_fight() { contest.until } else { contest.over() };
        self.deadlines.set(Arc::clone(key), again);
        let first = contest.is_fight() && self.since.is_none();
        if first {
            self.since = Some(contest.last);
        }
        first
    }

    /// The next key that is due to be written again.
    pub(super) fn due(&mut self, now: Instant) -> Option<Arc<str>> {
        self.deadlines.pop(now)
    }

    /// Whether the contest of this due key is over; if not, sets its next deadline.
    pub(super) fn is_over(&mut self, key: &Arc<str>, contest: &Contest, now: Instant) -> bool {
        let over = contest.over();
        if now < over {
            self.deadlines.set(Arc::clone(key), over);
        }
        now >= over
    }

    /// Whether any entry was rewritten lately, so that its content is worth reading.
    pub(super) fn any(&self) -> bool {
        self.deadlines.next().is_some()
    }

    /// How long the contest lasted, if the last one has ended.
    pub(super) fn ended(&mut self, now: Instant) -> Option<Duration> {
        if self.any() {
            return None;
        }
        Some(now - self.since.take()?)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.deadlines.next()
    }
}

/// How an entry differs from a service in what readers use: our value, then the other's.
pub(super) fn difference(service: &Service, content: &Content) -> Option<(String, String)> {
    let Content { name, address, port, tags } = content;
    if *address != *service.address {
        Some((service.address.to_string(), address.clone()))
    } else if *port != service.port {
        Some((service.authority(), authority(address, *port)))
    } else if *name != service.name {
        Some((service.name.clone(), name.clone()))
    } else if **tags != *service.tags {
        Some((format!("tags {}", service.tags.join(",")), format!("tags {}", tags.join(","))))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_few_changes_are_repaired_at_once_and_further_ones_after_growing_pauses() {
        let mut now = Instant::now();
        let mut contest: Option<Contest> = None;
        let mut pauses = Vec::new();
        for _ in 0..11 {
            let next = Contest::after(contest.as_ref(), now);
            pauses.push((next.until - now).as_secs());
            // The other instance rewrites it one second after us.
            now = next.until + Duration::from_secs(1);
            contest = Some(next);
        }
        assert_eq!(pauses, [0, 0, 0, 5, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[tokio::test(start_paused = true)]
    async fn rare_changes_are_no_contest() {
        let mut now = Instant::now();
        let mut contest: Option<Contest> = None;
        for _ in 0..20 {
            let next = Contest::after(contest.as_ref(), now);
            assert!(!next.is_fight());
            now += WINDOW + Duration::from_secs(1);
            contest = Some(next);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_contest_is_reported_once_and_ends_when_the_rewrites_stop() {
        let start = Instant::now();
        let (mut contests, key) = (Contests::default(), Arc::from("a"));
        let mut contest = Contest::after(None, start);
        let told: Vec<_> = (0..6)
            .map(|_| {
                contest = Contest::after(Some(&contest), start);
                contests.contested(&key, &contest)
            })
            .collect();
        assert_eq!(told, [false, false, true, false, false, false]);
        assert_eq!(contests.due(contest.until), Some(Arc::clone(&key)));
        assert!(!contests.is_over(&key, &contest, contest.until));
        assert_eq!(contests.ended(contest.until), None);
        let over = contests.next().unwrap();
        assert_eq!(contests.due(over), Some(Arc::clone(&key)));
        assert!(contests.is_over(&key, &contest, over));
        assert_eq!(contests.ended(over), Some(over - start));
        assert_eq!(contests.ended(over), None);
    }
}
