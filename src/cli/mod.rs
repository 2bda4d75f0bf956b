//! The command line: from arguments, variables and a file to validated settings.
//!
//! `options` and `commands` are one table each. The parser (`read`), the usage, the man page, the shell completions and
//! `docs/reference.md` (`render`) are made from them, so they always agree. Parsing each value (`typed`) and combining
//! the values (`settings`) are two steps. `changes` compares the settings of two readings.
//!
//! No command line library is used: the replaced program uses Go's style (one dash before long names, booleans without
//! a separate value). A parser for it is short, and a library's completions would offer another spelling than the
//! documents.

mod changes;
mod commands;
mod file;
mod options;
mod read;
mod render;
mod settings;
mod tables;
mod typed;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

pub use self::changes::{Change, changes};
pub use self::commands::{Ask, Command, Format};
use self::commands::{Needs, Row};
use self::read::{Asked, Reading};
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

/// What the command line asks for.
#[derive(Clone, Debug)]
pub enum Parsed {
    /// To run as a daemon.
    Run(Box<Config>),
    /// To answer a question.
    Ask(Box<Ask>),
}

impl Parsed {
    /// The settings, whatever is asked.
    #[must_use]
    pub fn into_config(self) -> Config {
        match self {
            Self::Run(config) => *config,
            Self::Ask(ask) => ask.config,
        }
    }
}

/// Reads a whole file of settings.
pub type Files<'a> = dyn Fn(&Path) -> io::Result<String> + 'a;

/// The maximum size of a file of settings, in bytes. More is a mistake, or a device without an end.
const LARGEST_FILE: u64 = 1 << 20;

/// Why a command line is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum Invalid {
    /// It cannot be parsed: the reason, the usage line and where to find help; exit code 2.
    #[error("{0}")]
    Usage(String),
    /// It can be parsed, but the settings contradict each other: one line, exit code 1.
    #[error("{0}")]
    Rule(String),
    /// No registry is named; as for `Usage`.
    #[error("Missing required argument for registry URI.")]
    NoRegistry,
    /// There is no such command; exit code 64.
    #[error("{0}")]
    Command(String),
}

/// The exit code of a command that is called in a wrong way (`EX_USAGE` of sysexits.h).
const MISUSED: u8 = 64;

/// Parses the arguments (without the program's name) and the environment, and reads the file of `-config`.
///
/// `machine` is the machine's host name, the default of `-hostname`.
///
/// # Errors
/// The answer to print instead of running: to a question such as `-help`, or about a mistake.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Arc<Environment>,
    machine: &str,
) -> Result<Parsed, Answer> {
    parse_with(arguments, environment, machine, &read_file)
}

/// As [`parse`], with another way to read the file of `-config`.
///
/// # Errors
/// As for [`parse`].
pub fn parse_with(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Arc<Environment>,
    machine: &str,
    files: &Files<'_>,
) -> Result<Parsed, Answer> {
    let reading = read::read(arguments, environment, files);
    if let Some(question) = reading.typed.question {
        return Err(answer(question));
    }
    let (config, rules) = settings::settle(&reading, environment, machine);
    match reading.command {
        None => run(reading, config, rules).map_err(|invalid| refuse(&invalid)),
        Some(Asked::First(_)) => Err(refuse(&unfinished(&reading))),
        Some(Asked::Command { row, .. }) => ask(row, reading, config, rules)
            .map(|mut ask| {
                if let Command::ConfigCheck { problems } = &mut ask.command {
                    // One that resembles no option's belongs to another program.
                    let misspelt = read::unknown_variables(environment).filter(|unknown| unknown.meant.is_some());
                    problems.extend(misspelt.map(|unknown| unknown.to_string()));
                }
                Parsed::Ask(Box::new(ask))
            })
            .map_err(|invalid| misuse(row, &invalid)),
    }
}

