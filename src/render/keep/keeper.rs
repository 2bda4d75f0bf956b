//! Keeps the files of one resource right.
//!
//! Runs and reloads go on beside each other, so that a reload that hangs does not keep the file from being right. What
//! failed is tried again by itself, with growing pauses.

use std::future::{Future, pending};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::quiet::{TELL_AGAIN, quiet};
use super::watching::{Heard, Pace, Watching};
use crate::render::once::{doubt, least};
use crate::render::reload::{Ended, Reloads};
use crate::render::retry::{Cause, Pauses};
use crate::render::run::{Belief, Outcome, Renderer, RunError};
use crate::render::source::Source;
use crate::render::step::Step;

/// The pause before a source with suspiciously few services is read again: as long as the removal guard waits.
const RECHECK_AFTER: Duration = Duration::from_secs(10);

/// While few services are doubted, changes within this time are taken together.
const GATHER: Duration = Duration::from_secs(1);

/// The first pause after a run has failed.
const FIRST_PAUSE: Duration = Duration::from_secs(2);

/// The longest pause after runs that failed.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// However often something changes, `debounce` delays no run for longer than so many times its length.
const MOST_DEBOUNCES: u32 = 10;

/// How long a run in progress may take to end when a keeper is told to stop.
const LAST_RUN: Duration = Duration::from_millis(500);

/// Keeps the files of one resource right.
pub struct Keeper {
    renderer: Renderer,
    source: Arc<dyn Source>,
    pace: Pace,
    /// Notified: look again, whatever the source says.
    again: Arc<Notify>,
}

/// A run in progress: how many services it saw, and what came of it; nothing of what only settles the last reload.
type Run = Pin<Box<dyn Future<Output = Result<Option<(Saw, Outcome)>, RunError>> + Send>>;

/// A reload in progress.
type Reload = Pin<Box<dyn Future<Output = Result<(), RunError>> + Send>>;

/// What a run saw of the source.
#[derive(Clone, Copy, Debug)]
struct Saw {
    services: usize,
    doubted: bool,
}

/// What a keeper remembers.
struct State {
    renderer: Renderer,
    source: Arc<dyn Source>,
    /// When the next run is due, and since when something has changed that it waits for.
    due: Option<Instant>,
    changed: Option<Instant>,
    run: Option<Run>,
    reload: Option<Reload>,
    reloads: Reloads,
    /// The last reload succeeded, and it is still to be remembered that none is due. That is done between two runs.
    unsettled: bool,
    /// Why the run that is due, or is in progress, is made.
    cause: Cause,
    pauses: Pauses,
    /// Why the last run failed, and when that was told.
    told: Option<(String, Instant)>,
    /// When few services were first seen, and whether they count.
    doubt: Doubt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doubt {
    /// There is none.
    None,
    /// The source is read again at this time, and then believed.
    Until(Instant),
    /// It has said the same twice.
    Settled,
}

impl Keeper {
    /// For this resource and its source.
    #[must_use]
    pub fn new(renderer: Renderer, source: Arc<dyn Source>, pace: Pace, again: Arc<Notify>) -> Self {
        let steps = quiet(renderer.steps().clone());
        Self { renderer: renderer.telling(steps), source, pace, again }
    }

    /// Runs until it is told to stop. A run in progress gets a moment to end then; a command in progress goes on by
    /// itself.
    pub async fn run(self, stop: CancellationToken) {
        let Self { renderer, source, pace, again } = self;
        let mut watching = Watching::begin(&*source, &renderer.wanted(), pace);
        let reloads = Reloads::new(renderer.resource().reload.min_interval);
        let mut state = State {
            renderer,
            source,
            due: None,
            changed: None,
            run: None,
            reload: None,
            reloads,
            unsettled: false,
            cause: Cause::Change,
            pauses: Pauses::new(FIRST_PAUSE, LONGEST_PAUSE),
            told: None,
            doubt: Doubt::None,
        };
        loop {
            let now = Instant::now();
            state.begin_run(now);
            state.begin_reload(now);
            let wake = state.wake();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                result = finished(&mut state.reload) => state.reloaded(&result, Instant::now()),
                result = finished(&mut state.run) => state.ran(result, Instant::now()),
                heard = watching.next() => state.hear(heard, Instant::now()),
                () = again.notified() => (state.due, state.cause) = (Some(Instant::now()), Cause::Change),
                () = sleep_until(wake.unwrap_or(now)), if wake.is_some() => {}
            }
        }
        // The next keeper of the same file must not be overtaken by it.
        if let Some(run) = state.run {
            let _ = timeout(LAST_RUN, run).await;
        }
    }
}

impl State {
    /// When something is due that is not in progress.
    fn wake(&self) -> Option<Instant> {
        let recheck = match self.doubt {
            Doubt::Until(time) => Some(time),
            Doubt::None | Doubt::Settled => None,
        };
        let run = if self.run.is_none() { [self.due, recheck] } else { [None, None] };
        run.into_iter().chain([self.reloads.due()]).flatten().min()
    }

    fn dest(&self) -> PathBuf {
        self.renderer.subject()
    }

    fn hear(&mut self, heard: Heard, now: Instant) {
        match heard {
            Heard::Changed => {
                let debounce = self.renderer.resource().debounce;
                // What was suspiciously little comes back piece by piece.
                let doubted = matches!(self.doubt, Doubt::Until(_));
                let debounce = if doubted { debounce.max(GATHER) } else { debounce };
                let since = *self.changed.get_or_insert(now);
                self.cause = Cause::Change;
                self.due = Some((now + debounce).min(since + debounce * MOST_DEBOUNCES));
            }
            Heard::Failed(error, pause) => {
                let step = Step::WatchFailed { dest: self.dest(), why: error.to_string(), pause };
                self.renderer.steps().tell(&step);
            }
        }
    }

