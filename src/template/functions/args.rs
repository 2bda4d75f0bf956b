//! What the functions have in common: their arguments, by the types that Go would ask for, and their errors.

use std::collections::HashMap;
use std::fmt;

use gtmpl_ng::{FuncError, Value, limits};

use crate::template::engine::{self, ERROR_CALLING, WRONG_COUNT};

/// Why a function failed. Prints as Go says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::template) struct Fault(String);

impl Fault {
    pub(in crate::template) fn new(reason: impl fmt::Display) -> Self {
        Self(reason.to_string())
    }

    /// An argument of another type than Go would take.
    pub(in crate::template) fn expected(expected: &str, got: &Value) -> Self {
        match got {
            Value::Nil | Value::NoValue => Self(format!("invalid value; expected {expected}")),
            other => Self(format!("wrong type for value; expected {expected}; got {}", engine::type_name(other))),
        }
    }
}

impl Fault {
    /// The reason.
    pub(in crate::template) fn into_reason(self) -> String {
        self.0
    }
}

impl<E: std::error::Error> From<E> for Fault {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// How many arguments a function takes.
#[derive(Clone, Copy, Debug)]
pub(in crate::template) struct Arity {
    least: usize,
    /// `None` for any number.
    most: Option<usize>,
}

/// Exactly so many.
pub(in crate::template) const fn exactly(count: usize) -> Arity {
    Arity { least: count, most: Some(count) }
}

/// So many or more. Go's functions with an optional argument are of this kind, and ignore what is too much.
pub(in crate::template) const fn at_least(count: usize) -> Arity {
    Arity { least: count, most: None }
}

/// What a function gives.
pub(in crate::template) type Given = Result<Value, Fault>;

/// What a function does.
pub(in crate::template) type Body = fn(&Args<'_>) -> Given;

/// The arguments of a call, of which there are as many as the function's [`Arity`] says.
#[derive(Clone, Copy, Debug)]
pub(in crate::template) struct Args<'a>(&'a [Value]);

impl<'a> Args<'a> {
    pub(in crate::template) fn all(&self) -> &'a [Value] {
        self.0
    }

    /// An argument; no value if there are not so many.
    pub(in crate::template) fn value(&self, position: usize) -> &'a Value {
        self.0.get(position).unwrap_or(&Value::NoValue)
    }

    pub(in crate::template) fn text(&self, position: usize) -> Result<&'a str, Fault> {
        text(self.value(position))
    }

    /// A text that may be left out.
    pub(in crate::template) fn optional_text(&self, position: usize) -> Result<Option<&'a str>, Fault> {
        self.0.get(position).map(text).transpose()
    }

    pub(in crate::template) fn int(&self, position: usize) -> Result<i64, Fault> {
        int(self.value(position))
    }

    /// A count: nothing below zero.
    pub(in crate::template) fn count(&self, position: usize) -> Result<usize, Fault> {
        let count = self.int(position)?;
        usize::try_from(count).map_err(|_| Fault::new(format_args!("{count} is below zero")))
    }

    pub(in crate::template) fn list(&self, position: usize) -> Result<&'a [Value], Fault> {
        list(self.value(position))
    }

    pub(in crate::template) fn texts(&self, position: usize) -> Result<Vec<&'a str>, Fault> {
        let value = self.value(position);
        list(value).map_err(|_| Fault::expected("[]string", value))?.iter().map(text).collect()
    }

    pub(in crate::template) fn map(&self, position: usize) -> Result<&'a HashMap<String, Value>, Fault> {
        match self.value(position) {
            Value::Map(entries) | Value::Object(entries) => Ok(entries),
            other => Err(Fault::expected("map[string]interface {}", other)),
        }
    }
}

/// The value as a text.
pub(in crate::template) fn text(value: &Value) -> Result<&str, Fault> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(Fault::expected("string", other)),
    }
}

fn int(value: &Value) -> Result<i64, Fault> {
    match value {
        Value::Number(number) => number.as_i64().ok_or_else(|| Fault::expected("int", value)),
        other => Err(Fault::expected("int", other)),
    }
}

/// The value as a list; no value is an empty one.
fn list(value: &Value) -> Result<&[Value], Fault> {
    match value {
        Value::Array(items) => Ok(items),
        Value::Nil | Value::NoValue => Ok(&[]),
        other => Err(Fault::expected("[]interface {}", other)),
    }
}

/// Refuses to build a value that exceeds the engine's limit, before it fills the memory.
pub(in crate::template) fn affordable(size: usize) -> Result<(), Fault> {
    match limits::active().function_output {
        Some(limit) if size > limit => Err(Fault::new("the result would be too large")),
        _ => Ok(()),
    }
}

/// Calls a function by its name, which its errors carry.
pub(in crate::template) fn call(name: &str, arity: Arity, body: Body, args: &[Value]) -> Result<Value, FuncError> {
    let (least, got) = (arity.least, args.len());
    if got < least || arity.most.is_some_and(|most| got > most) {
        let want = if arity.most.is_none() { format!("at least {least}") } else { least.to_string() };
        return Err(FuncError::Generic(format!("{WRONG_COUNT}{name}: want {want} got {got}")));
    }
    body(&Args(args)).map_err(|Fault(reason)| FuncError::Generic(format!("{ERROR_CALLING}{name}: {reason}")))
}

/// A table of functions: `"name", arity, body;`.
macro_rules! functions {
    ($($name:literal, $arity:expr, $body:expr;)*) => {
        &[$(($name, {
            fn called(args: &[gtmpl_ng::Value]) -> Result<gtmpl_ng::Value, gtmpl_ng::FuncError> {
                $crate::template::functions::args::call($name, $arity, $body, args)
            }
            called
        })),*]
    };
}
pub(in crate::template) use functions;
