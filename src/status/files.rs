//! The state of rendered files, as events tell it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::clock::seconds;
use super::view;
use crate::event::{Event, FileEvent};

/// The state of every rendered file, or folder of several.
#[derive(Debug, Default)]
pub struct Files(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    files: BTreeMap<Arc<str>, State>,
    version: u64,
}

/// What is known of one.
#[derive(Debug, Default, PartialEq, Eq)]
struct State {
    /// Why it is not as it should be.
    problem: Option<String>,
    /// Why its program was not told.
    untold: Option<String>,
    since: u64,
    changed: Option<u64>,
}

impl Files {
    /// Follows an event.
    pub fn take(&self, event: &Event) {
        let Event::File { dest, what } = event else { return };
        let mut known = self.lock();
        if *what == FileEvent::Gone {
            known.version += u64::from(known.files.remove(dest).is_some());
            return;
        }
        let is_new = !known.files.contains_key(dest);
        let state =
            known.files.entry(Arc::clone(dest)).or_insert_with(|| State { since: seconds(), ..State::default() });
        if state.follow(what) || is_new {
            known.version += 1;
        }
    }

    /// Changes with every state.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.lock().version
    }

    /// All states, by path.
    #[must_use]
    pub fn view(&self) -> Vec<view::File> {
        self.lock().files.iter().map(|(path, state)| state.view(path)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes over what an event says. Whether anything that is told has changed.
    fn follow(&mut self, what: &FileEvent) -> bool {
        let before = (self.problem.clone(), self.untold.clone(), self.changed);
        match what {
            FileEvent::Right { .. } => self.problem = None,
            FileEvent::Written { .. } | FileEvent::Removed { .. } => self.changed = Some(seconds()),
            FileEvent::Failed { why, .. } | FileEvent::Refused { why } => self.problem = Some(why.clone()),
            FileEvent::Guarded { services, least, .. } => {
                self.problem =
                    Some(format!("{services} services, fewer than min_services = {least}: asking Docker again"));
            }
            FileEvent::Reloaded { .. } => self.untold = None,
            FileEvent::ReloadFailed { why, .. } => self.untold = Some(why.clone()),
            FileEvent::Would { .. }
            | FileEvent::Throttled { .. }
            | FileEvent::Ran { .. }
            | FileEvent::Cleaned { .. }
            | FileEvent::Gone => {}
        }
        let was_well = before.0.is_none() && before.1.is_none();
        if was_well != (self.problem.is_none() && self.untold.is_none()) {
            self.since = seconds();
        }
        before != (self.problem.clone(), self.untold.clone(), self.changed)
    }

    fn view(&self, path: &str) -> view::File {
        let (state, problem) = match (&self.problem, &self.untold) {
            (Some(problem), _) => ("failed", problem.clone()),
            (None, Some(why)) => ("not_told", format!("its program was not told: {why}")),
            (None, None) => (view::RIGHT, String::new()),
        };
        view::File { path: path.to_owned(), state: state.to_owned(), since: self.since, problem, changed: self.changed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follow(events: &[FileEvent]) -> Vec<(String, String)> {
        let files = Files::default();
        for what in events {
            files.take(&Event::File { dest: "/f".into(), what: what.clone() });
        }
        files.view().into_iter().map(|file| (file.state, file.problem)).collect()
    }

    fn failed(why: &str) -> FileEvent {
        FileEvent::Failed { why: why.to_owned(), pause: None, again: false }
    }

    #[test]
    fn a_file_is_what_was_said_of_it_last() {
        let right = || FileEvent::Right { unchanged: true };
        let untold = || FileEvent::ReloadFailed { why: "busy".to_owned(), pause: None };
        let is = |state: &str, problem: &str| vec![(state.to_owned(), problem.to_owned())];
        assert_eq!(follow(&[]), []);
        assert_eq!(follow(&[right()]), is("right", ""));
        assert_eq!(follow(&[failed("full")]), is("failed", "full"));
        assert_eq!(follow(&[failed("full"), right()]), is("right", ""));
        assert_eq!(follow(&[right(), untold()]), is("not_told", "its program was not told: busy"));
        // A file that is right does not mean that its program knows.
        assert_eq!(follow(&[untold(), right()]), is("not_told", "its program was not told: busy"));
        assert_eq!(follow(&[untold(), FileEvent::Reloaded { failures: 1 }]), is("right", ""));
        assert_eq!(follow(&[failed("full"), FileEvent::Gone]), []);
    }

    #[test]
    fn its_version_changes_with_what_it_tells_and_only_then() {
        let files = Files::default();
        let take = |what| {
            let before = files.version();
            files.take(&Event::File { dest: "/f".into(), what });
            files.version() != before
        };
        assert!(take(FileEvent::Right { unchanged: true }));
        assert!(!take(FileEvent::Right { unchanged: true }));
        assert!(take(failed("x")));
        assert!(!take(failed("x")));
        assert!(take(FileEvent::Gone));
        assert!(!take(FileEvent::Gone));
    }
}
