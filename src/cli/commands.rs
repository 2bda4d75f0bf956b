//! The commands as one table: questions at the keyboard, each answered and done.

use std::path::PathBuf;

use crate::config::{Config, StatusAddress};
use crate::nearest::nearest;

/// A question, and all that is needed to answer it.
#[derive(Clone, Debug)]
pub struct Ask {
    /// What is asked.
    pub command: Command,
    /// How the answer is printed.
    pub format: Format,
    /// The running instance to ask; without one, a command looks for itself.
    pub status: Option<StatusAddress>,
    /// The settings that the daemon would have. There may be no registries.
    pub config: Config,
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Why a container's ports are registered as they are.
    Explain {
        /// Its name or ID, or the beginning of its ID.
        container: String,
    },
    /// What would be written now.
    Plan,
    /// The services of this host.
    Services,
    /// The containers of this host.
    Containers,
    /// The registries, and how they are.
    Registries,
    /// Each event as it happens.
    Watch,
    /// What is wrong in a file of containers, without an engine.
    Validate {
        /// A compose file, or the output of `docker inspect`.
        file: PathBuf,
    },
    /// Whether a registry can be used.
    Check,
    /// The usual mistakes of this host.
    Doctor,
    /// Each option's value, and where it came from.
    ConfigShow,
    /// Whether the settings are right.
    ConfigCheck {
        /// All that is wrong with them, one line each, in the order of what the daemon would say first.
        problems: Vec<String>,
    },
    /// An archive for a report of a fault.
    SupportDump,
    /// Whether the running instance is well (`-healthcheck`).
    Healthcheck,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Whether a command needs registries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// It works without.
    Nothing,
    /// It needs one, unless it asks a running instance.
    RegistryOrStatus,
    /// It needs one.
    Registry,
}

/// One command: a row of [`COMMANDS`].
#[derive(Debug)]
pub(super) struct Row {
    /// Its name: a word, or two.
    pub(super) name: &'static str,
    /// What must follow it, by its name in documents; empty for nothing.
    pub(super) argument: &'static str,
    /// Whether it needs registries.
    pub(super) needs: Needs,
    /// One line.
    pub(super) help: &'static str,
    /// Further details.
    pub(super) more: &'static str,
    /// What exit code 0 says.
    pub(super) well: &'static str,
    /// What exit code 2 says; empty if it has none.
    pub(super) to_do: &'static str,
    /// Makes the command of its argument.
    pub(super) make: fn(String) -> Command,
}

// Each row is one of a kind.
impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Row {}

/// What an exit code of 1 says.
pub(super) const FAILED: &str = "it failed; one line says why";

/// What an exit code of 64 says.
pub(super) const MISUSED: &str = "the command line is wrong; one line says why";

impl Row {
    /// `registrator explain CONTAINER [options] [URI ...]`.
    pub(super) fn synopsis(&self) -> String {
        format!("registrator {} [options] [URI ...]", self.spelled())
    }

    /// `explain CONTAINER`: the name, and what must follow it.
    pub(super) fn spelled(&self) -> String {
        let argument = if self.needs == Needs::Registry { "URI" } else { self.argument };
        if argument.is_empty() { self.name.to_owned() } else { format!("{} {argument}", self.name) }
    }

    /// Its exit codes, each with its meaning.
    pub(super) fn exit_codes(&self) -> Vec<(&'static str, &'static str)> {
        let all = [("0", self.well), ("1", FAILED), ("2", self.to_do), ("64", MISUSED)];
        all.into_iter().filter(|(_, meaning)| !meaning.is_empty()).collect()
    }
}

