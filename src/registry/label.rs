//! Labels: the parts of a domain name between its dots. Pure.
//!
//! Letters, digits and hyphens (RFC 1123), and underscores, which are frequent in image names and accepted by all
//! resolvers. A leading underscore is not allowed: SRV's own names use it, and etcd's v2 API hides such keys.

use aws_lc_rs::digest::{SHA256, digest};

use super::text::stable_digest;

/// The maximum length of a label, in bytes.
pub(super) const LONGEST: usize = 63;
/// The number of digits of a name's digest.
const NAME_DIGEST: usize = 8;
/// The number of digits of an ID's digest: 128 bits of SHA-256, so that nobody can construct a collision.
const ID_DIGEST: usize = 32;
/// The number of digits of an ID's digest in the name of a host.
const HOST_DIGEST: usize = 16;

/// Whether a text is a valid label in lower case.
pub(super) fn is_label(text: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
    (1..=LONGEST).contains(&text.len())
        && text.bytes().all(inside)
        && !text.starts_with(['-', '_'])
        && !text.ends_with('-')
}

/// Whether a text is a label of a host's name in lower case: BIND takes no address of a name with an underscore.
pub(super) fn is_host_label(text: &str) -> bool {
    is_label(text) && !text.contains('_')
}

/// The label of a service's name. DNS ignores case, so this does too. People look names up, so the digest is short; a
/// collision gains nothing, because any container may use any name anyway.
pub(in crate::registry) fn of_name(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    if is_label(&lower) { lower } else { made_of_name(name, LONGEST) }
}

/// As [`of_name`], for the name of a host, and so short that what SRV and others put before it fits as well.
pub(super) fn host_of_name(name: &str, longest: usize) -> String {
    let lower = name.to_ascii_lowercase();
    if is_host_label(&lower) && lower.len() <= longest { lower } else { made_of_name(name, longest) }
}

fn made_of_name(name: &str, longest: usize) -> String {
    let digest = stable_digest(name);
    let digest = (digest >> 32) ^ (digest & 0xffff_ffff);
    made(name, &format!("{digest:0NAME_DIGEST$x}"), longest)
}

/// The label of a service's ID. Different IDs have different labels, whatever a container claims: an ID that looks like
/// one of our labels is changed as well.
pub(super) fn of_id(id: &str) -> String {
    if is_label(id) && !looks_made(id, ID_DIGEST) { id.to_owned() } else { made_of_id(id, ID_DIGEST, LONGEST) }
}

/// As [`of_id`], for the name of a host, so short, and with a digest of 64 bits: a thousand such names have to fit into an
/// answer.
pub(super) fn host_of_id(id: &str, longest: usize) -> String {
    let stays = is_host_label(id) && id.len() <= longest && !looks_made(id, HOST_DIGEST);
    if stays { id.to_owned() } else { made_of_id(id, HOST_DIGEST, longest) }
}

fn made_of_id(id: &str, digits: usize, longest: usize) -> String {
    let digest = digest(&SHA256, id.as_bytes());
    let digest: String = digest.as_ref().iter().take(digits / 2).map(|byte| format!("{byte:02x}")).collect();
    made(id, &digest, longest)
}

/// Whether a text ends like a label made by [`of_id`].
fn looks_made(text: &str, digits: usize) -> bool {
    let last = text.rsplit('-').next().unwrap_or_default();
    last.len() == digits && last.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// A label made from any text: the allowed characters, and the text's digest. Labels are stored, so they are the same
/// in every release.
fn made(text: &str, digest: &str, longest: usize) -> String {
    let mut label = String::new();
    for c in text.chars() {
        if label.len() + 1 + digest.len() == longest {
            break;
        }
        match c.to_ascii_lowercase() {
            c if c.is_ascii_alphanumeric() => label.push(c),
            _ if label.is_empty() || label.ends_with('-') => {}
            _ => label.push('-'),
        }
    }
    let label = label.trim_end_matches('-');
    if label.is_empty() { digest.to_owned() } else { format!("{label}-{digest}") }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashMap};

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
            assert!(digest.len() == 32 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made}");
        }
        // Labels are stored: other releases must find them again.
        assert_eq!(of_id("hostname:redis.0:6379"), "hostname-redis-0-6379-666885fb107245e3e1b4df27ebbab8e2");
        assert_eq!(of_name("my.app"), "my-app-104b9c4c");
    }

    #[test]
    fn the_label_of_a_host_has_no_underscore_and_room_for_one_before_it() {
        let (host_of_name, host_of_id) = (|name: &str| host_of_name(name, 62), |id: &str| host_of_id(id, 63));
        let whole = "x".repeat(63);
        let short = host_of_name(&whole);
        assert!(short.len() == 62 && is_host_label(&short) && short.starts_with("xxx"), "{short}");
        assert_eq!(host_of_name(&whole[..62]), whole[..62]);
        assert_eq!((host_of_name("Web-1"), host_of_id("web-1")), ("web-1".to_owned(), "web-1".to_owned()));
        assert_eq!(host_of_name("my.app"), of_name("my.app"));
        for text in ["my_app", "a_", "a-_-b"] {
            let (name, id) = (host_of_name(text), host_of_id(text));
            assert!(is_host_label(&name) && is_host_label(&id) && name != text, "{text}: {name}, {id}");
        }
        let made = host_of_id("hostname:redis.0:6379");
        assert_eq!(made, "hostname-redis-0-6379-666885fb107245e3");
        assert_ne!(host_of_id(&made), made);
        // Where more has to fit before it.
        let (name, id) = (super::host_of_name(&whole, 58), super::host_of_id(&whole, 58));
        assert!(name.len() == 58 && id.len() == 58 && is_host_label(&name) && is_host_label(&id), "{name}, {id}");
        assert_eq!(super::host_of_id(&whole[..58], 58), whole[..58]);
    }

    #[test]
    fn names_differ_by_more_than_their_case() {
        assert_eq!(of_name("Web"), "web");
        assert_ne!(of_id("Web"), of_id("web"));
        assert_ne!(of_name("a.b"), of_name("a-b"));
    }

    #[test]
    fn an_id_that_looks_like_a_label_of_ours_is_not_that_label() {
        let ours = of_id("hostname:redis.0:6379");
        let claimed = of_id(&ours);
        assert!(claimed != ours && is_label(&claimed), "{claimed}");
        assert_ne!(of_id(&claimed), claimed);
        let digits = "0123456789abcdef".repeat(2);
        assert_ne!(of_id(&digits), digits);
        // An ID that only resembles our labels stays as it is.
        for exact in ["web-0123456789abcdef", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", &format!("web_{digits}")] {
            assert_eq!(of_id(exact), exact);
        }
    }

    proptest! {
        #[test]
        fn no_label_of_ours_is_anothers(texts in proptest::collection::vec("(?s)[a-c.:-]{0,4}|.{0,6}|x{60,70}", 1..20)) {
            // An ID may be chosen by somebody who has seen our labels, and the labels of those.
            let mut ids: BTreeSet<String> = texts.into_iter().collect();
            for _ in 0..3 {
                let labels: Vec<_> = ids.iter().map(|id| of_id(id)).collect();
                ids.extend(labels);
            }
            let labels: BTreeSet<_> = ids.iter().map(|id| of_id(id)).collect();
            prop_assert_eq!(labels.len(), ids.len());
            prop_assert!(labels.iter().all(|label| is_label(label)));
        }

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
