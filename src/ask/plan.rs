//! `plan`: what would be written now, registry by registry.

use std::io::Write;

use super::source::Source;
use super::style::{Look, Style, plain};
use super::{Error, Exit, print_json};
use crate::cli::{Ask, Format};
use crate::status::view::{Difference, Plan, Write as Planned};

/// Answers it. Something is to be done where something would be written; it fails where a registry cannot be read.
pub(super) fn run(ask: &Ask, out: &mut dyn Write) -> Result<Exit, Error> {
    let source = Source::open(ask)?;
    if source.has_no_registry() {
        return Err(Error::Failed(source.remark().unwrap_or_else(|| "there is no registry".to_owned())));
    }
    let plans = source.plans()?;
    match ask.format {
        Format::Json => print_json(out, &serde_json::to_value(&plans).unwrap_or_default())?,
        Format::Table => {
            let style = Style::of_stdout();
            for plan in &plans {
                write(out, style, plan)?;
            }
            if let Some(remark) = source.remark() {
                writeln!(out, "{}", style.paint(Look::Dim, &plain(&remark)))?;
            }
        }
    }
    Ok(if plans.iter().any(|plan| plan.problem.is_some()) {
        Exit::Failed
    } else if plans.iter().any(|plan| !plan.writes.is_empty() || plan.left.iter().any(|left| left.attention)) {
        Exit::ToDo
    } else {
        Exit::Well
    })
}

fn write(out: &mut dyn Write, style: Style, plan: &Plan) -> Result<(), Error> {
    let Plan { registry, problem, writes, left } = plan;
    writeln!(out, "{}", style.paint(Look::Bold, &plain(registry)))?;
    if let Some(problem) = problem {
        writeln!(out, "  {}", style.paint(Look::Bad, &plain(problem)))?;
    }
    for write in writes {
        write_one(out, style, write)?;
    }
    if writes.is_empty() && problem.is_none() {
        writeln!(out, "  {}", style.paint(Look::Good, "nothing to write"))?;
    }
    let left: Vec<String> = left.iter().map(|left| format!("{} {}", left.count, left.text)).collect();
    if !left.is_empty() {
        writeln!(out, "  left alone: {}", left.join("; "))?;
    }
    writeln!(out)?;
    Ok(())
}

fn write_one(out: &mut dyn Write, style: Style, write: &Planned) -> Result<(), Error> {
    let Planned { action, key: _, id, container, reason, differences } = write;
    let (sign, look) = match action.as_str() {
        "add" => ('+', Look::Good),
        "remove" => ('-', Look::Bad),
        _ => ('~', Look::Odd),
    };
    let of = container.as_ref().map(|name| format!(" (container {})", plain(name))).unwrap_or_default();
    writeln!(out, "  {}{of}: {reason}", style.paint(look, &format!("{sign} {action} {}", plain(id))))?;
    for Difference { field, is, should_be } in differences {
        writeln!(out, "      {field}: {} -> {}", plain(is), plain(should_be))?;
    }
    Ok(())
}
