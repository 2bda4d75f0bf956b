//! Choices between values.

use gtmpl_ng::Value;

use super::args::{Args, Failed, Given, at_least, exactly, functions};
use crate::template::engine::Table;

pub(in crate::template) static TABLE: Table = functions! {
    "default", exactly(2), default;
    "ternary", exactly(3), ternary;
    "when", exactly(3), when;
    "coalesce", at_least(0), coalesce;
    "empty", exactly(1), |args| Ok(Value::from(is_empty(args.value(0))));
};

/// Whether the value is the zero value of its type, or none at all.
pub(super) fn is_empty(value: &Value) -> bool {
    match value {
        Value::NoValue | Value::Nil => true,
        Value::Bool(flag) => !flag,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
        Value::Number(number) => *number == 0.into(),
        Value::Object(_) | Value::Function(_) => false,
    }
}

/// `default D V`
pub(super) fn default(args: &Args<'_>) -> Given {
    Ok(args.value(usize::from(!is_empty(args.value(1)))).clone())
}

/// `ternary T F CONDITION`
pub(super) fn ternary(args: &Args<'_>) -> Given {
    match args.value(2) {
        Value::Bool(true) => Ok(args.value(0).clone()),
        Value::Bool(false) => Ok(args.value(1).clone()),
        other => Err(Failed::expected("bool", other)),
    }
}

/// `when CONDITION T F`
fn when(args: &Args<'_>) -> Given {
    Ok(args.value(if is_empty(args.value(0)) { 2 } else { 1 }).clone())
}

/// The first value that is not empty.
pub(super) fn coalesce(args: &Args<'_>) -> Given {
    Ok(args.all().iter().find(|value| !is_empty(value)).cloned().unwrap_or(Value::NoValue))
}
