//! A filter, asked of one element after the other within a time.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use regex_automata::meta::Cache;
use serde_json::Value;

use super::fields::Kind;
use super::{Filter, Node, Test};

/// How long all elements of an answer may be looked at.
const LONGEST: Duration = Duration::from_secs(2);

/// One use of a filter: what it needs while it searches, and how long it may.
pub(crate) struct Evaluation<'a> {
    filter: &'a Filter,
    caches: RefCell<Vec<Option<Cache>>>,
    until: Instant,
    /// Set when it took too long: from then on nothing is looked at.
    over: Cell<bool>,
}

impl<'a> Evaluation<'a> {
    pub(crate) fn new(filter: &'a Filter) -> Self {
        let caches = RefCell::new(filter.patterns.iter().map(|_| None).collect());
        Self { filter, caches, until: Instant::now() + LONGEST, over: Cell::new(false) }
    }

    /// Whether the filter holds for an element; false when the time is over.
    pub(crate) fn accepts(&self, element: &Value) -> bool {
        if self.over.get() || Instant::now() > self.until {
            self.over.set(true);
        }
        !self.over.get() && self.holds(&self.filter.root, element) && !self.over.get()
    }

    /// Whether it took too long, so that what it accepted is not all.
    pub(crate) fn is_over(&self) -> bool {
        self.over.get()
    }

    fn holds(&self, node: &Node, element: &Value) -> bool {
        match node {
            Node::And(left, right) => self.holds(left, element) && self.holds(right, element),
            Node::Or(left, right) => self.holds(left, element) || self.holds(right, element),
            Node::Not(inner) => !self.holds(inner, element),
            Node::Match { path, kind, negative, test } => seek(Some(element), kind, path, &|value| {
                value.map_or(*negative, |(value, kind)| self.passes(test, value, kind) != *negative)
            }),
        }
    }

    /// A value that is not spelled in the JSON is the empty one of its kind.
    fn passes(&self, test: &Test, value: Option<&Value>, kind: &Kind) -> bool {
        let text = || value.and_then(Value::as_str).unwrap_or_default();
        match test {
            Test::Text(wanted) => text() == wanted,
            Test::Number(wanted) => value.and_then(Value::as_i64).unwrap_or_default() == *wanted,
            Test::Flag(wanted) => value.and_then(Value::as_bool).unwrap_or_default() == *wanted,
            Test::Pattern(number) => self.matches(*number, text()),
            Test::Holds(wanted) => match (kind, value) {
                (Kind::Text, _) => text().contains(wanted.as_str()),
                (_, Some(Value::Array(elements))) => elements.iter().any(|element| element == wanted),
                (_, Some(Value::Object(map))) => map.contains_key(wanted),
                _ => false,
            },
            Test::Empty => match value {
                Some(Value::Array(elements)) => elements.is_empty(),
                Some(Value::Object(map)) => map.is_empty(),
                _ => true,
            },
        }
    }

    /// Searches a text, unless there is no time for it.
    fn matches(&self, number: usize, text: &str) -> bool {
        let mut caches = self.caches.borrow_mut();
        let (Some(pattern), Some(cache)) = (self.filter.patterns.get(number), caches.get_mut(number)) else {
            return false;
        };
        if self.over.get() {
            return false;
        }
        let found = pattern.is_in(text, cache.get_or_insert_with(|| pattern.cache()));
        if found.is_err() || Instant::now() > self.until {
            self.over.set(true);
        }
        found.unwrap_or_default()
    }
}

/// What is at the end of a path: the value, if it is spelled, and its kind; nothing where a map has no such key.
type Found<'a> = Option<(Option<&'a Value>, &'a Kind)>;

/// Asks the value at the end of a path; on the way, any element of a list will do.
fn seek(value: Option<&Value>, kind: &Kind, path: &[String], answer: &dyn Fn(Found<'_>) -> bool) -> bool {
    let Some((key, rest)) = path.split_first() else { return answer(Some((value, kind))) };
    let child = value.and_then(|value| value.get(key));
    match kind {
        Kind::Record(fields) => match fields.iter().find(|(name, _)| name == key) {
            Some((_, kind)) => seek(child, kind, rest, answer),
            None => false,
        },
        Kind::TextMap if child.is_some() => seek(child, &Kind::Text, rest, answer),
        Kind::RecordMap(record) if child.is_some() => seek(child, record, rest, answer),
        Kind::TextMap | Kind::RecordMap(_) => answer(None),
        Kind::Records(record) => value
            .and_then(Value::as_array)
            .is_some_and(|all| all.iter().any(|one| seek(Some(one), record, path, answer))),
        Kind::Text | Kind::Number | Kind::Flag | Kind::Texts => false,
    }
}
