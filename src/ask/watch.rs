//! `watch`: each event as it happens, a line each.

use std::io::Write;

use chrono::{DateTime, Local};

use super::source::Source;
use super::style::{Look, Style, plain};
use super::{Error, Exit};
use crate::cli::{Ask, Format};
use crate::status::journal::Happened;

/// Answers it, until it is interrupted or the running instance ends.
pub(super) fn run(ask: &Ask, out: &mut dyn Write) -> Result<Exit, Error> {
    let source = Source::open(ask)?;
    let style = Style::of_stdout();
    source.follow(|happened| {
        match ask.format {
            Format::Json => writeln!(out, "{}", serde_json::to_string(&happened).unwrap_or_default())?,
            Format::Table => writeln!(out, "{}", line(style, &happened))?,
        }
        Ok(out.flush()?)
    })?;
    Ok(Exit::Well)
}

fn line(style: Style, happened: &Happened) -> String {
    let Happened { at, level, text, .. } = happened;
    let at = DateTime::from_timestamp_millis(i64::try_from(*at).unwrap_or_default()).unwrap_or_default();
    let time = at.with_timezone(&Local).format("%Y/%m/%d %H:%M:%S");
    let text = plain(text);
    let text = match level.as_str() {
        "warn" => style.paint(Look::Odd, &text),
        "error" => style.paint(Look::Bad, &text),
        _ => text,
    };
    format!("{} {text}", style.paint(Look::Dim, &time.to_string()))
}
