//! Notices when services turn critical or recover, if Consul removes services for it (`CHECK_DEREGISTER_AFTER`).
//!
//! A service that Consul removed must not be registered again, so we must know that it was critical before. Consul
//! waits at least a minute. The catalog, which [`super::watch`] waits on, does not report the states of checks. So the
//! critical checks are read every few seconds, but only while such services exist.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::json::Value;
use crate::registry::RegistryError;

use super::client::{Client, Question};
use super::list::List;
use super::spelling::{self, Checks, Compare, HeldCheck, Status};

/// How often checks are read: four times within Consul's shortest time.
const PACE: Duration = Duration::from_secs(15);

/// What is known about critical checks; survives a cancelled wait.
#[derive(Default)]
pub(super) struct Criticals {
    state: Mutex<State>,
    /// There is now a service that Consul may remove.
    needed: Notify,
}

#[derive(Default)]
struct State {
    /// Whether there is a service that Consul may remove.
    is_needed: bool,
    /// The checks that were critical at the last read.
    known: BTreeSet<String>,
    /// When to ask next.
    due: Option<Instant>,
}

impl Criticals {
    /// A service that Consul may remove is written.
    pub(super) fn need(&self) {
        self.state().is_needed = true;
        self.needed.notify_one();
    }

    /// All checks were read.
    pub(super) fn read(&self, checks: &Checks, compare: Compare) {
        let mut relevant = checks.iter().filter(|(id, check)| is_relevant(id, check, compare)).peekable();
        let known_by_notes = compare == Compare::Notes;
        let is_needed = relevant.peek().is_some() && known_by_notes;
        let known = relevant.filter(|(_, check)| check.status == Status::Critical).map(|(id, _)| id.clone()).collect();
        let mut state = self.state();
        state.known = known;
        // Without notes, only the written services show it.
        if known_by_notes {
            state.is_needed = is_needed;
        }
        if is_needed {
            self.needed.notify_one();
        }
    }

    /// Returns when a check turned critical or recovered since all were read.
    pub(super) async fn changed(&self, client: &Client, compare: impl Fn() -> Compare + Send) {
        loop {
            if !self.state().is_needed {
                self.needed.notified().await;
                continue;
            }
            let due = *self.state().due.get_or_insert_with(|| Instant::now() + PACE);
            sleep_until(due).await;
            self.state().due = Some(Instant::now() + PACE);
            // If Consul is unreachable, the catalog's watch reports it.
            let Ok(now) = critical(client, compare()).await else { continue };
            let mut state = self.state();
            if state.known != now {
                state.known = now;
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether Consul may remove a service because of this check.
fn is_relevant(id: &str, check: &HeldCheck, compare: Compare) -> bool {
    spelling::is_of_a_service(id) && check.may_remove(compare)
}

/// The critical checks for which Consul may remove a service. Agents before 1.5 ignore the filter and return all
/// checks.
async fn critical(client: &Client, compare: Compare) -> Result<BTreeSet<String>, RegistryError> {
    let mut found = BTreeSet::new();
    let take = |id: &str, said: Value<'_>| {
        let check = HeldCheck::read(&said);
        if check.status == Status::Critical && is_relevant(id, &check, compare) {
            found.insert(id.to_owned());
        }
    };
    let list = List::new(&HeldCheck::SHAPE, take);
    let filter = [("filter", "Status == \"critical\"")];
    let answer = client.read(Question::get(&["agent", "checks"]).query(&filter), "service:read", list).await?;
    if answer.body.end() { Ok(found) } else { Err(client.unreachable("its list of checks is none")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(notes: &str, status: Status) -> HeldCheck {
        HeldCheck { notes: notes.to_owned(), kind: "tcp".to_owned(), status }
    }

    fn checks(all: &[(&str, HeldCheck)]) -> Checks {
        all.iter().map(|(id, check)| ((*id).to_owned(), check.clone())).collect()
    }

    #[test]
    fn checks_are_asked_for_only_while_consul_may_remove_a_service() {
        let plain = check("tcp 10.0.0.1:80 every 10s", Status::Critical);
        let removes = |status| check("tcp 10.0.0.1:80 every 10s, removed after 60s critical", status);
        for (all, needed, known) in [
            (vec![], false, vec![]),
            (vec![("service:a", plain.clone())], false, vec![]),
            (vec![("mine", removes(Status::Critical))], false, vec![]),
            (vec![("service:a", removes(Status::Passing))], true, vec![]),
            (vec![("service:a", removes(Status::Critical)), ("service:b", plain)], true, vec!["service:a"]),
        ] {
            let criticals = Criticals::default();
            criticals.read(&checks(&all), Compare::Notes);
            let state = criticals.state();
            assert_eq!((state.is_needed, state.known.iter().map(String::as_str).collect::<Vec<_>>()), (needed, known));
        }
    }

    #[test]
    fn without_notes_what_was_written_tells() {
        let criticals = Criticals::default();
        criticals.read(&checks(&[("service:a", check("", Status::Critical))]), Compare::Type);
        assert!(!criticals.state().is_needed);
        criticals.need();
        criticals.read(&checks(&[("service:a", check("", Status::Critical))]), Compare::Type);
        assert!(criticals.state().is_needed && criticals.state().known.contains("service:a"));
    }
}
