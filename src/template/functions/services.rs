//! The services that run, as templates see them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use gtmpl_ng::Value;

use crate::template::instance::{Dot, Instance};

/// The dot of a file's template.
pub(in crate::template) fn dot(dot: &Dot) -> Value {
    match dot {
        // Not nil: of that, the engine refuses every field, where Go prints `<no value>`.
        Dot::Nothing => Value::NoValue,
        Dot::Service { name, instances } => service(name, instances.iter()),
        Dot::Instance(instance) => self::instance(instance),
    }
}

/// A service: its name, the tags of all its instances, and these.
fn service<'i>(name: &str, instances: impl Iterator<Item = &'i Arc<Instance>> + Clone) -> Value {
    let tags: BTreeSet<&str> = instances.clone().flat_map(|instance| &instance.tags).map(String::as_str).collect();
    object([
        ("Name", Value::from(name)),
        ("Tags", Value::from(tags.into_iter().collect::<Vec<_>>())),
        ("Instances", Value::Array(instances.map(|each| instance(each)).collect())),
    ])
}

/// An instance with its fields.
fn instance(instance: &Instance) -> Value {
    let attrs = instance.attrs.iter().map(|(name, value)| (name.clone(), Value::from(value.as_str())));
    object([
        ("ID", Value::from(instance.id.as_str())),
        ("Name", Value::from(instance.name.as_str())),
        ("Address", Value::from(instance.address.as_str())),
        ("Port", Value::from(instance.port)),
        ("Tags", Value::Array(instance.tags.iter().map(|tag| Value::from(tag.as_str())).collect())),
        ("Attrs", Value::Map(attrs.collect())),
        ("Health", Value::from(instance.health.as_str())),
        ("Node", Value::from(instance.node.as_str())),
        ("Container", Value::from(instance.container.as_str())),
    ])
}

fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<HashMap<_, _>>())
}
