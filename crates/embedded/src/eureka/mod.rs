//! `/eureka/…`: what runs, as Spring's applications read it from a Eureka server. Pure.
//!
//! It is the read side alone (<https://github.com/Netflix/eureka/wiki/Eureka-REST-operations>), in JSON and in XML. A client of
//! Eureka adds what `apps/delta` tells to what it has, and reads everything again if the numbers of instances by status
//! (`apps__hashcode`) then differ from ours. So a delta of everything that runs is right after any change.

mod instance;
mod xml;

use std::collections::BTreeMap;
use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use crate::catalog::{Catalog, Instance};

/// What is asked. Names are as they stand in the path, decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// `/eureka/apps`
    Apps,
    /// `/eureka/apps/delta`
    Delta,
    /// `/eureka/apps/<app>`
    App(String),
    /// `/eureka/apps/<app>/<id>`, whatever follows.
    Instance(String, String),
    /// `/eureka/instances/<id>`
    AnyInstance(String),
    /// `/eureka/vips/<vip>`
    Vip(String),
    /// `/eureka/svips/<vip>`
    SecureVip(String),
}

/// The path of Spring Cloud's server; Netflix's own has a version below it.
const PATH: &str = "/eureka/";
const VERSION: &str = "v2/";

impl Question {
    /// What a path asks for; `None` if it is none of Eureka's.
    pub(crate) fn of_path(path: &str) -> Option<Self> {
        let rest = path.strip_prefix(PATH)?;
        let rest = rest.strip_prefix(VERSION).unwrap_or(rest);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let text = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let parts: Vec<_> = rest.split('/').collect();
        Some(match *parts.as_slice() {
            ["apps"] => Self::Apps,
            ["apps", "delta"] => Self::Delta,
            ["apps", app] if !app.is_empty() => Self::App(text(app)),
            ["apps", app, id] | ["apps", app, id, "status" | "metadata"] => Self::Instance(text(app), text(id)),
            ["instances", id] => Self::AnyInstance(text(id)),
            ["vips", vip] => Self::Vip(text(vip)),
            ["svips", vip] => Self::SecureVip(text(vip)),
            _ => return None,
        })
    }

    /// The answer, with what it is called; `None` if there is no such thing.
    pub(crate) fn answer(&self, catalog: &Catalog) -> Option<Spelled> {
        let (indexes, instances) = catalog.instances();
        let version = indexes.services.max(indexes.checks);
        let list = |chosen: &dyn Fn(&Value) -> bool| {
            let all: Vec<_> = instances.iter().map(|instance| instance::spelled(instance)).collect();
            let code = hash_code(&all);
            let mut apps = BTreeMap::<String, Vec<Value>>::new();
            for instance in all.into_iter().filter(chosen) {
                let app = instance.get("app").and_then(Value::as_str).unwrap_or_default().to_owned();
                apps.entry(app).or_default().push(instance);
            }
            let apps: Vec<_> = apps.iter().map(|(name, all)| json!({"name": name, "instance": all})).collect();
            let found = !apps.is_empty();
            let value = json!({"versions__delta": version.to_string(), "apps__hashcode": code, "application": apps});
            (found, Spelled { name: "applications", value })
        };
        let named = |field: &'static str, wanted: &str| {
            let wanted = wanted.to_lowercase();
            let is_it = move |said: &Value| {
                said.get(field).and_then(Value::as_str).is_some_and(|it| it.to_lowercase() == wanted)
            };
            let (found, spelled) = list(&is_it);
            found.then_some(spelled)
        };
        let one = |is_it: &dyn Fn(&Arc<Instance>) -> bool| {
            let instance = instances.iter().find(|instance| is_it(instance))?;
            Some(Spelled { name: "instance", value: instance::spelled(instance) })
        };
        match self {
            Self::Apps | Self::Delta => Some(list(&|_| true).1),
            Self::App(app) => {
                let mut spelled = named("app", app)?;
                let value = spelled.value.get_mut("application")?.get_mut(0)?.take();
                Some(Spelled { name: "application", value })
            }
            Self::Instance(app, id) => one(&|instance| {
                *instance.definition.id == **id && instance::app(&instance.definition) == app.to_uppercase()
            }),
            Self::AnyInstance(id) => one(&|instance| *instance.definition.id == **id),
            Self::Vip(vip) => named("vipAddress", vip),
            Self::SecureVip(vip) => named("secureVipAddress", vip),
        }
    }
}

/// An answer, before it is JSON or XML.
pub(crate) struct Spelled {
    name: &'static str,
    value: Value,
}

impl Spelled {
    /// `{"applications":{…}}`
    pub(crate) fn json(&self) -> String {
        json!({ self.name: self.value }).to_string()
    }

    /// `<applications>…</applications>`
    pub(crate) fn xml(&self) -> String {
        xml::spelled(self.name, &self.value)
    }
}

/// The number of instances of each status: `DOWN_1_UP_2_`.
fn hash_code(instances: &[Value]) -> String {
    let mut counts = BTreeMap::<&str, usize>::new();
    for status in instances.iter().filter_map(|instance| instance.get("status")?.as_str()) {
        *counts.entry(status).or_default() += 1;
    }
    counts.iter().map(|(status, count)| format!("{status}_{count}_")).collect()
}

#[cfg(test)]
mod tests;
