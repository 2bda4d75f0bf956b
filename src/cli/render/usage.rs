//! The usage: what `-help` prints, for a terminal of 80 columns.

use super::{COMMAND_SYNOPSIS, COMMANDS_SHARE, SPELLING, SUMMARY, SYNOPSIS, choices};
use crate::cli::commands::{COMMANDS, Row};
use crate::cli::options::{Group, Opt};
use crate::cli::tables::{EXAMPLES, REGISTRIES};

/// The widest line.
const WIDTH: usize = 80;

/// The column where the explanations begin.
const COLUMN: usize = 26;

/// The whole usage; ends with a line break.
pub(in crate::cli) fn usage() -> String {
    let mut page = format!("registrator {SUMMARY}.\n\nUsage: {SYNOPSIS}\n       {COMMAND_SYNOPSIS}\n");
    page.push_str("\nCommands (registrator help COMMAND says more):\n");
    for command in COMMANDS {
        row(&mut page, &command.spelled(), command.help);
    }
    page.push_str("\nRegistries:\n");
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

/// What `registrator help COMMAND` prints; ends with a line break.
pub(in crate::cli) fn help(command: &Row) -> String {
    let mut page = String::new();
    for line in wrap(&format!("registrator {}: {}.", command.name, command.help), WIDTH) {
        page.push_str(&format!("{line}\n"));
    }
    page.push_str(&format!("\nUsage: {}\n", command.synopsis()));
    for text in [command.more, COMMANDS_SHARE].into_iter().filter(|text| !text.is_empty()) {
        page.push('\n');
        for line in wrap(text, WIDTH) {
            page.push_str(&format!("{line}\n"));
        }
    }
    page.push_str("\nOptions:\n");
    for option in Group::Commands.options().chain(Opt::find("status")) {
        let meaning = if option.group == Group::Commands { explanation(option) } else { ASKED.to_owned() };
        row(&mut page, &option.synopsis(), &meaning);
    }
    row(&mut page, "all others", "those of registrator -help");
    page.push_str("\nExit codes:\n");
    for (code, meaning) in command.exit_codes() {
        row(&mut page, code, meaning);
    }
    page
}

/// What `-status` is for a command.
const ASKED: &str = "ask the instance that serves its status here (also REGISTRATOR_STATUS)";

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
