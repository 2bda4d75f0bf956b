//! JSON as Go's `encoding/json` writes it, byte for byte, because readers of these nodes may rely on that.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::{CharEscape, Formatter};

/// The value as Go's `json.Marshal` writes it: compact, with HTML characters escaped.
pub(super) fn marshal<T: Serialize>(value: &T) -> serde_json::Result<Vec<u8>> {
    let mut json = Vec::new();
    value.serialize(&mut Serializer::with_formatter(&mut json, Go))?;
    Ok(json)
}

/// Go's escapes: `<`, `>`, `&` and the two line separators as well, and no short form for U+0008 and U+000C (Go has it
/// since 1.22, long after the replaced program was built).
struct Go;

impl Formatter for Go {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut rest = fragment;
        while let Some(at) = rest.find(['<', '>', '&', '\u{2028}', '\u{2029}']) {
            let (plain, from) = rest.split_at(at);
            writer.write_all(plain.as_bytes())?;
            let mut characters = from.chars();
            if let Some(special) = characters.next() {
                write!(writer, "\\u{:04x}", u32::from(special))?;
            }
            rest = characters.as_str();
        }
        writer.write_all(rest.as_bytes())
    }

    fn write_char_escape<W: ?Sized + Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        match escape {
            CharEscape::Quote => writer.write_all(b"\\\""),
            CharEscape::ReverseSolidus => writer.write_all(b"\\\\"),
            CharEscape::Solidus => writer.write_all(b"/"),
            CharEscape::LineFeed => writer.write_all(b"\\n"),
            CharEscape::CarriageReturn => writer.write_all(b"\\r"),
            CharEscape::Tab => writer.write_all(b"\\t"),
            CharEscape::Backspace => writer.write_all(b"\\u0008"),
            CharEscape::FormFeed => writer.write_all(b"\\u000c"),
            CharEscape::AsciiControl(byte) => write!(writer, "\\u{byte:04x}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn strings_are_escaped_as_go_escapes_them() {
        for (text, json) in [
            ("", r#""""#),
            ("plain /é 😀\u{7f}", "\"plain /é 😀\u{7f}\""),
            (r#"a"b\c"#, r#""a\"b\\c""#),
            ("a<b>&c", r#""a\u003cb\u003e\u0026c""#),
            ("\n\r\t\u{8}\u{c}\u{0}\u{1f}", r#""\n\r\t\u0008\u000c\u0000\u001f""#),
            ("\u{2028}x\u{2029}", r#""\u2028x\u2029""#),
            ("<\"&\\", r#""\u003c\"\u0026\\""#),
        ] {
            assert_eq!(String::from_utf8(marshal(&text).unwrap()).unwrap(), json, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_reads_back(text in "(?s).{0,40}") {
            let json = marshal(&text).unwrap();
            prop_assert_eq!(serde_json::from_slice::<String>(&json).unwrap(), text);
            prop_assert!(json.iter().all(|byte| !matches!(byte, b'<' | b'>' | b'&' | 0..=0x1f)));
        }
    }
}
