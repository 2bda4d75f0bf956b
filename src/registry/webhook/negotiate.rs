//! The first exchange with a provider: that it is one, and which domains it serves. Pure.

use serde_json::Value;

use crate::json;

use super::settings::MEDIA;

/// The most values in an answer.
const MOST_VALUES: usize = 100_000;

/// Why what answers is no provider of this contract, from the type of its answer.
pub(super) fn foreign(media: Option<&str>) -> Option<String> {
    let media = media.unwrap_or_default();
    let plain: String = media.chars().filter(|c| !c.is_whitespace()).collect::<String>().to_ascii_lowercase();
    let (kind, version) = plain.split_once(";version=").unwrap_or((&plain, "1"));
    let (ours, _) = MEDIA.split_once(';').unwrap_or((MEDIA, ""));
    match (kind == ours, version) {
        (true, "1") => None,
        (true, version) => Some(format!("it speaks version {version} of the contract, and registrator speaks 1")),
        (false, _) if media.is_empty() => Some("its answer has no Content-Type".to_owned()),
        (false, _) => Some(format!("its answer is {media}")),
    }
}

/// Whether names below a zone are served, by what a provider answers; `Err` has the domains that are.
///
/// What is no filter, or one by regular expressions, lets everything through, as external-dns reads it.
pub(super) fn serves(zone: &str, body: &[u8]) -> Result<(), String> {
    let Ok(Value::Object(filter)) = json::owned::<Value>(body, MOST_VALUES) else { return Ok(()) };
    let list = |name: &str| {
        let values = filter.get(name).and_then(Value::as_array).into_iter().flatten();
        let texts = values.filter_map(Value::as_str).map(|text| text.trim().trim_end_matches('.').to_ascii_lowercase());
        texts.filter(|text| !text.is_empty()).collect::<Vec<_>>()
    };
    // Providers of several ages: `filters`, or `include` and `exclude`.
    let included: Vec<_> = ["include", "filters"].into_iter().flat_map(list).collect();
    // Names of ours are below the zone.
    let is_below = |domain: &String| {
        let domain = domain.trim_start_matches('.');
        zone == domain || zone.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
    };
    if list("exclude").iter().any(is_below) {
        return Err(format!("all but {}", list("exclude").join(", ")));
    }
    if included.is_empty() || included.iter().any(is_below) { Ok(()) } else { Err(included.join(", ")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_type_of_the_answer_says_whether_it_is_a_provider() {
        for (media, said) in [
            (Some("application/external.dns.webhook+json;version=1"), None),
            (Some("Application/external.dns.webhook+json; version=1"), None),
            (Some("application/external.dns.webhook+json"), None),
            (Some("application/external.dns.webhook+json;version=2"), Some("it speaks version 2 of the contract")),
            (Some("text/html"), Some("its answer is text/html")),
            (None, Some("its answer has no Content-Type")),
        ] {
            let found = foreign(media);
            assert_eq!(found.is_some(), said.is_some(), "{media:?}: {found:?}");
            assert!(found.unwrap_or_default().starts_with(said.unwrap_or_default()), "{media:?}");
        }
    }

    #[test]
    fn a_zone_that_the_provider_does_not_serve_is_known_by_its_filter() {
        for (filter, expected) in [
            (json!({"filters": ["example.com"]}), Ok(())),
            (json!({"include": [".Example.com."]}), Ok(())),
            (json!({"include": ["com"], "exclude": ["other.com"]}), Ok(())),
            (json!({"include": null}), Ok(())),
            (json!({"regexInclude": "x"}), Ok(())),
            (json!([]), Ok(())),
            (json!({}), Ok(())),
            (json!({"include": ["le.com", "example.org"]}), Err("le.com, example.org")),
            (json!({"filters": ["a.example.com"]}), Err("a.example.com")),
            (json!({"exclude": ["example.com"]}), Err("all but example.com")),
        ] {
            let found = serves("example.com", filter.to_string().as_bytes());
            assert_eq!(found, expected.map_err(str::to_owned), "{filter}");
        }
        assert_eq!(serves("example.com", b"no json"), Ok(()));
    }
}
