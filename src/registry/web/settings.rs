//! The addresses of servers and the credentials: from the URI, then variables, then the defaults.
//!
//! `scheme://user:password@a:8761,b:8761/…?ca=…&cert=…&key=…`

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use url::Url;

use crate::config::RegistryConfig;
use crate::http::{ClientError, Tls};
use crate::registry::OpenError;
use crate::registry::advice::TlsNames;
use crate::registry::parameters::{Parameters, decoded};
use crate::registry::servers::{Server, servers};
use crate::registry::uri::{Uri, redacted};

/// A kind of registry, as far as its servers differ from others.
pub(in crate::registry) struct Kind {
    /// What its servers are called: `Eureka`.
    pub(in crate::registry) name: &'static str,
    /// What lines about its settings begin with: `eureka`.
    pub(in crate::registry) topic: &'static str,
    pub(in crate::registry) port: u16,
    /// The type of what is sent and accepted.
    pub(in crate::registry) media: &'static str,
    /// How long one request may take, over all servers.
    pub(in crate::registry) deadline: Duration,
    /// How users and TLS are set; `None` for servers that know neither.
    pub(in crate::registry) access: Option<Access>,
}

/// The names of the variables that settings come from where the URI has none, and of the settings of TLS.
pub(in crate::registry) struct Access {
    /// `user:password`.
    pub(in crate::registry) auth: &'static str,
    /// A file that holds `user:password`.
    pub(in crate::registry) auth_file: &'static str,
    pub(in crate::registry) ca: &'static str,
    pub(in crate::registry) cert: &'static str,
    pub(in crate::registry) key: &'static str,
    pub(in crate::registry) tls: TlsNames,
}

impl Kind {
    /// Why a client cannot be made with the files of the settings.
    pub(super) fn of_files(&self, error: &ClientError) -> String {
        match &self.access {
            Some(access) => format!("{}: {}", self.topic, access.tls.of_files(error)),
            None => format!("{}: {error}", self.topic),
        }
    }
}

/// A user and a password.
pub(super) type Credentials = (String, SecretString);

/// The settings of a client.
#[derive(Debug)]
pub(in crate::registry) struct Settings {
    /// The servers; never empty.
    pub(in crate::registry) servers: Vec<Server>,
    /// What each server's paths are below, with a slash at the end; in the order of the servers.
    pub(in crate::registry) bases: Vec<Url>,
    pub(super) credentials: Option<Credentials>,
    /// The file that holds the credentials, if they come from one.
    pub(super) file: Option<PathBuf>,
    /// The TLS settings, if TLS is used.
    pub(in crate::registry) tls: Option<Tls>,
}

