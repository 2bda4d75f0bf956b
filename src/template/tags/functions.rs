//! The template functions besides Go's own.
//!
//! The template engine takes bare `fn`s over values. As in Go, an argument of the wrong kind is an error; no value
//! counts as an empty list or map, but not as an empty text.

use std::collections::HashMap;

use gtmpl_ng::{Func, FuncError, Value, funcs, limits};
use regex::Regex;
use serde_json::Value as Json;

use super::fetch;

/// All our functions by name. Our `index` replaces the engine's.
pub(super) const ALL: &[(&str, Func)] = &[
    ("strSlice", str_slice),
    ("sIndex", s_index),
    ("mIndex", m_index),
    ("toUpper", to_upper),
    ("toLower", to_lower),
    ("replace", replace),
    ("join", join),
    ("split", split),
    ("splitIndex", split_index),
    ("matchFirstElement", match_first_element),
    ("matchAllElements", match_all_elements),
    ("httpGet", http_get),
    ("jsonParse", json_parse),
    ("index", index),
];

/// `strSlice s [start [end]]`: the bytes from `start` up to `end` or the end of the text; without numbers, the whole
/// text. A text that is too short is returned whole; an end before the start is ignored.
fn str_slice(args: &[Value]) -> Result<Value, FuncError> {
    let (text, start, end) = match args {
        [text] => return string(text).map(Value::from),
        [text, start] => (string(text)?, start, None),
        [text, start, end] => (string(text)?, start, Some(end)),
        _ => return Err(wrong("strSlice takes a text, a start and perhaps an end")),
    };
    let position = |value: &Value| {
        usize::try_from(integer(value)?).map_err(|_| wrong("strSlice counts from 0, not from below it"))
    };
    let start = position(start)?;
    let end = end.map_or(Ok(text.len()), position)?;
    if start > text.len() || end > text.len() {
        return Ok(Value::from(text));
    }
    // A character that the cut splits is dropped.
    let first = (start..text.len()).find(|&byte| text.is_char_boundary(byte)).unwrap_or(text.len());
    let last = if end < start { text.len() } else { end };
    let last = (first..=last).rev().find(|&byte| text.is_char_boundary(byte)).unwrap_or(first);
    Ok(Value::from(&text[first..last]))
}

/// `sIndex i slice`: the element; a negative `i` counts from the end, an index out of range gives the first or last.
fn s_index(args: &[Value]) -> Result<Value, FuncError> {
    let [position, list] = args else { return Err(wrong("sIndex takes a position and a list")) };
    Ok(Value::from(element(&strings(list)?, integer(position)?)))
}

/// `mIndex key map`: the value, or an empty text.
fn m_index(args: &[Value]) -> Result<Value, FuncError> {
    let [key, map] = args else { return Err(wrong("mIndex takes a key and a map")) };
    let key = string(key)?;
    match map {
        Value::Map(entries) | Value::Object(entries) => match entries.get(key) {
            Some(value) => string(value).map(Value::from),
            None => Ok(Value::from("")),
        },
        Value::Nil | Value::NoValue => Ok(Value::from("")),
        _ => Err(wrong("mIndex takes a key and a map")),
    }
}

/// `toUpper s`.
fn to_upper(args: &[Value]) -> Result<Value, FuncError> {
    let [text] = args else { return Err(wrong("toUpper takes a text")) };
    Ok(Value::from(string(text)?.to_uppercase()))
}

/// `toLower s`.
fn to_lower(args: &[Value]) -> Result<Value, FuncError> {
    let [text] = args else { return Err(wrong("toLower takes a text")) };
    Ok(Value::from(string(text)?.to_lowercase()))
}

/// `replace n old new s`: the first `n` occurrences, or all if `n` is negative.
fn replace(args: &[Value]) -> Result<Value, FuncError> {
    let [count, old, new, text] = args else { return Err(wrong("replace takes a count, old, new and a text")) };
    let (old, new, text) = (string(old)?, string(new)?, string(text)?);
    let count = usize::try_from(integer(count)?).unwrap_or(usize::MAX);
    let places = text.matches(old).take(count).count();
    affordable(text.len().saturating_add(places.saturating_mul(new.len())))?;
    Ok(Value::from(text.replacen(old, new, count)))
}

/// `join sep slice`.
fn join(args: &[Value]) -> Result<Value, FuncError> {
    let [separator, list] = args else { return Err(wrong("join takes a separator and a list")) };
    let (separator, list) = (string(separator)?, strings(list)?);
    affordable(list.iter().fold(0, |sum: usize, text| sum.saturating_add(text.len() + separator.len())))?;
    Ok(Value::from(list.join(separator)))
}

/// `split sep s`: an empty separator splits into characters.
fn split(args: &[Value]) -> Result<Value, FuncError> {
    let [separator, text] = args else { return Err(wrong("split takes a separator and a text")) };
    Ok(Value::from(parts(string(separator)?, string(text)?)))
}

/// `splitIndex i sep s`: as `sIndex i (split sep s)`.
fn split_index(args: &[Value]) -> Result<Value, FuncError> {
    let [position, separator, text] = args else {
        return Err(wrong("splitIndex takes a position, a separator and a text"));
    };
    Ok(Value::from(element(&parts(string(separator)?, string(text)?), integer(position)?)))
}

