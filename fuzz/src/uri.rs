//! Any text as a registry's URI, with any variables: it opens, or is refused in one line without its password.
//!
//! The input's first line is the URI, the others are values of variables. What would read a file or
//! open a port is left out: that is no parsing.

use std::ffi::OsString;
use std::sync::{Arc, LazyLock};

use registrator::config::RegistryConfig;
use registrator::event::Events;
use registrator::registry::open;
use tokio::runtime::{Builder, Runtime};

const VARIABLES: [&str; 6] = [
    "CONSUL_HTTP_ADDR",
    "CONSUL_HTTP_AUTH",
    "CONSUL_HTTP_SSL",
    "CONSUL_HTTP_SSL_VERIFY",
    "CONSUL_HTTP_TOKEN",
    "CONSUL_NAMESPACE",
];

/// A registry may begin tasks when it is opened; here, none of them ever runs.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Builder::new_current_thread().enable_all().build().unwrap());

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let uri = lines.next().unwrap_or_default();
    let touches_files = ["ca=", "cert=", "key=", "token=", "file=", "%"].iter().any(|part| uri.contains(part));
    if touches_files || uri.get(..8).is_some_and(|scheme| scheme.eq_ignore_ascii_case("embedded")) {
        return;
    }
    let variables = VARIABLES.iter().zip(lines);
    let config = RegistryConfig {
        uri: uri.to_owned(),
        owner: "host".to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::new(variables.map(|(name, value)| (OsString::from(name), OsString::from(value))).collect()),
    };
    let _context = RUNTIME.enter();
    if let Err(error) = open(&config, &Events::new(|_| {})) {
        let line = error.to_string();
        assert!(!line.contains(char::is_control), "a broken line: {line:?}");
    }
}
