//! What this owner may do to one entry, and the next write for it. Pure.

use std::sync::Arc;

use crate::config::{Deregister, OnShutdown};
use crate::desired::{Evidence, Kept, Unknown};
use crate::registry::{Content, Entry, Mark, Marked, Policy, Reason};
use crate::service::Service;

use super::plan::Left;

/// What this owner may change, and when.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// The owner under which this instance writes.
    pub owner: Arc<str>,
    /// The first part of default IDs.
    pub hostname: String,
    /// Which changes the registry's policy allows.
    pub policy: Policy,
    /// When entries of ended containers are removed.
    pub deregister: Deregister,
    /// What happens to entries at shutdown.
    pub on_shutdown: OnShutdown,
    /// Whether every entry without an owner is taken over (`-adopt`).
    pub adopt: bool,
    /// Whether writes are only told of, and not made (`-dry-run`).
    pub dry_run: bool,
}

/// What should happen to one key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    /// The entry of this service should exist, with this mark.
    Put(&'a Arc<Service>, Option<Mark>),
    /// The entry stays; this service was the last to use it.
    Keep(&'a Arc<Service>, Kept),
    /// This service had the key, and is no longer offered.
    Remove(&'a Arc<Service>, Evidence),
    /// No container here has ever claimed this key.
    Nothing,
}

/// What is known about one key when its next write is decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation<'a> {
    pub(super) target: Target<'a>,
    /// The [`Registry::fingerprint`](crate::registry::Registry::fingerprint) of the desired service.
    pub(super) fingerprint: Option<u64>,
    /// The mark that the entry should have; none if the registry has no marks.
    pub(super) mark: Option<Mark>,
    /// The registry's entry.
    pub(super) actual: Option<&'a Entry>,
    /// Whether this run wrote the entry, or found it equal.
    pub(super) ours: bool,
}

/// What may be concluded if an entry has no container.
#[derive(Clone, Debug, Default)]
pub(super) struct Conclusions {
    /// All running containers are known except these, and the registry was just read. `None`: no conclusion is allowed.
    pub(super) all_but: Option<Arc<[Unknown]>>,
    /// An entry without an owner may be removed as well, if its ID has this host's form (`-cleanup`).
    pub(super) cleanup: bool,
}

/// The next write for one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// None.
    Leave(Left),
    /// Write the service.
    Put(Reason),
    /// Mark the entry as not to be used.
    Mark(Mark),
    /// Remove our mark.
    Unmark,
    /// Remove the entry.
    Remove(Reason, Evidence),
}

impl Rules {
    /// The next write for one key.
    pub(super) fn verdict(&self, situation: &Situation<'_>, conclusions: &Conclusions) -> Verdict {
        match (self.policy, self.sync(situation, conclusions)) {
            // An entry that must not be removed can be marked.
            (Policy::UpsertOnly, Verdict::Remove(..)) => match (situation.mark, situation.actual) {
                (Some(mark), Some(entry)) => marking(Some(mark), entry, Left::Protected),
                _ => Verdict::Leave(Left::Protected),
            },
            (_, verdict) => verdict,
        }
    }

    /// The next write towards the desired state.
    fn sync(&self, situation: &Situation<'_>, conclusions: &Conclusions) -> Verdict {
        let Situation { target, mark, ours, .. } = *situation;
        let Some(entry) = situation.actual else {
            return match target {
                Target::Put(..) => Verdict::Put(Reason::Missing),
                _ => Verdict::Leave(Left::Right),
            };
        };
        if let Some(owner) = self.foreign(entry) {
            return Verdict::Leave(match target {
                Target::Put(..) => Left::InTheWay(Arc::clone(owner)),
                _ => Left::Foreign,
            });
        }
        match target {
            Target::Put(..) if situation.fingerprint == Some(entry.fingerprint) => marking(mark, entry, Left::Right),
            Target::Put(service, _) | Target::Remove(service, _) | Target::Keep(service, _)
                if !(ours || self.may_take(entry, service)) =>
            {
                Verdict::Leave(Left::Unowned)
            }
            Target::Put(..) if entry.owner.is_none() && !ours => Verdict::Put(Reason::Unowned),
            Target::Put(..) => Verdict::Put(Reason::Differs),
            Target::Remove(_, evidence) => Verdict::Remove(Reason::Withdrawn, evidence),
            Target::Keep(_, Kept::Failed) if conclusions.cleans(self, entry) => {
                Verdict::Remove(Reason::Dangling, Evidence::List)
            }
            Target::Keep(..) => marking(mark, entry, Left::Kept),
            Target::Nothing => self.abandoned(entry, situation, conclusions),
        }
    }

