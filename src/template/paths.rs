//! Slash-separated paths as Go's package `path` treats them: cleaning, splitting, and matching patterns.

/// A pattern that Go's `path.Match` refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadPattern;

/// The shortest path of the same meaning: no empty element, no `.`, and no `..` but at the start of a relative path.
#[must_use]
pub fn clean(path: &str) -> String {
    let is_rooted = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for element in path.split('/') {
        match element {
            "" | "." => {}
            ".." if kept.last().is_some_and(|last| *last != "..") => {
                kept.pop();
            }
            ".." if is_rooted => {}
            other => kept.push(other),
        }
    }
    match (is_rooted, kept.is_empty()) {
        (true, _) => format!("/{}", kept.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => kept.join("/"),
    }
}

/// The last element, without the slashes behind it. `.` of an empty path, `/` of slashes only.
#[must_use]
pub fn base(path: &str) -> &str {
    if path.is_empty() {
        return ".";
    }
    let path = path.trim_end_matches('/');
    if path.is_empty() { "/" } else { path.rsplit('/').next().unwrap_or(path) }
}

/// All but the last element, cleaned.
#[must_use]
pub fn dir(path: &str) -> String {
    clean(path.rfind('/').map_or("", |slash| &path[..=slash]))
}

/// The elements, joined and cleaned. Empty elements are left out.
#[must_use]
pub fn join(elements: &[&str]) -> String {
    let elements: Vec<_> = elements.iter().filter(|element| !element.is_empty()).copied().collect();
    if elements.is_empty() { String::new() } else { clean(&elements.join("/")) }
}

/// Whether the whole name matches the pattern: `*` and `?` match anything but a slash, `[a-z]` and `[^a]` a character of a
/// class, and a backslash takes the special meaning of the next character.
///
/// # Errors
/// When the pattern is not well formed.
pub fn matches(pattern: &str, name: &str) -> Result<bool, BadPattern> {
    let (mut pattern, mut name) = (pattern, name);
    while !pattern.is_empty() {
        let (is_starred, chunk, rest) = next_chunk(pattern);
        pattern = rest;
        if is_starred && chunk.is_empty() {
            return Ok(!name.contains('/'));
        }
        let is_last = pattern.is_empty();
        let rest = after_chunk(chunk, name)?.filter(|rest| !is_last || rest.is_empty());
        let rest = match rest {
            None if is_starred => after_star(chunk, name, is_last)?,
            found => found,
        };
        let Some(rest) = rest else { return check(pattern).map(|()| false) };
        name = rest;
    }
    Ok(name.is_empty())
}

/// Whether stars lead, the pattern up to the next star, and the rest.
fn next_chunk(pattern: &str) -> (bool, &str, &str) {
    let rest = pattern.trim_start_matches('*');
    let (mut in_class, mut escaped) = (false, false);
    let end = rest.find(|character| {
        let is_end = character == '*' && !in_class && !escaped;
        if escaped {
            escaped = false;
        } else {
            match character {
                '\\' => escaped = true,
                '[' => in_class = true,
                ']' => in_class = false,
                _ => {}
            }
        }
        is_end
    });
    let (chunk, others) = rest.split_at(end.unwrap_or(rest.len()));
    (rest.len() < pattern.len(), chunk, others)
}

/// What is left of the name behind the first place, past a star, where the chunk matches.
fn after_star<'n>(chunk: &str, name: &'n str, is_last: bool) -> Result<Option<&'n str>, BadPattern> {
    for (start, character) in name.char_indices() {
        if character == '/' {
            break;
        }
        let rest = after_chunk(chunk, &name[start + character.len_utf8()..])?;
        if let Some(rest) = rest.filter(|rest| !is_last || rest.is_empty()) {
            return Ok(Some(rest));
        }
    }
    Ok(None)
}

/// Reads the rest of a pattern, which no longer decides, for its errors.
fn check(mut pattern: &str) -> Result<(), BadPattern> {
    while !pattern.is_empty() {
        let (_, chunk, rest) = next_chunk(pattern);
        after_chunk(chunk, "")?;
        pattern = rest;
    }
    Ok(())
}

/// What is left of the name behind the chunk, which has no star; `None` if it does not match. The chunk is read to its
/// end in any case, for its errors.
fn after_chunk<'n>(mut chunk: &str, name: &'n str) -> Result<Option<&'n str>, BadPattern> {
    let mut left = Some(name);
    while let Some(character) = take(&mut chunk) {
        // A name that is at its end matches nothing more.
        let next = left.and_then(|mut rest| take(&mut rest).map(|next| (next, rest)));
        let is_match = match character {
            '[' => class(&mut chunk, next.map(|(next, _)| next))?,
            '?' => next.is_some_and(|(next, _)| next != '/'),
            '\\' => {
                let plain = take(&mut chunk).ok_or(BadPattern)?;
                next.is_some_and(|(next, _)| next == plain)
            }
            plain => next.is_some_and(|(next, _)| next == plain),
        };
        left = next.filter(|_| is_match).map(|(_, rest)| rest);
    }
    Ok(left)
}

/// Whether the character is of the class whose inside begins the chunk.
fn class(chunk: &mut &str, character: Option<char>) -> Result<bool, BadPattern> {
    let is_negated = chunk.starts_with('^');
    if is_negated {
        *chunk = &chunk[1..];
    }
    let mut found = false;
    let mut is_first = true;
    loop {
        if !is_first && chunk.starts_with(']') {
            *chunk = &chunk[1..];
            return Ok(character.is_some() && found != is_negated);
        }
        let low = member(chunk)?;
        let mut high = low;
        if chunk.starts_with('-') {
            *chunk = &chunk[1..];
            high = member(chunk)?;
        }
        found |= character.is_some_and(|character| (low..=high).contains(&character));
        is_first = false;
    }
}

/// A character of a class, which something must follow.
fn member(chunk: &mut &str) -> Result<char, BadPattern> {
    let character = match take(chunk) {
        None | Some('-' | ']') => return Err(BadPattern),
        Some('\\') => take(chunk).ok_or(BadPattern)?,
        Some(other) => other,
    };
    if chunk.is_empty() { Err(BadPattern) } else { Ok(character) }
}

fn take(text: &mut &str) -> Option<char> {
    let mut characters = text.chars();
    let first = characters.next();
    *text = characters.as_str();
    first
}

#[cfg(test)]
mod tests;
