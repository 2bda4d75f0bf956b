//! The address of Consul and the credentials: from the URI, then the `CONSUL_*` variables, then the defaults.
//!
//! The variables are those of Consul's own command line
//! (<https://developer.hashicorp.com/consul/commands#environment-variables>).

use std::path::PathBuf;

use secrecy::SecretString;
use url::Url;

use crate::config::{Environment, RegistryConfig};
use crate::http::Tls;
use crate::registry::OpenError;
use crate::registry::advice::TlsNames;
use crate::registry::parameters::{Parameters, decoded};
use crate::registry::uri::{Uri, redacted, root};

use super::spelling::VALUE_LIMIT;

/// The names of the TLS settings.
pub(super) const TLS_NAMES: TlsNames = TlsNames {
    with: "consul-tls://, consulkv-tls:// or CONSUL_HTTP_SSL=true",
    without: "consul:// or consulkv://, and no CONSUL_HTTP_SSL",
    authorities: "CONSUL_CACERT",
    certificate: "CONSUL_CLIENT_CERT",
    key: "CONSUL_CLIENT_KEY",
};

/// The default address of an agent.
const DEFAULT_HOSTS: &str = "127.0.0.1:8500";

/// The settings of a Consul client.
pub(super) struct Settings {
    /// `http://host:port/`; with a unix socket, a host for the `Host` header only.
    pub(super) base: Url,
    /// The unix socket, if it is one.
    pub(super) socket: Option<PathBuf>,
    /// The TLS settings if `base` is https.
    pub(super) tls: Tls,
    /// User and password for a proxy in front of Consul.
    pub(super) basic: Option<(String, SecretString)>,
    /// `CONSUL_HTTP_TOKEN`.
    pub(super) token: Option<SecretString>,
    /// `CONSUL_HTTP_TOKEN_FILE`: wins over `token` unless the file is empty.
    pub(super) token_file: Option<PathBuf>,
    /// `CONSUL_NAMESPACE` and `CONSUL_PARTITION`, as request parameters.
    pub(super) scope: Vec<(&'static str, String)>,
    /// The owner to record with each entry, if any.
    pub(super) owner: Option<String>,
    /// What people call the TLS settings.
    pub(super) names: TlsNames,
}

/// The prefixes in the key-value store. Both start with a slash and have none at the end.
pub(super) struct Tree {
    /// The prefix of the entries; empty for the root.
    pub(super) root: String,
    /// The prefix of the ownership records.
    pub(super) records: String,
}

/// Whether a `consul:` URI is the older spelling of the key-value store: it has a prefix.
pub(in crate::registry) fn is_tree(uri: &Uri<'_>) -> bool {
    uri.scheme.eq_ignore_ascii_case("consul") && uri.path.contains(|c| c != '/')
}

impl Settings {
    /// The settings for the agent, from a URI and the environment.
    pub(super) fn new(uri: &Uri<'_>, config: &RegistryConfig) -> Result<Self, OpenError> {
        let bad = |reason: &str| OpenError::BadUri { uri: redacted(&config.uri), reason: reason.to_owned() };
        Parameters::read(uri.query).and_then(|parameters| parameters.finish(&[])).map_err(|reason| bad(&reason))?;
        let socket = uri.scheme.eq_ignore_ascii_case("consul-unix").then_some(uri.path);
        if socket.is_none() && uri.path.contains(|c| c != '/') {
            return Err(bad("it takes no path"));
        }
        let owner = config.record_owner.then(|| owner(&config.owner)).transpose()?;
        Ok(Self { owner, ..Self::of(uri, socket, config)? })
    }

