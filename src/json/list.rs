//! Parses a list entry by entry while it arrives: never more than one entry is in memory.

use serde::de::Error as _;

use super::Shape;
use super::sieve::{Limits, Sieve, unescaped};

/// Parses an array, or an object whose members are the entries.
#[derive(Debug)]
pub(crate) struct List {
    state: State,
    kind: Kind,
    /// The name of the current entry, in an object.
    name: Vec<u8>,
    entry: Sieve,
    count: usize,
    most: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Array,
    Object,
}

/// What is expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Start,
    /// The rest of `null`; holds the number of bytes so far. It counts as an empty list, because engines written in Go
    /// send it.
    Null(usize),
    /// An entry, or the end.
    Entry,
    Name {
        escaped: bool,
    },
    Colon,
    Value,
    End,
}

/// The maximum length of a name, in bytes.
const LONGEST_NAME: usize = 64 << 10;

/// An entry of a list.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    /// Its name, in an object; empty in an array.
    pub(crate) name: &'a str,
    /// The parts of it in the shape, as JSON.
    pub(crate) text: &'a [u8],
}

impl List {
    /// For an array with at most this many entries. The parts of each entry in the shape are kept within the limits; of
    /// a larger entry, only the beginning is kept.
    pub(crate) fn array(shape: &'static Shape, limits: Limits, most: usize) -> Self {
        Self::new(Kind::Array, Sieve::new(shape, limits), most)
    }

    /// As above, for an object whose members are the entries.
    pub(crate) fn object(shape: &'static Shape, limits: Limits, most: usize) -> Self {
        Self::new(Kind::Object, Sieve::new(shape, limits), most)
    }

    fn new(kind: Kind, entry: Sieve, most: usize) -> Self {
        Self { state: State::Start, kind, name: Vec::new(), entry, count: 0, most }
    }

    /// Takes the next bytes, and passes on each completed entry.
    ///
    /// # Errors
    /// When it is not a list, or has too many entries; and errors of `take`.
    pub(crate) fn push<E: From<serde_json::Error>>(
        &mut self,
        bytes: &[u8],
        mut take: impl FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut at = 0;
        while at < bytes.len() {
            at += self.step(&bytes[at..], &mut take)?;
        }
        Ok(())
    }

    /// Takes the end of the data.
    ///
    /// # Errors
    /// When the list is incomplete.
    pub(crate) fn end(self) -> serde_json::Result<()> {
        match self.state {
            State::End => Ok(()),
            State::Null(NULL_LENGTH) => Ok(()),
            _ => Err(serde_json::Error::custom("the end of the list is missing")),
        }
    }

    /// Consumes at least one byte, or changes the state.
    fn step<E: From<serde_json::Error>>(
        &mut self,
        bytes: &[u8],
        take: &mut impl FnMut(Entry<'_>) -> Result<(), E>,
    ) -> Result<usize, E> {
        let refused = |what: &str| Err(serde_json::Error::custom(what).into());
        let byte = bytes[0];
        match self.state {
            State::Value => {
                let taken = self.entry.push(bytes);
                if self.entry.is_complete() {
                    self.state = State::Entry;
                    self.count += 1;
                    if self.count > self.most {
                        return refused("the list has more entries than are read");
                    }
                    let name = unescaped(&self.name).unwrap_or_default();
                    self.entry.next(|text| take(Entry { name: &name, text }))??;
                }
                return Ok(taken);
            }
            State::Name { mut escaped } => {
                let (length, is_over) = super::sieve::string(bytes, &mut escaped);
                self.name.extend_from_slice(&bytes[..length - usize::from(is_over)]);
                if self.name.len() > LONGEST_NAME {
                    return refused("a name is longer than is read");
                }
                self.state = if is_over { State::Colon } else { State::Name { escaped } };
                return Ok(length);
            }
            _ if byte.is_ascii_whitespace() => {}
            State::Start if byte == b'n' && self.kind == Kind::Array => self.state = State::Null(1),
            State::Start if byte == self.kind.opens() => self.state = State::Entry,
            State::Null(seen) if NULL.get(seen) == Some(&byte) => self.state = State::Null(seen + 1),
            State::Entry if byte == b',' => {}
            State::Entry if byte == self.kind.closes() => self.state = State::End,
            State::Entry if self.kind == Kind::Array => {
                self.state = State::Value;
                return Ok(0);
            }
            State::Entry if byte == b'"' => {
                self.name.clear();
                self.state = State::Name { escaped: false };
            }
            State::Colon if byte == b':' => self.state = State::Value,
            State::Start | State::Null(_) | State::Entry | State::Colon => return refused("it is no list"),
            State::End => return refused("something follows the list"),
        }
        Ok(1)
    }
}

impl Kind {
    fn opens(self) -> u8 {
        match self {
            Self::Array => b'[',
            Self::Object => b'{',
        }
    }

