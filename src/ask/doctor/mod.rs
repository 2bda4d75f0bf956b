//! `doctor`: the usual mistakes of this host, each with its cure.
//!
//! Looking and judging are apart: `look` asks the engine, the registries and the system, and `judge` decides from what
//! was seen, so that its tests are tables. Nothing is written.

mod engine;
mod instances;
mod interfaces;
mod judge;
mod look;
mod mounts;

use std::fmt;
use std::io::Write;

use serde::Serialize;

use super::{Error, Exit, print_json};
use crate::cli::{Ask, Format};
use crate::config::Config;

/// A mistake, and its cure. Both are one line without secrets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which.
    pub about: About,
    /// What is wrong.
    pub text: String,
    /// What to do.
    pub cure: String,
}

/// The kinds of mistakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// The engine cannot be used.
    Engine,
    /// The engine's socket is an old one, or will be after dockerd's next start.
    StaleSocket,
    /// The engine, or a proxy in front of it, refuses a request.
    EngineRights,
    /// Services are registered at an address that others cannot reach.
    Address,
    /// The host's name is a container's ID.
    HostName,
    /// Two instances have one owner.
    Owner,
    /// The TTL is too short for its refresh.
    Ttl,
    /// The Consul agent is that of another host.
    OtherHostsConsul,
    /// A registry cannot be used.
    Registry,
    /// A registry refuses to be read.
    RegistryRights,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n    cure: {}", self.text, self.cure)
    }
}

/// Answers it.
pub(super) fn run(ask: &Ask, out: &mut dyn Write) -> Result<Exit, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let findings = runtime.block_on(doctor(&ask.config));
    match ask.format {
        Format::Json => print_json(out, &serde_json::to_value(&findings).unwrap_or_default())?,
        Format::Table => out.write_all(table(&findings).as_bytes())?,
    }
    Ok(if exit_code(&findings) == 0 { Exit::Well } else { Exit::ToDo })
}

/// Looks for the usual mistakes. Takes a minute at most: each request has a deadline of its own.
pub async fn doctor(config: &Config) -> Vec<Finding> {
    judge::all(&look::look(config).await)
}

/// As lines for people.
#[must_use]
pub fn table(findings: &[Finding]) -> String {
    if findings.is_empty() {
        return "nothing found: the engine, the address, the owner, the TTLs and the registries are as they should be\n"
            .to_owned();
    }
    findings.iter().map(|finding| format!("{finding}\n")).collect()
}

/// The exit code: 0 if nothing was found, 2 if something is to be done.
#[must_use]
pub fn exit_code(findings: &[Finding]) -> u8 {
    if findings.is_empty() { 0 } else { 2 }
}