/// Every command.
pub(super) const COMMANDS: &[Row] = &[
    Row {
        name: "explain",
        argument: "CONTAINER",
        needs: Needs::Nothing,
        help: "why a container is registered as it is, or is not",
        more: "For each port: whether it is published, and which key, label or option decided the ID, name, address, \
               port, tags, attributes and check. For each registry: whether the entry is there and right, the last \
               write and its answer. A misspelt SERVICE_ key is named with the nearest right one.",
        well: "all that the container offers is registered as it should be",
        to_do: "something is to be done: a port is not registered, or an entry is not right",
        make: |container| Command::Explain { container },
    },
    Row {
        name: "plan",
        argument: "",
        needs: Needs::RegistryOrStatus,
        help: "what would be written to the registries now, and why",
        more: "Lists what would be added (+), changed (~) and removed (-), each with its reason and the fields that \
               differ, and counts the entries that are right, another owner's, or protected. Writes nothing.",
        well: "nothing would be written",
        to_do: "something would be written",
        make: |_| Command::Plan,
    },
    Row {
        name: "services",
        argument: "",
        needs: Needs::Nothing,
        help: "the services of this host",
        more: "With ID, address, tags, health, container, and the registries that hold them.",
        well: "the list is complete",
        to_do: "",
        make: |_| Command::Services,
    },
    Row {
        name: "containers",
        argument: "",
        needs: Needs::Nothing,
        help: "the containers of this host, with what is registered and what is ignored",
        more: "",
        well: "the list is complete",
        to_do: "",
        make: |_| Command::Containers,
    },
    Row {
        name: "registries",
        argument: "",
        needs: Needs::RegistryOrStatus,
        help: "the registries, with their state, counts, last error and next attempt",
        more: "",
        well: "all of them are reached",
        to_do: "one of them is not reached, or refuses something",
        make: |_| Command::Registries,
    },
    Row {
        name: "watch",
        argument: "",
        needs: Needs::RegistryOrStatus,
        help: "one line for each event, as it happens",
        more: "Ends with Ctrl-C. With -format json, each line is an object.",
        well: "it was stopped",
        to_do: "",
        make: |_| Command::Watch,
    },
    Row {
        name: "validate",
        argument: "FILE",
        needs: Needs::Nothing,
        help: "what is wrong in a compose file, before anything is started",
        more: "FILE is a compose file or the output of docker inspect; - is the standard input. Finds misspelt SERVICE_ \
               keys, IDs that clash, names that a registry or DNS refuses, and ports that would not be registered, \
               each with line, column and the one line to change. Asks neither an engine nor a registry. What a \
               variable decides (${PORT:-80}) is left open. With URIs, only what these registries refuse is said.",
        well: "nothing is wrong",
        to_do: "something is wrong",
        make: |file| Command::Validate { file: file.into() },
    },
    Row {
        name: "check",
        argument: "",
        needs: Needs::Registry,
        help: "whether a registry can be reached, read and written",
        more: "Says who answers, writes and removes an entry of its own, and says that it does; then the days that \
               certificates have left, the difference of clocks, and the least policy that is needed.",
        well: "the registries can be used",
        to_do: "one of them works, but something is to be done soon",
        make: |_| Command::Check,
    },
    Row {
        name: "doctor",
        argument: "",
        needs: Needs::Nothing,
        help: "the usual mistakes of this host, each with its cure",
        more: "A stale socket, a loopback or bridge address, a host name that is a container's ID, two instances with \
               one owner, a TTL shorter than its refresh, a Consul that is not this host's agent, missing rights.",
        well: "none was found",
        to_do: "one was found",
        make: |_| Command::Doctor,
    },
    Row {
        name: "config show",
        argument: "",
        needs: Needs::Nothing,
        help: "each option's value, and where it came from",
        more: "An option, a variable, the file of -config with its line, or the default. Passwords in URIs are not shown.",
        well: "the settings are shown",
        to_do: "",
        make: |_| Command::ConfigShow,
    },
    Row {
        name: "config check",
        argument: "",
        needs: Needs::Nothing,
        help: "whether the options, the variables and the file of -config are right",
        more: "Prints all that is wrong, and not only the first of it. Asks neither an engine nor a registry.",
        well: "the settings are right",
        to_do: "",
        make: |_| Command::ConfigCheck { problems: Vec::new() },
    },
    Row {
        name: "support-dump",
        argument: "",
        needs: Needs::Nothing,
        help: "an archive for a report of a fault: state, plan, options, versions, last events",
        more: "Passwords and tokens are replaced; what is in it is listed.",
        well: "the archive is written",
        to_do: "",
        make: |_| Command::SupportDump,
    },
];

/// The word before the name of a command, to read about it.
pub(super) const HELP: &str = "help";

/// The command with this name.
pub(super) fn find(name: &str) -> Option<&'static Row> {
    COMMANDS.iter().find(|row| row.name == name)
}

/// Whether this is the first word of a command of two.
pub(super) fn is_first_of_two(word: &str) -> bool {
    COMMANDS.iter().any(|row| row.name.split_once(' ').is_some_and(|(first, _)| first == word))
}

/// The names of all commands.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    COMMANDS.iter().map(|row| row.name)
}

/// The first words of all commands, each once, and the word for help.
pub(super) fn first_words() -> Vec<&'static str> {
    let mut words: Vec<_> = names().filter_map(|name| name.split(' ').next()).collect();
    words.dedup();
    words.push(HELP);
    words
}

/// The command whose name is probably meant by a word.
pub(super) fn meant(typed: &str) -> Option<&'static str> {
    nearest(typed, names().chain([HELP]))
}
