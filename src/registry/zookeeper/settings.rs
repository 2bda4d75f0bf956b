//! The addresses of ZooKeeper and the credentials: from the URI, then the `ZOOKEEPER_*` variables, then the defaults.
//!
//! `zookeeper[-tls]://user:password@a:2181,b:2181/path?acl=…&auth=…&ca=…&cert=…&key=…`

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use zookeeper_client::{Acl, Acls, Permission, TlsOptions};

use crate::config::RegistryConfig;
use crate::http::{Tls, tls_config};
use crate::registry::OpenError;
use crate::registry::advice::TlsNames;
use crate::registry::parameters::{Parameters, decoded};
use crate::registry::reader::Access;
use crate::registry::servers::{Server, place, servers};
use crate::registry::tls_files::{TlsFiles, TlsVariables};
use crate::registry::uri::{Uri, redacted, root};

use super::spelling::is_illegal;

/// The default address of a server.
const DEFAULT_PORT: u16 = 2181;

/// The session timeout without `-ttl`: as in the replaced program.
const DEFAULT_SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// The parameters of the URI.
const PARAMETERS: [&str; 5] = ["acl", "auth", "ca", "cert", "key"];

/// The settings of a session.
pub(super) struct Settings {
    /// The servers; never empty.
    pub(super) servers: Vec<Server>,
    /// The path of all nodes: absolute, empty for the root.
    pub(super) base: String,
    /// The session timeout. The servers limit it to 2 to 20 of their ticks.
    pub(super) session_timeout: Duration,
    /// The user, if given.
    pub(super) credentials: Option<Credentials>,
    /// The access rights of our nodes.
    pub(super) acl: NodeAcl,
    /// The TLS settings, if TLS is used: for the client, and for our own connections.
    pub(super) tls: Option<Tls>,
    /// Whether the session itself watches all below the path.
    pub(super) watched: bool,
}

/// The names of the TLS settings.
pub(super) const TLS_NAMES: TlsNames = TlsNames {
    with: "zookeeper-tls://",
    without: "zookeeper://",
    authorities: "ca= of the URI, or ZOOKEEPER_CACERT",
    certificate: "cert= of the URI, or ZOOKEEPER_CLIENT_CERT",
    key: "key= of the URI, or ZOOKEEPER_CLIENT_KEY",
};

/// The variables that name the files of TLS.
const VARIABLES: TlsVariables = TlsVariables {
    registry: "zookeeper",
    ca: "ZOOKEEPER_CACERT",
    certificate: "ZOOKEEPER_CLIENT_CERT",
    key: "ZOOKEEPER_CLIENT_KEY",
};

/// A user, and how it authenticates.
pub(super) struct Credentials {
    pub(super) scheme: Scheme,
    pub(super) user: String,
    pub(super) password: SecretString,
}

/// How a user authenticates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// ZooKeeper's own `digest` scheme.
    Digest,
    /// SASL with DIGEST-MD5.
    Sasl,
}

/// The access rights of our nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NodeAcl {
    /// Everybody has all rights, as with the replaced program.
    Open,
    /// We have all rights, others may read.
    Readable,
    /// We have all rights, others none.
    Private,
}

impl NodeAcl {
    /// In the client's form.
    pub(super) fn acls(self) -> Acls<'static> {
        static READABLE: [Acl; 2] =
            [Acl::new_const(Permission::ALL, "auth", ""), Acl::new_const(Permission::READ, "world", "anyone")];
        match self {
            Self::Open => Acls::anyone_all(),
            Self::Readable => Acls::new(&READABLE),
            Self::Private => Acls::creator_all(),
        }
    }
}

