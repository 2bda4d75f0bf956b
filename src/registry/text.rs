//! Makes other programs' messages fit for one line of a log.

/// The text on one line, at most `limit` characters; unprintable characters are escaped.
///
/// Quotes and backslashes stay as they are: this is for reading, not for parsing.
pub(super) fn one_line(text: &str, limit: usize) -> String {
    let text = text.trim();
    let mut line = String::with_capacity(text.len().min(limit));
    for (count, c) in text.chars().enumerate() {
        if count == limit {
            line.push('…');
            break;
        }
        match c {
            '"' | '\'' | '\\' => line.push(c),
            _ => line.extend(c.escape_debug()),
        }
    }
    line
}

/// FNV-1a of a text. For stored data: it is the same in every release.
pub(super) fn stable_digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_becomes_one_line_that_prints() {
        for (text, line) in [
            ("", ""),
            (" it's \"a\\b\"\n", "it's \"a\\b\""),
            ("a\nb\tc\u{1b}[31m", "a\\nb\\tc\\u{1b}[31m"),
            ("é\u{202e}x\0", "é\\u{202e}x\\0"),
        ] {
            assert_eq!(one_line(text, 100), line);
        }
        assert_eq!(one_line("abcdef", 3), "abc…");
        assert_eq!(one_line("abc", 3), "abc");
    }
}
