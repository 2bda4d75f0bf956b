//! The documents made from the tables: usage, man page, completions and reference.

mod completions;
mod man;
mod reference;
mod usage;

pub(super) use usage::{help, usage};

use super::commands::Row;
use super::options::{Opt, Takes};
use super::typed::Document;

/// Renders the document.
pub(super) fn document(document: Document) -> String {
    match document {
        Document::Man => man::page(),
        Document::Bash => completions::bash(),
        Document::Zsh => completions::zsh(),
        Document::Fish => completions::fish(),
        Document::Reference => reference::reference(),
    }
}

/// The program in one sentence.
const SUMMARY: &str = "keeps service registries equal to what runs in Docker";

/// How it is called.
const SYNOPSIS: &str = "registrator [options] <registry URI> [<registry URI> ...]";

/// How a command is called.
const COMMAND_SYNOPSIS: &str = "registrator <command> [options] [<registry URI> ...]";

/// The lines after the reason why a command is not answered.
pub(super) fn hint_of(row: &Row) -> String {
    format!("Usage: {}\nHelp: registrator help {}\n", row.synopsis(), row.name)
}

/// The lines after the reason of a usage error: how to call the program, and where to find help.
pub(super) fn hint() -> String {
    format!("Usage: {SYNOPSIS}\nHelp: registrator -help\n")
}

/// How options are spelled.
const SPELLING: &str = "-name value, -name=value and --name value are the same, before or after the URIs; -- ends the \
                        options. A switch needs no value: -cleanup, -cleanup=false. Each option can also be set by a \
                        variable: -ttl-refresh 10 is REGISTRATOR_TTL_REFRESH=10. The command line wins. Where SECONDS are \
                        taken, so is a duration: 30s, 5m, 1h.";

/// What commands have in common.
const COMMANDS_SHARE: &str = "A command only reads (check says what it writes). With -status ADDR it asks the running \
                              instance, else it looks for itself, with the options and variables of the daemon. \
                              -format json is for programs.";

/// The choices of an option; empty if it takes any value.
fn choices(option: &Opt) -> &'static [&'static str] {
    match option.takes {
        Takes::Choice(_, words) => words,
        Takes::Flag | Takes::Value(_) => &[],
    }
}

/// Whether a value with this name in documents is a file's.
fn is_file(value: &str) -> bool {
    matches!(value, "FILE" | "PATH")
}

/// The start of a registry's URI: `consul://` of `consul://HOST:PORT`.
fn scheme(form: &str) -> &str {
    form.find("//").map_or(form, |slashes| &form[..slashes + 2])
}

/// A one-line help text as a sentence.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_uppercase().chain(characters).chain(['.']).collect()).unwrap_or_default()
}