    /// The next write for an entry without a container that does not belong to another owner.
    fn abandoned(&self, entry: &Entry, situation: &Situation<'_>, conclusions: &Conclusions) -> Verdict {
        let Some(unknown) = &conclusions.all_but else { return Verdict::Leave(Left::Undecided) };
        // With -owner-meta=false, only this run knows what it wrote.
        let owned = entry.owner.is_some() || situation.ours;
        let removed_with_its_container = owned && self.deregister != Deregister::Never;
        let cleaned = conclusions.cleanup && (owned || self.made_here(entry));
        if removed_with_its_container || cleaned {
            if unknown.iter().any(|unknown| self.may_offer(unknown, entry)) {
                return Verdict::Leave(Left::Undecided);
            }
            Verdict::Remove(Reason::Dangling, Evidence::List)
        } else if owned {
            marking(situation.mark, entry, Left::Kept)
        } else {
            Verdict::Leave(Left::Unowned)
        }
    }

    /// Whether an entry is ours to remove or mark at shutdown.
    pub(super) fn owns(&self, entry: &Entry, target: Target<'_>, ours: bool) -> bool {
        let desired = match target {
            Target::Put(service, _) | Target::Keep(service, _) | Target::Remove(service, _) => {
                ours || self.may_take(entry, service)
            }
            Target::Nothing => false,
        };
        self.foreign(entry).is_none() && (entry.owner.is_some() || desired)
    }

    /// The owner of an entry, if it is another one.
    pub(super) fn foreign<'a>(&self, entry: &'a Entry) -> Option<&'a Arc<str>> {
        entry.owner.as_ref().filter(|owner| **owner != self.owner)
    }

    /// Whether an entry of ours, or without an owner, may be taken over for this service. A person may have registered
    /// an ID that a container claims with `SERVICE_ID`; such an entry is not changed.
    fn may_take(&self, entry: &Entry, service: &Service) -> bool {
        entry.owner.is_some()
            || self.adopt
            || self.made_here(entry)
            || entry.content.as_deref().is_some_and(|content| says_the_same(content, service))
    }

    /// Whether an entry's ID has this host's form.
    fn made_here(&self, entry: &Entry) -> bool {
        self.container_of(&entry.service_id).is_some()
    }

    /// The container's name in an ID of this host's form: `<hostname>:<container name>:<digits>[:udp|:sctp]`.
    fn container_of<'a>(&self, id: &'a str) -> Option<&'a str> {
        let rest = id.strip_prefix(&self.hostname)?.strip_prefix(':')?;
        let rest = rest.strip_suffix(":udp").or_else(|| rest.strip_suffix(":sctp")).unwrap_or(rest);
        let (name, port) = rest.rsplit_once(':')?;
        let fits =
            !name.is_empty() && !name.contains(':') && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        fits.then_some(name)
    }

    /// Whether a container of which only this is known may offer the entry's service: a default ID contains the
    /// container's name, and any container may claim another ID.
    fn may_offer(&self, unknown: &Unknown, entry: &Entry) -> bool {
        match (self.container_of(&entry.service_id), &unknown.name) {
            (Some(container), Some(name)) => container == &**name,
            _ => true,
        }
    }
}

impl Conclusions {
    /// Whether `-cleanup` removes an entry of this host's form if it has no container.
    fn cleans(&self, rules: &Rules, entry: &Entry) -> bool {
        let known = |unknown: &Arc<[Unknown]>| !unknown.iter().any(|unknown| rules.may_offer(unknown, entry));
        self.cleanup && rules.made_here(entry) && self.all_but.as_ref().is_some_and(known)
    }
}

/// Whether an entry equals a service in what readers use: name, address and port.
fn says_the_same(content: &Content, service: &Service) -> bool {
    let Content { name, address, port, tags: _ } = content;
    (&**name, &**address, *port) == (&*service.name, &*service.address, service.port)
}

/// The write that corrects an entry's mark. An external writer's mark is left alone.
fn marking(mark: Option<Mark>, entry: &Entry, right: Left) -> Verdict {
    match (mark, entry.marked) {
        (Some(mark), Marked::No) => Verdict::Mark(mark),
        (None, Marked::Ours) => Verdict::Unmark,
        _ => Verdict::Leave(right),
    }
}
