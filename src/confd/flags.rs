//! The command line, as Go's package `flag` reads it (<https://pkg.go.dev/flag>): one dash or two, `-x v` or `-x=v`,
//! booleans only as `-x` or `-x=v`; the first word without a dash ends the options. Pure.

use super::layer::Layer;
use super::options::{Name, OPTIONS, Opt, Takes, Value, by_flag};
use crate::nearest::nearest;
use crate::render::source::Backend;

/// What the command line says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// The values.
    pub layer: Layer,
    /// The words behind the options, which mean nothing.
    pub ignored: Vec<String>,
}

/// Why the command line cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlagError {
    /// It asks for help.
    #[error("")]
    Help,
    /// It is wrong: in the words of Go's package.
    #[error("{0}")]
    Wrong(String),
}

/// Reads the arguments, without the program's name. The name of a back end may stand first, as with the live fork of
/// confd.
///
/// # Errors
/// When they ask for help, or cannot be read.
pub fn parse(arguments: &[String]) -> Result<Flags, FlagError> {
    let mut flags = Flags::default();
    let mut left = arguments.iter();
    let mut first = true;
    while let Some(argument) = left.next() {
        if std::mem::take(&mut first) && Backend::named(argument).is_some() {
            flags.layer.set(Name::Backend, Value::Text(argument.clone()));
            continue;
        }
        let Some(text) = argument.strip_prefix('-').filter(|text| !text.is_empty()) else {
            flags.ignored.push(argument.clone());
            break;
        };
        let text = match text.strip_prefix('-') {
            Some("") => break,
            Some(text) => text,
            None => text,
        };
        if text.is_empty() || text.starts_with(['-', '=']) {
            return Err(FlagError::Wrong(format!("bad flag syntax: {argument}")));
        }
        let (flag, given) = match text.split_once('=') {
            Some((flag, value)) => (flag, Some(value)),
            None => (text, None),
        };
        let Some(option) = by_flag(flag) else {
            return Err(match flag {
                "h" | "help" => FlagError::Help,
                _ => FlagError::Wrong(unknown(flag)),
            });
        };
        let value = match (option.takes, given) {
            (Takes::Switch, None) => Value::Switch(true),
            (_, Some(text)) => value(option, text)?,
            (_, None) => match left.next() {
                Some(text) => value(option, text)?,
                None => return Err(FlagError::Wrong(format!("flag needs an argument: -{flag}"))),
            },
        };
        flags.layer.add(option.name, value);
    }
    flags.ignored.extend(left.cloned());
    Ok(flags)
}

fn value(option: &Opt, text: &str) -> Result<Value, FlagError> {
    let flag = option.flag;
    match option.takes {
        Takes::Switch => boolean(text)
            .map(Value::Switch)
            .ok_or_else(|| FlagError::Wrong(format!("invalid boolean value {text:?} for -{flag}: parse error"))),
        Takes::Number => number(text)
            .map(Value::Number)
            .ok_or_else(|| FlagError::Wrong(format!("invalid value {text:?} for flag -{flag}: parse error"))),
        Takes::Text => Ok(Value::Text(text.to_owned())),
        Takes::List => Ok(Value::List(vec![text.to_owned()])),
    }
}

/// A boolean in Go's spellings.
#[must_use]
pub fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// A whole number as Go's package reads one: decimal, or with the prefix of another base.
#[must_use]
pub fn number(text: &str) -> Option<i64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let lower = digits.to_ascii_lowercase();
    let (radix, digits) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, &lower[2..]),
        [b'0', b'b', ..] => (2, &lower[2..]),
        [b'0', b'o', ..] => (8, &lower[2..]),
        [b'0', _, ..] => (8, &lower[1..]),
        _ => (10, &lower[..]),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return None;
    }
    let number = i64::from_str_radix(digits, radix).ok()?;
    Some(if negative { -number } else { number })
}

fn unknown(flag: &str) -> String {
    let shown = flag.escape_debug();
    let names = OPTIONS.iter().map(|option| option.flag);
    match nearest(flag, names) {
        Some(meant) => format!("flag provided but not defined: -{shown} (did you mean -{meant}?)"),
        None => format!("flag provided but not defined: -{shown}"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(line: &str) -> Result<Flags, String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn one_dash_or_two_with_or_without_an_equals_sign_is_all_the_same() {
        let expected = parsed("-backend consul").unwrap();
        assert_eq!(expected.layer.text(Name::Backend), Some("consul"));
        for line in ["--backend consul", "-backend=consul", "--backend=consul", "consul", "consul --backend consul"] {
            assert_eq!(parsed(line), Ok(parsed("-backend consul").unwrap()), "{line}");
        }
    }

    #[test]
    fn a_boolean_takes_its_value_only_behind_an_equals_sign() {
        for (line, expected) in [
            ("-watch", true),
            ("-watch=true", true),
            ("-watch=T", true),
            ("-watch=1", true),
            ("-watch=0", false),
            ("-watch=f", false),
            ("-watch -watch=False", false),
        ] {
            assert_eq!(parsed(line).unwrap().layer.switch(Name::Watch), Some(expected), "{line}");
        }
        let apart = parsed("-watch false -onetime").unwrap();
        assert_eq!(apart.layer.switch(Name::Watch), Some(true));
        assert_eq!(apart.layer.switch(Name::Onetime), None);
        assert_eq!(apart.ignored, ["false", "-onetime"]);
    }

    #[test]
    fn a_node_may_be_given_several_times_and_of_another_option_the_last_counts() {
        let flags = parsed("-node a -node=b -prefix x -prefix y --").unwrap();
        assert_eq!(flags.layer.list(Name::Node), Some(&["a".to_owned(), "b".to_owned()][..]));
        assert_eq!(flags.layer.text(Name::Prefix), Some("y"));
    }

    #[test]
    fn a_number_is_read_in_gos_bases() {
        for (text, expected) in [
            ("10", Some(10)),
            ("0x1F", Some(31)),
            ("010", Some(8)),
            ("-5", Some(-5)),
            ("+5", Some(5)),
            ("0b11", Some(3)),
        ] {
            assert_eq!(number(text), expected, "{text}");
        }
        for text in ["", "ten", "1.5", "0x", "--5", "9223372036854775808", "08", "5s"] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_gos_words() {
        for (line, reason) in [
            ("-nope", "flag provided but not defined: -nope (did you mean -node?)"),
            ("-zzzzzzzzzz", "flag provided but not defined: -zzzzzzzzzz"),
            ("-one-time", "flag provided but not defined: -one-time (did you mean -onetime?)"),
            ("-interval", "flag needs an argument: -interval"),
            ("-interval soon", "invalid value \"soon\" for flag -interval: parse error"),
            ("-watch=maybe", "invalid boolean value \"maybe\" for -watch: parse error"),
            ("---watch", "bad flag syntax: ---watch"),
            ("-=watch", "bad flag syntax: -=watch"),
        ] {
            assert_eq!(parsed(line), Err(reason.to_owned()), "{line}");
        }
        assert_eq!(parse(&["-h".to_owned()]), Err(FlagError::Help));
        assert_eq!(parse(&["-onetime".to_owned(), "--help".to_owned()]), Err(FlagError::Help));
    }

    proptest! {
        #[test]
        fn no_command_line_panics(arguments in proptest::collection::vec("-{0,3}(node|watch|interval|x|)?=?(?s).{0,4}", 0..6)) {
            let _ = parse(&arguments);
        }
    }
}
