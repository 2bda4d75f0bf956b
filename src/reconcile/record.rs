//! Everything known about one key of one registry.

use std::cmp::Ordering;
use std::sync::Arc;
use std::time::Duration;

use smallvec::SmallVec;
use tokio::time::Instant;

use crate::container::Moment;
use crate::desired::{Evidence, Mode};
use crate::registry::{ActionKind, Cause, Entry, Mark, Reason};
use crate::service::{Service, Source};

use super::rules::Target;

/// How long an in-doubt write may still arrive.
const LATE: Duration = Duration::from_secs(600);
/// For how long a removed entry that comes back counts as brought back by another instance.
const EMPTIED: Duration = Duration::from_secs(24 * 3600);

/// The state of one key, and what prevents it from being in sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SyncState {
    /// The entry is as desired.
    InSync,
    /// A write is due.
    Pending,
    /// A write is in progress.
    InFlight,
    /// The registry refused the write; it is tried again later.
    Refused,
    /// Another instance writes the entry as well, or another owner's entry is in the way.
    Contested,
    /// The removal guard delays the removal.
    Held,
    /// A write failed on the way, and may still arrive.
    InDoubt,
    /// The registry removed the entry by its own rule.
    Reaped,
}

impl SyncState {
    /// All of them, in the order of a table.
    pub const ALL: [Self; 8] = [
        Self::InSync,
        Self::Pending,
        Self::InFlight,
        Self::Refused,
        Self::Contested,
        Self::Held,
        Self::InDoubt,
        Self::Reaped,
    ];

    /// A word for it, for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InSync => "in_sync",
            Self::Pending => "pending",
            Self::InFlight => "in_flight",
            Self::Refused => "refused",
            Self::Contested => "contested",
            Self::Held => "held",
            Self::InDoubt => "in_doubt",
            Self::Reaped => "reaped",
        }
    }

    /// What it means, for people.
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::InSync => "as it should be",
            Self::Pending => "about to be written",
            Self::InFlight => "being written",
            Self::Refused => "refused by the registry",
            Self::Contested => "another owner or instance has this entry",
            Self::Held => "the removal guard asks Docker again first",
            Self::InDoubt => "the last write failed on the way",
            Self::Reaped => "removed by the registry's own rule",
        }
    }
}

/// What is known about one key.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The services that claim the key, or keep its entry; the first in rank has it.
    claims: SmallVec<[Claim; 1]>,
    /// The last service of the entry that should be removed. Few records have one.
    withdrawn: Option<Box<Withdrawn>>,
    /// The registry's entry, as far as known: as last read, plus our writes.
    pub(super) actual: Option<Entry>,
    /// Whether this run wrote or marked that, or found it to be right.
    pub(super) ours: bool,
    /// Whether a write is in progress.
    pub(super) in_flight: bool,
    /// The last read that saw the key.
    pub(super) reading: u32,
    /// Since when it is in this state, in seconds since the start.
    pub(super) since: u32,
    /// The last write that the registry took.
    pub(super) written: Option<LastWrite>,
    /// Unusual facts about it.
    trouble: Option<Box<Trouble>>,
}

/// A write that was made or tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastWrite {
    /// When, in seconds since the start.
    pub(super) at: u32,
    pub(super) action: ActionKind,
    pub(super) reason: Reason,
}

/// A service that claims a key.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) service: Arc<Service>,
    pub(super) mode: Mode,
    /// The order of claims: 0 for all from the start.
    pub(super) order: u32,
}

#[derive(Debug)]
struct Withdrawn {
    service: Arc<Service>,
    evidence: Evidence,
}

/// Unusual facts about a key. Most keys have none.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Trouble {
    /// The registry refused the last write.
    pub(super) refused: Option<Refused>,
    /// Another instance rewrites the entry under our owner's name.
    pub(super) contest: Option<Contest>,
    /// Writes that failed on the way.
    in_doubt: Option<InDoubt>,
    /// When the entry was removed because it had no container.
    emptied: Option<Instant>,
    /// Since when the registry reports the service as critical.
    pub(super) critical_since: Option<Instant>,
    /// The registry removed the entry by its own rule, while this was the service.
    pub(super) reaped: Option<Arc<Service>>,
    /// A digest of the last reported problem, which is reported once.
    pub(super) complaint: Option<u64>,
    /// The last write, if it failed, and why.
    pub(super) failed: Option<(LastWrite, Arc<str>)>,
}

