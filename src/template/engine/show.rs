//! How values print: as Go's `%v`, structs as well.
//!
//! The engine's structs are maps of fields, which have neither an order nor a type. So the structs that templates meet
//! are listed by their fields ([`Shape`]), and one that prints in a way of its own, as a time does, holds its text under
//! [`TEXT`].

use std::collections::HashMap;
use std::fmt;

use gtmpl_ng::{FuncError, NumberKind, Value};

/// The field, which no template can name, with the text that a value prints as.
pub(in crate::template) const TEXT: &str = "";

/// A struct of Go's.
pub(in crate::template) struct Shape {
    /// Its name, as Go's errors say it.
    name: &'static str,
    /// Its fields, in order.
    fields: &'static [&'static str],
}

impl Shape {
    const ALL: &[Self] = &[Self::PAIR, Self::TREE_PAIR, Self::SRV, Self::INSTANCE, Self::SERVICE];

    /// A key and its value.
    const PAIR: Self = Self { name: "memkv.KVPair", fields: &["Key", "Value"] };

    /// A key of a tree, and its value.
    const TREE_PAIR: Self = Self { name: "KeyPair", fields: &["Path", "Key", "Value"] };

    /// A DNS record of that type.
    const SRV: Self = Self { name: "*net.SRV", fields: &["Target", "Port", "Priority", "Weight"] };

    /// An instance of a service.
    const INSTANCE: Self = Self {
        name: "Instance",
        fields: &["ID", "Name", "Address", "Port", "Tags", "Attrs", "Health", "Node", "Container"],
    };

    /// A service with its instances.
    const SERVICE: Self = Self { name: "Service", fields: &["Name", "Tags", "Instances"] };

    /// The shape of a struct with these fields.
    fn of(fields: &HashMap<String, Value>) -> Option<&'static Self> {
        Self::ALL.iter().find(|shape| {
            shape.fields.len() == fields.len() && shape.fields.iter().all(|name| fields.contains_key(*name))
        })
    }
}

/// `_show V`: the value, or its text if the engine would print it otherwise.
pub(super) fn show(args: &[Value]) -> Result<Value, FuncError> {
    let [value] = args else { return Err(FuncError::ExactlyXArgs("_show".to_owned(), 1)) };
    Ok(if holds_struct(value) { Value::from(shown(value)) } else { value.clone() })
}

/// The value as Go prints it.
pub(in crate::template) fn shown(value: &Value) -> String {
    Shown(value).to_string()
}

/// Whether the value, or something in it, prints differently than the engine prints it.
pub(in crate::template) fn holds_struct(value: &Value) -> bool {
    match value {
        Value::Object(fields) => {
            fields.contains_key(TEXT) || Shape::of(fields).is_some() || fields.values().any(holds_struct)
        }
        Value::Map(entries) => entries.values().any(holds_struct),
        Value::Array(items) => items.iter().any(holds_struct),
        _ => false,
    }
}

/// Go's name of the value's type.
pub(in crate::template) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::NoValue | Value::Nil => "nil",
        Value::Bool(_) => "bool",
        Value::String(_) => "string",
        Value::Number(number) => match number.kind() {
            NumberKind::Signed(_) | NumberKind::Unsigned(_) => "int",
            NumberKind::Float(_) => "float64",
        },
        Value::Array(_) => "[]interface {}",
        Value::Function(_) => "func",
        Value::Object(fields) if fields.contains_key(TEXT) => "time.Time",
        Value::Object(fields) => Shape::of(fields).map_or("struct", |shape| shape.name),
        Value::Map(_) => "map[string]interface {}",
    }
}

struct Shown<'v>(&'v Value);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Array(items) => {
                f.write_str("[")?;
                listed(f, items)?;
                f.write_str("]")
            }
            Value::Object(fields) if fields.contains_key(TEXT) => {
                fields.get(TEXT).map_or(Ok(()), |text| fmt::Display::fmt(text, f))
            }
            Value::Object(fields) | Value::Map(fields) => {
                let shape = Shape::of(fields).filter(|_| matches!(self.0, Value::Object(_)));
                let Some(shape) = shape else { return map(f, fields) };
                f.write_str("{")?;
                listed(f, shape.fields.iter().filter_map(|name| fields.get(*name)))?;
                f.write_str("}")
            }
            other => fmt::Display::fmt(other, f),
        }
    }
}

fn listed<'v>(f: &mut fmt::Formatter<'_>, values: impl IntoIterator<Item = &'v Value>) -> fmt::Result {
    values.into_iter().enumerate().try_for_each(|(position, value)| {
        f.write_str(if position > 0 { " " } else { "" })?;
        write!(f, "{}", Shown(value))
    })
}

fn map(f: &mut fmt::Formatter<'_>, entries: &HashMap<String, Value>) -> fmt::Result {
    let mut entries: Vec<_> = entries.iter().collect();
    entries.sort_unstable_by_key(|(key, _)| *key);
    f.write_str("map[")?;
    entries.into_iter().enumerate().try_for_each(|(position, (key, value))| {
        f.write_str(if position > 0 { " " } else { "" })?;
        write!(f, "{key}:{}", Shown(value))
    })?;
    f.write_str("]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields<const N: usize>(fields: [(&str, Value); N]) -> HashMap<String, Value> {
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    #[test]
    fn structs_print_as_go_prints_them() {
        let pair = Value::Object(fields([("Key", "/a".into()), ("Value", "b".into())]));
        let srv = fields([("Target", "a.".into()), ("Port", 1.into()), ("Priority", 2.into()), ("Weight", 3.into())]);
        let time = Value::Object(fields([(TEXT, "noon".into()), ("Hour", 12.into())]));
        for (value, expected) in [
            (pair.clone(), "{/a b}"),
            (Value::Array(vec![pair.clone(), pair.clone()]), "[{/a b} {/a b}]"),
            (Value::Map(fields([("x", pair.clone()), ("a", 1.into())])), "map[a:1 x:{/a b}]"),
            (Value::Map(fields([("Key", 1.into()), ("Value", 2.into())])), "map[Key:1 Value:2]"),
            (Value::Object(srv), "{a. 1 2 3}"),
            (time.clone(), "noon"),
            (Value::Array(vec![time.clone()]), "[noon]"),
            (Value::Object(fields([("other", true.into())])), "map[other:true]"),
            (Value::from("text"), "text"),
            (Value::NoValue, "<no value>"),
        ] {
            assert_eq!(shown(&value), expected);
        }
        assert_eq!((type_name(&pair), type_name(&time)), ("memkv.KVPair", "time.Time"));
        assert!(!holds_struct(&Value::Array(vec![1.into(), "a".into()])) && holds_struct(&Value::Array(vec![time])));
    }
}
