//! Requests that the engine, or a proxy in front of it, refuses. Logged at once, again every few minutes, and when it
//! ends.
//!
//! Some people put a proxy in front of the engine's socket that allows only certain requests. The line names the
//! refused request and the right that allows it. The request is retried, so it works as soon as it is allowed.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::container::ContainerId;

/// How often a refusal is logged again.
const AGAIN: Duration = Duration::from_secs(300);

/// A kind of request to an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Request {
    List,
    Inspect,
    Events,
}

impl Request {
    /// Its path, after the version of the API.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::List => "/containers/json",
            Self::Inspect => "/containers/{id}/json",
            Self::Events => "/events",
        }
    }

    /// What must be allowed.
    pub(crate) fn right(self) -> &'static str {
        match self {
            Self::List => "let the proxy before it pass GET /containers/json (docker-socket-proxy: CONTAINERS=1)",
            Self::Inspect => {
                "let the proxy before it pass GET /containers/{id}/json (docker-socket-proxy: CONTAINERS=1)"
            }
            Self::Events => "let the proxy before it pass GET /events (docker-socket-proxy: EVENTS=1)",
        }
    }
}

/// The currently refused requests.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<Request, Refusal>);

#[derive(Debug)]
struct Refusal {
    since: Instant,
    said: Instant,
    /// The refused containers, for requests about containers: those for others may still be answered.
    containers: HashSet<ContainerId>,
}

impl Refusals {
    /// This request was refused. Returns whether that must be logged now.
    pub(super) fn refused(&mut self, request: Request, container: Option<&ContainerId>, now: Instant) -> bool {
        let is_new = !self.0.contains_key(&request);
        let refusal =
            self.0.entry(request).or_insert_with(|| Refusal { since: now, said: now, containers: HashSet::new() });
        refusal.containers.extend(container.cloned());
        let is_due = is_new || now >= refusal.said + AGAIN;
        if is_due {
            refusal.said = now;
        }
        is_due
    }

    /// This request was answered. Returns how long its kind was refused, if none is refused any more.
    pub(super) fn answered(
        &mut self,
        request: Request,
        container: Option<&ContainerId>,
        now: Instant,
    ) -> Option<Duration> {
        let refusal = self.0.get_mut(&request)?;
        if let Some(container) = container {
            refusal.containers.remove(container);
        }
        if !refusal.containers.is_empty() {
            return None;
        }
        self.0.remove(&request).map(|refusal| now - refusal.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_said_once_again_after_minutes_and_when_it_is_over() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut refusals = Refusals::default();
        assert_eq!(refusals.answered(Request::Events, None, at(0)), None);
        let said: Vec<_> =
            (0..900).step_by(10).filter(|seconds| refusals.refused(Request::Events, None, at(*seconds))).collect();
        assert_eq!(said, [0, 300, 600]);
        assert!(refusals.refused(Request::List, None, at(900)), "another request is another matter");
        assert_eq!(refusals.answered(Request::Events, None, at(1000)), Some(Duration::from_secs(1000)));
        assert!(refusals.refused(Request::Events, None, at(1001)), "it begins anew");
    }

    #[test]
    fn it_is_over_for_containers_when_none_is_refused_any_more() {
        let now = Instant::now();
        let [first, second, other] = ["aa", "bb", "cc"].map(ContainerId::from);
        let mut refusals = Refusals::default();
        assert!(refusals.refused(Request::Inspect, Some(&first), now));
        assert!(!refusals.refused(Request::Inspect, Some(&second), now));
        assert_eq!(refusals.answered(Request::Inspect, Some(&other), now), None);
        assert_eq!(refusals.answered(Request::Inspect, Some(&first), now), None);
        assert_eq!(refusals.answered(Request::Inspect, Some(&second), now), Some(Duration::ZERO));
    }
}
