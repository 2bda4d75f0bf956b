//! A list of the agent, parsed while it arrives: an object with one object per ID.

use crate::json::{self, Limits, Shape, Value};

use super::client::Body;

/// Limits for one entry: a hundred times the size of the largest service.
const LARGEST: Limits = Limits { text: 8 << 20, values: 1 << 18 };

/// The maximum number of entries of a list.
const MOST: usize = 1 << 18;

/// Passes on each entry with its ID.
pub(super) struct List<F> {
    shape: &'static Shape,
    take: F,
    list: json::List,
    /// Whether the data is not such a list.
    broken: bool,
}

impl<F: FnMut(&str, Value<'_>)> List<F> {
    pub(super) fn new(shape: &'static Shape, take: F) -> Self {
        Self { shape, take, list: json::List::object(shape, LARGEST, MOST), broken: false }
    }

    /// Takes the end of the answer. Returns whether it was a list.
    pub(super) fn end(self) -> bool {
        !self.broken && self.list.end().is_ok()
    }
}

impl<F: FnMut(&str, Value<'_>)> Body for List<F> {
    fn push(&mut self, bytes: &[u8]) {
        let Self { shape, take, list, broken } = self;
        *broken = *broken
            || list
                .push(bytes, |json::Entry { name, text }| {
                    take(name, json::read(&json::text(text), *shape)?);
                    Ok::<_, serde_json::Error>(())
                })
                .is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The IDs of a list that arrives so many bytes at a time, and whether it was one.
    fn read(text: &[u8], size: usize) -> (String, bool) {
        let mut ids = String::new();
        let mut list = List::new(&Shape::Whole, |id: &str, _: Value<'_>| ids += id);
        text.chunks(size).for_each(|bytes| list.push(bytes));
        let good = list.end();
        (ids, good)
    }

    #[test]
    fn a_list_is_read_however_it_arrives_and_nothing_else_passes_for_one() {
        for size in 1..20 {
            for (text, expected) in [
                (&br#"{"a":{"b":[1,2]},"c":{}}"#[..], ("ac", true)),
                (b" { } ", ("", true)),
                (b"{\"a\":{}", ("a", false)),
                (b"[{},{}]", ("", false)),
                (b"null", ("", false)),
                (b"<html>", ("", false)),
                (b"", ("", false)),
            ] {
                let (ids, good) = read(text, size);
                assert_eq!(good, expected.1, "{}", text.escape_ascii());
                assert!(!good || ids == expected.0);
            }
        }
        assert_eq!(read(b"{\"\xff\":{}}", 9), ("\u{fffd}".to_owned(), true));
    }
}
