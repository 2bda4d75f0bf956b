//! A YAML or JSON document as a tree whose nodes know where they stand. JSON is YAML, so one parser reads both.
//!
//! Aliases share what they name, depth and size are limited, and merge keys (`<<`) are followed within a budget, so a
//! small file cannot become a large one.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span};

/// The maximum depth of a document.
const DEEPEST: usize = 100;

/// How many entries of mappings and sequences are looked at, in all.
const BUDGET: usize = 2_000_000;

/// A place in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The line, from 1 on.
    pub line: usize,
    /// The column in characters, from 1 on.
    pub column: usize,
}

/// Why a document cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{}: {reason}", .at.line, .at.column)]
pub struct Unreadable {
    /// Where.
    pub at: Position,
    /// What is wrong: one line.
    pub reason: String,
}

/// A node, and where it begins.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    Scalar { text: String, plain: bool },
    Sequence(Vec<Rc<Node>>),
    Mapping(Vec<(Rc<Node>, Rc<Node>)>),
}

impl Node {
    /// The text of a scalar; `None` for a null, and for anything else.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, plain }
                if !*plain || !matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL") =>
            {
                Some(text)
            }
            Kind::Scalar { .. } | Kind::Sequence(_) | Kind::Mapping(_) => None,
        }
    }

    /// The items of a sequence.
    pub(crate) fn items(&self) -> &[Rc<Node>] {
        if let Kind::Sequence(items) = &self.kind { items } else { &[] }
    }

    /// Whether it is a mapping.
    pub(crate) fn is_mapping(&self) -> bool {
        matches!(self.kind, Kind::Mapping(_))
    }
}

/// What may still be looked at.
#[derive(Debug)]
pub(crate) struct Budget(Cell<usize>);

impl Default for Budget {
    fn default() -> Self {
        Self(Cell::new(BUDGET))
    }
}

impl Budget {
    /// Takes one entry; false if nothing is left.
    pub(crate) fn spend(&self) -> bool {
        let left = self.0.get();
        self.0.set(left.saturating_sub(1));
        left > 0
    }

    /// The members of a mapping by key, with those of merge keys. A key counts once, and the mapping's own wins.
    pub(crate) fn members<'n>(&self, node: &'n Node) -> Vec<(&'n str, &'n Node, &'n Node)> {
        let mut members = Vec::new();
        let mut seen = std::collections::HashSet::new();
        self.collect(node, &mut members, &mut seen, 0);
        members
    }

    fn collect<'n>(
        &self,
        node: &'n Node,
        members: &mut Vec<(&'n str, &'n Node, &'n Node)>,
        seen: &mut std::collections::HashSet<&'n str>,
        depth: usize,
    ) {
        let Kind::Mapping(pairs) = &node.kind else { return };
        if depth > DEEPEST {
            return;
        }
        let mut merged = Vec::new();
        for (key, value) in pairs {
            if !self.spend() {
                return;
            }
            match &key.kind {
                Kind::Scalar { text, plain: true } if text == "<<" => merged.push(value),
                Kind::Scalar { text, .. } if seen.insert(text) => members.push((text, key, value)),
                Kind::Scalar { .. } | Kind::Sequence(_) | Kind::Mapping(_) => {}
            }
        }
        for value in merged {
            for source in std::iter::once(value).chain(value.items()) {
                self.collect(source, members, seen, depth + 1);
            }
        }
    }

    /// The member of a mapping with this key.
    pub(crate) fn member<'n>(&self, node: &'n Node, key: &str) -> Option<(&'n Node, &'n Node)> {
        self.members(node).into_iter().find(|(known, ..)| *known == key).map(|(_, key, value)| (key, value))
    }
}

/// Parses the first document of a text.
pub(crate) fn parse(text: &str) -> Result<Rc<Node>, Unreadable> {
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| unreadable(&error))?;
        if let Event::DocumentEnd | Event::StreamEnd = event {
            break;
        }
        builder.take(event, span)?;
    }
    builder.root.ok_or_else(|| Unreadable { at: Position { line: 1, column: 1 }, reason: "it is empty".to_owned() })
}

fn unreadable(error: &ScanError) -> Unreadable {
    let marker = error.marker();
    let at = Position { line: marker.line().max(1), column: marker.col() + 1 };
    Unreadable { at, reason: format!("this is no YAML: {}", error.info().escape_debug()) }
}

/// Makes a tree of events.
#[derive(Default)]
struct Builder {
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
}

