//! Any text as each of the small things that people and programs write: a duration, a version, a URI to be shown.

use registrator::docker::ApiVersion;
use registrator::registry::redacted;
use registrator::service::duration;

const SECRET: &str = "hunter2hunter2";

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if text.contains(SECRET) {
        return;
    }
    if let Some(duration) = duration::parse(text) {
        let again = duration::parse(&format!("{}ns", duration.as_nanos()));
        assert_eq!(again, Some(duration), "{text:?}");
    }
    if let Some(version) = ApiVersion::parse(text) {
        assert_eq!(ApiVersion::parse(&version.to_string()), Some(version), "{text:?}");
    }
    // Whatever stands around a password, it is not shown.
    let (before, after) = text.split_once('\n').unwrap_or((text, ""));
    let uri = format!("consul://{before}:{SECRET}@{after}");
    assert!(!redacted(&uri).contains(SECRET), "{uri:?} is shown as {:?}", redacted(&uri));
}