/// `matchFirstElement regex slice`: the first element that the expression matches, or an empty text.
fn match_first_element(args: &[Value]) -> Result<Value, FuncError> {
    let [expression, list] = args else { return Err(wrong("matchFirstElement takes an expression and a list")) };
    let expression = regex(expression)?;
    Ok(Value::from(strings(list)?.into_iter().find(|text| expression.is_match(text)).unwrap_or_default()))
}

/// `matchAllElements regex slice`: all elements that the expression matches.
fn match_all_elements(args: &[Value]) -> Result<Value, FuncError> {
    let [expression, list] = args else { return Err(wrong("matchAllElements takes an expression and a list")) };
    let expression = regex(expression)?;
    Ok(Value::from(strings(list)?.into_iter().filter(|text| expression.is_match(text)).collect::<Vec<_>>()))
}

/// `httpGet url`: the server's answer, or an empty text if there is none.
fn http_get(args: &[Value]) -> Result<Value, FuncError> {
    let [url] = args else { return Err(wrong("httpGet takes a URL")) };
    let longest = limits::active().function_output.unwrap_or(usize::MAX);
    Ok(Value::from(fetch::get(string(url)?, longest, limits::remaining()).unwrap_or_default()))
}

/// `jsonParse bytes "key1::key2"`: the value at this path as text, or an empty text.
fn json_parse(args: &[Value]) -> Result<Value, FuncError> {
    let [text, path] = args else { return Err(wrong("jsonParse takes JSON and a path")) };
    let json: Option<Json> = serde_json::from_str(string(text)?).ok();
    let found = string(path)?.split("::").try_fold(json.as_ref(), |json, key| Some(json?.get(key)));
    Ok(Value::from(match found.flatten() {
        None | Some(Json::Null) => String::new(),
        Some(Json::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }))
}

/// Go's `index`. The engine's differs in one case: for a missing key, Go returns the zero value of the map's element
/// type, which prints nothing for texts.
fn index(args: &[Value]) -> Result<Value, FuncError> {
    let Some((collection, keys)) = args.split_first() else { return funcs::index(args) };
    let mut found = collection.clone();
    for key in keys {
        found = match (&found, key) {
            (Value::Map(entries), Value::String(key)) if !entries.contains_key(key) => {
                entries.values().next().map_or_else(|| Value::from(""), zero)
            }
            _ => funcs::index(&[found, key.clone()])?,
        };
    }
    Ok(found)
}

/// The zero value of a value's type.
fn zero(value: &Value) -> Value {
    match value {
        Value::String(_) => Value::from(""),
        Value::Bool(_) => Value::from(false),
        Value::Number(_) => Value::from(0_i64),
        Value::Array(_) => Value::Array(Vec::new()),
        Value::Map(entries) | Value::Object(entries) => {
            Value::Map(entries.iter().map(|(key, value)| (key.clone(), zero(value))).collect::<HashMap<_, _>>())
        }
        Value::Nil | Value::NoValue | Value::Function(_) => Value::NoValue,
    }
}

fn parts(separator: &str, text: &str) -> Vec<String> {
    if separator.is_empty() {
        return text.chars().map(String::from).collect();
    }
    text.split(separator).map(str::to_owned).collect()
}

fn element(list: &[String], position: i64) -> String {
    let last = list.len().saturating_sub(1);
    let distance = usize::try_from(position.unsigned_abs()).unwrap_or(usize::MAX);
    let place = if position < 0 { list.len().saturating_sub(distance) } else { distance.min(last) };
    list.get(place).cloned().unwrap_or_default()
}

fn string(value: &Value) -> Result<&str, FuncError> {
    match value {
        Value::String(text) => Ok(text),
        Value::Nil | Value::NoValue => Err(wrong("a text was expected, and there is no value")),
        _ => Err(wrong("a text was expected")),
    }
}

fn strings(value: &Value) -> Result<Vec<String>, FuncError> {
    match value {
        Value::Array(list) => list.iter().map(|text| string(text).map(str::to_owned)).collect(),
        Value::Nil | Value::NoValue => Ok(Vec::new()),
        _ => Err(wrong("a list of texts was expected")),
    }
}

fn integer(value: &Value) -> Result<i64, FuncError> {
    match value {
        Value::Number(number) => number.as_i64().ok_or_else(|| wrong("a whole number was expected")),
        _ => Err(wrong("a whole number was expected")),
    }
}

fn regex(value: &Value) -> Result<Regex, FuncError> {
    Regex::new(string(value)?).map_err(|_| wrong("the regular expression is not a valid one"))
}

/// Refuses to build a value that exceeds the engine's limit, before it fills the memory.
fn affordable(size: usize) -> Result<(), FuncError> {
    match limits::active().function_output {
        Some(limit) if size > limit => Err(wrong("the result would be too large")),
        _ => Ok(()),
    }
}

fn wrong(reason: &str) -> FuncError {
    FuncError::Generic(reason.to_owned())
}
