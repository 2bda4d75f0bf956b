//! YAML, written in its block style. No kept library writes it, and little of it is needed to write.

use gtmpl_ng::Value;
use serde_json::Value as Json;

use super::args::{Args, Given, exactly, functions};
use super::json::json;
use crate::template::engine::Table;

pub(in crate::template) static TABLE: Table = functions! {
    "toYAML", exactly(1), to_yaml;
};

/// Words that YAML 1.1 or 1.2 reads as something else than a text.
const RESERVED: &[&str] = &["", "~", "null", "true", "false", "yes", "no", "on", "off", "y", "n", "nan", "inf"];

/// Without a line break at the end.
fn to_yaml(args: &Args<'_>) -> Given {
    let mut text = String::new();
    block(&json(args.value(0)), 0, &mut text);
    Ok(Value::from(text.trim_end_matches('\n')))
}

/// A node in lines of its own.
fn block(node: &Json, indent: usize, text: &mut String) {
    match node {
        Json::Array(items) if !items.is_empty() => {
            for item in items {
                pad(indent, text);
                text.push('-');
                behind(item, indent, text);
            }
        }
        Json::Object(fields) if !fields.is_empty() => {
            for (name, field) in fields {
                pad(indent, text);
                text.push_str(&scalar(name));
                text.push(':');
                behind(field, indent, text);
            }
        }
        other => {
            pad(indent, text);
            text.push_str(&flat(other));
            text.push('\n');
        }
    }
}

/// A node behind `-` or `name:`, on the same line if it has but one.
fn behind(node: &Json, indent: usize, text: &mut String) {
    let is_flat = match node {
        Json::Array(items) => items.is_empty(),
        Json::Object(fields) => fields.is_empty(),
        _ => true,
    };
    if is_flat {
        text.push(' ');
        text.push_str(&flat(node));
        text.push('\n');
    } else {
        text.push('\n');
        block(node, indent + 2, text);
    }
}

/// A node that needs one line. JSON's spelling is YAML's as well.
fn flat(node: &Json) -> String {
    match node {
        Json::String(text) => scalar(text),
        other => other.to_string(),
    }
}

/// A text without quotes where nothing can read it otherwise, else in JSON's quotes.
fn scalar(text: &str) -> String {
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic() || matches!(first, '/' | '_'))
        && text
            .chars()
            .all(|character| character.is_ascii_alphanumeric() || matches!(character, '/' | '_' | '.' | '-'));
    let is_reserved = RESERVED.contains(&text.to_ascii_lowercase().as_str());
    if (is_plain && !is_reserved) || is_address(text) { text.to_owned() } else { Json::from(text).to_string() }
}

/// An IPv4 address, which is no number.
fn is_address(text: &str) -> bool {
    text.parse::<std::net::Ipv4Addr>().is_ok()
}

fn pad(indent: usize, text: &mut String) {
    text.extend(std::iter::repeat_n(' ', indent));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use saphyr_parser::{Event, Parser};

    use super::*;

    /// What a YAML parser reads: scalars with whether they were quoted, and the marks of lists and maps.
    fn read(yaml: &str) -> Vec<String> {
        Parser::new_from_str(yaml)
            .filter_map(|event| match event.unwrap().0 {
                Event::Scalar(text, style, ..) => {
                    Some(format!("{}{text}", if format!("{style:?}") == "Plain" { "p" } else { "q" }))
                }
                Event::SequenceStart(..) => Some("[".to_owned()),
                Event::SequenceEnd => Some("]".to_owned()),
                Event::MappingStart(..) => Some("{".to_owned()),
                Event::MappingEnd => Some("}".to_owned()),
                _ => None,
            })
            .collect()
    }

    /// What it should read.
    fn expected(json: &Json, events: &mut Vec<String>) {
        match json {
            Json::Array(items) => {
                events.push("[".to_owned());
                items.iter().for_each(|item| expected(item, events));
                events.push("]".to_owned());
            }
            Json::Object(fields) => {
                events.push("{".to_owned());
                for (name, field) in fields {
                    expected(&Json::from(name.as_str()), events);
                    expected(field, events);
                }
                events.push("}".to_owned());
            }
            Json::String(text) => events.push(format!("{}{text}", if scalar(text) == *text { "p" } else { "q" })),
            other => events.push(format!("p{other}")),
        }
    }

    fn any_json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            "[ -~é]{0,9}".prop_map(Json::from),
            "(true|No|null|1e3|0x1|10\\.0\\.0\\.1|2020-01-01|- a|a: b|#|~)".prop_map(Json::from),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
                prop::collection::btree_map("[a-z: #]{0,4}", inner, 0..4).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    #[test]
    fn words_that_mean_something_are_quoted() {
        for (text, expected) in [
            ("web", "web"),
            ("/a/b-c.d_e", "/a/b-c.d_e"),
            ("10.0.0.1", "10.0.0.1"),
            ("Yes", "\"Yes\""),
            ("1e3", "\"1e3\""),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("10.0.0.1:80", "\"10.0.0.1:80\""),
        ] {
            assert_eq!(scalar(text), expected);
        }
    }

    proptest! {
        #[test]
        fn a_parser_reads_what_was_written(json in any_json()) {
            let mut text = String::new();
            block(&json, 0, &mut text);
            let mut events = Vec::new();
            expected(&json, &mut events);
            prop_assert_eq!(read(&text), events, "{}", text);
        }
    }
}
