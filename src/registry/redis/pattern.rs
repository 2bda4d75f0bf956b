//! Patterns of keys (<https://redis.io/docs/latest/commands/keys/>). Pure.

/// A text as a pattern that matches nothing else.
pub(super) fn escaped(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '\\' | '^') {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_special_characters_matches_only_itself() {
        assert_eq!(escaped("/a*[b]?\\"), "/a\\*\\[b\\]\\?\\\\");
        assert_eq!(escaped("services/web"), "services/web");
    }
}
