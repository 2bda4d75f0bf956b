//! Opens a registry from its URI, with the only table of all schemes.

use std::borrow::Cow;
use std::sync::Arc;

use crate::config::RegistryConfig;
use crate::event::Events;
use crate::nearest::nearest;

use super::common::Common;
use super::error::OpenError;
use super::policy::Policy;
use super::reporter::Reporter;
use super::retimed::Retimed;
use super::uri::{Uri, redacted};
#[cfg(feature = "zookeeper")]
use super::zookeeper;
use super::{Registry, consul, discoverd, embedded, etcd, eureka, redis, rfc2136, skydns2, webhook};

/// One registry, and everything that belongs to it.
pub struct Opened {
    /// Its name in the log: the URI without secrets.
    pub name: Arc<str>,
    /// The scheme of its URI, as in the table of schemes.
    pub adapter: &'static str,
    /// The owner under which this instance writes to it.
    pub owner: Arc<str>,
    /// Which changes of its entries are allowed.
    pub policy: Policy,
    /// The registry itself.
    pub registry: Arc<dyn Registry>,
}

pub(super) type Open = fn(&Uri<'_>, &RegistryConfig, &Reporter) -> Result<Arc<dyn Registry>, OpenError>;

/// A scheme, and what opens its URIs.
pub(super) type Row = (&'static str, Open);

/// All schemes, each with its function: a new registry is a file and a row here.
const SCHEMES: &[Row] = &[
    ("consul", consul::open),
    ("consul-tls", consul::open),
    ("consul-unix", consul::open),
    ("consulkv", consul::kv::open),
    ("consulkv-tls", consul::kv::open),
    ("consulkv-unix", consul::kv::open),
    ("discoverd", discoverd::open),
    ("embedded", embedded::open),
    ("etcd", etcd::open),
    ("etcd-tls", etcd::open),
    ("etcd2", etcd::open_v2),
    ("etcd2-tls", etcd::open_v2),
    ("etcd-legacy", etcd::open_v2),
    ("etcd3", etcd::open_v3),
    ("etcd3-tls", etcd::open_v3),
    ("eureka", eureka::open),
    ("eureka-tls", eureka::open),
    ("redis", redis::open),
    ("rediss", redis::open),
    ("redis+sentinel", redis::open),
    ("rediss+sentinel", redis::open),
    ("rfc2136", rfc2136::open),
    ("skydns2", skydns2::open),
    ("coredns", skydns2::open_coredns),
    ("valkey", redis::open),
    ("valkeys", redis::open),
    ("valkey+sentinel", redis::open),
    ("valkeys+sentinel", redis::open),
    ("webhook+http", webhook::open),
    ("webhook+https", webhook::open),
    #[cfg(feature = "zookeeper")]
    ("zookeeper", zookeeper::open),
    #[cfg(feature = "zookeeper")]
    ("zookeeper-tls", zookeeper::open),
    #[cfg(not(feature = "zookeeper"))]
    ("zookeeper", left_out),
    #[cfg(not(feature = "zookeeper"))]
    ("zookeeper-tls", left_out),
];

/// A registry that this build does not contain.
#[cfg(not(feature = "zookeeper"))]
fn left_out(uri: &Uri<'_>, config: &RegistryConfig, _reporter: &Reporter) -> Result<Arc<dyn Registry>, OpenError> {
    let shown = redacted(&config.uri);
    let scheme = uri.scheme.to_ascii_lowercase();
    let reason = format!("this registrator was built without {scheme}: build it with its feature zookeeper");
    Err(OpenError::Settings(format!("unrecognized adapter: {shown}; {reason}")))
}

/// The error for an unknown scheme, with the one that was probably meant.
fn unrecognized(uri: &str) -> OpenError {
    let shown = redacted(uri);
    let (scheme, rest) = shown.split_once(':').unwrap_or((&shown, ""));
    let rest = rest.trim_start_matches('/');
    let schemes = || SCHEMES.iter().map(|(scheme, _)| *scheme);
    let port = rest.split(['/', '?']).next().unwrap_or_default();
    let hint = match (scheme, nearest(scheme, schemes())) {
        ("true" | "false", _) => "a switch takes its value with an equals sign, as -cleanup=true".to_owned(),
        ("webhook", _) => match rest.strip_prefix("https://") {
            Some(rest) => format!("did you mean webhook+https://{rest}?"),
            None => format!("did you mean webhook+http://{}?", rest.trim_start_matches("http://")),
        },
        ("http", _) => format!("did you mean consul://{rest}?"),
        ("https", _) => format!("did you mean consul-tls://{rest}?"),
        (host, _) if port.parse::<u16>().is_ok() => format!("did you mean consul://{host}:{rest}?"),
        (_, Some(meant)) => format!("did you mean {meant}://{rest}?"),
        (_, None) => format!("a registry URI begins with one of {}", schemes().collect::<Vec<_>>().join(", ")),
    };
    OpenError::Unrecognized { uri: shown, hint }
}

/// Opens the registry of the URI, without connecting to it. Its later reports go to `events`.
///
/// # Errors
/// When the URI or the settings for it are invalid.
pub fn open(config: &RegistryConfig, events: &Events) -> Result<Opened, OpenError> {
    let (found, registry) = find(config, events, |row, uri, config, reporter| (row.1)(uri, config, reporter))?;
    let Found { name, adapter, common } = found;
    Ok(Opened {
        name,
        adapter,
        owner: config.owner.as_str().into(),
        policy: common.policy,
        registry: match common.ttl {
            Some(ttl) => Arc::new(Retimed { registry, ttl }),
            None => registry,
        },
    })
}

/// Whether [`open`] would open this registry; nothing is started. Files that the settings name are read.
///
/// # Errors
/// As for [`open`].
pub fn check(config: &RegistryConfig) -> Result<(), OpenError> {
    let look = |row: &Row, uri: &Uri<'_>, config: &RegistryConfig, reporter: &Reporter| match row.0 {
        // Opened, it would serve.
        "embedded" => embedded::check(uri, config),
        _ => (row.1)(uri, config, reporter).map(drop),
    };
    find(config, &Events::to_log(), look).map(drop)
}

/// What a URI says by itself.
pub(super) struct Found {
    name: Arc<str>,
    adapter: &'static str,
    common: Common,
}

/// Finds the row of a URI, and does something with it.
pub(super) fn find<T>(
    config: &RegistryConfig,
    events: &Events,
    with: impl FnOnce(&'static Row, &Uri<'_>, &RegistryConfig, &Reporter) -> Result<T, OpenError>,
) -> Result<(Found, T), OpenError> {
    let shown = || redacted(&config.uri);
    if config.uri.contains(char::is_control) {
        return Err(OpenError::BadUri { uri: shown(), reason: "no URI has control characters".to_owned() });
    }
    let Some(uri) = Uri::split(&config.uri) else {
        return Err(if config.uri.contains(':') {
            OpenError::BadUri {
                uri: shown(),
                reason: "it names no adapter, as consul://127.0.0.1:8500 does".to_owned(),
            }
        } else {
            unrecognized(&config.uri)
        });
    };
    let scheme = if uri.https { Cow::Owned(format!("{}-tls", uri.scheme)) } else { Cow::Borrowed(uri.scheme) };
    let known = |scheme: &str| SCHEMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(scheme));
    let Some(row) = known(&scheme) else {
        return Err(match known(uri.scheme) {
            Some((scheme, _)) => OpenError::BadUri { uri: shown(), reason: format!("{scheme} takes no https://") },
            None => unrecognized(&config.uri),
        });
    };
    // Otherwise the rest of the password would be read as a host or a path.
    if uri.path.contains('@') || uri.query.is_some_and(|query| query.contains('@')) {
        let reason = "there is an @ after its host: in a user or password, write / as %2F, ? as %3F and @ as %40";
        return Err(OpenError::BadUri { uri: shown(), reason: reason.to_owned() });
    }
    let (common, rest) = Common::take(&uri, &config.uri)?;
    let name: Arc<str> = shown().into();
    let reporter = Reporter::new(Arc::clone(&name), events.clone());
    let uri = Uri { scheme: &scheme, query: rest.as_deref(), ..uri };
    let result = with(row, &uri, &common.applied(config), &reporter)?;
    Ok((Found { name, adapter: row.0, common }, result))
}

