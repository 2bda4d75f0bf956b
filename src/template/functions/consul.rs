//! consul-template's functions for keys. Its `ls` is not among them: confd's has that name.

use std::collections::HashMap;

use gtmpl_ng::Value;

use super::args::{Args, Failed, Given, exactly, functions, text};
use super::store::{missing, with_keys};
use crate::template::engine::Table;

pub(in crate::template) static TABLE: Table = functions! {
    "key", exactly(1), key;
    "keyOrDefault", exactly(2), key_or_default;
    "keyExists", exactly(1), key_exists;
    "tree", exactly(1), tree;
    "byKey", exactly(1), by_key;
    "explode", exactly(1), explode;
};

/// How deep `explode` nests: not deeper than the engine allows values to be.
const DEEPEST: usize = 100;

/// Its keys have no slash at their start; ours have.
fn absolute(key: &str) -> String {
    format!("/{}", key.trim_start_matches('/'))
}

fn key(args: &Args<'_>) -> Given {
    let key = absolute(args.text(0)?);
    with_keys(|keys| keys.get(&key).map(Value::from).ok_or_else(|| missing(&key)))
}

fn key_or_default(args: &Args<'_>) -> Given {
    let (key, default) = (absolute(args.text(0)?), args.text(1)?);
    with_keys(|keys| Ok(Value::from(keys.get(&key).unwrap_or(default))))
}

fn key_exists(args: &Args<'_>) -> Given {
    let key = absolute(args.text(0)?);
    with_keys(|keys| Ok(Value::from(keys.get(&key).is_some())))
}

/// `tree PREFIX`: all keys below, in order, however deep: `.Path` is the whole key, `.Key` what is behind the prefix.
fn tree(args: &Args<'_>) -> Given {
    let prefix = absolute(args.text(0)?.trim_end_matches('/'));
    let prefix = if prefix == "/" { prefix } else { format!("{prefix}/") };
    with_keys(|keys| {
        let below = keys.iter().filter_map(|(path, value)| {
            let key = path.strip_prefix(&prefix).filter(|key| !key.is_empty())?;
            Some(pair(path, key, value))
        });
        Ok(Value::Array(below.collect()))
    })
}

fn pair(path: &str, key: &str, value: &str) -> Value {
    let fields = [("Path", path), ("Key", key), ("Value", value)];
    Value::Object(fields.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect())
}

/// `byKey PAIRS`: of the pairs of a tree, a map by the first element of their keys, of maps by the rest.
fn by_key(args: &Args<'_>) -> Given {
    let mut groups: HashMap<String, HashMap<String, Value>> = HashMap::new();
    for item in args.list(0)? {
        let Value::Object(fields) = item else { return Err(Failed::expected("KeyPair", item)) };
        let field = |name| fields.get(name).map_or(Ok(""), text);
        if let Some((group, rest)) = field("Key")?.split_once('/') {
            let pair = pair(field("Path")?, rest, field("Value")?);
            groups.entry(group.to_owned()).or_default().insert(rest.to_owned(), pair);
        }
    }
    Ok(Value::Map(groups.into_iter().map(|(group, pairs)| (group, Value::Map(pairs))).collect()))
}

/// `explode PAIRS`: of the pairs of a tree, nested maps: a folder is a map.
fn explode(args: &Args<'_>) -> Given {
    let mut root = HashMap::new();
    for item in args.list(0)? {
        let Value::Object(fields) = item else { return Err(Failed::expected("KeyPair", item)) };
        let field = |name| fields.get(name).map_or(Ok(""), text);
        let key = field("Key")?;
        // A key that ends with a slash is a folder's own.
        let Some(name) = key.rsplit('/').next().filter(|name| !name.is_empty()) else { continue };
        let folders: Vec<&str> = key.split('/').collect();
        if folders.len() > DEEPEST {
            return Err(Failed::new(format_args!("a key has more than {DEEPEST} parts")));
        }
        let mut folder = &mut root;
        for part in &folders[..folders.len() - 1] {
            let below = folder.entry((*part).to_owned()).or_insert_with(|| Value::Map(HashMap::new()));
            let Value::Map(below) = below else { return Err(both(key)) };
            folder = below;
        }
        if folder.contains_key(name) {
            return Err(both(key));
        }
        folder.insert(name.to_owned(), Value::from(field("Value")?));
    }
    Ok(Value::Map(root))
}

fn both(key: &str) -> Failed {
    Failed::new(format_args!("a part of {key} is both a key and a folder"))
}
