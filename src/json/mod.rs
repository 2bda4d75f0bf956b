//! Parses JSON without keeping unused parts: an inspect result has about 150 members, of which we need 20, and a list
//! of twenty thousand services need not be in memory as a whole.

mod list;
mod sieve;
mod value;

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

pub(crate) use list::{Entry, List};
pub(crate) use sieve::{Limits, Sieve, Sifted};
pub(crate) use value::Value;

/// Which parts of a value are kept.
#[derive(Debug)]
pub(crate) enum Shape {
    /// All of it.
    Whole,
    /// These members of an object; any other value becomes null.
    Members(&'static [(&'static str, Shape)]),
    /// All members of an object, in this shape; any other value becomes null.
    Each(&'static Shape),
}

impl Shape {
    fn is_whole(&self) -> bool {
        matches!(self, Self::Whole)
    }

    /// A value that is neither array nor object.
    fn plain<'a>(&self, value: Value<'a>) -> Value<'a> {
        if self.is_whole() { value } else { Value::Null }
    }

    /// The shape of the member with this name, if it is kept.
    fn member(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Whole => Some(self),
            Self::Each(shape) => Some(shape),
            Self::Members(members) => members.iter().find(|(member, _)| *member == name).map(|(_, shape)| shape),
        }
    }
}

impl<'de> DeserializeSeed<'de> for &Shape {
    type Value = Value<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &Shape {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value<'de>, A::Error> {
        let mut kept = Vec::new();
        while let Some(Name(name)) = object.next_key()? {
            match self.member(&name) {
                Some(shape) => kept.push((name, object.next_value_seed(shape)?)),
                None => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Object(kept))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Value<'de>, A::Error> {
        if !self.is_whole() {
            while array.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Value::Null);
        }
        let mut elements = Vec::new();
        while let Some(element) = array.next_element_seed(self)? {
            elements.push(element);
        }
        Ok(Value::Array(elements))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(self.plain(Value::Bool(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
        Ok(self.plain(Value::Number(value.into())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
        Ok(self.plain(Value::Number(value.into())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value<'de>, E> {
        Ok(self.plain(Number::from_f64(value).map_or(Value::Null, Value::Number)))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(self.plain(Value::Text(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(if self.is_whole() { Value::Text(Cow::Owned(text.to_owned())) } else { Value::Null })
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }
}

/// The name of a member; borrowed if it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Bytes as text: invalid UTF-8 becomes U+FFFD.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    // Most texts are valid, which is the fast case.
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Parses one JSON text with the seed.
///
/// # Errors
/// When the text is not JSON, or not what the seed expects.
pub(crate) fn read<'de, S: DeserializeSeed<'de>>(text: &'de str, seed: S) -> serde_json::Result<S::Value> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let said = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(said)
}

/// Parses one JSON text with at most this many values: an array of numbers, or of empty objects, can take forty times
/// its text in memory.
///
/// # Errors
/// When the text is not valid, or has more values.
pub(crate) fn owned<T: DeserializeOwned>(text: &[u8], most: usize) -> serde_json::Result<T> {
    if sieve::values(text) > most {
        return Err(serde_json::Error::custom("there are more values than are read"));
    }
    serde_json::from_slice(text)
}
