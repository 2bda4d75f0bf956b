//! `/sd/prometheus`: what runs, as Prometheus's HTTP service discovery reads it
//! (<https://prometheus.io/docs/prometheus/latest/http_sd/>). Pure.

use std::collections::BTreeMap;

use registrator_words::authority;
use serde::Serialize;

use super::catalog::{Instance, Node};

/// A target with its labels; all begin with `__meta_registrator_`, for relabelling.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Target {
    targets: [String; 1],
    labels: BTreeMap<String, String>,
}

impl Target {
    pub(super) fn new(node: &Node, instance: &Instance) -> Self {
        let service = &*instance.definition;
        let mut labels = BTreeMap::new();
        let mut label = |name: &str, value: &str| labels.insert(format!("__meta_registrator_{name}"), value.to_owned());
        label("service", &service.name);
        label("service_id", &service.id);
        label("address", &service.address);
        label("port", &service.port.to_string());
        label("protocol", service.protocol);
        label("node", &node.name);
        label("datacenter", &node.datacenter);
        label("health", instance.status().as_str());
        // Commas on both ends, so that a regular expression finds a whole tag: `.*,web,.*`.
        let tags: String = service.tags.iter().fold(",".to_owned(), |tags, tag| tags + tag + ",");
        label("tags", &tags);
        for (key, value) in service.meta.iter() {
            label(&format!("attribute_{}", label_name(key)), value);
        }
        Self { targets: [authority(&service.address, service.port)], labels }
    }
}

/// A key as part of a label's name: every other byte than a letter, a digit and `_` is `_`.
fn label_name(key: &str) -> String {
    key.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}
