//! What the functions have in common: their arguments, by the types that Go would ask for, and their errors.

use std::collections::HashMap;
use std::fmt;

use gtmpl_ng::{FuncError, Value, limits};

use crate::template::engine::{self, ERROR_CALLING, WRONG_COUNT};

/// Why a function failed. Prints as Go says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::template) struct Failed(String);

impl Failed {
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

impl Failed {
    /// The reason.
    pub(in crate::template) fn into_reason(self) -> String {
        self.0
    }
}

impl<E: std::error::Error> From<E> for Failed {
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
    /// Whether the first one is the receiver of a method, which a message does not count.
    is_method: bool,
}

/// Exactly so many.
pub(in crate::template) const fn exactly(count: usize) -> Arity {
    Arity { least: count, most: Some(count), is_method: false }
}

/// So many or more. Go's functions with an optional argument are of this kind, and ignore what is too much.
pub(in crate::template) const fn at_least(count: usize) -> Arity {
    Arity { least: count, most: None, is_method: false }
}

/// A method with exactly so many arguments besides its receiver.
pub(in crate::template) const fn method(count: usize) -> Arity {
    Arity { least: count + 1, most: Some(count + 1), is_method: true }
}

/// What a function gives.
pub(in crate::template) type Given = Result<Value, Failed>;

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

    pub(in crate::template) fn text(&self, position: usize) -> Result<&'a str, Failed> {
        text(self.value(position))
    }

    /// A text that may be left out.
    pub(in crate::template) fn optional_text(&self, position: usize) -> Result<Option<&'a str>, Failed> {
        self.0.get(position).map(text).transpose()
    }

    pub(in crate::template) fn int(&self, position: usize) -> Result<i64, Failed> {
        int(self.value(position))
    }

    /// A count: nothing below zero.
    pub(in crate::template) fn count(&self, position: usize) -> Result<usize, Failed> {
        let count = self.int(position)?;
        usize::try_from(count).map_err(|_| Failed::new(format_args!("{count} is below zero")))
    }

    pub(in crate::template) fn list(&self, position: usize) -> Result<&'a [Value], Failed> {
        list(self.value(position))
    }

    pub(in crate::template) fn texts(&self, position: usize) -> Result<Vec<&'a str>, Failed> {
        let value = self.value(position);
        list(value).map_err(|_| Failed::expected("[]string", value))?.iter().map(text).collect()
    }

    pub(in crate::template) fn map(&self, position: usize) -> Result<&'a HashMap<String, Value>, Failed> {
        match self.value(position) {
            Value::Map(entries) | Value::Object(entries) => Ok(entries),
            other => Err(Failed::expected("map[string]interface {}", other)),
        }
    }
}

/// The value as a text.
pub(in crate::template) fn text(value: &Value) -> Result<&str, Failed> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(Failed::expected("string", other)),
    }
}

fn int(value: &Value) -> Result<i64, Failed> {
    match value {
        Value::Number(number) => number.as_i64().ok_or_else(|| Failed::expected("int", value)),
        other => Err(Failed::expected("int", other)),
    }
}

/// The value as a list; no value is an empty one.
fn list(value: &Value) -> Result<&[Value], Failed> {
    match value {
        Value::Array(items) => Ok(items),
        Value::Nil | Value::NoValue => Ok(&[]),
        other => Err(Failed::expected("[]interface {}", other)),
    }
}

/// Refuses to build a value that exceeds the engine's limit, before it fills the memory.
pub(in crate::template) fn affordable(size: usize) -> Result<(), Failed> {
    match limits::active().function_output {
        Some(limit) if size > limit => Err(Failed::new("the result would be too large")),
        _ => Ok(()),
    }
}

/// Calls a function by its name, which its errors carry.
pub(in crate::template) fn call(name: &str, arity: Arity, body: Body, args: &[Value]) -> Result<Value, FuncError> {
    let (least, got) = (arity.least, args.len());
    if got < least || arity.most.is_some_and(|most| got > most) {
        let receiver = usize::from(arity.is_method);
        let (least, got) = (least - receiver, got.saturating_sub(receiver));
        let want = if arity.most.is_none() { format!("at least {least}") } else { least.to_string() };
        return Err(FuncError::Generic(format!("{WRONG_COUNT}{name}: want {want} got {got}")));
    }
    body(&Args(args)).map_err(|Failed(reason)| FuncError::Generic(format!("{ERROR_CALLING}{name}: {reason}")))
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
