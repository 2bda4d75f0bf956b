//! From any text to HTML that shows it.

use std::fmt::{self, Display, Write as _};

/// Text that cannot become markup, in an element or in a quoted attribute, and that stays on one line.
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(&'a str);

/// The text as HTML.
#[must_use]
pub fn escaped(text: &str) -> Escaped<'_> {
    Escaped(text)
}

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                '\n' | '\t' => f.write_char(' ')?,
                // Characters that no document may have, and those that change the direction of their neighbours.
                _ if character.is_control() || changes_direction(character) => f.write_char('\u{fffd}')?,
                _ => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

fn changes_direction(character: char) -> bool {
    matches!(
        character,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn text_stays_text() {
        for (text, shown) in [
            ("web", "web"),
            ("<b>&\"'", "&lt;b&gt;&amp;&quot;&#39;"),
            ("a\nb\tc\rd\0", "a b c\u{fffd}d\u{fffd}"),
            ("safe\u{202e}gpj.exe", "safe\u{fffd}gpj.exe"),
            ("größe 東京", "größe 東京"),
        ] {
            assert_eq!(escaped(text).to_string(), shown);
        }
    }

    proptest! {
        #[test]
        fn no_text_becomes_markup(text in "(?s).{0,80}") {
            let shown = escaped(&text).to_string();
            prop_assert!(!shown.contains(['<', '>', '"', '\'', '\n', '\r', '\0']), "{shown}");
            // What an ampersand begins is one of ours.
            for part in shown.split('&').skip(1) {
                prop_assert!(["amp;", "lt;", "gt;", "quot;", "#39;"].iter().any(|ours| part.starts_with(ours)), "{shown}");
            }
        }
    }
}
