//! docker-gen's functions: lists of structs grouped and chosen by a path of fields, such as `Attrs.zone`.

use std::collections::{BTreeSet, HashMap};

use gtmpl_ng::Value;

use super::args::{Args, Failed, Given, exactly, functions};
use crate::template::engine::Table;

pub(in crate::template) static TABLE: Table = functions! {
    "groupBy", exactly(2), |args| grouped(args, |value| vec![value.to_string()]);
    "groupByMulti", exactly(3), group_by_multi;
    "groupByKeys", exactly(2), group_by_keys;
    "sortObjectsByKeysAsc", exactly(2), |args| sorted(args, false);
    "sortObjectsByKeysDesc", exactly(2), |args| sorted(args, true);
    "where", exactly(3), |args| chosen(args, |found| found == Some(args.value(2)));
    "whereNot", exactly(3), |args| chosen(args, |found| found != Some(args.value(2)));
    "whereExist", exactly(2), |args| chosen(args, |found| found.is_some());
    "whereNotExist", exactly(2), |args| chosen(args, |found| found.is_none());
    "whereAny", exactly(4), |args| where_parts(args, |wanted, parts| wanted.iter().any(|each| parts.contains(each)));
    "whereAll", exactly(4), |args| where_parts(args, |wanted, parts| wanted.iter().all(|each| parts.contains(each)));
};

/// What an item has at the end of a path; `None` if a field on the way is missing. A key with points in it is found as
/// well: `Attrs.com.example.zone`.
fn at<'v>(item: &'v Value, path: &str) -> Option<&'v Value> {
    let (Value::Map(fields) | Value::Object(fields)) = item else { return None };
    if let Some(found) = fields.get(path) {
        return Some(found).filter(|found| !matches!(found, Value::Nil | Value::NoValue));
    }
    path.match_indices('.').find_map(|(point, _)| at(fields.get(&path[..point])?, &path[point + 1..]))
}

/// A map of groups, by the keys that the value at the path gives.
fn grouped(args: &Args<'_>, keys: impl Fn(&Value) -> Vec<String>) -> Given {
    let path = args.text(1)?;
    let mut groups: HashMap<String, Vec<Value>> = HashMap::new();
    for item in args.list(0)? {
        for key in at(item, path).map(&keys).unwrap_or_default() {
            groups.entry(key).or_default().push(item.clone());
        }
    }
    Ok(Value::Map(groups.into_iter().map(|(key, items)| (key, Value::Array(items))).collect()))
}

/// `groupByMulti LIST PATH SEPARATOR`: an item is in a group for each part of its value.
fn group_by_multi(args: &Args<'_>) -> Given {
    let separator = args.text(2)?;
    grouped(args, |value| parts(value, separator))
}

/// The parts of a text, or the elements of a list, each once.
fn parts(value: &Value, separator: &str) -> Vec<String> {
    let parts: BTreeSet<String> = match value {
        Value::Array(items) => items.iter().map(Value::to_string).collect(),
        other => other.to_string().split(separator).map(str::to_owned).collect(),
    };
    parts.into_iter().collect()
}

fn group_by_keys(args: &Args<'_>) -> Given {
    let path = args.text(1)?;
    let keys: BTreeSet<String> = args.list(0)?.iter().filter_map(|item| at(item, path)).map(Value::to_string).collect();
    Ok(Value::from(keys.into_iter().collect::<Vec<_>>()))
}

/// The items by the texts that they have at the path; those that have none come before all others.
fn sorted(args: &Args<'_>, is_reversed: bool) -> Given {
    let path = args.text(1)?;
    let mut items: Vec<&Value> = args.list(0)?.iter().collect();
    items.sort_by_cached_key(|item| at(item, path).map(Value::to_string));
    if is_reversed {
        items.reverse();
    }
    Ok(Value::Array(items.into_iter().cloned().collect()))
}

/// The items whose value at the path is as wanted.
fn chosen(args: &Args<'_>, is_wanted: impl Fn(Option<&Value>) -> bool) -> Given {
    let path = args.text(1)?;
    Ok(Value::Array(args.list(0)?.iter().filter(|item| is_wanted(at(item, path))).cloned().collect()))
}

/// `whereAny LIST PATH SEPARATOR VALUES`
fn where_parts(args: &Args<'_>, is_wanted: impl Fn(&[&str], &[&str]) -> bool) -> Given {
    let separator = args.text(2)?;
    let wanted = args.texts(3).map_err(|_| Failed::expected("[]string", args.value(3)))?;
    chosen(args, |found| {
        let parts = found.map(|found| parts(found, separator)).unwrap_or_default();
        is_wanted(&wanted, &parts.iter().map(String::as_str).collect::<Vec<_>>())
    })
}
