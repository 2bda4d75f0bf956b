//! Keys of one YAML or JSON document. Pure.

use std::collections::BTreeMap;

use crate::render::source::clean;
use crate::yaml::{Budget, Kind, Node, Position, Unreadable, parse};

/// The most entries of one document.
const MOST: usize = 1_000_000;

/// Adds the keys of a document. An empty document has none.
///
/// # Errors
/// When it is no YAML, or not a map.
pub(super) fn keys(text: &str, keys: &mut BTreeMap<String, String>) -> Result<(), Unreadable> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
        return Ok(());
    }
    let root = parse(text)?;
    if root.text().is_none() && matches!(root.kind, Kind::Scalar { .. }) {
        return Ok(());
    }
    if !root.is_mapping() {
        return Err(Unreadable { at: root.at, reason: "it is no map of keys".to_owned() });
    }
    let mut walk = Walk { budget: Budget::default(), keys, left: MOST };
    walk.node(&root, "/")
}

struct Walk<'a> {
    budget: Budget,
    keys: &'a mut BTreeMap<String, String>,
    left: usize,
}

impl Walk<'_> {
    fn node(&mut self, node: &Node, key: &str) -> Result<(), Unreadable> {
        self.left = self.left.checked_sub(1).ok_or_else(|| too_much(node.at))?;
        match &node.kind {
            Kind::Scalar { text, plain } => {
                if let Some(value) = scalar(text, *plain) {
                    self.keys.insert(key.to_owned(), value);
                }
            }
            Kind::Sequence(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.node(item, &clean(&format!("{key}/{index}")))?;
                }
            }
            Kind::Mapping(_) => {
                let members: Vec<_> = {
                    let members = self.budget.members(node);
                    members.into_iter().map(|(name, _, value)| (name.to_owned(), value)).collect()
                };
                if !self.budget.spend() {
                    return Err(too_much(node.at));
                }
                for (name, value) in members {
                    self.node(value, &clean(&format!("{key}/{name}")))?;
                }
            }
        }
        Ok(())
    }
}

fn too_much(at: Position) -> Unreadable {
    Unreadable { at, reason: format!("it has more than {MOST} values") }
}

/// The value of a scalar, as confd's YAML library (yaml.v2, YAML 1.1) reads and prints it; `None` for null.
fn scalar(text: &str, plain: bool) -> Option<String> {
    if !plain {
        return Some(text.to_owned());
    }
    Some(match text {
        "" | "~" | "null" | "Null" | "NULL" => return None,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => "true".to_owned(),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => "false".to_owned(),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => "+Inf".to_owned(),
        "-.inf" | "-.Inf" | "-.INF" => "-Inf".to_owned(),
        ".nan" | ".NaN" | ".NAN" => "NaN".to_owned(),
        _ => integer(text).or_else(|| float(text)).unwrap_or_else(|| text.to_owned()),
    })
}

fn integer(text: &str) -> Option<String> {
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x', ..] => (16, &digits[2..]),
        [b'0', b'b', ..] => (2, &digits[2..]),
        [b'0', b'o', ..] => (8, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        return None;
    }
    let number = u64::from_str_radix(digits, radix).ok()?;
    Some(if number == 0 { "0".to_owned() } else { format!("{sign}{number}") })
}

fn float(text: &str) -> Option<String> {
    let plain = text.replace('_', "");
    let is_float = plain.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.'))
        && plain.contains(|c: char| c.is_ascii_digit())
        && plain.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E'));
    if !is_float {
        return None;
    }
    let number: f64 = plain.parse().ok().filter(|number: &f64| number.is_finite())?;
    Some(format!("{number}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Vec<String>, String> {
        let mut found = BTreeMap::new();
        keys(text, &mut found).map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(|(key, value)| format!("{key}={value}")).collect())
    }

    #[test]
    fn maps_and_lists_become_paths() {
        let text = "key: foobar\ndatabase:\n  host: 127.0.0.1\n  port: 3306\nupstream:\n  - 10.0.1.10:8080\n  - name: b\n\
                    empty:\nlist: []\n";
        let expected = [
            "/database/host=127.0.0.1",
            "/database/port=3306",
            "/key=foobar",
            "/upstream/0=10.0.1.10:8080",
            "/upstream/1/name=b",
        ];
        assert_eq!(read(text).unwrap(), expected);
        let json = r#"{"database": {"host": "127.0.0.1", "port": 3306}, "none": null, "on": true}"#;
        assert_eq!(read(json).unwrap(), ["/database/host=127.0.0.1", "/database/port=3306", "/on=true"]);
    }

    #[test]
    fn scalars_print_as_confd_prints_them() {
        for (text, value) in [
            ("foo", Some("foo")),
            ("yes", Some("true")),
            ("off", Some("false")),
            ("~", None),
            ("007", Some("7")),
            ("0x1F", Some("31")),
            ("1_000", Some("1000")),
            ("-5", Some("-5")),
            ("+5", Some("5")),
            ("1.50", Some("1.5")),
            ("1e3", Some("1000")),
            ("1.0", Some("1")),
            (".inf", Some("+Inf")),
            ("10.0.0.1", Some("10.0.0.1")),
            ("1-2", Some("1-2")),
            ("e", Some("e")),
            ("-", Some("-")),
            ("99999999999999999999999", Some("100000000000000000000000")),
            ("2026-11-27", Some("2026-11-27")),
            ("12:30", Some("12:30")),
        ] {
            assert_eq!(scalar(text, true).as_deref(), value, "{text}");
            assert_eq!(scalar(text, false).as_deref(), Some(text));
        }
    }

    #[test]
    fn what_is_no_map_is_said_with_its_place() {
        assert_eq!(read("- a\n- b\n"), Err("1:1: it is no map of keys".to_owned()));
        assert!(read("a: [1\n").unwrap_err().starts_with("2:1: this is no YAML"), "{:?}", read("a: [1\n"));
        for empty in ["", "# nothing\n", "~\n", "---\n"] {
            assert_eq!(read(empty), Ok(Vec::new()), "{empty:?}");
        }
    }

    #[test]
    fn a_document_that_refers_to_itself_costs_little() {
        let mut bomb = String::from("a0: &a0 [x]\n");
        for level in 1..40 {
            let below = level - 1;
            bomb += &format!("a{level}: &a{level} [*a{below}, *a{below}, *a{below}]\n");
        }
        assert!(read(&bomb).unwrap_err().contains("more than"));
    }

    proptest! {
        #[test]
        fn no_text_panics_and_every_key_is_clean(text in "(?s)([a-z:\\-\\[{} ~.0-9/]{0,8}\n?){0,8}") {
            if let Ok(read) = read(&text) {
                prop_assert!(read.iter().all(|key| key.starts_with('/') && !key.contains("//=")));
            }
        }
    }
}
