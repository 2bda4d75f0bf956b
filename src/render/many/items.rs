//! What there is a file for: each service, or each instance.

use std::sync::Arc;

use crate::render::resource::ForEach;
use crate::template::{Data, Dot};

/// One thing that there is a file for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What the template of its file gets.
    pub dot: Dot,
    /// What the template of its path gets, by name.
    pub fields: Vec<(&'static str, String)>,
}

impl Item {
    /// What it is called in messages.
    #[must_use]
    pub fn label(&self) -> String {
        let field = |wanted: &str| self.fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value);
        match &self.dot {
            Dot::Instance(_) => {
                format!("instance {}", field("ID").map(String::as_str).unwrap_or_default().escape_debug())
            }
            _ => format!("service {}", field("Name").map(String::as_str).unwrap_or_default().escape_debug()),
        }
    }
}

/// Everything that there is a file for, in order: services by name, instances by service and identity.
#[must_use]
pub fn items(for_each: ForEach, data: &Data) -> Vec<Item> {
    let services = data.services();
    match for_each {
        ForEach::Service => services
            .into_iter()
            .map(|(name, instances)| Item {
                fields: vec![("Name", name.to_owned())],
                dot: Dot::Service { name: name.to_owned(), instances: instances.into_iter().map(Arc::clone).collect() },
            })
            .collect(),
        ForEach::Instance => services
            .into_values()
            .flatten()
            .map(|instance| Item {
                fields: vec![
                    ("Name", instance.name.clone()),
                    ("ID", instance.id.clone()),
                    ("Address", instance.address.clone()),
                    ("Port", instance.port.to_string()),
                    ("Node", instance.node.clone()),
                    ("Container", instance.container.clone()),
                ],
                dot: Dot::Instance(Arc::clone(instance)),
            })
            .collect(),
    }
}
