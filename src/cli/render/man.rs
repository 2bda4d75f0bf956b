//! The man page, in the `man` macros of roff.

use super::{COMMAND_SYNOPSIS, COMMANDS_SHARE, SPELLING, SUMMARY, SYNOPSIS, choices, sentence};
use crate::cli::VERSION;
use crate::cli::commands::COMMANDS;
use crate::cli::options::{Group, Opt};
use crate::cli::tables::{EXAMPLES, EXIT_CODES, PARAMETERS, REGISTRIES, VARIABLES};

/// The whole page.
pub(super) fn page() -> String {
    let mut page = format!(".TH REGISTRATOR 1 \"\" \"registrator {VERSION}\" \"User Commands\"\n");
    page.push_str(&format!(".SH NAME\nregistrator \\- {}\n", escape(SUMMARY)));
    page.push_str(&format!(".SH SYNOPSIS\n{}\n.br\n{}\n", escape(SYNOPSIS), escape(COMMAND_SYNOPSIS)));
    page.push_str(&format!(".SH DESCRIPTION\n{}\n", escape(SPELLING)));
    page.push_str(&format!(".SH COMMANDS\n{}\n", escape(COMMANDS_SHARE)));
    for command in COMMANDS {
        let more = if command.more.is_empty() { String::new() } else { format!(" {}", command.more) };
        let to_do = if command.to_do.is_empty() { String::new() } else { format!(" 2: {}.", command.to_do) };
        let codes = format!(" Exit codes: 0: {}.{to_do}", command.well);
        entry(&mut page, &command.spelled(), &format!("{}{more}{codes}", sentence(command.help)));
    }
    section(&mut page, "REGISTRIES", REGISTRIES);
    section(&mut page, "PARAMETERS", PARAMETERS);
    page.push_str(".SH OPTIONS\n");
    for group in Group::ALL {
        page.push_str(&format!(".SS {}\n", escape(group.title())));
        for option in group.options() {
            entry(&mut page, &option.synopsis(), &explanation(option));
        }
    }
    section(&mut page, "ENVIRONMENT", VARIABLES);
    section(&mut page, "EXIT STATUS", EXIT_CODES);
    page.push_str(".SH EXAMPLES\n");
    for (command, meaning) in EXAMPLES {
        entry(&mut page, command, meaning);
    }
    page
}

/// The full description of an option.
fn explanation(option: &Opt) -> String {
    let mut text = sentence(option.help);
    if !option.more.is_empty() {
        text.push_str(&format!(" {}", option.more));
    }
    let words = choices(option);
    if !words.is_empty() {
        text.push_str(&format!(" One of: {}.", words.join(", ")));
    }
    if !option.default.is_empty() {
        text.push_str(&format!(" Default: {}.", option.default));
    }
    if let Some(variable) = option.variable() {
        text.push_str(&format!(" Variable: {variable}."));
    }
    text
}

fn section(page: &mut String, title: &str, rows: &[(&str, &str)]) {
    page.push_str(&format!(".SH {title}\n"));
    for (head, meaning) in rows {
        entry(page, head, meaning);
    }
}

fn entry(page: &mut String, head: &str, text: &str) {
    page.push_str(&format!(".TP\n\\fB{}\\fR\n{}\n", escape(head), escape(text)));
}

/// Escapes plain text for roff: backslashes, hyphens, and characters that start a request.
fn escape(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-").replace('\'', "\\(aq");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}
