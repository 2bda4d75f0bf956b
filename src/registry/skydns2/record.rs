//! Keys and values for SkyDNS and CoreDNS. Pure.
//!
//! The fields are those of SkyDNS's messages (<https://github.com/skynetservices/skydns>, "Service Announcements");
//! CoreDNS's `etcd` plugin reads the same.

use serde::{Deserialize, Serialize};

use crate::registry::Content;
use crate::registry::kv::Layout;
use crate::service::Service;

use crate::registry::label;

/// `<root>/<name>/<id>` = a record.
pub(super) struct Records {
    root: String,
    /// Whether a record contains its entry's TTL. Without it, CoreDNS invents one of up to a century for a key with a
    /// lease.
    ttl: bool,
}

impl Records {
    pub(super) fn new(root: String, ttl: bool) -> Self {
        Self { root, ttl }
    }
}

/// What a key holds.
#[derive(Serialize)]
struct Record<'a> {
    host: &'a str,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    weight: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<&'a str>,
}

impl Layout for Records {
    fn root(&self) -> &str {
        &self.root
    }

    fn key(&self, service: &Service) -> String {
        format!("{}/{}/{}", self.root, label::of_name(&service.name), label::of_id(&service.id))
    }

    fn value(&self, service: &Service) -> String {
        let text = |name: &str| service.attributes.get(name).map(String::as_str).filter(|text| !text.is_empty());
        let entrys = || service.ttl.filter(|_| self.ttl).and_then(|ttl| u32::try_from(ttl.as_secs()).ok());
        let record = Record {
            host: &service.address,
            port: service.port,
            priority: text("priority").and_then(number),
            weight: text("weight").and_then(number),
            text: text("text"),
            ttl: text("ttl").and_then(number).or_else(entrys),
            group: text("group"),
        };
        // Texts and numbers always serialize.
        serde_json::to_string(&record).unwrap_or_default()
    }

    fn service_id(&self, key: &str) -> Option<String> {
        let (name, id) = key.strip_prefix(&self.root)?.strip_prefix('/')?.split_once('/')?;
        let whole = |part: &str| !part.is_empty() && !part.contains('/') && !part.starts_with('_');
        (whole(name) && whole(id)).then(|| id.to_owned())
    }

    /// The service's name is the label in the key.
    fn content(&self, key: &str, value: &[u8]) -> Option<Content> {
        #[derive(Deserialize)]
        struct Said {
            host: String,
            port: u16,
        }
        let (name, _) = key.strip_prefix(&self.root)?.strip_prefix('/')?.split_once('/')?;
        let Said { host, port } = serde_json::from_slice(value).ok()?;
        Some(Content { name: name.to_owned(), address: host, port, tags: Vec::new() })
    }
}

/// A number other than zero, which readers take as unset; anything else is omitted.
fn number<T: std::str::FromStr + Default + PartialEq>(text: &str) -> Option<T> {
    text.trim().parse().ok().filter(|number| *number != T::default())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use litemap::LiteMap;

    use super::*;
    use crate::container::{ContainerId, Health, Moment, Protocol};
    use crate::service::Origin;

    fn service(name: &str, id: &str, attributes: &[(&str, &str)]) -> Service {
        Service {
            id: id.into(),
            name: name.to_owned(),
            address: "10.0.0.1".into(),
            port: 8000,
            protocol: Protocol::Tcp,
            tags: Arc::default(),
            attributes: Arc::new(
                attributes.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
            ),
            ttl: None,
            check: None,
            health: Health::None,
            traefik: None,
            origin: Origin {
                container: ContainerId::from("0123"),
                container_name: "web".into(),
                created: Moment::default(),
                started: Moment::default(),
                claimed: false,
                address_of: crate::service::AddressOf::Container,
                hostname: "inside".into(),
                exposed_port: 80,
            },
        }
    }

    fn records(ttl: bool) -> Records {
        Records::new("/skydns/local/cluster".to_owned(), ttl)
    }

    #[test]
    fn the_documented_example_is_spelt_byte_for_byte() {
        let plain = service("nginx", "nginx", &[("region", "us2")]);
        assert_eq!(records(false).key(&plain), "/skydns/local/cluster/nginx/nginx");
        assert_eq!(records(false).value(&plain), r#"{"host":"10.0.0.1","port":8000}"#);
        let v6 = Service { address: "2001:db8::1".into(), ..plain };
        assert_eq!(records(false).value(&v6), r#"{"host":"2001:db8::1","port":8000}"#);
        assert_eq!(records(false).service_id("/skydns/local/cluster/nginx/nginx").as_deref(), Some("nginx"));
        let content = |value: &str| records(false).content("/skydns/local/cluster/nginx/nginx", value.as_bytes());
        let said = Content { name: "nginx".to_owned(), address: "10.0.0.1".to_owned(), port: 8000, tags: vec![] };
        assert_eq!(content(r#"{"host":"10.0.0.1","port":8000,"text":"x"}"#), Some(said));
        assert_eq!((content("10.0.0.1:8000"), content(r#"{"host":"h","port":70000}"#)), (None, None));
        for other in ["/skydns/local/cluster/nginx", "/skydns/local/cluster/a/b/c", "/skydns/local/other/a/b", ""] {
            assert_eq!(records(false).service_id(other), None);
        }
    }

    #[test]
    fn what_the_format_has_is_taken_from_attributes() {
        let attributes =
            [("priority", "20"), ("weight", " 5"), ("text", "a \"b\"\n"), ("ttl", "60"), ("group", "g1"), ("x", "y")];
        assert_eq!(
            records(false).value(&service("web", "web", &attributes)),
            r#"{"host":"10.0.0.1","port":8000,"priority":20,"weight":5,"text":"a \"b\"\n","ttl":60,"group":"g1"}"#
        );
        let odd = [("priority", "high"), ("weight", "-1"), ("text", ""), ("ttl", "0"), ("group", "")];
        assert_eq!(records(false).value(&service("web", "web", &odd)), r#"{"host":"10.0.0.1","port":8000}"#);
    }

    #[test]
    fn coredns_records_contain_the_ttl_of_their_entries() {
        let lasting = Service { ttl: Some(Duration::from_secs(30)), ..service("web", "web", &[]) };
        assert_eq!(records(false).value(&lasting), r#"{"host":"10.0.0.1","port":8000}"#);
        assert_eq!(records(true).value(&lasting), r#"{"host":"10.0.0.1","port":8000,"ttl":30}"#);
        let own = Service { attributes: Arc::new(LiteMap::from_iter([("ttl".to_owned(), "5".to_owned())])), ..lasting };
        assert_eq!(records(true).value(&own), r#"{"host":"10.0.0.1","port":8000,"ttl":5}"#);
    }
}
