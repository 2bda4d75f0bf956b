//! What would change in a file, as a unified diff.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use similar::{ChangeTag, TextDiff};

/// How long the best diff is looked for; after that, any will do.
const DEADLINE: Duration = Duration::from_secs(2);

/// How a diff is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// How many unchanged lines stand around a change.
    pub context: usize,
    /// Whether it is coloured, for a terminal.
    pub colour: bool,
}

impl Default for Look {
    fn default() -> Self {
        Self { context: 3, colour: false }
    }
}

const RESET: &str = "\x1b[0m";
const BOLD: &str = "\x1b[1m";
const RED: &str = "\x1b[31m";
const GREEN: &str = "\x1b[32m";
const CYAN: &str = "\x1b[36m";

/// From the content of `dest` to what was rendered; empty if they are equal.
#[must_use]
pub fn unified(dest: &Path, before: &[u8], staged: &str, after: &str, look: Look) -> String {
    let before = String::from_utf8_lossy(before);
    let diff = TextDiff::configure().timeout(DEADLINE).diff_lines(before.as_ref(), after);
    let mut text = String::new();
    let mut line = |colour: &str, content: &str| {
        let shown = shown(content);
        // Writing to a string does not fail.
        let _ = if look.colour { writeln!(text, "{colour}{shown}{RESET}") } else { writeln!(text, "{shown}") };
    };
    for (index, hunk) in diff.unified_diff().context_radius(look.context).iter_hunks().enumerate() {
        if index == 0 {
            line(BOLD, &format!("--- {}", dest.display()));
            line(BOLD, &format!("+++ {staged}"));
        }
        line(CYAN, &hunk.header().to_string());
        for change in hunk.iter_changes() {
            let (sign, colour) = match change.tag() {
                ChangeTag::Equal => (' ', ""),
                ChangeTag::Delete => ('-', RED),
                ChangeTag::Insert => ('+', GREEN),
            };
            line(colour, &format!("{sign}{}", change.value().strip_suffix('\n').unwrap_or(change.value())));
            if change.missing_newline() {
                line("", "\\ No newline at end of file");
            }
        }
    }
    text
}

/// A line without anything that could control a terminal.
fn shown(line: &str) -> String {
    let is_plain = |character: char| character == '\t' || !character.is_control();
    line.chars().fold(String::with_capacity(line.len()), |mut shown, character| {
        if is_plain(character) {
            shown.push(character)
        } else {
            shown.extend(character.escape_default())
        }
        shown
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn diff(before: &str, after: &str, look: Look) -> String {
        unified(Path::new("/etc/web.conf"), before.as_bytes(), "/etc/.web.conf1", after, look)
    }

    #[test]
    fn a_diff_has_both_names_and_three_lines_around_each_change() {
        let lines =
            |changed: &str| (1..=9).map(|n| if n == 5 { changed.to_owned() } else { format!("{n}\n") }).collect();
        let (before, after): (String, String) = (lines("old\n"), lines("new\nmore\n"));
        assert_eq!(
            diff(&before, &after, Look::default()),
            "--- /etc/web.conf\n+++ /etc/.web.conf1\n@@ -2,7 +2,8 @@\n 2\n 3\n 4\n-old\n+new\n+more\n 6\n 7\n 8\n"
        );
        assert_eq!(
            diff(&before, &after, Look { context: 0, colour: false }),
            "--- /etc/web.conf\n+++ /etc/.web.conf1\n@@ -5 +5,2 @@\n-old\n+new\n+more\n"
        );
    }

    #[test]
    fn equal_texts_have_no_diff_and_a_new_file_is_all_added() {
        assert_eq!(diff("a\n", "a\n", Look::default()), "");
        assert_eq!(
            diff("", "a", Look::default()),
            "--- /etc/web.conf\n+++ /etc/.web.conf1\n@@ -0,0 +1 @@\n+a\n\\ No newline at end of file\n"
        );
    }

    #[test]
    fn on_a_terminal_it_has_colours_and_nothing_else_of_a_terminal() {
        let look = Look { context: 3, colour: true };
        let text = diff("a\n", "b\x1b[2J\n", look);
        assert!(text.contains("\x1b[31m-a\x1b[0m\n\x1b[32m+b\\u{1b}[2J\x1b[0m\n"), "{text:?}");
    }

    proptest! {
        #[test]
        fn a_plain_diff_never_controls_a_terminal(before in ".{0,30}", after in ".{0,30}") {
            let text = diff(&before, &after, Look::default());
            prop_assert!(text.chars().all(|character| matches!(character, '\n' | '\t') || !character.is_control()), "{:?}", text);
            prop_assert_eq!(text.is_empty(), before == after);
        }
    }
}