/// A sequence or mapping that is not yet complete.
struct Open {
    at: Position,
    anchor: usize,
    /// The items; for a mapping, keys and values in turn.
    items: Vec<Rc<Node>>,
    mapping: bool,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Unreadable> {
        let at = Position { line: span.start.line().max(1), column: span.start.col() + 1 };
        match event {
            Event::Scalar(text, style, anchor, _) => {
                let kind = Kind::Scalar { text: text.into_owned(), plain: style == ScalarStyle::Plain };
                self.add(Rc::new(Node { at, kind }), anchor);
            }
            Event::Alias(anchor) => {
                let unknown = || Unreadable { at, reason: "this alias names nothing before it".to_owned() };
                let node = Rc::clone(self.anchors.get(&anchor).ok_or_else(unknown)?);
                self.add(node, 0);
            }
            Event::SequenceStart(anchor, _) => self.start(at, anchor, false)?,
            Event::MappingStart(anchor, _) => self.start(at, anchor, true)?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let kind = if open.mapping {
                        let mut items = open.items.into_iter();
                        Kind::Mapping(std::iter::from_fn(|| Some((items.next()?, items.next()?))).collect())
                    } else {
                        Kind::Sequence(open.items)
                    };
                    self.add(Rc::new(Node { at: open.at, kind }), open.anchor);
                }
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn start(&mut self, at: Position, anchor: usize, mapping: bool) -> Result<(), Unreadable> {
        if self.open.len() == DEEPEST {
            return Err(Unreadable { at, reason: format!("it is nested more than {DEEPEST} times") });
        }
        self.open.push(Open { at, anchor, items: Vec::new(), mapping });
        Ok(())
    }

    fn add(&mut self, node: Rc<Node>, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        match self.open.last_mut() {
            Some(open) => open.items.push(node),
            None => self.root = self.root.take().or(Some(node)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(text: &str) -> Vec<(String, String, Position)> {
        let root = parse(text).unwrap();
        let budget = Budget::default();
        let of =
            |(key, at, value): (&str, &Node, &Node)| (key.to_owned(), value.text().unwrap_or("-").to_owned(), at.at);
        budget.members(&root).into_iter().map(of).collect()
    }

    fn at(line: usize, column: usize) -> Position {
        Position { line, column }
    }

    #[test]
    fn keys_know_where_they_stand_in_yaml_and_in_json() {
        let expected = [("a".to_owned(), "1".to_owned(), at(1, 1)), ("bä".to_owned(), "-".to_owned(), at(2, 1))];
        assert_eq!(members("a: 1\nbä: ~\n"), expected);
        let expected = [("a".to_owned(), "1".to_owned(), at(1, 3)), ("b".to_owned(), "null".to_owned(), at(2, 4))];
        assert_eq!(members("{ \"a\": 1,\n   \"b\": \"null\"}"), expected);
    }

    #[test]
    fn merge_keys_add_what_is_not_there() {
        let text = "x: &x {a: 1, b: 2}\ny: &y\n  b: 3\n  c: 4\nz:\n  b: 0\n  <<: [*x, *y]\n";
        let root = parse(text).unwrap();
        let budget = Budget::default();
        let (_, z) = budget.member(&root, "z").unwrap();
        let found: Vec<_> = budget.members(z).iter().map(|(key, _, value)| (*key, value.text().unwrap())).collect();
        assert_eq!(found, [("b", "0"), ("a", "1"), ("c", "4")]);
        assert_eq!(budget.member(z, "c").unwrap().0.at, at(4, 3));
    }

    #[test]
    fn what_is_nested_or_merged_without_an_end_costs_little() {
        let deep = "[".repeat(5000);
        assert!(parse(&deep).is_err());
        let mut bomb = String::from("a0: &a0 {k: v}\n");
        for level in 1..60 {
            let below = level - 1;
            bomb.push_str(&format!("a{level}: &a{level} {{<<: [*a{below}, *a{below}, *a{below}]}}\n"));
        }
        let root = parse(&bomb).unwrap();
        let budget = Budget::default();
        let (_, top) = budget.member(&root, "a59").unwrap();
        assert!(budget.members(top).len() <= 1);
    }

    #[test]
    fn what_is_no_yaml_is_said_with_its_place() {
        let error = parse("services:\n  web: [1, 2\n").unwrap_err();
        assert!(error.at.line >= 2 && error.reason.starts_with("this is no YAML: "), "{error:?}");
        assert_eq!(parse("").unwrap_err().reason, "it is empty");
        assert!(parse("a: *nothing\n").is_err());
    }
}
