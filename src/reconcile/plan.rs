//! The plan: what would be written now, what is left alone, and why. A value.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::event::Counts;
use crate::registry::{Action, Content, Reason, Write};

/// The writes that are due, and counts of all that is left alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The writes, ordered by key.
    pub writes: Vec<Planned>,
    /// How many keys are left alone, by reason.
    pub left: BTreeMap<Left, usize>,
}

/// One write that is due.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The write.
    pub write: Write,
    /// The content of the entry as it was read, if it was kept.
    pub found: Option<Content>,
}

impl Plan {
    /// How many writes there are, by what they do.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        self.writes.iter().for_each(|planned| count(&mut counts, &planned.write));
        counts
    }

    /// How many entries are left alone because they belong to others.
    #[must_use]
    pub fn of_others(&self) -> usize {
        let others = |left: &Left| matches!(left, Left::Foreign | Left::InTheWay(_) | Left::Unowned);
        self.left.iter().filter(|(left, _)| others(left)).map(|(_, count)| count).sum()
    }
}

/// Counts one more write.
pub(super) fn count(counts: &mut Counts, write: &Write) {
    *match (&write.action, write.reason) {
        (Action::Put(_), Reason::Missing) => &mut counts.add,
        (Action::Put(_), Reason::Unowned) => &mut counts.take_over,
        (Action::Put(_), _) => &mut counts.change,
        (Action::Remove(_), _) => &mut counts.remove,
        (Action::Mark(..) | Action::Unmark(_), _) => &mut counts.mark,
    } += 1;
}

/// Why nothing is written for a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    /// The entry is as desired.
    Right,
    /// The entry belongs to another owner, and no container here claims its key.
    Foreign,
    /// The entry belongs to another owner and blocks a service of ours. Holds that owner.
    InTheWay(Arc<str>),
    /// The entry has no owner and was not made by this host; only `-adopt` takes it over.
    Unowned,
    /// The entry stays as it is, although its container no longer serves.
    Kept,
    /// The entry has no known container, but some containers could not be described.
    Undecided,
    /// The registry's policy is to remove nothing.
    Protected,
    /// The registry refused the write; it is tried again later.
    Refused,
    /// Another instance rewrites the entry under our owner's name; ours is written again later.
    Contested,
    /// The removal guard waits for the engine's answer.
    Held,
    /// The registry removed it by its own rule.
    Reaped,
    /// The entry came back after its removal: another instance registers it under our owner's name.
    Reappeared,
    /// A write is in progress.
    InFlight,
}

impl Left {
    /// A word for it, for programs.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Right => "right",
            Self::Foreign => "foreign",
            Self::InTheWay(_) => "in_the_way",
            Self::Unowned => "unowned",
            Self::Kept => "kept",
            Self::Undecided => "undecided",
            Self::Protected => "protected",
            Self::Refused => "refused",
            Self::Contested => "contested",
            Self::Held => "held",
            Self::Reaped => "reaped",
            Self::Reappeared => "reappeared",
            Self::InFlight => "in_flight",
        }
    }

    /// What it means, for people.
    #[must_use]
    pub fn in_words(&self) -> &'static str {
        match self {
            Self::Right => "as they should be",
            Self::Foreign => "of other owners",
            Self::InTheWay(_) => "of other owners, where services of ours should be: give those another SERVICE_ID",
            Self::Unowned => "without an owner and not of this host: -adopt takes them over",
            Self::Kept => "kept, although their containers no longer serve",
            Self::Undecided => "without a known container, but some containers could not be described yet",
            Self::Protected => "protected: policy=upsert-only allows no removal",
            Self::Refused => "refused by the registry, and tried again",
            Self::Contested => "rewritten by another instance with our owner's name: give each its own -owner",
            Self::Held => "held by the removal guard until Docker was asked again",
            Self::Reaped => "removed by the registry's own rule (CHECK_DEREGISTER_AFTER)",
            Self::Reappeared => "back after their removal: another instance registers them under our owner's name",
            Self::InFlight => "being written",
        }
    }
}
