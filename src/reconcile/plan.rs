//! What would be written now, and what is left alone and why: a value.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::registry::Write;

/// The writes that are due, and counts of all that is left alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// What would be written, in the order of the keys.
    pub writes: Vec<Write>,
    /// How many keys are left alone, by why.
    pub left: BTreeMap<Left, usize>,
}

/// Why nothing is written for a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Left {
    /// The registry holds what it should.
    Right,
    /// The entry is another owner's, and no container here offers anything for it.
    Foreign,
    /// Another owner's entry is in the way of a service. Holds that owner.
    InTheWay(Arc<str>),
    /// The entry has no owner, and is not one of this host's: only `-adopt` takes it.
    Unowned,
    /// The entry stays as it is, though its container serves no longer.
    Kept,
    /// No container is behind it as far as is known, and not every container is known.
    Undecided,
    /// The registry's policy is to remove nothing.
    Protected,
    /// The registry refused the write; it is tried again later.
    Refused,
    /// Another instance rewrites the entry under our owner's name; it is written again later.
    Contested,
    /// The removal guard holds it until the engine was asked again.
    Held,
    /// The registry removed it by its own rule.
    Reaped,
    /// It is there again after it was removed; another instance registers it under our owner's name.
    Reappeared,
    /// A write is under way.
    InFlight,
}
