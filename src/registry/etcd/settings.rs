//! The addresses of etcd and the credentials: from the URI, then the `ETCD_*` variables, then the defaults.
//!
//! `etcd[-tls]://user:password@a:2379,b:2379/prefix?ca=…&cert=…&key=…&records=…`

use secrecy::SecretString;

use crate::config::{Environment, RegistryConfig};
use crate::http::{Fault, Tls, speaks_tls, tls_config, try_tls};
use crate::registry::OpenError;
use crate::registry::advice::TlsNames;
use crate::registry::parameters::{Parameters, decoded};
use crate::registry::reader::{Access, AccessNames};
use crate::registry::servers::{Server, place, servers};
use crate::registry::tls_files::{TlsFiles, TlsVariables};
use crate::registry::uri::{Uri, redacted, root};

/// The default address of a server.
const DEFAULT_PORT: u16 = 2379;

/// The names of the TLS settings.
pub(super) const TLS_NAMES: TlsNames = TlsNames {
    with: "etcd-tls://, or https:// in ETCD_ENDPOINTS",
    without: "etcd://, no https:// in ETCD_ENDPOINTS, and no ca=, cert= or key=",
    authorities: "ca= of the URI, or ETCD_CA_CERT_FILE",
    certificate: "cert= of the URI, or ETCD_CERT_FILE",
    key: "key= of the URI, or ETCD_KEY_FILE",
};

/// The variables that name the files of TLS.
const VARIABLES: TlsVariables =
    TlsVariables { registry: "etcd", ca: "ETCD_CA_CERT_FILE", certificate: "ETCD_CERT_FILE", key: "ETCD_KEY_FILE" };

/// The parameters of the URI.
const PARAMETERS: [&str; 4] = ["ca", "cert", "key", "records"];

/// The settings of an etcd client.
#[derive(Clone)]
pub(in crate::registry) struct Settings {
    /// The servers; never empty.
    pub(super) servers: Vec<Server>,
    /// The TLS settings, if TLS is used.
    pub(super) tls: Option<Tls>,
    /// The user and password, if given.
    pub(super) user: Option<(String, SecretString)>,
    /// The prefix of all keys: begins with a slash and does not end with one; empty for the root.
    pub(in crate::registry) root: String,
    /// The prefix of the ownership records, if not the default one; in the same form.
    pub(in crate::registry) records: Option<String>,
    /// What people call these settings.
    pub(super) names: Names,
}

/// What people call the settings.
#[derive(Clone, Copy)]
pub(super) struct Names {
    pub(super) tls: TlsNames,
    /// Where the address is.
    pub(super) address: &'static str,
    /// Where a user and password are corrected, and how they are given.
    pub(super) user: (&'static str, &'static str),
}

/// The names for a URI.
const OF_URI: Names = Names {
    tls: TLS_NAMES,
    address: "the URI",
    user: ("the URI, or ETCD_USER", "as user:password@ in the URI, or in ETCD_USER"),
};

impl Settings {
    /// The settings from a URI and the environment.
    ///
    /// # Errors
    /// When the URI, the variables, or the files that they name are invalid.
    pub(in crate::registry) fn new(uri: &Uri<'_>, config: &RegistryConfig) -> Result<Self, OpenError> {
        let environment = &*config.environment;
        let bad = |reason: String| OpenError::BadUri { uri: redacted(&config.uri), reason };
        let mut parameters = Parameters::read(uri.query).map_err(bad)?;
        let user = match uri.userinfo {
            Some(userinfo) => {
                let userinfo = decoded(userinfo).ok_or_else(|| bad("the user is not UTF-8".to_owned()))?;
                Some(user(&userinfo).ok_or_else(|| bad("it has a user without a password".to_owned()))?)
            }
            None => match environment.get("ETCD_USER") {
                None => None,
                Some(pair) => {
                    Some(user(pair).ok_or_else(|| OpenError::Settings("ETCD_USER must be user:password".to_owned()))?)
                }
            },
        };
        let files = TlsFiles::take(&mut parameters, environment, &VARIABLES)?;
        let records = parameters.take("records").map(|path| root(&path)).transpose().map_err(bad)?;
        parameters.finish(&PARAMETERS).map_err(bad)?;
        let (servers, https) = endpoints(uri, environment).map_err(|(from_uri, reason)| {
            if from_uri { bad(reason) } else { OpenError::Settings(format!("ETCD_ENDPOINTS: {reason}")) }
        })?;
        // Files are only used for TLS.
        let wanted = https || files.any() || uri.scheme.to_ascii_lowercase().ends_with("-tls");
        let tls = wanted.then_some(Tls { ca: files.ca, identity: files.identity, skip_verify: false });
        if let Some(tls) = &tls {
            tls_config(tls).map_err(|error| OpenError::Settings(format!("etcd: {}", TLS_NAMES.of_files(&error))))?;
        }
        let path = decoded(uri.path).ok_or_else(|| bad("its path is not UTF-8".to_owned()))?;
        Ok(Self { servers, tls, user, root: root(&path).map_err(bad)?, records, names: OF_URI })
    }

