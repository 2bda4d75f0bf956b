//! Regular expressions, in RE2's syntax as in Go.

use gtmpl_ng::Value;
use regex::Regex;

use super::args::{Args, Failed, Given, affordable, exactly, functions};
use crate::template::engine::Table;

pub(in crate::template) static TABLE: Table = functions! {
    "regexMatch", exactly(2), matches;
    "regexFind", exactly(2), find;
    "regexReplaceAll", exactly(3), replace_all;
};

pub(super) fn matches(args: &Args<'_>) -> Given {
    Ok(Value::from(expression(args.text(0)?)?.is_match(args.text(1)?)))
}

pub(super) fn find(args: &Args<'_>) -> Given {
    Ok(Value::from(expression(args.text(0)?)?.find(args.text(1)?).map_or("", |found| found.as_str())))
}

/// In the replacement, `$1` and `${1}` are what the first group matched.
pub(super) fn replace_all(args: &Args<'_>) -> Given {
    let (text, replacement) = (args.text(1)?, args.text(2)?);
    let expression = expression(args.text(0)?)?;
    let mut replaced = String::with_capacity(text.len());
    let (mut last, groups) = (0, replacement.matches('$').count());
    for captures in expression.captures_iter(text) {
        let Some(whole) = captures.get(0) else { continue };
        replaced.push_str(&text[last..whole.start()]);
        // No group is longer than the whole.
        let longest = groups.saturating_mul(whole.len()).saturating_add(replacement.len());
        affordable(replaced.len().saturating_add(longest))?;
        captures.expand(replacement, &mut replaced);
        last = whole.end();
    }
    replaced.push_str(&text[last..]);
    Ok(Value::from(replaced))
}

fn expression(text: &str) -> Result<Regex, Failed> {
    // The library's own error is a drawing of several lines.
    Regex::new(text).map_err(|_| Failed::new(format_args!("error parsing regexp: {text:?}")))
}
