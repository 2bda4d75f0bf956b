//! One thing that is wrong in a file.

use std::fmt;

use crate::service::notes::quote_key;
use crate::yaml::Position;

/// One thing that is wrong. Displays as one line, as it follows the file's name and a colon.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// Where it is.
    pub at: Position,
    /// The compose service or container that it is about.
    pub subject: String,
    /// What kind of thing it is.
    pub kind: Kind,
    /// What happens as the file is.
    pub text: String,
    /// The line to change, or what to do; may be empty.
    pub fix: String,
}

/// The kinds of findings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A key that is probably misspelt.
    Key,
    /// A value that cannot be used as it is.
    Value,
    /// An ID that several services have.
    Clash,
    /// A name, ID or attribute that a registry or DNS refuses.
    Name,
    /// A port that would not be registered.
    Port,
}

impl Kind {
    /// A word for it, for programs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Value => "value",
            Self::Clash => "clash",
            Self::Name => "name",
            Self::Port => "port",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at: Position { line, column }, subject, kind: _, text, fix } = self;
        write!(f, "{line}:{column}: {}: {text}", quote_key(subject))?;
        if fix.is_empty() { Ok(()) } else { write!(f, "; {fix}") }
    }
}
