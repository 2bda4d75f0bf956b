//! The known name that a misspelt one was probably meant to be.

/// The nearest of `names` in small edits (a character inserted, dropped or replaced; case does not
/// count), unless even that one is too far away to be what was meant.
pub(super) fn nearest<'a>(typed: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed: Vec<char> = typed.to_lowercase().chars().take(64).collect();
    names
        .into_iter()
        .map(|name| (distance(&typed, &name.to_lowercase()), name))
        .filter(|(edits, name)| *edits <= name.len().div_ceil(3))
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
}

/// Levenshtein's distance, one row of its table at a time.
fn distance(typed: &[char], name: &str) -> usize {
    let mut row: Vec<usize> = (0..=typed.len()).collect();
    for (line, wanted) in name.chars().enumerate() {
        let mut diagonal = line;
        let mut left = line + 1;
        for (above, found) in row.iter_mut().skip(1).zip(typed) {
            let cell = (diagonal + usize::from(*found != wanted)).min(left + 1).min(*above + 1);
            diagonal = *above;
            *above = cell;
            left = cell;
        }
        if let Some(first) = row.first_mut() {
            *first = line + 1;
        }
    }
    row.last().copied().unwrap_or_default()
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
            ("banana", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, names), meant, "{typed}");
        }
    }

    #[test]
    fn the_distance_counts_single_edits() {
        for (one, other, edits) in
            [("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("", "abc", 3), ("kitten", "sitting", 3)]
        {
            assert_eq!(distance(&one.chars().collect::<Vec<_>>(), other), edits, "{one} {other}");
        }
    }
}
