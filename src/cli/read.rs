//! Parses arguments and environment variables.

use std::ffi::OsString;
use std::fmt;
use std::iter;

use super::Invalid;
use super::options::{OPTIONS, Opt, Takes};
use super::typed::{Bad, Typed};
use crate::config::Environment;
use crate::nearest::nearest;

/// The prefix of our options' variables.
const PREFIX: &str = "REGISTRATOR_";

/// The variable for the URIs.
const URI: &str = "REGISTRATOR_URI";

/// The source of a value.
enum Source {
    Argument(&'static Opt),
    Variable(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Argument(option) => write!(f, "-{}", option.name),
            Self::Variable(variable) => f.write_str(variable),
        }
    }
}

/// Parses the arguments, then the environment for options that were not given. Stops at a question.
pub(super) fn read(arguments: impl IntoIterator<Item = OsString>, environment: &Environment) -> Result<Typed, Invalid> {
    let mut typed = Typed::default();
    let mut given: Vec<&'static str> = Vec::new();
    let mut arguments = arguments.into_iter().map(text);
    let mut options_ended = false;
    let mut switch_before: Option<&'static Opt> = None;
    while let Some(argument) = arguments.next().transpose()? {
        let Some(spelled) = argument.strip_prefix('-').filter(|rest| !options_ended && !rest.is_empty()) else {
            if let Some(switch) = switch_before.filter(|_| matches!(argument.as_str(), "true" | "false")) {
                return Err(value_apart(switch, &argument));
            }
            switch_before = None;
            typed.uris.push(argument);
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
        set(&mut typed, option, &value, &Source::Argument(option))?;
        if typed.question.is_some() {
            return Ok(typed);
        }
        given.push(option.name);
    }
    for option in OPTIONS.iter().filter(|option| !given.contains(&option.name)) {
        let Some(variable) = option.variable() else { continue };
        if let Some(value) = environment.get(&variable) {
            set(&mut typed, option, value, &Source::Variable(variable))?;
        }
    }
    if typed.uris.is_empty() {
        let uris = environment.get(URI).unwrap_or_default();
        typed.uris = uris.split_whitespace().map(str::to_owned).collect();
    }
    Ok(typed)
}

/// One line for each variable that looks like an option's but is none.
pub(super) fn unknown_variables(environment: &Environment) -> impl Iterator<Item = String> {
    let known: Vec<String> = OPTIONS.iter().filter_map(Opt::variable).chain(iter::once(URI.to_owned())).collect();
    let names = environment.names().filter(|name| name.starts_with(PREFIX));
    let unknown: Vec<_> = names.filter(|name| !known.iter().any(|known| known == name)).collect();
    unknown.into_iter().map(move |name| {
        // The common prefix would make all names look similar.
        let own = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
        let candidates: Vec<String> = known.iter().map(|known| own(known)).collect();
        let meant = nearest(&own(name), candidates.iter().map(String::as_str));
        let hint = match meant {
            Some(meant) => format!("did you mean {PREFIX}{meant}?"),
            None => "registrator -help lists the options".to_owned(),
        };
        format!("{} is the variable of no option, and ignored; {hint}", name.escape_debug())
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

fn set(typed: &mut Typed, option: &Opt, value: &str, source: &Source) -> Result<(), Invalid> {
    (option.set)(typed, value).map_err(|bad| match bad {
        Bad::Value(reason) => Invalid::Usage(format!("invalid value {value:?} for {source}: {reason}")),
        Bad::Rule(rule) => Invalid::Rule(format!("{source} {rule}")),
    })
}

fn unknown(name: &str) -> Invalid {
    let typed = name.escape_debug();
    Invalid::Usage(match nearest(name, OPTIONS.iter().map(|option| option.name)) {
        Some(meant) => format!("unknown option -{typed}; did you mean -{meant}?"),
        None => format!("unknown option -{typed}"),
    })
}
