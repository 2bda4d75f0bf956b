//! The addresses of Eureka's servers and the credentials: from the URI, then the `EUREKA_*` variables, then the defaults.
//!
//! `eureka[-tls]://user:password@a:8761,b:8761/eureka?ca=…&cert=…&key=…`

use std::fs;
use std::path::{Path, PathBuf};

use secrecy::SecretString;
use url::Url;

use crate::config::RegistryConfig;
use crate::http::Tls;
use crate::registry::OpenError;
use crate::registry::advice::TlsNames;
use crate::registry::parameters::{Parameters, decoded};
use crate::registry::servers::{Server, servers};
use crate::registry::uri::{Uri, redacted, root};

/// The default port: that of Spring Cloud's server.
const DEFAULT_PORT: u16 = 8761;
/// The default path: that of Spring Cloud's server. Netflix's own has `/eureka/v2`.
const DEFAULT_PATH: &str = "/eureka";

/// The parameters of the URI.
const PARAMETERS: [&str; 3] = ["ca", "cert", "key"];

/// The names of the TLS settings.
pub(super) const TLS_NAMES: TlsNames = TlsNames {
    with: "eureka-tls://",
    without: "eureka://",
    authorities: "ca= of the URI, or EUREKA_CACERT",
    certificate: "cert= of the URI, or EUREKA_CLIENT_CERT",
    key: "key= of the URI, or EUREKA_CLIENT_KEY",
};

/// A user and a password.
pub(super) type Credentials = (String, SecretString);

/// The settings of a client.
#[derive(Debug)]
pub(super) struct Settings {
    /// The servers; never empty.
    pub(super) servers: Vec<Server>,
    /// Where each server's `apps/` is, with a slash at the end; in the order of the servers.
    pub(super) bases: Vec<Url>,
    /// The path, without a slash at the end.
    pub(super) path: String,
    pub(super) credentials: Option<Credentials>,
    /// The file that holds the credentials, if they come from one.
    pub(super) file: Option<PathBuf>,
    /// The TLS settings, if TLS is used.
    pub(super) tls: Option<Tls>,
}

impl Settings {
    /// The settings from a URI and the environment.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub(super) fn new(uri: &Uri<'_>, config: &RegistryConfig) -> Result<Self, OpenError> {
        let environment = &*config.environment;
        let bad = |reason: String| OpenError::BadUri { uri: redacted(&config.uri), reason };
        let mut parameters = Parameters::read(uri.query).map_err(bad)?;
        let mut either =
            |name, variable| parameters.take(name).or_else(|| environment.get(variable).map(str::to_owned));
        let ca = either("ca", "EUREKA_CACERT").map(PathBuf::from);
        let identity = match (either("cert", "EUREKA_CLIENT_CERT"), either("key", "EUREKA_CLIENT_KEY")) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            _ => {
                return Err(OpenError::Settings(
                    "eureka: a certificate and its key must be set together or not at all (cert and key in the URI, or \
                     EUREKA_CLIENT_CERT and EUREKA_CLIENT_KEY)"
                        .to_owned(),
                ));
            }
        };
        parameters.finish(&PARAMETERS).map_err(bad)?;
        let secure = uri.scheme.eq_ignore_ascii_case("eureka-tls");
        let servers = servers(uri.hosts, DEFAULT_PORT).map_err(bad)?;
        let path = decoded(uri.path).ok_or_else(|| bad("its path is not UTF-8".to_owned()))?;
        let path = root(&path).map_err(bad)?;
        let path = if path.is_empty() { DEFAULT_PATH.to_owned() } else { path };
        let scheme = if secure { "https" } else { "http" };
        let base = |server: &Server| {
            let mut url = Url::parse(&format!("{scheme}://{server}/"))
                .map_err(|error| bad(format!("{server} is no host: {error}")))?;
            url.set_path(&format!("{path}/"));
            Ok(url)
        };
        let bases = servers.iter().map(base).collect::<Result<_, OpenError>>()?;
        let file = environment.get("EUREKA_AUTH_FILE").filter(|_| uri.userinfo.is_none()).map(PathBuf::from);
        let credentials = match (uri.userinfo, &file) {
            (Some(userinfo), _) => {
                let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
                let text = |text| decoded(text).ok_or_else(|| bad("the user is not UTF-8".to_owned()));
                Some((text(user)?, SecretString::from(text(password)?)))
            }
            (None, Some(path)) => Some(from_file(path).map_err(OpenError::Settings)?),
            (None, None) => environment
                .get("EUREKA_AUTH")
                .map(|pair| {
                    pair_of(pair).ok_or_else(|| OpenError::Settings("EUREKA_AUTH must be user:password".to_owned()))
                })
                .transpose()?,
        };
        let tls = secure.then_some(Tls { ca, identity, skip_verify: false });
        Ok(Self { servers, bases, path, credentials, file, tls })
    }

    /// What is secret and goes over the network without TLS.
    pub(super) fn unencrypted(&self) -> Option<String> {
        let hosts = self.servers.iter().map(|server| server.host.as_str());
        if self.credentials.is_some() && self.tls.is_none() {
            TLS_NAMES.unencrypted("the password", hosts)
        } else {
            None
        }
    }
}

