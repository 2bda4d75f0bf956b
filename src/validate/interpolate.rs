//! Variables in a compose file: `$NAME`, `${NAME}`, `${NAME:-default}`; `$$` is a dollar sign.
//!
//! Their values are not known here, not even with a default, since another value may be set. Each expression gets a
//! stand-in: a plain word, the same one for the same expression.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

/// A text after interpolation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Text {
    /// The text, with stand-ins.
    pub(super) text: String,
    /// Whether there are no stand-ins in it.
    pub(super) known: bool,
}

/// The expressions of a file, by their stand-ins.
#[derive(Debug, Default)]
pub(super) struct Expressions(BTreeMap<String, String>);

impl Expressions {
    /// Interpolates a text.
    pub(super) fn interpolate(&mut self, text: &str) -> Text {
        let mut result = String::with_capacity(text.len());
        let mut known = true;
        let mut rest = text;
        while let Some(dollar) = rest.find('$') {
            result.push_str(&rest[..dollar]);
            rest = &rest[dollar..];
            let length = expression(rest);
            match length {
                // `$$`
                2 if rest.starts_with("$$") => result.push('$'),
                1 => result.push('$'),
                _ => {
                    known = false;
                    result.push_str(&self.stand_in(&rest[..length]));
                }
            }
            rest = &rest[length..];
        }
        result.push_str(rest);
        Text { text: result, known }
    }

    fn stand_in(&mut self, expression: &str) -> String {
        let mut hasher = DefaultHasher::new();
        expression.hash(&mut hasher);
        let stand_in = format!("{FIRST}{:015x}", hasher.finish() >> 4);
        self.0.insert(stand_in.clone(), expression.to_owned());
        stand_in
    }

    /// A text for people: with the expressions instead of their stand-ins.
    pub(super) fn spoken(&self, text: &str) -> String {
        let mut spoken = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(FIRST) {
            spoken.push_str(&rest[..at]);
            rest = &rest[at..];
            let known = rest.get(..STAND_IN).and_then(|stand_in| Some((stand_in, self.0.get(stand_in)?)));
            let length = match known {
                Some((stand_in, expression)) => {
                    spoken.extend(expression.escape_debug());
                    stand_in.len()
                }
                None => {
                    spoken.push(FIRST);
                    FIRST.len_utf8()
                }
            };
            rest = &rest[length..];
        }
        spoken.push_str(rest);
        spoken
    }
}

/// The maximum length of an expression, in characters.
const LONGEST: usize = 4096;

/// The first letter of a stand-in; hexadecimal digits follow.
const FIRST: char = 'v';

/// The length of a stand-in.
const STAND_IN: usize = 16;

/// The length of the expression at the beginning of a text, which is a dollar sign.
fn expression(text: &str) -> usize {
    let behind = &text[1..];
    let mut characters = behind.chars();
    match characters.next() {
        Some('$') => 2,
        Some('{') => {
            let mut depth = 0_usize;
            for (at, character) in text.char_indices().take(LONGEST) {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 1 => return at + 1,
                    '}' => depth -= 1,
                    _ => {}
                }
            }
            // Without an end, it is no expression.
            1
        }
        Some(first) if first.is_ascii_alphabetic() || first == '_' => {
            let end = behind.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(behind.len());
            1 + end
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_expression_has_its_own_stand_in() {
        for (text, known, spoken) in [
            ("plain", true, "plain"),
            ("", true, ""),
            ("a$$b", true, "a$b"),
            ("$5 and $", true, "$5 and $"),
            ("${open", true, "${open"),
            ("$A-x", false, "$A-x"),
            ("web-${ENV:-${OTHER:-dev}}.x", false, "web-${ENV:-${OTHER:-dev}}.x"),
            ("${A}${A}", false, "${A}${A}"),
        ] {
            let mut expressions = Expressions::default();
            let interpolated = expressions.interpolate(text);
            assert_eq!(interpolated.known, known, "{text}");
            assert_eq!(expressions.spoken(&interpolated.text), spoken);
        }
        let mut expressions = Expressions::default();
        let [a, also_a, b] = ["${A}", "${A}", "${B}"].map(|text| expressions.interpolate(text).text);
        assert_eq!(a, also_a);
        assert_ne!(a, b);
        assert!(a.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }

    proptest! {
        #[test]
        fn what_is_spoken_is_what_was_written(text in "([$]|[{]|[}]|[a-zA-Z0-9_:é-]){0,30}") {
            let mut expressions = Expressions::default();
            let interpolated = expressions.interpolate(&text);
            prop_assert_eq!(interpolated.known, expressions.0.is_empty());
            if !text.contains("$$") {
                prop_assert_eq!(expressions.spoken(&interpolated.text), text);
            }
        }
    }
}
