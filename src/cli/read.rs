//! Parses arguments, environment variables and the file of settings.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::iter;

use super::Invalid;
use super::commands::{self, HELP, Row};
use super::file::{self, Key};
use super::options::{OPTIONS, Opt, Takes};
use super::typed::{Bad, Question, Typed};
use super::{Files, tables};
use crate::config::{Environment, Origin};
use crate::nearest::nearest;
use crate::registry::redacted;

/// The prefix of our options' variables.
const PREFIX: &str = "REGISTRATOR_";

/// The variable for the URIs.
const URI: &str = "REGISTRATOR_URI";

/// All that was read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The options with their values or defaults, and the URIs.
    pub(super) typed: Typed,
    /// The options that were set: the text, and where it stands.
    pub(super) given: BTreeMap<&'static str, (String, Origin)>,
    /// Where each URI stands.
    pub(super) uri_origins: Vec<Origin>,
    /// The command, if one is asked.
    pub(super) command: Option<Asked>,
    /// All mistakes, the one first that is said of the daemon's command line.
    pub(super) problems: Vec<Invalid>,
}

/// A command as far as it is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// The first word of a command of two.
    First(String),
    /// A command, and its argument as soon as that is typed.
    Command { row: &'static Row, argument: Option<String> },
}

impl Asked {
    /// The command that a first word names; `None` if it is no command's.
    fn of(word: &str) -> Option<Self> {
        match commands::find(word) {
            Some(row) => Some(Self::Command { row, argument: None }),
            None => commands::is_first_of_two(word).then(|| Self::First(word.to_owned())),
        }
    }

    /// The command, if its name is complete.
    pub(super) fn row(&self) -> Option<&'static Row> {
        match self {
            Self::First(_) => None,
            Self::Command { row, .. } => Some(row),
        }
    }

    /// Takes a further word, if it is a part of the command; otherwise, the word is a URI.
    fn take(&mut self, word: &str) -> Result<bool, Invalid> {
        match self {
            Self::First(first) => {
                let name = format!("{first} {word}");
                let row = commands::find(&name).ok_or_else(|| no_command(&name))?;
                *self = Self::Command { row, argument: None };
                Ok(true)
            }
            Self::Command { row, argument: argument @ None } if !row.argument.is_empty() => {
                *argument = Some(word.to_owned());
                Ok(true)
            }
            Self::Command { .. } => Ok(false),
        }
    }
}

/// The source of a value.
enum Source {
    Argument(&'static Opt),
    Variable(String),
    File { path: String, line: usize, key: &'static str },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(option) => write!(f, "-{}", option.name),
            Self::Variable(variable) => f.write_str(variable),
            Self::File { path, line, key } => write!(f, "{}:{line}: {key}", path.escape_debug()),
        }
    }
}

impl Source {
    fn origin(self) -> Origin {
        match self {
            Self::Argument(_) => Origin::Option,
            Self::Variable(name) => Origin::Variable(name),
            Self::File { path, line, .. } => Origin::File { path, line },
        }
    }
}

/// Parses the arguments; then the environment for options that were not given; then the file of settings for what is
/// still not set. Stops at a question.
pub(super) fn read(
    arguments: impl IntoIterator<Item = OsString>,
    environment: &Environment,
    files: &Files<'_>,
) -> Reading {
    let mut reading = Reading::default();
    if let Err(problem) = reading.arguments(arguments) {
        reading.problems.push(problem);
    }
    if reading.typed.question.is_none() {
        reading.variables(environment);
        reading.file(files);
    }
    reading
}