/// The credentials in a file, `user:password`.
///
/// # Errors
/// One line that says why there are none.
pub(super) fn from_file(path: &Path) -> Result<Credentials, String> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| format!("eureka: {shown} cannot be read: {error}; correct EUREKA_AUTH_FILE"))?;
    pair_of(text.trim_end_matches(['\r', '\n']))
        .ok_or_else(|| format!("eureka: {shown} does not hold user:password; correct it, or EUREKA_AUTH_FILE"))
}

fn pair_of(pair: &str) -> Option<Credentials> {
    let (user, password) = pair.split_once(':')?;
    (!user.is_empty()).then(|| (user.to_owned(), SecretString::from(password)))
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
        Settings::new(&Uri::split(uri).unwrap(), &config).map_err(|error| error.to_string())
    }

    #[test]
    fn servers_and_path_come_from_the_uri() {
        for (uri, expected) in [
            ("eureka:", "http://127.0.0.1:8761/eureka/"),
            ("eureka://h", "http://h:8761/eureka/"),
            ("eureka://h/", "http://h:8761/eureka/"),
            ("eureka://h:8080/eureka/v2", "http://h:8080/eureka/v2/"),
            ("eureka://h//eureka//", "http://h:8761/eureka/"),
            ("eureka-tls://a,[::1]:2/x", "https://a:8761/x/ https://[::1]:2/x/"),
            ("eureka://a:1,b:2", "http://a:1/eureka/ http://b:2/eureka/"),
            ("eureka://h/a%20b", "http://h:8761/a%20b/"),
        ] {
            let bases: Vec<_> = settings(uri, &[]).unwrap().bases.iter().map(Url::to_string).collect();
            assert_eq!(bases.join(" "), expected, "{uri}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_in_one_line() {
        for (uri, variables, part) in [
            ("eureka://h:0", &[][..], "\"h:0\" is no host:port"),
            ("eureka://h/a/../b", &[], "\"/a/../b\" is no path"),
            ("eureka://h?cert=/x", &[], "set together or not at all"),
            ("eureka://h?x=1", &[], "it does not know the parameter \"x\"; it knows ca, cert, key, ttl, policy"),
            ("eureka://h", &[("EUREKA_AUTH", "hunter2")], "EUREKA_AUTH must be user:password"),
            ("eureka://h", &[("EUREKA_AUTH_FILE", "/nowhere")], "/nowhere cannot be read: No such file"),
        ] {
            let said = settings(uri, variables).unwrap_err();
            assert!(said.contains(part) && !said.contains("hunter2"), "{uri}: {said}");
        }
    }

    #[test]
    fn a_user_comes_from_the_uri_a_file_or_a_variable() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("auth");
        fs::write(&file, "f:pass word\n").unwrap();
        let file = ("EUREKA_AUTH_FILE", file.to_str().unwrap());
        let variable = ("EUREKA_AUTH", "v:a:b");
        for (uri, variables, expected) in [
            ("eureka://h", vec![], None),
            ("eureka://u:p%40@h", vec![variable, file], Some("u p@")),
            ("eureka://h", vec![variable, file], Some("f pass word")),
            ("eureka://h", vec![variable], Some("v a:b")),
        ] {
            let found = settings(uri, &variables).unwrap().credentials;
            let found = found.map(|(user, password)| format!("{user} {}", password.expose_secret()));
            assert_eq!(found.as_deref(), expected, "{uri}");
        }
    }
}
