//! Completions for bash, zsh and fish, in the spelling with one dash.

use super::{choices, is_file, scheme};
use crate::cli::commands::{self, COMMANDS, HELP};
use crate::cli::options::{OPTIONS, Opt, Takes};
use crate::cli::tables::REGISTRIES;

/// Bash: the names of files.
const FILES: &str = "compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$current\")";

/// The commands of two words, by their first.
fn commands_of_two() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut all: Vec<(_, Vec<_>)> = Vec::new();
    for (first, second) in commands::names().filter_map(|name| name.split_once(' ')) {
        match all.iter_mut().find(|(known, _)| *known == first) {
            Some((_, seconds)) => seconds.push(second),
            None => all.push((first, vec![second])),
        }
    }
    all
}

fn schemes() -> Vec<&'static str> {
    REGISTRIES.iter().map(|(form, _)| scheme(form)).collect()
}

/// Bash: one function. `=` and `:` may be separate words in bash.
pub(super) fn bash() -> String {
    let names: Vec<_> = OPTIONS.iter().map(|option| format!("-{}", option.name)).collect();
    let mut values = String::new();
    for option in OPTIONS {
        let answer = match option.takes {
            Takes::Flag => continue,
            Takes::Value(value) if is_file(value) => format!("{FILES}; return"),
            Takes::Value(_) => "return".to_owned(),
            Takes::Choice(_, words) => {
                format!("mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$current\"); return", words.join(" "))
            }
        };
        values.push_str(&format!("        -{name} | --{name}) {answer} ;;\n", name = option.name));
    }
    for command in COMMANDS {
        if is_file(command.argument) {
            values.push_str(&format!("        {}) {FILES}; return ;;\n", command.name));
        }
    }
    let words = |words: &[&str]| format!("mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$current\")", words.join(" "));
    for (first, seconds) in commands_of_two() {
        values.push_str(&format!("        {first}) {}; return ;;\n", words(&seconds)));
    }
    values.push_str(&format!("        {HELP}) {}; return ;;\n", words(&commands::first_words())));
    let first = words(&commands::first_words());
    format!(
        "# bash completion for registrator\n\
         _registrator() {{\n    \
             COMPREPLY=()\n    \
             local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD - 1]}}\n    \
             if [[ $current == = ]]; then\n        \
                 current=\n    \
             elif [[ $previous == = ]]; then\n        \
                 previous=${{COMP_WORDS[COMP_CWORD - 2]}}\n    \
             fi\n    \
             case $previous in\n\
         {values}    \
             esac\n    \
             if [[ $current == -* ]]; then\n        \
                 current=${{current#-}}\n        \
                 mapfile -t COMPREPLY < <(compgen -W '{names}' -- \"-${{current#-}}\")\n    \
             else\n        \
                 [[ $COMP_CWORD -ne 1 ]] || {first}\n        \
                 [[ $COMP_CWORD -eq 1 && ${{#COMPREPLY[@]}} -gt 0 ]] || compopt -o nospace\n        \
                 mapfile -t -O \"${{#COMPREPLY[@]}}\" COMPREPLY < <(compgen -W '{schemes}' -- \"$current\")\n    \
             fi\n\
         }}\n\
         complete -F _registrator registrator\n",
        names = names.join(" "),
        schemes = schemes().join(" "),
    )
}

/// Zsh: the arguments of `_arguments`.
pub(super) fn zsh() -> String {
    let mut specs = String::new();
    for option in OPTIONS {
        let help = option.help.replace('\'', "'\\''").replace(':', "\\:").replace(']', "\\]");
        let spec = match option.takes {
            Takes::Flag if option.default == "true" => format!("-{}=-[{help}]:VALUE:(true false)", option.name),
            Takes::Flag => format!("-{}[{help}]", option.name),
            Takes::Value(value) if is_file(value) => format!("-{}=[{help}]:{value}:_files", option.name),
            Takes::Value(value) => format!("-{}=[{help}]:{value}:", option.name),
            Takes::Choice(value, words) => format!("-{}=[{help}]:{value}:({})", option.name, words.join(" ")),
        };
        specs.push_str(&format!("    '{spec}' \\\n"));
    }
    let schemes = schemes().join(" ").replace(':', "\\:");
    let commands = commands::first_words().join(" ");
    let first = format!("'1:command or registry URI:{{compadd {commands}; compadd -S \"\" {schemes}}}'");
    format!(
        "#compdef registrator\n_arguments \\\n{specs}    {first} \\\n    '*:registry URI:compadd -S \"\" {schemes}'\n"
    )
}

/// Fish: one line per option, in its "old style" of long names with one dash.
pub(super) fn fish() -> String {
    let mut script = format!(
        "# fish completion for registrator\ncomplete -c registrator -f -a '{}' -d 'registry URI'\n",
        schemes().join(" ")
    );
    for command in COMMANDS {
        let help = command.help.replace('\'', "\\'");
        let (condition, word) = match command.name.split_once(' ') {
            Some((first, second)) => (format!("__fish_seen_subcommand_from {first}"), second),
            None => ("__fish_use_subcommand".to_owned(), command.name),
        };
        script.push_str(&format!("complete -c registrator -n '{condition}' -a {word} -d '{help}'\n"));
        if is_file(command.argument) {
            script.push_str(&format!("complete -c registrator -n '__fish_seen_subcommand_from {word}' -F\n"));
        }
    }
    for (first, _) in commands_of_two() {
        script.push_str(&format!("complete -c registrator -n __fish_use_subcommand -a {first} -d 'settings'\n"));
    }
    script.push_str(&format!("complete -c registrator -n __fish_use_subcommand -a {HELP} -d 'about a command'\n"));
    for option in OPTIONS {
        let help = option.help.replace('\'', "\\'");
        script.push_str(&format!("complete -c registrator -o {}{} -d '{help}'\n", option.name, fish_value(option)));
    }
    script
}

fn fish_value(option: &Opt) -> String {
    match option.takes {
        Takes::Flag => String::new(),
        Takes::Value(value) if is_file(value) => " -r -F".to_owned(),
        Takes::Value(_) => " -x".to_owned(),
        Takes::Choice(..) => format!(" -x -a '{}'", choices(option).join(" ")),
    }
}
