//! Consul's filter expressions (`?filter=ServiceMeta.region == "us" and a in ServiceTags`), as
//! <https://developer.hashicorp.com/consul/api-docs/features/filtering> describes them. Pure.
//!
//! An expression is parsed ([`parse`]), then fitted to the fields of what an endpoint lists
//! ([`Filter::new`]), which finds every mistake before anything is looked at, and then asked of each
//! element as JSON ([`Evaluation::accepts`]). Where Consul 1.8 takes a map without the key for one whose
//! value matches any regular expression, ours does not match.
//!
//! Anybody may ask, so everything has a bound: the text, its depth, what regular expressions take when they are compiled
//! (`pattern`), and how long all elements may be looked at. Filters that are held are counted (`held`).

mod evaluation;
pub(super) mod fields;
mod held;
mod parse;
mod pattern;

use serde_json::Value;

pub(super) use evaluation::Evaluation;
use fields::Kind;
pub(super) use held::{Filters, Held, Refusal};
use parse::{Expression, Operator};
use pattern::Pattern;

/// The longest expression that is looked at, in bytes.
const LONGEST: usize = 4096;

/// An expression that fits the elements of one endpoint.
#[derive(Debug)]
pub(super) struct Filter {
    root: Node,
    /// Its regular expressions, which the nodes name by their number.
    patterns: Vec<Pattern>,
    /// What it takes, in bytes; of the tree no more than an estimate.
    memory: usize,
}

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
    /// The regular expression of this number.
    Pattern(usize),
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
        let mut fitting = Fitting { kind, patterns: Vec::new(), memory: 0, budget: pattern::Budget::default() };
        let root = fitting.fit(expression).map_err(FilterError)?;
        let Fitting { patterns, memory, budget, .. } = fitting;
        Ok(Self { root, patterns, memory: memory + budget.taken() })
    }

    /// Whether compiling it can take long: it has a regular expression, or may have one.
    pub(super) fn is_costly(text: &str) -> bool {
        text.contains("matches")
    }
}

/// Reads any expression over the elements of `/v1/health/service`, and asks it of nothing; what fuzzing begins at.
///
/// # Errors
/// When it is no expression, or asks what cannot be answered.
pub fn check(text: &str) -> Result<(), FilterError> {
    Filter::new(text, &fields::HEALTH_SERVICE).map(|filter| {
        Evaluation::new(&filter).accepts(&Value::Null);
    })
}

/// Fits an expression to a kind of elements.
struct Fitting {
    kind: &'static Kind,
    patterns: Vec<Pattern>,
    memory: usize,
    budget: pattern::Budget,
}

impl Fitting {
    fn fit(&mut self, expression: Expression) -> Result<Node, String> {
        self.memory += size_of::<Node>();
        Ok(match expression {
            Expression::And(left, right) => Node::And(Box::new(self.fit(*left)?), Box::new(self.fit(*right)?)),
            Expression::Or(left, right) => Node::Or(Box::new(self.fit(*left)?), Box::new(self.fit(*right)?)),
            Expression::Not(inner) => Node::Not(Box::new(self.fit(*inner)?)),
            Expression::Match { selector, operator, negative, value } => {
                let test = self.test(&selector, operator, negative, value)?;
                Node::Match { path: selector, kind: self.kind, negative, test }
            }
        })
    }

    fn test(&mut self, selector: &[String], operator: Operator, negative: bool, value: String) -> Result<Test, String> {
        self.memory += selector.iter().map(|part| size_of::<String>() + part.len()).sum::<usize>() + value.len();
        let shown = || selector.join(".");
        let field = self.kind.at(selector).map_err(|at| {
            let known: Vec<&str> = selector.iter().take(at + 1).map(String::as_str).collect();
            format!("Selector {:?} is not valid", known.join("."))
        })?;
        let coerce = |problem: &str| format!("Failed to coerce value {value:?} for selector {:?}: {problem}", shown());
        Ok(match (operator, field) {
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
                self.patterns.push(self.budget.compile(&value)?);
                Test::Pattern(self.patterns.len() - 1)
            }
            _ => {
                let operator = operator.name(negative);
                return Err(format!("Invalid match operator {operator:?} for selector {:?}", shown()));
            }
        })
    }
}

/// A boolean in Go's spellings.
fn flag(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
