//! Many histories at once; and one again, with what happened, cut down to what it takes.

use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::history::History;
use crate::run::{Outcome, run};
use crate::world::Counts;

/// How long a history may take to be cut down: who waits for it may have a deadline.
const PATIENCE: Duration = Duration::from_secs(30);

/// A history again: its seed, and the steps that are kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Replay {
    seed: u64,
    /// All, where there are none.
    steps: Option<Vec<usize>>,
}

impl Replay {
    fn whole(seed: u64) -> Self {
        Self { seed, steps: None }
    }

    /// Reads `17`, or `17:0,4,9` with the steps that are kept.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (seed, steps) = match text.split_once(':') {
            Some((seed, steps)) => (seed, Some(steps)),
            None => (text, None),
        };
        let numbers = |steps: &str| {
            steps
                .split(',')
                .filter(|step| !step.is_empty())
                .map(|step| step.parse().ok())
                .collect::<Option<Vec<usize>>>()
        };
        let steps = match steps {
            Some(steps) => Some(numbers(steps)?),
            None => None,
        };
        Some(Self { seed: seed.parse().ok()?, steps })
    }

    fn spelled(&self) -> String {
        match &self.steps {
            Some(steps) => {
                let steps: Vec<_> = steps.iter().map(ToString::to_string).collect();
                format!("{}:{}", self.seed, steps.join(","))
            }
            None => self.seed.to_string(),
        }
    }

    fn run(&self, history: &History, traced: bool) -> Outcome {
        let kept = |step: usize| self.steps.as_ref().is_none_or(|steps| steps.contains(&step));
        run(self.seed, history, &kept, traced)
    }

    /// Runs it, and shows all that happens.
    pub(crate) fn show(&self) {
        let history = History::of(self.seed);
        let outcome = self.run(&history, true);
        eprintln!("{:#?}\n{:#?}", history.hosts, history.stores);
        for line in &outcome.trace {
            eprintln!("{line}");
        }
        if let Some(violation) = outcome.violation {
            panic!("{violation}");
        }
    }

    /// Without every step that it does not take to break a promise, as far as there is time to find out.
    fn shrunk(self) -> Self {
        let end = Instant::now() + PATIENCE;
        let history = History::of(self.seed);
        let mut steps: Vec<usize> = self.steps.clone().unwrap_or_else(|| (0..history.steps.len()).collect());
        let fails = |steps: &[usize]| {
            let replay = Self { seed: self.seed, steps: Some(steps.to_vec()) };
            Instant::now() < end && replay.run(&history, false).violation.is_some()
        };
        let mut chunk = steps.len().max(1);
        while chunk > 0 {
            let mut at = 0;
            while at < steps.len() {
                let end = (at + chunk).min(steps.len());
                let fewer: Vec<_> = steps[..at].iter().chain(&steps[end..]).copied().collect();
                if fails(&fewer) {
                    steps = fewer;
                } else {
                    at = end;
                }
            }
            chunk /= 2;
        }
        Self { seed: self.seed, steps: Some(steps) }
    }
}

/// A history that broke a promise.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    seed: u64,
    /// After how many histories it was found.
    after: usize,
    violation: String,
}

impl Failure {
    /// What was broken, where.
    pub(crate) fn headline(&self) -> String {
        format!("history {}, seed {}: {}", self.after, self.seed, self.violation)
    }

    /// All that somebody needs who wants to find out why.
    pub(crate) fn explain(&self) -> String {
        let shrunk = Replay::whole(self.seed).shrunk();
        let history = History::of(self.seed);
        let outcome = shrunk.run(&history, true);
        let mut text = self.headline() + "\n";
        let _ = writeln!(text, "{:?}\n{:?}", history.hosts, history.stores);
        for line in &outcome.trace {
            let _ = writeln!(text, "{line}");
        }
        let violation = outcome.violation.unwrap_or_default();
        let _ = writeln!(text, "cut down, it says: {violation}");
        let _ = writeln!(text, "to see it again: SIMULATE={} dev/soak", shrunk.spelled());
        let _ = writeln!(text, "the whole of it: SIMULATE={} dev/soak", self.seed);
        text
    }
}

/// What came of many histories.
pub(crate) struct Found {
    pub(crate) failure: Option<Failure>,
    counts: Counts,
    took: Duration,
}

impl Found {
    pub(crate) fn report(&self, first: u64) -> String {
        let Counts {
            histories,
            steps,
            lives,
            reads,
            writes,
            removals,
            marks,
            refreshes,
            events_lost,
            lists_partial,
            requests_failed,
            requests_hung,
            requests_refused,
            reaped,
            exact_by_itself,
            exact,
        } = &self.counts;
        format!(
            "{histories} histories from seed {first} in {:.0} s: {steps} steps, {lives} lives of the program; of Docker \
             {events_lost} events lost, {lists_partial} lists incomplete, {requests_failed} requests failed, \
             {requests_hung} hung; of registries {requests_refused} requests refused, {reaped} entries removed by their own rule, {reads} reads, {writes} writes, {removals} removals, {marks} marks, {refreshes} \
             refreshes; {exact_by_itself} registries compared without a resync, {exact} after one",
            self.took.as_secs_f64()
        )
    }
}

/// Runs histories from this seed on, on every processor, until one breaks a promise or time is up.
pub(crate) fn many(first: u64, time: Duration) -> Found {
    let started = Instant::now();
    let next = AtomicU64::new(first);
    let over = AtomicBool::new(false);
    let found: Mutex<(Option<Failure>, Counts)> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, Into::into);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while started.elapsed() < time && !over.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let outcome = Replay::whole(seed).run(&History::of(seed), false);
                    let mut found = found.lock().unwrap();
                    found.1.add(&outcome.counts);
                    if let Some(violation) = outcome.violation {
                        over.store(true, Ordering::Relaxed);
                        let after = found.1.histories;
                        let failure = Failure { seed, after, violation };
                        // Of several at the same time, the first by its seed.
                        if found.0.as_ref().is_none_or(|other| other.seed > seed) {
                            found.0 = Some(failure);
                        }
                    }
                }
            });
        }
    });
    let (failure, counts) = found.into_inner().unwrap();
    Found { failure, counts, took: started.elapsed() }
}
