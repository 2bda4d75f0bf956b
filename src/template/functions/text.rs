//! Texts: cut, joined, replaced, padded and quoted.

use gtmpl_ng::{Value, funcs};

use super::args::{Args, Given, affordable, exactly, functions};
use crate::template::engine::{self, Table};

pub(in crate::template) static TABLE: Table = functions! {
    "split", exactly(2), |args| split(args.text(0)?, args.text(1)?);
    "splitN", exactly(3), split_n;
    "join", exactly(2), |args| join(&args.texts(0)?, args.text(1)?);
    "replace", exactly(4), |args| replace(args.text(0)?, args.text(1)?, args.text(2)?, args.int(3)?);
    "replaceAll", exactly(3), |args| replace(args.text(2)?, args.text(0)?, args.text(1)?, -1);
    "contains", exactly(2), |args| Ok(Value::from(args.text(0)?.contains(args.text(1)?)));
    "hasPrefix", exactly(2), |args| Ok(Value::from(args.text(1)?.starts_with(args.text(0)?)));
    "hasSuffix", exactly(2), |args| Ok(Value::from(args.text(1)?.ends_with(args.text(0)?)));
    "trimSuffix", exactly(2), |args| Ok(Value::from(without_suffix(args.text(0)?, args.text(1)?)));
    "trimPrefix", exactly(2), |args| Ok(Value::from(without_prefix(args.text(0)?, args.text(1)?)));
    "trimSpace", exactly(1), |args| Ok(Value::from(args.text(0)?.trim()));
    "trim", exactly(1), |args| Ok(Value::from(args.text(0)?.trim()));
    "toUpper", exactly(1), |args| Ok(Value::from(upper(args.text(0)?)));
    "toLower", exactly(1), |args| Ok(Value::from(lower(args.text(0)?)));
    "toTitle", exactly(1), |args| Ok(Value::from(title(args.text(0)?)));
    "indent", exactly(2), |args| indented(args.count(0)?, args.text(1)?, "");
    "nindent", exactly(2), |args| indented(args.count(0)?, args.text(1)?, "\n");
    "quote", exactly(1), |args| quoted(args.value(0));
    "squote", exactly(1), |args| Ok(Value::from(single_quoted(args.value(0))));
    "repeat", exactly(2), |args| repeated(args.count(0)?, args.text(1)?);
    "nospace", exactly(1), |args| Ok(Value::from(args.text(0)?.replace(char::is_whitespace, "")));
    "snakecase", exactly(1), |args| Ok(Value::from(lower(&words(args.text(0)?).join("_"))));
    "kebabcase", exactly(1), |args| Ok(Value::from(lower(&words(args.text(0)?).join("-"))));
    "camelcase", exactly(1), |args| Ok(Value::from(camel(args.text(0)?)));
    "queryEscape", exactly(1), |args| Ok(funcs::urlquery(&[Value::from(args.text(0)?)])?);
};

/// What a part counts besides its bytes, against the limit of what a function gives.
const PART: usize = 16;

/// The parts between separators, at most so many; without a separator, the characters.
fn parts(text: &str, separator: &str, most: usize) -> Vec<String> {
    if !separator.is_empty() {
        return text.splitn(most, separator).map(str::to_owned).collect();
    }
    let whole = text.chars().take(most.saturating_sub(1)).map(String::from);
    let rest: String = text.chars().skip(most.saturating_sub(1)).collect();
    whole.chain(Some(rest).filter(|rest| !rest.is_empty())).collect()
}

/// All parts. They take much more memory than the text.
pub(super) fn split(text: &str, separator: &str) -> Given {
    affordable(text.matches(separator).count().saturating_mul(PART).saturating_add(text.len()))?;
    Ok(Value::from(parts(text, separator, usize::MAX)))
}

/// As Go's `strings.SplitN`: no parts for 0, all of them below it.
fn split_n(args: &Args<'_>) -> Given {
    let most = args.int(2)?;
    if most == 0 {
        return Ok(Value::Array(Vec::new()));
    }
    match usize::try_from(most) {
        Ok(most) => Ok(Value::from(parts(args.text(0)?, args.text(1)?, most))),
        Err(_) => split(args.text(0)?, args.text(1)?),
    }
}

