//! Reads what stands in the store, remembers it, and says whose it is.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::registry::{Entry, Marked, RegistryError};

use super::records::{Alive, Claim, read};
use super::slot::{Seen, Slot, Standing, Wish, fingerprint};
use super::store::Held;
use super::{Engine, State};

/// How often everything is read all the same, more or less: many hosts should not do it at one time.
const EVERYTHING: Duration = Duration::from_secs(300);

impl State {
    /// This is what stands at a key, and the claim on it.
    fn saw(&mut self, key: &str, entry: Option<Seen<u64>>, claim: Option<Seen<Option<Claim>>>) {
        let written = self.slots.get(key).is_some_and(|before| before.written);
        let claim = claim.map(|claim| self.shared(claim));
        match (Slot { entry, claim, written }) {
            Slot { entry: None, claim: None, written: false } => self.slots.remove(key),
            slot => self.slots.insert(key.into(), slot.into()),
        };
    }

    /// This is the sign of life at a seat, if there is one.
    fn saw_sign(&mut self, seat: &str, sign: Option<&Held>) {
        match sign.and_then(|held| read(&held.value)) {
            Some(sign) => self.company.alive.insert(seat.to_owned(), sign),
            None => self.company.alive.remove(seat),
        };
    }

    /// The same claim, with the names that others have as well.
    fn shared(&mut self, mut seen: Seen<Option<Claim>>) -> Seen<Option<Claim>> {
        if let Some(claim) = &mut seen.content {
            self.names.share(&mut claim.owner);
            self.names.share(&mut claim.seat);
        }
        seen
    }
}

impl Engine {
    /// Everything, or what is ours and what stands at these keys, where that is much less.
    pub(super) async fn entries(&self, keys: Option<&[Arc<str>]>) -> Result<Vec<Entry>, RegistryError> {
        let begun = {
            let state = self.state();
            (state.writing == 0).then_some(state.begun)
        };
        let part = keys.and_then(|keys| self.part(keys));
        match &part {
            Some(part) => self.look_at_part(part).await?,
            None => self.look().await?,
        }
        self.inherit().await?;
        let (entries, left) = {
            let state = self.state();
            let slots: Vec<(&str, &Slot)> = match &part {
                Some(part) => {
                    part.iter().filter_map(|key| Some((key.as_str(), &**state.slots.get(key.as_str())?))).collect()
                }
                None => state.slots.iter().map(|(key, slot)| (&**key, &**slot)).collect(),
            };
            let entries = slots.iter().filter_map(|(key, slot)| self.entry(&state, key, slot)).collect();
            // A claim of ours without an entry, while nothing was being written, is what a crash has left.
            let quiet = begun == Some(state.begun);
            let left = slots.iter().filter(|(_, slot)| quiet && state.company.left_behind(slot));
            let left: Vec<_> = left.map(|(key, _)| ((*key).to_owned(), Wish::Gone)).collect();
            (entries, left)
        };
        if !left.is_empty() {
            self.write(&left).await;
        }
        Ok(entries)
    }

    /// Reads everything, and remembers it.
    ///
    /// Claims are written before entries and removed after them, and signs of life come before both: read in
    /// the other order, no entry seems to be nobody's, and no seat empty, that is not.
    pub(super) async fn look(&self) -> Result<(), RegistryError> {
        let entries = self.store.list(&format!("{}/", self.layout.root())).await?;
        // Of the values only digests are needed from here on.
        let ours = |held: Held| self.layout.service_id(&held.key).map(|_| (Seen::entry(&held), held.key));
        let entries: Vec<_> = entries.into_iter().filter_map(ours).collect();
        let (claims, alive) = match &self.records {
            None => (Vec::new(), Vec::new()),
            Some(records) => {
                let claims = self.store.list(&records.all_claims()).await?;
                (claims, self.store.list(&records.all_alive()).await?)
            }
        };
        let state = &mut *self.state();
        for slot in state.slots.values_mut() {
            **slot = Slot { written: slot.written, ..Slot::default() };
        }
        for (seen, key) in entries {
            state.slots.entry(key.into()).or_default().entry = Some(seen);
        }
        if let Some(records) = &self.records {
            for held in claims {
                let key = records.entry(&held.key).filter(|key| self.layout.service_id(key).is_some());
                if let Some(key) = key {
                    let claim = state.shared(Seen::claim(&held));
                    state.slots.entry(key.into()).or_default().claim = Some(claim);
                }
            }
            let signs = alive.iter().filter_map(|held| Some((records.seat(&held.key)?, read(&held.value)?)));
            state.company.alive = signs.map(|(seat, sign): (&str, Alive)| (seat.to_owned(), sign)).collect();
        }
        state.slots.retain(|_, slot| slot.entry.is_some() || slot.claim.is_some());
        state.unsure.clear();
        state.others = state.slots.values().filter(|slot| !state.company.is_ours(slot)).count();
        state.everything = Some(Instant::now() + EVERYTHING.mul_f64(0.75 + fastrand::f64() / 2.0));
        Ok(())
    }

