//! The address of Redis and the credentials: from the URI, then the `REDIS_*` variables, then the defaults.
//!
//! `redis[s]://user:password@host:6379/database?prefix=services&records=…&ca=…&cert=…&key=…`, and with sentinels
//! `redis[s]+sentinel://user:password@a:26379,b:26379/master/database`. `valkey` stands for `redis` everywhere.

use crate::config::RegistryConfig;
use crate::http::{Tls, tls_config};
use crate::registry::parameters::{Parameters, decoded};
use crate::registry::reader::{Access, AccessNames};
use crate::registry::servers::servers;
use crate::registry::site::Site;
use crate::registry::tls_files::{TlsFiles, TlsVariables};
use crate::registry::uri::{Uri, redacted, root};
use crate::registry::{self, OpenError};

use super::address::{Address, Login, PORT, SENTINEL_PORT, Target, database};
use super::connect::Reach;

/// The prefix of entries, unless the URI names one.
const PREFIX: &str = "services";

/// The parameters of the URI.
const PARAMETERS: [&str; 5] = ["prefix", "records", "ca", "cert", "key"];

/// The variables that name the files of TLS.
const VARIABLES: TlsVariables =
    TlsVariables { registry: "redis", ca: "REDIS_CA_CERT_FILE", certificate: "REDIS_CERT_FILE", key: "REDIS_KEY_FILE" };

/// What people call the settings of a URI.
const NAMES: AccessNames = AccessNames {
    address: "the URI",
    user: "the URI, or REDIS_USER",
    give_user: "as user:password@ or :password@ in the URI, or in REDIS_USER",
    with_tls: "rediss://",
    without_tls: "redis://",
    authorities: "ca= of the URI, or REDIS_CA_CERT_FILE",
    certificate: "cert= of the URI, or REDIS_CERT_FILE",
    key: "key= of the URI, or REDIS_KEY_FILE",
};

/// The settings of a registry in Redis.
pub(in crate::registry) struct Settings {
    pub(super) reach: Reach,
    /// The prefix of entries, and that of the ownership records: neither ends with a slash, and they begin with one only
    /// if the URI says so.
    pub(super) root: String,
    pub(super) records: String,
    /// What people call these settings.
    pub(super) names: &'static AccessNames,
}

impl Settings {
    /// The settings from a URI and the environment.
    ///
    /// # Errors
    /// When the URI, the variables, or the files that they name are invalid.
    pub(in crate::registry) fn new(uri: &Uri<'_>, config: &RegistryConfig) -> Result<Self, OpenError> {
        Self::below(PREFIX, uri, config)
    }

    /// As [`Self::new`], with this prefix unless the URI names one.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub(super) fn below(usual: &str, uri: &Uri<'_>, config: &RegistryConfig) -> Result<Self, OpenError> {
        let environment = &*config.environment;
        let bad = |reason: String| OpenError::BadUri { uri: redacted(&config.uri), reason };
        let mut parameters = Parameters::read(uri.query).map_err(bad)?;
        let of_variable = |name: &str| {
            let wrong = || OpenError::Settings(format!("{name} must be user:password, or :password without a user"));
            environment.get(name).map(|pair| Login::parse(pair).ok_or_else(wrong)).transpose()
        };
        let login = match uri.userinfo {
            Some(userinfo) => {
                let userinfo = decoded(userinfo).ok_or_else(|| bad("the user is not UTF-8".to_owned()))?;
                let reason = "it has a user without a password; a password alone is written as :password@";
                Some(Login::parse(&userinfo).ok_or_else(|| bad(reason.to_owned()))?)
            }
            None => of_variable("REDIS_USER")?,
        };
        let sentinel_login = of_variable("REDIS_SENTINEL_USER")?;
        let files = TlsFiles::take(&mut parameters, environment, &VARIABLES)?;
        let root = prefix(&parameters.take("prefix").unwrap_or_else(|| usual.to_owned())).map_err(bad)?;
        let records = match parameters.take("records") {
            Some(records) => prefix(&records).map_err(bad)?,
            None if root.is_empty() || root.starts_with('/') => format!("/_registrator{root}"),
            None => format!("_registrator/{root}"),
        };
        parameters.finish(&PARAMETERS).map_err(bad)?;
        let scheme = uri.scheme.to_ascii_lowercase();
        let path = decoded(uri.path).ok_or_else(|| bad("its path is not UTF-8".to_owned()))?;
        let (target, database) = target(&scheme, uri.hosts, path.trim_matches('/')).map_err(bad)?;
        let wanted = scheme.starts_with("rediss") || scheme.starts_with("valkeys") || files.any();
        let tls = wanted.then_some(Tls { ca: files.ca, identity: files.identity, skip_verify: false });
        if let Some(tls) = &tls {
            tls_config(tls).map_err(|error| OpenError::Settings(format!("redis: {}", NAMES.tls().of_files(&error))))?;
        }
        let (login, sentinel_login) = (login.unwrap_or_default(), sentinel_login.unwrap_or_default());
        Ok(Self { reach: Reach { target, database, tls, login, sentinel_login }, root, records, names: &NAMES })
    }

    /// What is secret and goes over the network without TLS.
    pub(super) fn unencrypted(&self) -> Option<String> {
        let Reach { target, tls, login, .. } = &self.reach;
        let servers = match target {
            Target::Server(server) => std::slice::from_ref(server),
            Target::Sentinels(sentinels, _) => sentinels,
            Target::Socket(_) => &[],
        };
        let sent = tls.is_none() && login.password.is_some();
        let hosts = servers.iter().map(|server| server.host.as_str());
        if sent { self.names.tls().unencrypted("the password", hosts) } else { None }
    }
}