pub(super) fn join(texts: &[&str], separator: &str) -> Given {
    affordable(texts.iter().fold(0, |sum: usize, text| sum.saturating_add(text.len() + separator.len())))?;
    Ok(Value::from(texts.join(separator)))
}

/// The first `count` occurrences; all, if it is below zero.
pub(super) fn replace(text: &str, old: &str, new: &str, count: i64) -> Given {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let places = text.matches(old).take(count).count();
    affordable(text.len().saturating_add(places.saturating_mul(new.len())))?;
    Ok(Value::from(text.replacen(old, new, count)))
}

pub(super) fn without_suffix<'t>(text: &'t str, suffix: &str) -> &'t str {
    text.strip_suffix(suffix).unwrap_or(text)
}

pub(super) fn without_prefix<'t>(text: &'t str, prefix: &str) -> &'t str {
    text.strip_prefix(prefix).unwrap_or(text)
}

/// Go maps each character to one: `ß` stays what it is.
pub(super) fn upper(text: &str) -> String {
    text.chars().map(|character| single(character, character.to_uppercase())).collect()
}

pub(super) fn lower(text: &str) -> String {
    text.chars().map(|character| single(character, character.to_lowercase())).collect()
}

fn single(character: char, mut mapped: impl ExactSizeIterator<Item = char>) -> char {
    if mapped.len() == 1 { mapped.next().unwrap_or(character) } else { character }
}

/// Each word with a large first letter.
pub(super) fn title(text: &str) -> String {
    let mut is_inside = false;
    let mut titled = String::with_capacity(text.len());
    for character in text.chars() {
        titled.push(if is_inside { character } else { single(character, character.to_uppercase()) });
        is_inside = !character.is_whitespace();
    }
    titled
}

/// Each line behind so many spaces.
pub(super) fn indented(spaces: usize, text: &str, before: &str) -> Given {
    let lines = text.matches('\n').count() + 1;
    affordable(spaces.saturating_mul(lines).saturating_add(text.len()))?;
    let pad = " ".repeat(spaces);
    Ok(Value::from(format!("{before}{pad}{}", text.replace('\n', &format!("\n{pad}")))))
}

/// A text as Go's `%q` quotes it. Another value is printed first.
pub(super) fn quoted(value: &Value) -> Given {
    Ok(funcs::printf(&[Value::from("%q"), Value::from(engine::shown(value))])?)
}

/// In single quotes, where each within is doubled, as YAML has it.
pub(super) fn single_quoted(value: &Value) -> String {
    format!("'{}'", engine::shown(value).replace('\'', "''"))
}

pub(super) fn repeated(count: usize, text: &str) -> Given {
    affordable(count.saturating_mul(text.len()))?;
    Ok(Value::from(text.repeat(count)))
}

/// The words of a name: apart at `_`, `-`, spaces, and where the case changes (`HTTPServer2Go` is `HTTP`, `Server2`,
/// `Go`).
fn words(text: &str) -> Vec<String> {
    let characters: Vec<char> = text.chars().collect();
    let mut words = vec![String::new()];
    for (position, &character) in characters.iter().enumerate() {
        if matches!(character, '_' | '-') || character.is_whitespace() {
            words.push(String::new());
            continue;
        }
        let before = position.checked_sub(1).and_then(|before| characters.get(before));
        let after = characters.get(position + 1);
        let begins = character.is_uppercase()
            && before.is_some_and(|before| {
                before.is_lowercase()
                    || before.is_numeric()
                    || (before.is_uppercase() && after.is_some_and(|after| after.is_lowercase()))
            });
        if begins {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(character);
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// The words, each with one large letter, the first with none: `httpServer`.
fn camel(text: &str) -> String {
    let words = words(text).into_iter().enumerate();
    words.map(|(position, word)| if position == 0 { lower(&word) } else { title(&lower(&word)) }).collect()
}
