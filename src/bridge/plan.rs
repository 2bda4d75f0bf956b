//! Desired, actual, owner → the list of writes. Pure.

use std::sync::Arc;

use crate::config::{Deregister, OnShutdown};
use crate::registry::{Entry, Marked, Policy};

/// What is known of one key of a registry when its write is planned.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What should become of it.
    pub wanted: Wanted,
    /// Whether it should be marked as not to be used; never where the registry has no marks.
    pub marked: bool,
    /// What the registry holds there.
    pub actual: Option<&'a Entry>,
}

/// What should become of one key.
#[derive(Clone, Copy, Debug)]
pub enum Wanted {
    /// A service, in the form of this [`Registry::fingerprint`](crate::registry::Registry::fingerprint).
    Service(u64),
    /// Whatever is there.
    Kept {
        /// Nothing that runs stands behind it, for `-cleanup`.
        dangling: bool,
    },
    /// Nothing: the service that stood there, by our own hand or adopted, is no longer offered.
    Withdrawn,
    /// Nobody here ever wanted anything of it.
    Unknown,
}

/// What this owner may touch, and when.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The identity under which this instance writes.
    pub owner: Arc<str>,
    /// The first part of default IDs.
    pub hostname: String,
    /// What may be done to the registry's entries at all.
    pub policy: Policy,
    /// When those of containers that ended are removed.
    pub deregister: Deregister,
    /// What becomes of them when we are told to stop.
    pub on_shutdown: OnShutdown,
}

/// What may be concluded from nothing standing behind an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Every running container is known, and the registry was just read: an entry of ours that
    /// nothing stands behind may go.
    pub complete: bool,
    /// So may one without an owner whose ID is one that this host makes (`-cleanup`).
    pub cleanup: bool,
}

/// The next write for one key, with the reason it is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is right, or not ours to touch.
    Leave,
    /// Write the service: nothing is there.
    Add,
    /// Write the service: what is there differs.
    Change,
    /// Mark the entry as not to be used.
    Mark,
    /// Take our mark away: it is to be used again.
    Unmark,
    /// Remove the entry: its service is no longer offered.
    Remove,
    /// Remove the entry: it is ours, and nothing stands behind it.
    Dangling,
    /// The service cannot be written: another owner has its key.
    Conflict(String),
}

impl Rules {
    /// The next write for one key.
    #[must_use]
    pub fn step(&self, situation: Situation<'_>, scope: Scope) -> Step {
        match (self.policy, self.step_to_sync(situation, scope)) {
            // What may not be removed can be marked.
            (Policy::UpsertOnly, Step::Remove | Step::Dangling) => {
                situation.actual.filter(|_| situation.marked).map_or(Step::Leave, |entry| marking(true, entry))
            }
            (_, step) => step,
        }
    }

    /// The next write that makes the registry equal to what is wanted.
    fn step_to_sync(&self, situation: Situation<'_>, scope: Scope) -> Step {
        let Situation { wanted, marked, actual } = situation;
        match (wanted, actual) {
            (Wanted::Service(_), None) => Step::Add,
            (Wanted::Service(fingerprint), Some(entry)) => match self.foreign(entry) {
                Some(owner) => Step::Conflict(owner.to_owned()),
                None if entry.fingerprint == fingerprint => marking(marked, entry),
                None => Step::Change,
            },
            (_, None) => Step::Leave,
            (_, Some(entry)) if self.foreign(entry).is_some() => Step::Leave,
            (Wanted::Withdrawn, Some(_)) => Step::Remove,
            (Wanted::Kept { dangling: true }, Some(entry))
                if scope.complete && scope.cleanup && self.made_here(entry) =>
            {
                Step::Dangling
            }
            (Wanted::Kept { .. }, Some(entry)) => marking(marked, entry),
            (Wanted::Unknown, Some(entry)) if scope.complete => self.abandoned(marked, entry, scope),
            (Wanted::Unknown, Some(_)) => Step::Leave,
        }
    }

    /// The next write for an entry that is not another's, and that no container stands behind.
    fn abandoned(&self, marked: bool, entry: &Entry, scope: Scope) -> Step {
        let ours = entry.owner.is_some();
        if ours && (self.deregister != Deregister::Never || scope.cleanup) || scope.cleanup && self.made_here(entry) {
            Step::Dangling
        } else if ours && marked {
            marking(marked, entry)
        } else {
            Step::Leave
        }
    }

    /// Whether an entry is ours to remove when we stop; `wanted` is whether anybody here wants something of its key.
    #[must_use]
    pub fn owns(&self, entry: &Entry, wanted: bool) -> bool {
        self.foreign(entry).is_none() && (entry.owner.is_some() || wanted)
    }

