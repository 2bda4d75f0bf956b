//! The file of settings: TOML, whose keys are the names of options. Pure.
//!
//! Only what the file says is read here; each value is then checked as one on the command line is.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::options::{OPTIONS, Opt, Takes};
use crate::config::REGISTRIES;
use crate::nearest::nearest;

/// What a key sets.
#[derive(Clone, Copy, Debug)]
pub(super) enum Key {
    /// A registry.
    Registries,
    /// An option.
    Option(&'static Opt),
}

/// One value of a file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: Key,
    /// The value as one would type it on the command line.
    pub(super) text: String,
    /// Its line, from 1 on.
    pub(super) line: usize,
}

/// Why a file cannot be used. Displays as it follows the file's name and a colon.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    line: usize,
    reason: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.reason)
    }
}

/// Reads a file of settings, in its own order.
///
/// # Errors
/// All mistakes that are not about the value of an option, in the order of the file.
pub(super) fn parse(text: &str) -> Result<Vec<Entry>, Vec<Mistake>> {
    let lines = Lines(text);
    let table = DeTable::parse(text).map_err(|error| {
        // Its own display repeats the line, which may hold a password.
        vec![Mistake { line: lines.of(&error.span().unwrap_or_default()), reason: one_line(error.message()) }]
    })?;
    let mut entries = Vec::new();
    let mut mistakes = Vec::new();
    for (key, value) in table.get_ref() {
        let line = lines.of(&key.span());
        match read(key.get_ref(), value, &lines) {
            Ok(read) => entries.extend(read),
            Err(reason) => mistakes.push(Mistake { line, reason }),
        }
    }
    if mistakes.is_empty() {
        entries.sort_by_key(|entry| entry.line);
        Ok(entries)
    } else {
        mistakes.sort_by_key(|mistake| mistake.line);
        Err(mistakes)
    }
}

/// Reads one key.
fn read(key: &str, value: &Spanned<DeValue<'_>>, lines: &Lines<'_>) -> Result<Vec<Entry>, String> {
    let line = lines.of(&value.span());
    if key == REGISTRIES {
        let wrong = || format!("{REGISTRIES} is a list of URIs: {REGISTRIES} = [\"consul://127.0.0.1:8500\"]");
        let DeValue::Array(array) = value.get_ref() else { return Err(wrong()) };
        let uri = |item: &Spanned<DeValue<'_>>| match item.get_ref() {
            DeValue::String(text) => {
                Ok(Entry { key: Key::Registries, text: text.clone().into_owned(), line: lines.of(&item.span()) })
            }
            _ => Err(wrong()),
        };
        return array.iter().map(uri).collect();
    }
    let option = OPTIONS.iter().find(|option| option.name == key).ok_or_else(|| unknown(key))?;
    if !option.is_in_files() {
        return Err(format!("{key} is not for a file; give -{key} on the command line"));
    }
    let text = match (option.takes, value.get_ref()) {
        (Takes::Flag, DeValue::Boolean(on)) => on.to_string(),
        (Takes::Flag, _) => return Err(format!("{key} is a switch: {key} = true, or false, without quotes")),
        (_, DeValue::String(text)) => text.clone().into_owned(),
        // 0x10 would be read as another text.
        (Takes::Value(_), DeValue::Integer(number)) if number.radix() == 10 => number.as_str().to_owned(),
        (Takes::Value(_), _) => return Err(format!("{key} takes a number or a text in quotes: {key} = \"...\"")),
        (Takes::Choice(_, words), _) => {
            return Err(format!("{key} takes one of \"{}\", in quotes", words.join("\", \"")));
        }
    };
    Ok(vec![Entry { key: Key::Option(option), text, line }])
}

fn unknown(key: &str) -> String {
    let shown = key.escape_debug();
    let bare = key.trim_start_matches('-');
    let names = || OPTIONS.iter().filter(|option| option.is_in_files()).map(|option| option.name);
    match nearest(bare, names().chain([REGISTRIES])) {
        Some(meant) => format!("there is no option {shown}; did you mean {meant}?"),
        None => format!("there is no option {shown}; registrator -help lists them"),
    }
}

/// The lines of a text.
struct Lines<'a>(&'a str);

impl Lines<'_> {
    /// The line in which a range begins, from 1 on.
    fn of(&self, range: &Range<usize>) -> usize {
        let before = self.0.as_bytes().get(..range.start).unwrap_or(self.0.as_bytes());
        1 + before.iter().filter(|byte| **byte == b'\n').count()
    }
}

/// The parser's own words on one line.
fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.contains(char::is_control) { words.escape_debug().to_string() } else { words }
}
