//! Go's literals, rewritten with the few escapes that the template engine reads as Go does.
//!
//! The engine would unescape raw strings (used for regular expressions), supports only some escapes, and fails on some
//! invalid ones. So literals are parsed here, and written again in a form that it reads correctly.

/// The template with all string and character literals of its actions rewritten.
///
/// # Errors
/// The reason, when a literal has an escape that Go does not know, or a line break.
pub(super) fn normalize(template: &str) -> Result<String, String> {
    let mut written = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        let (text, action) = rest.split_at(start + "{{".len());
        written.push_str(text);
        rest = normalize_action(action, &mut written)?;
    }
    written.push_str(rest);
    Ok(written)
}

/// Writes an action up to its end, and returns the rest of the text. An action without an end is unchanged, so that the
/// engine reports it.
fn normalize_action<'t>(mut rest: &'t str, written: &mut String) -> Result<&'t str, String> {
    while let Some(next) = rest.chars().next() {
        let length = match next {
            '}' if rest.starts_with("}}") => {
                written.push_str("}}");
                return Ok(&rest[2..]);
            }
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' | '\'' | '`' => match closing(rest, next) {
                Some(end) => {
                    let literal = &rest[1..end];
                    // Go drops carriage returns from raw strings.
                    let text = if next == '`' { Some(literal.replace('\r', "")) } else { unescape(literal) };
                    let text = text.ok_or_else(|| format!("invalid escape or line break in {}", &rest[..=end]))?;
                    write_literal(&text, if next == '\'' { '\'' } else { '"' }, written);
                    rest = &rest[end + 1..];
                    continue;
                }
                None => rest.len(),
            },
            other => other.len_utf8(),
        };
        written.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    Ok(rest)
}

/// The position of the quote that ends the literal at the start of the text.
fn closing(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    text.char_indices().skip(1).find_map(|(position, character)| {
        let ends = character == quote && !escaped;
        escaped = character == '\\' && !escaped && quote != '`';
        ends.then_some(position)
    })
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

fn write_literal(text: &str, quote: char, written: &mut String) {
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

    use super::*;

    #[test]
    fn literals_in_actions_are_written_plainly_and_nothing_else_is_touched() {
        for (template, expected) in [
            ("", ""),
            ("`a\\b` \"\\q\"", "`a\\b` \"\\q\""),
            ("{{`a`}}", r#"{{"a"}}"#),
            (r"{{`\w+`}}", r#"{{"\\w+"}}"#),
            ("{{`say \"x\"\r\n`}}", r#"{{"say \"x\"\n"}}"#),
            ("{{``}}`{{`}}`}}", r#"{{""}}`{{"}}"}}"#),
            (r#"{{"`\"`" '`' "\\"}}`"#, r#"{{"`\"`" '`' "\\"}}`"#),
            ("{{/* `a` }} \"\\q\" */}}{{`a`}}", r#"{{/* `a` }} "\q" */}}{{"a"}}"#),
            ("a{{`b", "a{{`b"),
            ("a{{\"b`", "a{{\"b`"),
            ("a{{/* b`", "a{{/* b`"),
            ("{{", "{{"),
            ("{{`ä`}}ö{{.ü}}", r#"{{"ä"}}ö{{.ü}}"#),
        ] {
            assert_eq!(normalize(template).as_deref(), Ok(expected));
        }
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
        assert_eq!(normalize(r#"{{"\q"}}"#).unwrap_err(), r#"invalid escape or line break in "\q""#);
    }

    proptest! {
        #[test]
        fn any_text_written_as_a_literal_is_read_again(text in "(?s).{0,20}") {
            let mut written = String::new();
            write_literal(&text, '"', &mut written);
            prop_assert_eq!(closing(&written, '"'), Some(written.len() - 1));
            prop_assert_eq!(unescape(&written[1..written.len() - 1]), Some(text));
        }

        // No quoted part holds characters that could open or close anything, however the quotes pair up.
        #[test]
        fn a_template_that_is_plain_stays_as_it_is(template in "(\\{\\{|\\}\\}|/\\*|\\*/|\"[^\"\\\\\n`'{*]*\"|[^`\"'\\\\]){0,20}") {
            prop_assert_eq!(normalize(&template), Ok(template));
        }

        #[test]
        fn no_template_is_too_odd(template in "(\\{\\{|\\}\\}|/\\*|\\*/|[\"'`\\\\xuU0é]|.){0,20}") {
            let _ = normalize(&template);
        }
    }
}
