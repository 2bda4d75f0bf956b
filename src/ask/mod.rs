//! Questions at the keyboard: each command's answer, one file each.
//!
//! A command writes its answer to the standard output, and its failure as one line to the standard error. [`run`] is the
//! only place that knows all commands.

pub mod check;
mod config_check;
mod config_show;
mod containers;
pub mod doctor;
pub mod dump;
mod explain;
mod healthcheck;
mod plan;
mod registries;
pub mod rights;
mod services;
mod source;
mod style;
mod support_dump;
mod table;
mod validate;
mod watch;

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use crate::cli::{Ask, Command, Format};

/// What a command found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// All is well: 0.
    Well,
    /// It is not: 1.
    Failed,
    /// Something is to be done: 2.
    ToDo,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Well => 0,
            Exit::Failed => 1,
            Exit::ToDo => 2,
        })
    }
}

/// Why a question has no answer: one line that says what to do, without secrets. Exit code 1.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// It cannot be answered.
    #[error("{0}")]
    Failed(String),
    /// The answer cannot be printed.
    #[error("the answer cannot be printed: {0}")]
    Print(#[from] io::Error),
}

/// Answers a question on the standard output, and returns the exit code.
#[must_use]
pub fn run(ask: &Ask) -> ExitCode {
    let mut out = BufWriter::new(io::stdout().lock());
    let outcome = answer(ask, &mut out).and_then(|exit| Ok(out.flush().map(|()| exit)?));
    match outcome {
        Ok(exit) => exit.into(),
        // Whoever reads the answer has seen enough.
        Err(Error::Print(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "registrator: {error}");
            ExitCode::FAILURE
        }
    }
}

fn answer(ask: &Ask, out: &mut dyn Write) -> Result<Exit, Error> {
    match &ask.command {
        Command::Explain { container } => explain::run(ask, container, out),
        Command::Plan => plan::run(ask, out),
        Command::Services => services::run(ask, out),
        Command::Containers => containers::run(ask, out),
        Command::Registries => registries::run(ask, out),
        Command::Watch => watch::run(ask, out),
        Command::Validate { file } => validate::run(ask, file, out),
        Command::Check => check::run(ask, out),
        Command::Doctor => doctor::run(ask, out),
        Command::ConfigShow => config_show::run(ask, out),
        Command::ConfigCheck { problems } => config_check::run(ask, problems, out),
        Command::SupportDump => support_dump::run(ask, out),
        Command::Healthcheck => healthcheck::run(ask, out),
    }
}

/// Prints a value as JSON, on lines of its own.
fn print_json(out: &mut dyn Write, value: &serde_json::Value) -> Result<(), Error> {
    // A value always serializes.
    let text = serde_json::to_string_pretty(value).unwrap_or_default();
    Ok(writeln!(out, "{text}")?)
}
