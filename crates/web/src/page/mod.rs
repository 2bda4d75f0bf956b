//! What our pages have in common: their look, their script, their policy, and the way from any text to harmless HTML.
//!
//! A page is HTML that is complete without scripts. Its rows stand in `<ol id="rows">`, each on one line, with a digest
//! ([`row`]), so that the script reads a long answer line by line and replaces only rows that changed.

mod escape;
mod files;

use std::fmt::{Display, Write as _};
use std::hash::{DefaultHasher, Hash, Hasher};

use http::HeaderMap;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};

pub use escape::{Escaped, escaped};
pub use files::File;

/// The media type of a page.
pub const HTML: &str = "text/html; charset=utf-8";

/// Pages load nothing from elsewhere, run no script but ours, and no page of another site shows them.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
const FRAME_OPTIONS: HeaderName = HeaderName::from_static("x-frame-options");

/// Adds the headers that every answer to a browser has.
pub fn protect(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
}

/// How the script learns of changes, and what it asks for then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Updates {
    /// The path of the server-sent events; without one the script asks for the rows every other second.
    pub events: Option<&'static str>,
    /// The path of all rows.
    pub rows: &'static str,
    /// The path of one row, without its ID; empty if there is none.
    pub row: &'static str,
    /// The path of what explains a row, without its ID; empty if there is none. A link of the class `explain` shows it.
    pub explain: &'static str,
    /// Paths of parts that replace the elements with their IDs, separated by spaces.
    pub parts: &'static str,
    /// What a row is, and what rows are: `container containers`.
    pub nouns: &'static str,
}

/// The beginning of a page, up to its `<body>` and the link for those who read by keyboard.
///
/// `tag` is the entity tag of the rows as they are shown. `now` is the server's time in seconds since 1970; the script
/// counts from there.
#[must_use]
pub fn head(title: &str, updates: Updates, tag: &str, now: u64) -> String {
    let Updates { events, rows, row, explain, parts, nouns } = updates;
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n\
         <link rel=\"icon\" href=\"/page/icon.svg\">\n<link rel=\"stylesheet\" href=\"/page/style.css\">\n\
         <script src=\"/page/script.js\" defer></script>\n</head>\n\
         <body data-events=\"{events}\" data-rows=\"{rows}\" data-row=\"{row}\" data-explain=\"{explain}\" data-parts=\"{parts}\" \
         data-nouns=\"{nouns}\" data-tag=\"{tag}\" data-now=\"{now}\">\n<a class=\"skip\" href=\"#list\">Skip to the list</a>\n",
        title = escaped(title),
        tag = escaped(tag),
        events = events.unwrap_or_default(),
    )
}

/// What the script fills: whether the page is live.
pub const LIVE: &str = "<p id=\"live\" role=\"status\" aria-live=\"polite\"><noscript>no scripts: reload the page to see \
    changes</noscript></p>\n";

/// A number for people: `10,000`.
#[must_use]
pub fn number(number: usize) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// So many of something: `1 entry`, `10,000 entries`.
#[must_use]
pub fn count(count: usize, one: &str, many: &str) -> String {
    format!("{} {}", number(count), if count == 1 { one } else { many })
}

/// How many rows there are, and how many need attention.
#[must_use]
pub fn summary(counted: &str, attention: usize) -> String {
    let attention = match attention {
        0 => "<span class=\"calm\">nothing needs attention</span>".to_owned(),
        1 => "<a class=\"alarm\" href=\"?q=needs+attention\">1 needs attention</a>".to_owned(),
        many => format!("<a class=\"alarm\" href=\"?q=needs+attention\">{} need attention</a>", number(many)),
    };
    format!("<p id=\"summary\">{} · {attention}</p>\n", escaped(counted))
}

/// The beginning of the list of rows. The script shows the search box, which needs it.
#[must_use]
pub fn before_rows(label: &str, hint: &str, columns: &[&str]) -> String {
    let mut html = format!(
        "<section id=\"list\" aria-label=\"{0}\" tabindex=\"-1\">\n<form id=\"search\" role=\"search\" hidden>\
         <label for=\"filter\">Filter</label><input id=\"filter\" type=\"search\" name=\"q\" autocomplete=\"off\" \
         autocapitalize=\"off\" spellcheck=\"false\" placeholder=\"{1}\" aria-keyshortcuts=\"/\">\
         <output id=\"count\" for=\"filter\" aria-live=\"polite\"></output></form>\n\
         <div class=\"columns\" aria-hidden=\"true\">",
        escaped(label),
        escaped(hint),
    );
    if let Some((first, others)) = columns.split_first() {
        let _ = write!(html, "<span>{}</span><div class=\"pair\">", escaped(first));
        for column in others {
            let _ = write!(html, "<span>{}</span>", escaped(column));
        }
        html += "</div>";
    }
    html + "</div>\n<ol id=\"rows\">\n"
}

