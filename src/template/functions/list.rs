//! Lists: made, sorted, cut and searched.

use std::collections::HashSet;

use gtmpl_ng::Value;

use super::args::{Args, Failed, Given, at_least, exactly, functions, text};
use super::json::json;
use crate::template::engine::Table;

/// How many numbers `seq` and `loop` make at most.
const LONGEST_SEQUENCE: i64 = 1_000_000;

pub(in crate::template) static TABLE: Table = functions! {
    "seq", exactly(2), |args| sequence(args.int(0)?, args.int(1)?.saturating_add(1));
    "loop", at_least(1), looped;
    "reverse", exactly(1), reverse;
    "sortByLength", exactly(1), sort_by_length;
    "sortKVByLength", exactly(1), sort_pairs_by_length;
    "sortStringsAsc", exactly(1), |args| sorted(args.list(0)?);
    "sortStringsDesc", exactly(1), sort_descending;
    "list", at_least(0), |args| Ok(Value::from(args.all().to_vec()));
    "append", exactly(2), append;
    "first", exactly(1), |args| Ok(args.list(0)?.first().cloned().unwrap_or(Value::NoValue));
    "last", exactly(1), |args| Ok(args.list(0)?.last().cloned().unwrap_or(Value::NoValue));
    "in", exactly(2), |args| holds(args.value(0), args.value(1));
    "intersect", exactly(2), intersect;
    "closest", exactly(2), closest;
    "uniq", exactly(1), |args| Ok(unique(args.list(0)?));
};

/// The numbers from `start` up to, but not including, `end`.
fn sequence(start: i64, end: i64) -> Given {
    let count = end.saturating_sub(start);
    if count > LONGEST_SEQUENCE {
        return Err(Failed::new(format_args!("{count} numbers are more than the {LONGEST_SEQUENCE} allowed")));
    }
    Ok(Value::Array((start..end).map(Value::from).collect()))
}

/// `loop N` from 0, `loop A B` from A.
fn looped(args: &Args<'_>) -> Given {
    match args.all() {
        [_] => sequence(0, args.int(0)?),
        _ => sequence(args.int(0)?, args.int(1)?),
    }
}

fn reverse(args: &Args<'_>) -> Given {
    Ok(Value::Array(args.list(0)?.iter().rev().cloned().collect()))
}

fn sort_by_length(args: &Args<'_>) -> Given {
    let mut texts = args.texts(0)?;
    texts.sort_by_key(|text| text.len());
    Ok(Value::from(texts))
}

fn sort_pairs_by_length(args: &Args<'_>) -> Given {
    let mut pairs = Vec::new();
    for pair in args.list(0)? {
        let key = match pair {
            Value::Object(fields) => fields.get("Key").map(text).transpose()?,
            _ => None,
        };
        pairs.push((key.ok_or_else(|| Failed::expected("memkv.KVPair", pair))?.len(), pair));
    }
    pairs.sort_by_key(|(length, _)| *length);
    Ok(Value::Array(pairs.into_iter().map(|(_, pair)| pair.clone()).collect()))
}

pub(super) fn sorted(list: &[Value]) -> Given {
    let mut texts = list.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    texts.sort_unstable();
    Ok(Value::from(texts))
}

fn sort_descending(args: &Args<'_>) -> Given {
    let mut texts = args.texts(0)?;
    texts.sort_unstable_by(|one, other| other.cmp(one));
    Ok(Value::from(texts))
}

fn append(args: &Args<'_>) -> Given {
    let mut list = args.list(0)?.to_vec();
    list.push(args.value(1).clone());
    Ok(Value::Array(list))
}

/// Whether a list has the element, or a text the part.
fn holds(whole: &Value, part: &Value) -> Given {
    Ok(Value::from(match (whole, part) {
        (Value::String(whole), Value::String(part)) => whole.contains(part.as_str()),
        (Value::Array(items), part) => items.contains(part),
        (Value::Nil | Value::NoValue, _) => false,
        (other, _) => return Err(Failed::expected("[]interface {}", other)),
    }))
}

fn intersect(args: &Args<'_>) -> Given {
    let other: HashSet<String> = args.list(1)?.iter().map(identity).collect();
    let both: Vec<_> = args.list(0)?.iter().filter(|item| other.contains(&identity(item))).cloned().collect();
    Ok(unique(&both))
}

/// The element that equals the text, else the longest one that is a part of it.
fn closest(args: &Args<'_>) -> Given {
    let (texts, wanted) = (args.texts(0)?, args.text(1)?);
    let parts = texts.into_iter().filter(|text| wanted.contains(text));
    // Of equally long ones, the first.
    let best = parts.reduce(|best, next| if next.len() > best.len() { next } else { best });
    Ok(Value::from(best.unwrap_or_default()))
}

/// Each element once, where it came first.
pub(super) fn unique(list: &[Value]) -> Value {
    let mut seen = HashSet::new();
    Value::Array(list.iter().filter(|item| seen.insert(identity(item))).cloned().collect())
}

/// A text that two values share only if they are equal.
fn identity(value: &Value) -> String {
    json(value).to_string()
}
