//! When to retry what a registry refused. No refusal is final.
//!
//! Refusals with the same cause are retried together, a sample at a time, after a growing pause. So twenty thousand
//! refused services do not flood the registry. If one of the sample is accepted, the cause is gone, and all others are
//! retried at once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::registry::Cause;

/// The first pause before another attempt.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause if the cause is missing rights or the server's state: everything is repaired within 30 s of a fix.
const LONGEST_PAUSE: Duration = Duration::from_secs(25);
/// The longest pause if the cause is the service itself: it is retried at once when it changes.
const LONGEST_PAUSE_FOR_A_SERVICE: Duration = Duration::from_secs(60);
/// The sample size: this many, or one in eight.
const SAMPLE: usize = 128;
/// The shortest time between two retries of all refusals with one cause.
const RELEASE_PACE: Duration = Duration::from_secs(20);
/// When a continuing refusal is first reported, and how often after that.
const FIRST_REMINDER: Duration = Duration::from_secs(120);
const REMINDER: Duration = Duration::from_secs(300);

/// The current refusals of one registry.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    groups: [Group; 3],
    reminder: Option<Instant>,
    reminded: bool,
}

/// The refusals of one cause.
#[derive(Debug, Default)]
struct Group {
    /// Every refused key, and whether it waits in the queue.
    keys: HashMap<Arc<str>, bool>,
    /// The next keys to retry. Keys that no longer wait are skipped.
    queue: VecDeque<Arc<str>>,
    pause: Duration,
    due: Option<Instant>,
    since: Option<Instant>,
    released: Option<Instant>,
    example: Arc<str>,
}

/// A report about refusals that continue.
#[derive(Debug, PartialEq)]
pub(super) struct Reminder {
    pub(super) count: usize,
    pub(super) since: Duration,
    pub(super) example: Arc<str>,
}

/// What a registry refuses.
#[derive(Clone, Debug, PartialEq)]
pub struct StillRefused {
    /// How many writes.
    pub count: usize,
    /// For how long.
    pub since: Duration,
    /// Its refusal of one of them.
    pub example: Arc<str>,
    /// How long until the next attempt.
    pub next: Option<Duration>,
}

impl Refusals {
    /// The registry refused to write this key.
    pub(super) fn refused(&mut self, key: &Arc<str>, cause: Cause, text: &Arc<str>, now: Instant) {
        for other in self.groups.iter_mut().enumerate().filter(|(at, _)| *at != index(cause)).map(|(_, group)| group) {
            other.remove(key);
        }
        let group = &mut self.groups[index(cause)];
        if group.keys.insert(Arc::clone(key), true) != Some(true) {
            group.queue.push_back(Arc::clone(key));
        }
        group.example = Arc::clone(text);
        group.since.get_or_insert(now);
        if group.due.is_none() {
            group.pause = FIRST_PAUSE;
            group.due = Some(now + FIRST_PAUSE);
        }
        self.reminder.get_or_insert(now + FIRST_REMINDER);
    }

    /// This key is no longer refused, or needs no write. If it was the last refusal, and refusals were reported:
    /// returns how long they lasted.
    pub(super) fn over(&mut self, key: &str, now: Instant) -> Option<Duration> {
        let mut since = None;
        for group in &mut self.groups {
            since = since.or(group.remove(key));
        }
        if self.groups.iter().any(|group| !group.keys.is_empty()) {
            return None;
        }
        self.reminder = None;
        let since = since.map(|since| now - since);
        since.filter(|_| std::mem::take(&mut self.reminded))
    }

    /// A refused write with this cause was accepted. Returns all others that may be retried now.
    pub(super) fn eased(&mut self, cause: Cause, now: Instant) -> Vec<Arc<str>> {
        self.groups[index(cause)].release(now)
    }

    /// Something changed that may fix this cause, or any cause. Returns all keys that may be retried now.
    pub(super) fn release(&mut self, cause: Option<Cause>, now: Instant) -> Vec<Arc<str>> {
        let concerned = |at: &usize| cause.is_none_or(|cause| *at == index(cause));
        (0..self.groups.len()).filter(concerned).flat_map(|at| self.groups[at].release(now)).collect()
    }

    /// As above, but also keys that were retried lately: a person asked, or the credentials changed.
    pub(super) fn release_at_once(&mut self, cause: Option<Cause>, now: Instant) -> Vec<Arc<str>> {
        self.groups.iter_mut().for_each(|group| group.released = None);
        self.release(cause, now)
    }

    /// All that is refused now, if anything is.
    pub(super) fn all(&self, now: Instant) -> Option<StillRefused> {
        let refusing = || self.groups.iter().filter(|group| !group.keys.is_empty());
        let largest = refusing().max_by_key(|group| group.keys.len())?;
        let since = refusing().filter_map(|group| group.since).min().unwrap_or(now);
        let next = refusing().filter_map(|group| group.due).min();
        Some(StillRefused {
            count: refusing().map(|group| group.keys.len()).sum(),
            since: now.saturating_duration_since(since),
            example: Arc::clone(&largest.example),
            next: next.map(|next| next.saturating_duration_since(now)),
        })
    }

