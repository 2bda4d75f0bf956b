//! One label: what it says, checked against the schema.

use crate::left_out::Why;
use crate::name::{is_map_key, is_name};
use crate::object::{Path, Protocol, Section, Step};
use crate::schema::{self, Row, ServerOption};
use crate::value::{Read, Value, fits};

/// What a label says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// An option of an object.
    Option { protocol: Protocol, section: Section, name: String, path: Path, value: Read },
    /// An option of the server of a service.
    Server { protocol: Protocol, name: String, option: ServerOption, value: String },
}

/// Reads a label without its first part: `http.routers.web.rule`. `Err` says why it is left out.
pub(crate) fn read(rest: &str, value: &str) -> Result<Said, Why> {
    let mut parts = rest.split('.');
    let mut next = || parts.next().unwrap_or_default();
    let (protocol, section, name) = (next(), next(), next());
    let protocol = Protocol::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(protocol));
    let section = Section::ALL.into_iter().find(|known| known.as_str().eq_ignore_ascii_case(section));
    let (Some(protocol), Some(section)) = (protocol, section) else { return Err(Why::Unknown) };
    let steps: Vec<&str> = parts.collect();
    if steps.is_empty() {
        return Err(Why::Unknown);
    }
    if !is_name(name) {
        return Err(Why::Name(name.to_owned()));
    }
    if !fits(value) {
        return Err(Why::TooLong);
    }
    if section == Section::Services
        && let [balancer, server, option] = steps.as_slice()
        && balancer.eq_ignore_ascii_case("loadBalancer")
        && server.eq_ignore_ascii_case("server")
    {
        let option = schema::server_option(protocol, option).ok_or(Why::Unknown)?;
        return Ok(Said::Server { protocol, name: name.to_owned(), option, value: value.to_owned() });
    }
    let found = schema::options(protocol, section).iter().find_map(|row| Some((row, matched(row, &steps)?)));
    let ((_, kind), path) = found.ok_or(Why::Unknown)?;
    if let Some(odd) = path.odd {
        return Err(Why::Name(odd));
    }
    let read = match Value::read(*kind, value) {
        // An empty header removes it.
        Some(Read::Unset) if path.is_of_map => Read::Is(Value::Text(String::new())),
        read => read.ok_or(Why::NotOf(*kind))?,
    };
    Ok(Said::Option { protocol, section, name: name.to_owned(), path: path.steps, value: read })
}

/// A label's path as the schema spells it.
struct Matched {
    steps: Path,
    /// A key of a map that cannot be one.
    odd: Option<String>,
    is_of_map: bool,
}