impl Reading {
    /// Parses the arguments, up to a question or to what cannot be told apart.
    fn arguments(&mut self, arguments: impl IntoIterator<Item = OsString>) -> Result<(), Invalid> {
        let mut arguments = arguments.into_iter().map(text);
        let mut options_ended = false;
        let mut switch_before: Option<&'static Opt> = None;
        while let Some(argument) = arguments.next().transpose()? {
            let Some(spelled) = argument.strip_prefix('-').filter(|rest| !options_ended && !rest.is_empty()) else {
                if let Some(switch) = switch_before.filter(|_| matches!(argument.as_str(), "true" | "false")) {
                    return Err(value_apart(switch, &argument));
                }
                switch_before = None;
                if argument == HELP && self.command.is_none() && self.typed.uris.is_empty() && !options_ended {
                    let topic: Vec<_> = arguments.collect::<Result<_, _>>()?;
                    self.typed.question = Some(help_of(&topic)?);
                    return Ok(());
                }
                self.word(argument, options_ended)?;
                continue;
            };
            if spelled == "-" {
                options_ended = true;
                continue;
            }
            let spelled = spelled.strip_prefix('-').unwrap_or(spelled);
            let (name, attached) = match spelled.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (spelled, None),
            };
            let option = Opt::find(name).ok_or_else(|| unknown(name))?;
            switch_before = Some(option).filter(|option| option.takes == Takes::Flag && attached.is_none());
            let value = match (attached, option.takes) {
                (Some(value), _) => value,
                (None, Takes::Flag) => "true".to_owned(),
                (None, Takes::Value(_) | Takes::Choice(..)) => arguments
                    .next()
                    .transpose()?
                    .ok_or_else(|| Invalid::Usage(format!("-{name} needs a value: {}", option.synopsis())))?,
            };
            self.set(option, value, Source::Argument(option));
            match (self.typed.question, self.command.as_ref().and_then(Asked::row)) {
                (None, _) => {}
                // What came before the question is said first.
                (Some(_), _) if !self.problems.is_empty() => {
                    self.typed.question = None;
                    return Ok(());
                }
                (Some(Question::Help), Some(row)) => {
                    self.typed.question = Some(Question::HelpOf(row));
                    return Ok(());
                }
                (Some(_), _) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Takes an argument that is no option: a command, a part of one, or a URI.
    fn word(&mut self, word: String, options_ended: bool) -> Result<(), Invalid> {
        match &mut self.command {
            None if self.typed.uris.is_empty() && !options_ended => {
                self.command = Asked::of(&word);
                if self.command.is_some() {
                    return Ok(());
                }
                if let Some(hint) = meant(&word) {
                    return Err(Invalid::Rule(format!("unrecognized adapter: {}; {hint}", redacted(&word))));
                }
            }
            None => {}
            Some(asked) => {
                if asked.take(&word)? {
                    return Ok(());
                }
                if !word.contains(':') {
                    return Err(Invalid::Usage(format!("{} is no registry's URI", redacted(&word))));
                }
            }
        }
        self.typed.uris.push(word);
        self.uri_origins.push(Origin::Option);
        Ok(())
    }

    fn variables(&mut self, environment: &Environment) {
        for option in OPTIONS {
            let Some(variable) = option.variable().filter(|_| !self.given.contains_key(option.name)) else { continue };
            if let Some(value) = environment.get(&variable) {
                self.set(option, value.to_owned(), Source::Variable(variable));
            }
        }
        if self.typed.uris.is_empty() {
            let uris = environment.get(URI).unwrap_or_default();
            self.typed.uris = uris.split_whitespace().map(str::to_owned).collect();
            self.uri_origins = vec![Origin::Variable(URI.to_owned()); self.typed.uris.len()];
        }
    }

    /// Reads the file of `-config`, if there is one.
    fn file(&mut self, files: &Files<'_>) {
        let Some(path) = self.typed.config.clone() else { return };
        let shown = path.escape_debug().to_string();
        let text = match files(path.as_ref()) {
            Ok(text) => text,
            Err(error) => {
                let line = format!("{shown} cannot be read: {error}; -config names a file of settings in TOML");
                return self.problems.push(Invalid::Rule(line));
            }
        };
        let entries = match file::parse(&text) {
            Ok(entries) => entries,
            Err(mistakes) => {
                let said = |mistake: file::Mistake| Invalid::Rule(format!("{shown}:{mistake}"));
                return self.problems.extend(mistakes.into_iter().map(said));
            }
        };
        let mut uris = Vec::new();
        for entry in entries {
            let file::Entry { key, text, line } = entry;
            match key {
                Key::Registries => uris.push((text, Origin::File { path: path.clone(), line })),
                Key::Option(option) if self.given.contains_key(option.name) => {}
                Key::Option(option) => {
                    self.set(option, text, Source::File { path: path.clone(), line, key: option.name });
                }
            }
        }
        if self.typed.uris.is_empty() {
            (self.typed.uris, self.uri_origins) = uris.into_iter().unzip();
        }
    }

    /// Sets an option, or notes why that cannot be.
    fn set(&mut self, option: &'static Opt, value: String, source: Source) {
        match (option.set)(&mut self.typed, &value) {
            Ok(()) => {
                self.given.insert(option.name, (value, source.origin()));
            }
            Err(bad) => {
                self.problems.push(refused(&value, bad, &source));
                // The next source would only hide the mistake.
                self.given.insert(option.name, (option.default.to_owned(), Origin::Default));
            }
        }
    }
}

/// What is said of a value that an option does not take.
fn refused(value: &str, bad: Bad, source: &Source) -> Invalid {
    let in_file = matches!(source, Source::File { .. });
    // A URI that took the place of a forgotten value may hold a password.
    let is_uri = value.contains("://");
    let value = if is_uri { redacted(value) } else { value.to_owned() };
    match bad {
        Bad::Value(reason) if in_file => Invalid::Rule(format!("{source} = {value:?}: {reason}")),
        Bad::Value(reason) => Invalid::Usage(format!("invalid value {value:?} for {source}: {reason}")),
        Bad::Rule(rule) => Invalid::Rule(format!("{source} {rule}")),
    }
}

/// The question that `help` and these words ask.
fn help_of(topic: &[String]) -> Result<Question, Invalid> {
    let words: Vec<_> = topic.iter().map(String::as_str).filter(|word| !word.starts_with('-')).collect();
    if words.is_empty() {
        return Ok(Question::Help);
    }
    let name = words.join(" ");
    commands::find(&name).map(Question::HelpOf).ok_or_else(|| no_command(&name))
}

fn no_command(name: &str) -> Invalid {
    let typed = name.escape_debug();
    Invalid::Command(match commands::meant(name) {
        Some(meant) => format!("{typed} is no command; did you mean {meant}?"),
        None => {
            let names: Vec<_> = commands::names().collect();
            format!("{typed} is no command; the commands are {}", names.join(", "))
        }
    })
}

/// A hint about a first word that is neither a command nor a URI. None if a registry's scheme is as near as a command.
fn meant(word: &str) -> Option<String> {
    if word.contains(':') || matches!(word, "true" | "false") {
        return None;
    }
    let schemes = tables::REGISTRIES.iter().filter_map(|(form, _)| form.split(':').next());
    if nearest(word, schemes).is_some() {
        return None;
    }
    commands::meant(word).map(|meant| format!("did you mean registrator {meant}?"))
}

/// A variable that looks like an option's but is none. Displays as one line.
pub(super) struct UnknownVariable<'a> {
    name: &'a str,
    /// The variable that was probably meant.
    pub(super) meant: Option<String>,
}

impl fmt::Display for UnknownVariable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is the variable of no option, and ignored; ", self.name.escape_debug())?;
        match &self.meant {
            Some(meant) => write!(f, "did you mean {meant}?"),
            None => f.write_str("registrator -help lists the options"),
        }
    }
}