    /// What to read instead of everything, where most of that is others': these keys, and those that are ours, or may be.
    fn part(&self, keys: &[Arc<str>]) -> Option<Vec<String>> {
        let state = self.state();
        let due = state.everything.is_none_or(|due| due <= Instant::now());
        if due || state.others < self.many {
            return None;
        }
        let ours = state.slots.iter().filter(|(_, slot)| state.company.is_ours(slot)).map(|(key, _)| key);
        let ours = ours.map(AsRef::as_ref).chain(state.unsure.iter().map(String::as_str));
        let part: BTreeSet<_> = ours.chain(keys.iter().map(AsRef::as_ref)).collect();
        Some(part.into_iter().map(str::to_owned).collect())
    }

    /// [`Engine::look`] at some keys, in the same order.
    async fn look_at_part(&self, keys: &[String]) -> Result<(), RegistryError> {
        let entries = self.store.get_all(keys).await?;
        let mut claims: Vec<Option<Seen<Option<Claim>>>> = vec![None; keys.len()];
        let mut signs = Vec::new();
        if let Some(records) = &self.records {
            let claim_keys: Vec<_> = keys.iter().map(|key| records.claim(key)).collect();
            let read_claims = self.store.get_all(&claim_keys).await?;
            claims = read_claims.iter().map(|held| held.as_ref().map(Seen::claim)).collect();
            let seats = claims.iter().flatten().filter_map(|seen| Some(Arc::clone(&seen.content.as_ref()?.seat)));
            let seats: Vec<_> = seats.collect::<BTreeSet<_>>().into_iter().collect();
            let sign_keys: Vec<_> = seats.iter().map(|seat| records.alive(seat)).collect();
            let alive = self.store.get_all(&sign_keys).await?;
            signs = seats.into_iter().zip(alive).collect();
        }
        let mut state = self.state();
        for ((key, entry), claim) in keys.iter().zip(&entries).zip(claims) {
            state.saw(key, entry.as_ref().map(Seen::entry), claim);
        }
        for (seat, sign) in signs {
            state.saw_sign(&seat, sign.as_ref());
        }
        Ok(())
    }

    /// Takes the seats that dead instances of ours have left.
    async fn inherit(&self) -> Result<(), RegistryError> {
        let seats: BTreeSet<_> = {
            let State { slots, company, .. } = &*self.state();
            slots
                .values()
                .filter_map(|slot| match company.standing(slot) {
                    Standing::Inherited(seat) => Some(seat),
                    _ => None,
                })
                .collect()
        };
        for seat in seats {
            self.take(&seat).await?;
        }
        Ok(())
    }

    /// What the bridge is told of what stands at a key.
    fn entry(&self, state: &State, key: &str, slot: &Slot) -> Option<Entry> {
        let by_key = self.layout.service_id(key)?;
        let seen = slot.entry.as_ref()?;
        let claim = slot.claimed();
        let owner = match state.company.standing(slot) {
            Standing::Free => None,
            Standing::Ours | Standing::Inherited(_) => Some(Arc::clone(&state.company.owner)),
            Standing::Foreign(owner) => Some(owner),
        };
        Some(Entry {
            key: key.into(),
            service_id: claim.map_or_else(|| by_key.into(), |claim| Arc::clone(&claim.id)),
            owner,
            fingerprint: fingerprint(seen.content, seen.ttl, claim.is_some()),
            marked: Marked::No,
            critical: false,
            content: None,
        })
    }

    /// Reads one key again, and what says whose it is.
    pub(super) async fn look_at(&self, key: &str) -> Result<(), RegistryError> {
        let entry = self.store.get(key).await?;
        let claim = match &self.records {
            None => None,
            Some(records) => self.store.get(&records.claim(key)).await?,
        };
        let claim = claim.as_ref().map(Seen::claim);
        let seat = claim.as_ref().and_then(|seen| Some(Arc::clone(&seen.content.as_ref()?.seat)));
        let sign = match (&self.records, &seat) {
            (Some(records), Some(seat)) => self.store.get(&records.alive(seat)).await?,
            _ => None,
        };
        let mut state = self.state();
        state.saw(key, entry.as_ref().map(Seen::entry), claim);
        if let Some(seat) = seat {
            state.saw_sign(&seat, sign.as_ref());
        }
        Ok(())
    }
}
