//! Seats: what an instance holds as long as it lives, and what shows that it does.
//!
//! A seat is held by whoever has its sign of life in the store, under a name of its own run; the sign expires unless it
//! is renewed. Claims name seats, not runs: so an owner that starts again takes the seat of its dead self, and with
//! it every entry, by writing one record.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;
use tracing::debug;

use crate::registry::RegistryError;

use super::records::{Alive, read, written};
use super::store::{Action, Applied, Condition, Step};
use super::{Engine, busy};

/// How long a sign of life stays without being renewed: after so long a dead instance's entries are taken over. Long
/// enough for a cluster to choose another leader, and what a Consul session must have at least.
pub(super) const LIFE: Duration = Duration::from_secs(12);
/// How often it is renewed: two may be missed.
const BEAT: Duration = Duration::from_secs(4);
/// How soon again when it could not be.
const BEAT_AGAIN: Duration = Duration::from_secs(1);

/// A name that nobody else has.
pub(super) fn token() -> String {
    format!("{:016x}", fastrand::u64(..))
}

impl Engine {
    /// A seat that we hold; a new one if we hold none.
    pub(super) async fn seat(&self) -> Result<Arc<str>, RegistryError> {
        let held = self.state().company.held.first().cloned();
        if let Some(seat) = held {
            return Ok(seat);
        }
        let seat: Arc<str> = token().into();
        if self.take(&seat).await? { Ok(seat) } else { Err(busy(&seat)) }
    }

    /// Takes a seat, if nobody holds it. Says whether we do now.
    pub(super) async fn take(&self, seat: &str) -> Result<bool, RegistryError> {
        let Some(records) = &self.records else { return Ok(false) };
        let key = records.alive(seat);
        let sign = Alive { owner: self.state().company.owner.to_string(), run: self.run.clone() };
        let action = Action::Put { value: written(&sign), ttl: Some(LIFE) };
        let write = vec![Step { key: key.clone(), condition: Condition::Absent, action }];
        let applied = self.store.apply(&[write]).await.pop().unwrap_or_else(|| Err(busy(&key)))?;
        let holder = match applied {
            Applied::Done(_) => Some(sign),
            Applied::Changed => self.store.get(&key).await?.and_then(|held| read(&held.value)),
        };
        let mut state = self.state();
        let ours = holder.as_ref().is_some_and(|holder| holder.run == self.run);
        if ours {
            state.company.held.insert(seat.into());
        } else {
            state.company.held.remove(seat);
        }
        if let Some(holder) = holder {
            state.company.alive.insert(seat.to_owned(), holder);
        }
        Ok(ours)
    }

    /// Leaves every seat to whoever comes next.
    pub(super) async fn rise(&self) {
        let Some(records) = &self.records else { return };
        let seats = std::mem::take(&mut self.state().company.held);
        let left = seats.iter().map(async |seat| {
            let key = records.alive(seat);
            let Ok(Some(held)) = self.store.get(&key).await else { return };
            if read(&held.value).is_some_and(|sign: Alive| sign.run == self.run) {
                let step = Step { key, condition: Condition::At(held.version), action: Action::Delete };
                // If it fails, it expires.
                self.store.apply(&[vec![step]]).await;
            }
        });
        join_all(left).await;
    }
}

/// Shows that we live, for as long as we do. Never returns.
pub(super) async fn beat(engine: Arc<Engine>) {
    loop {
        let pause = if round(&engine).await { BEAT } else { BEAT_AGAIN };
        sleep(pause).await;
    }
}

/// Renews every sign of life. False when that could not be done.
async fn round(engine: &Engine) -> bool {
    let Some(records) = &engine.records else { return true };
    let seats: Vec<_> = engine.state().company.held.iter().cloned().collect();
    if seats.is_empty() {
        return true;
    }
    let keys: Vec<_> = seats.iter().map(|seat| (records.alive(seat), LIFE)).collect();
    let mut well = true;
    for (seat, renewed) in seats.iter().zip(engine.store.renew(&keys).await) {
        match renewed {
            Ok(()) => {}
            Err(RegistryError::Unreachable(reason)) => {
                debug!("the sign of life {seat} cannot be renewed: {reason}");
                well = false;
            }
            // It has expired, or somebody removed it.
            Err(RegistryError::Refused { .. } | RegistryError::Taken(_)) => match engine.take(seat).await {
                Ok(true) => engine.bell.notify_one(),
                Ok(false) => {
                    let text = "another instance of this owner has taken over the entries written by this one: give \
                                each its own -owner";
                    engine.reporter.warn("taken_over", text.to_owned());
                    engine.bell.notify_one();
                }
                Err(_) => well = false,
            },
        }
    }
    well
}
