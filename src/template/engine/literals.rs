//! Go's literals, rewritten with the few escapes that the template engine reads as Go does.
//!
//! The engine would unescape raw strings (used for regular expressions), supports only some escapes, and fails on some
//! invalid ones. So literals are parsed here, and written again in a form that it reads correctly.

/// A literal with its quotes, written so that the engine reads what Go would.
///
/// # Errors
/// The reason, when it has an escape that Go does not know, or a line break.
pub(super) fn plain(literal: &str) -> Result<String, String> {
    let text = text(literal).ok_or_else(|| format!("invalid escape or line break in {literal}"))?;
    let quote = if literal.starts_with('\'') { '\'' } else { '"' };
    let mut written = String::with_capacity(literal.len());
    write(&text, quote, &mut written);
    Ok(written)
}

/// The text of a literal with its quotes; `None` if it has an escape that Go does not know, or a line break.
pub(super) fn text(literal: &str) -> Option<String> {
    let inner = literal.get(1..literal.len().saturating_sub(1)).unwrap_or_default();
    // Go drops carriage returns from raw strings.
    if literal.starts_with('`') { Some(inner.replace('\r', "")) } else { unescape(inner) }
}

/// The text of a quoted literal, by the Go specification, "String literals". Bytes that are not UTF-8 become the
/// replacement character.
fn unescape(literal: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(literal.len());
    let mut rest = literal;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        if character == '\n' {
            return None;
        }
        if character != '\\' {
            bytes.extend(character.encode_utf8(&mut [0; 4]).bytes());
            continue;
        }
        let kind = rest.chars().next()?;
        let (digits, radix) = match kind {
            '0'..='7' => (rest.get(..3)?, 8),
            'x' => (rest.get(1..3)?, 16),
            'u' => (rest.get(1..5)?, 16),
            'U' => (rest.get(1..9)?, 16),
            _ => {
                bytes.push(simple_escape(kind)?);
                rest = &rest[1..];
                continue;
            }
        };
        if !digits.chars().all(|digit| digit.is_digit(radix)) {
            return None;
        }
        let number = u32::from_str_radix(digits, radix).ok()?;
        if matches!(kind, 'u' | 'U') {
            bytes.extend(char::from_u32(number)?.encode_utf8(&mut [0; 4]).bytes());
        } else {
            bytes.push(u8::try_from(number).ok()?);
        }
        rest = &rest[if radix == 8 { 3 } else { 1 + digits.len() }..];
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn simple_escape(kind: char) -> Option<u8> {
    Some(match kind {
        'a' => 0x07,
        'b' => 0x08,
        'f' => 0x0c,
        'n' => b'\n',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        '\\' => b'\\',
        '\'' => b'\'',
        '"' => b'"',
        _ => return None,
    })
}

/// Appends a text as a literal.
pub(super) fn write(text: &str, quote: char, written: &mut String) {
    written.push(quote);
    for character in text.chars() {
        match character {
            '\n' => written.push_str(r"\n"),
            '\\' => written.push_str(r"\\"),
            end if end == quote => written.extend(['\\', end]),
            other => written.push(other),
        }
    }
    written.push(quote);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tokens::closing_quote;
    use super::*;

    #[test]
    fn a_literal_is_written_plainly() {
        for (literal, expected) in [
            ("`a`", r#""a""#),
            (r"`\w+`", r#""\\w+""#),
            ("`say \"x\"\r\n`", r#""say \"x\"\n""#),
            ("``", r#""""#),
            (r#""`\"`""#, r#""`\"`""#),
            ("'`'", "'`'"),
            (r"'\''", r"'\''"),
            (r#""\\""#, r#""\\""#),
            ("`ä`", r#""ä""#),
        ] {
            assert_eq!(plain(literal).as_deref(), Ok(expected), "{literal}");
        }
        assert_eq!(plain(r#""\q""#).unwrap_err(), r#"invalid escape or line break in "\q""#);
        assert!(plain("\"a\nb\"").is_err());
    }

    #[test]
    fn every_escape_of_go_is_read() {
        for (literal, expected) in [
            (r"\a\b\f\n\r\t\v\\\'", "\u{7}\u{8}\u{c}\n\r\t\u{b}\\'"),
            (r"\x41\101\u0041\U00000041.", "AAAA."),
            (r"\u00e9\xc3\xa9\303\251é", "ééé\u{e9}"),
            (r"\U0001F600!", "😀!"),
            (r"\xff", "\u{fffd}"),
        ] {
            assert_eq!(unescape(literal).as_deref(), Some(expected), "{literal}");
        }
        for wrong in [r"\q", r"\", r"\x4", r"\xg0", r"\u12", r"\uaaaé", r"\ud800", r"\U00110000", r"\8", r"\400", "\n"]
        {
            assert_eq!(unescape(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_written_as_a_literal_is_read_again(text in "(?s).{0,20}") {
            let mut written = String::new();
            write(&text, '"', &mut written);
            prop_assert_eq!(closing_quote(&written, '"'), Some(written.len() - 1));
            prop_assert_eq!(plain(&written), Ok(written.clone()));
            prop_assert_eq!(unescape(&written[1..written.len() - 1]), Some(text));
        }
    }
}
