//! The services that run, as templates see them.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use gtmpl_ng::Value;

use super::args::{Args, Failed, Given, at_least, exactly, functions, text};
use crate::template::engine::Table;
use crate::template::instance::{Data, Dot, Health, Instance};
use crate::template::scope;

pub(in crate::template) static TABLE: Table = functions! {
    "services", exactly(0), services;
    "service", at_least(1), service;
};

/// What works on instances, wherever they come from.
pub(in crate::template) static PURE: Table = functions! {
    "byTag", exactly(1), by_tag;
};

/// The dot of a file's template.
pub(in crate::template) fn dot(dot: &Dot) -> Value {
    match dot {
        // Not nil: of that, the engine refuses every field, where Go prints `<no value>`.
        Dot::Nothing => Value::NoValue,
        Dot::Service { name, instances } => whole(name, &instances.iter().collect::<Vec<_>>()),
        Dot::Instance(instance) => one(instance),
    }
}

/// All services by name, each with all its instances.
fn services(_: &Args<'_>) -> Given {
    with_data(|data| {
        Ok(Value::Array(data.services().into_iter().map(|(name, instances)| whole(name, &instances)).collect()))
    })
}

/// `service NAME [TAG] [HEALTH]`: the instances that have the tag, in a state of health: `passing`, if none is named.
fn service(args: &Args<'_>) -> Given {
    let mut wanted = Wanted { healths: vec![Health::Passing], tags: Vec::new() };
    let (name, healths) = match args.text(0)?.split_once('|') {
        Some((name, healths)) => (name, Some(healths)),
        None => (args.text(0)?, None),
    };
    for filter in healths.into_iter().chain(args.all()[1..].iter().map(text).collect::<Result<Vec<_>, _>>()?) {
        match healths_of(filter) {
            Some(healths) => wanted.healths = healths,
            None if healths == Some(filter) => return Err(unknown_health(filter)),
            None => wanted.tags.push(filter),
        }
    }
    with_data(|data| {
        // `tag.name`, unless a service has a point in its name.
        let is_service = data.instances.iter().any(|instance| instance.name == name);
        let (name, tag) = match name.split_once('.') {
            Some((tag, name)) if !is_service => (name, Some(tag)),
            _ => (name, None),
        };
        wanted.tags.extend(tag);
        let mut instances: Vec<_> = data.instances.iter().filter(|each| each.name == name && wanted.is(each)).collect();
        instances.sort_by(|this, other| this.id.cmp(&other.id));
        Ok(Value::Array(instances.into_iter().map(|each| one(each)).collect()))
    })
}

/// Which instances of a service are wanted.
struct Wanted<'t> {
    healths: Vec<Health>,
    tags: Vec<&'t str>,
}

impl Wanted<'_> {
    fn is(&self, instance: &Instance) -> bool {
        self.healths.contains(&instance.health)
            && self.tags.iter().all(|tag| instance.tags.iter().any(|other| other == tag))
    }
}

/// The states of health that a text names, if it names nothing else: `passing,warning`, or `any`.
fn healths_of(text: &str) -> Option<Vec<Health>> {
    let all = [Health::Passing, Health::Warning, Health::Critical];
    if text == "any" {
        return Some(all.to_vec());
    }
    text.split(',').map(|name| all.into_iter().find(|health| health.as_str() == name.trim())).collect()
}

fn unknown_health(text: &str) -> Failed {
    Failed::new(format_args!("{text:?} is no state of health: passing, warning, critical or any"))
}

/// A map of tags, each with the instances that have it.
fn by_tag(args: &Args<'_>) -> Given {
    let mut groups: HashMap<String, Vec<Value>> = HashMap::new();
    for item in args.list(0)? {
        let Value::Object(fields) = item else { return Err(Failed::expected("Instance", item)) };
        let Some(Value::Array(tags)) = fields.get("Tags") else { return Err(Failed::expected("Instance", item)) };
        for tag in tags {
            groups.entry(text(tag)?.to_owned()).or_default().push(item.clone());
        }
    }
    Ok(Value::Map(groups.into_iter().map(|(tag, items)| (tag, Value::Array(items))).collect()))
}

/// A service: its name, the tags of all its instances, and these.
fn whole(name: &str, instances: &[&Arc<Instance>]) -> Value {
    let tags: BTreeSet<&str> = instances.iter().flat_map(|instance| &instance.tags).map(String::as_str).collect();
    object([
        ("Name", Value::from(name)),
        ("Tags", Value::from(tags.into_iter().collect::<Vec<_>>())),
        ("Instances", Value::Array(instances.iter().map(|instance| one(instance)).collect())),
    ])
}

/// An instance with its fields.
fn one(instance: &Instance) -> Value {
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
    Value::Object(fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn with_data(work: impl FnOnce(&Data) -> Given) -> Given {
    scope::with(|scope| work(&scope.data)).unwrap_or_else(|| Err(Failed::new("no services are at hand")))
}
