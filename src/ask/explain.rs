//! `explain`: why a container is registered as it is, port by port, and where it stands.

use std::io::Write;

use super::source::Source;
use super::style::{Look, Style, distance, plain};
use super::{Error, Exit, print_json};
use crate::cli::{Ask, Format};
use crate::registry::redacted;
use crate::status::look::now;
use crate::status::view::{Container, Entry, LastWrite, Port};

/// Answers it. Something is to be done where a port is not registered, or an entry is not as it should be.
pub(super) fn run(ask: &Ask, container: &str, out: &mut dyn Write) -> Result<Exit, Error> {
    let source = Source::open(ask)?;
    let found = source.explained(container)?;
    let exit = if needs_somebody(&found) { Exit::ToDo } else { Exit::Well };
    match ask.format {
        Format::Json => print_json(out, &serde_json::to_value(&found).unwrap_or_default())?,
        Format::Table => {
            let style = Style::of_stdout();
            write(out, style, &found)?;
            if let Some(remark) = source.remark() {
                writeln!(out, "\n{}", style.paint(Look::Dim, &plain(&remark)))?;
            }
        }
    }
    Ok(exit)
}

fn needs_somebody(container: &Container) -> bool {
    let wrong = |entry: &Entry| entry.state != "in_sync";
    container.attention
        || !container.hints.is_empty()
        || !container.ignored.is_empty()
        || container.ports.iter().any(|port| port.service.is_none() || port.entries.iter().any(wrong))
}

fn write(out: &mut dyn Write, style: Style, container: &Container) -> Result<(), Error> {
    let Container { id, name, image, state, health, started, ports, ignored, notes, hints, .. } = container;
    let now = now();
    let health = if health == "none" { String::new() } else { format!(", {health}") };
    let since = started.map(|started| format!(" since {}", distance(now, started))).unwrap_or_default();
    let (id, image) = (plain(id.get(..12).unwrap_or(id)), plain(image));
    let facts = [id, image, format!("{state}{health}{since}")];
    let facts = facts.iter().filter(|fact| !fact.is_empty()).map(|fact| format!("  {fact}")).collect::<String>();
    writeln!(out, "{}{facts}", style.paint(Look::Bold, &plain(name)))?;
    if let Some(text) = what_waits(container, now) {
        writeln!(out, "  {}", style.paint(Look::Odd, &text))?;
    }
    for port in ports {
        write_port(out, style, port, now)?;
    }
    for reason in ignored {
        writeln!(out, "\n{}", style.paint(Look::Bad, &format!("not registered: {}", plain(&reason.text))))?;
        writeln!(out, "  to change that: {}", plain(&reason.cure))?;
    }
    if !hints.is_empty() {
        writeln!(out, "\n{}", style.paint(Look::Odd, "probably misspelt"))?;
        for hint in hints {
            writeln!(out, "  {}", plain(hint))?;
        }
    }
    if !notes.is_empty() {
        writeln!(out, "\n{}", style.paint(Look::Odd, "notes"))?;
        for note in notes {
            writeln!(out, "  {}", plain(note))?;
        }
    }
    Ok(())
}

/// Why what is registered does not follow the container's state, if it does not.
fn what_waits(container: &Container, now: u64) -> Option<String> {
    let is = |mode| container.ports.iter().filter_map(|port| port.service.as_ref()).any(|service| service.mode == mode);
    if let Some(until) = container.delayed_until {
        let rest = distance(now, until);
        return Some(match container.delayed_because.as_deref() {
            Some("draining") => format!("it has ended; its entries stay for -drain, and are removed in {rest}"),
            _ => format!("it ended again and again: that it runs takes effect if it lasts, in {rest}"),
        });
    }
    if is("paused") {
        return Some("it is paused: its entries stay, and are critical where the registry has that".to_owned());
    }
    let kept = is("kept").then_some("their entries stay, and are critical where the registry has that");
    kept.map(|kept| match container.state.as_str() {
        "exited" => format!("it has ended, and -deregister keeps its services: {kept}"),
        _ => format!("it was told to stop, and its services drain (-drain): {kept}"),
    })
}

fn write_port(out: &mut dyn Write, style: Style, port: &Port, now: u64) -> Result<(), Error> {
    let Port { port: number, protocol, service, ignored, decisions, entries } = port;
    match (service, ignored) {
        (Some(service), _) => {
            let at = registrator_words::authority(&service.address, service.port);
            let mode = if service.mode == "serving" { String::new() } else { format!("  ({})", service.mode) };
            let heading = format!("{number}/{protocol}  {} at {}{mode}", plain(&service.name), plain(&at));
            writeln!(out, "\n{}", style.paint(Look::Bold, &heading))?;
        }
        (None, Some(reason)) => {
            writeln!(out, "\n{}", style.paint(Look::Bold, &format!("{number}/{protocol}")))?;
            writeln!(out, "  {}", style.paint(Look::Bad, &format!("not registered: {}", plain(&reason.text))))?;
            writeln!(out, "  to change that: {}", plain(&reason.cure))?;
        }
        (None, None) => {}
    }
    let width = decisions.iter().map(|decision| decision.field.chars().count()).max().unwrap_or_default();
    for decision in decisions {
        let (field, value) = (plain(&decision.field), plain(&decision.value));
        let because = style.paint(Look::Dim, &plain(&decision.because));
        writeln!(out, "  {field:width$}  {value}  {because}")?;
    }
    for entry in entries {
        let look = match entry.state.as_str() {
            "in_sync" => Look::Good,
            "pending" | "in_flight" | "held" => Look::Odd,
            _ => Look::Bad,
        };
        let state = style.paint(look, &entry.state.replace('_', " "));
        let text =
            if entry.state == "in_sync" { format!("since {}", distance(now, entry.since)) } else { plain(&entry.text) };
        writeln!(out, "  {}: {state}, {text}", plain(&redacted(&entry.registry)))?;
        if let Some(LastWrite { at, action, reason, answer }) = &entry.last_write {
            let at = distance(now, *at);
            writeln!(out, "    last write {at} ago: {action}, because {reason}: {}", plain(answer))?;
        }
        if let Some(remark) = &entry.remark {
            writeln!(out, "    {}", style.paint(Look::Odd, &plain(remark)))?;
        }
        if let Some(next) = entry.next_attempt {
            writeln!(out, "    next attempt in {}", distance(now, next))?;
        }
    }
    Ok(())
}
