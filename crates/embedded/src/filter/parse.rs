//! The grammar of filter expressions. Pure.
//!
//! ```text
//! or       = and [ " or " or ]
//! and      = not [ " and " and ]
//! not      = "not " not | "(" or ")" | match
//! match    = selector ("==" | "!=" | contains | not contains | matches | not matches) value
//!          | selector " is " ["not "] "empty"
//!          | value ["not "] "in " selector
//! selector = identifier { "." identifier | '["' text '"]' }
//! value    = selector | number | "text" | `text`
//! ```
//!
//! Where two readings are possible the first one that works is taken, as in Consul, so that `not` and
//! `in` are words only where words can stand.

/// An expression as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    And(Box<Expression>, Box<Expression>),
    Or(Box<Expression>, Box<Expression>),
    Not(Box<Expression>),
    Match { selector: Vec<String>, operator: Operator, negative: bool, value: String },
}

/// What is asked; each has its negation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    In,
    Empty,
    Matches,
}

impl Operator {
    /// Its name in messages.
    pub(super) fn name(self, negative: bool) -> &'static str {
        match (self, negative) {
            (Self::Equal, false) => "Equal",
            (Self::Equal, true) => "Not Equal",
            (Self::In, false) => "In",
            (Self::In, true) => "Not In",
            (Self::Empty, false) => "Is Empty",
            (Self::Empty, true) => "Is Not Empty",
            (Self::Matches, false) => "Matches",
            (Self::Matches, true) => "Not Matches",
        }
    }
}

/// Where and why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {at}: {reason}")]
pub(super) struct ParseError {
    /// Counted from 1.
    at: usize,
    reason: &'static str,
}

/// How deep parentheses and `not`s may be nested.
const DEPTH: usize = 64;

/// Reads a whole text.
pub(super) fn parse(text: &str) -> Result<Expression, ParseError> {
    let mut parser = Parser { text, at: 0, depth: 0, furthest: 0, reason: "an expression is wanted" };
    parser.space();
    let parsed = parser.or().filter(|_| {
        parser.space();
        parser.at == text.len() || parser.fail("the expression should end here, or go on with and, or")
    });
    parsed.ok_or_else(|| ParseError { at: text[..parser.furthest].chars().count() + 1, reason: parser.reason })
}

