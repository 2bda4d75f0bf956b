//! The command line: from what was typed to validated settings.
//!
//! `options` is one table. From it come the parser (`read`), the usage, the man page, the shell
//! completions and `docs/reference.md` (`render`), so that none of them can lag behind. What was
//! typed (`typed`) and what it means together (`settings`) are two steps.
//!
//! No library for command lines is used: Go's style (one dash before long names, booleans without
//! a separate value) is what the replaced program speaks, its parser is short, and completions
//! made by a library would offer a spelling that no document uses.

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

/// What is printed instead of running, and how the process then ends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// For the standard output.
    pub stdout: String,
    /// For the standard error.
    pub stderr: String,
    /// The exit code.
    pub code: u8,
}

/// Why a command line cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Invalid {
    /// It cannot be read: the reason, how it is called and where help is; exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It can be read, and makes no sense: one line, exit code 1.
    #[error("{0}")]
    Rule(String),
}

/// Reads the arguments (without the program's name) and the environment.
///
/// `machine` is the machine's host name, the default of `-hostname`.
///
/// # Errors
/// The answer to print instead of running: to a question such as `-help`, or to a mistake.
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

/// What is worth saying of the environment, though the program runs with it.
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
