//! What registries and their readers would refuse of a service, known before it is written. Pure.

use crate::service::Service;

use super::consul::spelling;
use super::eureka::spelling as eureka;
use super::label;

/// What an objection is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// The service's name.
    Name,
    /// Its ID.
    Id,
    /// The attribute with this key.
    Attribute(String),
}

/// What would be refused, and why. The text is one line and names the registry; names in it are not repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Objection {
    /// What it is about.
    pub about: About,
    /// What happens.
    pub text: String,
}

/// The objections of the registries with these URIs; without URIs, those of all.
#[must_use]
pub fn objections(service: &Service, uris: &[&str]) -> Vec<Objection> {
    let writes_to = |schemes: &[&str]| {
        let has =
            |uri: &str| schemes.contains(&uri.split(':').next().unwrap_or_default().to_ascii_lowercase().as_str());
        uris.is_empty() || uris.iter().any(|uri| has(uri))
    };
    let mut objections = Vec::new();
    if writes_to(&["consul", "consul-tls", "consul-unix"]) {
        if let Some(reason) = spelling::id_objection(&service.id) {
            objections.push(Objection { about: About::Id, text: format!("Consul refuses it: {reason}") });
        }
        for (key, reason) in spelling::left_out(service, Some("owner")) {
            let text = format!("Consul refuses it ({reason}), so it is left out");
            objections.push(Objection { about: About::Attribute(key.to_owned()), text });
        }
    }
    if writes_to(&["eureka", "eureka-tls"]) {
        for (key, reason) in eureka::left_out(service) {
            let text = format!("Eureka does not take it ({reason}), so it is left out");
            objections.push(Objection { about: About::Attribute(key.to_owned()), text });
        }
    }
    if !label::is_label(&service.name.to_ascii_lowercase()) {
        if writes_to(&["consul", "consul-tls", "consul-unix", "embedded"]) {
            let text = "it is no name for DNS, so Consul's DNS cannot be asked for it".to_owned();
            objections.push(Objection { about: About::Name, text });
        } else if writes_to(&["skydns2", "coredns"]) {
            let text = format!("it is no name for DNS, so it is {:?} there", label::of_name(&service.name));
            objections.push(Objection { about: About::Name, text });
        }
    }
    // Without URIs, what has been said is enough.
    if !uris.is_empty() && writes_to(&["rfc2136", "webhook+http", "webhook+https", "discoverd"]) {
        let there = label::host_of_name(&service.name, label::LONGEST);
        if there != service.name.to_ascii_lowercase() {
            let text = format!("it is no name of a host, so it is {there:?} there");
            objections.push(Objection { about: About::Name, text });
        }
    }
    objections
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::registry::kv::testing::service;

    fn about(service: &Service, uris: &[&str]) -> Vec<About> {
        objections(service, uris).into_iter().map(|objection| objection.about).collect()
    }

    #[test]
    fn a_plain_service_is_refused_nowhere() {
        for name in ["web", "my_app", "Web-1"] {
            assert_eq!(about(&Service { name: name.to_owned(), ..service("host:web:80") }, &[]), []);
        }
    }

    #[test]
    fn only_those_who_refuse_something_object() {
        let dotted = Service { name: "my.app".to_owned(), ..service("x") };
        for (uris, expected) in [
            (&[][..], &[About::Name][..]),
            (&["consul://h:1"], &[About::Name]),
            (&["EMBEDDED://"], &[About::Name]),
            (&["coredns://h/skydns?zone=x"], &[About::Name]),
            (&["etcd://h", "consulkv://h/p", "zookeeper://h"], &[]),
        ] {
            assert_eq!(about(&dotted, uris), expected, "{uris:?}");
        }
        let made = "it is no name of a host, so it is \"my-app-104b9c4c\" there";
        for uri in ["rfc2136://h/z", "webhook+http://h/z", "WEBHOOK+https://h/z", "discoverd:"] {
            let objections = objections(&dotted, &[uri]);
            assert_eq!(objections.iter().map(|objection| &*objection.text).collect::<Vec<_>>(), [made], "{uri}");
            assert_eq!(about(&service("x"), &[uri]), []);
        }
        assert_eq!(about(&service("a//b"), &["consul:"]), [About::Id]);
        assert_eq!(about(&service("a//b"), &["etcd:"]), []);
        let attributes = [("a.b".to_owned(), "1".to_owned()), ("ok".to_owned(), "1".to_owned())];
        let odd = Service { attributes: Arc::new(attributes.into_iter().collect()), ..service("x") };
        assert_eq!(about(&odd, &["consul:"]), [About::Attribute("a.b".to_owned())]);
        let attributes = [("a/b".to_owned(), "1".to_owned()), ("a.b".to_owned(), "1".to_owned())];
        let odd = Service { attributes: Arc::new(attributes.into_iter().collect()), ..service("x") };
        assert_eq!(about(&odd, &["eureka:"]), [About::Attribute("a/b".to_owned())]);
    }
}