    /// The owner of an entry, if it is another.
    fn foreign<'a>(&self, entry: &'a Entry) -> Option<&'a str> {
        entry.owner.as_deref().filter(|owner| *owner != &*self.owner)
    }

    /// Whether an entry's ID is one that this host makes: `<hostname>:<container name>:<digits>[:udp|:sctp]`.
    fn made_here(&self, entry: &Entry) -> bool {
        let Some(rest) = entry.service_id.strip_prefix(&self.hostname).and_then(|rest| rest.strip_prefix(':')) else {
            return false;
        };
        let rest = rest.strip_suffix(":udp").or_else(|| rest.strip_suffix(":sctp")).unwrap_or(rest);
        rest.rsplit_once(':').is_some_and(|(name, port)| {
            !name.is_empty() && !name.contains(':') && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
        })
    }
}

/// The write that makes an entry's mark as it should be. That of another hand is left alone.
fn marking(marked: bool, entry: &Entry) -> Step {
    match (marked, entry.marked) {
        (true, Marked::No) => Step::Mark,
        (false, Marked::Ours) => Step::Unmark,
        _ => Step::Leave,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Scope = Scope { complete: false, cleanup: false };
    const COMPLETE: Scope = Scope { complete: true, cleanup: false };
    const CLEANUP: Scope = Scope { complete: true, cleanup: true };
    const KEPT: Wanted = Wanted::Kept { dangling: true };
    const UNSURE_CLEANUP: Scope = Scope { complete: false, cleanup: true };

    fn step(wanted: Wanted, actual: Option<&Entry>, scope: Scope) -> Step {
        rules().step(Situation { wanted, marked: false, actual }, scope)
    }

    fn rules() -> Rules {
        Rules { owner: "us".into(), hostname: "host".into(), ..Rules::default() }
    }

    fn entry(id: &str, owner: Option<&str>) -> Entry {
        Entry {
            key: id.into(),
            service_id: id.into(),
            owner: owner.map(Arc::from),
            fingerprint: 1,
            marked: Marked::No,
            critical: false,
            content: None,
        }
    }

    #[test]
    fn a_wanted_service_is_written_only_where_it_is_missing_or_differs() {
        let (same, other) = (Wanted::Service(1), Wanted::Service(2));
        for scope in [NOTHING, COMPLETE, CLEANUP] {
            for owner in [None, Some("us")] {
                let there = entry("k", owner);
                assert_eq!(step(same, Some(&there), scope), Step::Leave);
                assert_eq!(step(other, Some(&there), scope), Step::Change);
            }
            assert_eq!(step(same, None, scope), Step::Add);
        }
    }

    #[test]
    fn an_entry_of_another_owner_is_never_touched() {
        let theirs = entry("host:web:80", Some("them"));
        for scope in [NOTHING, COMPLETE, CLEANUP] {
            for wanted in [KEPT, Wanted::Withdrawn, Wanted::Unknown] {
                assert_eq!(step(wanted, Some(&theirs), scope), Step::Leave, "{wanted:?}");
            }
            assert_eq!(step(Wanted::Service(1), Some(&theirs), scope), Step::Conflict("them".to_owned()));
        }
    }

    #[test]
    fn a_withdrawn_service_is_removed_with_or_without_a_recorded_owner() {
        for owner in [None, Some("us")] {
            assert_eq!(step(Wanted::Withdrawn, Some(&entry("k", owner)), NOTHING), Step::Remove);
        }
        assert_eq!(step(Wanted::Withdrawn, None, CLEANUP), Step::Leave);
    }

    #[test]
    fn our_own_entry_that_nothing_stands_behind_goes_once_every_container_is_known() {
        let ours = entry("anything", Some("us"));
        assert_eq!(step(Wanted::Unknown, Some(&ours), NOTHING), Step::Leave);
        assert_eq!(step(Wanted::Unknown, Some(&ours), UNSURE_CLEANUP), Step::Leave);
        assert_eq!(step(Wanted::Unknown, Some(&ours), COMPLETE), Step::Dangling);
    }

    #[test]
    fn cleanup_removes_only_ids_that_this_host_makes() {
        for (id, made_here) in [
            ("host:web:80", true),
            ("host:web.1_x-y:8080:udp", true),
            ("host:web:5000:sctp", true),
            ("host:web", false),
            ("host:web:", false),
            ("host:web:http", false),
            ("host:web:80:tcp", false),
            ("host::80", false),
            ("host:a:b:80", false),
            ("hosts:web:80", false),
            ("other:web:80", false),
            ("web", false),
            ("", false),
        ] {
            let left = entry(id, None);
            let expected = if made_here { Step::Dangling } else { Step::Leave };
            assert_eq!(step(Wanted::Unknown, Some(&left), CLEANUP), expected, "{id}");
            assert_eq!(step(KEPT, Some(&left), CLEANUP), expected, "{id}");
            for scope in [NOTHING, COMPLETE, UNSURE_CLEANUP] {
                assert_eq!(step(Wanted::Unknown, Some(&left), scope), Step::Leave, "{id}");
            }
        }
    }

    #[test]
    fn upsert_only_writes_and_never_removes() {
        let rules = Rules { policy: Policy::UpsertOnly, ..rules() };
        let ours = entry("host:web:80", Some("us"));
        for wanted in [Wanted::Withdrawn, Wanted::Unknown, KEPT] {
            assert_eq!(
                rules.step(Situation { wanted, marked: false, actual: Some(&ours) }, CLEANUP),
                Step::Leave,
                "{wanted:?}"
            );
            let step = rules.step(Situation { wanted, marked: true, actual: Some(&ours) }, CLEANUP);
            assert_eq!(step, Step::Mark, "{wanted:?}");
        }
        let wanted = Wanted::Service(2);
        assert_eq!(rules.step(Situation { wanted, marked: false, actual: Some(&ours) }, CLEANUP), Step::Change);
        assert_eq!(rules.step(Situation { wanted, marked: false, actual: None }, CLEANUP), Step::Add);
    }

    #[test]
    fn what_is_kept_stays_unless_it_is_cleaned_up() {
        let ours = entry("host:web:80", Some("us"));
        assert_eq!(step(KEPT, Some(&ours), COMPLETE), Step::Leave);
        assert_eq!(step(KEPT, Some(&ours), CLEANUP), Step::Dangling);
        assert_eq!(step(KEPT, None, CLEANUP), Step::Leave);
        assert_eq!(step(Wanted::Kept { dangling: false }, Some(&ours), CLEANUP), Step::Leave);
    }

    #[test]
    fn a_mark_is_put_on_and_taken_off_and_that_of_another_hand_is_left_alone() {
        for (wanted, owner) in [(Wanted::Service(1), Some("us")), (KEPT, None)] {
            for (marked, is, expected) in [
                (true, Marked::No, Step::Mark),
                (true, Marked::Ours, Step::Leave),
                (true, Marked::Theirs, Step::Leave),
                (false, Marked::No, Step::Leave),
                (false, Marked::Ours, Step::Unmark),
                (false, Marked::Theirs, Step::Leave),
            ] {
                let entry = Entry { marked: is, ..entry("k", owner) };
                let situation = Situation { wanted, marked, actual: Some(&entry) };
                assert_eq!(rules().step(situation, COMPLETE), expected, "{wanted:?} {marked} {is:?}");
            }
        }
        let theirs = Entry { marked: Marked::Ours, ..entry("k", Some("them")) };
        assert_eq!(step(KEPT, Some(&theirs), CLEANUP), Step::Leave);
    }

    #[test]
    fn never_is_what_is_left_behind_removed_unless_it_is_cleaned_up() {
        let rules = Rules { deregister: Deregister::Never, ..rules() };
        let ours = entry("anything", Some("us"));
        let old = entry("host:web:80", None);
        let step = |marked, entry, scope| {
            rules.step(Situation { wanted: Wanted::Unknown, marked, actual: Some(entry) }, scope)
        };
        assert_eq!(step(true, &ours, COMPLETE), Step::Mark);
        assert_eq!(step(false, &ours, COMPLETE), Step::Leave, "no registry with marks");
        assert_eq!(step(true, &ours, NOTHING), Step::Leave);
        assert_eq!(step(true, &ours, CLEANUP), Step::Dangling);
        assert_eq!(step(true, &old, COMPLETE), Step::Leave);
        assert_eq!(step(true, &old, CLEANUP), Step::Dangling);
        // What is no longer offered by a container that runs goes all the same.
        let withdrawn = Situation { wanted: Wanted::Withdrawn, marked: false, actual: Some(&ours) };
        assert_eq!(rules.step(withdrawn, NOTHING), Step::Remove);
    }

    #[test]
    fn what_is_removed_at_the_end_is_ours_alone() {
        for (owner, wanted, owns) in [
            (Some("us"), false, true),
            (Some("us"), true, true),
            (None, true, true),
            (None, false, false),
            (Some("them"), true, false),
            (Some("them"), false, false),
        ] {
            assert_eq!(rules().owns(&entry("k", owner), wanted), owns, "{owner:?} {wanted}");
        }
    }
}