/// The steps as this row spells them, if they are of this row.
fn matched((pattern, _): &Row, steps: &[&str]) -> Option<Matched> {
    let mut matched = Matched { steps: Path::new(), odd: None, is_of_map: false };
    let mut steps = steps.iter();
    let mut pattern = pattern.split('.').peekable();
    while let Some(wanted) = pattern.next() {
        let step = *steps.next()?;
        if wanted == "*" {
            if !is_map_key(step) {
                matched.odd.get_or_insert_with(|| step.to_owned());
            }
            matched.is_of_map = true;
            matched.steps.push(Step::Name(step.to_owned()));
            continue;
        }
        // A list's place stands behind its name: `domains[0]`.
        let (name, at) = match step.split_once('[') {
            Some((name, at)) => (name, Some(at.strip_suffix(']')?.parse::<u8>().ok()?)),
            None => (step, None),
        };
        if !wanted.eq_ignore_ascii_case(name) || at.is_some() != (pattern.peek() == Some(&"#")) {
            return None;
        }
        matched.steps.push(Step::Name(wanted.to_owned()));
        if let Some(at) = at {
            pattern.next();
            matched.steps.push(Step::At(at.into()));
        }
    }
    steps.next().is_none().then_some(matched)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::Kind;

    fn path(label: &str, value: &str) -> Result<String, Why> {
        Ok(match read(label, value)? {
            Said::Option { protocol, section, name, path, .. } => {
                let steps = path.iter().map(|step| match step {
                    Step::Name(name) => name.clone(),
                    Step::At(at) => at.to_string(),
                });
                let steps = steps.collect::<Vec<_>>().join("/");
                format!("{}/{}/{name}/{steps}", protocol.as_str(), section.as_str())
            }
            Said::Server { name, option, .. } => format!("server of {name}: {option:?}"),
        })
    }

    #[test]
    fn a_label_is_read_in_any_case_and_spelt_as_files_spell_it() {
        for (label, value, expected) in [
            ("http.routers.web.rule", "Host(`a`)", "http/routers/web/rule"),
            ("HTTP.Routers.Web.ENTRYPOINTS", "web", "http/routers/Web/entryPoints"),
            ("http.routers.web.tls", "true", "http/routers/web/tls"),
            ("http.routers.web.tls.domains[1].sans", "a,b", "http/routers/web/tls/domains/1/sans"),
            (
                "http.middlewares.m.headers.customrequestheaders.X-A",
                "1",
                "http/middlewares/m/headers/customRequestHeaders/X-A",
            ),
            ("http.middlewares.m.plugin.geo.key", "1", "http/middlewares/m/plugin/geo/key"),
            ("http.services.s.loadbalancer.server.port", "80", "server of s: Port"),
            ("tcp.services.s.loadbalancer.server.tls", "true", "server of s: Tls"),
            ("udp.routers.u.entrypoints", "dns", "udp/routers/u/entryPoints"),
        ] {
            assert_eq!(path(label, value).as_deref(), Ok(expected), "{label}");
        }
    }

    #[test]
    fn what_would_stop_traefik_is_left_out_with_its_reason() {
        for (label, value, why) in [
            ("http.routers.app.priority", "notanumber", Why::NotOf(Kind::Int)),
            ("http.services.app.loadbalancer.nosuch", "1", Why::Unknown),
            ("http.services.app.loadbalancer.servers[0].url", "http://h", Why::Unknown),
            ("http.services.app.weighted.services[0].name", "x", Why::Unknown),
            ("http.services.app.loadbalancer.server.nosuch", "x", Why::Unknown),
            ("udp.services.app.loadbalancer.server.scheme", "x", Why::Unknown),
            ("udp.middlewares.m.ipallowlist.sourcerange", "1.2.3.4", Why::Unknown),
            ("http.middlewares.m.headers", "true", Why::Unknown),
            ("http.middlewares.m.headers.customrequestheaders", "x", Why::Unknown),
            ("http.middlewares.m.headers.customrequestheaders.123", "x", Why::Name("123".to_owned())),
            ("http.routers.a@b.rule", "x", Why::Name("a@b".to_owned())),
            ("http.routers.7.rule", "x", Why::Name("7".to_owned())),
            ("http.routers.web", "x", Why::Unknown),
            ("http.routers.web.tls.domains.main", "x", Why::Unknown),
            ("http.routers.web.tls.domains[x].main", "x", Why::Unknown),
            ("http.routers.web.rule[0]", "x", Why::Unknown),
            ("http", "x", Why::Unknown),
            ("", "x", Why::Unknown),
            ("tls.options.x.minversion", "x", Why::Unknown),
            ("http.routers.web.tls", "perhaps", Why::NotOf(Kind::Switch)),
        ] {
            assert_eq!(path(label, value), Err(why), "{label}");
        }
        assert_eq!(path("http.routers.web.rule", &"x".repeat(20_000)), Err(Why::TooLong));
    }

    #[test]
    fn every_option_of_the_table_can_be_set_by_a_label() {
        for (protocol, section, options) in schema::EVERY_OPTION {
            for (option, kind) in *options {
                let value = match kind {
                    Kind::Text | Kind::List => "x",
                    Kind::Bool | Kind::Switch => "true",
                    Kind::Int | Kind::Duration => "42",
                };
                let label = option.replace(".#", "[0]").replace('*', "someKey").to_lowercase();
                let label = format!("{}.{}.n.{label}", protocol.as_str(), section.as_str());
                let expected = option.replace('#', "0").replace('*', "somekey").replace('.', "/");
                let expected = format!("{}/{}/n/{expected}", protocol.as_str(), section.as_str());
                assert_eq!(path(&label, value), Ok(expected));
            }
        }
    }

    proptest! {
        #[test]
        fn no_label_makes_it_panic_or_leaves_its_place(label in "(?s)(http|tcp|udp)?\\.?(routers|services|middlewares)?\\.?.{0,60}", value in "(?s).{0,20}") {
            if let Ok(path) = path(&label, &value) && !path.starts_with("server of") {
                prop_assert!(crate::is_key(&path), "{path}");
            }
        }
    }
}
