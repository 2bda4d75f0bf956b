//! The addresses of Eureka's servers and the credentials: from the URI, then the `EUREKA_*` variables, then the defaults.
//!
//! `eureka[-tls]://user:password@a:8761,b:8761/eureka?ca=…&cert=…&key=…`

use std::time::Duration;

use crate::config::RegistryConfig;
use crate::registry::OpenError;
use crate::registry::advice::TlsNames;
use crate::registry::parameters::{Parameters, decoded};
use crate::registry::uri::{Uri, redacted, root};
use crate::registry::web::{self, Access, Kind};

/// The default path: that of Spring Cloud's server. Netflix's own has `/eureka/v2`.
const DEFAULT_PATH: &str = "/eureka";

/// What is Eureka's own. The default port is that of Spring Cloud's server.
pub(super) const KIND: Kind = Kind {
    name: "Eureka",
    topic: "eureka",
    port: 8761,
    media: "application/json",
    deadline: Duration::from_secs(10),
    access: Some(Access {
        auth: "EUREKA_AUTH",
        auth_file: "EUREKA_AUTH_FILE",
        ca: "EUREKA_CACERT",
        cert: "EUREKA_CLIENT_CERT",
        key: "EUREKA_CLIENT_KEY",
        tls: TlsNames {
            with: "eureka-tls://",
            without: "eureka://",
            authorities: "ca= of the URI, or EUREKA_CACERT",
            certificate: "cert= of the URI, or EUREKA_CLIENT_CERT",
            key: "key= of the URI, or EUREKA_CLIENT_KEY",
        },
    }),
};

/// The settings of a client.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) web: web::Settings,
    /// The path, without a slash at the end.
    pub(super) path: String,
}

impl Settings {
    /// The settings from a URI and the environment.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub(super) fn new(uri: &Uri<'_>, config: &RegistryConfig) -> Result<Self, OpenError> {
        let bad = |reason: String| OpenError::BadUri { uri: redacted(&config.uri), reason };
        let mut parameters = Parameters::read(uri.query).map_err(bad)?;
        let path = decoded(uri.path).ok_or_else(|| bad("its path is not UTF-8".to_owned()))?;
        let path = root(&path).map_err(bad)?;
        let path = if path.is_empty() { DEFAULT_PATH.to_owned() } else { path };
        let secure = uri.scheme.eq_ignore_ascii_case("eureka-tls");
        let web = web::Settings::new(&KIND, (uri, secure), config, &path, &mut parameters)?;
        parameters.finish(&web::Settings::PARAMETERS).map_err(bad)?;
        Ok(Self { web, path })
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::fs;
    use std::sync::Arc;

    use url::Url;

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
            let bases: Vec<_> = settings(uri, &[]).unwrap().web.bases.iter().map(Url::to_string).collect();
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
            let found = settings(uri, &variables).unwrap().web.user_and_password();
            assert_eq!(found.as_deref(), expected, "{uri}");
        }
    }
}