    /// The settings for the key-value store, and its prefixes.
    pub(super) fn of_tree(uri: &Uri<'_>, config: &RegistryConfig) -> Result<(Self, Tree), OpenError> {
        let bad = |reason: String| OpenError::BadUri { uri: redacted(&config.uri), reason };
        let mut parameters = Parameters::read(uri.query).map_err(bad)?;
        let records = parameters.take("records").map(|path| root(&path)).transpose().map_err(bad)?;
        parameters.finish(&["records"]).map_err(bad)?;
        // consulkv-unix:///run/consul.sock:/prefix
        let (socket, path) = match uri.scheme.eq_ignore_ascii_case("consulkv-unix") {
            true => uri
                .path
                .rsplit_once(":/")
                .map_or((Some(uri.path), "/"), |(socket, _)| (Some(socket), &uri.path[socket.len() + 1..])),
            false => (None, uri.path),
        };
        let path = decoded(path).ok_or_else(|| bad("its path is not UTF-8".to_owned()))?;
        let root = root(&path).map_err(bad)?;
        let records = records.unwrap_or_else(|| format!("/_registrator{root}"));
        Ok((Self::of(uri, socket, config)?, Tree { root, records }))
    }

    /// The settings that both have in common; `socket` says whether the scheme is for a unix socket.
    fn of(uri: &Uri<'_>, socket: Option<&str>, config: &RegistryConfig) -> Result<Self, OpenError> {
        let environment = &*config.environment;
        let bad = |reason: &str| OpenError::BadUri { uri: redacted(&config.uri), reason: reason.to_owned() };
        let scheme = uri.scheme.to_ascii_lowercase();
        let place = match (socket, uri.hosts) {
            (Some(socket), hosts) if !hosts.is_empty() || socket.len() < 2 => {
                return Err(bad(&format!("a socket is named by its whole path, as {scheme}:///run/consul.sock")));
            }
            (Some(socket), _) => Place::Socket(socket.into()),
            (None, hosts) => {
                let tls = scheme.ends_with("-tls");
                match hosts {
                    "" => place_from_environment(environment, tls)?,
                    hosts => Place::server(tls || flag(environment, "CONSUL_HTTP_SSL")?.unwrap_or(false), hosts)
                        .map_err(|reason| bad(&reason))?,
                }
            }
        };
        let (base, socket) = match place {
            Place::Server(base) => (base, None),
            Place::Socket(path) => (url("http", "localhost").map_err(|reason| bad(&reason))?, Some(path)),
        };
        let basic = match uri.userinfo {
            Some(userinfo) => Some(basic(&decoded(userinfo).ok_or_else(|| bad("the user is not UTF-8"))?)),
            None => environment.get("CONSUL_HTTP_AUTH").map(basic),
        };
        Ok(Self {
            base,
            socket,
            tls: tls(environment)?,
            basic,
            token: environment.get("CONSUL_HTTP_TOKEN").map(SecretString::from),
            token_file: environment.get("CONSUL_HTTP_TOKEN_FILE").map(PathBuf::from),
            scope: [("ns", "CONSUL_NAMESPACE"), ("partition", "CONSUL_PARTITION")]
                .into_iter()
                .filter_map(|(parameter, variable)| Some((parameter, environment.get(variable)?.to_owned())))
                .collect(),
            owner: None,
            names: TLS_NAMES,
        })
    }
}

/// The address of Consul.
enum Place {
    Server(Url),
    Socket(PathBuf),
}

impl Place {
    fn server(tls: bool, hosts: &str) -> Result<Self, String> {
        url(if tls { "https" } else { "http" }, hosts).map(Self::Server)
    }
}

/// `CONSUL_HTTP_ADDR`: `host:port`, `http://…`, `https://…` or `unix://…`.
fn place_from_environment(environment: &Environment, tls: bool) -> Result<Place, OpenError> {
    let given = environment.get("CONSUL_HTTP_ADDR").unwrap_or(DEFAULT_HOSTS);
    let (scheme, rest) = given.split_once("://").unwrap_or(("", given));
    let tls = tls || scheme == "https" || flag(environment, "CONSUL_HTTP_SSL")?.unwrap_or(false);
    match scheme {
        "" | "http" | "https" => Place::server(tls, rest.trim_end_matches('/')),
        "unix" if rest.starts_with('/') => Ok(Place::Socket(rest.into())),
        _ => Err("it is neither host:port, nor http://, https:// or unix:///path".to_owned()),
    }
    .map_err(|reason| OpenError::Settings(format!("CONSUL_HTTP_ADDR: {reason}")))
}

fn url(scheme: &str, hosts: &str) -> Result<Url, String> {
    // `:8500` means this machine.
    let local = if hosts.starts_with(':') { "127.0.0.1" } else { "" };
    let unusable = |why: &str| format!("{why}; it is written as host:port, an IPv6 address in brackets");
    if hosts.contains(['/', '@', '?', '#', '\\']) || hosts.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err(unusable("this is no host"));
    }
    Url::parse(&format!("{scheme}://{local}{hosts}/")).map_err(|error| unusable(&error.to_string()))
}

