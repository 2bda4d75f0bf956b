//! JSON: read into values, and written from them.

use std::collections::BTreeMap;

use gtmpl_ng::{Number, NumberKind, Value};
use serde_json::Value as Json;
use serde_json::error::Category;

use super::args::{Args, Failed, Given, exactly, functions};
use crate::template::engine::{self, Table};

pub(in crate::template) static TABLE: Table = functions! {
    "json", exactly(1), object;
    "jsonArray", exactly(1), array;
    "fromJson", exactly(1), |args| Ok(value(&parsed(args.text(0)?)?));
    "parseJSON", exactly(1), |args| Ok(value(&parsed(args.text(0)?)?));
    "parseJson", exactly(1), |args| Ok(value(&parsed(args.text(0)?)?));
    "toJson", exactly(1), |args| Ok(Value::from(written(args.value(0), false)?));
    "toJSON", exactly(1), |args| Ok(Value::from(written(args.value(0), false)?));
    "toPrettyJson", exactly(1), |args| Ok(Value::from(written(args.value(0), true)?));
    "toJSONPretty", exactly(1), |args| Ok(Value::from(written(args.value(0), true)?));
};

fn object(args: &Args<'_>) -> Given {
    match parsed(args.text(0)?)? {
        Json::Null => Ok(Value::Map(std::collections::HashMap::new())),
        json @ Json::Object(_) => Ok(value(&json)),
        other => Err(mismatch(&other, "map[string]interface {}")),
    }
}

fn array(args: &Args<'_>) -> Given {
    match parsed(args.text(0)?)? {
        Json::Null => Ok(Value::Array(Vec::new())),
        json @ Json::Array(_) => Ok(value(&json)),
        other => Err(mismatch(&other, "[]interface {}")),
    }
}

fn mismatch(json: &Json, wanted: &str) -> Failed {
    let found = match json {
        Json::Null => "null",
        Json::Bool(_) => "bool",
        Json::Number(_) => "number",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    };
    Failed::new(format_args!("json: cannot unmarshal {found} into Go value of type {wanted}"))
}

fn parsed(text: &str) -> Result<Json, Failed> {
    serde_json::from_str(text).map_err(|error| match error.classify() {
        Category::Eof => Failed::new("unexpected end of JSON input"),
        _ => Failed::new(format_args!("invalid JSON: {error}")),
    })
}

/// A value of JSON. Null is Go's nil.
pub(super) fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Nil,
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(signed), _) => Value::from(signed),
            (None, Some(unsigned)) => Value::from(unsigned),
            (None, None) => Value::Number(Number::from(number.as_f64().unwrap_or_default())),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::Array(items.iter().map(value).collect()),
        Json::Object(fields) => Value::Map(fields.iter().map(|(name, field)| (name.clone(), value(field))).collect()),
    }
}

/// The value as JSON, with sorted keys. A time is its text.
pub(super) fn json(value: &Value) -> Json {
    match value {
        Value::NoValue | Value::Nil | Value::Function(_) => Json::Null,
        Value::Bool(flag) => Json::from(*flag),
        Value::String(text) => Json::from(text.as_str()),
        Value::Number(number) => match number.kind() {
            NumberKind::Signed(number) => Json::from(number),
            NumberKind::Unsigned(number) => Json::from(number),
            NumberKind::Float(number) => Json::from(number),
        },
        Value::Array(items) => items.iter().map(json).collect(),
        Value::Object(fields) if fields.contains_key(engine::TEXT) => Json::from(engine::shown(value)),
        Value::Map(fields) | Value::Object(fields) => {
            let sorted: BTreeMap<_, _> = fields.iter().collect();
            Json::Object(sorted.into_iter().map(|(name, field)| (name.clone(), json(field))).collect())
        }
    }
}

/// As Go writes it: what HTML would read as markup is escaped.
fn written(value: &Value, is_pretty: bool) -> Result<String, Failed> {
    let json = json(value);
    let text = if is_pretty { serde_json::to_string_pretty(&json) } else { serde_json::to_string(&json) }?;
    let mut escaped = String::with_capacity(text.len());
    // Outside of texts, JSON has none of these characters.
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    Ok(escaped)
}
