//! What the query of a request to `-status` asks for. Pure. Anything else in it is left alone.

/// `?verbose`: one line for each part.
#[must_use]
pub fn is_verbose(query: &str) -> bool {
    query.split('&').any(|part| matches!(part, "verbose" | "verbose=true" | "verbose=1"))
}

/// From where on events are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Those after the event of this number.
    Number(u64),
    /// Those from now on.
    Now,
}

/// `?after=N` or `?after=now`.
#[must_use]
pub fn after(query: &str) -> Option<After> {
    query.split('&').find_map(|part| match part.strip_prefix("after=")? {
        "now" => Some(After::Now),
        number => number.parse().ok().map(After::Number),
    })
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
            assert_eq!((is_verbose(query), after(query)), (verbose, number.map(After::Number)), "{query}");
        }
        for query in ["after=now", "after=x&after=now"] {
            assert_eq!(after(query), Some(After::Now), "{query}");
        }
    }
}
