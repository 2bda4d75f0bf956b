//! What has changed between two readings of the settings, and when it counts. Pure.

use std::fmt;

use crate::config::{Applies, Config, REGISTRIES, Setting};
use crate::registry::redacted;

/// One changed setting. Displays as one line without secrets, which says when it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The option's name without its dash; [`REGISTRIES`] for the registries' URIs.
    pub option: &'static str,
    /// Its value before, as it may be shown.
    pub before: String,
    /// Its value now, as it may be shown.
    pub now: String,
    /// When it counts.
    pub applies: Applies,
}

/// The settings that differ, in the order of the table of options; the registries are one setting.
#[must_use]
pub fn changes(old: &Config, new: &Config) -> Vec<Change> {
    let mut changes = Vec::new();
    for now in new.settings.iter().filter(|setting| setting.option != REGISTRIES) {
        let before = old.settings.iter().find(|setting| setting.option == now.option);
        let before = before.map_or("", |setting| setting.value.as_str());
        if before != now.value {
            let (before, value) = (before.to_owned(), now.value.clone());
            changes.push(Change { option: now.option, before, now: value, applies: now.applies });
        }
    }
    let [before, now] = [old, new].map(uris);
    if before != now {
        let [before, now] = [before, now].map(|uris| uris.into_iter().map(redacted).collect::<Vec<_>>().join(" "));
        changes.push(Change { option: REGISTRIES, before, now, applies: Applies::AtStart });
    }
    changes
}

fn uris(config: &Config) -> Vec<&str> {
    let registries = config.settings.iter().filter(|setting| setting.option == REGISTRIES);
    registries.map(|Setting { value, .. }| value.as_str()).collect()
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { option, before, now, applies } = self;
        let when = match applies {
            Applies::AtOnce => "counts now",
            Applies::AtStart => "counts after a restart",
        };
        if before == now {
            return write!(f, "a password or token in {option} has changed, and {when}");
        }
        let dash = if *option == REGISTRIES { "" } else { "-" };
        write!(f, "{dash}{option} was {before:?}, is {now:?}, and {when}")
    }
}