    /// Whether it can be remembered now that no reload is due.
    fn settles(&self) -> bool {
        self.unsettled && self.run.is_none() && !self.reloads.is_busy()
    }

    fn begin_run(&mut self, now: Instant) {
        if self.settles() {
            self.unsettled = false;
            let renderer = self.renderer.clone();
            self.run = Some(Box::pin(async move {
                renderer.settle().await;
                Ok(None)
            }));
        }
        let rechecks = matches!(self.doubt, Doubt::Until(time) if time <= now);
        if self.run.is_some() || !(rechecks || self.due.is_some_and(|due| due <= now)) {
            return;
        }
        (self.due, self.changed) = (None, None);
        let believed = rechecks || self.doubt == Doubt::Settled;
        let (renderer, source) = (self.renderer.clone(), Arc::clone(&self.source));
        self.run = Some(Box::pin(async move {
            if rechecks {
                source.recheck().await;
            }
            let fetched = renderer.fetch(&*source).await?;
            let doubted = doubt(&renderer, &fetched) == Belief::Doubted;
            let belief = if doubted && !believed { Belief::Doubted } else { Belief::Sure };
            let saw = Saw { services: fetched.services, doubted };
            Ok(Some((saw, renderer.render(fetched.data, belief).await?)))
        }));
    }

    fn ran(&mut self, result: Result<Option<(Saw, Outcome)>, RunError>, now: Instant) {
        self.run = None;
        let (saw, outcome) = match result {
            Ok(Some(ran)) => ran,
            Ok(None) => return,
            Err(error) => return self.failed(error.to_string(), now),
        };
        self.told = None;
        self.believe(saw, &outcome, now);
        let Outcome { changed, removed, refused, held, reload } = outcome;
        let unchanged = changed.is_empty() && removed == 0;
        if refused == 0 && !held {
            self.renderer.steps().tell(&Step::Right { dest: self.dest(), unchanged });
        }
        // What is known to be due keeps its own time.
        let is_known = unchanged && (self.unsettled || self.reloads.is_busy());
        if reload && !is_known {
            if let Some(pause) = self.reloads.want(changed, now) {
                self.renderer.steps().tell(&Step::ReloadThrottled { dest: self.dest(), pause });
            }
        } else {
            self.tell_updated(changed);
        }
        if refused == 0 {
            self.pauses.succeeded();
        } else {
            // Each was told already. What was in its way may go.
            let pause = self.pauses.failed(self.cause);
            self.again_after(pause, now);
        }
    }

    /// Whether suspiciously few services count from now on.
    fn believe(&mut self, saw: Saw, outcome: &Outcome, now: Instant) {
        self.doubt = match self.doubt {
            _ if !saw.doubted => Doubt::None,
            before if outcome.held => {
                let until = if let Doubt::Until(time) = before { time } else { now + RECHECK_AFTER };
                if before == Doubt::None {
                    let (services, least) = (saw.services, least(&self.renderer));
                    let step = Step::Guarded { dest: self.dest(), services, least, pause: RECHECK_AFTER };
                    self.renderer.steps().tell(&step);
                }
                Doubt::Until(until)
            }
            // It counted, or nothing would have changed.
            _ => Doubt::Settled,
        };
    }

    fn failed(&mut self, why: String, now: Instant) {
        let pause = self.pauses.failed(self.cause);
        let told = self.told.take().filter(|(said, at)| *said == why && now < *at + TELL_AGAIN);
        let again = told.is_some();
        self.told = told.or_else(|| Some((why.clone(), now)));
        self.renderer.steps().tell(&Step::Failed { dest: self.dest(), why, pause: Some(pause), again });
        if let Doubt::Until(time) = &mut self.doubt {
            *time = (*time).max(now + pause);
        }
        self.again_after(pause, now);
    }

    fn again_after(&mut self, pause: Duration, now: Instant) {
        if self.due.is_none() {
            (self.due, self.cause) = (Some(now + pause), Cause::Retry);
        }
    }

    fn begin_reload(&mut self, now: Instant) {
        if self.reload.is_some() || self.reloads.due().is_none_or(|due| due > now) {
            return;
        }
        self.reloads.begin(now);
        let renderer = self.renderer.clone();
        self.reload = Some(Box::pin(async move { renderer.reload().await }));
    }

    fn reloaded(&mut self, result: &Result<(), RunError>, now: Instant) {
        self.reload = None;
        let dest = self.dest();
        match (self.reloads.end(result.is_ok(), now), result) {
            (Ended::Well { files, failures }, _) => {
                self.unsettled = true;
                self.renderer.steps().tell(&Step::Reloaded { dest, failures });
                self.tell_updated(files);
            }
            (Ended::Again(pause), Err(error)) => {
                let step = Step::ReloadFailed { dest, why: error.to_string(), pause: Some(pause) };
                self.renderer.steps().tell(&step);
            }
            (Ended::Again(_), Ok(())) => {}
        }
    }

    fn tell_updated(&self, files: Vec<PathBuf>) {
        for dest in files {
            self.renderer.steps().tell(&Step::Updated { dest });
        }
    }
}

async fn finished<T>(work: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    match work {
        Some(work) => work.await,
        None => pending().await,
    }
}
