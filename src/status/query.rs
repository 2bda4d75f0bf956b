//! What the query of a request to `-status` asks for. Pure. Anything else in it is left alone.

/// `?verbose`: one line for each part.
#[must_use]
pub fn is_verbose(query: &str) -> bool {
    query.split('&').any(|part| matches!(part, "verbose" | "verbose=true" | "verbose=1"))
}

/// `?after=N`: only the events after this one.
#[must_use]
pub fn after(query: &str) -> Option<u64> {
    query.split('&').find_map(|part| part.strip_prefix("after=")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_asks_for_what_it_names_and_for_nothing_else() {
        for (query, verbose, number) in [
            ("", false, None),
            ("verbose", true, None),
            ("verbose=true", true, None),
            ("verbose=1", true, None),
            ("verbose=false", false, None),
            ("x=verbose", false, None),
            ("after=7", false, Some(7)),
            ("after=&after=7&verbose", true, Some(7)),
            ("after=-1", false, None),
            ("after=99999999999999999999999", false, None),
            ("before=7", false, None),
        ] {
            assert_eq!((is_verbose(query), after(query)), (verbose, number), "{query}");
        }
    }
}