fn read_file(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LARGEST_FILE + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LARGEST_FILE {
        return Err(io::Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

/// A run of the daemon, or a question that an option asks.
fn run(reading: Reading, config: Config, rules: Vec<Invalid>) -> Result<Parsed, Invalid> {
    let Reading { typed, problems, .. } = reading;
    let ignores = |problem: &Invalid| typed.healthcheck && *problem == Invalid::NoRegistry;
    if let Some(problem) = problems.into_iter().chain(rules).find(|problem| !ignores(problem)) {
        return Err(problem);
    }
    if typed.format.is_some() {
        return Err(Invalid::Usage(
            "-format is an option of commands, as in registrator services -format json".to_owned(),
        ));
    }
    if typed.healthcheck {
        let status = config.status.address.clone();
        let format = Format::default();
        return Ok(Parsed::Ask(Box::new(Ask { command: Command::Healthcheck, format, status, config })));
    }
    Ok(Parsed::Run(Box::new(config)))
}

/// The question that a command asks.
fn ask(row: &'static Row, reading: Reading, config: Config, rules: Vec<Invalid>) -> Result<Ask, Invalid> {
    let Reading { typed, command, problems, .. } = reading;
    let argument = if let Some(Asked::Command { argument, .. }) = command { argument } else { None };
    let status = config.status.address.clone();
    let mut command = (row.make)(argument.clone().unwrap_or_default());
    let all = problems.into_iter().chain(rules);
    if let Command::ConfigCheck { problems } = &mut command {
        *problems = all.map(|problem| problem.to_string()).collect();
    } else if let Some(problem) = all.into_iter().find(|problem| *problem != Invalid::NoRegistry) {
        return Err(problem);
    }
    if argument.is_none() && !row.argument.is_empty() {
        return Err(Invalid::Usage(format!("{} is missing", row.argument)));
    }
    if config.registries.is_empty() {
        match row.needs {
            Needs::Registry => return Err(Invalid::Usage("it needs a registry's URI".to_owned())),
            Needs::RegistryOrStatus if status.is_none() => {
                let reason = "it needs a registry's URI, or -status ADDR of the running instance";
                return Err(Invalid::Usage(reason.to_owned()));
            }
            Needs::RegistryOrStatus | Needs::Nothing => {}
        }
    }
    Ok(Ask { command, format: typed.format.unwrap_or_default(), status, config })
}

/// The first word of a command of two, without its second; or a mistake before that.
fn unfinished(reading: &Reading) -> Invalid {
    let first = if let Some(Asked::First(first)) = &reading.command { first } else { "" };
    let names: Vec<_> = commands::names().filter(|name| name.split(' ').next() == Some(first)).collect();
    let reason = format!("{first} is no command by itself; the commands are {}", names.join(" and "));
    reading.problems.first().cloned().unwrap_or(Invalid::Command(reason))
}

/// Advice about the environment; the program runs despite it.
#[must_use]
pub fn advice(environment: &Environment) -> Vec<Event> {
    let lines = read::unknown_variables(environment).map(|unknown| unknown.to_string());
    lines.map(|text| Event::Advice { about: "unknown variable", text }).collect()
}

fn answer(question: Question) -> Answer {
    match question {
        Question::Help => Answer { stdout: render::usage(), ..Answer::default() },
        Question::HelpOf(row) => Answer { stdout: render::help(row), ..Answer::default() },
        Question::Version => Answer { stdout: format!("{VERSION}\n"), ..Answer::default() },
        Question::Generate(document) => Answer { stdout: render::document(document), ..Answer::default() },
    }
}

/// What the daemon says of a mistake.
fn refuse(invalid: &Invalid) -> Answer {
    let (stderr, code) = match invalid {
        Invalid::Usage(_) | Invalid::NoRegistry => (format!("registrator: {invalid}\n{}", render::hint()), 2),
        Invalid::Rule(reason) => (format!("{reason}\n"), 1),
        Invalid::Command(reason) => (format!("registrator: {reason}\nHelp: registrator help\n"), MISUSED),
    };
    Answer { stderr, code, ..Answer::default() }
}

/// What a command says of a mistake in its command line.
fn misuse(row: &Row, invalid: &Invalid) -> Answer {
    let mut stderr = format!("registrator {}: {invalid}\n", row.name);
    if !matches!(invalid, Invalid::Rule(_)) {
        stderr.push_str(&render::hint_of(row));
    }
    Answer { stderr, code: MISUSED, ..Answer::default() }
}