    /// The servers, for a message.
    pub(super) fn place(&self) -> String {
        place(&self.servers)
    }

    /// What is secret and goes over the network without TLS.
    pub(super) fn unencrypted(&self) -> Option<String> {
        let sent = self.tls.is_none() && self.user.is_some();
        let hosts = self.servers.iter().map(|server| server.host.as_str());
        if sent { self.names.tls.unencrypted("the password", hosts) } else { None }
    }

    /// Why a connection failed, and what to do; `reason` is the connection's own error.
    pub(super) fn lost(&self, fault: &Fault, reason: &str) -> String {
        if self.tls.is_some() { self.names.tls.explained(fault, reason) } else { reason.to_owned() }
    }

    /// As above, for a server that has never answered; its TLS is examined as well.
    pub(super) async fn never_reached(&self, server: &Server, fault: &Fault, reason: &str) -> String {
        let explained = self.lost(fault, reason);
        if explained != reason {
            return explained;
        }
        match &self.tls {
            Some(tls) => match try_tls(&server.host, server.port, tls).await {
                Some(Err(fault)) => self.lost(&fault, reason),
                Some(Ok(())) | None => explained,
            },
            None if speaks_tls(&server.host, server.port).await => self.names.tls.wanted(),
            None if *fault == Fault::Broken => {
                format!(
                    "what answers there is no etcd ({reason}); check the host and the port of {}",
                    self.names.address
                )
            }
            None => explained,
        }
    }

    /// Why the servers reject our credentials, and what to do; `said` is what is wrong with the user, if one is given.
    pub(super) fn not_let_in(&self, said: &str) -> String {
        let place = self.place();
        let (correct, give) = self.names.user;
        match &self.user {
            Some((user, _)) => format!("etcd at {place} refuses the user {user:?}: {said}; correct {correct}"),
            None => format!("etcd at {place} wants a user; give one {give}"),
        }
    }
}

impl Settings {
    /// The settings for a reader, which has no prefix of its own.
    ///
    /// # Errors
    /// When the servers or the files of TLS cannot be used.
    pub(super) fn of_access(access: &Access) -> Result<Self, OpenError> {
        let AccessNames { address, user, give_user, .. } = *access.names;
        let tls = access.names.tls();
        let servers = servers(&access.hosts(), DEFAULT_PORT)
            .map_err(|reason| OpenError::Settings(format!("etcd: {reason}; correct {address}")))?;
        if access.secure {
            tls_config(&access.tls).map_err(|error| OpenError::Settings(format!("etcd: {}", tls.of_files(&error))))?;
        }
        Ok(Self {
            servers,
            tls: access.secure.then(|| access.tls.clone()),
            user: access.user.clone(),
            root: String::new(),
            records: None,
            names: Names { tls, address, user: (user, give_user) },
        })
    }
}

/// `user:password`.
fn user(pair: &str) -> Option<(String, SecretString)> {
    let (user, password) = pair.split_once(':')?;
    (!user.is_empty()).then(|| (user.to_owned(), SecretString::from(password)))
}

