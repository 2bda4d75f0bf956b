//! The command line: from arguments to validated settings.
//!
//! `options` is one table. The parser (`read`), the usage, the man page, the shell completions and `docs/reference.md`
//! (`render`) are made from it, so they always agree. Parsing each value (`typed`) and combining the values
//! (`settings`) are two steps.
//!
//! No command line library is used: the replaced program uses Go's style (one dash before long names, booleans without
//! a separate value). A parser for it is short, and a library's completions would offer another spelling than the
//! documents.

mod options;
mod read;
mod render;
mod settings;
mod tables;
mod typed;

use std::ffi::OsString;
use std::sync::Arc;

use self::typed::Question;
use crate::config::{Config, Environment};
use crate::event::Event;

#[cfg(test)]
mod tests;

/// What `-version` prints and the log's first line says.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Printed instead of running, with the exit code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// For the standard output.
    pub stdout: String,
    /// For the standard error.
    pub stderr: String,
    /// The exit code.
    pub code: u8,
}

/// Why a command line is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Invalid {
    /// It cannot be parsed: the reason, the usage line and where to find help; exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It can be parsed, but the settings contradict each other: one line, exit code 1.
    #[error("{0}")]
    Rule(String),
}

/// Parses the arguments (without the program's name) and the environment.
///
/// `machine` is the machine's host name, the default of `-hostname`.
///
/// # Errors
/// The answer to print instead of running: to a question such as `-help`, or about a mistake.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Arc<Environment>,
    machine: &str,
) -> Result<Config, Answer> {
    let typed = read::read(arguments, environment).map_err(refuse)?;
    if let Some(question) = typed.question {
        return Err(answer(question));
    }
    settings::settle(typed, environment, machine).map_err(refuse)
}

/// Advice about the environment; the program runs despite it.
#[must_use]
pub fn advice(environment: &Environment) -> Vec<Event> {
    read::unknown_variables(environment).map(|text| Event::Advice { about: "unknown variable", text }).collect()
}

fn answer(question: Question) -> Answer {
    match question {
        Question::Help => Answer { stdout: render::usage(), ..Answer::default() },
        Question::Version => Answer { stdout: format!("{VERSION}\n"), ..Answer::default() },
        Question::Generate(document) => Answer { stdout: render::document(document), ..Answer::default() },
    }
}

fn refuse(invalid: Invalid) -> Answer {
    match invalid {
        Invalid::Usage(reason) => {
            Answer { stderr: format!("registrator: {reason}\n{}", render::hint()), code: 2, ..Answer::default() }
        }
        Invalid::Rule(reason) => Answer { stderr: format!("{reason}\n"), code: 1, ..Answer::default() },
    }
}
