//! Notes: what a person should know about metadata that could not be taken as it is.
//!
//! A note is one line of the log, and quotes what a container said of itself; so whatever is quoted
//! is made safe and short here, in one place.

/// How many characters of a foreign value a note shows.
const SHOWN: usize = 60;

/// Notes on one container, each said once, in the order in which they came up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notes(Vec<String>);

impl Notes {
    /// Adds a note, unless it was said already.
    pub fn add(&mut self, note: String) {
        if !self.0.contains(&note) {
            self.0.push(note);
        }
    }

    /// The notes, in order.
    #[must_use]
    pub fn into_lines(self) -> Vec<String> {
        self.0
    }
}

/// The text in quotes, with control characters escaped, and cut where it is long.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_quoted_cannot_break_a_line_or_fill_it() {
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
}
