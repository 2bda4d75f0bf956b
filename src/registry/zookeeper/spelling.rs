//! Services in ZooKeeper's form: the path of the node and its data.
//!
//! ```text
//! <path>/<name>/<ip>:<port> = {"Name":"web","IP":"10.0.0.1","PublicPort":8000,"PrivatePort":80,
//!                              "ContainerID":"3f…","Tags":[],"Attrs":{}}
//! ```

use std::borrow::Cow;
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};

use litemap::LiteMap;
use serde::{Deserialize, Serialize, Serializer};

use crate::registry::Content;
use crate::service::Service;

use super::json;

/// The data of a node, with the fields in the order in which they are written.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    name: &'a str,
    #[serde(rename = "IP")]
    ip: &'a str,
    public_port: u16,
    private_port: u16,
    #[serde(rename = "ContainerID")]
    container_id: &'a str,
    tags: &'a [String],
    #[serde(serialize_with = "object")]
    attrs: &'a LiteMap<String, String>,
}

/// Serializes a map as an object even if it is empty; by default, it would become an array.
fn object<S: Serializer>(map: &LiteMap<String, String>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(map)
}

/// The data of a service's node. Without tags `[]`, without attributes `{}`.
pub(super) fn data(service: &Service) -> serde_json::Result<Vec<u8>> {
    json::marshal(&Body {
        name: &service.name,
        ip: &service.address,
        public_port: service.port,
        private_port: service.origin.exposed_port,
        container_id: &service.origin.hostname,
        tags: &service.tags,
        attrs: &service.attributes,
    })
}

/// The content of a node; `None` if its data do not have this form.
pub(super) fn content(data: &[u8]) -> Option<Content> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Said {
        name: String,
        #[serde(rename = "IP")]
        ip: String,
        public_port: u16,
        tags: Option<Vec<String>>,
    }
    let Said { name, ip, public_port, tags } = serde_json::from_slice(data).ok()?;
    Some(Content { name, address: ip, port: public_port, tags: tags.unwrap_or_default() })
}

/// The path of a service's node below `base`, which is absolute, and empty for the root.
pub(super) fn path(base: &str, service: &Service) -> String {
    format!("{base}/{}/{}", node_name(&service.name), node_name(&service.authority()))
}

/// A digest of a node. A node that would outlive its session always differs, whatever its data.
pub(super) fn fingerprint(ephemeral: bool, data: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (ephemeral, data).hash(&mut hasher);
    hasher.finish()
}

/// The parent of a node.
pub(super) fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// A text as the name of one node: characters that ZooKeeper accepts are unchanged, others are percent-encoded.
///
/// Different texts have different names: a percent sign that would look like our encoding is encoded as well, and the
/// empty text becomes `%20`, which no other text does, because a blank is not encoded.
pub(super) fn node_name(text: &str) -> Cow<'_, str> {
    match text {
        "" => return Cow::Borrowed("%20"),
        "." => return Cow::Borrowed("%2E"),
        ".." => return Cow::Borrowed("%2E%2E"),
        _ => {}
    }
    let must_be_encoded = |at: usize, c: char| match c {
        '%' => matches!(text.as_bytes().get(at + 1..at + 3), Some([one, two]) if is_hex(*one) && is_hex(*two)),
        _ => is_illegal(c),
    };
    if !text.char_indices().any(|(at, c)| must_be_encoded(at, c)) {
        return Cow::Borrowed(text);
    }
    let mut name = String::with_capacity(text.len() + 8);
    for (at, c) in text.char_indices() {
        if must_be_encoded(at, c) {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a string cannot fail.
                let _ = write!(name, "%{byte:02X}");
            }
        } else {
            name.push(c);
        }
    }
    Cow::Owned(name)
}

/// Whether node names must not contain this character (ZooKeeper's `PathUtils.validatePath`). ZooKeeper checks UTF-16
/// units and refuses surrogates, so all characters beyond U+FFFF are refused.
pub(super) fn is_illegal(c: char) -> bool {
    matches!(c, '/' | '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{e000}'..='\u{f8ff}' | '\u{fff0}'..)
}

