//! An instance of the catalog as one of Eureka's.

use std::collections::BTreeMap;

use registrator_words::authority;
use registrator_words::xml::{is_xml, objection};
use serde_json::{Value, json};

use crate::catalog::{Instance, Status};
use crate::definition::{Definition, Health};

/// What the attributes begin with that set a field.
const PREFIX: &str = "eureka_";
/// What the attributes begin with that are metadata under a shorter key.
const METADATA: &str = "eureka_metadata_";

/// The application: the service's name in upper case.
pub(super) fn app(service: &Definition) -> String {
    service.name.to_uppercase()
}

/// An instance, as Netflix's `InstanceInfo` is spelled in JSON; `@` begins what is an attribute in XML.
pub(super) fn spelled(instance: &Instance) -> Value {
    let service = &*instance.definition;
    let attribute = |name: &str| {
        let value = service.meta.iter().find(|(key, _)| key.strip_prefix(PREFIX) == Some(name))?.1.trim();
        Some(value).filter(|value| !value.is_empty() && value.chars().all(is_xml))
    };
    let address = attribute("ipaddr").unwrap_or(&service.address);
    let vip = attribute("vip").map_or_else(|| service.name.to_lowercase(), str::to_owned);
    let changed =
        instance.checks.iter().map(|check| check.modify_index).fold(instance.modify_index, u64::max).to_string();
    json!({
        "instanceId": &*service.id, "app": app(service), "hostName": address, "ipAddr": address, "sid": "na",
        "status": status(instance, attribute("status")), "overriddenStatus": "UNKNOWN",
        "port": {"$": service.port, "@enabled": "true"}, "securePort": {"$": 443, "@enabled": "false"},
        "countryId": 1,
        "dataCenterInfo": {"@class": "com.netflix.appinfo.InstanceInfo$DefaultDataCenterInfo", "name": "MyOwn"},
        "leaseInfo": {"renewalIntervalInSecs": 30, "durationInSecs": 90, "registrationTimestamp": 0,
            "lastRenewalTimestamp": 0, "evictionTimestamp": 0, "serviceUpTimestamp": 0},
        "metadata": metadata(service),
        "homePageUrl": format!("http://{}/", authority(address, service.port)),
        "vipAddress": vip, "secureVipAddress": vip,
        "isCoordinatingDiscoveryServer": "false",
        "lastUpdatedTimestamp": changed, "lastDirtyTimestamp": changed, "actionType": "ADDED",
    })
}

/// A status that is given counts where it is worse than what the checks say.
fn status(instance: &Instance, given: Option<&str>) -> &'static str {
    let given = given.map(str::to_ascii_uppercase);
    let given = ["OUT_OF_SERVICE", "DOWN", "STARTING"].into_iter().find(|status| given.as_deref() == Some(status));
    if instance.is_marked() {
        return "OUT_OF_SERVICE";
    }
    given.unwrap_or(match (instance.definition.health, instance.status()) {
        (Health::Starting, _) => "STARTING",
        (_, Status::Critical) => "DOWN",
        (_, Status::Passing | Status::Warning) => "UP",
    })
}

/// Tags and attributes, as far as XML can hold them.
fn metadata(service: &Definition) -> Value {
    let mut metadata = BTreeMap::new();
    let tags = service.tags.join(",");
    if !tags.is_empty() && tags.chars().all(is_xml) {
        metadata.insert("tags", tags.as_str());
    }
    for (key, value) in service.meta.iter() {
        let key = match key.strip_prefix(METADATA) {
            Some(key) => key,
            None if key.starts_with(PREFIX) => continue,
            None => key,
        };
        if objection(key, value).is_none() {
            metadata.insert(key, value);
        }
    }
    if metadata.is_empty() { json!({"@class": "java.util.Collections$EmptyMap"}) } else { json!(metadata) }
}
