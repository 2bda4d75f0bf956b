//! Whether a command printed what a page says. CONTRIBUTING.md has the rule.

use std::sync::OnceLock;

use regex::Regex;

/// What is different each time, and what stands for it on both sides.
const VARIABLE: &[(&str, &str)] = &[
    // Times, of the log and of JSON.
    (r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d", "<time>"),
    (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:?\d\d)?", "<time>"),
    // IDs of containers, digests, random names: 12 hexadecimal digits or more.
    (r"\b[0-9a-f]{12,64}\b", "<id>"),
    // Versions: three numbers, which an address has not.
    (r"(^|[^\d.])v?\d+\.\d+\.\d+(-[0-9a-z.]+)?([^\d.]|\.?$|\. )", "${1}<version>$3"),
    // Ports that an engine or the system chooses.
    (r":(3[2-9]\d{3}|[45]\d{4}|6[0-5]\d{3})\b", ":<port>"),
    // How long something has been so.
    (r"\b(since|for|within|after|in) \d+(\.\d+)?(ms|s|m|h|d)\b", "$1 <while>"),
    (r"\b\d+(\.\d+)?(ms|s|m|h|d) ago\b", "<while> ago"),
    // The width of a table's columns.
    (r"[ \t]+", " "),
];

/// The text with its variable parts replaced, and without white space at the ends of its lines.
fn normal(line: &str) -> String {
    static PATTERNS: OnceLock<Vec<(Regex, &str)>> = OnceLock::new();
    let patterns = PATTERNS.get_or_init(|| {
        VARIABLE.iter().map(|(pattern, stands)| (Regex::new(pattern).expect("a pattern"), *stands)).collect()
    });
    let indent = line.len() - line.trim_start().len();
    let text = patterns
        .iter()
        .fold(line.trim().to_owned(), |text, (pattern, stands)| pattern.replace_all(&text, *stands).into_owned());
    format!("{}{text}", " ".repeat(indent))
}

/// Whether a line is as expected, where `…` stands for any part of it.
fn line_fits(expected: &str, line: &str) -> bool {
    let parts: Vec<&str> = expected.split('…').collect();
    let [first, middle @ .., last] = &parts[..] else { return expected == line };
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    for part in middle {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

/// Whether these lines are the expected ones, where `...` alone stands for any number of lines.
fn fit(expected: &[String], lines: &[String]) -> bool {
    match (expected, lines) {
        ([], lines) => lines.is_empty(),
        ([first, rest @ ..], lines) if first.trim() == "..." => {
            (0..=lines.len()).any(|skipped| fit(rest, &lines[skipped..]))
        }
        ([first, rest @ ..], [line, lines @ ..]) => line_fits(first, line) && fit(rest, lines),
        (_, []) => false,
    }
}

fn lines(text: &str) -> Vec<String> {
    text.trim_end().lines().map(normal).collect()
}

/// Whether the text is what is expected.
pub(crate) fn equal(expected: &str, text: &str) -> bool {
    fit(&lines(expected), &lines(text))
}

/// Whether the expected lines stand in the text one after the other.
pub(crate) fn within(expected: &str, text: &str) -> bool {
    equal(&format!("...\n{}\n...", expected.trim_end()), text)
}

#[test]
fn variable_parts_are_equal_to_others_of_their_kind() {
    for (expected, text) in [
        ("2026/11/21 19:18:12 Starting registrator 0.1.0 ...", "2027/01/02 03:04:05 Starting registrator 0.2.0 ..."),
        ("added: 3d1f5a9c0b7e web1:web:80", "added: 0123456789ab web1:web:80"),
        ("NAME   PORT\nweb    :32768", "NAME PORT\nweb  :45001"),
        ("in sync, since 2m", "in sync, since 3s"),
        ("a\n...\nd", "a\nb\nc\nd"),
        ("a …, c", "a b, c"),
        ("...", ""),
    ] {
        assert!(equal(expected, text), "{expected:?} {text:?}");
    }
}

#[test]
fn everything_else_has_to_be_as_it_is() {
    for (expected, text) in [
        ("10.0.0.5:8000", "10.0.0.6:8000"),
        ("10.0.0.5:8000", "10.0.0.5:8001"),
        ("10.0.0", "10.0.0.5"),
        ("added: 3d1f5a9c0b7e web1:web:80", "added: 3d1f5a9c0b7e web1:web:81"),
        ("a\n  b", "a\nb"),
        ("a\n...\nd", "a\nb\nc"),
        ("a …, c", "a b, d"),
        ("a", "a\nb"),
        ("a", ""),
    ] {
        assert!(!equal(expected, text), "{expected:?} {text:?}");
    }
    assert!(within("b\nc\n", "a\nb\nc\nd") && !within("b\nd", "a\nb\nc\nd"));
}
