//! The values of options, as Traefik parses them.

use registrator_words::duration;
use serde_json::{Value as Json, json};

/// The longest value that is taken, in bytes.
const LONGEST: usize = 16 << 10;

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// Texts, separated by commas.
    List,
    /// True or false, as Go spells them.
    Bool,
    /// A whole number.
    Int,
    /// A time as Go writes it, or a number of seconds.
    Duration,
    /// An object that may be empty: `true` makes it, `false` removes it.
    Switch,
}

impl Kind {
    /// What is wanted, for a message.
    pub(crate) fn wanted(self) -> &'static str {
        match self {
            Self::Text | Self::List => "it must be a text",
            Self::Bool | Self::Switch => "it must be true or false",
            Self::Int => "it must be a whole number",
            Self::Duration => "it must be a duration such as 10s or 500ms, or a number of seconds",
        }
    }
}

/// A value of an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    /// A text.
    Text(String),
    /// Texts, in order.
    List(Vec<String>),
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A duration as Go parses it.
    Duration(String),
    /// An object without options.
    Switch,
    /// The default rule of this container, which the settings decide.
    DefaultRule,
}

/// The result of reading a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// It has this value.
    Is(Value),
    /// The same as without the label.
    Unset,
    /// The object is switched off.
    Off,
}

impl Value {
    /// Reads a value; `None` if it is not of this kind.
    pub(crate) fn read(kind: Kind, text: &str) -> Option<Read> {
        let value = match kind {
            Kind::Text if text.is_empty() => return Some(Read::Unset),
            Kind::Text => Self::Text(text.to_owned()),
            Kind::List => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                let parts: Vec<_> = parts.map(str::to_owned).collect();
                if parts.is_empty() {
                    return Some(Read::Unset);
                }
                Self::List(parts)
            }
            Kind::Bool => Self::Bool(bool_of(text)?),
            Kind::Int => Self::Int(text.parse().ok()?),
            Kind::Duration => Self::Duration(duration_of(text)?),
            Kind::Switch => match bool_of(text) {
                Some(false) => return Some(Read::Off),
                Some(true) => Self::Switch,
                None => return None,
            },
        };
        Some(Read::Is(value))
    }

    /// As Traefik reads it from a store: what follows the option's key, and the value there.
    pub(crate) fn spelt(&self) -> Vec<(Option<String>, String)> {
        let alone = |text: String| vec![(None, text)];
        match self {
            Self::Text(text) | Self::Duration(text) => alone(text.clone()),
            Self::Bool(on) => alone(on.to_string()),
            Self::Int(number) => alone(number.to_string()),
            Self::Switch => alone("true".to_owned()),
            // Never left unresolved; an empty rule is a router without one.
            Self::DefaultRule => alone(String::new()),
            Self::List(parts) => {
                // Traefik orders these numbers as texts.
                let width = parts.len().saturating_sub(1).to_string().len();
                let numbered = parts.iter().enumerate();
                numbered.map(|(at, part)| (Some(format!("{at:0width$}")), part.clone())).collect()
            }
        }
    }

    pub(crate) fn json(&self) -> Json {
        match self {
            Self::Text(text) | Self::Duration(text) => json!(text),
            Self::List(parts) => json!(parts),
            Self::Bool(on) => json!(on),
            Self::Int(number) => json!(number),
            Self::Switch => json!({}),
            Self::DefaultRule => json!(""),
        }
    }
}

/// Whether a value is short enough to be read at all.
pub(crate) fn fits(text: &str) -> bool {
    text.len() <= LONGEST
}

/// As Go's `strconv.ParseBool`.
pub(crate) fn bool_of(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A duration as Go parses it; a bare number is seconds.
fn duration_of(text: &str) -> Option<String> {
    // In seconds, so that it stays within what Go's nanoseconds can say.
    if let Ok(seconds) = text.parse::<i32>() {
        return Some(format!("{seconds}s"));
    }
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    // Traefik's parser would take a second sign as a fault.
    if unsigned.len() < text.len() && unsigned.starts_with(['+', '-']) {
        return None;
    }
    duration::parse(unsigned).map(|_| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_traefik_does_or_not_at_all() {
        let is = |value| Some(Read::Is(value));
        let texts = |parts: &[&str]| Value::List(parts.iter().map(|part| (*part).to_owned()).collect());
        for (kind, text, expected) in [
            (Kind::Text, "Host(`a`)", is(Value::Text("Host(`a`)".to_owned()))),
            (Kind::Text, "", Some(Read::Unset)),
            (Kind::List, "a, b,,c", is(texts(&["a", "b", "c"]))),
            (Kind::List, " , ", Some(Read::Unset)),
            (Kind::Bool, "True", is(Value::Bool(true))),
            (Kind::Bool, "0", is(Value::Bool(false))),
            (Kind::Bool, "yes", None),
            (Kind::Bool, "", None),
            (Kind::Int, "-42", is(Value::Int(-42))),
            (Kind::Int, "9223372036854775808", None),
            (Kind::Int, "1.5", None),
            (Kind::Int, "notanumber", None),
            (Kind::Int, "", None),
            (Kind::Duration, "10", is(Value::Duration("10s".to_owned()))),
            (Kind::Duration, "1m30s", is(Value::Duration("1m30s".to_owned()))),
            (Kind::Duration, "-1ms", is(Value::Duration("-1ms".to_owned()))),
            (Kind::Duration, "--1ms", None),
            (Kind::Duration, "-+1ms", None),
            (Kind::Duration, "99999999999999", None),
            (Kind::Duration, "ten", None),
            (Kind::Switch, "true", is(Value::Switch)),
            (Kind::Switch, "false", Some(Read::Off)),
            (Kind::Switch, "maybe", None),
        ] {
            assert_eq!(Value::read(kind, text), expected, "{kind:?} {text:?}");
        }
    }

    #[test]
    fn the_parts_of_a_long_list_keep_their_order_where_numbers_are_compared_as_texts() {
        let list = Value::List((0..12).map(|number| number.to_string()).collect());
        let mut spelt = list.spelt();
        assert_eq!(spelt[2], (Some("02".to_owned()), "2".to_owned()));
        spelt.sort();
        let values: Vec<_> = spelt.into_iter().map(|(_, value)| value).collect();
        assert_eq!(values.join(","), "0,1,2,3,4,5,6,7,8,9,10,11");
        assert_eq!(Value::List(vec!["a".to_owned()]).spelt(), [(Some("0".to_owned()), "a".to_owned())]);
    }
}
