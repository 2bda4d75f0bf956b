//! An instance, as discoverd stores it. Pure.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::json;
use crate::registry::dns::fits;
use crate::registry::label;
use crate::registry::text::one_line;
use crate::registry::{Content, Entry, Marked, RegistryError};
use crate::service::{Service, authority};

/// The metadata key of the owner.
const OWNER: &str = "registrator.owner";
/// The metadata key of the service's ID.
const SERVICE_ID: &str = "registrator.id";
/// The metadata key of the tags.
const TAGS: &str = "tags";
/// What our own metadata keys begin with.
const RESERVED: &str = "registrator.";
/// The longest name.
const LONGEST: usize = 63;
/// The most values of a list that are read.
const MOST_VALUES: usize = 1 << 22;
/// The owner that is told of what another program registered.
const ANOTHER_PROGRAM: &str = "a program other than registrator";

/// An instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    /// The discoverd service that it belongs to.
    pub(super) name: String,
    /// `host:port`.
    address: String,
    protocol: String,
    /// The owner, if registrator wrote it.
    pub(super) owner: Option<String>,
    /// All metadata but the owner.
    meta: BTreeMap<String, String>,
}

/// The name of a service in discoverd: lower-case letters, digits and hyphens.
pub(super) fn name(service: &Service) -> String {
    label::host_of_name(&service.name, LONGEST)
}

/// The key of a service.
pub(super) fn key(service: &Service) -> String {
    format!("{}/{}", name(service), id(service.protocol.as_str(), &authority(&service.address, service.port)))
}

/// The ID that discoverd demands.
fn id(protocol: &str, address: &str) -> String {
    format!("{:x}", md5::compute(format!("{protocol}-{address}")))
}

impl Instance {
    /// The instance that a service is.
    ///
    /// # Errors
    /// When discoverd could not hold it.
    pub(super) fn of(service: &Service, owner: &str) -> Result<Self, RegistryError> {
        fits(service)?;
        let attributes = service.attributes.iter().filter(|(key, _)| !key.starts_with(RESERVED) && *key != TAGS);
        let mut meta: BTreeMap<_, _> = attributes.map(|(key, value)| (key.clone(), value.clone())).collect();
        if !service.tags.is_empty() {
            meta.insert(TAGS.to_owned(), service.tags.join(","));
        }
        meta.insert(SERVICE_ID.to_owned(), service.id.to_string());
        Ok(Self {
            name: name(service),
            address: authority(&service.address, service.port).to_string(),
            protocol: service.protocol.as_str().to_owned(),
            owner: Some(owner.to_owned()),
            meta,
        })
    }

    pub(super) fn id(&self) -> String {
        id(&self.protocol, &self.address)
    }

    pub(super) fn key(&self) -> String {
        format!("{}/{}", self.name, self.id())
    }

    /// A digest of what it holds.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut digest = DefaultHasher::new();
        (&self.name, &self.address, &self.protocol, &self.meta).hash(&mut digest);
        digest.finish()
    }

    /// As the reconciler sees it.
    pub(super) fn entry(&self, contents: bool) -> Entry {
        let key: Arc<str> = self.key().into();
        let (host, port) = self.address.rsplit_once(':').unwrap_or((&self.address, ""));
        let content = contents.then(|| {
            let tags = self.meta.get(TAGS).map_or_else(Vec::new, |tags| tags.split(',').map(str::to_owned).collect());
            let address = host.trim_matches(['[', ']']).to_owned();
            Box::new(Content { name: self.name.clone(), address, port: port.parse().unwrap_or_default(), tags })
        });
        Entry {
            service_id: self.meta.get(SERVICE_ID).map_or_else(|| Arc::clone(&key), |id| id.as_str().into()),
            key,
            owner: Some(self.owner.as_deref().unwrap_or(ANOTHER_PROGRAM).into()),
            fingerprint: self.fingerprint(),
            marked: Marked::No,
            critical: false,
            content,
        }
    }

    /// It belongs to somebody else.
    pub(super) fn taken(&self) -> RegistryError {
        let Self { name, address, .. } = self;
        let place = one_line(&format!("{address} of {name}"), 200);
        RegistryError::Taken(match &self.owner {
            Some(owner) => format!("the instance {place} belongs to the owner {:?}", one_line(owner, 100)),
            None => format!("the instance {place} was registered by another program"),
        })
    }

    /// The body of its registration.
    pub(super) fn to_json(&self) -> Value {
        let mut meta = self.meta.clone();
        meta.extend(self.owner.clone().map(|owner| (OWNER.to_owned(), owner)));
        json!({"id": self.id(), "addr": self.address, "proto": self.protocol, "meta": meta})
    }

    fn read(name: &str, value: &Value) -> Option<Self> {
        let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let members = value.get("meta").and_then(Value::as_object).into_iter().flatten();
        let mut meta: BTreeMap<_, _> =
            members.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
        let owner = meta.remove(OWNER);
        Some(Self { name: name.to_owned(), address: text("addr")?, protocol: text("proto")?, owner, meta })
    }
}

/// Reads the instances of a name; `None` if it is no list.
pub(super) fn list(name: &str, body: &[u8]) -> Option<Vec<Instance>> {
    match json::owned(body, MOST_VALUES).ok()? {
        Value::Array(elements) => Some(elements.iter().filter_map(|element| Instance::read(name, element)).collect()),
        Value::Null => Some(Vec::new()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::container::Protocol;
    use crate::registry::kv::testing::service;

    #[test]
    fn an_instance_has_the_id_that_discoverd_demands() {
        let service = Service { protocol: Protocol::Udp, ..service("host:web:80") };
        let instance = Instance::of(&service, "web1").unwrap();
        let body = instance.to_json();
        // printf udp-10.1.2.3:8000 | md5sum
        assert_eq!(body["id"], "96f0d8e30267dbc04d9da7286c6f9005");
        assert_eq!((&body["addr"], &body["proto"]), (&json!("10.1.2.3:8000"), &json!("udp")));
        assert_eq!(body["meta"], json!({"registrator.owner": "web1", "registrator.id": "host:web:80"}));
        assert_eq!(key(&service), instance.key());
    }

    #[test]
    fn what_is_no_list_is_none_and_odd_instances_are_left_out() {
        assert_eq!(list("web", b"null"), Some(Vec::new()));
        assert_eq!(list("web", br#"[1, {}, {"addr": 1}, {"addr": "a"}]"#), Some(Vec::new()));
        for odd in [&b"{}"[..], b"", b"<html>", b"7"] {
            assert_eq!(list("web", odd), None);
        }
        let theirs = list("web", br#"[{"addr": "10.0.0.1:80", "proto": "tcp", "meta": null, "index": 7}]"#).unwrap();
        let entry = theirs[0].entry(true);
        assert_eq!(entry.owner.as_deref(), Some(ANOTHER_PROGRAM));
        assert_eq!(entry.content.map(|content| (content.address, content.port)), Some(("10.0.0.1".to_owned(), 80)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(id in "(?s).{1,30}", name in "(?s).{1,70}", key in "[a-z._]{1,20}", value in "(?s).{0,20}") {
            let mut service = Service { name, ..service(&id) };
            Arc::make_mut(&mut service.attributes).insert(key, value);
            let instance = Instance::of(&service, "web1").unwrap();
            let body = serde_json::to_vec(&json!([instance.to_json()])).unwrap();
            prop_assert_eq!(list(&instance.name, &body), Some(vec![instance.clone()]));
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            prop_assert!(!instance.name.is_empty() && instance.name.chars().all(plain), "{}", instance.name);
        }
    }
}
