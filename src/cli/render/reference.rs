//! `docs/reference.md`: the whole content of the tables.

use super::{COMMAND_SYNOPSIS, COMMANDS_SHARE, SPELLING, SYNOPSIS, choices, sentence};
use crate::cli::commands::{COMMANDS, Row};
use crate::cli::options::{Group, Opt};
use crate::cli::tables::{EXAMPLES, EXIT_CODES, PARAMETERS, REGISTRIES, VARIABLES};

/// The whole document.
pub(super) fn reference() -> String {
    let mut page = String::from("# Reference\n\n");
    page.push_str("<!-- Made by `registrator -generate reference`: change src/cli/, then run dev/docs. -->\n\n");
    page.push_str("<!-- not run: the form of a command line -->\n\n");
    page.push_str(&format!("```text\n{SYNOPSIS}\n{COMMAND_SYNOPSIS}\n```\n\n{SPELLING}\n\n"));
    page.push_str("How containers say what they offer is in [metadata](metadata.md).\n");
    page.push_str(&format!("\n## Commands\n\n{COMMANDS_SHARE}\n"));
    COMMANDS.iter().for_each(|command| page.push_str(&describe_command(command)));
    table(&mut page, "Registries", ["URI", "what it is"], REGISTRIES);
    page.push_str("\nA URI may have parameters: `zookeeper://host/path?ttl=30&policy=upsert-only`.\n");
    table(&mut page, "Parameters", ["parameter", "what it says"], PARAMETERS);
    page.push_str("\n## Options\n");
    for group in Group::ALL {
        page.push_str(&format!("\n### {}\n", group.title()));
        for option in group.options() {
            page.push_str(&describe(option));
        }
    }
    table(&mut page, "Other variables", ["variable", "what it sets"], VARIABLES);
    table(&mut page, "Exit codes", ["code", "what it says"], EXIT_CODES);
    page.push_str("\n## Examples\n\n<!-- not run: each on a host of its own -->\n\n```sh\n");
    let examples = EXAMPLES.iter().map(|(command, meaning)| format!("# {meaning}\n{command}\n"));
    page.push_str(&examples.collect::<Vec<_>>().join("\n"));
    page.push_str("```\n");
    page
}

fn describe_command(command: &Row) -> String {
    let mut text = format!("\n### `{}`\n\n{}", command.spelled(), escape(&sentence(command.help)));
    if !command.more.is_empty() {
        text.push_str(&format!(" {}", escape(command.more)));
    }
    let codes = command.exit_codes().into_iter().map(|(code, meaning)| format!("{code}: {meaning}"));
    text.push_str(&format!("\n\nExit codes: {}.\n", codes.collect::<Vec<_>>().join("; ")));
    text
}

fn describe(option: &Opt) -> String {
    let mut text = format!("\n#### `{}`\n\n{}", option.synopsis(), escape(&sentence(option.help)));
    if !option.more.is_empty() {
        text.push_str(&format!(" {}", escape(option.more)));
    }
    text.push('\n');
    let mut facts = Vec::new();
    let words: Vec<_> = choices(option).iter().map(|word| format!("`{word}`")).collect();
    if !words.is_empty() {
        facts.push(format!("One of {}.", words.join(", ")));
    }
    match option.default {
        "" => {}
        // A default of several words is an explanation, not a value to type.
        default if default.contains(' ') => facts.push(format!("Default: {default}.")),
        default => facts.push(format!("Default: `{default}`.")),
    }
    if let Some(variable) = option.variable() {
        facts.push(format!("Variable: `{variable}`."));
    }
    if !facts.is_empty() {
        text.push_str(&format!("\n{}\n", facts.join(" ")));
    }
    text
}

fn table(page: &mut String, title: &str, [left, right]: [&str; 2], rows: &[(&str, &str)]) {
    page.push_str(&format!("\n## {title}\n\n| {left} | {right} |\n|---|---|\n"));
    for (head, meaning) in rows {
        page.push_str(&format!("| `{head}` | {} |\n", escape(meaning)));
    }
}

/// Escapes text that Markdown would read as markup.
fn escape(text: &str) -> String {
    text.replace('<', "\\<").replace('*', "\\*").replace('_', "\\_").replace('|', "\\|")
}
