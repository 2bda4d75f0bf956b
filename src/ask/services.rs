//! `services`: the services of this host, and where they are registered.

use std::io::Write;

use super::source::Source;
use super::table::Table;
use super::{Error, Exit, print_json};
use crate::cli::{Ask, Format};
use crate::status::view::{Entry, Offered};

/// Answers it.
pub(super) fn run(ask: &Ask, out: &mut dyn Write) -> Result<Exit, Error> {
    let source = Source::open(ask)?;
    let mut offered: Vec<Offered> = Vec::new();
    for container in source.containers()? {
        for port in container.ports {
            let Some(service) = port.service else { continue };
            let (name, id, health) = (container.name.clone(), container.id.clone(), container.health.clone());
            offered.push(Offered { service, container: name, container_id: id, health, entries: port.entries });
        }
    }
    offered.sort_by(|one, other| (&one.service.name, &one.service.id).cmp(&(&other.service.name, &other.service.id)));
    match ask.format {
        Format::Json => print_json(out, &serde_json::to_value(&offered).unwrap_or_default())?,
        Format::Table => {
            let mut table = Table::new(["NAME", "ADDRESS", "TAGS", "HEALTH", "CONTAINER", "REGISTERED"]);
            for Offered { service, container, health, entries, .. } in &offered {
                let at = registrator_words::authority(&service.address, service.port);
                table.row([&service.name, &at, &service.tags.join(","), health, container, &registered(entries)]);
            }
            out.write_all(table.render().as_bytes())?;
        }
    }
    Ok(Exit::Well)
}

/// In which registries a service is: all, or which not.
fn registered(entries: &[Entry]) -> String {
    let wrong: Vec<_> = entries.iter().filter(|entry| entry.state != "in_sync").collect();
    match (entries.len(), wrong.as_slice()) {
        (0, _) => "-".to_owned(),
        (1, []) => "yes".to_owned(),
        (all, []) => format!("in all {all}"),
        (_, wrong) => {
            let each = wrong.iter().map(|entry| format!("{}: {}", entry.registry, entry.state.replace('_', " ")));
            each.collect::<Vec<_>>().join(", ")
        }
    }
}