impl Reach {
    /// For a reader, which has no prefix of its own; only the first server is used.
    ///
    /// # Errors
    /// When the address or the files of TLS cannot be used.
    pub(super) fn of_access(access: &Access) -> Result<Self, OpenError> {
        let address = match &access.socket {
            Some(path) => path.display().to_string(),
            None => access.servers.first().cloned().unwrap_or_default(),
        };
        let Address { target, database } = Address::parse(&address)
            .map_err(|reason| OpenError::Settings(format!("redis: {reason}; correct {}", access.names.address)))?;
        let login = match &access.user {
            Some((user, password)) => {
                Login { user: Some(user.clone()).filter(|user| !user.is_empty()), password: Some(password.clone()) }
            }
            None => Login::default(),
        };
        let tls = access.secure.then(|| access.tls.clone());
        if let Some(tls) = &tls {
            tls_config(tls)
                .map_err(|error| OpenError::Settings(format!("redis: {}", access.names.tls().of_files(&error))))?;
        }
        Ok(Self { target, database, tls, login, sentinel_login: Login::default() })
    }

    /// Where it is, for people.
    pub(super) fn site(&self) -> Site {
        let servers = match &self.target {
            Target::Server(server) => std::slice::from_ref(server),
            Target::Sentinels(sentinels, _) => sentinels,
            Target::Socket(_) => &[],
        };
        Site {
            store: registry::Store::Redis,
            servers: servers.iter().map(|server| (server.host.clone(), server.port)).collect(),
            tls: self.tls.clone(),
            user: self.login.user.clone(),
            database: self.database,
            ..Site::default()
        }
    }
}

/// The server or the sentinels, and the number of the database.
fn target(scheme: &str, hosts: &str, path: &str) -> Result<(Target, i64), String> {
    if scheme.ends_with("+sentinel") {
        let (master, number) = path.split_once('/').unwrap_or((path, ""));
        if master.is_empty() || master.contains(char::is_control) {
            return Err(format!("it names no master, as {scheme}://HOST:26379/mymaster does"));
        }
        return Ok((Target::Sentinels(servers(hosts, SENTINEL_PORT)?, master.to_owned()), database(number)?));
    }
    let number = database(path)
        .map_err(|reason| format!("{reason}; the prefix of the keys is a parameter, as ?prefix={PREFIX}"))?;
    match servers(hosts, PORT)?.as_slice() {
        [server] => Ok((Target::Server(server.clone()), number)),
        _ => {
            Err(format!("it names several servers; name one, or their sentinels, as {scheme}+sentinel://a,b/mymaster"))
        }
    }
}

