//! `output_format`: a rendered text must be what its reader will take it for, or the file keeps its last good content.

use saphyr_parser::Parser;
use serde::de::IgnoredAny;
use toml::de::DeTable;

use super::resource::{Format, Place};

/// Why a text is not of its format. Displays as `line:column: reason`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct Malformed {
    /// Where in the rendered text.
    pub place: Place,
    /// Why, without quoting the text, which may hold a secret.
    pub reason: String,
}

/// Checks a rendered text.
///
/// # Errors
/// When it does not parse.
pub fn check(format: Format, text: &str) -> Result<(), Malformed> {
    match format {
        Format::Json => json(text),
        Format::Yaml => yaml(text),
        Format::Toml => toml(text),
    }
}

fn json(text: &str) -> Result<(), Malformed> {
    serde_json::from_str::<IgnoredAny>(text).map(drop).map_err(|error| {
        let said = error.to_string();
        let reason = said.rsplit_once(" at line ").map_or(said.as_str(), |(reason, _)| reason).to_owned();
        Malformed { place: Place { line: error.line(), column: error.column() }, reason }
    })
}

fn yaml(text: &str) -> Result<(), Malformed> {
    for event in Parser::new_from_str(text) {
        if let Err(error) = event {
            let marker = error.marker();
            let place = Place { line: marker.line(), column: marker.col() + 1 };
            return Err(Malformed { place, reason: error.info().to_owned() });
        }
    }
    Ok(())
}

fn toml(text: &str) -> Result<(), Malformed> {
    DeTable::parse(text).map(drop).map_err(|error| {
        let start = error.span().unwrap_or_default().start;
        let before = text.get(..start).unwrap_or(text);
        let line = before.rsplit('\n').next().unwrap_or_default();
        let place = Place { line: 1 + before.matches('\n').count(), column: 1 + line.chars().count() };
        Malformed { place, reason: error.message().split_whitespace().collect::<Vec<_>>().join(" ") }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_parses_is_taken() {
        for (format, text) in [
            (Format::Json, "{\"a\": [1, 2, null]}\n"),
            (Format::Json, "1"),
            (Format::Yaml, "a:\n  - b\n  - c: 1\n"),
            (Format::Yaml, ""),
            (Format::Toml, "[a]\nb = 1\n"),
            (Format::Toml, ""),
        ] {
            assert_eq!(check(format, text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_does_not_parse_is_named_by_its_place() {
        for (format, text, place) in [
            (Format::Json, "{\"a\": 1,\n\"b\" 2}", "2:5"),
            (Format::Json, "", "1:0"),
            (Format::Json, "{} x", "1:4"),
            (Format::Yaml, "a: [1\nb: 2", "2:2"),
            (Format::Toml, "[a]\nb = ", "2:5"),
        ] {
            let error = check(format, text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{place}: ")), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics_and_each_reason_is_one_line(text in "[\\PC\n]{0,60}") {
            for format in [Format::Json, Format::Yaml, Format::Toml] {
                if let Err(error) = check(format, &text) {
                    prop_assert!(!error.to_string().contains('\n'));
                }
            }
        }
    }
}
