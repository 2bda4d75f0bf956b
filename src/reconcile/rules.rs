//! What this owner may do to one entry, and what it should do next. Pure.

use std::sync::Arc;

use crate::config::{Deregister, OnShutdown};
use crate::desired::{Evidence, Kept, Unknown};
use crate::registry::{Content, Entry, Mark, Marked, Policy, Reason};
use crate::service::Service;

use super::plan::Left;

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
    /// Whether an entry without an owner is taken over whatever it is (`-adopt`).
    pub adopt: bool,
}

/// What should become of one key.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target<'a> {
    /// This service is to be there, marked for this reason.
    Put(&'a Arc<Service>, Option<Mark>),
    /// What is there stays; this service was it last.
    Keep(&'a Arc<Service>, Kept),
    /// This service was there, and is no longer offered.
    Remove(&'a Arc<Service>, Evidence),
    /// No container here ever offered anything for this key.
    Nothing,
}

/// What is known of one key when its next write is decided.
#[derive(Clone, Copy, Debug)]
pub(super) struct Situation<'a> {
    pub(super) target: Target<'a>,
    /// The [`Registry::fingerprint`](crate::registry::Registry::fingerprint) of the service that is to be there.
    pub(super) fingerprint: Option<u64>,
    /// The mark that the entry is to have; none where the registry has no marks.
    pub(super) mark: Option<Mark>,
    /// What the registry holds there.
    pub(super) actual: Option<&'a Entry>,
    /// Whether this run wrote that, or found it to be right.
    pub(super) ours: bool,
}

/// What may be concluded from no container being behind an entry.
#[derive(Clone, Debug, Default)]
pub(super) struct Conclusions {
    /// Every running container is known, but for these; and the registry was just read. `None`: nothing may be concluded.
    pub(super) all_but: Option<Arc<[Unknown]>>,
    /// An entry without an owner may go as well, if its ID is one that this host makes (`-cleanup`).
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
    /// Take our mark away.
    Unmark,
    /// Remove the entry.
    Remove(Reason, Evidence),
}

impl Rules {
    /// The next write for one key.
    pub(super) fn verdict(&self, situation: &Situation<'_>, conclusions: &Conclusions) -> Verdict {
        match (self.policy, self.sync(situation, conclusions)) {
            // What may not be removed can be marked.
            (Policy::UpsertOnly, Verdict::Remove(..)) => match (situation.mark, situation.actual) {
                (Some(mark), Some(entry)) => marking(Some(mark), entry, Left::Protected),
                _ => Verdict::Leave(Left::Protected),
            },
            (_, verdict) => verdict,
        }
    }

    /// The next write that makes the registry equal to what is desired.
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
            Target::Put(..) => Verdict::Put(Reason::Differs),
            Target::Remove(_, evidence) => Verdict::Remove(Reason::Withdrawn, evidence),
            Target::Keep(_, Kept::Failed) if conclusions.cleans(self, entry) => {
                Verdict::Remove(Reason::Dangling, Evidence::List)
            }
            Target::Keep(..) => marking(mark, entry, Left::Kept),
            Target::Nothing => self.abandoned(entry, situation, conclusions),
        }
    }

    /// The next write for an entry that is not another owner's, and that no container is behind.
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

    /// Whether an entry is ours to remove or mark when we stop.
    pub(super) fn owns(&self, entry: &Entry, target: Target<'_>, ours: bool) -> bool {
        let desired = match target {
            Target::Put(service, _) | Target::Keep(service, _) | Target::Remove(service, _) => {
                ours || self.may_take(entry, service)
            }
            Target::Nothing => false,
        };
        self.foreign(entry).is_none() && (entry.owner.is_some() || desired)
    }

    /// The owner of an entry, if it is another.
    pub(super) fn foreign<'a>(&self, entry: &'a Entry) -> Option<&'a Arc<str>> {
        entry.owner.as_ref().filter(|owner| **owner != self.owner)
    }

    /// Whether an entry of ours or of nobody may be taken for that of this service: an ID claimed by `SERVICE_ID` may
    /// have been registered by a person, whose entry is not touched.
    fn may_take(&self, entry: &Entry, service: &Service) -> bool {
        entry.owner.is_some()
            || self.adopt
            || self.made_here(entry)
            || entry.content.as_deref().is_some_and(|content| says_the_same(content, service))
    }

    /// Whether an entry's ID is one that this host makes.
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

    /// Whether a container of which only this is known may offer what the entry stands for: an ID of the host's form is
    /// that of one name, and any other may be claimed by anybody.
    fn may_offer(&self, unknown: &Unknown, entry: &Entry) -> bool {
        match (self.container_of(&entry.service_id), &unknown.name) {
            (Some(container), Some(name)) => container == &**name,
            _ => true,
        }
    }
}

impl Conclusions {
    /// Whether `-cleanup` removes an entry of this host's form, if no container is behind it.
    fn cleans(&self, rules: &Rules, entry: &Entry) -> bool {
        let known = |unknown: &Arc<[Unknown]>| !unknown.iter().any(|unknown| rules.may_offer(unknown, entry));
        self.cleanup && rules.made_here(entry) && self.all_but.as_ref().is_some_and(known)
    }
}

/// Whether an entry says of a service what readers go by: its name, address and port.
fn says_the_same(content: &Content, service: &Service) -> bool {
    let Content { name, address, port, tags: _ } = content;
    (&**name, &**address, *port) == (&*service.name, &*service.address, service.port)
}

/// The write that makes an entry's mark as it should be. An external writer's mark is left alone.
fn marking(mark: Option<Mark>, entry: &Entry, right: Left) -> Verdict {
    match (mark, entry.marked) {
        (Some(mark), Marked::No) => Verdict::Mark(mark),
        (None, Marked::Ours) => Verdict::Unmark,
        _ => Verdict::Leave(right),
    }
}
