//! Reading JSON without keeping what nobody will look at: an inspect has some 150 members, of which we need 20,
//! and a list of twenty thousand services need not be held as a whole to be read.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What is kept of a value.
#[derive(Debug)]
pub(crate) enum Shape {
    /// All of it.
    Whole,
    /// Of an object these members, the last of each name; anything else is as if it were null.
    Members(&'static [(&'static str, Shape)]),
    /// Of an object every member, in this shape; anything else is as if it were null.
    Each(&'static Shape),
}

impl Shape {
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
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self {
            Shape::Whole => serde::Deserialize::deserialize(deserializer),
            Shape::Members(_) | Shape::Each(_) => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for &Shape {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        while let Some(Name(name)) = object.next_key()? {
            match self.member(&name) {
                Some(shape) => drop(kept.insert(name.into_owned(), object.next_value_seed(shape)?)),
                None => drop(object.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Object(kept))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Value, A::Error> {
        while array.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_str<E>(self, _: &str) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
}

/// The name of a member; borrowed where it holds no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

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

/// Hands each element of a list to `take` as soon as it is read, in this shape: of an array with an empty
/// name, of an object with its own. Null is an empty list, as engines written in Go have it.
pub(crate) struct Elements<'s, F> {
    pub(crate) shape: &'s Shape,
    pub(crate) take: F,
}

impl<'de, F: FnMut(&str, Value)> DeserializeSeed<'de> for Elements<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&str, Value)> Visitor<'de> for Elements<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<(), A::Error> {
        while let Some(element) = array.next_element_seed(self.shape)? {
            (self.take)("", element);
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut object: A) -> Result<(), A::Error> {
        while let Some(Name(name)) = object.next_key()? {
            (self.take)(&name, object.next_value_seed(self.shape)?);
        }
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}