/// The end of the list of rows.
pub const AFTER_ROWS: &str = "</ol>\n<p id=\"nothing\" hidden>Nothing matches. <button type=\"button\" id=\"clear\">Show \
    all</button></p>\n</section>\n";

/// What keys do; shown by the script.
pub const KEYS: &str = "<p id=\"keys\" hidden><kbd>/</kbd> filter <kbd>j</kbd> <kbd>k</kbd> next and previous row \
    <kbd>Enter</kbd> explain <kbd>Esc</kbd> show all</p>\n";

/// The last line of an answer with rows: without it, the script takes none away.
#[must_use]
pub fn end_of_rows(count: usize) -> String {
    format!("<!--end {count}-->\n")
}

/// One row, on one line. `content` is HTML without a line break.
#[must_use]
pub fn row(id: &str, attention: bool, content: &str) -> String {
    let class = if attention { "row attention" } else { "row" };
    let (id, digest) = (identifier(id), digest(content, attention));
    format!("<li class=\"{class}\" id=\"{id}\" tabindex=\"-1\" data-digest=\"{digest:x}\">{content}</li>\n")
}

/// Any text as an ID that is the same in HTML and in the document: other texts have others.
fn identifier(text: &str) -> String {
    let mut id = String::with_capacity(text.len() + 2);
    for character in text.chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' => id.push(character),
            _ => {
                let _ = write!(id, "_{:x}_", u32::from(character));
            }
        }
    }
    id
}

/// The beginning of an element that shows a past time; such times do not count as changes of a row.
pub const PAST: &str = "<time datetime=";

fn digest(content: &str, attention: bool) -> u64 {
    let mut hasher = DefaultHasher::new();
    attention.hash(&mut hasher);
    let mut parts = content.split(PAST);
    parts.next().hash(&mut hasher);
    for part in parts {
        part.split_once("</time>").map_or(part, |(_, rest)| rest).hash(&mut hasher);
    }
    hasher.finish()
}

/// A state: a colour, and always a word.
#[must_use]
pub fn state(class: &str, word: impl Display) -> String {
    format!("<span class=\"state {class}\">{}</span>", escaped(&word.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_changes_with_what_it_says_and_not_with_the_second_since_when() {
        let row = |text: &str, since: u64| row("a", false, &format!("{text} {PAST}\"{since}\">{since}</time> end"));
        let digest = |row: String| row.split("data-digest=").nth(1).unwrap()[..10].to_owned();
        assert_eq!(digest(row("x", 1)), digest(row("x", 2)));
        assert_ne!(digest(row("x", 1)), digest(row("y", 1)));
        assert_ne!(digest(super::row("a", true, "x")), digest(super::row("a", false, "x")));
    }

    #[test]
    fn numbers_are_read_by_people() {
        let read = [0, 999, 1000, 123_456, 1_234_567].map(number);
        assert_eq!(read, ["0", "999", "1,000", "123,456", "1,234,567"]);
        assert_eq!([count(1, "entry", "entries"), count(1000, "entry", "entries")], ["1 entry", "1,000 entries"]);
    }

    #[test]
    fn an_id_is_the_same_in_html_and_in_the_document() {
        assert_eq!(identifier("c-0a9f"), "c-0a9f");
        assert_eq!(identifier("h:a.b\"<é"), "h_3a_a_2e_b_22__3c__e9_");
        assert_ne!(identifier("_3a_"), identifier(":"));
    }

    #[test]
    fn a_title_cannot_leave_its_place() {
        let updates = Updates { events: None, rows: "/r", row: "", explain: "", parts: "", nouns: "a b" };
        let head = head("</title><script>x</script>", updates, "\"1\"", 1);
        assert!(head.contains("<title>&lt;/title&gt;&lt;script&gt;"), "{head}");
        assert_eq!(head.matches("<script").count(), 1);
    }

    #[test]
    fn a_policy_allows_nothing_inline_and_nothing_from_elsewhere() {
        let mut headers = HeaderMap::new();
        protect(&mut headers);
        let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"));
        for never in ["unsafe", "http:", "https:", "*", "data:"] {
            assert!(!policy.contains(never), "{policy}");
        }
    }
}
