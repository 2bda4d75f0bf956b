//! Whatever stands in a request's first line or in its Host is understood or refused, and waits for a bounded time.
//!
//! The input's first line is a path, its second a query, its third a host.

use std::time::Duration;

use registrator_embedded::{Names, Query, route};

/// Ten minutes and a sixteenth, the longest that Consul waits.
const LONGEST: Duration = Duration::from_millis(637_500);

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let _ = route(line());
    let query = line();
    let lenient = Query::lenient(query);
    if let Ok(parsed) = Query::parse(query) {
        assert!(parsed.wait_with_jitter() <= LONGEST);
        assert_eq!((parsed.filter, parsed.tags), (lenient.filter, lenient.tags));
    }
    let host = line();
    if Names::new("consul", []).accepts(host) {
        assert!(!host.ends_with(".example"), "{host:?}");
    }
}
