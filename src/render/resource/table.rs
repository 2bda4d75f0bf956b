//! A table of a TOML file whose values know where they stand. Keys are found in any case, as BurntSushi/toml finds them.

use std::ops::Range;
use std::time::Duration;

use registrator_words::duration;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Place, Setting};
use crate::nearest::nearest;

/// A value with its key.
pub(super) struct Item<'t> {
    /// The key as written.
    pub(super) key: &'t str,
    pub(super) place: Place,
    pub(super) value: &'t DeValue<'t>,
}

/// A mistake in a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mistake {
    pub(super) place: Place,
    pub(super) reason: String,
}

/// The text of a file.
#[derive(Clone, Copy)]
pub(super) struct Text<'a>(pub(super) &'a str);

impl Text<'_> {
    /// Where a range begins.
    pub(super) fn place(self, range: &Range<usize>) -> Place {
        let before = self.0.get(..range.start).unwrap_or(self.0);
        let line = before.rsplit('\n').next().unwrap_or_default();
        Place { line: 1 + before.matches('\n').count(), column: 1 + line.chars().count() }
    }
}

/// The items of a table, each key in lower case and once: an exact spelling wins over another case.
pub(super) fn items<'t>(table: &'t DeTable<'t>, text: Text<'_>) -> Vec<(String, Item<'t>)> {
    let mut items: Vec<(String, Item<'t>)> = Vec::new();
    for (key, value) in table {
        let item = Item { key: key.get_ref(), place: text.place(&key.span()), value: value.get_ref() };
        let name = key.get_ref().to_lowercase();
        match items.iter_mut().find(|(known, _)| *known == name) {
            Some((_, before)) if *key.get_ref() == name => *before = item,
            Some(_) => {}
            None => items.push((name, item)),
        }
    }
    items.sort_by_key(|(_, item)| item.place);
    items
}

/// What is said of a key that means nothing here.
pub(super) fn unknown(key: &str, known: impl IntoIterator<Item = &'static str>) -> String {
    let shown = key.escape_debug();
    match nearest(key, known) {
        Some(meant) => format!("the key {shown} is unknown and has no effect; did you mean {meant}?"),
        None => format!("the key {shown} is unknown and has no effect"),
    }
}

impl<'t> Item<'t> {
    fn wrong(&self, takes: &str) -> Mistake {
        Mistake { place: self.place, reason: format!("{} takes {takes}", self.key.escape_debug()) }
    }

    pub(super) fn mistake(&self, reason: String) -> Mistake {
        Mistake { place: self.place, reason }
    }

    pub(super) fn text(&self) -> Result<&'t str, Mistake> {
        match self.value {
            DeValue::String(text) => Ok(text),
            _ => Err(self.wrong("a text in quotes")),
        }
    }

    pub(super) fn texts(&self) -> Result<Vec<String>, Mistake> {
        let wrong = || self.wrong("a list of texts: [\"/one\", \"/two\"]");
        let DeValue::Array(array) = self.value else { return Err(wrong()) };
        array
            .iter()
            .map(|item| match item.get_ref() {
                DeValue::String(text) => Ok(text.clone().into_owned()),
                _ => Err(wrong()),
            })
            .collect()
    }

    pub(super) fn flag(&self) -> Result<bool, Mistake> {
        match self.value {
            DeValue::Boolean(on) => Ok(*on),
            _ => Err(self.wrong("true or false, without quotes")),
        }
    }

    pub(super) fn number(&self) -> Result<i64, Mistake> {
        let read = match self.value {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        read.ok_or_else(|| self.wrong("a whole number, without quotes"))
    }

    /// A number from 0 on; `None` for -1.
    pub(super) fn id(&self) -> Result<Option<u32>, Mistake> {
        match self.number()? {
            -1 => Ok(None),
            number => {
                u32::try_from(number).map(Some).map_err(|_| self.wrong("a number from 0 on, or -1 for the default"))
            }
        }
    }

    pub(super) fn duration(&self) -> Result<Duration, Mistake> {
        let read = duration::parse(self.text()?);
        read.ok_or_else(|| self.wrong("a duration with its unit: \"500ms\", \"30s\", \"1m30s\""))
    }

    pub(super) fn setting(&self) -> Result<Setting, Mistake> {
        match self.value {
            DeValue::String(text) => Ok(Setting::Text(text.clone().into_owned())),
            DeValue::Boolean(on) => Ok(Setting::Flag(*on)),
            DeValue::Integer(_) => self.number().map(Setting::Number),
            DeValue::Array(_) => self.texts().map(Setting::List),
            _ => Err(self.wrong("a text, a list of texts, a number, true or false")),
        }
    }

    pub(super) fn table(&self) -> Result<&'t DeTable<'t>, Mistake> {
        match self.value {
            DeValue::Table(table) => Ok(table),
            _ => Err(self.mistake(format!("{0} is a table: [{0}]", self.key.escape_debug()))),
        }
    }
}

/// Parses a whole file.
pub(super) fn parse<'a>(text: &'a str) -> Result<Spanned<DeTable<'a>>, Mistake> {
    DeTable::parse(text).map_err(|error| {
        // Its own display repeats the line, which may hold a password.
        let place = Text(text).place(&error.span().unwrap_or_default());
        Mistake { place, reason: one_line(error.message()) }
    })
}

/// The parser's own words on one line.
fn one_line(text: &str) -> String {
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if words.contains(char::is_control) { words.escape_debug().to_string() } else { words }
}
