//! Notes: what a person should know about metadata that could not be used as it is.
//!
//! A note is one line of the log and quotes the container's text. Quotes are made safe and short here, in one place.

/// How many characters of a quoted value a note shows.
const SHOWN: usize = 60;

/// The maximum number of notes on one container.
const MOST: usize = 50;

/// Replaces the further notes.
const MORE: &str = "its SERVICE_ settings have further problems, which are not reported";

/// The notes on one container, each once, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes(Vec<String>);

impl Notes {
    /// Adds a note, unless it was added before.
    pub fn add(&mut self, note: String) {
        if self.0.contains(&note) {
            return;
        }
        if self.0.len() < MOST {
            self.0.push(note);
        } else if self.0.len() == MOST {
            self.0.push(MORE.to_owned());
        }
    }

    /// Whether the maximum is reached.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.len() > MOST
    }

    /// The notes, in order.
    #[must_use]
    pub fn into_lines(self) -> Vec<String> {
        self.0
    }
}

/// The text in quotes, with control characters escaped and a long text cut.
#[must_use]
pub fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for (position, character) in text.chars().enumerate() {
        if position == SHOWN {
            quoted.push('…');
            break;
        }
        quoted.extend(character.escape_debug());
    }
    quoted.push('"');
    quoted
}

/// A key: as it is if it is a plain word, otherwise in quotes.
#[must_use]
pub fn quote_key(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/');
    if (1..=SHOWN).contains(&key.len()) && key.bytes().all(plain) { key.to_owned() } else { quote(key) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_cannot_break_or_flood_a_line() {
        for (text, quoted) in [
            ("", "\"\""),
            ("abc", "\"abc\""),
            ("a\nb\r\0\u{1b}[31m", r#""a\nb\r\0\u{1b}[31m""#),
            ("say \"x\" \\", r#""say \"x\" \\""#),
            ("grün", "\"grün\""),
            ("\u{202e}\u{2028}", r#""\u{202e}\u{2028}""#),
        ] {
            assert_eq!(quote(text), quoted);
        }
        assert_eq!(quote(&"x".repeat(60)), format!("\"{}\"", "x".repeat(60)));
        assert_eq!(quote(&"x".repeat(100_000)), format!("\"{}…\"", "x".repeat(60)));
    }

    #[test]
    fn a_note_is_said_once() {
        let mut notes = Notes::default();
        for note in ["b", "a", "b"] {
            notes.add(note.to_owned());
        }
        assert_eq!(notes.into_lines(), ["b", "a"]);
    }

    #[test]
    fn there_is_an_end_of_notes() {
        let mut notes = Notes::default();
        for number in 0..100_000 {
            notes.add(number.to_string());
        }
        assert!(notes.is_full());
        let lines = notes.into_lines();
        assert_eq!((lines.len(), lines[MOST].as_str()), (MOST + 1, MORE));
    }
}
