//! Answers in XML, as XStream spells them.

use std::fmt::Write;

use serde_json::Value;

/// A value as an element of this name.
pub(super) fn spelled(name: &str, value: &Value) -> String {
    let mut text = String::new();
    element(&mut text, name, value);
    text
}

fn element(out: &mut String, name: &str, value: &Value) {
    match value {
        // A list is its elements, one after the other.
        Value::Array(elements) => elements.iter().for_each(|each| element(out, name, each)),
        Value::Object(fields) => {
            let _ = write!(out, "<{name}");
            for (key, value) in fields {
                if let Some(attribute) = key.strip_prefix('@') {
                    let _ = write!(out, " {attribute}=\"{}\"", escaped(&plain(value)));
                }
            }
            out.push('>');
            for (key, value) in fields {
                match key.as_str() {
                    "$" => out.push_str(&escaped(&plain(value))),
                    // XML has the older spelling.
                    "overriddenStatus" => element(out, "overriddenstatus", value),
                    key if key.starts_with('@') => {}
                    key => element(out, key, value),
                }
            }
            let _ = write!(out, "</{name}>");
        }
        other => {
            let _ = write!(out, "<{name}>{}</{name}>", escaped(&plain(other)));
        }
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| if value.is_null() { String::new() } else { value.to_string() }, str::to_owned)
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