/// The settings of a registry with what its URI sets instead of the options (`?ttl=`).
///
/// # Errors
/// When the URI's parameters are invalid.
pub fn settings(config: &RegistryConfig) -> Result<Cow<'_, RegistryConfig>, OpenError> {
    match Uri::split(&config.uri) {
        Some(uri) => Ok(Common::take(&uri, &config.uri)?.0.applied(config)),
        None => Ok(Cow::Borrowed(config)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(uri: &str) -> Result<(), String> {
        let config = RegistryConfig {
            uri: uri.to_owned(),
            owner: "host".to_owned(),
            hostname: "host".to_owned(),
            record_owner: true,
            ttl: None,
            ttl_refresh: None,
            environment: Arc::default(),
        };
        open(&config, &Events::to_log()).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn every_scheme_of_the_table_opens() {
        for uri in [
            "consul:",
            "CONSUL://h:1",
            "consul://[::1]:8500/",
            "consul-tls://h",
            "consul-unix:///run/consul.sock",
            "consulkv://h:1/p",
            "consulkv-unix:///run/consul.sock:/p",
            "consul://h:1/p",
            "consul:http://h:1",
            "consul:https://h:1",
            "consul:://h:1",
            "consul://h:1//",
            "consulkv:https://h:1//a//b/",
            "etcd:https://h",
            #[cfg(feature = "zookeeper")]
            "zookeeper://a:1,b/path",
            "etcd://a:1,b/path",
            "etcd-tls://h",
            "etcd2:",
            "etcd2-tls://h",
            "etcd-legacy://h",
            "etcd3://h",
            "etcd3-tls://h",
            "eureka:",
            "eureka://a:1,b/eureka/v2",
            "eureka:https://h",
            "eureka-tls://h",
            "discoverd:",
            "discoverd://a:1,b",
            "webhook+http://h/zone.example",
            "webhook+https://h:1/zone.example",
            "WEBHOOK+HTTP://h/zone.example",
            "redis:",
            "rediss://h/1?prefix=a",
            "valkey://h",
            "valkeys://h",
            "redis+sentinel://a,b/m",
            "rediss+sentinel://a/m/1",
            "valkey+sentinel://a/m",
            "valkeys+sentinel://a/m",
        ] {
            assert_eq!(outcome(uri), Ok(()), "{uri}");
        }
    }

    #[test]
    fn every_registry_takes_the_common_parameters_and_names_what_it_knows_when_it_is_given_another() {
        for (uri, known) in [
            ("consul://h", "ttl, policy"),
            ("consul-unix:///run/consul.sock", "ttl, policy"),
            ("consulkv://h/p", "records, ttl, policy"),
            ("redis://h/1", "prefix, records, ca, cert, key, ttl, policy"),
            #[cfg(feature = "zookeeper")]
            ("zookeeper://h/path", "acl, auth, ca, cert, key, ttl, policy"),
        ] {
            assert_eq!(outcome(&format!("{uri}?ttl=30&policy=upsert-only")), Ok(()), "{uri}");
            let odd = format!("{uri}?ttl=30&no-such=1");
            let said = format!("bad adapter uri: {odd}: it does not know the parameter \"no-such\"; it knows {known}");
            assert_eq!(outcome(&odd), Err(said));
        }
    }

    #[test]
    fn of_a_secret_that_is_written_wrongly_nothing_is_repeated() {
        for uri in [
            "consul://me:hunter/secret@host",
            "consul://me:hunter?secret@host",
            "consul://me:hunter@more/secret@host",
            "consul-tls://me:hunter/secret@host/path",
            "consul-unix:///run/consul.sock?token=hunter:secret",
            "zookeeper://me:hunter/secret@host",
            "zookeeper://me:hunter,secret@host,[::1",
            "zookeeper://host?auth=digest:me:hunter:secret",
            "embedded://me:hunter/secret@127.0.0.1:0",
            "redis://me:hunter/secret@host",
            "redis://:hunter?secret@host",
            "redis://hunter-secret@host",
            "redis+sentinel://me:hunter,secret@host,[::1/m",
        ] {
            let said = outcome(uri).err().unwrap_or_else(|| panic!("{uri} opens"));
            assert!(!said.contains("hunter") && !said.contains("secret"), "{uri}: {said}");
        }
    }

    #[cfg(not(feature = "zookeeper"))]
    #[test]
    fn a_registry_that_was_left_out_is_named_with_the_feature_that_brings_it() {
        let said = "unrecognized adapter: zookeeper://me:***@h; this registrator was built without zookeeper: \
                    build it with its feature zookeeper";
        assert_eq!(outcome("zookeeper://me:pw@h"), Err(said.to_owned()));
    }

    #[test]
    fn a_uri_that_is_none_of_ours_is_said_in_one_line_without_its_password() {
        for (uri, said) in [
            (
                "nosuch://me:secret@host",
                "unrecognized adapter: nosuch://me:***@host; a registry URI begins with one of consul, consul-tls, \
                 consul-unix, consulkv, consulkv-tls, consulkv-unix, discoverd, embedded, etcd, etcd-tls, etcd2, \
                 etcd2-tls, etcd-legacy, etcd3, etcd3-tls, eureka, eureka-tls, redis, rediss, redis+sentinel, \
                 rediss+sentinel, rfc2136, skydns2, coredns, valkey, valkeys, valkey+sentinel, valkeys+sentinel, \
                 webhook+http, webhook+https, zookeeper, zookeeper-tls",
            ),
            ("consul", "unrecognized adapter: consul; did you mean consul://?"),
            ("Etcd", "unrecognized adapter: Etcd; did you mean etcd://?"),
            (
                "conusl://me:secret@h:1/p",
                "unrecognized adapter: conusl://me:***@h:1/p; did you mean consul://me:***@h:1/p?",
            ),
            ("webhook://h/z", "unrecognized adapter: webhook://h/z; did you mean webhook+http://h/z?"),
            ("webhook:https://h/z", "unrecognized adapter: webhook:https://h/z; did you mean webhook+https://h/z?"),
            ("zookeper:", "unrecognized adapter: zookeper:; did you mean zookeeper://?"),
            ("http://h:8500", "unrecognized adapter: http://h:8500; did you mean consul://h:8500?"),
            ("https://h:8501", "unrecognized adapter: https://h:8501; did you mean consul-tls://h:8501?"),
            ("true", "unrecognized adapter: true; a switch takes its value with an equals sign, as -cleanup=true"),
            ("consul://h\n", "bad adapter uri: consul://h\\n: no URI has control characters"),
            ("localhost:8500", "unrecognized adapter: localhost:8500; did you mean consul://localhost:8500?"),
            ("embedded:https://h", "bad adapter uri: embedded:https://h: embedded takes no https://"),
            ("127.0.0.1:8500", "bad adapter uri: 127.0.0.1:8500: it names no adapter, as consul://127.0.0.1:8500 does"),
        ] {
            assert_eq!(outcome(uri), Err(said.to_owned()), "{uri}");
        }
    }
}
