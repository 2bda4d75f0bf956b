//! Why a template of a file, or of a command, cannot be used. In Go's words, so that people find them.

use std::fmt;

use super::engine::{Failure, one_line};

/// The longest reason that is shown, in characters.
const LONGEST_REASON: usize = 500;

/// A template that does not parse, or that failed. Prints as one line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// It is not Go's language, or names a function that does not exist.
    #[error("template: {0}: {reason}", reason = .0.reason)]
    Parse(Box<Fault>),
    /// It failed on this data.
    #[error(
        "template: {0}: executing {template:?} at <{piece}>: {reason}",
        template = .0.template, piece = .0.piece, reason = .0.reason
    )]
    Execute(Box<Fault>),
    /// It is not UTF-8.
    #[error("template: {name}: byte {offset} is not UTF-8: write the template in UTF-8")]
    NotUtf8 {
        /// The template's name.
        name: String,
        /// The first byte that is not, counted from 0.
        offset: usize,
    },
}

impl TemplateError {
    pub(super) fn parse(name: &str, failure: Failure) -> Self {
        Self::Parse(Box::new(Fault::parse(name, failure)))
    }

    pub(super) fn execute(name: &str, failure: Failure) -> Self {
        Self::Execute(Box::new(Fault::execute(name, failure)))
    }

    /// At a place of the file itself.
    pub(super) fn at(name: &str, place: (usize, usize), reason: String) -> Self {
        Self::parse(name, Failure { place: Some(place), template: name.to_owned(), piece: String::new(), reason })
    }

    pub(super) fn not_utf8(name: &str, offset: usize) -> Self {
        Self::NotUtf8 { name: one_line(name, LONGEST_REASON), offset }
    }
}

/// What is wrong, and where. Prints as the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file's name, as [`super::FileTemplate::parse`] was given it.
    pub name: String,
    /// The line and the column (in characters), both counted from 1, if known.
    pub place: Option<(usize, usize)>,
    /// The template that failed: the file, or one that it defines.
    pub template: String,
    /// The piece of the template that failed, in one line.
    pub piece: String,
    /// The reason, in one line.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        self.place.map_or(Ok(()), |(line, column)| write!(f, ":{line}:{column}"))
    }
}

impl Fault {
    fn parse(name: &str, failure: Failure) -> Self {
        let reason = parse_reason(&failure.reason);
        Self::of(name, failure, &reason)
    }

    fn execute(name: &str, failure: Failure) -> Self {
        let reason = execute_reason(&failure);
        Self::of(name, failure, &reason)
    }

    fn of(name: &str, failure: Failure, reason: &str) -> Self {
        Self {
            name: one_line(name, LONGEST_REASON),
            place: failure.place,
            template: one_line(&failure.template, LONGEST_REASON),
            piece: failure.piece,
            reason: one_line(reason, LONGEST_REASON),
        }
    }
}

/// The engine's reason in Go's words.
fn parse_reason(reason: &str) -> String {
    let function = reason.strip_prefix("function ").and_then(|rest| rest.strip_suffix(" not defined"));
    match (function, reason.strip_prefix("undefined variable ")) {
        (Some(name), _) => format!("function {name:?} not defined"),
        (None, Some(name)) => format!("undefined variable {name:?}"),
        (None, None) => reason.to_owned(),
    }
}

/// The engine's reason in Go's words, without the values that the engine quotes: they may be all that a store holds.
fn execute_reason(failure: &Failure) -> String {
    let reason = failure.reason.as_str();
    let field = || failure.piece.rsplit('.').next().unwrap_or_default();
    if let Some((field, _)) = reason.strip_prefix("no field `").and_then(|rest| rest.split_once('`')) {
        return format!("can't evaluate field {field} in this value");
    }
    if reason == "only maps and objects have fields" {
        return format!("can't evaluate field {} in a value that has no fields", field());
    }
    if reason.starts_with("range can't iterate over ") {
        return "range can't iterate over this value".to_owned();
    }
    if let Some(name) = reason.strip_prefix("template ").and_then(|rest| rest.strip_suffix(" not defined")) {
        return format!("template {name:?} not defined");
    }
    reason.to_owned()
}
