//! How a service is spelled in Eureka: its application, its ID, its metadata. Pure.
//!
//! Names stand in paths and in XML. Servers refuse encoded slashes and percent signs in paths (Tomcat, Spring Security), and
//! one metadata key that is no XML name breaks the list for every reader of XML. So odd bytes of names are `~xx`, and
//! attributes that XML cannot hold are left out.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use registrator_words::xml::{self, is_xml};

use crate::container::{Health, Protocol};
use crate::registry::RegistryError;
use crate::service::{CheckKind, Service, authority};

use super::instance::{DataCenter, Instance, OWNER, Port, SERVICE_ID, STATUS, Status};

/// What our own metadata keys begin with.
const RESERVED: &str = "registrator.";
/// What the attributes begin with that set a field of the instance.
const PREFIX: &str = "eureka_";
/// What follows it in the attributes that are metadata.
const METADATA: &str = "metadata_";
/// The lease of Eureka's own clients.
const RENEWAL: u64 = 30;
const DURATION: u64 = 90;

/// What a registry adds to each of its entries.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style<'a> {
    /// The owner to record, if any.
    pub(super) owner: Option<&'a str>,
    /// How often an entry with a TTL is refreshed.
    pub(super) refresh: Option<Duration>,
}

/// The key of a service: its path below `apps/`.
pub(super) fn key(service: &Service) -> Arc<str> {
    format!("{}/{}", app(service), part(&service.id)).into()
}

/// The application: Eureka has its names in upper case.
fn app(service: &Service) -> String {
    part(&service.name).to_ascii_uppercase()
}

/// Any text as a part of a path. Different texts give different parts.
pub(super) fn part(text: &str) -> String {
    let only_dots = matches!(text, "." | "..");
    let mut part = String::with_capacity(text.len());
    for byte in text.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b':') || (byte == b'.' && !only_dots);
        if plain {
            part.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(part, "~{byte:02x}");
        }
    }
    part
}

/// The lease: how often it is renewed, and how long it lasts, in seconds.
pub(super) fn lease(service: &Service, refresh: Option<Duration>) -> (u64, u64) {
    let attribute = |name: &str| {
        attribute(service, name).and_then(|text| text.trim().parse::<u32>().ok()).filter(|seconds| *seconds > 0)
    };
    let (renewal, duration) = match service.ttl {
        Some(ttl) => {
            let every = refresh.filter(|every| *every < ttl).unwrap_or(ttl / 3);
            (every.as_secs().max(1), ttl.as_secs().max(1))
        }
        None => (RENEWAL, DURATION),
    };
    let renewal = attribute("leaseinfo_renewalintervalinsecs").map_or(renewal, u64::from);
    let duration = attribute("leaseinfo_durationinsecs").map_or(duration, u64::from);
    // A lease that ends before it is renewed would come and go.
    (renewal, duration.max(renewal + 1))
}

/// The instance that a service is.
///
/// # Errors
/// `Refused`, when Eureka could not hold it.
pub(super) fn instance(service: &Service, style: Style<'_>) -> Result<Instance, RegistryError> {
    if service.id.is_empty() || service.name.is_empty() {
        return Err(RegistryError::service("it has no ID or no name"));
    }
    if !service.id.chars().all(is_xml) {
        return Err(RegistryError::service(
            "its ID has characters that XML, in which Eureka answers, cannot hold; set SERVICE_ID",
        ));
    }
    let address = attribute(service, "ipaddr")
        .or_else(|| attribute(service, "datacenterinfo_publicipv4").filter(|_| is_public(service)));
    let address = address.unwrap_or(&service.address).to_owned();
    if address.is_empty() || address.contains(|c: char| c.is_whitespace() || !is_xml(c) || c.is_control()) {
        return Err(RegistryError::service(format!(
            "{address:?} is no address that Eureka's clients could connect to; set SERVICE_IP or SERVICE_EUREKA_IPADDR"
        )));
    }
    let at = authority(&address, service.port);
    let health_check = match service.check.as_ref().map(|check| &check.kind) {
        Some(CheckKind::Http { tls, path, .. }) if path.chars().all(is_xml) => {
            Some(format!("{}://{at}{path}", if *tls { "https" } else { "http" }))
        }
        _ => None,
    };
    let vip = attribute(service, "vip").map_or_else(|| part(&service.name).to_ascii_lowercase(), str::to_owned);
    let (renewal, duration) = lease(service, style.refresh);
    let status = status(service);
    Ok(Instance {
        app: app(service),
        id: part(&service.id),
        port: Port { number: service.port, enabled: true },
        secure_port: Port { number: 443, enabled: false },
        status,
        overridden: None,
        home_page: format!("http://{at}/"),
        health_check,
        secure_vip: vip.clone(),
        vip,
        data_center: data_center(service, &address),
        host: address.clone(),
        address,
        renewal,
        duration,
        metadata: metadata(service, style.owner, status),
        dirty: 0,
    })
}

