//! `containers`: the containers of this host, and what they offer.

use std::io::Write;

use super::source::Source;
use super::table::Table;
use super::{Error, Exit, print_json};
use crate::cli::{Ask, Format};
use crate::status::view::Container;

/// Answers it.
pub(super) fn run(ask: &Ask, out: &mut dyn Write) -> Result<Exit, Error> {
    let source = Source::open(ask)?;
    let containers = source.containers()?;
    match ask.format {
        Format::Json => print_json(out, &serde_json::to_value(&containers).unwrap_or_default())?,
        Format::Table => {
            let mut table = Table::new(["CONTAINER", "NAME", "IMAGE", "STATE", "SERVICES", "NOT REGISTERED"]);
            for container in &containers {
                let Container { id, name, image, state, health, .. } = container;
                let state = if health == "none" { state.clone() } else { format!("{state}, {health}") };
                let (services, rest) = summary(container);
                table.row([id.get(..12).unwrap_or(id), name, image, &state, &services, &rest]);
            }
            out.write_all(table.render().as_bytes())?;
        }
    }
    Ok(Exit::Well)
}

/// The services of a container by name, and why the rest of it is none.
fn summary(container: &Container) -> (String, String) {
    let services: Vec<_> =
        container.ports.iter().filter_map(|port| port.service.as_ref()).map(|service| service.name.as_str()).collect();
    let ports = container.ports.iter().filter_map(|port| port.ignored.as_ref());
    let rest: Vec<_> = ports.chain(&container.ignored).map(|ignored| ignored.text.as_str()).collect();
    (services.join(", "), rest.join("; "))
}
