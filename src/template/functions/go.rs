//! Go's own functions, where the engine's differ: in their errors, in what they print of structs, and in what `index`
//! gives for a key that is missing.

use gtmpl_ng::{FuncError, Value, funcs};

use super::args::{Args, Failed, Given, affordable, at_least, exactly, functions};
use crate::template::engine::{self, Table};

pub(in crate::template) static TABLE: Table = functions! {
    "eq", at_least(2), |args| engines(funcs::eq, args.all());
    "ne", exactly(2), |args| engines(funcs::ne, args.all());
    "lt", exactly(2), |args| engines(funcs::lt, args.all());
    "le", exactly(2), |args| engines(funcs::le, args.all());
    "gt", exactly(2), |args| engines(funcs::gt, args.all());
    "ge", exactly(2), |args| engines(funcs::ge, args.all());
    "not", exactly(1), |args| engines(funcs::not, args.all());
    "len", exactly(1), len;
    "index", at_least(1), |args| index(args.all());
    "slice", at_least(1), |args| engines(funcs::slice, args.all());
    "html", at_least(0), |args| engines(funcs::html, &shown(args));
    "js", at_least(0), |args| engines(funcs::js, &shown(args));
    "urlquery", at_least(0), |args| engines(funcs::urlquery, &shown(args));
    "print", at_least(0), |args| engines(funcs::print, &shown(args));
    "println", at_least(0), |args| engines(funcs::println, &shown(args));
    "printf", at_least(1), printf;
};

/// What the engine's function gives. Its errors quote values, which may be secrets, so the quotes are cut.
fn engines(function: gtmpl_ng::Func, args: &[Value]) -> Given {
    function(args).map_err(|error| match error {
        FuncError::Generic(reason) if reason.starts_with("unable to compare ") => {
            Failed::new("incompatible types for comparison")
        }
        FuncError::Generic(reason) if reason.starts_with("slice index ") => {
            Failed::new(reason.split(" of ").next().unwrap_or_default())
        }
        other => Failed::new(other),
    })
}

/// The arguments, where structs are the texts that Go prints.
fn shown(args: &Args<'_>) -> Vec<Value> {
    let shown = |value: &Value| match engine::holds_struct(value) {
        true => Value::from(engine::shown(value)),
        false => value.clone(),
    };
    args.all().iter().map(shown).collect()
}

/// A format may name one argument many times (`%[1]s`), so what it could make is estimated first.
fn printf(args: &Args<'_>) -> Given {
    let args = shown(args);
    if let Some((Value::String(format), values)) = args.split_first()
        && names_arguments(format)
    {
        let length = |value: &Value| if let Value::String(text) = value { text.len() } else { 0 };
        let longest = values.iter().map(length).max().unwrap_or_default();
        affordable(format.matches('%').count().saturating_mul(longest))?;
    }
    engines(funcs::printf, &args)
}

/// Whether a format names an argument by its number, which stands behind flags and before the verb.
fn names_arguments(format: &str) -> bool {
    let is_before =
        |character: char| matches!(character, '+' | '-' | '#' | ' ' | '.' | '*') || character.is_ascii_digit();
    format.split('%').skip(1).any(|directive| directive.trim_start_matches(is_before).starts_with('['))
}

fn len(args: &Args<'_>) -> Given {
    Ok(Value::from(match args.value(0) {
        Value::String(text) => text.len(),
        Value::Array(items) => items.len(),
        Value::Map(entries) => entries.len(),
        other => return Err(Failed::new(format_args!("len of type {}", engine::type_name(other)))),
    }))
}

/// The element of a list, a text or a map, and so on through all keys. For a key that a map does not have, Go gives the
/// zero value of the map's elements, which prints nothing for texts.
fn index(args: &[Value]) -> Given {
    let Some((collection, keys)) = args.split_first() else { return Ok(Value::NoValue) };
    let mut found = collection.clone();
    for key in keys {
        found = element(&found, key)?;
    }
    Ok(found)
}

fn element(collection: &Value, key: &Value) -> Given {
    let position = |length: usize| match key {
        Value::Number(number) => {
            let position = number.as_i64().and_then(|position| usize::try_from(position).ok());
            position
                .filter(|position| *position < length)
                .ok_or_else(|| Failed::new(format_args!("index out of range: {key}")))
        }
        other => Err(Failed::new(format_args!("cannot index slice/array with type {}", engine::type_name(other)))),
    };
    match (collection, key) {
        (Value::Array(items), _) => Ok(items.get(position(items.len())?).cloned().unwrap_or(Value::NoValue)),
        (Value::String(text), _) => Ok(Value::from(text.as_bytes().get(position(text.len())?).copied().unwrap_or(0))),
        (Value::Map(entries), Value::String(key)) => {
            let is_of_texts = entries.values().all(|value| matches!(value, Value::String(_)));
            let zero = || if is_of_texts { Value::from("") } else { Value::NoValue };
            Ok(entries.get(key).cloned().unwrap_or_else(zero))
        }
        (Value::Map(_), other) => {
            Err(Failed::new(format_args!("value has type {}; should be string", engine::type_name(other))))
        }
        (Value::Nil | Value::NoValue, _) => Err(Failed::new("index of untyped nil")),
        (other, _) => Err(Failed::new(format_args!("can't index item of type {}", engine::type_name(other)))),
    }
}
