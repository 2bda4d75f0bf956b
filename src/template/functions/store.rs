//! The keys of the store: confd's `getv` and its like.

use std::collections::HashMap;

use gtmpl_ng::Value;

use super::args::{Args, Failed, Given, at_least, exactly, functions};
use crate::template::engine::Table;
use crate::template::keys::Keys;
use crate::template::scope;

pub(in crate::template) static TABLE: Table = functions! {
    "exists", exactly(1), exists;
    "get", exactly(1), get;
    "gets", exactly(1), gets;
    "getv", at_least(1), getv;
    "getvs", exactly(1), getvs;
    "ls", exactly(1), ls;
    "lsdir", exactly(1), lsdir;
};

fn exists(args: &Args<'_>) -> Given {
    let key = args.text(0)?;
    with_keys(|keys| Ok(Value::from(keys.get(key).is_some())))
}

fn get(args: &Args<'_>) -> Given {
    let key = args.text(0)?;
    with_keys(|keys| keys.get(key).map(|value| pair(key, value)).ok_or_else(|| missing(key)))
}

fn gets(args: &Args<'_>) -> Given {
    let pattern = args.text(0)?;
    with_keys(|keys| {
        Ok(Value::Array(keys.matching(pattern)?.into_iter().map(|(key, value)| pair(key, value)).collect()))
    })
}

fn getv(args: &Args<'_>) -> Given {
    let (key, default) = (args.text(0)?, args.optional_text(1)?);
    with_keys(|keys| keys.get(key).or(default).map(Value::from).ok_or_else(|| missing(key)))
}

fn getvs(args: &Args<'_>) -> Given {
    let pattern = args.text(0)?;
    with_keys(|keys| {
        let mut values: Vec<_> = keys.matching(pattern)?.into_iter().map(|(_, value)| value).collect();
        values.sort_unstable();
        Ok(Value::from(values))
    })
}

fn ls(args: &Args<'_>) -> Given {
    let directory = args.text(0)?;
    with_keys(|keys| Ok(Value::from(keys.list(directory))))
}

fn lsdir(args: &Args<'_>) -> Given {
    let directory = args.text(0)?;
    with_keys(|keys| Ok(Value::from(keys.list_directories(directory))))
}

/// Works with the keys of the template that runs.
pub(super) fn with_keys(work: impl FnOnce(&Keys) -> Given) -> Given {
    scope::with(|scope| work(&scope.data.keys)).unwrap_or_else(|| Err(Failed::new("no keys are at hand")))
}

/// A key and its value, as templates see them.
pub(super) fn pair(key: &str, value: &str) -> Value {
    let fields = [("Key", key), ("Value", value)];
    Value::Object(
        fields.into_iter().map(|(name, text)| (name.to_owned(), Value::from(text))).collect::<HashMap<_, _>>(),
    )
}

/// A key that the store does not have.
pub(super) fn missing(key: &str) -> Failed {
    Failed::new(format_args!("key does not exist: {key}"))
}