/// `user:password`, or `user` alone.
fn basic(userinfo: &str) -> (String, SecretString) {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    (user.to_owned(), SecretString::from(password))
}

fn tls(environment: &Environment) -> Result<Tls, OpenError> {
    // The second names are those of the replaced program.
    let either = |one, other| environment.get(one).or_else(|| environment.get(other)).map(PathBuf::from);
    let certificate = either("CONSUL_CLIENT_CERT", "CONSUL_TLSCERT");
    let key = either("CONSUL_CLIENT_KEY", "CONSUL_TLSKEY");
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => {
            return Err(OpenError::Settings(
                "CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY must be set together or not at all".to_owned(),
            ));
        }
    };
    Ok(Tls {
        ca: environment.get("CONSUL_CACERT").map(PathBuf::from),
        identity,
        skip_verify: flag(environment, "CONSUL_HTTP_SSL_VERIFY")? == Some(false),
    })
}

/// A boolean variable, in Go's spellings.
fn flag(environment: &Environment, name: &str) -> Result<Option<bool>, OpenError> {
    match environment.get(name) {
        None => Ok(None),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(Some(true)),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(Some(false)),
        Some(_) => Err(OpenError::Settings(format!("{name} must be true or false"))),
    }
}

/// The owner is stored in each entry's Meta, so it must fit there.
fn owner(owner: &str) -> Result<String, OpenError> {
    match owner.len() {
        1..=VALUE_LIMIT => Ok(owner.to_owned()),
        0 => Err(OpenError::Settings("the owner must not be empty".to_owned())),
        bytes => Err(OpenError::Settings(format!(
            "the owner has {bytes} bytes, and Consul takes no more than {VALUE_LIMIT}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::ffi::OsString;
    use std::sync::Arc;

    fn settings(uri: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
        let environment = variables.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
        let config = RegistryConfig {
            uri: uri.to_owned(),
            owner: "host".to_owned(),
            hostname: "host".to_owned(),
            record_owner: true,
            ttl: None,
            ttl_refresh: None,
            environment: Arc::new(environment),
        };
        let uri = Uri::split(uri).expect("a URI");
        Settings::new(&uri, &config).map_err(|error| error.to_string())
    }

    fn place(uri: &str, variables: &[(&str, &str)]) -> String {
        match settings(uri, variables) {
            Ok(Settings { socket: Some(path), .. }) => path.display().to_string(),
            Ok(Settings { base, .. }) => base.to_string(),
            Err(reason) => reason,
        }
    }

    #[test]
    fn the_uri_wins_over_the_environment_and_the_environment_over_the_default() {
        let addr = |value| [("CONSUL_HTTP_ADDR", value)];
        for (uri, variables, expected) in [
            ("consul:", &[][..], "http://127.0.0.1:8500/"),
            ("consul://", &[], "http://127.0.0.1:8500/"),
            ("consul://h:1", &[], "http://h:1/"),
            ("consul://h:1/", &[], "http://h:1/"),
            ("consul://h:1//", &[], "http://h:1/"),
            ("consul:http://h:1", &[], "http://h:1/"),
            ("consul:://h:1", &[], "http://h:1/"),
            ("consul://http://h:1/", &[], "http://h:1/"),
            ("consul:http://u:p@h:1", &[], "http://h:1/"),
            ("consul://h", &[], "http://h/"),
            ("consul://:8501", &[], "http://127.0.0.1:8501/"),
            ("consul://[::1]:8500", &[], "http://[::1]:8500/"),
            ("consul://u:p@h:1", &[], "http://h:1/"),
            ("consul-tls://h:1", &[], "https://h:1/"),
            ("consul-tls:", &[], "https://127.0.0.1:8500/"),
            ("consul-unix:///run/c.sock", &[], "/run/c.sock"),
            ("consul:", &addr("h:2"), "http://h:2/"),
            ("consul:", &addr("http://h:2/"), "http://h:2/"),
            ("consul:", &addr("https://h:2"), "https://h:2/"),
            ("consul:", &addr("unix:///run/c.sock"), "/run/c.sock"),
            ("consul-tls:", &addr("h:2"), "https://h:2/"),
            ("consul://h:1", &addr("https://h:2"), "http://h:1/"),
            ("consul-unix:///run/c.sock", &addr("h:2"), "/run/c.sock"),
            ("consul://h:1", &[("CONSUL_HTTP_SSL", "true")], "https://h:1/"),
            ("consul:", &[("CONSUL_HTTP_SSL", "1")], "https://127.0.0.1:8500/"),
            ("consul:", &[("CONSUL_HTTP_SSL", "false")], "http://127.0.0.1:8500/"),
        ] {
            assert_eq!(place(uri, variables), expected, "{uri} {variables:?}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_in_one_line_that_tells_what_to_do() {
        let host_port = "it is written as host:port, an IPv6 address in brackets";
        for (uri, variables, expected) in [
            ("consul://h:x", &[][..], format!("bad adapter uri: consul://h:x: invalid port number; {host_port}")),
            ("consul://a b", &[], format!("bad adapter uri: consul://a b: this is no host; {host_port}")),
            (
                "consul-unix://run/c.sock",
                &[],
                "bad adapter uri: consul-unix://run/c.sock: a socket is named by its whole path, \
                 as consul-unix:///run/consul.sock"
                    .to_owned(),
            ),
            ("consul-tls://h/p", &[], "bad adapter uri: consul-tls://h/p: it takes no path".to_owned()),
            ("consul:", &[("CONSUL_HTTP_SSL", "yes")], "CONSUL_HTTP_SSL must be true or false".to_owned()),
            (
                "consul:",
                &[("CONSUL_HTTP_ADDR", "ftp://x")],
                "CONSUL_HTTP_ADDR: it is neither host:port, nor http://, https:// or unix:///path".to_owned(),
            ),
            (
                "consul:",
                &[("CONSUL_CLIENT_CERT", "/x")],
                "CONSUL_CLIENT_CERT and CONSUL_CLIENT_KEY must be set together or not at all".to_owned(),
            ),
        ] {
            assert_eq!(place(uri, variables), expected);
        }
    }

    #[test]
    fn a_tree_is_below_the_path_of_the_uri() {
        let tree = |uri: &str| {
            let config = RegistryConfig {
                uri: uri.to_owned(),
                owner: "x".repeat(600),
                hostname: "host".to_owned(),
                record_owner: true,
                ttl: None,
                ttl_refresh: None,
                environment: Arc::default(),
            };
            Settings::of_tree(&Uri::split(uri).expect("a URI"), &config)
                .map(|(settings, tree)| {
                    let place = settings.socket.map_or(settings.base.to_string(), |path| path.display().to_string());
                    (place, tree.root, tree.records)
                })
                .map_err(|error| error.to_string())
        };
        let (local, records) = ("http://127.0.0.1:8500/", "/_registrator");
        for (uri, place, root, records) in [
            ("consulkv://h:1/a/b", "http://h:1/", "/a/b", "/_registrator/a/b"),
            ("consulkv://h:1//a//b/", "http://h:1/", "/a/b", "/_registrator/a/b"),
            ("consulkv:http://h:1/a", "http://h:1/", "/a", "/_registrator/a"),
            ("consul://h:1/a/", "http://h:1/", "/a", "/_registrator/a"),
            ("consulkv://h:1", "http://h:1/", "", records),
            ("consulkv:///a%20b", local, "/a b", "/_registrator/a b"),
            ("consulkv-tls://h:1/a", "https://h:1/", "/a", "/_registrator/a"),
            ("consulkv-unix:///run/c.sock:/a/b", "/run/c.sock", "/a/b", "/_registrator/a/b"),
            ("consulkv-unix:///run/c.sock", "/run/c.sock", "", records),
            ("consulkv://h:1/a?records=/private/r", "http://h:1/", "/a", "/private/r"),
        ] {
            assert_eq!(tree(uri), Ok((place.to_owned(), root.to_owned(), records.to_owned())), "{uri}");
        }
        for uri in ["consulkv://h:1/a/../b", "consulkv-unix://h/x:/a", "consulkv://h/a?x=1"] {
            assert!(tree(uri).is_err(), "{uri}");
        }
        assert!(is_tree(&Uri::split("CONSUL://h/p").expect("a URI")));
        for uri in ["consul://h", "consul://h/", "consul://h//", "consul-unix:///run/c.sock"] {
            assert!(!is_tree(&Uri::split(uri).expect("a URI")), "{uri}");
        }
    }

    #[test]
    fn credentials_come_from_the_uri_or_the_environment() {
        let basic = |uri, variables: &[_]| {
            settings(uri, variables)
                .ok()
                .and_then(|settings| settings.basic)
                .map(|(user, password)| (user, password.expose_secret().to_owned()))
        };
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(basic("consul:", &[]), None);
        assert_eq!(basic("consul:", &[("CONSUL_HTTP_AUTH", "me:pa:ss")]), pair("me", "pa:ss"));
        assert_eq!(basic("consul:", &[("CONSUL_HTTP_AUTH", "me")]), pair("me", ""));
        assert_eq!(basic("consul://you:a%40b@h", &[("CONSUL_HTTP_AUTH", "me:x")]), pair("you", "a@b"));
    }

    #[test]
    fn tls_is_set_by_consuls_own_variables_and_those_of_the_replaced_program() {
        let tls = |variables: &[_]| settings("consul-tls:", variables).map(|settings| settings.tls).expect("settings");
        assert_eq!(tls(&[]), Tls::default());
        assert!(tls(&[("CONSUL_HTTP_SSL_VERIFY", "false")]).skip_verify);
        assert!(!tls(&[("CONSUL_HTTP_SSL_VERIFY", "true")]).skip_verify);
        let expected =
            Tls { ca: Some("/ca".into()), identity: Some(("/cert".into(), "/key".into())), skip_verify: false };
        let ca = ("CONSUL_CACERT", "/ca");
        assert_eq!(tls(&[ca, ("CONSUL_CLIENT_CERT", "/cert"), ("CONSUL_CLIENT_KEY", "/key")]), expected);
        assert_eq!(tls(&[ca, ("CONSUL_TLSCERT", "/cert"), ("CONSUL_TLSKEY", "/key")]), expected);
    }

    #[test]
    fn namespace_and_partition_go_with_every_request() {
        let settings =
            settings("consul:", &[("CONSUL_NAMESPACE", "team"), ("CONSUL_PARTITION", "p")]).expect("settings");
        assert_eq!(settings.scope, [("ns", "team".to_owned()), ("partition", "p".to_owned())]);
    }

    #[test]
    fn an_owner_must_fit_into_an_entry() {
        assert_eq!(owner("host"), Ok("host".to_owned()));
        assert!(owner("").is_err());
        assert!(owner(&"é".repeat(256)).is_ok());
        assert!(owner(&"é".repeat(257)).is_err());
    }
}
