//! IDs that a container claims (`SERVICE_ID`): the entry at such an ID is read directly before it is written or
//! removed.
//!
//! The agent has no conditional writes, and since the last read another owner may have taken the ID. IDs of this host's
//! default form are not read again: another owner has one only by mistake. A gap of a few milliseconds between the read
//! and the write remains; docs/ownership.md says so.

use std::collections::HashMap;

use ::http::StatusCode;
use serde::Deserialize;

use crate::registry::text::one_line;
use crate::registry::{Action, Reason, RegistryError, Write};
use crate::service::{Service, id};

use super::client::{Client, Question};
use super::spelling::OWNER_KEY;

/// How many characters of an owner or an ID a line repeats.
const LIMIT: usize = 100;

/// An entry as the agent returns it (`/v1/agent/service/<id>`).
#[derive(Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Found {
    service: String,
    address: String,
    port: u16,
    meta: Option<HashMap<String, String>>,
}

impl Found {
    fn owner(&self) -> Option<&str> {
        self.meta.as_ref()?.get(OWNER_KEY).map(String::as_str)
    }

    /// Whether it equals the service, whoever wrote it.
    fn says(&self, service: &Service) -> bool {
        self.service == service.name && self.address == *service.address && self.port == service.port
    }
}

/// Whether the entry at a write's ID must be read first.
pub(super) fn is_claimed(write: &Write, hostname: &str) -> bool {
    match &write.action {
        Action::Put(service) => service.origin.claimed,
        Action::Remove(entry) | Action::Mark(entry, _) | Action::Unmark(entry) => !id::is_default(&entry.key, hostname),
    }
}

/// Reads the entry at an ID now.
pub(super) async fn find(client: &Client, id: &str) -> Result<Option<Found>, RegistryError> {
    let right = format!("service:write for the service with the ID \"{}\"", one_line(id, LIMIT));
    let answer = client.ask(Question::get(&["agent", "service", id])).await?;
    match answer.status {
        StatusCode::NOT_FOUND => Ok(None),
        StatusCode::OK => serde_json::from_slice(&answer.body)
            .map(Some)
            .map_err(|_| client.unreachable("its answer is no service: is this a Consul agent?")),
        _ => Err(client.refusal(&answer, false, &right)),
    }
}

