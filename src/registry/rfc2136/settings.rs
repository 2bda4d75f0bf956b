//! The server, the zone and the key: from the URI, then the variable of the secret, then the defaults.
//!
//! `rfc2136://server[:53],server/zone?tsig-keyname=…&tsig-secret-alg=…&tsig-secret-file=…&record-ttl=…&ptr-zone=…`

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hickory_proto::rr::Name;
use hickory_proto::rr::rdata::tsig::TsigAlgorithm;
use secrecy::SecretString;

use crate::config::RegistryConfig;
use crate::registry::OpenError;
use crate::registry::dns;
use crate::registry::parameters::{Parameters, decoded};
use crate::registry::servers::{Server, servers};
use crate::registry::uri::{Uri, redacted};

use super::claim;

/// The port of DNS.
const DEFAULT_PORT: u16 = 53;
/// The TTL of records in seconds, where nothing says another.
const DEFAULT_TTL: u32 = 60;
/// The variable of the key's secret.
pub(super) const SECRET: &str = "RFC2136_TSIG_SECRET";

/// The parameters of the URI.
const PARAMETERS: [&str; 5] = ["tsig-keyname", "tsig-secret-alg", "tsig-secret-file", "record-ttl", "ptr-zone"];

/// The settings of one zone.
#[derive(Clone)]
pub(super) struct Settings {
    /// The primary servers of the zone; never empty. The next is asked when one does not answer.
    pub(super) servers: Vec<Server>,
    /// The zone, in lower case, with the dot at its end.
    pub(super) zone: Name,
    /// The zones of reverse names that get PTR records.
    pub(super) ptr_zones: Vec<Name>,
    /// The TTL of records, in seconds.
    pub(super) ttl: u32,
    /// The key that messages are signed with, if they are.
    pub(super) key: Option<KeySettings>,
}

/// A TSIG key as the settings name it.
#[derive(Clone)]
pub(super) struct KeySettings {
    /// Its name, as the server knows it.
    pub(super) name: Name,
    pub(super) algorithm: TsigAlgorithm,
    pub(super) secret: Secret,
}

/// Where a key's secret is, in base64.
#[derive(Clone)]
pub(super) enum Secret {
    /// In the variable.
    Fixed(SecretString),
    /// In this file, which may change.
    File(PathBuf),
}

impl Settings {
    /// The settings from a URI and the environment.
    ///
    /// # Errors
    /// When the URI or the variable cannot be used.
    pub(super) fn new(uri: &Uri<'_>, config: &RegistryConfig) -> Result<Self, OpenError> {
        let bad = |reason: String| OpenError::BadUri { uri: redacted(&config.uri), reason };
        if uri.userinfo.is_some() {
            return Err(bad("DNS knows no user: name a key with tsig-keyname=".to_owned()));
        }
        if uri.hosts.is_empty() {
            return Err(bad("the server is missing, as in rfc2136://10.0.0.2/services.example.com".to_owned()));
        }
        let servers = servers(uri.hosts, DEFAULT_PORT).map_err(bad)?;
        let path = decoded(uri.path).ok_or_else(|| bad("its path is not UTF-8".to_owned()))?;
        let zone = match path.trim_matches('/') {
            "" => return Err(bad("the zone is missing, as in rfc2136://10.0.0.2/services.example.com".to_owned())),
            zone => domain(zone).map_err(bad)?,
        };
        if claim::owner_string(&config.owner).is_none() {
            return Err(OpenError::Settings(format!(
                "rfc2136: the owner of {} bytes does not fit into a TXT record; give a shorter -owner",
                config.owner.len()
            )));
        }
        let mut parameters = Parameters::read(uri.query).map_err(bad)?;
        if parameters.take("tsig-secret").is_some() {
            let cure = format!("write it to {SECRET}, or to a file that tsig-secret-file= names");
            return Err(bad(format!("a URI is shown to others, so the secret is no parameter: {cure}")));
        }
        let ttl = match parameters.take("record-ttl") {
            None => DEFAULT_TTL,
            Some(text) => {
                dns::ttl_of(&text).ok_or_else(|| bad(format!("record-ttl={text:?} is no number of seconds")))?
            }
        };
        let ptr_zones = parameters.take("ptr-zone").unwrap_or_default();
        let ptr_zones = ptr_zones.split(',').filter(|zone| !zone.is_empty()).map(|zone| {
            let zone = domain(zone)?;
            if zone.to_ascii().ends_with(".arpa.") {
                Ok(zone)
            } else {
                Err(format!("ptr-zone={zone} is no zone below arpa"))
            }
        });
        let ptr_zones = ptr_zones.collect::<Result<_, _>>().map_err(bad)?;
        let key = key(&mut parameters, config).map_err(|(of_uri, reason)| {
            if of_uri { bad(reason) } else { OpenError::Settings(format!("rfc2136: {reason}")) }
        })?;
        parameters.finish(&PARAMETERS).map_err(bad)?;
        Ok(Self { servers, zone, ptr_zones, ttl, key })
    }
}

/// The key, if one is named; otherwise why not, and whether that is the URI's fault.
fn key(parameters: &mut Parameters, config: &RegistryConfig) -> Result<Option<KeySettings>, (bool, String)> {
    let of_uri = |reason: String| (true, reason);
    let (name, algorithm, file) =
        (parameters.take("tsig-keyname"), parameters.take("tsig-secret-alg"), parameters.take("tsig-secret-file"));
    let Some(name) = name else {
        if algorithm.is_some() || file.is_some() {
            return Err(of_uri("it has settings of a key, but not the key's name: tsig-keyname=".to_owned()));
        }
        return Ok(None);
    };
    let shown = name.escape_debug().to_string();
    let name = domain(&name).map_err(|_| of_uri(format!("\"{shown}\" is no name of a key")))?;
    let algorithm = match algorithm.as_deref().unwrap_or("hmac-sha256").trim_end_matches('.') {
        "hmac-sha256" => TsigAlgorithm::HmacSha256,
        "hmac-sha384" => TsigAlgorithm::HmacSha384,
        "hmac-sha512" => TsigAlgorithm::HmacSha512,
        other => {
            let known = "hmac-sha256, hmac-sha384 and hmac-sha512 are";
            return Err(of_uri(format!("tsig-secret-alg={other:?} is not supported; {known}")));
        }
    };
    let secret = match (file, config.environment.get(SECRET)) {
        (Some(file), _) if !file.is_empty() => Secret::File(file.into()),
        (_, Some(secret)) => {
            secret_of(secret).map_err(|reason| (false, format!("{SECRET} {reason}")))?;
            Secret::Fixed(SecretString::from(secret))
        }
        _ => {
            let cure = format!("set {SECRET}, or tsig-secret-file= in the URI");
            return Err((false, format!("the key {shown} has no secret: {cure}")));
        }
    };
    Ok(Some(KeySettings { name, algorithm, secret }))
}

/// A domain with a dot at its end, in lower case.
fn domain(text: &str) -> Result<Name, String> {
    let zone = dns::zone(text)?;
    Name::from_ascii(format!("{zone}.")).map_err(|error| format!("{text:?} is no zone: {error}"))
}

/// The bytes of a secret; never part of the error.
pub(super) fn secret_of(text: &str) -> Result<Vec<u8>, String> {
    match STANDARD.decode(text.trim()) {
        Ok(secret) if !secret.is_empty() => Ok(secret),
        _ => Err("holds no base64, which a key's secret is written in".to_owned()),
    }
}

#[cfg(test)]
mod tests;
