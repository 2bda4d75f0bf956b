//! A template's parts: text and actions, and the tokens of an action, where Go's lexer finds them.
//!
//! Nothing is judged here. A part that does not end is [`Part::Unclosed`], so that the template engine reports it.

use std::ops::Range;

/// A part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Text between actions, or a comment with its delimiters.
    Verbatim(Range<usize>),
    /// `{{ … }}`.
    Action(Action),
    /// The rest of a template whose last action, comment or literal has no end.
    Unclosed(Range<usize>),
}

/// `{{ … }}`, with its trim markers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Action {
    /// `{{` or `{{- `.
    pub(super) open: Range<usize>,
    /// All between the delimiters, spaces as well.
    pub(super) tokens: Vec<Token>,
    /// `}}` or ` -}}`.
    pub(super) close: Range<usize>,
}

/// A word of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) place: Range<usize>,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Space,
    /// A keyword, a function or a boolean.
    Word,
    /// `.Name`
    Field,
    /// `.` alone.
    Dot,
    /// `$name`
    Variable,
    /// A string or a character, with its quotes.
    Literal,
    Number,
    Open,
    Close,
    Pipe,
    /// `:=` or `=`
    Assign,
    Comma,
    /// Whatever has no place in an action.
    Other,
}

/// The parts of a template, in order and without gaps.
pub(super) fn parts(template: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < template.len() {
        let Some(start) = template[at..].find("{{").map(|length| at + length) else {
            parts.push(Part::Verbatim(at..template.len()));
            break;
        };
        if start > at {
            parts.push(Part::Verbatim(at..start));
        }
        let part = comment(template, start).or_else(|| action(template, start));
        let part = part.unwrap_or(Part::Unclosed(start..template.len()));
        at = match &part {
            Part::Verbatim(place) | Part::Unclosed(place) => place.end,
            Part::Action(action) => action.close.end,
        };
        parts.push(part);
    }
    parts
}

fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\r' | '\n')
}

/// The end of the left delimiter, with its trim marker and the space that belongs to it.
fn opened(template: &str, start: usize) -> usize {
    let inside = start + "{{".len();
    let mut next = template[inside..].chars();
    if next.next() == Some('-') && next.next().is_some_and(is_space) { inside + "- ".len() } else { inside }
}

/// The right delimiter at this place, if there is one.
fn closed(template: &str, at: usize) -> Option<Range<usize>> {
    let rest = &template[at..];
    if rest.starts_with("}}") {
        return Some(at..at + "}}".len());
    }
    (rest.starts_with(is_space) && rest[1..].starts_with("-}}")).then(|| at..at + " -}}".len())
}

/// A comment at this place; `None` if it is none, or has no end.
fn comment(template: &str, start: usize) -> Option<Part> {
    let inside = opened(template, start);
    let body = template[inside..].strip_prefix("/*")?;
    let end = inside + "/*".len() + body.find("*/")? + "*/".len();
    closed(template, end).map(|close| Part::Verbatim(start..close.end))
}

fn action(template: &str, start: usize) -> Option<Part> {
    let open = start..opened(template, start);
    let mut tokens = Vec::new();
    let mut at = open.end;
    loop {
        if let Some(close) = closed(template, at) {
            return Some(Part::Action(Action { open, tokens, close }));
        }
        let (kind, end) = token(template, at)?;
        tokens.push(Token { kind, place: at..end });
        at = end;
    }
}

/// The token at this place, and its end; `None` at the end of the template, or if a literal has no end.
fn token(template: &str, at: usize) -> Option<(Kind, usize)> {
    let rest = &template[at..];
    let first = rest.chars().next()?;
    let one = at + first.len_utf8();
    let second = rest[first.len_utf8()..].chars().next();
    Some(match first {
        _ if is_space(first) => (Kind::Space, spaces(template, at)),
        '"' | '\'' | '`' => (Kind::Literal, at + closing_quote(rest, first)? + 1),
        '(' => (Kind::Open, one),
        ')' => (Kind::Close, one),
        '|' => (Kind::Pipe, one),
        ',' => (Kind::Comma, one),
        '=' => (Kind::Assign, one),
        ':' if second == Some('=') => (Kind::Assign, one + 1),
        '$' => (Kind::Variable, word(template, one)),
        '.' if second.is_some_and(|next| next.is_ascii_digit()) => (Kind::Number, number(template, at)),
        '.' if second.is_some_and(is_of_word) => (Kind::Field, word(template, one)),
        '.' => (Kind::Dot, one),
        '0'..='9' => (Kind::Number, number(template, at)),
        '+' | '-' if second.is_some_and(|next| next.is_ascii_digit() || next == '.') => {
            (Kind::Number, number(template, one))
        }
        _ if is_of_word(first) => (Kind::Word, word(template, at)),
        _ => (Kind::Other, one),
    })
}

