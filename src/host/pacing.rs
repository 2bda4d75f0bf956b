//! Delays between seen and desired state: the end of a draining container, and the start of a flapping one.
//!
//! With `-drain`, a container that is told to stop is critical at once. Its entry is removed when the container has
//! ended, but not before the promised time. A container that ends again and again is registered only after it has run
//! for a while, and each time longer, so that a crash loop does not cause a loop of writes.
//!
//! Pure, except that the clock is passed in; the host carries out the results.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::tagging::{Seen, Tagged};
use crate::container::{Container, ContainerId};
use crate::deadlines::Deadlines;
use crate::docker::Unknown;
use crate::event::Event;

/// This many ends of a container within [`WINDOW`] are flapping.
const FLAPS: usize = 4;
/// How long an end counts, and how long a container must run to count as stable again.
const WINDOW: Duration = Duration::from_secs(60);
/// How long the next start of a flapping container is delayed; doubled each time, up to [`LONGEST_HOLD`].
const FIRST_HOLD: Duration = Duration::from_secs(10);
const LONGEST_HOLD: Duration = Duration::from_secs(60);
/// The extra time after a container's stop timeout, before it counts as still running.
const SLACK: Duration = Duration::from_secs(5);

/// What to do now.
#[derive(Debug)]
pub enum Step {
    /// Take this in.
    Take(Seen),
    /// The container no longer drains.
    Undrain(ContainerId),
}

/// A container whose present state has not taken effect yet.
#[derive(Clone, Debug)]
pub struct Delayed {
    /// As last seen.
    pub container: Arc<Container>,
    /// How long until it takes effect.
    pub rest: Duration,
    /// Why it is delayed.
    pub why: Delay,
}

/// Why something is delayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// The container ended again and again, and its start is to last.
    Flapping,
    /// The container has ended, and its entry stays for `-drain`.
    Draining,
}

impl Delay {
    /// A word for it, for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Flapping => "flapping",
            Self::Draining => "draining",
        }
    }
}

/// The delays, and what is known about each container to decide on them.
#[derive(Debug, Default)]
pub struct Pacing {
    /// `-drain`.
    drain: Option<Duration>,
    lives: HashMap<ContainerId, Life>,
    /// When each container is due next.
    alarms: Deadlines<ContainerId>,
    events: Vec<Event>,
}

/// A container over all runs of its process.
#[derive(Debug)]
struct Life {
    /// The container as last seen.
    container: Arc<Container>,
    /// When it was first seen in its present state.
    since: Instant,
    /// Its ends, if any: few of thousands of containers have one.
    flaps: Option<Box<Flaps>>,
    held: Option<Box<Held>>,
    draining: Option<Box<Draining>>,
}

#[derive(Debug, Default)]
struct Flaps {
    /// Its ends within the window.
    ends: VecDeque<Instant>,
    /// How often in a row its start was delayed.
    holds: u32,
}

/// The delayed state.
#[derive(Debug)]
struct Held {
    until: Instant,
    seen: Seen,
}

#[derive(Debug)]
struct Draining {
    /// The end is delayed until then.
    until: Instant,
    /// If it still runs then, draining ends.
    give_up: Instant,
}

impl Pacing {
    /// Drains for this long; `None` for no draining.
    #[must_use]
    pub fn new(drain: Option<Duration>) -> Self {
        Self { drain, ..Self::default() }
    }

    /// Drains for this long from now on.
    pub fn set_drain(&mut self, drain: Option<Duration>) {
        self.drain = drain;
    }

    /// What takes effect now of what was just seen.
    pub fn see(&mut self, seen: Seen, now: Instant) -> Vec<Step> {
        match seen {
            Seen::Changed(tagged) => self.changed(tagged, now),
            Seen::Gone(ref id) | Seen::Missing(ref id) => {
                let id = id.clone();
                self.gone(&id, seen, now)
            }
            Seen::Snapshot { containers, unknown, held: _ } => self.snapshot(containers, unknown, now),
            Seen::Stopping(_) => Vec::new(),
        }
    }

