//! Who may ask through somebody's browser: our own pages alone. Pure.
//!
//! A page of the web can send requests to whatever its reader's machine reaches, and, where a name of its own leads here, read
//! the answers. A browser says where a request comes from (`Sec-Fetch-Site`, `Origin`), and under which name it came
//! (`Host`). Other programs say nothing of the first, and call us by a name of this machine.

use std::net::{Ipv4Addr, Ipv6Addr};

use http::HeaderMap;
use http::header::{HOST, ORIGIN};

/// The names that we answer to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// In lower case; one that begins with a dot stands for all that end so.
    names: Vec<String>,
}

/// Why a request is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Foreign {
    /// It was sent to a name that is not ours.
    Name,
    /// A page of another site sent it.
    Page,
}

impl Names {
    /// The names of this host, and those below its zone.
    #[must_use]
    pub fn new(zone: &str, names: impl IntoIterator<Item = String>) -> Self {
        let zones = ["localhost", zone].map(|zone| format!(".{zone}"));
        let names = names.into_iter().chain(zones).map(|name| name.trim_end_matches('.').to_lowercase());
        Self { names: names.filter(|name| !name.is_empty()).collect() }
    }

    /// Whether we answer to an HTTP `Host`.
    ///
    /// A page of the web can make a browser ask us under the page's own name, by letting that name lead here. Such a name
    /// has a dot; ours are addresses, names without one, and those that we were given.
    #[must_use]
    pub fn accepts(&self, host: &str) -> bool {
        if let Some(bracketed) = host.strip_prefix('[') {
            return bracketed.split(']').next().is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
        }
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let name = name.strip_suffix('.').unwrap_or(name).to_lowercase();
        let is_ours = |ours: &String| if ours.starts_with('.') { name.ends_with(ours.as_str()) } else { name == *ours };
        !name.contains('.') || name.parse::<Ipv4Addr>().is_ok() || self.names.iter().any(is_ours)
    }

    /// Whether a request may be answered, as far as its head tells.
    ///
    /// # Errors
    /// When it may not.
    pub fn check(&self, headers: &HeaderMap) -> Result<(), Foreign> {
        let host = headers.get(HOST).map_or(Some(""), |host| host.to_str().ok());
        let Some(host) = host.filter(|host| self.accepts(host)) else { return Err(Foreign::Name) };
        if headers.get("sec-fetch-site").is_some_and(|site| site.as_bytes().eq_ignore_ascii_case(b"cross-site")) {
            return Err(Foreign::Page);
        }
        let Some(origin) = headers.get(ORIGIN) else { return Ok(()) };
        let server = origin.to_str().ok().and_then(|origin| origin.split_once("://")).map(|(_, server)| server);
        if server.is_some_and(|server| server.eq_ignore_ascii_case(host)) { Ok(()) } else { Err(Foreign::Page) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names() -> Names {
        Names::new("consul", ["Web1.example.com", ".internal.example", ""].map(str::to_owned))
    }

    #[test]
    fn a_name_of_the_web_is_not_ours() {
        for host in [
            "127.0.0.1:8500",
            "10.0.0.5",
            "localhost",
            "LOCALHOST:1",
            "[::1]:8500",
            "consul:8500",
            "a.localhost",
            "consul.service.Consul.",
            "web1.EXAMPLE.com:8500",
            "web1.example.com.",
            "registry.internal.example",
            "",
        ] {
            assert!(names().accepts(host), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8500",
            "127.0.0.1.evil.example",
            "evilconsul.x",
            "x.evilconsul",
            "[evil.example",
            "[x]:1",
            "xweb1.example.com",
            "a.web1.example.com",
            "web2.example.com",
            "internal.example",
            "xinternal.example",
        ] {
            assert!(!names().accepts(host), "{host}");
        }
    }

    #[test]
    fn a_page_of_another_site_is_refused_and_a_program_is_not() {
        for (headers, expected) in [
            (&[("host", "127.0.0.1:8500")][..], Ok(())),
            (&[], Ok(())),
            (&[("host", "evil.example")], Err(Foreign::Name)),
            (&[("host", "\u{e9}.example")], Err(Foreign::Name)),
            (&[("host", "localhost:8500"), ("sec-fetch-site", "none")], Ok(())),
            (&[("host", "localhost:8500"), ("sec-fetch-site", "same-origin")], Ok(())),
            (&[("host", "localhost:8500"), ("sec-fetch-site", "cross-site")], Err(Foreign::Page)),
            (&[("host", "localhost:8500"), ("origin", "http://localhost:8500")], Ok(())),
            (&[("host", "localhost:8500"), ("origin", "http://LOCALHOST:8500")], Ok(())),
            (&[("host", "localhost:8500"), ("origin", "http://localhost:3000")], Err(Foreign::Page)),
            (&[("host", "localhost:8500"), ("origin", "https://evil.example")], Err(Foreign::Page)),
            (&[("host", "localhost:8500"), ("origin", "null")], Err(Foreign::Page)),
            (&[("host", "localhost:8500"), ("origin", "")], Err(Foreign::Page)),
            (&[("origin", "https://evil.example")], Err(Foreign::Page)),
        ] {
            let map = headers.iter().map(|(name, value)| {
                let value = http::HeaderValue::from_bytes(value.as_bytes()).unwrap();
                (http::HeaderName::from_static(name), value)
            });
            assert_eq!(names().check(&map.collect()), expected, "{headers:?}");
        }
    }

    proptest! {
        #[test]
        fn no_host_makes_it_panic(text in "(?s).{0,60}") {
            let _ = names().accepts(&text);
        }
    }
}