/// Reads from `at` on; a method that finds nothing leaves `at` where it was.
struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: usize,
    furthest: usize,
    reason: &'static str,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    /// Remembers the failure that got furthest. Always false.
    fn fail(&mut self, reason: &'static str) -> bool {
        if self.at >= self.furthest {
            self.furthest = self.at;
            self.reason = reason;
        }
        false
    }

    /// Goes back to where it was unless something was found.
    fn attempt<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        let start = self.at;
        let found = read(self);
        if found.is_none() {
            self.at = start;
        }
        found
    }

    fn space(&mut self) -> Option<()> {
        let blank = |c: char| matches!(c, ' ' | '\t' | '\r' | '\n');
        let rest = self.rest();
        let trimmed = rest.trim_start_matches(blank);
        self.at += rest.len() - trimmed.len();
        (trimmed.len() < rest.len()).then_some(())
    }

    fn symbol(&mut self, symbol: &str) -> Option<()> {
        self.rest().starts_with(symbol).then(|| self.at += symbol.len())
    }

    /// Words, each with space on either side; at the end, the last may end the text.
    fn words(&mut self, words: &[&str], ends: bool) -> Option<()> {
        self.attempt(|parser| {
            for word in words {
                parser.space()?;
                parser.symbol(word)?;
            }
            if ends { Some(()) } else { parser.space() }
        })
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth == DEPTH {
            self.fail("it is nested too deeply");
            return None;
        }
        self.depth += 1;
        let found = read(self);
        self.depth -= 1;
        found
    }

    /// Terms joined by a word, the last two first.
    fn joined(
        &mut self,
        word: &str,
        term: fn(&mut Self) -> Option<Expression>,
        join: fn(Box<Expression>, Box<Expression>) -> Expression,
    ) -> Option<Expression> {
        let mut terms = vec![term(self)?];
        while let Some(next) = self.attempt(|parser| {
            parser.words(&[word], false)?;
            term(parser)
        }) {
            terms.push(next);
        }
        terms.into_iter().reduce(|left, right| join(Box::new(left), Box::new(right)))
    }

    fn or(&mut self) -> Option<Expression> {
        self.joined("or", Self::and, Expression::Or)
    }

    fn and(&mut self) -> Option<Expression> {
        self.joined("and", Self::not, Expression::And)
    }

    fn not(&mut self) -> Option<Expression> {
        let negated = self.attempt(|parser| {
            parser.symbol("not")?;
            parser.space()?;
            parser.deeper(Self::not)
        });
        match negated {
            Some(inner) => Some(Expression::Not(Box::new(inner))),
            None => self.parenthesized().or_else(|| self.comparison()),
        }
    }

    fn parenthesized(&mut self) -> Option<Expression> {
        self.attempt(|parser| {
            parser.symbol("(")?;
            parser.space();
            let inner = parser.deeper(Self::or)?;
            parser.space();
            if parser.symbol(")").is_none() {
                parser.fail("a parenthesis is not closed");
                return None;
            }
            Some(inner)
        })
    }

    fn comparison(&mut self) -> Option<Expression> {
        self.attempt(Self::selector_first).or_else(|| self.attempt(Self::value_first))
    }

    fn selector_first(&mut self) -> Option<Expression> {
        let selector = self.selector()?;
        let make = |operator, negative, value| Expression::Match { selector, operator, negative, value };
        if self.words(&["is", "empty"], true).is_some() {
            return Some(make(Operator::Empty, false, String::new()));
        }
        if self.words(&["is", "not", "empty"], true).is_some() {
            return Some(make(Operator::Empty, true, String::new()));
        }
        let Some((operator, negative)) = self.operator() else {
            self.fail("an operator is wanted: ==, !=, in, not in, contains, matches, is empty or is not empty");
            return None;
        };
        let value = self.value()?;
        Some(make(operator, negative, value))
    }

    fn operator(&mut self) -> Option<(Operator, bool)> {
        for (symbol, negative) in [("==", false), ("!=", true)] {
            let found = self.attempt(|parser| {
                parser.space();
                parser.symbol(symbol)
            });
            if found.is_some() {
                self.space();
                return Some((Operator::Equal, negative));
            }
        }
        for (word, operator) in [("contains", Operator::In), ("matches", Operator::Matches)] {
            if self.words(&[word], false).is_some() {
                return Some((operator, false));
            }
            if self.words(&["not", word], false).is_some() {
                return Some((operator, true));
            }
        }
        None
    }

    fn value_first(&mut self) -> Option<Expression> {
        let value = self.value()?;
        let negative = if self.words(&["in"], false).is_some() {
            false
        } else if self.words(&["not", "in"], false).is_some() {
            true
        } else {
            self.fail("an operator is wanted: in or not in");
            return None;
        };
        let Some(selector) = self.selector() else {
            self.fail("the name of a field is wanted");
            return None;
        };
        Some(Expression::Match { selector, operator: Operator::In, negative, value })
    }

    fn selector(&mut self) -> Option<Vec<String>> {
        let mut selector = vec![self.identifier()?];
        while let Some(part) =
            self.attempt(|parser| if parser.symbol(".").is_some() { parser.identifier() } else { parser.index() })
        {
            selector.push(part);
        }
        Some(selector)
    }

    fn identifier(&mut self) -> Option<String> {
        let rest = self.rest();
        if !rest.starts_with(|c: char| c.is_ascii_alphabetic()) {
            self.fail("a name or a value is wanted");
            return None;
        }
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        self.at += end;
        Some(rest[..end].to_owned())
    }

    fn index(&mut self) -> Option<String> {
        self.symbol("[")?;
        self.space();
        let key = self.text_literal();
        self.space();
        let key = key.filter(|_| self.symbol("]").is_some());
        if key.is_none() {
            self.fail("a key is written as [\"key\"]");
        }
        key
    }

    fn value(&mut self) -> Option<String> {
        if let Some(selector) = self.selector() {
            return Some(selector.join("."));
        }
        self.attempt(Self::number).or_else(|| self.text_literal())
    }

    fn number(&mut self) -> Option<String> {
        let start = self.at;
        let negative = self.symbol("-").is_some();
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let whole = digits(self.rest());
        if whole == 0 && !negative {
            return None;
        }
        let leading_zero = whole > 1 && self.rest().starts_with('0');
        self.at += whole;
        let fraction = self.rest().strip_prefix('.').map(digits);
        self.at += fraction.map_or(0, |digits| digits + 1);
        let ends = self.rest().is_empty() || self.rest().starts_with([' ', '\t', '\r', '\n', ')']);
        if whole == 0 || leading_zero || fraction == Some(0) || !ends {
            self.fail("that is no number");
            return None;
        }
        Some(self.text[start..self.at].to_owned())
    }

    fn text_literal(&mut self) -> Option<String> {
        let rest = self.rest();
        let quote = rest.chars().next().filter(|c| matches!(c, '"' | '`'))?;
        let Some(inner) = rest[1..].split_once(quote).map(|(inner, _)| inner) else {
            self.fail("a text is not closed");
            return None;
        };
        let text = if quote == '`' { Some(inner.to_owned()) } else { unescape(inner) };
        if text.is_none() {
            self.fail("a text holds a wrong escape");
            return None;
        }
        self.at += inner.len() + 2;
        text
    }
}

/// Go's escapes of a text in double quotes; a quote itself cannot be written.
fn unescape(text: &str) -> Option<String> {
    if text.contains('\n') {
        return None;
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        let kind = escape.chars().next()?;
        let after = escape.get(kind.len_utf8()..)?;
        let digits = match kind {
            'x' => 2,
            'u' => 4,
            'U' => 8,
            '0'..='7' => 3,
            _ => 0,
        };
        if digits == 0 {
            bytes.push(match kind {
                'a' => 7,
                'b' => 8,
                'f' => 12,
                'n' => b'\n',
                'r' => b'\r',
                't' => b'\t',
                'v' => 11,
                '\\' => b'\\',
                _ => return None,
            });
            rest = after;
            continue;
        }
        let (radix, from) = if digits == 3 { (8, escape) } else { (16, after) };
        let digits = from.get(..digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        let number = u32::from_str_radix(digits, radix).ok()?;
        if matches!(kind, 'u' | 'U') {
            bytes.extend_from_slice(char::from_u32(number)?.encode_utf8(&mut [0; 4]).as_bytes());
        } else {
            bytes.push(u8::try_from(number).ok()?);
        }
        rest = from.get(digits.len()..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