/// The servers, and whether they use TLS. An error says whether the URI is wrong.
fn endpoints(uri: &Uri<'_>, environment: &Environment) -> Result<(Vec<Server>, bool), (bool, String)> {
    let Some(endpoints) = environment.get("ETCD_ENDPOINTS").filter(|_| uri.hosts.is_empty()) else {
        return Ok((servers(uri.hosts, DEFAULT_PORT).map_err(|reason| (true, reason))?, false));
    };
    // With or without a scheme, as etcd's own clients accept them.
    let mut https = false;
    let hosts: Vec<_> = endpoints
        .split(',')
        .map(|endpoint| {
            let endpoint = endpoint.trim().trim_end_matches('/');
            https |= endpoint.starts_with("https://");
            endpoint.trim_start_matches("http://").trim_start_matches("https://")
        })
        .collect();
    if https && endpoints.contains("http://") {
        return Err((false, "either all are https, or none".to_owned()));
    }
    Ok((servers(&hosts.join(","), DEFAULT_PORT).map_err(|reason| (false, reason))?, https))
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
    fn servers_and_prefix_come_from_the_uri_or_the_environment() {
        let variable = [("ETCD_ENDPOINTS", "http://a:1, b/,http://[::1]:3/")];
        for (uri, variables, servers, root) in [
            ("etcd:", &[][..], "127.0.0.1:2379", ""),
            ("etcd://h", &[], "h:2379", ""),
            ("etcd://h/", &[], "h:2379", ""),
            ("etcd://h:1/a", &[], "h:1", "/a"),
            ("etcd://h:1//a//b/", &[], "h:1", "/a/b"),
            ("etcd:http://h:1/a", &[], "h:1", "/a"),
            ("etcd://u:p@a:1,b,[::1]:3/a/b%20c/", &[], "a:1,b:2379,[::1]:3", "/a/b c"),
            ("etcd:///a", &variable, "a:1,b:2379,[::1]:3", "/a"),
            ("etcd://h", &variable, "h:2379", ""),
        ] {
            let settings = settings(uri, variables).map_err(|reason| panic!("{uri}: {reason}")).unwrap();
            assert_eq!((settings.place().as_str(), settings.root.as_str()), (servers, root), "{uri}");
            assert_eq!(settings.tls, None);
        }
    }

    #[test]
    fn a_user_comes_from_the_uri_or_the_environment() {
        let of = |uri: &str, variables: &[_]| {
            let user = settings(uri, variables).unwrap().user;
            user.map(|(user, password)| format!("{user} {}", password.expose_secret()))
        };
        assert_eq!(of("etcd://h", &[]), None);
        assert_eq!(of("etcd://u:p%3Aw%40@h", &[("ETCD_USER", "e:x")]).as_deref(), Some("u p:w@"));
        assert_eq!(of("etcd://h", &[("ETCD_USER", "e:x:y")]).as_deref(), Some("e x:y"));
        assert_eq!(
            settings("etcd://h", &[("ETCD_USER", "me")]).err().as_deref(),
            Some("ETCD_USER must be user:password")
        );
    }

    #[test]
    fn tls_is_spoken_where_anything_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let made = testkit::certificates::Certificates::make(folder.path());
        let ca = made.ca.display().to_string();
        let (cert, key) = (made.client.certificate.display().to_string(), made.client.key.display().to_string());
        for (uri, variables) in [
            ("etcd-tls://h".to_owned(), vec![]),
            ("ETCD3-TLS://h".to_owned(), vec![]),
            (format!("etcd://h?ca={ca}"), vec![]),
            ("etcd://h".to_owned(), vec![("ETCD_CA_CERT_FILE", ca.as_str())]),
            ("etcd://h".to_owned(), vec![("ETCD_CERT_FILE", cert.as_str()), ("ETCD_KEY_FILE", key.as_str())]),
            ("etcd://".to_owned(), vec![("ETCD_ENDPOINTS", "https://a:1,https://b:2")]),
        ] {
            assert!(settings(&uri, &variables).unwrap().tls.is_some(), "{uri} {variables:?}");
        }
        let both = settings(&format!("etcd://h?ca={ca}&cert={cert}&key={key}"), &[]).unwrap().tls.unwrap();
        assert_eq!((both.ca, both.identity), (Some(made.ca), Some((made.client.certificate, made.client.key))));
        assert!(settings("etcd://h?cert=/x", &[]).err().unwrap().contains("set together or not at all"));
        let missing = "etcd: the authorities to trust cannot be read from /nowhere: No such file or directory (os error 2); \
                       correct ca= of the URI, or ETCD_CA_CERT_FILE";
        assert_eq!(settings("etcd://h?ca=/nowhere", &[]).err().as_deref(), Some(missing));
        let mixed = settings("etcd:", &[("ETCD_ENDPOINTS", "https://a:1,http://b:2")]).err();
        assert_eq!(mixed.as_deref(), Some("ETCD_ENDPOINTS: either all are https, or none"));
    }

    #[test]
    fn what_cannot_be_used_is_said_in_one_line() {
        let path = |path: &str| {
            format!("{path:?} is no path: it begins with a slash, and has no part . or .. and no control character")
        };
        for (uri, reason) in [
            ("etcd://h:0", "\"h:0\" is no host:port, an IPv6 address in brackets".to_owned()),
            ("etcd://u@h", "it has a user without a password".to_owned()),
            ("etcd://h/a/../b", path("/a/../b")),
            ("etcd://h/a%0A", path("/a\n")),
            ("etcd://h/a%FF", "its path is not UTF-8".to_owned()),
            ("etcd://h?records=a", path("a")),
            (
                "etcd://h?x=1",
                "it does not know the parameter \"x\"; it knows ca, cert, key, records, ttl, policy".to_owned(),
            ),
        ] {
            assert_eq!(settings(uri, &[]).err(), Some(format!("bad adapter uri: {}: {reason}", redacted(uri))));
        }
    }
}