/// A prefix of keys, without a slash at its end. It begins with one only if it is written so.
fn prefix(text: &str) -> Result<String, String> {
    let whole = root(&format!("/{text}"))?;
    let is_absolute = text.starts_with('/');
    Ok(if is_absolute { whole } else { whole.strip_prefix('/').unwrap_or_default().to_owned() })
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::sync::Arc;

    use secrecy::ExposeSecret;

    use super::*;

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
        let uri = Uri::split(uri).unwrap();
        Settings::new(&uri, &config).map_err(|error| error.to_string())
    }

    #[test]
    fn the_server_the_database_and_the_prefixes_come_from_the_uri() {
        for (uri, place, database, root, records) in [
            ("redis:", "127.0.0.1:6379", 0, "services", "_registrator/services"),
            ("redis://h", "h:6379", 0, "services", "_registrator/services"),
            ("REDIS://h:1/2", "h:1", 2, "services", "_registrator/services"),
            ("valkey://[::1]/?prefix=a/b", "[::1]:6379", 0, "a/b", "_registrator/a/b"),
            ("redis://h?prefix=/a//b/", "h:6379", 0, "/a/b", "/_registrator/a/b"),
            ("redis://h?prefix=", "h:6379", 0, "", "/_registrator"),
            ("redis://h?prefix=/", "h:6379", 0, "", "/_registrator"),
            ("redis://h?records=x", "h:6379", 0, "services", "x"),
            ("redis+sentinel://a,b:2/mine", "a:26379,b:2/mine", 0, "services", "_registrator/services"),
            ("redis+sentinel://a/mine/3", "a:26379/mine", 3, "services", "_registrator/services"),
        ] {
            let Settings { reach, root: found, records: kept, .. } =
                settings(uri, &[]).map_err(|reason| panic!("{uri}: {reason}")).unwrap();
            assert_eq!((reach.target.to_string().as_str(), reach.database), (place, database), "{uri}");
            assert_eq!((found.as_str(), kept.as_str()), (root, records), "{uri}");
            assert_eq!(reach.tls, None);
        }
    }

    #[test]
    fn a_user_comes_from_the_uri_or_the_environment() {
        let of = |uri: &str, variables: &[_]| {
            let Login { user, password } = settings(uri, variables).unwrap().reach.login;
            password.map(|password| (user, password.expose_secret().to_owned()))
        };
        assert_eq!(of("redis://h", &[]), None);
        let variables = [("REDIS_USER", "e:x:y")];
        assert_eq!(of("redis://:p%3Aw%40@h", &variables), Some((None, "p:w@".to_owned())));
        assert_eq!(of("redis://h", &variables), Some((Some("e".to_owned()), "x:y".to_owned())));
        for name in ["REDIS_USER", "REDIS_SENTINEL_USER"] {
            let said = format!("{name} must be user:password, or :password without a user");
            assert_eq!(settings("redis://h", &[(name, "me")]).err(), Some(said));
        }
    }

    #[test]
    fn tls_is_spoken_where_the_scheme_or_a_file_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let made = testkit::certificates::Certificates::make(folder.path());
        let ca = made.ca.display().to_string();
        for (uri, variables) in [
            ("rediss://h".to_owned(), vec![]),
            ("valkeys://h".to_owned(), vec![]),
            ("rediss+sentinel://h/m".to_owned(), vec![]),
            (format!("redis://h?ca={ca}"), vec![]),
            ("redis://h".to_owned(), vec![("REDIS_CA_CERT_FILE", ca.as_str())]),
        ] {
            assert!(settings(&uri, &variables).unwrap().reach.tls.is_some(), "{uri}");
        }
        let missing = "redis: the authorities to trust cannot be read from /nowhere: No such file or directory (os error 2); \
                       correct ca= of the URI, or REDIS_CA_CERT_FILE";
        assert_eq!(settings("redis://h?ca=/nowhere", &[]).err().as_deref(), Some(missing));
    }

    #[test]
    fn what_cannot_be_used_is_said_in_one_line() {
        for (uri, reason) in [
            ("redis://h:0", "\"h:0\" is no host:port, an IPv6 address in brackets"),
            ("redis://u@h", "it has a user without a password; a password alone is written as :password@"),
            (
                "redis://h/services",
                "\"services\" is no number of a database; the prefix of the keys is a parameter, as ?prefix=services",
            ),
            ("redis://a,b", "it names several servers; name one, or their sentinels, as redis+sentinel://a,b/mymaster"),
            ("redis+sentinel://a", "it names no master, as redis+sentinel://HOST:26379/mymaster does"),
            (
                "redis://h?prefix=a/../b",
                "\"/a/../b\" is no path: it begins with a slash, and has no part . or .. and no control character",
            ),
            (
                "redis://h?x=1",
                "it does not know the parameter \"x\"; it knows prefix, records, ca, cert, key, ttl, policy",
            ),
        ] {
            assert_eq!(settings(uri, &[]).err(), Some(format!("bad adapter uri: {}: {reason}", redacted(uri))));
        }
    }
}
