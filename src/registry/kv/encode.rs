//! Encodes any text as one part of a key, between two slashes.
//!
//! Ordinary characters stay as they are. Percent-encoded are: slashes and control characters; `.` and `..`, which some
//! stores resolve; a leading underscore, because etcd's v2 API hides such keys and our own records begin with one; and
//! a percent sign that would look like our encoding. The empty text becomes `%20`, which no other text does, because a
//! blank is not encoded.

use std::borrow::Cow;
use std::fmt::Write;

use percent_encoding::percent_decode_str;

/// The text as one part of a key. Different texts give different parts.
pub(crate) fn part(text: &str) -> Cow<'_, str> {
    match text {
        "" => return Cow::Borrowed("%20"),
        "." => return Cow::Borrowed("%2E"),
        ".." => return Cow::Borrowed("%2E%2E"),
        _ => {}
    }
    let odd = |at: usize, c: char| match c {
        '%' => {
            matches!(text.as_bytes().get(at + 1..at + 3), Some([one, two]) if one.is_ascii_hexdigit() && two.is_ascii_hexdigit())
        }
        '_' => at == 0,
        _ => c == '/' || c.is_control(),
    };
    if !text.char_indices().any(|(at, c)| odd(at, c)) {
        return Cow::Borrowed(text);
    }
    let mut part = String::with_capacity(text.len() + 8);
    for (at, c) in text.char_indices() {
        if odd(at, c) {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a string cannot fail.
                let _ = write!(part, "%{byte:02X}");
            }
        } else {
            part.push(c);
        }
    }
    Cow::Owned(part)
}

/// The text of a part of a key; a part from an external writer may be anything.
pub(in crate::registry) fn text(part: &str) -> String {
    if part == "%20" { String::new() } else { percent_decode_str(part).decode_utf8_lossy().into_owned() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_characters_are_unchanged_and_others_are_encoded() {
        for (text, expected) in [
            ("nginx", "nginx"),
            ("hostname:redis.0:6379", "hostname:redis.0:6379"),
            ("hostname:dns:53:udp", "hostname:dns:53:udp"),
            ("we b-1_2.x@z é 日本 🐳", "we b-1_2.x@z é 日本 🐳"),
            ("...", "..."),
            ("100%", "100%"),
            ("5%x", "5%x"),
            ("", "%20"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("_registrator", "%5Fregistrator"),
            ("a_b", "a_b"),
            ("../../x", "..%2F..%2Fx"),
            ("a\nb\0", "a%0Ab%00"),
            ("\u{85}", "%C2%85"),
            ("%2F", "%252F"),
            ("%20", "%2520"),
            ("%/", "%%2F"),
        ] {
            assert_eq!(part(text), expected, "{text:?}");
            assert_eq!(super::text(expected), text);
        }
    }

    /// Texts with the characters that encoding treats specially.
    fn odd() -> impl Strategy<Value = String> {
        prop_oneof![
            proptest::collection::vec(
                prop::sample::select(vec![
                    "%", "2", "F", "f", "/", ".", "_", "%2F", "\0", "\n", "😀", "a", " ", "%20", ""
                ]),
                0..6
            )
            .prop_map(|parts| parts.concat()),
            "(?s).{0,12}",
            "x{255}",
        ]
    }

    proptest! {
        #[test]
        fn every_text_becomes_one_part_and_no_two_share_one(texts in proptest::collection::hash_set(odd(), 1..40)) {
            let mut parts = HashMap::new();
            for text in &texts {
                let part = part(text).into_owned();
                prop_assert!(!matches!(&*part, "" | "." | ".."));
                prop_assert!(!part.contains(|c: char| c == '/' || c.is_control()) && !part.starts_with('_'), "{part:?}");
                prop_assert_eq!(&super::text(&part), text);
                prop_assert_eq!(parts.insert(part, text), None);
            }
        }
    }
}
