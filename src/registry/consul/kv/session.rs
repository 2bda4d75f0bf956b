//! Sessions. Keys with a TTL are bound to one.
//!
//! A session ends when it is not renewed within its TTL, and its keys are deleted with it (behavior `delete`)
//! (<https://developer.hashicorp.com/consul/docs/dynamic-app-config/sessions>). There is one per TTL. It belongs to
//! this run and depends on no health check, so it ends only when this run stops renewing it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;
use serde_json::json;

use crate::json;
use crate::registry::RegistryError;

use super::super::client::{Client, DEADLINE, Question};
use super::item::MOST_VALUES;

/// The shortest and longest TTL that Consul accepts; another becomes the nearest of them.
const SHORTEST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(86_400);
/// The prefix of our sessions' names; the requested TTL follows.
const NAME: &str = "registrator ";
/// The rights that sessions need, for the error message.
const RIGHT: &str = "session:write on the agent's node (or run with -owner-meta=false and without -ttl)";
/// How many sessions of others are remembered.
const OTHERS_LIMIT: usize = 10_000;

/// The TTL that a session gets for this one.
fn possible(ttl: Duration) -> Duration {
    ttl.clamp(SHORTEST, LONGEST)
}

/// What to say at the start of a TTL that Consul does not take.
pub(super) fn advice(ttl: Duration) -> Option<String> {
    let (asked, given) = (ttl.as_secs(), possible(ttl).as_secs());
    (asked != given).then(|| {
        format!(
            "consulkv: entries get a TTL of {given} s instead of {asked} s, since Consul takes 10 to 86400 s; \
             give -ttl {given}, or ?ttl={given} in this URI"
        )
    })
}

/// The sessions that are known.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// The sessions of this run, one per TTL.
    ours: HashMap<Duration, String>,
    /// The TTL of each session.
    ttls: HashMap<String, Duration>,
}

/// A session as Consul returns it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Session {
    #[serde(rename = "ID")]
    id: String,
    #[serde(default)]
    name: String,
}

impl Sessions {
    /// Our session for this TTL; created if there is none yet.
    pub(super) async fn of(&self, client: &Client, ttl: Duration) -> Result<String, RegistryError> {
        let known = self.known().ours.get(&ttl).cloned();
        if let Some(session) = known {
            return Ok(session);
        }
        let body = json!({
            "Name": format!("{NAME}{}s", ttl.as_secs()),
            "TTL": format!("{}s", possible(ttl).as_secs()),
            "Behavior": "delete",
            // Otherwise, the keys could not be written for a while after it ends.
            "LockDelay": "0s",
            "Checks": [],
            "NodeChecks": [],
        });
        let body = Some(body.to_string().into_bytes());
        let answer = client.ask(Question { body, ..Question::put(&["session", "create"]) }).await?;
        if !answer.status.is_success() {
            return Err(client.refusal(&answer, false, RIGHT));
        }
        let Some(made) = answer.json()["ID"].as_str().map(str::to_owned) else {
            return Err(client.unreachable("it made a session without an ID: is this a Consul agent?"));
        };
        let mut known = self.known();
        // If two were created at once, the second is left to expire.
        let session = known.ours.entry(ttl).or_insert(made).clone();
        known.ttls.insert(session.clone(), ttl);
        Ok(session)
    }

    /// These sessions of ours have ended.
    pub(super) fn forget(&self, gone: &HashMap<Duration, String>) {
        self.known().ours.retain(|ttl, session| gone.get(ttl) != Some(session));
    }

    /// The TTLs of sessions, as far as they are registrator's and alive.
    pub(super) async fn ttls(
        &self,
        client: &Client,
        sessions: impl Iterator<Item = &str>,
    ) -> Result<HashMap<String, Duration>, RegistryError> {
        let sessions: BTreeSet<_> = sessions.collect();
        let unknown = {
            let known = self.known();
            sessions.iter().any(|session| !known.ttls.contains_key(*session))
        };
        if unknown {
            let answer = client.get(&["session", "list"], &[], DEADLINE, "session:read on all nodes").await?;
            let all: Vec<Session> = json::owned(&answer.body, MOST_VALUES).unwrap_or_default();
            let mut known = self.known();
            if known.ttls.len() > OTHERS_LIMIT {
                let ours: BTreeSet<_> = known.ours.values().cloned().collect();
                known.ttls.retain(|session, _| ours.contains(session));
            }
            known.ttls.extend(all.into_iter().filter_map(|session| Some((session.id, named(&session.name)?))));
        }
        let known = self.known();
        Ok(sessions.iter().filter_map(|&id| Some((id.to_owned(), *known.ttls.get(id)?))).collect())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The TTL in a session's name.
fn named(name: &str) -> Option<Duration> {
    name.strip_prefix(NAME)?.strip_suffix('s')?.parse().ok().map(Duration::from_secs)
}

/// Renews a session, whichever instance created it.
pub(super) async fn renew(client: &Client, session: &str) -> Result<(), RegistryError> {
    let answer = client.ask(Question::put(&["session", "renew", session])).await?;
    match answer.status {
        StatusCode::NOT_FOUND => Err(RegistryError::service("it has expired")),
        status if status.is_success() => Ok(()),
        _ => Err(client.refusal(&answer, false, RIGHT)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ttl_that_consul_does_not_take_is_told_of_with_the_one_that_is_used() {
        let said = |seconds| advice(Duration::from_secs(seconds));
        assert_eq!((said(10), said(60), said(86_400)), (None, None, None));
        assert!(said(9).is_some_and(|text| text.contains("10 s instead of 9 s") && text.contains("-ttl 10")));
        assert!(said(86_401).is_some_and(|text| text.contains("86400 s instead of 86401 s")));
    }

    #[test]
    fn the_ttl_that_was_asked_for_is_known_by_the_name() {
        for (name, seconds) in [
            ("registrator 5s", Some(5)),
            ("registrator 30s", Some(30)),
            ("registrator s", None),
            ("registrator 5", None),
            ("lock 5s", None),
            ("", None),
        ] {
            assert_eq!(named(name), seconds.map(Duration::from_secs), "{name}");
        }
    }
}
