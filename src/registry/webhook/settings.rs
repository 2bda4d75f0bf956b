//! The provider and the zone: from the URI, then the `WEBHOOK_*` variables, then the defaults.
//!
//! `webhook+http://user:password@localhost:8888/zone?record-ttl=…&srv=off&interval=…`

use std::time::Duration;

use crate::config::RegistryConfig;
use crate::registry::OpenError;
use crate::registry::advice::TlsNames;
use crate::registry::dns;
use crate::registry::parameters::{Parameters, decoded};
use crate::registry::uri::{Uri, redacted};
use crate::registry::web::{self, Access, Kind};
use crate::service::duration;

use super::claim;
use super::names::Names;

/// The media type of the contract.
pub(super) const MEDIA: &str = "application/external.dns.webhook+json;version=1";
/// The scheme with TLS.
const SECURE: &str = "webhook+https";
/// The TTL of records in seconds, where nothing says another.
const DEFAULT_TTL: u32 = 60;
/// How often the records are looked at, where nothing says how often. external-dns does it every minute.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);

/// The parameters of the URI.
const PARAMETERS: [&str; 6] = ["record-ttl", "srv", "interval", "ca", "cert", "key"];

/// What is this registry's own. The port is the one that external-dns recommends.
pub(super) const KIND: Kind = Kind {
    name: "webhook provider",
    topic: "webhook",
    port: 8888,
    media: MEDIA,
    deadline: Duration::from_secs(20),
    access: Some(Access {
        auth: "WEBHOOK_AUTH",
        auth_file: "WEBHOOK_AUTH_FILE",
        ca: "WEBHOOK_CACERT",
        cert: "WEBHOOK_CLIENT_CERT",
        key: "WEBHOOK_CLIENT_KEY",
        tls: TlsNames {
            with: "webhook+https://",
            without: "webhook+http://",
            authorities: "ca= of the URI, or WEBHOOK_CACERT",
            certificate: "cert= of the URI, or WEBHOOK_CLIENT_CERT",
            key: "key= of the URI, or WEBHOOK_CLIENT_KEY",
        },
    }),
};

/// The settings of one zone.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) web: web::Settings,
    pub(super) names: Names,
    /// The TTL of records, in seconds.
    pub(super) ttl: u32,
    /// Whether services have SRV records.
    pub(super) srv: bool,
    /// How often the records are looked at.
    pub(super) interval: Duration,
}

impl Settings {
    /// The settings from a URI and the environment.
    ///
    /// # Errors
    /// One line that says what is wrong.
    pub(super) fn new(uri: &Uri<'_>, config: &RegistryConfig) -> Result<Self, OpenError> {
        let bad = |reason: String| OpenError::BadUri { uri: redacted(&config.uri), reason };
        let path = decoded(uri.path).ok_or_else(|| bad("its path is not UTF-8".to_owned()))?;
        let zone = match path.trim_matches('/') {
            "" => {
                let example = "webhook+http://localhost:8888/services.example.com";
                return Err(bad(format!("the zone is missing, as in {example}")));
            }
            zone => dns::zone(zone).map_err(bad)?,
        };
        if !claim::fits(&config.owner) {
            return Err(OpenError::Settings(format!(
                "webhook: the owner of {} bytes does not fit into a TXT record; give a shorter -owner",
                config.owner.len()
            )));
        }
        let mut parameters = Parameters::read(uri.query).map_err(bad)?;
        let ttl = match parameters.take("record-ttl") {
            None => DEFAULT_TTL,
            Some(text) => {
                dns::ttl_of(&text).ok_or_else(|| bad(format!("record-ttl={text:?} is no number of seconds")))?
            }
        };
        let srv = match parameters.take("srv").as_deref() {
            None | Some("on") => true,
            Some("off") => false,
            Some(other) => return Err(bad(format!("srv={other:?} is neither on nor off"))),
        };
        let interval = match parameters.take("interval") {
            None => DEFAULT_INTERVAL,
            Some(text) => duration::parse(&text)
                .filter(|interval| !interval.is_zero())
                .ok_or_else(|| bad(format!("interval={text:?} is no duration such as 30s")))?,
        };
        let secure = uri.scheme.eq_ignore_ascii_case(SECURE);
        let web = web::Settings::new(&KIND, (uri, secure), config, "", &mut parameters)?;
        parameters.finish(&PARAMETERS).map_err(bad)?;
        if web.servers.len() > 1 {
            return Err(bad("a provider is one server: name it alone, or give each a URI of its own".to_owned()));
        }
        Ok(Self { web, names: Names { zone }, ttl, srv, interval })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn settings(uri: &str, owner: &str) -> Result<Settings, String> {
        let config = RegistryConfig {
            uri: uri.to_owned(),
            owner: owner.to_owned(),
            hostname: "host".to_owned(),
            record_owner: true,
            ttl: None,
            ttl_refresh: None,
            environment: Arc::default(),
        };
        Settings::new(&Uri::split(uri).unwrap(), &config).map_err(|error| error.to_string())
    }

    #[test]
    fn a_uri_names_the_provider_and_the_zone() {
        for (uri, base, zone) in [
            ("webhook+http:///Example.com.", "http://127.0.0.1:8888/", "example.com"),
            ("webhook+http://h/example.com", "http://h:8888/", "example.com"),
            ("webhook+https://[::1]:1/a.b/", "https://[::1]:1/", "a.b"),
            ("webhook+HTTPS://h:1/a.b", "https://h:1/", "a.b"),
        ] {
            let settings = settings(uri, "host").unwrap();
            let bases: Vec<_> = settings.web.bases.iter().map(ToString::to_string).collect();
            assert_eq!((bases.join(" ").as_str(), settings.names.zone.as_str()), (base, zone), "{uri}");
            assert_eq!((settings.ttl, settings.srv, settings.interval.as_secs()), (60, true, 30));
        }
        let found = settings("webhook+http://u:p@h/a.b?record-ttl=300&srv=off&interval=2m", "host").unwrap();
        assert_eq!((found.ttl, found.srv, found.interval.as_secs()), (300, false, 120));
        assert_eq!(found.web.user_and_password().as_deref(), Some("u p"));
    }

    #[test]
    fn what_cannot_be_used_is_said_in_one_line() {
        let long = "o".repeat(61);
        for (uri, owner, part) in [
            ("webhook+http://h", "o", "the zone is missing, as in webhook+http://localhost:8888/services.example.com"),
            ("webhook+http://h/a_b..c", "o", "is no zone: it is written as services.example.com"),
            ("webhook+http://h/example.com", long.as_str(), "give a shorter -owner"),
            ("webhook+http://h,i/example.com", "o", "a provider is one server"),
            ("webhook+http://h/example.com?srv=no", "o", "srv=\"no\" is neither on nor off"),
            ("webhook+http://h/example.com?record-ttl=0", "o", "record-ttl=\"0\" is no number of seconds"),
            ("webhook+http://h/example.com?interval=0s", "o", "interval=\"0s\" is no duration such as 30s"),
            (
                "webhook+http://h/example.com?txt-owner-id=x",
                "o",
                "does not know the parameter \"txt-owner-id\"; it knows record-ttl, srv, interval, ca, cert, key, ttl",
            ),
        ] {
            let said = settings(uri, owner).unwrap_err();
            assert!(said.contains(part), "{uri}: {said}");
        }
    }
}
