//! What the end-to-end tests share: the program, a Consul of its own for each test, and a way to
//! see of that Consul only what belongs to the test, since every test sees every container.

#![allow(unreachable_pub, reason = "a module of several test programs")]
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot be set up has failed")]

pub mod registry;
pub mod status;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use testkit::consul::Consul;
use testkit::docker::Container;
use testkit::program::Program;

/// How long anything may take that should happen at once; machines are slow at times.
pub const SOON: Duration = Duration::from_secs(30);

/// The host's name in these tests: not the machine's, so that nothing depends on it.
pub const HOST: &str = "hostname";

/// The host's address in these tests.
pub const IP: &str = "192.168.1.102";

/// Runs the program with these options against this registry.
pub fn registrator(uri: &str, options: &[&str]) -> Program {
    registrator_with(uri, options, &[])
}

/// Runs the program with these options against these registries.
pub fn registrator_with_uris(uris: &[String], options: &[&str]) -> Program {
    let (last, others) = uris.split_last().unwrap();
    let options: Vec<_> = options.iter().copied().chain(others.iter().map(String::as_str)).collect();
    registrator_with(last, &options, &[])
}

/// Runs the program with these options and variables against this registry.
pub fn registrator_with(uri: &str, options: &[&str], environment: &[(&str, &str)]) -> Program {
    let mut arguments = vec!["-hostname", HOST, "-ip", IP];
    arguments.extend(options);
    arguments.push(uri);
    Program::start(Path::new(env!("CARGO_BIN_EXE_registrator")), arguments, environment.iter().copied())
}

/// Where the embedded registry of a running program serves HTTP and DNS, as it says.
pub async fn addresses(program: &Program) -> (SocketAddr, SocketAddr) {
    served(&program.wait_for("embedded: HTTP on ").await).unwrap()
}

/// The addresses for HTTP and DNS of a line of the log that tells them.
pub fn served(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let (http, dns) = line.split_once("embedded: HTTP on ")?.1.split_once(", DNS on ")?;
    Some((http.parse().ok()?, dns.trim().parse().ok()?))
}

/// The ID that a container's port has by default.
pub fn id(container: &Container, port: &str) -> String {
    format!("{HOST}:{}:{port}", container.name)
}

/// The services of this Consul whose ID contains `mark`, by ID.
pub async fn services(consul: &Consul, mark: &str) -> BTreeMap<String, Value> {
    consul.services().await.into_iter().filter(|(id, _)| id.contains(mark)).collect()
}

/// Their IDs.
pub async fn ids(consul: &Consul, mark: &str) -> BTreeSet<String> {
    services(consul, mark).await.into_keys().collect()
}

/// The IDs that are expected.
pub fn set<I: Into<String>>(ids: impl IntoIterator<Item = I>) -> BTreeSet<String> {
    ids.into_iter().map(Into::into).collect()
}
