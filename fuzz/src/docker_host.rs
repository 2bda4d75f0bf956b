//! Whatever `DOCKER_HOST` says is a place, or is refused in one line; neither shows the credentials in it.
//!
//! The input's first line is what stands before the host, where it is a URL, its second what follows.

use registrator::config::DockerConfig;
use registrator::docker;

/// Two passwords: what is shown must not depend on which it is.
const SECRETS: [&str; 2] = ["hunter2hunter2", "winter3winter3"];

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (before, after) = text.split_once('\n').unwrap_or((text, ""));
    check(text);
    let [one, other] = SECRETS.map(|secret| check(&format!("{before}:{secret}@{after}")));
    // Without a scheme's slashes it is no URL, and nothing in it is a password.
    if before.contains("://") && !before.starts_with("unix:") {
        assert_eq!(one, other, "what is shown of {text:?} depends on its password");
    }
}

/// What is shown of it.
fn check(host: &str) -> String {
    let config = DockerConfig {
        host: Some(host.to_owned()),
        tls_verify: false,
        cert_path: None,
        api_version: None,
        keep_inspect: false,
        ip_label: None,
        list_all: false,
        resync: None,
    };
    let shown = match docker::place(&config) {
        Ok(place) => place,
        Err(error) => error.to_string(),
    };
    assert!(!shown.contains(char::is_control), "a broken line: {shown:?}");
    shown
}
