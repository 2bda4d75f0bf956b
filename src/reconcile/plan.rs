//! The plan: what would be written now, what is left alone, and why. A value.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::registry::Write;

/// The writes that are due, and counts of all that is left alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The writes, ordered by key.
    pub writes: Vec<Write>,
    /// How many keys are left alone, by reason.
    pub left: BTreeMap<Left, usize>,
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
