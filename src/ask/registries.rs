//! `registries`: the registries, and how they are.

use std::io::Write;

use super::source::Source;
use super::style::distance;
use super::table::Table;
use super::{Error, Exit, print_json};
use crate::cli::{Ask, Format};
use crate::status::look::{UP, now};

/// Answers it. Something is to be done where a registry is not reached, or needs somebody.
pub(super) fn run(ask: &Ask, out: &mut dyn Write) -> Result<Exit, Error> {
    let source = Source::open(ask)?;
    let registries = source.registries()?;
    match ask.format {
        Format::Json => print_json(out, &serde_json::to_value(&registries).unwrap_or_default())?,
        Format::Table => {
            let mut table =
                Table::new(["REGISTRY", "STATE", "IN SYNC", "PENDING", "OF OTHERS", "READ", "NEXT TRY", "PROBLEM"]);
            let now = now();
            for registry in &registries {
                let right = registry.states.get("in_sync").copied().unwrap_or_default();
                let pending: usize = registry.pending.values().sum();
                let ago =
                    |time: Option<u64>| time.map_or("-".to_owned(), |time| format!("{} ago", distance(now, time)));
                let next = registry.next_attempt.map_or("-".to_owned(), |next| format!("in {}", distance(now, next)));
                table.row([
                    &registry.name,
                    &registry.state,
                    &format!("{right}/{}", registry.desired),
                    &pending.to_string(),
                    &(registry.foreign + registry.in_the_way).to_string(),
                    &ago(registry.last_read),
                    &next,
                    &registry.problem,
                ]);
            }
            out.write_all(table.render().as_bytes())?;
            if let Some(remark) = source.remark() {
                writeln!(out, "{remark}")?;
            }
        }
    }
    let well = registries.iter().all(|registry| registry.state == UP && !registry.attention);
    Ok(if well { Exit::Well } else { Exit::ToDo })
}