/// Writes that failed on the way, and may still arrive.
#[derive(Debug, PartialEq)]
struct InDoubt {
    /// How many. Each arrives once at most, so each explains one return.
    count: u32,
    /// When the last failed.
    last: Instant,
    /// What they wrote, each once.
    fingerprints: SmallVec<[u64; 1]>,
}

/// A write that the registry refused.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Refused {
    pub(super) cause: Cause,
    pub(super) text: Arc<str>,
    /// The digest of the service to write; `None` for a removal.
    pub(super) fingerprint: Option<u64>,
    pub(super) since: Instant,
    pub(super) attempts: u32,
    /// Whether its next attempt is still to come.
    pub(super) waits: bool,
}

/// A contest: another instance rewrites an entry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Contest {
    /// How often the entry was rewritten, each time soon after the last.
    pub(super) rewrites: u32,
    pub(super) last: Instant,
    /// It is not written before this time.
    pub(super) until: Instant,
}

impl Record {
    /// What should happen to the key.
    pub(super) fn target(&self) -> Target<'_> {
        let claims = |service: &Service| self.claims.iter().any(|claim| claim.service.is_from(&service.source()));
        match (self.claims.first(), &self.withdrawn) {
            // The entry is not the kept one, but that of a service that used the key afterwards and is gone as well.
            (Some(Claim { mode: Mode::Kept(_), .. }), Some(withdrawn)) if !claims(&withdrawn.service) => {
                Target::Remove(&withdrawn.service, withdrawn.evidence)
            }
            (Some(Claim { service, mode: Mode::Kept(why), .. }), _) => Target::Keep(service, *why),
            (Some(Claim { service, mode: Mode::Paused, .. }), _) => Target::Put(service, Some(Mark::Paused)),
            (Some(Claim { service, mode: Mode::Serving, .. }), _) => Target::Put(service, None),
            (None, Some(withdrawn)) => Target::Remove(&withdrawn.service, withdrawn.evidence),
            (None, None) => Target::Nothing,
        }
    }

    /// The service of the key, if any is known.
    pub(super) fn service(&self) -> Option<&Arc<Service>> {
        match self.target() {
            Target::Put(service, _) | Target::Keep(service, _) | Target::Remove(service, _) => Some(service),
            Target::Nothing => None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        let Self { claims, withdrawn, actual, trouble, in_flight, .. } = self;
        claims.is_empty() && withdrawn.is_none() && actual.is_none() && trouble.is_none() && !in_flight
    }

    // === claims ===

    /// Adds a claim.
    pub(super) fn claim(&mut self, claim: Claim) {
        if claim.mode.is_serving() {
            self.withdrawn = None;
        }
        self.claims.push(claim);
        self.claims.sort_by(Claim::rank);
    }

    /// Removes and returns the claim of a container port.
    pub(super) fn disclaim(&mut self, source: &Source) -> Option<Disclaimed> {
        let at = self.claims.iter().position(|claim| claim.service.is_from(source))?;
        let claim = self.claims.remove(at);
        Some(Disclaimed { had_the_key: at == 0, claim })
    }

    /// The service of this claim is gone: if the entry may be its, the entry is removed.
    pub(super) fn withdraw(&mut self, disclaimed: Disclaimed, evidence: Evidence) {
        let Disclaimed { claim, had_the_key } = disclaimed;
        let only_kept = self.claims.first().is_none_or(|first| !first.mode.is_serving());
        if self.claims.is_empty() || had_the_key && claim.mode.is_serving() && only_kept {
            self.withdrawn = Some(Box::new(Withdrawn { service: claim.service, evidence }));
        }
    }

    /// The entry is no longer refreshed.
    pub(super) fn forget_withdrawn(&mut self) {
        self.withdrawn = None;
    }

    /// The claims, the first in rank first.
    pub(super) fn claims(&self) -> &[Claim] {
        &self.claims
    }

    // === trouble ===

    pub(super) fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_deref()
    }

    /// Changes the unusual facts.
    pub(super) fn trouble_mut<T>(&mut self, change: impl FnOnce(&mut Trouble) -> T) -> T {
        let trouble = self.trouble.get_or_insert_default();
        let outcome = change(trouble);
        if **trouble == Trouble::default() {
            self.trouble = None;
        }
        outcome
    }

    /// Changes the unusual facts, if there are any.
    pub(super) fn if_trouble(&mut self, change: impl FnOnce(&mut Trouble)) {
        if self.trouble.is_some() {
            self.trouble_mut(change);
        }
    }

    pub(super) fn refused(&self) -> Option<&Refused> {
        self.trouble()?.refused.as_ref()
    }

    pub(super) fn contest(&self) -> Option<&Contest> {
        self.trouble()?.contest.as_ref()
    }

    /// Whether a key with a correct entry needs no further work.
    pub(super) fn is_quiet(&self) -> bool {
        self.trouble().is_none_or(|trouble| trouble.refused.is_none() && trouble.complaint.is_none())
    }

    pub(super) fn is_reaped(&self) -> bool {
        self.trouble().is_some_and(|trouble| trouble.reaped.is_some())
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        self.trouble().is_some_and(|trouble| trouble.in_doubt.is_some())
    }

    /// Whether one of the writes that failed on the way explains what is there.
    pub(super) fn may_be_late(&self, fingerprint: u64) -> bool {
        let in_doubt = self.trouble().and_then(|trouble| trouble.in_doubt.as_ref());
        in_doubt.is_some_and(|in_doubt| in_doubt.fingerprints.contains(&fingerprint))
    }

    /// Whether the entry, which has no container, cannot be one of our own writes.
    pub(super) fn is_brought_back_by_another(&self) -> bool {
        self.trouble().is_some_and(|trouble| trouble.emptied.is_some() && trouble.in_doubt.is_none())
    }
}