/// The variables that look like an option's but are none.
pub(super) fn unknown_variables(environment: &Environment) -> impl Iterator<Item = UnknownVariable<'_>> {
    let known: Vec<String> = OPTIONS.iter().filter_map(Opt::variable).chain(iter::once(URI.to_owned())).collect();
    let names = environment.names().filter(|name| name.starts_with(PREFIX));
    let unknown: Vec<_> = names.filter(|name| !known.iter().any(|known| known == name)).collect();
    unknown.into_iter().map(move |name| {
        // The common prefix would make all names look similar.
        let own = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
        let candidates: Vec<String> = known.iter().map(|known| own(known)).collect();
        let meant = nearest(&own(name), candidates.iter().map(String::as_str));
        UnknownVariable { name, meant: meant.map(|meant| format!("{PREFIX}{meant}")) }
    })
}

/// A switch with a separate value: the value would be read as a registry.
fn value_apart(switch: &Opt, word: &str) -> Invalid {
    let name = switch.name;
    Invalid::Rule(format!("unrecognized adapter: {word}; a switch takes its value with an equals sign: -{name}={word}"))
}

fn text(argument: OsString) -> Result<String, Invalid> {
    argument
        .into_string()
        .map_err(|raw| Invalid::Usage(format!("an argument is not UTF-8: {:?}", raw.to_string_lossy())))
}

fn unknown(name: &str) -> Invalid {
    let typed = name.escape_debug();
    Invalid::Usage(match nearest(name, OPTIONS.iter().map(|option| option.name)) {
        Some(meant) => format!("unknown option -{typed}; did you mean -{meant}?"),
        None => format!("unknown option -{typed}"),
    })
}
