//! The layout: how a service becomes a key and a value.

use crate::registry::Content;
use crate::service::Service;

use super::encode;

/// How a service becomes a key and a value, for the readers of a store.
///
/// Property tests prove the contract for any service: its key is below [`Layout::root`]; services with different names
/// or IDs have different keys; and documented entries match byte for byte.
pub(in crate::registry) trait Layout: Send + Sync + 'static {
    /// The prefix of all keys, without a trailing slash; may be empty.
    fn root(&self) -> &str;

    /// The full key of a service.
    fn key(&self, service: &Service) -> String;

    /// What it holds.
    fn value(&self, service: &Service) -> String;

    /// The service ID in this key, as far as the key shows it; `None` if the key is not of this layout.
    fn service_id(&self, key: &str) -> Option<String>;

    /// The content of an entry; `None` if this layout does not write such a value.
    fn content(&self, key: &str, value: &[u8]) -> Option<Content>;
}

/// `<root>/<name>/<id>` = `ip:port`, an IPv6 address in brackets.
#[derive(Clone, Debug)]
pub(in crate::registry) struct Plain {
    root: String,
}

impl Plain {
    /// Below this key, which has no trailing slash.
    pub(in crate::registry) fn new(root: String) -> Self {
        Self { root }
    }
}

impl Layout for Plain {
    fn root(&self) -> &str {
        &self.root
    }

    fn key(&self, service: &Service) -> String {
        format!("{}/{}/{}", self.root, encode::part(&service.name), encode::part(&service.id))
    }

    fn value(&self, service: &Service) -> String {
        service.authority()
    }

    fn service_id(&self, key: &str) -> Option<String> {
        let (name, id) = key.strip_prefix(&self.root)?.strip_prefix('/')?.split_once('/')?;
        let whole = |part: &str| !part.is_empty() && !part.contains('/') && !part.starts_with('_');
        (whole(name) && whole(id)).then(|| encode::text(id))
    }

    fn content(&self, key: &str, value: &[u8]) -> Option<Content> {
        let (name, _) = key.strip_prefix(&self.root)?.strip_prefix('/')?.split_once('/')?;
        let (address, port) = std::str::from_utf8(value).ok()?.rsplit_once(':')?;
        let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']')).unwrap_or(address);
        let port = port.parse().ok()?;
        Some(Content { name: encode::text(name), address: bare.to_owned(), port, tags: Vec::new() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::registry::kv::testing::service;

    #[test]
    fn the_documented_examples_are_spelt_byte_for_byte() {
        for (root, name, id, address, port, key, value) in [
            ("", "nginx", "nginx", "10.100.194.202", 1234, "/nginx/nginx", "10.100.194.202:1234"),
            ("/services", "redis", "host:redis.0:6379", "1.2.3.4", 1, "/services/redis/host:redis.0:6379", "1.2.3.4:1"),
            ("services", "dns", "h:d:53:udp", "2001:db8::1", 53, "services/dns/h:d:53:udp", "[2001:db8::1]:53"),
        ] {
            let layout = Plain::new(root.to_owned());
            let service = Service { name: name.into(), id: id.into(), address: address.into(), port, ..service("x") };
            assert_eq!((layout.key(&service).as_str(), layout.value(&service).as_str()), (key, value));
            assert_eq!(layout.service_id(key).as_deref(), Some(id));
            let content = Content { name: name.to_owned(), address: address.to_owned(), port, tags: vec![] };
            assert_eq!(layout.content(key, value.as_bytes()), Some(content));
        }
    }

    #[test]
    fn a_value_of_another_program_has_no_content() {
        let layout = Plain::new("/s".to_owned());
        for value in [&b""[..], b"by hand", b"1.2.3.4", b"1.2.3.4:", b"1.2.3.4:x", b"1.2.3.4:70000", b"\xff:1"] {
            assert_eq!(layout.content("/s/web/id", value), None, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn a_key_of_another_program_is_no_entry() {
        let layout = Plain::new("/s".to_owned());
        for key in
            ["/s", "/s/", "/s/a", "/s/a/", "/s//b", "/s/a/b/c", "/sa/b", "/t/a/b", "/s/_registrator/x", "/s/a/_b", ""]
        {
            assert_eq!(layout.service_id(key), None, "{key}");
        }
    }

    proptest! {
        #[test]
        fn whatever_key_others_write_is_read_without_harm(key in "(/root)?/(?s).{0,12}(/(?s).{0,12})?") {
            let layout = Plain::new("/root".to_owned());
            if let Some(id) = layout.service_id(&key) {
                prop_assert!(!key.contains("//"), "{key:?} is {id:?}");
            }
        }

        #[test]
        fn no_name_or_id_escapes_the_root_or_collides(
            one in ("(?s)[%2F/._a\n]{0,4}|(?s).{0,8}|x{255}", "(?s)[%2F/._a\n]{0,4}|(?s).{0,8}|x{255}"),
            two in ("(?s)[%2F/._a\n]{0,4}|(?s).{0,8}", "(?s)[%2F/._a\n]{0,4}|(?s).{0,8}"),
        ) {
            let layout = Plain::new("/root".to_owned());
            let key = |(name, id): &(String, String)| {
                layout.key(&Service { name: name.clone(), id: id.as_str().into(), ..service("x") })
            };
            for each in [&one, &two] {
                let key = key(each);
                let parts: Vec<_> = key.split('/').collect();
                prop_assert_eq!(parts.len(), 4, "{}", key);
                prop_assert_eq!((parts[0], parts[1]), ("", "root"));
                prop_assert!(parts[2..].iter().all(|part| !matches!(*part, "" | "." | "..")), "{}", key);
                prop_assert_eq!(layout.service_id(&key), Some(each.1.clone()));
            }
            prop_assert_eq!(key(&one) == key(&two), one == two);
        }
    }
}
