//! The usage: what `-help` prints, for a terminal of 80 columns.

use super::{SPELLING, SUMMARY, SYNOPSIS, choices};
use crate::cli::options::{Group, Opt};
use crate::cli::tables::{EXAMPLES, REGISTRIES};

/// The widest line.
const WIDTH: usize = 80;

/// The column where the explanations begin.
const COLUMN: usize = 26;

/// The whole usage; ends with a line break.
pub(in crate::cli) fn usage() -> String {
    let mut page = format!("registrator {SUMMARY}.\n\nUsage: {SYNOPSIS}\n\nRegistries:\n");
    for (form, meaning) in REGISTRIES {
        row(&mut page, form, meaning);
    }
    for group in Group::ALL {
        page.push_str(&format!("\n{}:\n", group.title()));
        for option in group.options() {
            row(&mut page, &option.synopsis(), &explanation(option));
        }
    }
    page.push('\n');
    for line in wrap(SPELLING, WIDTH) {
        page.push_str(&format!("{line}\n"));
    }
    page.push_str("\nExamples:\n");
    for (command, meaning) in EXAMPLES {
        page.push_str(&format!("  # {meaning}\n  {command}\n"));
    }
    page
}

/// The one-line help, with the choices and the default, if it has any.
fn explanation(option: &Opt) -> String {
    let mut text = option.help.to_owned();
    let words = choices(option);
    if !words.is_empty() {
        text.push_str(&format!(": {}", words.join(", ")));
    }
    if !matches!(option.default, "" | "0" | "false") {
        text.push_str(&format!(" [default: {}]", option.default));
    }
    text
}

fn row(page: &mut String, left: &str, right: &str) {
    for (line, part) in wrap(right, WIDTH - COLUMN).into_iter().enumerate() {
        let head = if line == 0 { left } else { "" };
        page.push_str(&format!("  {head:<width$}{part}\n", width = COLUMN - 2));
    }
}

/// Breaks text at spaces into lines of at most `width` characters; a longer word gets its own line.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