fn is_hex(byte: u8) -> bool {
    byte.is_ascii_hexdigit()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::container::{ContainerId, Moment, Protocol};
    use crate::service::Origin;

    fn service() -> Service {
        Service {
            id: "hostname:redis.0:6379".into(),
            name: "redis".to_owned(),
            address: "192.168.1.102".into(),
            port: 10000,
            protocol: Protocol::Tcp,
            tags: vec![].into(),
            attributes: Arc::default(),
            ttl: None,
            check: None,
            health: crate::container::Health::None,
            traefik: None,
            origin: Origin {
                container: ContainerId::from("0123"),
                container_name: "web".into(),
                hostname: "3f2a".into(),
                exposed_port: 6379,
                created: Moment::default(),
                started: Moment::default(),
                claimed: false,
                address_of: crate::service::AddressOf::Container,
            },
        }
    }

    fn written(service: &Service) -> String {
        String::from_utf8(data(service).unwrap()).unwrap()
    }

    #[test]
    fn the_documented_examples_are_written_byte_for_byte() {
        let mut service = service();
        assert_eq!(
            written(&service),
            r#"{"Name":"redis","IP":"192.168.1.102","PublicPort":10000,"PrivatePort":6379,"ContainerID":"3f2a","Tags":[],"Attrs":{}}"#
        );
        assert_eq!(path("/registrator", &service), "/registrator/redis/192.168.1.102:10000");
        assert_eq!(path("", &service), "/redis/192.168.1.102:10000");
        let said = Content { name: "redis".to_owned(), address: "192.168.1.102".to_owned(), port: 10000, tags: vec![] };
        assert_eq!(content(&data(&service).unwrap()), Some(said));
        assert_eq!((content(b""), content(br#"{"Name":"x"}"#)), (None, None));
        service.name = "db".to_owned();
        service.tags = vec!["master".to_owned(), "backups".to_owned()].into();
        Arc::make_mut(&mut service.attributes).insert("region".to_owned(), "us2".to_owned());
        Arc::make_mut(&mut service.attributes).insert("a".to_owned(), "<b>".to_owned());
        assert_eq!(
            written(&service),
            r#"{"Name":"db","IP":"192.168.1.102","PublicPort":10000,"PrivatePort":6379,"ContainerID":"3f2a","Tags":["master","backups"],"Attrs":{"a":"\u003cb\u003e","region":"us2"}}"#
        );
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets_in_the_path_and_bare_in_the_data() {
        let mut service = service();
        service.address = "2001:db8::1".into();
        assert_eq!(path("/r", &service), "/r/redis/[2001:db8::1]:10000");
        assert!(written(&service).contains(r#""IP":"2001:db8::1""#));
    }

    #[test]
    fn a_node_that_would_stay_is_not_as_it_should_be() {
        let data = data(&service()).unwrap();
        assert_ne!(fingerprint(true, &data), fingerprint(false, &data));
        assert_ne!(fingerprint(true, &data), fingerprint(true, b"{}"));
    }

    #[test]
    fn a_legal_name_stays_as_it_is_and_any_other_is_encoded() {
        for (text, name) in [
            ("web", "web"),
            ("we b-1_2.x:y@z", "we b-1_2.x:y@z"),
            ("...", "..."),
            ("dienst-ü-服务", "dienst-ü-服务"),
            ("100%", "100%"),
            ("5%x", "5%x"),
            ("", "%20"),
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("a/b", "a%2Fb"),
            ("/", "%2F"),
            ("../..", "..%2F.."),
            ("a\0b", "a%00b"),
            ("a\nb", "a%0Ab"),
            ("\u{85}", "%C2%85"),
            ("\u{e000}", "%EE%80%80"),
            ("\u{ffff}", "%EF%BF%BF"),
            ("😀", "%F0%9F%98%80"),
            ("%2F", "%252F"),
            ("%2e", "%252e"),
            ("%/", "%%2F"),
        ] {
            assert_eq!(node_name(text), name, "{text:?}");
        }
    }

    #[test]
    fn the_parent_is_what_stands_before_the_last_slash() {
        for (path, above) in [("/a/b/c", "/a/b"), ("/a", ""), ("", "")] {
            assert_eq!(parent(path), above);
        }
    }

    /// Texts with the characters that encoding treats specially.
    fn odd() -> impl Strategy<Value = String> {
        prop_oneof![
            proptest::collection::vec(
                prop::sample::select(vec!["%", "2", "F", "f", "/", ".", "%2F", "\0", "😀", "a", " ", "%20", ""]),
                0..6
            )
            .prop_map(|parts| parts.concat()),
            "(?s).{0,12}",
        ]
    }

    proptest! {
        #[test]
        fn every_text_becomes_one_legal_name(text in odd()) {
            let name = node_name(&text);
            prop_assert!(!matches!(&*name, "" | "." | ".."));
            prop_assert!(!name.contains(is_illegal), "{name:?}");
            prop_assert!(!name.contains('/') && name.chars().all(|c| u32::from(c) < 0xfff0), "{name:?}");
        }

        #[test]
        fn no_two_texts_share_a_name(texts in proptest::collection::hash_set(odd(), 2..40)) {
            let names: HashSet<_> = texts.iter().map(|text| node_name(text)).collect();
            prop_assert_eq!(names.len(), texts.len());
        }
    }
}
