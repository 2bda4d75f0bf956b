//! The health of an instance, and its changes, as values.

use std::fmt;
use std::sync::Arc;

/// How an instance is, as one of its checks says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// All is well.
    Passing,
    /// Not as it should be, but it serves.
    Warning,
    /// It does not serve.
    Critical,
    /// It was critical for so long that nobody is told of it.
    Withdrawn,
    /// Its check has not looked yet; readers are told what it begins with.
    Unchecked,
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passing => "passing",
            Self::Warning => "warning",
            Self::Critical => "critical",
            Self::Withdrawn => "withdrawn",
            Self::Unchecked => "not checked yet",
        })
    }
}

/// Which of its checks says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The check that was asked for.
    Check,
    /// Docker's HEALTHCHECK.
    Docker,
}

/// The health of an instance changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthChange {
    /// The ID of the instance.
    pub id: Arc<str>,
    /// Who says so.
    pub source: Source,
    /// How it was when that was last told; as it is now where it changed back.
    pub from: Condition,
    /// How it is.
    pub to: Condition,
    /// What the check found, as it came; empty where it has not looked yet.
    pub reason: String,
    /// How many changes this stands for, within a minute; mostly one.
    pub changes: u32,
}

/// What the catalog reports.
#[derive(Debug)]
pub(crate) enum Report {
    /// Something changed.
    Changed(HealthChange),
    /// An instance is no longer registered.
    Gone(Arc<str>),
}
