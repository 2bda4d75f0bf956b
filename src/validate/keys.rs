//! Keys that look like one of ours, and are none.

use crate::container::SETTING;
use crate::service::check;
use crate::service::metadata::{self, Ports};

/// A key that was probably meant to be another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misspelt {
    /// What happens with it as it is.
    pub effect: &'static str,
    /// The key that was probably meant.
    pub meant: String,
}

/// The prefix as it should be, without its underscore.
const WORD: &str = "SERVICE";

/// Whether a variable or label is probably a misspelt setting. A key of one's own, an attribute, is none: it must be
/// much like a known one.
#[must_use]
pub fn misspelt(key: &str) -> Option<Misspelt> {
    let Some(rest) = key.strip_prefix(SETTING) else { return misspelt_prefix(key) };
    let lower = rest.to_lowercase();
    let (port, name) = split(&lower);
    if is_known(name) || name.starts_with(metadata::CHECK) {
        return None;
    }
    let effect = "is an attribute, not a setting";
    // `NAME_80` for `80_NAME`.
    if let Some((head, tail)) = name.rsplit_once('_')
        && port.is_none()
        && is_number(tail)
        && is_known(head)
    {
        return Some(Misspelt { effect, meant: spelled(Some(tail), head) });
    }
    let joined = lower.replace(['-', '.', '/'], "_");
    let (joined_port, joined_name) = split(&joined);
    if is_known(joined_name) {
        return Some(Misspelt { effect, meant: spelled(joined_port, joined_name) });
    }
    near(name).map(|known| Misspelt { effect, meant: spelled(port, known) })
}

/// A key with another prefix than ours, but one of our names.
fn misspelt_prefix(key: &str) -> Option<Misspelt> {
    let (prefix, rest) = key.split_once(['_', '-'])?;
    let lower = rest.to_lowercase();
    let (port, name) = split(&lower);
    if !is_known(name) {
        return None;
    }
    let upper = prefix.to_uppercase();
    let meant = spelled(port, name);
    if upper == WORD {
        let effect = "is not read, because the prefix is SERVICE_ in capitals";
        // `service-name` may be anybody's.
        return (prefix == WORD || key.contains('_')).then_some(Misspelt { effect, meant });
    }
    let effect = "is not read, because the prefix is SERVICE_";
    (strsim::osa_distance(&upper, WORD) == 1).then_some(Misspelt { effect, meant })
}

/// The ports, if the key begins with some, and the name behind them.
fn split(lower: &str) -> (Option<&str>, &str) {
    match Ports::split(lower) {
        Some((_, name)) => (lower.strip_suffix(name).and_then(|ports| ports.strip_suffix('_')), name),
        None => (None, lower),
    }
}

fn spelled(ports: Option<&str>, name: &str) -> String {
    let name = name.to_uppercase();
    ports.map_or_else(|| format!("{SETTING}{name}"), |ports| format!("{SETTING}{}_{name}", ports.to_uppercase()))
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_known(name: &str) -> bool {
    known().any(|known| known == name)
}

fn known() -> impl Iterator<Item = &'static str> {
    metadata::RESERVED.into_iter().chain(check::KEYS)
}

/// The known name that is so near that another is hardly meant. Stricter than elsewhere, since any name is a valid one:
/// `SERVICE_HOST` is an attribute, and not a misspelt port.
fn near(name: &str) -> Option<&'static str> {
    // Edits of a long text are slow to count, and it is not near anyway.
    if name.len() > 32 {
        return None;
    }
    let edits = |known: &str| match known.len() {
        0..=2 => 0,
        3..=5 => 1,
        _ => 2,
    };
    let swapped = |known: &str| known.len() == 2 && name.chars().rev().eq(known.chars());
    known()
        .map(|known| (strsim::osa_distance(name, known), known))
        .filter(|(distance, known)| *distance <= edits(known) || swapped(known))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_slip_is_named_with_the_key_that_was_meant() {
        for (key, meant) in [
            ("SERVICE_NAEM", "SERVICE_NAME"),
            ("SERVICE_TAG", "SERVICE_TAGS"),
            ("SERVICE_80_TAG", "SERVICE_80_TAGS"),
            ("SERVICE_IGNOER", "SERVICE_IGNORE"),
            ("SERVICE_NETWROK", "SERVICE_NETWORK"),
            ("SERVICE_DI", "SERVICE_ID"),
            ("SERVICE_NAME_80", "SERVICE_80_NAME"),
            ("SERVICE_8000-8010_NAEM", "SERVICE_8000-8010_NAME"),
            ("SERVICE_53_UDP_TAG", "SERVICE_53_UDP_TAGS"),
            ("SERVICE_CHECK_HTTP_80", ""),
            ("SERVICE_CHEK_HTTP", "SERVICE_CHECK_HTTP"),
            ("SERVICE_CHECK-HTTP", "SERVICE_CHECK_HTTP"),
            ("SERVICE_80-NAME", "SERVICE_80_NAME"),
            ("service_name", "SERVICE_NAME"),
            ("Service_80_name", "SERVICE_80_NAME"),
            ("SERVICES_NAME", "SERVICE_NAME"),
            ("SERIVCE_TAGS", "SERVICE_TAGS"),
            ("SERVICE-NAME", "SERVICE_NAME"),
        ] {
            let found = misspelt(key).map(|misspelt| misspelt.meant).unwrap_or_default();
            assert_eq!(found, meant, "{key}");
        }
    }

    #[test]
    fn a_key_of_ones_own_is_left_alone() {
        for key in [
            "SERVICE_NAME",
            "SERVICE_80_ID",
            "SERVICE_53_UDP_NAME",
            "SERVICE_8000-8010_TCP_IGNORE",
            "SERVICE_CHECK_HTTP",
            "SERVICE_CHECK_HTPP",
            "SERVICE_REGION",
            "SERVICE_HOST",
            "SERVICE_TYPE",
            "SERVICE_ENV",
            "SERVICE_UID",
            "SERVICE_VERSION",
            "SERVICE_WEIGHT",
            "SERVICE_TTL",
            "SERVICE_TEXT",
            "SERVICE_GROUP",
            "SERVICE_TEAM",
            "SERVICE_PATH",
            "SERVICE_MODE",
            "SERVICE_ROLE",
            "SERVICE_URL",
            "SERVICE_DOMAIN",
            "SERVER_NAME",
            "SERVER_PORT",
            "DEVICE_ID",
            "service-name",
            "service.name",
            "SERVICE",
            "SERVICE_",
            "PATH",
            "",
            "MYSERVICE_NAME",
            "com.docker.compose.service",
        ] {
            assert_eq!(misspelt(key), None, "{key}");
        }
    }

    proptest! {
        #[test]
        fn what_is_meant_is_never_misspelt_itself(key in "(SERVICE|service|SERVCE|SERVICES)[_-]([0-9]{1,3}_)?[a-zA-Z_-]{0,9}(_[0-9]{2})?") {
            if let Some(Misspelt { meant, .. }) = misspelt(&key) {
                prop_assert_eq!(misspelt(&meant), None, "{} for {}", meant, key);
                prop_assert!(meant != key);
            }
        }
    }
}