    /// The container was told to stop. Returns whether it drains now.
    pub fn stopping(&mut self, id: &ContainerId, now: Instant) -> bool {
        let Some(drain) = self.drain else { return false };
        let Some(life) = self.lives.get_mut(id).filter(|life| life.runs() && life.held.is_none()) else {
            return false;
        };
        let give_up = now + drain.max(life.container.stop.timeout) + SLACK;
        life.draining = Some(Box::new(Draining { until: now + drain, give_up }));
        self.set_alarm(id);
        true
    }

    /// The events about delays that are due.
    pub fn take_events(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.events)
    }

    /// When [`Pacing::release`] is due next.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.alarms.next()
    }

    /// The delayed states that take effect now.
    pub fn release(&mut self, now: Instant) -> Vec<Step> {
        let mut steps = Vec::new();
        while let Some(id) = self.alarms.pop(now) {
            let Some(life) = self.lives.get_mut(&id) else { continue };
            if let Some(held) = life.held.take_if(|held| held.until <= now) {
                let over = !matches!(held.seen, Seen::Changed(_));
                steps.push(Step::Take(held.seen));
                steps.extend(life.draining.take().map(|_| Step::Undrain(id.clone())));
                if over {
                    self.lives.remove(&id);
                }
            } else if life.draining.take_if(|draining| draining.give_up <= now).is_some() {
                if life.runs() {
                    self.events.push(Event::RunsOn { container: id.clone() });
                }
                steps.push(Step::Undrain(id.clone()));
            }
            self.set_alarm(&id);
        }
        steps
    }

    /// The containers whose present state has not taken effect yet.
    pub fn delayed(&self, now: Instant) -> impl Iterator<Item = Delayed> {
        self.lives.values().filter_map(move |life| {
            let held = life.held.as_ref()?;
            Some(Delayed {
                container: Arc::clone(&life.container),
                rest: held.until.saturating_duration_since(now),
                why: if held.is_end() { Delay::Draining } else { Delay::Flapping },
            })
        })
    }

    fn changed(&mut self, tagged: Tagged, now: Instant) -> Vec<Step> {
        let container = Arc::clone(&tagged.container);
        let id = container.id.clone();
        let life = self.lives.entry(id.clone()).or_insert_with(|| Life::new(&container, now));
        let ran = life.runs();
        let runs = container.state.is_running();
        let reborn = life.container.started != container.started;
        if ran && (!runs || reborn) {
            life.ended(now);
        }
        if ran != runs || reborn {
            life.since = now;
        }
        life.container = container;
        let mut steps = Vec::new();
        let seen = Seen::Changed(tagged);
        let drains = life.draining.as_ref().map(|draining| draining.until);
        if !runs && let Some(until) = drains.filter(|until| now < *until) {
            life.held = Some(Box::new(Held { until, seen }));
        } else if runs && let Some(held) = life.held.as_mut().filter(|held| !reborn && !held.is_end()) {
            held.seen = seen;
        } else if runs
            && (!ran || life.held.is_some())
            && drains.is_none()
            && let Some(pause) = life.hold(now)
        {
            let name = life.container.name.to_string();
            self.events.push(Event::Flapping { container: id.clone(), name, ends: FLAPS, window: WINDOW, pause });
            life.held = Some(Box::new(Held { until: now + pause, seen }));
        } else {
            life.held = None;
            steps.push(Step::Take(seen));
            if (!runs || reborn) && life.draining.take().is_some() {
                steps.push(Step::Undrain(id.clone()));
            }
        }
        self.set_alarm(&id);
        steps
    }

    fn gone(&mut self, id: &ContainerId, seen: Seen, now: Instant) -> Vec<Step> {
        if let Some(life) = self.lives.get_mut(id)
            && let Some(until) = life.draining.as_ref().map(|draining| draining.until).filter(|until| now < *until)
        {
            life.held = Some(Box::new(Held { until, seen }));
            self.set_alarm(id);
            return Vec::new();
        }
        self.forget(id);
        vec![Step::Take(seen)]
    }

    fn snapshot(&mut self, all: Vec<Tagged>, unknown: Vec<Unknown>, now: Instant) -> Vec<Step> {
        let known = all.iter().map(|tagged| tagged.container.id.clone());
        let there: HashSet<ContainerId> = known.chain(unknown.iter().map(|unknown| unknown.id.clone())).collect();
        let (mut containers, mut held, mut after) = (Vec::new(), Vec::new(), Vec::new());
        for tagged in all {
            let id = tagged.container.id.clone();
            let steps = self.changed(tagged, now);
            let before = containers.len();
            for step in steps {
                match step {
                    Step::Take(Seen::Changed(tagged)) => containers.push(tagged),
                    step => after.push(step),
                }
            }
            if containers.len() == before {
                held.push(id);
            }
        }
        // An ended container is not in every snapshot; its removal is reported separately.
        let missing = |(id, life): &(&ContainerId, &Life)| !there.contains(*id) && (life.runs() || life.held.is_some());
        let mut missing: Vec<_> = self.lives.iter().filter(missing).map(|(id, _)| id.clone()).collect();
        missing.sort_unstable();
        for id in missing {
            let waits = self.lives.get(&id).and_then(|life| life.held.as_ref()).is_some_and(|held| held.is_end());
            if waits || self.gone(&id, Seen::Missing(id.clone()), now).is_empty() {
                held.push(id);
            }
        }
        let mut steps = vec![Step::Take(Seen::Snapshot { containers, unknown, held })];
        steps.extend(after);
        steps
    }

    fn forget(&mut self, id: &ContainerId) {
        self.lives.remove(id);
        self.alarms.remove(id);
    }

    fn set_alarm(&mut self, id: &ContainerId) {
        let Some(life) = self.lives.get_mut(id) else { return };
        let held = life.held.as_ref().map(|held| held.until);
        match held.or(life.draining.as_ref().map(|draining| draining.give_up)) {
            Some(alarm) => self.alarms.set(id.clone(), alarm),
            None => self.alarms.remove(id),
        }
    }
}

