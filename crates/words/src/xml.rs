//! What XML can hold, for Eureka: its clients read XML, and one key or character that XML does not have breaks the list for all.

/// Whether XML 1.0 has this character.
#[must_use]
pub fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Why a key with this value cannot be an element of XML; `None` if it can.
#[must_use]
pub fn objection(key: &str, value: &str) -> Option<&'static str> {
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if !key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') || !key.chars().all(name) {
        Some("its key is no name for XML: a letter, then letters, digits and . _ -")
    } else if key.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("xml")) {
        Some("its key begins with xml")
    } else if !value.chars().all(is_xml) {
        Some("its value has characters that XML cannot hold")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_xml_cannot_hold_is_objected_to() {
        for (key, value, fits) in [
            ("management.port", "8081", true),
            ("_a-b.c9", "é\n<&>", true),
            ("", "1", false),
            ("9a", "1", false),
            ("a b", "1", false),
            ("é", "1", false),
            ("XMLname", "1", false),
            ("a", "\u{7}", false),
            ("a", "\0", false),
            ("a", "\u{fffe}", false),
        ] {
            assert_eq!(objection(key, value).is_none(), fits, "{key:?}={value:?}");
        }
    }
}
