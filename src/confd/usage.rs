//! What `-h` prints, in the form of Go's package `flag`; and what `-version` prints.

use super::options::{OPTIONS, Takes};

/// The version of confd whose command line and files we read.
const CONFD: &str = "0.16.0";

/// All options, each with what it takes, its help and its default.
#[must_use]
pub(super) fn usage(program: &str) -> String {
    let mut text = format!("Usage of {program}:\n");
    for option in OPTIONS {
        let (kind, default) = match (option.takes, option.default) {
            (Takes::Switch, _) => ("", String::new()),
            (Takes::Number, default) => (" int", format!(" (default {default})")),
            (Takes::Text, "") => (" string", String::new()),
            (Takes::Text, default) => (" string", format!(" (default {default:?})")),
            (Takes::List, _) => (" value", String::new()),
        };
        text += &format!("  -{}{kind}\n    \t{}{default}\n", option.flag, option.help);
    }
    text
}

/// One line whose second word is the version of confd that scripts look for.
#[must_use]
pub(super) fn version() -> String {
    format!("confd {CONFD} (registrator {})\n", env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_has_gos_form() {
        let usage = usage("confd");
        assert!(usage.starts_with("Usage of confd:\n  -allow-signals\n    \tlet"), "{usage}");
        assert!(usage.contains("\n  -interval int\n    \tbackend polling interval (default 600)\n"), "{usage}");
        assert!(usage.contains("\n  -confdir string\n"), "{usage}");
        assert!(usage.contains("(default \"/etc/confd\")\n"), "{usage}");
        assert!(usage.contains("\n  -node value\n    \tlist of backend nodes\n"), "{usage}");
        assert!(usage.contains("\n  -onetime\n    \trun once and exit\n"), "{usage}");
    }

    #[test]
    fn the_second_word_of_the_version_is_confds() {
        assert_eq!(version().split(' ').nth(1), Some("0.16.0"));
    }
}