/// The status, without regard to marks.
fn status(service: &Service) -> Status {
    let health = match service.health {
        Health::None | Health::Healthy => Status::Up,
        Health::Starting => Status::Starting,
        Health::Unhealthy => Status::Down,
    };
    match attribute(service, "status").and_then(given) {
        None | Some(Status::Up) => health,
        Some(status) => status,
    }
}

/// A status that may be given. Not `UNKNOWN`: a server refuses the heartbeats of such an instance.
fn given(text: &str) -> Option<Status> {
    Status::parse(text).filter(|status| *status != Status::Unknown)
}

/// Whether the public address is wanted, as the fork of registrator with Eureka spells it.
fn is_public(service: &Service) -> bool {
    attribute(service, "register_aws_public_ip").is_some_and(|text| text.eq_ignore_ascii_case("true"))
}

/// Attributes of Amazon's data centre, and their keys there.
const AMAZON: [(&str, &str); 4] = [
    ("datacenterinfo_localhostname", "local-hostname"),
    ("datacenterinfo_localipv4", "local-ipv4"),
    ("datacenterinfo_publichostname", "public-hostname"),
    ("datacenterinfo_publicipv4", "public-ipv4"),
];

fn data_center(service: &Service, address: &str) -> DataCenter {
    let name = attribute(service, "datacenterinfo_name").filter(|name| DataCenter::NAMES.contains(name));
    let mut data_center = DataCenter { name: name.unwrap_or("MyOwn").to_owned(), metadata: BTreeMap::new() };
    if data_center.name == "Amazon" {
        data_center.metadata.insert("local-ipv4".to_owned(), address.to_owned());
        for (name, key) in AMAZON {
            if let Some(value) = attribute(service, name) {
                data_center.metadata.insert(key.to_owned(), value.to_owned());
            }
        }
    }
    data_center
}

/// The value of `SERVICE_EUREKA_<name>`, where XML can hold it.
fn attribute<'a>(service: &'a Service, name: &str) -> Option<&'a str> {
    let value = service.attributes.iter().find(|(key, _)| key.strip_prefix(PREFIX) == Some(name))?.1;
    Some(value.trim()).filter(|value| !value.is_empty() && value.chars().all(is_xml))
}

fn metadata(service: &Service, owner: Option<&str>, status: Status) -> BTreeMap<String, String> {
    let mut metadata = BTreeMap::new();
    let mut add = |key: &str, value: &str| drop(metadata.insert(key.to_owned(), value.to_owned()));
    let tags = service.tags.join(",");
    if !tags.is_empty() && tags.chars().all(is_xml) {
        add("tags", &tags);
    }
    for (key, value) in service.attributes.iter() {
        let key = match key.strip_prefix(PREFIX) {
            None => key,
            Some(rest) => match rest.strip_prefix(METADATA) {
                Some(key) => key,
                None => continue,
            },
        };
        if objection(key, value).is_none() {
            add(key, value);
        }
    }
    // As the fork of registrator with Eureka has them.
    add("is-container", "true");
    add("container-id", service.origin.container.as_str());
    if service.origin.container_name.chars().all(is_xml) {
        add("container-name", &service.origin.container_name);
    }
    if service.protocol != Protocol::Tcp {
        add("protocol", service.protocol.as_str());
    }
    add(SERVICE_ID, &service.id);
    add(STATUS, status.as_str());
    if let Some(owner) = owner {
        add(OWNER, owner);
    }
    metadata
}

/// Why Eureka does not get a metadata key with this value.
fn objection(key: &str, value: &str) -> Option<&'static str> {
    let reserved = || key.starts_with(RESERVED).then_some("its key begins with registrator.");
    xml::objection(key, value).or_else(reserved)
}

/// The attributes that Eureka does not get, and why.
pub(in crate::registry) fn left_out(service: &Service) -> Vec<(&str, &'static str)> {
    let reason = |key: &str, value: &str| match key.strip_prefix(PREFIX) {
        None => objection(key, value),
        Some(_) if !value.chars().all(is_xml) => Some("its value has characters that XML cannot hold"),
        Some("status") => {
            given(value.trim()).is_none().then_some("it is none of UP, DOWN, STARTING and OUT_OF_SERVICE")
        }
        Some("datacenterinfo_name") => {
            (!DataCenter::NAMES.contains(&value.trim())).then_some("it is none of MyOwn, Amazon and Netflix")
        }
        Some("leaseinfo_renewalintervalinsecs" | "leaseinfo_durationinsecs") => {
            (!value.trim().parse::<u32>().is_ok_and(|seconds| seconds > 0)).then_some("it is no number of seconds")
        }
        Some("datacenterinfo_auto_populate") => {
            value.trim().eq_ignore_ascii_case("true").then_some("Amazon is not asked: set the values themselves")
        }
        Some("vip" | "ipaddr" | "register_aws_public_ip") => None,
        Some(rest) => match rest.strip_prefix(METADATA) {
            Some(key) => objection(key, value),
            None if AMAZON.iter().any(|(name, _)| *name == rest) => None,
            None => Some("there is no such setting"),
        },
    };
    service.attributes.iter().filter_map(|(key, value)| Some((key.as_str(), reason(key, value)?))).collect()
}

#[cfg(test)]
mod tests;
