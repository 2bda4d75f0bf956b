//! What a provider holds, and which records it takes.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

use super::{Options, ZONE};

/// Sets by name and type.
#[derive(Default)]
pub(super) struct Zone {
    sets: BTreeMap<(String, String), (Vec<String>, u64)>,
}

/// A set as it came.
struct Endpoint {
    key: (String, String),
    targets: Vec<String>,
    ttl: u64,
}

impl Endpoint {
    /// Reads a set.
    ///
    /// # Errors
    /// Why it is none that can be held.
    fn read(value: &Value) -> Result<Self, String> {
        let text = |name: &str| value[name].as_str().map(str::to_owned).ok_or(format!("{name} is missing"));
        let (name, kind) = (text("dnsName")?, text("recordType")?);
        let targets: Vec<_> = value["targets"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|target| target.as_str().map(str::to_owned).ok_or("a target is no text"))
            .collect::<Result<_, _>>()?;
        if targets.is_empty() {
            return Err(format!("{name} {kind} has no targets"));
        }
        let is_label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(|c| c.is_ascii_graphic());
        if name.len() > 253 || !name.split('.').all(is_label) || !name.ends_with(&format!(".{ZONE}")) {
            return Err(format!("{name} is no name in the zone"));
        }
        for target in &targets {
            let fits = match kind.as_str() {
                "A" => target.parse::<Ipv4Addr>().is_ok(),
                "AAAA" => target.parse::<Ipv6Addr>().is_ok(),
                "SRV" => {
                    let parts: Vec<_> = target.split(' ').collect();
                    parts.len() == 4
                        && parts[..3].iter().all(|part| part.parse::<u16>().is_ok())
                        && target.ends_with('.')
                }
                "TXT" => target.len() <= 255 && target.starts_with('"') && target.ends_with('"'),
                _ => true,
            };
            if !fits {
                return Err(format!("{target} is no target of {kind}"));
            }
        }
        let ttl = value["recordTTL"].as_u64().unwrap_or_default();
        Ok(Self { key: (name, kind), targets, ttl })
    }
}

impl Zone {
    pub(super) fn put(&mut self, name: &str, kind: &str, targets: &[&str]) {
        let targets = targets.iter().map(|target| (*target).to_owned()).collect();
        self.sets.insert((name.to_owned(), kind.to_owned()), (targets, 60));
    }

    pub(super) fn delete(&mut self, name: &str, kind: &str) {
        self.sets.remove(&(name.to_owned(), kind.to_owned()));
    }

    pub(super) fn targets(&self, name: &str, kind: &str) -> Vec<String> {
        let found = self.sets.get(&(name.to_owned(), kind.to_owned()));
        let mut targets = found.map(|(targets, _)| targets.clone()).unwrap_or_default();
        targets.sort();
        targets
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.sets.iter().map(|((name, kind), (targets, _))| format!("{name} {kind} {}", targets.join(" | "))).collect()
    }

    /// As `GET /records` has it.
    pub(super) fn to_json(&self, options: Options) -> Value {
        let one = |name: &str, kind: &str, targets: Value, ttl: u64| json!({"dnsName": name, "recordType": kind, "targets": targets, "recordTTL": ttl, "labels": {}});
        let sets = self.sets.iter().flat_map(|((name, kind), (targets, ttl))| {
            if !options.is_odd {
                return vec![one(name, kind, json!(targets), *ttl)];
            }
            let plain = |target: &String| match kind.as_str() {
                "TXT" => target.trim_matches('"').to_owned(),
                "AAAA" => target.to_uppercase(),
                _ => target.clone(),
            };
            targets.iter().map(|target| one(&format!("{name}."), kind, json!([plain(target)]), 0)).collect()
        });
        Value::Array(sets.collect())
    }

    /// As `/adjustendpoints` has it.
    pub(super) fn adjusted(options: Options, sets: &Value) -> Value {
        let kept = sets.as_array().into_iter().flatten().filter(|set| set["recordType"].as_str() != options.drops);
        let adjusted = kept.map(|set| {
            let mut set = set.clone();
            let ttl = set["recordTTL"].as_u64().unwrap_or_default();
            set["recordTTL"] = ttl.max(options.least_ttl).into();
            set
        });
        Value::Array(adjusted.collect())
    }

    /// Makes changes until one cannot be made.
    ///
    /// # Errors
    /// Why it cannot.
    pub(super) fn apply(&mut self, options: Options, changes: &Value, most: usize) -> Result<(), String> {
        let mut left = most;
        let mut count = || {
            left = left.checked_sub(1).ok_or("the upstream is down")?;
            Ok::<(), String>(())
        };
        let list = |name: &str| changes[name].as_array().cloned().unwrap_or_default();
        let read = |value: &Value| {
            let endpoint = Endpoint::read(value)?;
            if options.refuses == Some(&endpoint.key.1) {
                return Err(format!("{} records are not supported", endpoint.key.1));
            }
            Ok(endpoint)
        };
        for value in list("create") {
            let Endpoint { key, targets, ttl } = read(&value)?;
            count()?;
            if self.sets.contains_key(&key) {
                return Err(format!("{} {} exists", key.0, key.1));
            }
            if options.forgets != Some(&key.1) {
                self.sets.insert(key, (targets, ttl));
            }
        }
        let (old, new) = (list("updateOld"), list("updateNew"));
        if old.len() != new.len() {
            return Err("updateOld and updateNew are no pairs".to_owned());
        }
        for (old, new) in old.iter().zip(new) {
            let (old, Endpoint { key, targets, ttl }) = (&old["dnsName"], read(&new)?);
            count()?;
            if old.as_str() != Some(&key.0) || !self.sets.contains_key(&key) {
                return Err(format!("{} {} is not there", key.0, key.1));
            }
            self.sets.insert(key, (targets, ttl));
        }
        for value in list("delete") {
            let Endpoint { key, .. } = Endpoint::read(&value)?;
            count()?;
            if self.sets.remove(&key).is_none() {
                return Err(format!("{} {} is not there", key.0, key.1));
            }
        }
        Ok(())
    }
}
