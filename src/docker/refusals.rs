//! What the engine, or a proxy before it, refuses to answer: said once, again every few minutes, and when it is over.
//!
//! People put proxies before an engine's socket that let through only what they know. Which request is missing, and how
//! it is allowed, is all that there is to say; it is tried on, and works again as soon as it is granted.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::container::ContainerId;

/// How often it is said again that something is refused.
const AGAIN: Duration = Duration::from_secs(300);

/// What is asked of an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Request {
    List,
    Inspect,
    Events,
}

impl Request {
    /// Its path, behind the version of the API.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::List => "/containers/json",
            Self::Inspect => "/containers/{id}/json",
            Self::Events => "/events",
        }
    }

    /// What has to be allowed.
    pub(super) fn right(self) -> &'static str {
        match self {
            Self::List => "let the proxy before it pass GET /containers/json (docker-socket-proxy: CONTAINERS=1)",
            Self::Inspect => {
                "let the proxy before it pass GET /containers/{id}/json (docker-socket-proxy: CONTAINERS=1)"
            }
            Self::Events => "let the proxy before it pass GET /events (docker-socket-proxy: EVENTS=1)",
        }
    }
}

/// The requests that are refused now.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<Request, Refusal>);

#[derive(Debug)]
struct Refusal {
    since: Instant,
    said: Instant,
    /// About whom, where it is about containers: others may well be answered.
    containers: HashSet<ContainerId>,
}

impl Refusals {
    /// This request was refused. Returns whether that must be said now.
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

    /// This request was answered. Returns for how long it was refused, if nothing of its kind is refused any more.
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
