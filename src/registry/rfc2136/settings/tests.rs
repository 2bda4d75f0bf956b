use std::ffi::OsString;
use std::sync::Arc;

use crate::config::{Environment, RegistryConfig};
use crate::registry::servers::place;
use crate::registry::uri::Uri;

use super::*;

const VALID: &str = "c2VzYW1l";

fn config(uri: &str, secret: Option<&str>) -> RegistryConfig {
    let environment: Environment =
        secret.into_iter().map(|secret| (OsString::from(SECRET), OsString::from(secret))).collect();
    RegistryConfig {
        uri: uri.to_owned(),
        owner: "host".to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::new(environment),
    }
}

fn settings(uri: &str, secret: Option<&str>) -> Result<Settings, String> {
    Settings::new(&Uri::split(uri).unwrap(), &config(uri, secret)).map_err(|error| error.to_string())
}

#[test]
fn a_uri_names_the_server_the_zone_and_the_key() {
    let plain = settings("rfc2136://10.0.0.2/Services.Example.", None).unwrap();
    assert_eq!((place(&plain.servers), plain.zone.to_ascii()), ("10.0.0.2:53".into(), "services.example.".into()));
    assert!(plain.key.is_none() && plain.ptr_zones.is_empty() && plain.ttl == 60);

    let several = settings("rfc2136://10.0.0.2,[2001:db8::2]:5353/example", None).unwrap();
    assert_eq!(place(&several.servers), "10.0.0.2:53,[2001:db8::2]:5353");

    let uri = "rfc2136://ns.example:5353/example/?tsig-keyname=k1&tsig-secret-alg=hmac-sha512&record-ttl=5&\
               ptr-zone=10.in-addr.arpa,2.0.192.in-addr.arpa";
    let full = settings(uri, Some(VALID)).unwrap();
    let key = full.key.unwrap();
    assert_eq!((key.name.to_ascii(), key.algorithm), ("k1.".to_owned(), TsigAlgorithm::HmacSha512));
    assert!(matches!(key.secret, Secret::Fixed(_)));
    assert_eq!((full.ttl, full.ptr_zones.len()), (5, 2));

    let file = settings("rfc2136://h/example?tsig-keyname=k1&tsig-secret-file=/run/key", Some(VALID)).unwrap();
    assert!(matches!(file.key.unwrap().secret, Secret::File(path) if path == *"/run/key"));
}

#[test]
fn a_mistake_is_one_line_that_says_what_to_do() {
    for (uri, secret, said) in [
        ("rfc2136://h", None, "the zone is missing, as in rfc2136://10.0.0.2/services.example.com"),
        ("rfc2136:///example", None, "the server is missing, as in rfc2136://10.0.0.2/services.example.com"),
        ("rfc2136://a,,b/example", None, "\"\" is no host:port"),
        (
            "rfc2136://h/a..b",
            None,
            "\"a..b\" is no zone: it is written as services.example.com, with at most 120 bytes",
        ),
        ("rfc2136://h/example?tsig-keyname=k1", None, "set RFC2136_TSIG_SECRET, or tsig-secret-file= in the URI"),
        ("rfc2136://h/example?tsig-keyname=k1", Some("s e s"), "RFC2136_TSIG_SECRET holds no base64"),
        ("rfc2136://h/example?tsig-secret-file=/f", None, "but not the key's name: tsig-keyname="),
        ("rfc2136://h/example?tsig-keyname=k1&tsig-secret=c2U", None, "the secret is no parameter: write it to"),
        (
            "rfc2136://h/example?tsig-keyname=k1&tsig-secret-alg=hmac-md5",
            Some(VALID),
            "hmac-sha256, hmac-sha384 and hmac-sha512 are",
        ),
        ("rfc2136://h/example?record-ttl=1h", None, "record-ttl=\"1h\" is no number of seconds"),
        ("rfc2136://h/example?ptr-zone=example.com", None, "is no zone below arpa"),
        ("rfc2136://me:hunter2@h/example", None, "DNS knows no user: name a key with tsig-keyname="),
        ("rfc2136://h/example?x=1", None, "it does not know the parameter \"x\""),
    ] {
        let Err(line) = settings(uri, secret) else { panic!("{uri} is taken") };
        assert!(line.contains(said) && !line.contains('\n') && !line.contains("hunter2"), "{uri}: {line}");
    }
    let long = RegistryConfig { owner: "é".repeat(60), ..config("rfc2136://h/example", None) };
    let Err(OpenError::Settings(line)) = Settings::new(&Uri::split(&long.uri).unwrap(), &long) else {
        panic!("it is taken")
    };
    assert!(line.contains("give a shorter -owner"), "{line}");
}
