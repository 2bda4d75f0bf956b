//! The form of default IDs.

/// Whether an ID has the default form of this host: `<hostname>:<container name>:<digits>[:udp|:sctp]`.
#[must_use]
pub fn is_default(id: &str, hostname: &str) -> bool {
    let Some(rest) = id.strip_prefix(hostname).and_then(|rest| rest.strip_prefix(':')) else { return false };
    let rest = rest.strip_suffix(":udp").or_else(|| rest.strip_suffix(":sctp")).unwrap_or(rest);
    rest.rsplit_once(':').is_some_and(|(name, port)| {
        !name.is_empty() && !name.contains(':') && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    })
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
}