/// Whether a write may replace or remove this entry; `us` is the owner that we record, if any.
///
/// # Errors
/// `Taken`, when the entry belongs to another owner, or was written since the last read.
pub(super) fn permit(found: Option<&Found>, write: &Write, us: Option<&str>) -> Result<(), RegistryError> {
    let Some(found) = found else { return Ok(()) };
    let id = one_line(&write.key, LIMIT);
    match (found.owner(), &write.action) {
        (Some(owner), _) if Some(owner) == us => Ok(()),
        (Some(owner), _) => {
            Err(RegistryError::Taken(format!("the ID {id} belongs to the owner {}", one_line(owner, LIMIT))))
        }
        // If the reconciler knew the entry, it has decided to adopt it.
        (None, Action::Put(service)) if write.reason != Reason::Missing || found.says(service) => Ok(()),
        (None, Action::Remove(entry) | Action::Mark(entry, _) | Action::Unmark(entry)) if entry.owner.is_none() => {
            Ok(())
        }
        // If we record no owner, an entry without one may be ours.
        (None, Action::Remove(_) | Action::Mark(..) | Action::Unmark(_)) if us.is_none() => Ok(()),
        (None, _) => Err(RegistryError::Taken(format!(
            "the ID {id} was registered by another program since it was read, as {} at {}:{}",
            one_line(&found.service, LIMIT),
            one_line(&found.address, LIMIT),
            found.port
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::container::{Health, Moment, Protocol};
    use crate::registry::{Entry, Mark, Marked};
    use crate::service::{AddressOf, Origin};

    fn service(claimed: bool) -> Service {
        Service {
            id: "vault".into(),
            name: "vault".to_owned(),
            address: "10.0.0.1".into(),
            port: 8200,
            protocol: Protocol::Tcp,
            tags: Arc::default(),
            attributes: Arc::default(),
            ttl: None,
            check: None,
            health: Health::None,
            traefik: None,
            origin: Origin {
                container: "0123456789abcdef".into(),
                created: Moment::default(),
                started: Moment::default(),
                claimed,
                address_of: AddressOf::Container,
                hostname: "c".into(),
                container_name: "c".into(),
                exposed_port: 80,
            },
        }
    }

    fn entry(key: &str, owner: Option<&str>) -> Entry {
        Entry {
            key: key.into(),
            service_id: key.into(),
            owner: owner.map(Arc::from),
            fingerprint: 0,
            marked: Marked::No,
            critical: false,
            content: None,
        }
    }

    fn write(action: Action, reason: Reason) -> Write {
        Write { key: "vault".into(), action, reason }
    }

    fn put(reason: Reason) -> Write {
        write(Action::Put(Arc::new(service(true))), reason)
    }

    fn found(owner: Option<&str>, port: u16) -> Found {
        let meta = owner.map(|owner| HashMap::from([(OWNER_KEY.to_owned(), owner.to_owned())]));
        Found { service: "vault".to_owned(), address: "10.0.0.1".to_owned(), port, meta }
    }

    #[test]
    fn only_ids_that_this_host_does_not_make_itself_are_read_before() {
        let put = |claimed| write(Action::Put(Arc::new(service(claimed))), Reason::Missing);
        assert!(is_claimed(&put(true), "host") && !is_claimed(&put(false), "host"));
        for (key, expected) in [("vault", true), ("other:web:80", true), ("host:web:80", false)] {
            for action in [Action::Remove(entry(key, None)), Action::Mark(entry(key, None), Mark::Paused)] {
                assert_eq!(is_claimed(&write(action, Reason::Withdrawn), "host"), expected, "{key}");
            }
        }
    }

    #[test]
    fn what_became_anothers_since_it_was_read_is_left_alone() {
        let (us, them) = (Some("us"), Some("them"));
        let remove = |owner| write(Action::Remove(entry("vault", owner)), Reason::Withdrawn);
        for (found, write, owner, permitted) in [
            (found(us, 1), put(Reason::Missing), us, true),
            (found(us, 1), put(Reason::Differs), us, true),
            (found(us, 1), remove(us), us, true),
            (found(them, 8200), put(Reason::Missing), us, false),
            (found(them, 8200), put(Reason::Differs), us, false),
            (found(them, 1), remove(us), us, false),
            (found(them, 1), remove(None), us, false),
            (found(them, 1), put(Reason::Missing), None, false),
            // Without an owner: adopted if the reconciler knew it, or if nothing would be lost.
            (found(None, 1), put(Reason::Missing), us, false),
            (found(None, 8200), put(Reason::Missing), us, true),
            (found(None, 1), put(Reason::Differs), us, true),
            (found(None, 1), remove(None), us, true),
            (found(None, 1), remove(us), us, false),
            (found(None, 1), remove(us), None, true),
        ] {
            let outcome = permit(Some(&found), &write, owner);
            assert_eq!(outcome.is_ok(), permitted, "{found:?} {write:?} {owner:?}: {outcome:?}");
            assert!(outcome.is_ok() || matches!(outcome, Err(RegistryError::Taken(_))));
        }
        assert_eq!(permit(None, &put(Reason::Missing), us), Ok(()));
    }

    #[test]
    fn an_entry_is_read_as_consul_tells_it() {
        let said = r#"{"ID":"vault","Service":"vault","Tags":[],"Meta":{"registrator-owner":"them"},"Port":8200,
            "Address":"10.0.0.1","Weights":{"Passing":1,"Warning":1},"ContentHash":"x"}"#;
        let read: Found = serde_json::from_str(said).unwrap();
        assert_eq!((read.owner(), &read), (Some("them"), &found(Some("them"), 8200)));
        let bare: Found = serde_json::from_str(r#"{"Service":"a","Meta":null}"#).unwrap();
        assert_eq!(bare.owner(), None);
    }
}
