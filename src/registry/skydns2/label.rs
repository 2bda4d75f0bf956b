//! Labels: what stands between two dots of a domain name. Pure.
//!
//! Letters, digits and hyphens, as RFC 1123 has them, and underscores, which image names are full of and every
//! resolver takes; an underscore in front is left to SRV's own names, and hidden by etcd's v2 API.

use crate::registry::text::stable_digest;

/// The most bytes of a label.
const LONGEST: usize = 63;
/// What a digest takes, with its hyphen.
const DIGEST: usize = 9;

/// Whether a text is a label as it is looked up.
pub(super) fn is_label(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    (1..=LONGEST).contains(&text.len())
        && text.bytes().all(inside)
        && !text.starts_with(['-', '_'])
        && !text.ends_with('-')
}

/// The label of a service's name. Case makes no difference to whoever asks, so it makes none here.
pub(super) fn of_name(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    if is_label(&lower) { lower } else { made(name) }
}

/// The label of a service's ID: different IDs have different ones.
pub(super) fn of_id(id: &str) -> String {
    if is_label(id) { id.to_owned() } else { made(id) }
}

/// A label out of any text: what of it fits, and a digest of it all. It is stored, so it is the same in every release.
fn made(text: &str) -> String {
    let mut label = String::new();
    for c in text.chars() {
        if label.len() == LONGEST - DIGEST {
            break;
        }
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => label.push(c),
            _ if label.is_empty() || label.ends_with('-') => {}
            _ => label.push('-'),
        }
    }
    let label = label.trim_end_matches('-');
    let digest = stable_digest(text);
    let digest = (digest >> 32) ^ (digest & 0xffff_ffff);
    if label.is_empty() { format!("{digest:08x}") } else { format!("{label}-{digest:08x}") }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_label_stays_as_it_is_and_anything_else_becomes_one() {
        let long = "x".repeat(63);
        for exact in ["nginx", "web-1", "my_app", "0", &long] {
            assert_eq!((of_id(exact), of_name(exact)), (exact.to_owned(), exact.to_owned()));
        }
        for (id, label) in [
            ("hostname:redis.0:6379", "hostname-redis-0-6379-"),
            ("hostname:dns:53:udp", "hostname-dns-53-udp-"),
            ("Web1", "web1-"),
            ("web-", "web-"),
            ("_web", "web-"),
            ("a..b", "a-b-"),
            ("日本", ""),
            ("", ""),
        ] {
            let made = of_id(id);
            let digest = made.strip_prefix(label).unwrap_or_else(|| panic!("{made}"));
            assert!(digest.len() == 8 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
        }
        // They are stored: another release must find them again.
        assert_eq!(of_id("hostname:redis.0:6379"), "hostname-redis-0-6379-9f6e7c36");
    }

    #[test]
    fn names_differ_by_more_than_their_case() {
        assert_eq!(of_name("Web"), "web");
        assert_ne!(of_id("Web"), of_id("web"));
        assert_ne!(of_name("a.b"), of_name("a-b"));
    }

    proptest! {
        #[test]
        fn every_text_becomes_a_label_of_its_own(
            texts in proptest::collection::hash_set("(?s)[a-zA-Z0-9:._/-]{0,70}|.{0,10}|x{255}", 1..40),
        ) {
            let mut labels = HashMap::new();
            for text in &texts {
                let label = of_id(text);
                prop_assert!(is_label(&label) && is_label(&of_name(text)), "{text:?}: {label:?}");
                prop_assert_eq!(labels.insert(label, text), None);
            }
        }
    }
}