impl Life {
    fn new(container: &Arc<Container>, now: Instant) -> Self {
        // As if it had been there before: the first sight of a container is not a start.
        Self { container: Arc::clone(container), since: now, flaps: None, held: None, draining: None }
    }

    fn runs(&self) -> bool {
        self.container.state.is_running()
    }

    /// Its process ended.
    fn ended(&mut self, now: Instant) {
        if now.duration_since(self.since) >= WINDOW {
            self.flaps = None;
        }
        let Flaps { ends, .. } = &mut **self.flaps.get_or_insert_default();
        ends.push_back(now);
        if ends.len() > FLAPS {
            ends.pop_front();
        }
    }

    /// How long its start is delayed, if it flaps.
    fn hold(&mut self, now: Instant) -> Option<Duration> {
        let Flaps { ends, holds } = &mut **self.flaps.as_mut()?;
        let first = ends.front()?;
        // Once it has been delayed, it must be stable again first.
        if *holds == 0 && (ends.len() < FLAPS || now.duration_since(*first) > WINDOW) {
            return None;
        }
        let pause = (FIRST_HOLD * 2_u32.pow((*holds).min(4))).min(LONGEST_HOLD);
        *holds += 1;
        Some(pause)
    }
}

impl Held {
    /// Whether the end is delayed, not the start.
    fn is_end(&self) -> bool {
        !matches!(&self.seen, Seen::Changed(tagged) if tagged.container.state.is_running())
    }
}

#[cfg(test)]
mod tests;