impl Settings {
    /// The settings from a URI and the environment.
    pub(super) fn new(uri: &Uri<'_>, config: &RegistryConfig) -> Result<Self, OpenError> {
        let environment = &*config.environment;
        let bad = |reason: String| OpenError::BadUri { uri: redacted(&config.uri), reason };
        let mut parameters = Parameters::read(uri.query).map_err(bad)?;
        let scheme = match parameters.take("auth").as_deref() {
            None | Some("digest") => Scheme::Digest,
            Some("sasl") => Scheme::Sasl,
            // Not quoted, because some people write the user and password here.
            Some(_) => return Err(bad("auth is neither digest nor sasl".to_owned())),
        };
        let credentials = match uri.userinfo {
            Some(userinfo) => {
                let userinfo = decoded(userinfo).ok_or_else(|| bad("the user is not UTF-8".to_owned()))?;
                Some(credentials(&userinfo, scheme).ok_or_else(|| bad("it has a user without a password".to_owned()))?)
            }
            None => environment
                .get("ZOOKEEPER_AUTH")
                .map(|pair| {
                    let reason = "ZOOKEEPER_AUTH must be user:password";
                    credentials(pair, scheme).ok_or_else(|| OpenError::Settings(reason.to_owned()))
                })
                .transpose()?,
        };
        let files = TlsFiles::take(&mut parameters, environment, &VARIABLES)?;
        let known = credentials.is_some() || files.identity.is_some();
        let acl = match parameters.take("acl").as_deref() {
            None if credentials.is_some() => NodeAcl::Readable,
            None | Some("open") => NodeAcl::Open,
            Some("readable") if known => NodeAcl::Readable,
            Some("private") if known => NodeAcl::Private,
            Some(acl @ ("readable" | "private")) => {
                return Err(bad(format!("acl={acl} needs a user, as zookeeper://user:password@host has one")));
            }
            Some(other) => return Err(bad(format!("acl={other} is none of open, readable and private"))),
        };
        parameters.finish(&PARAMETERS).map_err(bad)?;
        Ok(Self {
            servers: servers(uri.hosts, DEFAULT_PORT).map_err(bad)?,
            base: base(uri.path).map_err(bad)?,
            session_timeout: config.ttl.unwrap_or(DEFAULT_SESSION_TIMEOUT),
            credentials,
            acl,
            tls: if uri.scheme.eq_ignore_ascii_case("zookeeper-tls") { Some(tls(files)?) } else { None },
            watched: true,
        })
    }

    /// The settings for a reader, which has no path of its own and watches what it reads.
    ///
    /// # Errors
    /// When the servers or the files of TLS cannot be used.
    pub(super) fn of_access(access: &Access) -> Result<Self, OpenError> {
        let servers = servers(&access.hosts(), DEFAULT_PORT)
            .map_err(|reason| OpenError::Settings(format!("zookeeper: {reason}; correct {}", access.names.address)))?;
        if access.secure {
            tls_options(&access.tls).map_err(|reason| OpenError::Settings(format!("zookeeper: {reason}")))?;
        }
        Ok(Self {
            servers,
            base: String::new(),
            session_timeout: DEFAULT_SESSION_TIMEOUT,
            credentials: None,
            acl: NodeAcl::Open,
            tls: access.secure.then(|| access.tls.clone()),
            watched: false,
        })
    }

    /// What is secret and goes over the network without TLS. By SASL, only a proof of the password goes.
    pub(super) fn unencrypted(&self) -> Option<String> {
        let digest = self.credentials.as_ref().is_some_and(|credentials| credentials.scheme == Scheme::Digest);
        let hosts = self.servers.iter().map(|server| server.host.as_str());
        if digest && self.tls.is_none() { TLS_NAMES.unencrypted("the password", hosts) } else { None }
    }

    /// The servers, for a message.
    pub(super) fn place(&self) -> String {
        place(&self.servers)
    }
}

/// `user:password`.
fn credentials(pair: &str, scheme: Scheme) -> Option<Credentials> {
    let (user, password) = pair.split_once(':')?;
    (!user.is_empty()).then(|| Credentials { scheme, user: user.to_owned(), password: SecretString::from(password) })
}

