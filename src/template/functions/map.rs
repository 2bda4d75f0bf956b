//! Maps: made and read.

use std::collections::HashMap;

use gtmpl_ng::Value;

use super::args::{Args, Failed, Given, at_least, exactly, functions};
use crate::template::engine::Table;

pub(in crate::template) static TABLE: Table = functions! {
    "map", at_least(0), map;
    "dict", at_least(0), map;
    "hasKey", exactly(2), |args| Ok(Value::from(args.map(0)?.contains_key(args.text(1)?)));
    "keys", exactly(1), |args| Ok(Value::from(sorted_keys(args.map(0)?)));
    "values", exactly(1), values;
    "pluck", at_least(1), pluck;
};

/// `map K V …`
pub(super) fn map(args: &Args<'_>) -> Given {
    if !args.all().len().is_multiple_of(2) {
        return Err(Failed::new("invalid map call"));
    }
    let mut entries = HashMap::new();
    for pair in args.all().chunks_exact(2) {
        let [Value::String(key), value] = pair else { return Err(Failed::new("map keys must be strings")) };
        entries.insert(key.clone(), value.clone());
    }
    Ok(Value::Map(entries))
}

pub(super) fn sorted_keys(entries: &HashMap<String, Value>) -> Vec<&str> {
    let mut keys: Vec<_> = entries.keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

/// In the order of their keys.
fn values(args: &Args<'_>) -> Given {
    let entries = args.map(0)?;
    Ok(Value::Array(sorted_keys(entries).into_iter().filter_map(|key| entries.get(key)).cloned().collect()))
}

/// `pluck K M…`: what the maps have under this key.
fn pluck(args: &Args<'_>) -> Given {
    let key = args.text(0)?;
    let mut found = Vec::new();
    for position in 1..args.all().len() {
        found.extend(args.map(position)?.get(key).cloned());
    }
    Ok(Value::Array(found))
}
