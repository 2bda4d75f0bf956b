//! Why a template does not parse or failed, and where in its source.

use gtmpl_ng::{ErrorContext, ExecError, ParseError};

use super::places;
use super::rewrite::{Refused, Rewritten};
use super::tokens::{Kind, Part, parts};

/// Before the name of the function that failed, as in Go.
pub(in crate::template) const ERROR_CALLING: &str = "error calling ";

/// Before the name of the function that was called with too few or too many arguments, as in Go.
pub(in crate::template) const WRONG_COUNT: &str = "wrong number of args for ";

/// The longest piece of a template that an error shows, in characters.
const LONGEST_PIECE: usize = 120;

/// What went wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::template) struct Failure {
    /// The line and the column in the source, both counted from 1, if the engine knows them.
    pub(in crate::template) place: Option<(usize, usize)>,
    /// The template that failed: the file, or one that it defines.
    pub(in crate::template) template: String,
    /// The piece of the source that failed, in one line.
    pub(in crate::template) piece: String,
    /// The reason, as the engine or a function says it. It may quote values.
    pub(in crate::template) reason: String,
}

impl Failure {
    pub(super) fn refused(name: &str, source: &str, refused: Refused) -> Self {
        let place = Some(places::line_and_column(source, refused.at));
        Self { place, template: name.to_owned(), piece: String::new(), reason: refused.reason }
    }

    pub(super) fn parse(name: &str, source: &str, rewritten: &Rewritten, error: &ParseError) -> Self {
        match error {
            ParseError::WithContext(context, reason) => Self::at(source, rewritten, context, reason),
            other => Self::somewhere(name, other.to_string()),
        }
    }

    pub(super) fn execute(name: &str, source: &str, rewritten: &Rewritten, error: &ExecError) -> Self {
        match error.as_structured() {
            Some(error) => Self::at(source, rewritten, &error.context, &error.message),
            None => Self::somewhere(name, error.to_string()),
        }
    }

    fn somewhere(name: &str, reason: String) -> Self {
        Self { place: None, template: name.to_owned(), piece: String::new(), reason }
    }

    fn at(source: &str, rewritten: &Rewritten, context: &ErrorContext, reason: &str) -> Self {
        let start = places::offset(&rewritten.text, context.line, context.col);
        let end = (start + context.len).min(rewritten.text.len());
        let (start, end) = (rewritten.source(start), rewritten.source(end));
        let (start, piece) = match source.get(start..end) {
            Some(piece) => {
                let call = called_function(reason).and_then(|name| call_of(piece, name));
                let call = call.unwrap_or(0..piece.len());
                (start + call.start, &piece[call])
            }
            None => (start, ""),
        };
        Self {
            place: Some(places::line_and_column(source, start)),
            template: context.name.clone(),
            piece: one_line(piece, LONGEST_PIECE),
            reason: reason.to_owned(),
        }
    }
}

/// The function that a reason names.
fn called_function(reason: &str) -> Option<&str> {
    let rest = reason.strip_prefix(ERROR_CALLING).or_else(|| reason.strip_prefix(WRONG_COUNT))?;
    rest.split_once(':').map(|(name, _)| name)
}

/// The place of the first command that calls this function, without what it is piped into.
fn call_of(piece: &str, name: &str) -> Option<std::ops::Range<usize>> {
    // The piece is the inside of an action, so it is read as one.
    let action = format!("{{{{{piece}}}}}");
    let parts = parts(&action);
    let [Part::Action(action)] = parts.as_slice() else { return None };
    let place = |token: usize| action.tokens.get(token).map(|token| &token.place);
    let is_method = |text: &str| text.strip_prefix('.') == Some(name);
    let found = action.tokens.iter().position(|token| {
        let text = &piece[token.place.start - 2..token.place.end - 2];
        (token.kind == Kind::Word && text == name) || (token.kind == Kind::Field && is_method(text))
    })?;
    // A method's receiver stands before it, perhaps in parentheses.
    let (mut first, mut closed) = (found, 0_usize);
    while let Some(before) = first.checked_sub(1).and_then(|before| action.tokens.get(before)) {
        match before.kind {
            Kind::Close => closed += 1,
            Kind::Open if closed > 0 => closed -= 1,
            Kind::Space | Kind::Open | Kind::Pipe | Kind::Assign if closed == 0 => break,
            _ => {}
        }
        first -= 1;
    }
    let mut open = 0_usize;
    let mut last = found;
    for (position, token) in action.tokens.iter().enumerate().skip(found + 1) {
        match token.kind {
            Kind::Pipe if open == 0 => break,
            Kind::Close if open == 0 => break,
            Kind::Open => open += 1,
            Kind::Close => open -= 1,
            _ => {}
        }
        if token.kind != Kind::Space {
            last = position;
        }
    }
    Some(place(first)?.start - 2..place(last)?.end - 2)
}

/// The text in one line, cut.
pub(in crate::template) fn one_line(text: &str, longest: usize) -> String {
    let mut line: String =
        text.chars().take(longest).map(|character| if character.is_control() { ' ' } else { character }).collect();
    if text.chars().nth(longest).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_that_failed_is_found_in_what_the_engine_points_at() {
        for (piece, name, call) in [
            ("getv \"/x\"", "getv", "getv \"/x\""),
            ("(getv \"/x\")", "getv", "getv \"/x\""),
            ("getv \"/x\" | toUpper", "getv", "getv \"/x\""),
            ("$x := getv (f \"|\") | toUpper", "getv", "getv (f \"|\")"),
            ("\"a\" | toUpper  | atoi", "toUpper", "toUpper"),
            ("(datetime).UTC.Format 1", "Format", "(datetime).UTC.Format 1"),
            ("f (g 1) 2", "g", "g 1"),
        ] {
            assert_eq!(call_of(piece, name).map(|place| &piece[place]), Some(call), "{piece}");
        }
        assert_eq!(call_of("getv 1", "get"), None);
        assert_eq!(call_of("\"", "get"), None);
    }
}
