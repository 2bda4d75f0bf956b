//! The form of default IDs.

/// The hostname and the container's name that an ID of the default form says: `<hostname>:<container name>:<digits>[:udp|:sctp]`.
#[must_use]
pub fn parts(id: &str) -> Option<(&str, &str)> {
    let rest = id.strip_suffix(":udp").or_else(|| id.strip_suffix(":sctp")).unwrap_or(id);
    let (rest, port) = rest.rsplit_once(':')?;
    let (hostname, name) = rest.split_once(':')?;
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    (is_port && !hostname.is_empty() && !name.is_empty() && !name.contains(':')).then_some((hostname, name))
}

/// Whether an ID has the default form of this host.
#[must_use]
pub fn is_default(id: &str, hostname: &str) -> bool {
    parts(id).is_some_and(|(of, _)| of == hostname)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_host_makes_has_its_form() {
        for (id, expected) in [
            ("host:web:80", true),
            ("host:web.1_x-y:65535", true),
            ("host:dns:53:udp", true),
            ("host:sig:53:sctp", true),
            ("host:web:80:tcp", false),
            ("host:web:", false),
            ("host::80", false),
            ("host:a:b:80", false),
            ("host:80", false),
            ("other:web:80", false),
            ("hostx:web:80", false),
            ("web", false),
            ("", false),
        ] {
            assert_eq!(is_default(id, "host"), expected, "{id}");
        }
    }

    #[test]
    fn the_default_form_says_host_and_container() {
        assert_eq!(parts("host:web.1_x-y:65535"), Some(("host", "web.1_x-y")));
        assert_eq!(parts("h2:dns:53:udp"), Some(("h2", "dns")));
        for other in ["my-id", "host:80", ":web:80", "host::80", "host:web:http", "host:a:b:80", ""] {
            assert_eq!(parts(other), None, "{other}");
        }
    }
}