/// The end of the spaces here. The last one belongs to a right delimiter with a trim marker, if that follows.
fn spaces(template: &str, at: usize) -> usize {
    let mut end = at;
    while closed(template, end).is_none() && template[end..].starts_with(is_space) {
        end += 1;
    }
    end
}

fn is_of_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn word(template: &str, at: usize) -> usize {
    template[at..].find(|character| !is_of_word(character)).map_or(template.len(), |length| at + length)
}

/// The end of a number, which may hold a point, and a sign after its exponent's letter.
fn number(template: &str, at: usize) -> usize {
    let mut last = ' ';
    let length = template[at..].find(|character: char| {
        let is_part = is_of_word(character)
            || character == '.'
            || (matches!(character, '+' | '-') && matches!(last, 'e' | 'E' | 'p' | 'P'));
        last = character;
        !is_part
    });
    length.map_or(template.len(), |length| at + length)
}

/// The position of the quote that ends the literal at the start of the text.
pub(super) fn closing_quote(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().skip(1).find_map(|(position, character)| {
        let ends = character == quote && !escaped;
        escaped = character == '\\' && !escaped && quote != '`';
        ends.then_some(position)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The tokens of a template with one action, spaces left out.
    fn kinds(template: &str) -> Vec<(Kind, &str)> {
        match parts(template).as_slice() {
            [Part::Action(action)] => action
                .tokens
                .iter()
                .filter(|token| token.kind != Kind::Space)
                .map(|token| (token.kind, &template[token.place.clone()]))
                .collect(),
            other => panic!("{template}: {other:?}"),
        }
    }

    #[test]
    fn an_action_is_split_as_gos_lexer_splits_it() {
        assert_eq!(
            kinds("{{- range $i, $x := (gets \"/a}}\" | f).B.c -}}"),
            [
                (Kind::Word, "range"),
                (Kind::Variable, "$i"),
                (Kind::Comma, ","),
                (Kind::Variable, "$x"),
                (Kind::Assign, ":="),
                (Kind::Open, "("),
                (Kind::Word, "gets"),
                (Kind::Literal, "\"/a}}\""),
                (Kind::Pipe, "|"),
                (Kind::Word, "f"),
                (Kind::Close, ")"),
                (Kind::Field, ".B"),
                (Kind::Field, ".c"),
            ]
        );
        assert_eq!(
            kinds("{{-3 1e+5 .5 0x1p-2 . $ = ;}}"),
            [
                (Kind::Number, "-3"),
                (Kind::Number, "1e+5"),
                (Kind::Number, ".5"),
                (Kind::Number, "0x1p-2"),
                (Kind::Dot, "."),
                (Kind::Variable, "$"),
                (Kind::Assign, "="),
                (Kind::Other, ";"),
            ]
        );
    }

    #[test]
    fn what_does_not_end_is_left_to_the_engine() {
        for template in ["{{", "{{a", "{{\"a}}", "{{/* a", "{{`a}}", "{{ 'a"] {
            assert_eq!(parts(template), [Part::Unclosed(0..template.len())], "{template}");
        }
        assert_eq!(
            parts("a{{/* {{b}} */ -}} c"),
            [Part::Verbatim(0..1), Part::Verbatim(1..18), Part::Verbatim(18..20)]
        );
        // A comment that something follows is none, and no action either.
        assert!(matches!(parts("{{/* a */ b}}").as_slice(), [Part::Action(_)]));
    }

    proptest! {
        #[test]
        fn the_parts_are_the_whole_template(template in "(\\{\\{-? ?|( -)?\\}\\}|/\\*|\\*/|[\"'`\\\\.$|()a1é]|.|\n){0,30}") {
            let mut joined = String::new();
            for part in parts(&template) {
                match part {
                    Part::Verbatim(place) | Part::Unclosed(place) => joined.push_str(&template[place]),
                    Part::Action(action) => {
                        joined.push_str(&template[action.open]);
                        action.tokens.into_iter().for_each(|token| joined.push_str(&template[token.place]));
                        joined.push_str(&template[action.close]);
                    }
                }
            }
            prop_assert_eq!(joined, template);
        }
    }
}
