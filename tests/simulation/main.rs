//! The whole program, simulated: engines, registries and time itself are made up, and one seed decides everything.
//!
//! Each seed makes a history of what goes wrong: events get lost, answers come late with old data, registries forget
//! what they hold, the program is killed. Every write is judged when it begins, and in the end every registry must hold
//! exactly what an oracle says. `dev/soak` runs as many histories as there is time for.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "a test")]

mod container;
mod engine;
mod files;
mod history;
mod oracle;
mod process;
mod replay;
mod run;
mod steps;
mod store;
mod trace;
mod trials;
mod world;

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use history::History;
use replay::{Replay, many};

/// How long the histories of a normal run take, in seconds.
const SECONDS: u64 = 20;

/// Held by each test: whose trace a line of the log goes to is decided for the process as a whole.
static LOG: Mutex<()> = Mutex::new(());

/// A number that the environment gives.
fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

#[test]
fn every_history_ends_right() {
    let _log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    if let Ok(text) = std::env::var("SIMULATE") {
        return Replay::parse(&text).unwrap_or_else(|| panic!("SIMULATE={text} is no seed and steps")).show();
    }
    let seconds = variable("SIMULATE_SECONDS").unwrap_or(SECONDS);
    let first = variable("SIMULATE_FROM").unwrap_or(1);
    let found = many(first, Duration::from_secs(seconds));
    eprintln!("{}", found.report(first));
    if let Some(failure) = found.failure {
        eprintln!("{}; cutting it down", failure.headline());
        panic!("{}", failure.explain());
    }
}

#[test]
fn a_seed_decides_everything() {
    let _log = LOG.lock().unwrap_or_else(PoisonError::into_inner);
    for seed in 1..=20 {
        let history = History::of(seed);
        let [one, other] = [(), ()].map(|()| run::run(seed, &history, &|_| true, true));
        let differ = one.trace.iter().zip(&other.trace).position(|(one, other)| one != other);
        if let Some(line) = differ {
            panic!("seed {seed}, line {line}: {:?} and {:?}", one.trace[line], other.trace[line]);
        }
        assert_eq!(one.trace.len(), other.trace.len(), "seed {seed}");
        assert!(one.trace.len() > 50, "seed {seed}: nothing happened");
    }
}
