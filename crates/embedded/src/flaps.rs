//! What is told of health: each change of a check's status once, and of a check that flaps one line a minute.
//!
//! The catalog reports every change; [`Pacing`] decides which are told at once and which are counted. Pure, but for the
//! task around it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, interval};

use crate::health::{Condition, HealthChange, Report, Source};
use crate::notice::{Notice, Tell};

/// How long a check is watched after a change, and how often one that flaps is told of.
const WINDOW: Duration = Duration::from_secs(60);
/// Changes within that time that are told one by one.
const LINES: u32 = 3;
/// How often what was counted is looked at.
const TICK: Duration = Duration::from_secs(5);

/// Tells of changes until nobody reports any.
pub(crate) async fn tell_changes(mut reports: UnboundedReceiver<Report>, tell: Tell) {
    let mut pacing = Pacing::default();
    let mut ticks = interval(TICK);
    loop {
        tokio::select! {
            report = reports.recv() => match report {
                Some(Report::Changed(change)) => {
                    if let Some(change) = pacing.changed(change, Instant::now()) {
                        tell(Notice::Health(change));
                    }
                }
                Some(Report::Gone(id)) => pacing.forget(&id),
                None => return,
            },
            _ = ticks.tick(), if !pacing.is_idle() => {
                pacing.due(Instant::now()).into_iter().for_each(|change| tell(Notice::Health(change)));
            }
        }
    }
}

/// Checks that changed a short while ago.
#[derive(Default)]
struct Pacing(HashMap<(Arc<str>, Source), Recent>);

struct Recent {
    since: Instant,
    told: u32,
    /// What was last told.
    last: Condition,
    /// What was not told yet.
    counted: Option<HealthChange>,
}

impl Pacing {
    /// The change, if it is told now.
    fn changed(&mut self, change: HealthChange, now: Instant) -> Option<HealthChange> {
        let key = (Arc::clone(&change.id), change.source);
        let recent =
            self.0.entry(key).or_insert_with(|| Recent { since: now, told: 0, last: change.from, counted: None });
        if recent.told < LINES {
            recent.told += 1;
            recent.last = change.to;
            return Some(change);
        }
        let changes = recent.counted.as_ref().map_or(0, |counted| counted.changes) + change.changes;
        recent.counted = Some(HealthChange { from: recent.last, changes, ..change });
        None
    }

    /// What was counted for long enough. Checks that were quiet for so long are forgotten.
    fn due(&mut self, now: Instant) -> Vec<HealthChange> {
        let mut due = Vec::new();
        self.0.retain(|_, recent| {
            if now < recent.since + WINDOW {
                return true;
            }
            let Some(counted) = recent.counted.take() else { return false };
            // It flaps: from now on one line for each window.
            *recent = Recent { since: now, told: LINES, last: counted.to, counted: None };
            due.push(counted);
            true
        });
        due
    }

    fn forget(&mut self, id: &Arc<str>) {
        for source in [Source::Check, Source::Docker] {
            self.0.remove(&(Arc::clone(id), source));
        }
    }

    fn is_idle(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(to: Condition) -> HealthChange {
        let from = if to == Condition::Passing { Condition::Critical } else { Condition::Passing };
        HealthChange { id: "web".into(), source: Source::Check, from, to, reason: String::new(), changes: 1 }
    }

    /// Both ways, once.
    fn flap(pacing: &mut Pacing, now: Instant) -> usize {
        let both = [Condition::Critical, Condition::Passing];
        both.into_iter().filter_map(|to| pacing.changed(change(to), now)).count()
    }

    #[test]
    fn a_change_now_and_then_is_told_at_once() {
        let (mut pacing, mut now) = (Pacing::default(), Instant::now());
        for to in [Condition::Critical, Condition::Passing, Condition::Warning] {
            assert_eq!(pacing.changed(change(to), now), Some(change(to)));
            now += WINDOW;
            assert_eq!(pacing.due(now), []);
            assert!(pacing.is_idle());
        }
    }

    #[test]
    fn a_check_that_flaps_is_told_of_once_a_minute_with_a_count_and_never_stays_wrong() {
        let (mut pacing, mut now) = (Pacing::default(), Instant::now());
        let mut told = 0;
        for _ in 0..30 {
            told += flap(&mut pacing, now);
            now += Duration::from_secs(1);
            assert_eq!(pacing.due(now), []);
        }
        assert_eq!(told, LINES as usize);
        now += Duration::from_secs(30);
        let expected = HealthChange { from: Condition::Critical, changes: 60 - LINES, ..change(Condition::Passing) };
        assert_eq!(pacing.due(now), [expected]);
        // It goes on, and the last change is told though nothing follows.
        assert_eq!(flap(&mut pacing, now), 0);
        assert_eq!(pacing.changed(change(Condition::Critical), now), None);
        now += WINDOW;
        let expected = HealthChange { from: Condition::Passing, changes: 3, ..change(Condition::Critical) };
        assert_eq!(pacing.due(now), [expected]);
        now += WINDOW;
        assert_eq!(pacing.due(now), []);
        assert!(pacing.is_idle());
        assert!(pacing.changed(change(Condition::Passing), now).is_some());
    }

    #[test]
    fn others_are_told_of_meanwhile_and_what_is_gone_is_forgotten() {
        let (mut pacing, now) = (Pacing::default(), Instant::now());
        for _ in 0..5 {
            flap(&mut pacing, now);
        }
        let docker = HealthChange { source: Source::Docker, ..change(Condition::Critical) };
        let other = HealthChange { id: "db".into(), ..change(Condition::Critical) };
        assert!(pacing.changed(docker, now).is_some() && pacing.changed(other, now).is_some());
        pacing.forget(&"web".into());
        pacing.forget(&"db".into());
        assert!(pacing.is_idle());
    }
}
