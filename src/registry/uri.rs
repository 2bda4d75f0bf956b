//! Registry URIs, as far as all schemes share their form: `scheme://user:password@hosts/path?query`.
//!
//! `scheme:http://hosts`, `scheme:https://hosts` and `scheme:://hosts`, which occur in users' scripts, are accepted as
//! well.
//!
//! Not all of them are URLs (`consul:` has no host, `etcd://a:1,b:2` has several). So they are only split here, and
//! each registry interprets the parts.

/// The parts of a registry URI, not decoded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Uri<'a> {
    /// The part before the first colon.
    pub(super) scheme: &'a str,
    /// Whether `https://` precedes the hosts.
    pub(super) https: bool,
    /// `user` or `user:password`.
    pub(super) userinfo: Option<&'a str>,
    /// `host`, `host:port`, or several; may be empty.
    pub(super) hosts: &'a str,
    /// With the leading slash; may be empty.
    pub(super) path: &'a str,
    /// The part after the question mark.
    pub(super) query: Option<&'a str>,
}

impl<'a> Uri<'a> {
    /// Splits a URI; the two slashes are optional. `None` without a scheme.
    pub(super) fn split(uri: &'a str) -> Option<Self> {
        let (scheme, rest) = uri.split_once(':')?;
        let starts_well = scheme.starts_with(|first: char| first.is_ascii_alphabetic());
        if !starts_well || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')) {
            return None;
        }
        let rest = rest.strip_prefix("://").or_else(|| rest.strip_prefix("//")).unwrap_or(rest);
        let (rest, https) = match (rest.strip_prefix("http://"), rest.strip_prefix("https://")) {
            (_, Some(rest)) => (rest, true),
            (Some(rest), None) => (rest, false),
            (None, None) => (rest, false),
        };
        let (rest, query) = rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (userinfo, hosts) =
            authority.rsplit_once('@').map_or((None, authority), |(userinfo, hosts)| (Some(userinfo), hosts));
        Some(Self { scheme, https, userinfo, hosts, path, query })
    }
}

/// The prefix for all keys: starts with a slash and has none at the end; empty for the root. Doubled slashes count
/// once.
///
/// # Errors
/// Why it is not a valid prefix.
pub(super) fn root(path: &str) -> Result<String, String> {
    let mut whole = path.is_empty() || path.starts_with('/');
    let mut root = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !part.is_empty()) {
        whole &= !matches!(part, "." | "..") && !part.contains(char::is_control);
        root.push('/');
        root.push_str(part);
    }
    if whole {
        Ok(root)
    } else {
        Err(format!("{path:?} is no path: it begins with a slash, and has no part . or .. and no control character"))
    }
}

/// The URI for display, on one line, with `***` for a password or token, even in a malformed URI.
#[must_use]
pub fn redacted(uri: &str) -> String {
    let shown = without_secrets(uri);
    if shown.contains(char::is_control) { shown.escape_debug().to_string() } else { shown }
}

fn without_secrets(uri: &str) -> String {
    // A password may contain a slash or question mark, so it ends at the last @.
    let Some((before, rest)) = uri.rsplit_once('@') else { return without_secret_parameters(uri) };
    let scheme =
        before.find(':').map_or(0, |colon| if before[colon..].starts_with("://") { colon + 3 } else { colon + 1 });
    let (scheme, userinfo) = before.split_at(scheme);
    let user = userinfo.split_once(':').map_or(String::new(), |(user, _)| format!("{user}:"));
    format!("{scheme}{user}***@{}", without_secret_parameters(rest))
}

/// Words in the names of parameters whose values are secret.
const SECRET_WORDS: [&str; 5] = ["token", "password", "secret", "auth", "key"];

