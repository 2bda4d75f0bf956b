//! `confd.toml`: top-level keys, in confd's spelling or its fork's. Pure.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::layer::Layer;
use super::options::{FORKS_KEYS, OPTIONS, Opt, Takes, Value, by_key, plain};
use crate::nearest::nearest;

/// What a file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct File {
    /// The values.
    pub layer: Layer,
    /// What is odd in it, one line each, as it follows the file's name and a colon.
    pub warnings: Vec<String>,
}

/// Reads the text of a file.
///
/// # Errors
/// The first mistake, as it follows the file's name and a colon: `LINE: REASON`.
pub fn parse(text: &str) -> Result<File, String> {
    let table = DeTable::parse(text).map_err(|error| {
        // Its own display repeats the line, which may hold a password.
        let words = error.message().split_whitespace().collect::<Vec<_>>().join(" ");
        format!("{}: {}", line(text, &error.span().unwrap_or_default()), words.escape_debug())
    })?;
    let mut file = File::default();
    let mut rows: Vec<_> = table.get_ref().iter().collect();
    rows.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in rows {
        let at = line(text, &key.span());
        let Some(option) = by_key(key.get_ref()) else {
            file.warnings.push(format!("{at}: {}", unknown(key.get_ref())));
            continue;
        };
        file.layer.set(option.name, read(option, value).map_err(|reason| format!("{at}: {reason}"))?);
    }
    Ok(file)
}

fn read(option: &Opt, value: &Spanned<DeValue<'_>>) -> Result<Value, String> {
    let key = option.key.unwrap_or(option.flag);
    let text = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
        DeValue::String(text) => Some(text.clone().into_owned()),
        _ => None,
    };
    let read = match (option.takes, value.get_ref()) {
        (Takes::Switch, DeValue::Boolean(on)) => Some(Value::Switch(*on)),
        (Takes::Number, DeValue::Integer(number)) => {
            i64::from_str_radix(number.as_str(), number.radix()).ok().map(Value::Number)
        }
        (Takes::Text, _) => text(value).map(Value::Text),
        (Takes::List, DeValue::Array(items)) => items.iter().map(text).collect::<Option<_>>().map(Value::List),
        (Takes::List, _) => text(value).map(|one| Value::List(vec![one])),
        _ => None,
    };
    read.ok_or_else(|| {
        let example = match option.takes {
            Takes::Switch => format!("{key} = true, or false"),
            Takes::Number => format!("{key} = 60"),
            Takes::Text => format!("{key} = \"...\""),
            Takes::List => format!("{key} = [\"...\"]"),
        };
        format!("{key} has a value of another kind; it is written as {example}")
    })
}

fn unknown(key: &str) -> String {
    let shown = key.escape_debug();
    if FORKS_KEYS.contains(&plain(key).as_str()) {
        return format!("{shown} is of confd's fork and has no effect here");
    }
    let names = OPTIONS.iter().filter_map(|option| option.key);
    match nearest(key, names) {
        Some(meant) => format!("{shown} is no key that is known here, and is ignored; did you mean {meant}?"),
        None => format!("{shown} is no key that is known here, and is ignored"),
    }
}

/// The line in which a range begins, from 1 on.
fn line(text: &str, range: &Range<usize>) -> usize {
    let before = text.as_bytes().get(..range.start).unwrap_or(text.as_bytes());
    1 + before.iter().filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::options::Name;
    use super::*;

    #[test]
    fn the_documented_example_is_read() {
        let file = parse(
            "backend = \"etcd\"\nclient_cert = \"/etc/confd/ssl/client.crt\"\nclient_key = \"/etc/confd/ssl/client.key\"\n\
             confdir = \"/etc/confd\"\nlog-level = \"debug\"\ninterval = 600\nnodes = [\n  \"http://127.0.0.1:4001\",\n]\n\
             noop = false\nprefix = \"/production\"\nscheme = \"https\"\nsrv_domain = \"etcd.example.com\"\n",
        )
        .unwrap();
        assert_eq!(file.warnings, [""; 0]);
        assert_eq!(file.layer.text(Name::Backend), Some("etcd"));
        assert_eq!(file.layer.text(Name::ClientCert), Some("/etc/confd/ssl/client.crt"));
        assert_eq!(file.layer.text(Name::LogLevel), Some("debug"));
        assert_eq!(file.layer.number(Name::Interval), Some(600));
        assert_eq!(file.layer.list(Name::Node), Some(&["http://127.0.0.1:4001".to_owned()][..]));
        assert_eq!(file.layer.switch(Name::Noop), Some(false));
        assert_eq!(file.layer.text(Name::SrvDomain), Some("etcd.example.com"));
    }

    #[test]
    fn an_unknown_key_is_a_warning_with_the_nearest_and_the_rest_counts() {
        let file = parse("prefx = \"/a\"\nkeep_stage_file = true\nretry_max_attempts = 5\nqwertyuiop = 1\n").unwrap();
        assert_eq!(
            file.warnings,
            [
                "1: prefx is no key that is known here, and is ignored; did you mean prefix?",
                "3: retry_max_attempts is of confd's fork and has no effect here",
                "4: qwertyuiop is no key that is known here, and is ignored",
            ]
        );
        assert_eq!(file.layer.switch(Name::KeepStageFile), Some(true));
    }

    #[test]
    fn a_mistake_is_named_with_its_line_and_without_the_value() {
        for (text, reason) in [
            ("\ninterval = \"soon\"\n", "2: interval has a value of another kind; it is written as interval = 60"),
            ("watch = 1\n", "1: watch has a value of another kind; it is written as watch = true, or false"),
            ("nodes = [1]\n", "1: nodes has a value of another kind; it is written as nodes = [\"...\"]"),
            ("a = 1\nprefix = true\n", "2: prefix has a value of another kind; it is written as prefix = \"...\""),
        ] {
            assert_eq!(parse(text), Err(reason.to_owned()), "{text:?}");
        }
        let broken = parse("a = 1\npassword = \"sesame\n").unwrap_err();
        assert!(broken.starts_with("2: ") && !broken.contains("sesame"), "{broken}");
    }

    proptest! {
        #[test]
        fn no_text_panics_and_every_line_prints(text in "(?s)([a-z_]{0,8}( ?= ?(1|true|\"x\"|\\[\"y\"\\]|.{0,4}))?\n?){0,4}") {
            match parse(&text) {
                Ok(file) => prop_assert!(file.warnings.iter().all(|line| !line.contains(char::is_control))),
                Err(reason) => prop_assert!(!reason.contains(char::is_control), "{:?}", reason),
            }
        }
    }
}
