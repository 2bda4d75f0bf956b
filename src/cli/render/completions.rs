//! Completions for bash, zsh and fish, in the spelling with one dash.

use super::{choices, scheme};
use crate::cli::options::{OPTIONS, Opt, Takes};
use crate::cli::tables::REGISTRIES;

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
            Takes::Value(_) => "return".to_owned(),
            Takes::Choice(_, words) => {
                format!("mapfile -t COMPREPLY < <(compgen -W '{}' -- \"$current\"); return", words.join(" "))
            }
        };
        values.push_str(&format!("        -{name} | --{name}) {answer} ;;\n", name = option.name));
    }
    format!(
        "# bash completion for registrator\n\
         _registrator() {{\n    \
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
                 compopt -o nospace\n        \
                 mapfile -t COMPREPLY < <(compgen -W '{schemes}' -- \"$current\")\n    \
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
            Takes::Value(value) => format!("-{}=[{help}]:{value}:", option.name),
            Takes::Choice(value, words) => format!("-{}=[{help}]:{value}:({})", option.name, words.join(" ")),
        };
        specs.push_str(&format!("    '{spec}' \\\n"));
    }
    let schemes = schemes().join(" ").replace(':', "\\:");
    format!("#compdef registrator\n_arguments \\\n{specs}    '*:registry URI:compadd -S \"\" {schemes}'\n")
}

/// Fish: one line per option, in its "old style" of long names with one dash.
pub(super) fn fish() -> String {
    let mut script = format!(
        "# fish completion for registrator\ncomplete -c registrator -f -a '{}' -d 'registry URI'\n",
        schemes().join(" ")
    );
    for option in OPTIONS {
        let help = option.help.replace('\'', "\\'");
        script.push_str(&format!("complete -c registrator -o {}{} -d '{help}'\n", option.name, fish_value(option)));
    }
    script
}

fn fish_value(option: &Opt) -> String {
    match option.takes {
        Takes::Flag => String::new(),
        Takes::Value(_) => " -x".to_owned(),
        Takes::Choice(..) => format!(" -x -a '{}'", choices(option).join(" ")),
    }
}
