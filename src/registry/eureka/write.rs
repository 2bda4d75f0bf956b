//! One write, step by step.
//!
//! Eureka has no conditional writes, so an instance is read right before it is written or removed: another owner's is left
//! alone, and ours is written with a timestamp that is newer than the one that is there, since a server silently keeps the
//! newer of two.
//!
//! A server does not take a change between `UP` and `OUT_OF_SERVICE` from a registration: it keeps the status of the lease
//! that it has (Netflix's `LeaseExistsRule`). Setting the status beside the registration (`PUT …/status`) would stay when we
//! are gone. So for such a change, the instance is cancelled and registered again.

use std::time::{SystemTime, UNIX_EPOCH};

use ::http::StatusCode;

use crate::registry::text::one_line;
use crate::registry::web::Question;
use crate::registry::{Action, Entry, Mark, Reason, RegistryError, Write};
use crate::service::Service;

use super::client::Client;
use super::instance::{self, Instance, Status};
use super::known::Knowledge;
use super::spelling::{self, Style};

/// How many characters of an owner or an ID a line repeats.
const LIMIT: usize = 100;

/// Makes writes, one at a time.
pub(super) struct Writer<'a> {
    pub(super) client: &'a Client,
    pub(super) known: &'a Knowledge,
    pub(super) style: Style<'a>,
}

impl Writer<'_> {
    /// Makes one write.
    pub(super) async fn apply(&self, write: &Write) -> Result<(), RegistryError> {
        match &write.action {
            Action::Put(service) => self.put(service, write).await,
            Action::Remove(entry) => self.remove(entry, write).await,
            Action::Mark(entry, mark) => self.mark(entry, Some(*mark), write).await,
            Action::Unmark(entry) => self.mark(entry, None, write).await,
        }
    }

    async fn put(&self, service: &Service, write: &Write) -> Result<(), RegistryError> {
        let wanted = spelling::instance(service, self.style)?;
        let found = read(self.client, &wanted.key()).await?;
        self.permit(found.as_ref(), write, Some(&wanted))?;
        self.register(wanted, found).await
    }

    async fn remove(&self, entry: &Entry, write: &Write) -> Result<(), RegistryError> {
        let Some(found) = read(self.client, &entry.key).await? else {
            self.known.removed(&entry.key);
            return Ok(());
        };
        self.permit(Some(&found), write, None)?;
        self.cancel(&found).await?;
        self.known.removed(&entry.key);
        Ok(())
    }

    async fn mark(&self, entry: &Entry, mark: Option<Mark>, write: &Write) -> Result<(), RegistryError> {
        let Some(found) = read(self.client, &entry.key).await? else {
            return Err(RegistryError::service("it is no longer registered"));
        };
        self.permit(Some(&found), write, None)?;
        if mark.is_none() && !found.is_marked() {
            return Ok(());
        }
        self.register(found.clone().marked(mark.map(Mark::reason)), Some(found)).await
    }

    /// Registers an instance in place of what was found there.
    async fn register(&self, mut wanted: Instance, found: Option<Instance>) -> Result<(), RegistryError> {
        let key = wanted.key();
        let mut before = found.as_ref().map_or(0, |found| found.dirty).max(self.known.dirty(&key).unwrap_or(0));
        if let Some(found) = &found
            && keeps_its_status(found, wanted.status)
        {
            self.cancel(found).await?;
        }
        let path = format!("apps/{}", wanted.app);
        // A second time, if a newer one arrived in between.
        for _ in 0..2 {
            wanted.dirty = now().max(before + 1);
            let body =
                serde_json::to_vec(&wanted.to_json()).map_err(|error| RegistryError::service(error.to_string()))?;
            let answer = self.client.ask(Question::post(&path, body)).await?;
            match answer.status {
                status if status.is_success() => {}
                StatusCode::NOT_FOUND => {
                    return Err(self.client.no_eureka(&answer, &format!("{} to a registration", answer.status)));
                }
                _ => return Err(self.client.refusal(&answer, false)),
            }
            self.known.written(&wanted);
            if found.is_none() {
                return Ok(());
            }
            match read(self.client, &key).await? {
                Some(now) if now.owner() != wanted.owner() => {
                    self.known.forget(&key);
                    return Err(taken(&now));
                }
                Some(now) if now.dirty > wanted.dirty => before = now.dirty,
                _ => return Ok(()),
            }
        }
        Err(RegistryError::server(
            "another program keeps registering it with newer timestamps; check the clocks of both",
        ))
    }

    async fn cancel(&self, found: &Instance) -> Result<(), RegistryError> {
        let path = format!("apps/{}", found.key());
        let answer = self.client.ask(Question::delete(&path)).await?;
        match answer.status {
            StatusCode::NOT_FOUND => Ok(()),
            status if status.is_success() => Ok(()),
            _ => Err(self.client.refusal(&answer, false)),
        }
    }

    /// Whether this write may replace or remove what is there; `wanted` is what it would put.
    ///
    /// # Errors
    /// `Taken`, when it belongs to another owner, or was written since the last read.
    fn permit(&self, found: Option<&Instance>, write: &Write, wanted: Option<&Instance>) -> Result<(), RegistryError> {
        let Some(found) = found else { return Ok(()) };
        if !found.is_of_registrator() {
            return Err(taken(found));
        }
        let permitted = match (found.owner(), &write.action) {
            (Some(owner), _) => Some(owner) == self.style.owner,
            // If we record no owner, an entry without one may be ours. If the reconciler knew it, it has decided to adopt it.
            (None, Action::Put(_)) => {
                let is_the_same = wanted.is_some_and(|wanted| (&wanted.host, wanted.port) == (&found.host, found.port));
                self.style.owner.is_none() || write.reason != Reason::Missing || is_the_same
            }
            (None, Action::Remove(entry) | Action::Mark(entry, _) | Action::Unmark(entry)) => {
                self.style.owner.is_none() || entry.owner.is_none()
            }
        };
        if permitted { Ok(()) } else { Err(taken(found)) }
    }
}

/// Whether a server would keep the status of the lease that it has.
fn keeps_its_status(found: &Instance, wanted: Status) -> bool {
    let is_kept = |status| matches!(status, Status::Up | Status::OutOfService);
    // What somebody set beside it wins over both, and would be lost with the lease.
    found.overridden.is_none() && found.status != wanted && is_kept(found.status) && is_kept(wanted)
}

/// It belongs to somebody else.
fn taken(found: &Instance) -> RegistryError {
    let key = one_line(&found.key(), LIMIT);
    RegistryError::Taken(match found.owner() {
        Some(owner) => format!("the instance {key} belongs to the owner {}", one_line(owner, LIMIT)),
        None => format!(
            "the instance {key} was registered by another program, at {}:{}",
            one_line(&found.host, LIMIT),
            found.port.number
        ),
    })
}

/// Reads one instance as it is now.
pub(super) async fn read(client: &Client, key: &str) -> Result<Option<Instance>, RegistryError> {
    let path = format!("apps/{key}");
    let answer = client.ask(Question::get(&path)).await?;
    match answer.status {
        StatusCode::NOT_FOUND => Ok(None),
        StatusCode::OK => match instance::one(&answer.body) {
            Some(instance) => Ok(Some(instance)),
            None => Err(client.no_eureka(&answer, "its answer is no instance")),
        },
        _ => Err(client.refusal(&answer, true)),
    }
}

/// The time, in milliseconds.
fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
