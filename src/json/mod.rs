//! Reading JSON without keeping what nobody will look at: an inspect has some 150 members, of which we need 20,
//! and a list of twenty thousand services need not be held as a whole to be read.

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

/// What is kept of a value.
#[derive(Debug)]
pub(crate) enum Shape {
    /// All of it.
    Whole,
    /// Of an object these members; anything else is as if it were null.
    Members(&'static [(&'static str, Shape)]),
    /// Of an object every member, in this shape; anything else is as if it were null.
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

    /// The shape of the member of this name, if it is kept.
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

/// The name of a member; borrowed where it holds no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// Bytes as text: those that are no UTF-8 become U+FFFD.
pub(crate) fn text(bytes: &[u8]) -> Cow<'_, str> {
    // Most are; this is what is fast for them.
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

/// Reads one JSON text, and makes of it what the seed says.
///
/// # Errors
/// When the text is no JSON, or not what the seed reads.
pub(crate) fn read<'de, S: DeserializeSeed<'de>>(text: &'de str, seed: S) -> serde_json::Result<S::Value> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let said = seed.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(said)
}

/// Reads one JSON text of at most so many values into a type of its own: an array of numbers, or of empty objects, can take
/// forty times its text.
///
/// # Errors
/// When the text is no such JSON, or has more values.
pub(crate) fn owned<T: DeserializeOwned>(text: &[u8], most: usize) -> serde_json::Result<T> {
    if sieve::values(text) > most {
        return Err(serde_json::Error::custom("there are more values than are read"));
    }
    serde_json::from_slice(text)
}
