//! JSON values that borrow their strings from the text; objects are lists.
//!
//! An engine's answer is read once and dropped, so an owned value would only copy every string first.

use std::borrow::Cow;
use std::ops::Index;

use serde_json::Number;

/// A JSON value.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Value<'a> {
    #[default]
    Null,
    Bool(bool),
    Number(Number),
    Text(Cow<'a, str>),
    Array(Vec<Self>),
    /// The members in their order. Of several with the same name, the last counts.
    Object(Vec<(Cow<'a, str>, Self)>),
}

impl<'a> Value<'a> {
    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    pub(crate) fn as_bool(&self) -> Option<bool> {
        if let Self::Bool(value) = self { Some(*value) } else { None }
    }

    pub(crate) fn as_i64(&self) -> Option<i64> {
        if let Self::Number(number) = self { number.as_i64() } else { None }
    }

    pub(crate) fn as_u64(&self) -> Option<u64> {
        if let Self::Number(number) = self { number.as_u64() } else { None }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// The elements of an array; none for other values.
    pub(crate) fn elements(&self) -> &[Self] {
        if let Self::Array(elements) = self { elements } else { &[] }
    }

    /// The members of an object; none for other values.
    pub(crate) fn members(&self) -> &[(Cow<'a, str>, Self)] {
        if let Self::Object(members) = self { members } else { &[] }
    }
}

/// The member with this name; null if there is none.
impl<'a> Index<&str> for Value<'a> {
    type Output = Self;

    fn index(&self, name: &str) -> &Self {
        const NULL: &Value<'static> = &Value::Null;
        self.members().iter().rfind(|(member, _)| member == name).map_or(NULL, |(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{Shape, read};
    use super::*;

    fn owned(value: &Value<'_>) -> serde_json::Value {
        match value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Number(number) => number.clone().into(),
            Value::Text(text) => text.as_ref().into(),
            Value::Array(elements) => elements.iter().map(owned).collect(),
            Value::Object(members) => {
                members.iter().map(|(name, value)| (name.clone().into_owned(), owned(value))).collect()
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_serde_json_reads(
            text in r#"(\{("[a\\"]{0,3}":("b"|1|-2|1\.5|true|null|\[\]|\{"c":\[0\]\}),?){0,4}\}|\[("\\u00e9\\n",?){0,3}\]|.{0,8})"#,
        ) {
            let expected: Result<serde_json::Value, _> = serde_json::from_str(&text);
            prop_assert_eq!(read(&text, &Shape::Whole).ok().as_ref().map(owned), expected.ok());
        }
    }

    #[test]
    fn of_two_members_of_one_name_the_last_counts() {
        let value = read(r#"{"a":1,"b":2,"a":{"c":true}}"#, &Shape::Whole).unwrap();
        assert_eq!(value["a"]["c"].as_bool(), Some(true));
        assert_eq!(owned(&value), serde_json::json!({"a": {"c": true}, "b": 2}));
    }

    #[test]
    fn a_missing_member_is_null() {
        let value = read(r#"{"a":[1,"x"]}"#, &Shape::Whole).unwrap();
        assert!(value["b"]["c"].is_null() && value["a"]["b"].is_null());
        assert_eq!(value["a"].elements()[0].as_u64(), Some(1));
        assert_eq!(value["a"].elements()[1].as_str(), Some("x"));
        assert!(value["a"].members().is_empty() && value.elements().is_empty());
    }
}