impl Settings {
    /// The parameters of the URI that this takes.
    pub(in crate::registry) const PARAMETERS: [&'static str; 3] = ["ca", "cert", "key"];

    /// The settings from a URI and the environment. `path` is what all requests are below, without a slash at its end.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub(in crate::registry) fn new(
        kind: &Kind,
        (uri, secure): (&Uri<'_>, bool),
        config: &RegistryConfig,
        path: &str,
        parameters: &mut Parameters,
    ) -> Result<Self, OpenError> {
        let bad = |reason: String| OpenError::BadUri { uri: redacted(&config.uri), reason };
        let servers = servers(uri.hosts, kind.port).map_err(bad)?;
        let scheme = if secure { "https" } else { "http" };
        let base = |server: &Server| {
            let mut url = Url::parse(&format!("{scheme}://{server}/"))
                .map_err(|error| bad(format!("{server} is no host: {error}")))?;
            url.set_path(&format!("{path}/"));
            Ok(url)
        };
        let bases = servers.iter().map(base).collect::<Result<_, OpenError>>()?;
        let plain = Self { servers, bases, credentials: None, file: None, tls: None };
        match &kind.access {
            Some(access) => plain.with_access((kind.topic, access), (uri, secure), config, parameters),
            None if uri.userinfo.is_some() => Err(bad(format!("{} knows no user; leave it out", kind.name))),
            None => Ok(plain),
        }
    }

    /// With users and TLS.
    fn with_access(
        self,
        (topic, access): (&str, &Access),
        (uri, secure): (&Uri<'_>, bool),
        config: &RegistryConfig,
        parameters: &mut Parameters,
    ) -> Result<Self, OpenError> {
        let environment = &*config.environment;
        let mut either =
            |name, variable| parameters.take(name).or_else(|| environment.get(variable).map(str::to_owned));
        let ca = either("ca", access.ca).map(PathBuf::from);
        let identity = match (either("cert", access.cert), either("key", access.key)) {
            (Some(certificate), Some(key)) => Some((certificate.into(), key.into())),
            (None, None) => None,
            _ => {
                return Err(OpenError::Settings(format!(
                    "{topic}: a certificate and its key must be set together or not at all (cert and key in the URI, or \
                     {} and {})",
                    access.cert, access.key
                )));
            }
        };
        let file = environment.get(access.auth_file).filter(|_| uri.userinfo.is_none()).map(PathBuf::from);
        let credentials = match (uri.userinfo, &file) {
            (Some(userinfo), _) => {
                let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
                let wrong =
                    || OpenError::BadUri { uri: redacted(&config.uri), reason: "the user is not UTF-8".to_owned() };
                let text = |text| decoded(text).ok_or_else(wrong);
                Some((text(user)?, SecretString::from(text(password)?)))
            }
            (None, Some(path)) => Some(from_file((topic, access), path).map_err(OpenError::Settings)?),
            (None, None) => environment
                .get(access.auth)
                .map(|pair| {
                    let wrong = || OpenError::Settings(format!("{} must be user:password", access.auth));
                    pair_of(pair).ok_or_else(wrong)
                })
                .transpose()?,
        };
        let tls = secure.then_some(Tls { ca, identity, skip_verify: false });
        Ok(Self { credentials, file, tls, ..self })
    }

    /// What is secret and goes over the network without TLS.
    pub(super) fn unencrypted(&self, kind: &Kind) -> Option<String> {
        let hosts = self.servers.iter().map(|server| server.host.as_str());
        let is_open = self.credentials.is_some() && self.tls.is_none();
        kind.access.as_ref().filter(|_| is_open)?.tls.unencrypted("the password", hosts)
    }

    /// The credentials in the file, if there is one, else those of the settings.
    ///
    /// # Errors
    /// One line that says why there are none.
    pub(super) fn fresh_credentials(&self, kind: &Kind) -> Result<Option<Credentials>, String> {
        match (&self.file, &kind.access) {
            (Some(path), Some(access)) => from_file((kind.topic, access), path).map(Some),
            _ => Ok(self.credentials.clone()),
        }
    }
}

/// The credentials in a file, `user:password`.
///
/// # Errors
/// One line that says why there are none.
fn from_file((topic, access): (&str, &Access), path: &Path) -> Result<Credentials, String> {
    let (shown, variable) = (path.display(), access.auth_file);
    let text = fs::read_to_string(path)
        .map_err(|error| format!("{topic}: {shown} cannot be read: {error}; correct {variable}"))?;
    pair_of(text.trim_end_matches(['\r', '\n']))
        .ok_or_else(|| format!("{topic}: {shown} does not hold user:password; correct it, or {variable}"))
}

fn pair_of(pair: &str) -> Option<Credentials> {
    let (user, password) = pair.split_once(':')?;
    (!user.is_empty()).then(|| (user.to_owned(), SecretString::from(password)))
}

#[cfg(test)]
impl Settings {
    /// The user and the password, for tests.
    pub(in crate::registry) fn user_and_password(&self) -> Option<String> {
        use secrecy::ExposeSecret;
        self.credentials.as_ref().map(|(user, password)| format!("{user} {}", password.expose_secret()))
    }
}