fn without_secret_parameters(uri: &str) -> String {
    let Some((rest, query)) = uri.split_once('?') else { return uri.to_owned() };
    let shown: Vec<String> = query
        .split('&')
        .map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if SECRET_WORDS.iter().any(|word| name.to_ascii_lowercase().contains(word)) => {
                format!("{name}=***")
            }
            _ => parameter.to_owned(),
        })
        .collect();
    format!("{rest}?{}", shown.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_uri_is_split_into_its_parts() {
        let parts = |uri| Uri::split(uri).map(|uri| (uri.scheme, uri.userinfo, uri.hosts, uri.path, uri.query));
        assert_eq!(parts("consul:"), Some(("consul", None, "", "", None)));
        assert_eq!(parts("consul://"), Some(("consul", None, "", "", None)));
        assert_eq!(parts("consul://[::1]:8500"), Some(("consul", None, "[::1]:8500", "", None)));
        assert_eq!(parts("consul-unix:///run/x.sock"), Some(("consul-unix", None, "", "/run/x.sock", None)));
        assert_eq!(parts("etcd://a:1,b:2/p?q=/x"), Some(("etcd", None, "a:1,b:2", "/p", Some("q=/x"))));
        assert_eq!(parts("x://u:p@ss@h/p"), Some(("x", Some("u:p@ss"), "h", "/p", None)));
        for none in ["", "consul", "127.0.0.1:8500", ":x", "a b://h"] {
            assert_eq!(parts(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_second_scheme_before_the_hosts_says_how_they_are_spoken_to() {
        for (uri, https, hosts, path) in [
            ("consul:http://h:1", false, "h:1", ""),
            ("consul:https://h:1/p", true, "h:1", "/p"),
            ("consul:://h:1", false, "h:1", ""),
            ("consul://http://h:1", false, "h:1", ""),
            ("consul://https://h:1", true, "h:1", ""),
            ("consul://http:1", false, "http:1", ""),
            ("consul://https", false, "https", ""),
            ("consul:http://", false, "", ""),
        ] {
            let split = Uri::split(uri).unwrap();
            assert_eq!((split.https, split.hosts, split.path), (https, hosts, path), "{uri}");
        }
    }

    #[test]
    fn slashes_of_a_path_that_are_doubled_or_at_its_end_count_once() {
        for (path, cleaned) in [
            ("", Some("")),
            ("/", Some("")),
            ("//", Some("")),
            ("/a", Some("/a")),
            ("/a/", Some("/a")),
            ("//a//b/", Some("/a/b")),
            ("/a b///", Some("/a b")),
            ("/a/../b", None),
            ("//./", None),
            ("/a\n", None),
            ("a", None),
        ] {
            assert_eq!(root(path).ok().as_deref(), cleaned, "{path:?}");
        }
    }

    #[test]
    fn secrets_in_a_uri_are_not_shown() {
        for (uri, shown) in [
            ("consul://host:8500", "consul://host:8500"),
            ("consul:", "consul:"),
            ("zookeeper://host/a/b", "zookeeper://host/a/b"),
            ("consul://me:pass@host:8500/p", "consul://me:***@host:8500/p"),
            ("consul://token@host", "consul://***@host"),
            ("consul:me:pass@host", "consul:me:***@host"),
            ("consul://me:pa/ss@host", "consul://me:***@host"),
            ("consul://me:p@ss@host", "consul://me:***@host"),
            ("pass@host", "***@host"),
            ("consul://ho\nst\u{1b}[31m", "consul://ho\\nst\\u{1b}[31m"),
            ("consul://me:pa?s&s@host", "consul://me:***@host"),
            ("etcd://host?token=abc&zone=x", "etcd://host?token=***&zone=x"),
        ] {
            assert_eq!(redacted(uri), shown, "{uri}");
        }
    }

    proptest! {
        #[test]
        fn a_password_is_never_shown_whatever_else_the_uri_is(
            before in "[ -~]{0,5}", password in "hunter[0-9]{4}", odd in "[/?#&=:@]{0,2}", after in "[ -~]{0,20}",
        ) {
            let uri = format!("consul://{before}:{odd}{password}{odd}@{after}");
            prop_assert!(!redacted(&uri).contains(&password), "{}", redacted(&uri));
        }
    }
}
