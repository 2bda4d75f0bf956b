//! Keys of a store, as they are found there.

/// The object that a key below the root belongs to: `http/routers/web` of `http/routers/web/rule`, without regard to case, as
/// Traefik reads keys. `None` if it is no key of an object.
#[must_use]
pub fn object_of(key: &str) -> Option<String> {
    let parts: Vec<&str> = key.split('/').collect();
    let is_known = |part: &str, known: &[&str]| known.iter().any(|known| part.eq_ignore_ascii_case(known));
    if parts.len() < 4
        || parts.iter().any(|part| part.is_empty())
        || !is_known(parts[0], &["http", "tcp", "udp"])
        || !is_known(parts[1], &["routers", "services", "middlewares"])
    {
        return None;
    }
    let is_server = parts.len() > 6
        && is_known(parts[1], &["services"])
        && is_known(parts[3], &["loadBalancer"])
        && is_known(parts[4], &["servers"]);
    Some(parts[..if is_server { 6 } else { 3 }].join("/").to_lowercase())
}

/// Whether this can be a key of ours below the root.
#[must_use]
pub fn is_key(key: &str) -> bool {
    let fits = |part: &str| !matches!(part, "" | "." | "..") && !part.chars().any(char::is_control);
    key.len() <= 1024 && key.split('/').all(fits) && object_of(key).is_some()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_is_of_its_object() {
        for (key, object) in [
            ("http/routers/Web/rule", Some("http/routers/web")),
            ("http/routers/web/tls/domains/0/main", Some("http/routers/web")),
            ("tcp/services/db/loadBalancer/servers/7/address", Some("tcp/services/db/loadbalancer/servers/7")),
            ("http/services/web/loadBalancer/passHostHeader", Some("http/services/web")),
            ("http/services/web/loadBalancer/servers/7", Some("http/services/web")),
            ("http/serversTransports/x/serverName", None),
            ("http/routers/web", None),
            ("http//web/rule", None),
            ("tls/options/x/y", None),
            ("", None),
        ] {
            assert_eq!(object_of(key).as_deref(), object, "{key}");
        }
    }

    proptest! {
        #[test]
        fn no_key_makes_it_panic(key in "(?s)(http|tcp)?/?(routers|services)?/?.{0,40}") {
            let _ = object_of(&key);
            if is_key(&key) {
                prop_assert!(!key.contains("..") || key.split('/').all(|part| part != ".."));
            }
        }
    }
}
