//! Consul's filter expressions (`?filter=ServiceMeta.region == "us" and a in ServiceTags`), as
//! <https://developer.hashicorp.com/consul/api-docs/features/filtering> describes them. Pure.
//!
//! An expression is parsed ([`parse`]), then fitted to the fields of what an endpoint lists
//! ([`Filter::new`]), which finds every mistake before anything is looked at, and then asked of each
//! element as JSON ([`Filter::accepts`]). Where Consul 1.8 takes a map without the key for one whose
//! value matches any regular expression, ours does not match.

pub(super) mod fields;
mod parse;

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use fields::Kind;
use parse::{Expression, Operator};

/// The longest expression that is looked at, in bytes.
const LONGEST: usize = 4096;
/// What a compiled regular expression may take, in bytes.
const REGEX_SIZE: usize = 1 << 20;

/// An expression that fits the elements of one endpoint.
#[derive(Debug)]
pub(super) struct Filter(Node);

/// Why an expression is none; the text follows Consul's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Failed to create boolean expression evaluator: {0}")]
pub struct FilterError(String);

#[derive(Debug)]
enum Node {
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Match { path: Vec<String>, kind: &'static Kind, negative: bool, test: Test },
}

/// What is asked of the value at the end of a path.
#[derive(Debug)]
enum Test {
    Text(String),
    Number(i64),
    Flag(bool),
    /// A text holds it, a list has it as an element, a map as a key.
    Holds(String),
    Empty,
    Regex(Regex),
}

impl Filter {
    /// Reads an expression over elements of this kind.
    ///
    /// # Errors
    /// When it is no expression, names a field that is not there, or asks of a field what it cannot answer.
    pub(super) fn new(text: &str, kind: &'static Kind) -> Result<Self, FilterError> {
        if text.len() > LONGEST {
            return Err(FilterError(format!("it is longer than {LONGEST} bytes")));
        }
        let expression = parse::parse(text).map_err(|error| FilterError(error.to_string()))?;
        fit(expression, kind).map(Self).map_err(FilterError)
    }

    /// Whether it holds for an element.
    pub(super) fn accepts(&self, element: &Value) -> bool {
        self.0.holds(element)
    }
}

/// Reads any expression over the elements of `/v1/health/service`, and asks it of nothing; what fuzzing begins at.
///
/// # Errors
/// When it is no expression, or asks what cannot be answered.
pub fn check(text: &str) -> Result<(), FilterError> {
    Filter::new(text, &fields::HEALTH_SERVICE).map(|filter| {
        filter.accepts(&Value::Null);
    })
}

fn fit(expression: Expression, kind: &'static Kind) -> Result<Node, String> {
    let both = |left, right| -> Result<_, String> { Ok((Box::new(fit(left, kind)?), Box::new(fit(right, kind)?))) };
    Ok(match expression {
        Expression::And(left, right) => both(*left, *right).map(|(left, right)| Node::And(left, right))?,
        Expression::Or(left, right) => both(*left, *right).map(|(left, right)| Node::Or(left, right))?,
        Expression::Not(inner) => Node::Not(Box::new(fit(*inner, kind)?)),
        Expression::Match { selector, operator, negative, value } => {
            let shown = || selector.join(".");
            let field = kind.at(&selector).map_err(|at| {
                let known: Vec<&str> = selector.iter().take(at + 1).map(String::as_str).collect();
                format!("Selector {:?} is not valid", known.join("."))
            })?;
            let invalid = || {
                let operator = operator.name(negative);
                format!("Invalid match operator {operator:?} for selector {:?}", shown())
            };
            let coerce =
                |problem: &str| format!("Failed to coerce value {value:?} for selector {:?}: {problem}", shown());
            let test = match (operator, field) {
                (Operator::Equal, Kind::Text) => Test::Text(value),
                (Operator::Equal, Kind::Number) => {
                    Test::Number(value.parse().map_err(|_| coerce("it is no whole number"))?)
                }
                (Operator::Equal, Kind::Flag) => {
                    Test::Flag(flag(&value).ok_or_else(|| coerce("it is neither true nor false"))?)
                }
                (Operator::In, Kind::Text | Kind::Texts | Kind::TextMap | Kind::RecordMap(_)) => Test::Holds(value),
                (Operator::Empty, Kind::Texts | Kind::TextMap | Kind::RecordMap(_) | Kind::Records(_)) => Test::Empty,
                (Operator::Matches, Kind::Text) => {
                    let regex = RegexBuilder::new(&value).size_limit(REGEX_SIZE).build();
                    Test::Regex(regex.map_err(|error| regex_problem(&value, &error))?)
                }
                _ => return Err(invalid()),
            };
            Node::Match { path: selector, kind, negative, test }
        }
    })
}

fn regex_problem(text: &str, error: &regex::Error) -> String {
    // The library's message draws a picture of several lines; its last one is the reason.
    let reason = error.to_string();
    let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
    format!("Failed to compile regular expression {text:?}: {reason}")
}

/// A boolean in Go's spellings.
fn flag(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

impl Node {
    fn holds(&self, element: &Value) -> bool {
        match self {
            Self::And(left, right) => left.holds(element) && right.holds(element),
            Self::Or(left, right) => left.holds(element) || right.holds(element),
            Self::Not(inner) => !inner.holds(element),
            Self::Match { path, kind, negative, test } => seek(Some(element), kind, path, &|value| {
                value.map_or(*negative, |(value, kind)| test.holds(value, kind) != *negative)
            }),
        }
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

impl Test {
    /// A value that is not spelled in the JSON is the empty one of its kind.
    fn holds(&self, value: Option<&Value>, kind: &Kind) -> bool {
        let text = || value.and_then(Value::as_str).unwrap_or_default();
        match self {
            Self::Text(wanted) => text() == wanted,
            Self::Number(wanted) => value.and_then(Value::as_i64).unwrap_or_default() == *wanted,
            Self::Flag(wanted) => value.and_then(Value::as_bool).unwrap_or_default() == *wanted,
            Self::Regex(regex) => regex.is_match(text()),
            Self::Holds(wanted) => match (kind, value) {
                (Kind::Text, _) => text().contains(wanted.as_str()),
                (_, Some(Value::Array(elements))) => elements.iter().any(|element| element == wanted),
                (_, Some(Value::Object(map))) => map.contains_key(wanted),
                _ => false,
            },
            Self::Empty => match value {
                Some(Value::Array(elements)) => elements.is_empty(),
                Some(Value::Object(map)) => map.is_empty(),
                _ => true,
            },
        }
    }
}

#[cfg(test)]
mod tests;