    fn closes(self) -> u8 {
        match self {
            Self::Array => b']',
            Self::Object => b'}',
        }
    }
}

const NULL: &[u8; NULL_LENGTH] = b"null";
const NULL_LENGTH: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::Shape::Whole;
    use super::*;

    const LIMITS: Limits = Limits { text: 1000, values: 100 };

    /// The entries of a list that arrives in pieces of these sizes.
    fn read(text: &[u8], sizes: &[usize]) -> serde_json::Result<Vec<(String, Value)>> {
        let is_object = text.trim_ascii_start().starts_with(b"{");
        let mut list = if is_object { List::object(&Whole, LIMITS, 10) } else { List::array(&Whole, LIMITS, 10) };
        let mut entries = Vec::new();
        let mut left = text;
        for size in sizes.iter().cycle() {
            if left.is_empty() {
                break;
            }
            let (now, later) = left.split_at((*size).min(left.len()));
            list.push(now, |entry| {
                entries.push((entry.name.to_owned(), serde_json::from_slice(entry.text)?));
                Ok::<_, serde_json::Error>(())
            })?;
            left = later;
        }
        list.end()?;
        Ok(entries)
    }

    fn any_entry() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<i32>().prop_map(|number| json!(number)),
            "[a\"\\\\,\\[\\]{}é\n]{0,6}".prop_map(Value::from),
            proptest::collection::vec(any::<bool>(), 0..3).prop_map(|flags| json!({"a": flags, "b,": {}})),
        ]
    }

    proptest! {
        #[test]
        fn however_a_list_arrives_its_entries_are_the_same(
            entries in proptest::collection::vec(any_entry(), 0..8),
            sizes in proptest::collection::vec(1usize..9, 1..6),
            pretty in any::<bool>(),
        ) {
            let spelt = |list: &Value| if pretty { format!("{list:#}") } else { list.to_string() };
            let found = read(spelt(&json!(entries)).as_bytes(), &sizes).unwrap();
            prop_assert_eq!(found, entries.iter().map(|entry| (String::new(), entry.clone())).collect::<Vec<_>>());
            let named: Vec<_> = entries.into_iter().enumerate().map(|(at, it)| (format!("{at}\","), it)).collect();
            let object = Value::Object(named.clone().into_iter().collect());
            prop_assert_eq!(read(spelt(&object).as_bytes(), &sizes).unwrap(), named);
        }

        #[test]
        fn nothing_that_arrives_makes_it_panic(
            bytes in proptest::collection::vec(prop::sample::select(&b"[]{},:\"\\ nul1"[..]), 0..40),
            sizes in proptest::collection::vec(1usize..9, 1..6),
        ) {
            let found = read(&bytes, &sizes);
            prop_assert_eq!(found.ok(), read(&bytes, &[100]).ok(), "it matters how it arrives");
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in [
            "",
            " ",
            "<html>",
            "\"x\"",
            "12",
            "[",
            "{\"a\":1",
            "[1]x",
            "[1]]",
            "{a:1}",
            "{\"a\" 1}",
            "nul",
            "nulls",
            "true",
        ] {
            assert!(read(text.as_bytes(), &[1]).is_err(), "{text}");
            assert!(read(text.as_bytes(), &[100]).is_err(), "{text}");
        }
        for text in ["null", " null\n", "[]", "{ }", "[ ]\n"] {
            assert_eq!(read(text.as_bytes(), &[1]).unwrap(), [], "{text}");
        }
    }

    #[test]
    fn a_list_may_have_so_many_entries_and_an_entry_so_much_text() {
        assert_eq!(read("[1,1,1,1,1,1,1,1,1,1]".as_bytes(), &[3]).unwrap().len(), 10);
        assert!(read("[1,1,1,1,1,1,1,1,1,1,1]".as_bytes(), &[3]).is_err());
        let large = json!([1, vec![1; 200], "x".repeat(2000), 2]).to_string();
        let left: Vec<_> = read(large.as_bytes(), &[50]).unwrap().into_iter().map(|(_, entry)| entry).collect();
        assert_eq!(left, [json!(1), json!(null), json!(null), json!(2)]);
    }
}
