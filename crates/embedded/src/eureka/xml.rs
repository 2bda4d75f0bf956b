//! A value of JSON as XML, the way Eureka's server spells it.

use registrator_words::xml::is_xml;
use serde_json::Value;

/// The value as an element of this name: members that begin with `@` are its attributes, `$` is its text, and a list is its
/// elements one after the other.
pub(super) fn spelled(name: &str, value: &Value) -> String {
    let mut text = String::new();
    element(&mut text, name, value);
    text
}

fn element(out: &mut String, name: &str, value: &Value) {
    // In XML, Eureka has this member's older name.
    let name = if name == "overriddenStatus" { "overriddenstatus" } else { name };
    if let Value::Array(elements) = value {
        elements.iter().for_each(|each| element(out, name, each));
        return;
    }
    out.push('<');
    out.push_str(name);
    let members = value.as_object();
    let attributes = members.into_iter().flatten().filter_map(|(key, value)| Some((key.strip_prefix('@')?, value)));
    for (key, value) in attributes {
        out.extend([" ", key, "=\""]);
        escape(out, value);
        out.push('"');
    }
    out.push('>');
    match members {
        None => escape(out, value),
        Some(members) => {
            for (key, value) in members.iter().filter(|(key, _)| !key.starts_with('@')) {
                if key == "$" { escape(out, value) } else { element(out, key, value) }
            }
        }
    }
    out.extend(["</", name, ">"]);
}

/// A text or a number; a character that XML does not have becomes U+FFFD.
fn escape(out: &mut String, value: &Value) {
    let number;
    let text = match value {
        Value::String(text) => text,
        Value::Null => "",
        other => {
            number = other.to_string();
            &number
        }
    };
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            // A reader would make a line feed of it.
            '\r' => out.push_str("&#xd;"),
            c if is_xml(c) => out.push(c),
            _ => out.push('\u{fffd}'),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn attributes_texts_and_lists_stand_where_eureka_has_them() {
        let value =
            json!({"port": {"$": 80, "@enabled": "true"}, "a": ["x", "y"], "none": null, "overriddenStatus": "UP"});
        let expected = "<i><a>x</a><a>y</a><none></none><overriddenstatus>UP</overriddenstatus>\
                        <port enabled=\"true\">80</port></i>";
        assert_eq!(spelled("i", &value), expected);
        assert_eq!(spelled("a", &json!("<&\">\r\u{7}")), "<a>&lt;&amp;&quot;&gt;&#xd;\u{fffd}</a>");
    }

    proptest! {
        #[test]
        fn no_text_gets_out_of_its_element(text in "(?s).{0,40}") {
            let spelled = spelled("a", &json!({"@b": text, "$": text}));
            prop_assert_eq!(spelled.matches('<').count(), 2);
            prop_assert_eq!(spelled.matches('"').count(), 2);
            prop_assert!(spelled.chars().all(is_xml));
        }
    }
}
