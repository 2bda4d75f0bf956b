//! Reads arguments and variables into what was typed.

use std::ffi::OsString;
use std::fmt;

use super::Invalid;
use super::options::{OPTIONS, Opt, Takes};
use super::typed::{Bad, Typed};
use crate::config::Environment;
use crate::nearest::nearest;

/// Where a value was typed.
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

/// Reads arguments, then the environment for what they leave open. A question ends the reading.
pub(super) fn read(arguments: impl IntoIterator<Item = OsString>, environment: &Environment) -> Result<Typed, Invalid> {
    let mut typed = Typed::default();
    let mut given: Vec<&'static str> = Vec::new();
    let mut arguments = arguments.into_iter().map(text);
    let mut options_ended = false;
    while let Some(argument) = arguments.next().transpose()? {
        let Some(spelled) = argument.strip_prefix('-').filter(|rest| !options_ended && !rest.is_empty()) else {
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
        let uris = environment.get("REGISTRATOR_URI").unwrap_or_default();
        typed.uris = uris.split_whitespace().map(str::to_owned).collect();
    }
    Ok(typed)
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
