//! `support-dump`: what a report of a fault needs, as an archive, without secrets.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use serde::Serialize;

use super::dump::{self, Secrets, Text};
use super::source::Source;
use super::{Error, Exit, config_show};
use crate::cli::{Ask, VERSION};
use crate::status::look;

/// Answers it: makes the archive in the current folder, and says what is in it.
pub(super) fn run(ask: &Ask, out: &mut dyn Write) -> Result<Exit, Error> {
    let source = Source::open(ask)?;
    let mut texts = Vec::new();
    let mut add = |name: &str, what: &str, content: Result<String, Error>| {
        let content = content.unwrap_or_else(|error| format!("not known: {error}\n"));
        texts.push(Text { name: name.to_owned(), what: what.to_owned(), content });
    };
    let version = format!("registrator {VERSION} on {}\n", std::env::consts::ARCH);
    add("version.txt", "the version", Ok(version));
    add("docker.json", "the engine", source.docker().map(|docker| json(&docker)));
    add("registries.json", "the registries", source.registries().map(|registries| json(&registries)));
    add("containers.json", "the containers, and what they offer", source.containers().map(|all| json(&all)));
    add("plan.json", "what would be written now", source.plans().map(|plans| json(&plans)));
    add("events.json", "the last events", source.events().map(|events| json(&events)));
    add("settings.json", "each option, and where its value came from", Ok(json(&config_show::listed(ask))));
    if let Some((_, metrics)) = source.text("/metrics")? {
        add("metrics.txt", "the metrics", Ok(metrics));
    }
    let folder = format!("registrator-{}", chrono::Utc::now().format("%Y%m%d-%H%M%S"));
    let name = format!("{folder}.tar");
    let failed = |error: &dyn std::fmt::Display| {
        Error::Failed(format!("{name}: {error}; run it in a folder that you can write"))
    };
    let archive =
        dump::archive(&folder, &texts, &Secrets::of(&ask.config), look::now()).map_err(|error| failed(&error))?;
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&name);
    let mut file = opened.map_err(|error| failed(&error))?;
    file.write_all(&archive).map_err(|error| failed(&error))?;
    writeln!(out, "{name}:")?;
    out.write_all(dump::listing(&texts).as_bytes())?;
    Ok(Exit::Well)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}