impl Credentials {
    /// `user:password`, in the digest scheme's form.
    pub(super) fn pair(&self) -> SecretString {
        SecretString::from(format!("{}:{}", self.user, self.password.expose_secret()))
    }
}

/// The path of all nodes: decoded, without a trailing slash. Doubled slashes count once.
fn base(path: &str) -> Result<String, String> {
    let path = root(&decoded(path).ok_or("its path is not UTF-8")?)?;
    if path.split('/').any(|name| name.contains(is_illegal)) {
        return Err("its path is none that ZooKeeper could have".to_owned());
    }
    Ok(path)
}

/// How to speak TLS with these files, which are found to be usable.
fn tls(files: TlsFiles) -> Result<Tls, OpenError> {
    let TlsFiles { ca: Some(ca), identity } = files else {
        return Err(OpenError::Settings(
            "zookeeper-tls: name the PEM file of the authority to trust, as ?ca=/path in the URI or in ZOOKEEPER_CACERT"
                .to_owned(),
        ));
    };
    let tls = Tls { ca: Some(ca), identity, skip_verify: false };
    tls_options(&tls).map_err(|reason| OpenError::Settings(format!("zookeeper-tls: {reason}")))?;
    Ok(tls)
}

/// TLS as the client takes it. The files are read for each connection, so they may be renewed.
///
/// # Errors
/// Which file cannot be used, and why.
pub(super) fn tls_options(tls: &Tls) -> Result<TlsOptions, String> {
    tls_config(tls).map_err(|error| TLS_NAMES.of_files(&error))?;
    // Unreadable files were already reported.
    let unusable = |path: &Path, reason: &dyn fmt::Display| format!("{}: {reason}", path.display());
    let read = |path: &Path| fs::read_to_string(path).map_err(|error| unusable(path, &error));
    let mut options = TlsOptions::new();
    if let Some(ca) = &tls.ca {
        options = options.with_pem_ca(&read(ca)?).map_err(|error| unusable(ca, &error))?;
    }
    if let Some((certificate, key)) = &tls.identity {
        options = options
            .with_pem_identity(&read(certificate)?, &read(key)?)
            .map_err(|error| unusable(certificate, &error))?;
    }
    Ok(options)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::sync::Arc;

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

    fn place(uri: &str) -> (String, String) {
        let settings = settings(uri, &[]).map_err(|reason| panic!("{uri}: {reason}")).unwrap();
        (settings.place(), settings.base)
    }

    #[test]
    fn servers_and_path_come_from_the_uri() {
        for (uri, servers, base) in [
            ("zookeeper:", "127.0.0.1:2181", ""),
            ("zookeeper://h", "h:2181", ""),
            ("zookeeper://h/", "h:2181", ""),
            ("zookeeper://h:1/a", "h:1", "/a"),
            ("zookeeper://h:1/a/b/", "h:1", "/a/b"),
            ("zookeeper://a:1,b,[::1]:3,[fe80::1]/x", "a:1,b:2181,[::1]:3,[fe80::1]:2181", "/x"),
            ("zookeeper://u:p@h/a%20b/%C3%BC", "h:2181", "/a b/ü"),
            ("zookeeper:///only/path", "127.0.0.1:2181", "/only/path"),
        ] {
            assert_eq!(place(uri), (servers.to_owned(), base.to_owned()), "{uri}");
        }
    }

    #[test]
    fn what_cannot_be_used_is_said_in_one_line() {
        for (uri, reason) in [
            ("zookeeper://h:0", "\"h:0\" is no host:port, an IPv6 address in brackets"),
            ("zookeeper://h:x", "\"h:x\" is no host:port, an IPv6 address in brackets"),
            ("zookeeper://a,,b", "\"\" is no host:port, an IPv6 address in brackets"),
            ("zookeeper://::1", "\"::1\" is no host:port, an IPv6 address in brackets"),
            ("zookeeper://[h]:1", "\"[h]:1\" is no host:port, an IPv6 address in brackets"),
            (
                "zookeeper://h/a/../b",
                "\"/a/../b\" is no path: it begins with a slash, and has no part . or .. and no control character",
            ),
            (
                "zookeeper://h/a%00",
                "\"/a\\0\" is no path: it begins with a slash, and has no part . or .. and no control character",
            ),
            ("zookeeper://h/a%EE%80%80", "its path is none that ZooKeeper could have"),
            ("zookeeper://h/a%FF", "its path is not UTF-8"),
            ("zookeeper://u@h", "it has a user without a password"),
            ("zookeeper://h?acl=all", "acl=all is none of open, readable and private"),
            ("zookeeper://h?acl=private", "acl=private needs a user, as zookeeper://user:password@host has one"),
            ("zookeeper://h?auth=gssapi", "auth is neither digest nor sasl"),
            (
                "zookeeper://h?chroot=x",
                "it does not know the parameter \"chroot\"; it knows acl, auth, ca, cert, key, ttl, policy",
            ),
        ] {
            let shown = redacted(uri);
            assert_eq!(settings(uri, &[]).err(), Some(format!("bad adapter uri: {shown}: {reason}")));
        }
    }

    #[test]
    fn tls_needs_an_authority_and_readable_files() {
        let reason = |uri: &str, variables: &[_]| settings(uri, variables).err().unwrap();
        assert!(reason("zookeeper-tls://h", &[]).starts_with("zookeeper-tls: name the PEM file"));
        assert_eq!(
            reason("zookeeper-tls://h?ca=/nowhere", &[]),
            "zookeeper-tls: the authorities to trust cannot be read from /nowhere: No such file or directory (os error 2); \
             correct ca= of the URI, or ZOOKEEPER_CACERT"
        );
        assert!(reason("zookeeper-tls://h", &[("ZOOKEEPER_CACERT", "/nowhere")]).contains("/nowhere"));
        assert_eq!(
            reason("zookeeper-tls://h?ca=/dev/null", &[]),
            "zookeeper-tls: the authorities to trust cannot be read from /dev/null: it holds no certificate; correct ca= of \
             the URI, or ZOOKEEPER_CACERT"
        );
        assert!(reason("zookeeper-tls://h?cert=/x", &[]).contains("set together or not at all"));
    }

    #[test]
    fn a_user_comes_from_the_uri_or_the_environment_and_closes_the_nodes_to_others() {
        let of = |uri: &str, variables: &[_]| {
            let settings = settings(uri, variables).unwrap();
            let pair = settings.credentials.map(|known| (known.pair().expose_secret().to_owned(), known.scheme));
            (pair, settings.acl)
        };
        let digest = |pair: &str| Some((pair.to_owned(), Scheme::Digest));
        assert_eq!(of("zookeeper://h", &[]), (None, NodeAcl::Open));
        assert_eq!(of("zookeeper://u:p%3Aw%40@h", &[]), (digest("u:p:w@"), NodeAcl::Readable));
        let variable = [("ZOOKEEPER_AUTH", "e:x:y")];
        assert_eq!(of("zookeeper://h", &variable), (digest("e:x:y"), NodeAcl::Readable));
        assert_eq!(of("zookeeper://u:p@h?acl=open", &variable), (digest("u:p"), NodeAcl::Open));
        assert_eq!(of("zookeeper://u:p@h?acl=private", &[]), (digest("u:p"), NodeAcl::Private));
        let sasl = Some(("u:p".to_owned(), Scheme::Sasl));
        assert_eq!(of("zookeeper://u:p@h?auth=sasl", &[]), (sasl, NodeAcl::Readable));
        let missing = settings("zookeeper://h", &[("ZOOKEEPER_AUTH", "me")]).err();
        assert_eq!(missing.as_deref(), Some("ZOOKEEPER_AUTH must be user:password"));
    }
}
