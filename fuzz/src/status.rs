//! Whatever stands in the head of a request to `-status` is understood or refused.
//!
//! The input's first line is a path, its second a query, its third a host.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use registrator::status::{Path, query};
use registrator_web::Names;

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.splitn(3, '\n');
    let mut line = || lines.next().unwrap_or_default();
    let path = line();
    match Path::parse(path) {
        Path::Unknown => {}
        Path::Container(_) => assert!(path.starts_with("/v1/containers/"), "{path:?}"),
        _ => assert!(path.starts_with('/'), "{path:?}"),
    }
    // The container that `explain` asks for is the one that is looked for.
    if !path.is_empty() {
        let asked = format!("/v1/containers/{}", utf8_percent_encode(path, NON_ALPHANUMERIC));
        assert_eq!(Path::parse(&asked), Path::Container(path.to_owned()));
    }
    let asked = line();
    if let Some(query::After::Number(number)) = query::after(asked) {
        assert!(asked.contains("after=") && asked.contains(&number.to_string()), "{asked:?}");
    }
    assert!(!query::is_verbose(asked) || asked.contains("verbose"), "{asked:?}");
    let host = line();
    if Names::new("", ["web1".to_owned()]).accepts(host) {
        assert!(!host.ends_with(".example"), "{host:?}");
    }
}