    /// The keys whose pause is over.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Arc<str>> {
        let mut due = Vec::new();
        for (at, group) in self.groups.iter_mut().enumerate() {
            if group.due.is_none_or(|due| due > now) {
                continue;
            }
            let sample = SAMPLE.max(group.keys.len() / 8);
            while due.len() < sample
                && let Some(key) = group.next()
            {
                due.push(key);
            }
            let longest = if at == index(Cause::Service) { LONGEST_PAUSE_FOR_A_SERVICE } else { LONGEST_PAUSE };
            group.pause = (group.pause * 2).min(longest);
            group.due = (!group.keys.is_empty()).then_some(now + group.pause);
        }
        due
    }

    /// When the next refusals of this cause are tried.
    pub(super) fn next_attempt(&self, cause: Cause) -> Option<Instant> {
        self.groups[index(cause)].due
    }

    /// The report that is due now.
    pub(super) fn reminder(&mut self, now: Instant) -> Option<Reminder> {
        self.reminder.take_if(|due| *due <= now)?;
        self.reminder = Some(now + REMINDER);
        self.reminded = true;
        let count = self.groups.iter().map(|group| group.keys.len()).sum();
        let oldest = self
            .groups
            .iter()
            .filter_map(|group| Some((group.since?, &group.example)))
            .min_by_key(|(since, _)| *since)?;
        Some(Reminder { count, since: now - oldest.0, example: Arc::clone(oldest.1) })
    }

    /// When the next retry or report is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.groups.iter().filter_map(|group| group.due).chain(self.reminder).min()
    }
}

impl Group {
    /// The next waiting key.
    fn next(&mut self) -> Option<Arc<str>> {
        while let Some(key) = self.queue.pop_front() {
            if let Some(waits) = self.keys.get_mut(&key)
                && std::mem::take(waits)
            {
                return Some(key);
            }
        }
        None
    }

    /// All waiting keys, unless all were retried just now.
    fn release(&mut self, now: Instant) -> Vec<Arc<str>> {
        if self.keys.is_empty() || self.released.is_some_and(|released| now < released + RELEASE_PACE) {
            return Vec::new();
        }
        self.released = Some(now);
        std::iter::from_fn(|| self.next()).collect()
    }

    /// Removes a key. If it was the last one: returns since when there were refusals.
    fn remove(&mut self, key: &str) -> Option<Instant> {
        self.keys.remove(key)?;
        if !self.keys.is_empty() {
            return None;
        }
        let since = self.since;
        *self = Self::default();
        since
    }
}

fn index(cause: Cause) -> usize {
    match cause {
        Cause::Rights => 0,
        Cause::Service => 1,
        Cause::Server => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Arc<str> {
        format!("{number:05}").into()
    }

    fn text() -> Arc<str> {
        "ACL not found".into()
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_is_tried_again_ever_more_rarely_and_never_more_than_25_s_apart() {
        let start = Instant::now();
        let mut refusals = Refusals::default();
        refusals.refused(&key(1), Cause::Rights, &text(), start);
        let (mut now, mut pauses) = (start, Vec::new());
        for _ in 0..8 {
            let due = refusals.groups[0].due.unwrap();
            assert_eq!(refusals.due(due - Duration::from_millis(1)), [] as [Arc<str>; 0]);
            assert_eq!(refusals.due(due), [key(1)]);
            pauses.push((due - now).as_secs());
            now = due;
            refusals.refused(&key(1), Cause::Rights, &text(), now);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 25, 25, 25]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_a_sample_is_tried_and_all_when_one_is_taken() {
        let now = Instant::now();
        let mut refusals = Refusals::default();
        for number in 0..800 {
            refusals.refused(&key(number), Cause::Server, &text(), now);
        }
        let tried = refusals.due(now + secs(1));
        assert_eq!(tried.len(), SAMPLE);
        assert_eq!(refusals.over(&tried[0], now), None);
        assert_eq!(refusals.eased(Cause::Server, now + secs(1)).len(), 800 - SAMPLE);
        // Keys that are refused again wait; a single accepted one does not cause a retry of all again.
        for number in 400..500 {
            refusals.refused(&key(number), Cause::Server, &text(), now + secs(2));
        }
        assert_eq!(refusals.over(&key(450), now), None);
        assert_eq!(refusals.eased(Cause::Server, now + secs(2)), [] as [Arc<str>; 0]);
        assert_eq!(refusals.release_at_once(Some(Cause::Rights), now + secs(2)), [] as [Arc<str>; 0]);
        assert_eq!(refusals.release_at_once(Some(Cause::Server), now + secs(2)).len(), 99);
    }

    #[tokio::test(start_paused = true)]
    async fn everybody_has_a_turn() {
        let start = Instant::now();
        let mut refusals = Refusals::default();
        for number in 0..1000 {
            refusals.refused(&key(number), Cause::Rights, &text(), start);
        }
        let (mut now, mut tried) = (start, std::collections::BTreeSet::new());
        for _ in 0..8 {
            now = refusals.next().unwrap();
            for key in refusals.due(now) {
                refusals.refused(&key, Cause::Rights, &text(), now);
                tried.insert(key);
            }
        }
        assert_eq!(tried.len(), 1000);
        assert!(now < start + secs(110));
    }

    #[tokio::test(start_paused = true)]
    async fn lasting_refusals_are_reported_from_time_to_time_and_at_their_end() {
        let start = Instant::now();
        let mut refusals = Refusals::default();
        refusals.refused(&key(1), Cause::Rights, &text(), start);
        refusals.refused(&key(2), Cause::Rights, &text(), start + secs(60));
        assert_eq!(refusals.reminder(start + secs(119)), None);
        let said = Reminder { count: 2, since: secs(120), example: text() };
        assert_eq!(refusals.reminder(start + secs(120)), Some(said));
        assert_eq!(refusals.reminder(start + secs(419)), None);
        assert!(refusals.reminder(start + secs(420)).is_some());
        assert_eq!(refusals.over(&key(1), start + secs(500)), None);
        assert_eq!(refusals.over(&key(2), start + secs(500)), Some(secs(500)));
        assert_eq!(refusals.next(), None);
        // A refusal that ended before it was reported needs no line.
        refusals.refused(&key(1), Cause::Service, &text(), start + secs(600));
        assert_eq!(refusals.over(&key(1), start + secs(601)), None);
    }
}
