//! The known name that a misspelt one was probably meant to be: for options, variables, URIs and metadata keys.

/// How many characters of the input are compared. Known names are short; text from a container may be long.
const LONGEST: usize = 64;

/// The one of `names` that is the fewest edits away from the input. An edit inserts, drops or replaces a character, or
/// swaps two. Case does not count. `None` if more than a third of even the nearest name would have to change.
pub(crate) fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed: String = typed.chars().take(LONGEST).flat_map(char::to_lowercase).collect();
    names
        .into_iter()
        .map(|name| (strsim::osa_distance(&typed, &name.to_lowercase()), name))
        .filter(|(edits, name)| *edits <= name.len().div_ceil(3))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_finds_its_name_and_nonsense_finds_none() {
        let names = ["ip", "internal", "ttl", "ttl-refresh", "useIpFromLabel", "resync"];
        for (typed, meant) in [
            ("ttl-refersh", Some("ttl-refresh")),
            ("ttl_refresh", Some("ttl-refresh")),
            ("internale", Some("internal")),
            ("useipfromlabel", Some("useIpFromLabel")),
            ("re-sync", Some("resync")),
            ("tll", Some("ttl")),
            ("pi", Some("ip")),
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, names), meant, "{typed}");
        }
        assert_eq!(nearest(&"ttl".repeat(100_000), names), None);
        assert_eq!(nearest("ttl", []), None);
    }
}
