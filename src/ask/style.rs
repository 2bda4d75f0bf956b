//! Colours, on a terminal only, and not if `NO_COLOR` is set (<https://no-color.org>); and text on one line.

use std::fmt::Write as _;
use std::io::{IsTerminal, stdout};

/// Whether to use colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style(bool);

/// What a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// As it should be, or added.
    Good,
    /// Changed, or waiting.
    Odd,
    /// Wrong, or removed.
    Bad,
    /// Less important.
    Dim,
    /// A heading.
    Bold,
}

impl Style {
    /// The style of the standard output.
    pub(super) fn of_stdout() -> Self {
        Self(stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()))
    }

    /// The text, in colour where that is wanted.
    pub(super) fn paint(self, look: Look, text: &str) -> String {
        let code = match look {
            Look::Good => "32",
            Look::Odd => "33",
            Look::Bad => "31",
            Look::Dim => "2",
            Look::Bold => "1",
        };
        if self.0 { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// The text on one line: whatever could break it is escaped.
pub(super) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control()
            || matches!(character, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        {
            let _ = write!(shown, "{}", character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// How long ago a time was, or how far ahead it is: `12s`, `3m`, `2h5m`, `4d`.
pub(super) fn distance(now: u64, then: u64) -> String {
    let seconds = now.abs_diff(then);
    match (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60) {
        (0, 0, 0, seconds) => format!("{seconds}s"),
        (0, 0, minutes, _) => format!("{minutes}m"),
        (0, hours, 0, _) => format!("{hours}h"),
        (0, hours, minutes, _) => format!("{hours}h{minutes}m"),
        (days, ..) => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_on_its_line_and_moves_nothing() {
        assert_eq!(plain("a\nb\u{1b}[31m \u{202e}x \"q\" é"), r#"a\nb\u{1b}[31m \u{202e}x "q" é"#);
    }

    #[test]
    fn a_distance_is_short() {
        for (seconds, text) in [(0, "0s"), (59, "59s"), (60, "1m"), (3_600, "1h"), (7_500, "2h5m"), (200_000, "2d")] {
            assert_eq!(distance(1_000_000, 1_000_000 - seconds), text);
            assert_eq!(distance(1_000_000 - seconds, 1_000_000), text);
        }
    }
}