/// A removed claim.
#[derive(Debug)]
pub(super) struct Disclaimed {
    pub(super) claim: Claim,
    /// Whether it was the first in rank.
    had_the_key: bool,
}

impl Trouble {
    /// A write of this failed on the way.
    pub(super) fn in_doubt(&mut self, fingerprint: u64, now: Instant) {
        let none = || InDoubt { count: 0, last: now, fingerprints: SmallVec::new() };
        let in_doubt = self.in_doubt.get_or_insert_with(none);
        in_doubt.count += 1;
        in_doubt.last = now;
        if !in_doubt.fingerprints.contains(&fingerprint) {
            in_doubt.fingerprints.push(fingerprint);
        }
    }

    /// The entry was removed because it had no container.
    pub(super) fn emptied(&mut self, now: Instant) {
        match &mut self.in_doubt {
            Some(in_doubt) if in_doubt.count > 1 => in_doubt.count -= 1,
            Some(_) => self.in_doubt = None,
            None => self.emptied = Some(now),
        }
    }

    /// We wrote a service at this key.
    pub(super) fn filled(&mut self) {
        self.emptied = None;
    }

    /// Forgets what no longer matters.
    pub(super) fn settle(&mut self, now: Instant) {
        self.in_doubt.take_if(|in_doubt| now >= in_doubt.last + LATE);
        self.emptied.take_if(|emptied| now >= *emptied + EMPTIED);
    }
}

impl Claim {
    /// Ranks claims: running before ended; a default ID before a claimed one; earlier claims before later ones; then
    /// the older container, then the lower port.
    fn rank(&self, other: &Self) -> Ordering {
        fn place(claim: &Claim) -> (bool, bool, u32, Moment, Source) {
            let Claim { service, mode, order } = claim;
            let origin = &service.origin;
            (!mode.is_serving(), origin.claimed, *order, origin.created, service.source())
        }
        place(self).cmp(&place(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_write_in_doubt_explains_one_return_and_no_more() {
        let now = Instant::now();
        let mut record = Record::default();
        record.trouble_mut(|trouble| trouble.in_doubt(1, now));
        record.trouble_mut(|trouble| trouble.in_doubt(1, now));
        for _ in 0..2 {
            record.trouble_mut(|trouble| trouble.emptied(now));
            assert!(!record.is_brought_back_by_another());
        }
        record.trouble_mut(|trouble| trouble.emptied(now));
        assert!(record.is_brought_back_by_another());
        record.trouble_mut(|trouble| trouble.in_doubt(1, now));
        assert!(!record.is_brought_back_by_another(), "one that was begun after it was emptied may still arrive");
        record.trouble_mut(|trouble| trouble.emptied(now));
        assert!(record.is_brought_back_by_another());
        record.trouble_mut(Trouble::filled);
        assert!(record.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_write_in_doubt_long_ago_explains_nothing() {
        let now = Instant::now();
        let mut record = Record::default();
        record.trouble_mut(|trouble| trouble.in_doubt(1, now));
        record.trouble_mut(|trouble| trouble.settle(now + LATE - Duration::from_secs(1)));
        assert!(record.is_in_doubt());
        record.trouble_mut(|trouble| trouble.settle(now + LATE));
        assert!(record.is_empty());
    }
}
