//! Whatever a compose file or an inspect result says: findings of one line each, in the file, or one reason.
//!
//! The first byte chooses the options; the rest is the file.

use registrator::config::ServiceConfig;
use registrator::validate::validate;

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let Some((&policy, rest)) = data.split_first() else { return };
    let text = String::from_utf8_lossy(rest);
    let config = ServiceConfig {
        hostname: "hostname".to_owned(),
        ip: None,
        internal: policy & 1 != 0,
        explicit: policy & 2 != 0,
        ip_label: (policy & 4 != 0).then(|| "ip".to_owned()),
        tags: None,
        ttl: None,
        max_services: 1000,
        traefik: false,
    };
    let uris: &[&str] = if policy & 8 != 0 { &["etcd://h"] } else { &[] };
    let lines = text.lines().count() + 1;
    match validate(&text, &config, uris) {
        Ok(findings) => {
            for finding in &findings {
                assert_line(&finding.to_string());
                assert!((1..=lines).contains(&finding.at.line) && finding.at.column > 0, "{finding:?}");
            }
            assert_eq!(Ok(findings), validate(&text, &config, uris), "the same file is judged differently");
        }
        Err(unreadable) => assert_line(&unreadable.to_string()),
    }
}

/// What is printed: one line.
fn assert_line(line: &str) {
    assert!(!line.contains(char::is_control), "a broken line: {line:?}");
}
