//! The options as one table.

use std::ops::RangeInclusive;

use super::typed::{Bad, Document, Question, Typed};
use crate::config::{Deregister, LogFormat, LogLevel, OnShutdown};
use crate::template::{ForcedTags, TemplateError};

/// One option: a row of [`OPTIONS`].
#[derive(Debug)]
pub(super) struct Opt {
    /// Its name, without the dash.
    pub(super) name: &'static str,
    /// What follows it.
    pub(super) takes: Takes,
    /// The default as a person would type it; empty for none.
    pub(super) default: &'static str,
    /// One line, for the usage and the completions.
    pub(super) help: &'static str,
    /// Further details; may be empty.
    pub(super) more: &'static str,
    /// The heading that it is listed under.
    pub(super) group: Group,
    /// Reads its value.
    pub(super) set: fn(&mut Typed, &str) -> Result<(), Bad>,
}

/// What follows an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    /// Nothing, `=true` or `=false`.
    Flag,
    /// A value, with its name in documents.
    Value(&'static str),
    /// One of a few words, with its name in documents.
    Choice(&'static str, &'static [&'static str]),
}

/// The headings, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    Services,
    Entries,
    Start,
    Log,
    Questions,
}

impl Group {
    pub(super) const ALL: [Self; 5] = [Self::Services, Self::Entries, Self::Start, Self::Log, Self::Questions];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Services => "What is registered",
            Self::Entries => "How entries live and go",
            Self::Start => "Reaching registries at the start",
            Self::Log => "The log",
            Self::Questions => "Questions",
        }
    }

    pub(super) fn options(self) -> impl Iterator<Item = &'static Opt> {
        OPTIONS.iter().filter(move |option| option.group == self)
    }
}

impl Opt {
    /// The option with this name (without dashes).
    pub(super) fn find(name: &str) -> Option<&'static Self> {
        let name = if name == "h" { "help" } else { name };
        OPTIONS.iter().find(|option| option.name == name)
    }

    /// `-ttl SECONDS`.
    pub(super) fn synopsis(&self) -> String {
        match self.takes {
            Takes::Flag => format!("-{}", self.name),
            Takes::Value(value) | Takes::Choice(value, _) => format!("-{} {value}", self.name),
        }
    }

    /// The environment variable that sets it. A question has none, because it is a command.
    pub(super) fn variable(&self) -> Option<String> {
        if self.group == Group::Questions {
            return None;
        }
        let mut variable = "REGISTRATOR_".to_owned();
        for character in self.name.chars() {
            match character {
                '-' => variable.push('_'),
                _ => {
                    if character.is_ascii_uppercase() {
                        variable.push('_');
                    }
                    variable.push(character.to_ascii_uppercase());
                }
            }
        }
        Some(variable)
    }
}

/// Every option.
pub(super) const OPTIONS: &[Opt] = &[
    Opt {
        name: "ip",
        takes: Takes::Value("ADDR"),
        default: "",
        help: "address to register for ports mapped to the host",
        more: "Without it, the address that the port is published on or, where that is every address of the host, what \
               the host's name resolves to. Where that is a loopback address, which no other host could reach, the \
               address of the interface with the default route is taken. The log says once which one it was. \
               Usually an IP address; a name that others can resolve works as well.",
        group: Group::Services,
        set: |typed, text| {
            // As in the replaced program, so that a script may pass an empty variable.
            typed.ip = if text.is_empty() { None } else { Some(word(text)?) };
            Ok(())
        },
    },
    Opt {
        name: "internal",
        takes: Takes::Flag,
        default: "false",
        help: "register the container's own address and exposed port",
        more: "Ports need not be published then. Wins over -ip.",
        group: Group::Services,
        set: |typed, text| flag(text).map(|value| typed.internal = value),
    },
    Opt {
        name: "explicit",
        takes: Takes::Flag,
        default: "false",
        help: "register only services with a SERVICE_NAME",
        more: "For a single port, SERVICE_<port>_NAME does as well. Either may be a variable or a label of the container.",
        group: Group::Services,
        set: |typed, text| flag(text).map(|value| typed.explicit = value),
    },
    Opt {
        name: "useIpFromLabel",
        takes: Takes::Value("LABEL"),
        default: "",
        help: "take the address from this label of the container",
        more: "What stands behind the last slash of its value, a mask, is cut off. A container without the label gets \
               the usual address, and a line in the log.",
        group: Group::Services,
        set: |typed, text| {
            typed.ip_label = Some(printable(text)?.to_owned()).filter(|label| !label.is_empty());
            Ok(())
        },
    },
    Opt {
        name: "tags",
        takes: Takes::Value("TAGS"),
        default: "",
        help: "comma-separated tags to append to every service",
        more: "May be a Go text/template, which is executed with the container's inspect result: \
               '{{.Config.Hostname}}'.",
        group: Group::Services,
        set: |typed, text| {
            ForcedTags::parse(text).map_err(|error| match error {
                TemplateError::Parse(reason) => Bad::Value(format!("not a valid template: {reason}")),
                error => Bad::Value(error.to_string()),
            })?;
            typed.tags = Some(text.to_owned()).filter(|tags| !tags.is_empty());
            Ok(())
        },
    },
    Opt {
        name: "max-services",
        takes: Takes::Value("N"),
        default: "1000",
        help: "how many services one container may have",
        more: "For an image that exposes ports by the thousand. The ports with the lowest numbers are registered, and one \
               line in the log says how many are not.",
        group: Group::Services,
        set: |typed, text| number(text, 1..=MOST_PORTS).map(|services| typed.max_services = services),
    },
    Opt {
        name: "hostname",
        takes: Takes::Value("NAME"),
        default: "the machine's host name",
        help: "first part of service IDs",
        more: "In a container, the machine's host name is the container's: give that one the host's name (docker run \
               -h), or this option. It should stay the same for as long as the host does.",
        group: Group::Services,
        set: |typed, text| {
            typed.hostname = Some(word(text)?);
            Ok(())
        },
    },
    Opt {
        name: "ttl",
        takes: Takes::Value("SECONDS"),
        default: "0",
        help: "how long an entry lives without a refresh, 0 for ever",
        more: "For registries whose entries can expire. Only together with -ttl-refresh.",
        group: Group::Entries,
        set: |typed, text| number(text, 0..=LONGEST).map(|seconds| typed.ttl = seconds),
    },
    Opt {
        name: "ttl-refresh",
        takes: Takes::Value("SECONDS"),
        default: "0",
        help: "how often entries are refreshed",
        more: "Less than -ttl; a third of it leaves room for a missed one.",
        group: Group::Entries,
        set: |typed, text| number(text, 0..=LONGEST).map(|seconds| typed.ttl_refresh = seconds),
    },
    Opt {
        name: "resync",
        takes: Takes::Value("SECONDS"),
        default: "0",
        help: "how often everything is compared again and repaired, 0 for never",
        more: "Only what differs is written. SIGHUP asks for it once.",
        group: Group::Entries,
        set: |typed, text| number(text, 0..=LONGEST).map(|seconds| typed.resync = seconds),
    },
    Opt {
        name: "deregister",
        takes: Takes::Choice("MODE", &["always", "on-success", "never"]),
        default: "always",
        help: "which containers that ended lose their entries",
        more: "on-success removes the entries of those that exited with code 0 or by a signal. Those of others stay, are \
               no longer refreshed, and so expire where they have a TTL; where the registry has health, they are marked as \
               critical. With never this goes for every container that ended, also for one that was removed: only \
               -cleanup removes entries whose container is no longer there.",
        group: Group::Entries,
        set: |typed, text| {
            typed.deregister = match text {
                "always" => Deregister::Always,
                "on-success" => Deregister::OnSuccess,
                "never" => Deregister::Never,
                _ => return Err(Bad::Rule("must be \"always\" or \"on-success\" (or \"never\")")),
            };
            Ok(())
        },
    },
    Opt {
        name: "drain",
        takes: Takes::Value("SECONDS"),
        default: "0",
        help: "how long an entry is critical at least once its container is told to stop, 0 for not at all",
        more: "From the moment that docker stop (or another hand) sends the container its stop signal, its entries are \
               critical where the registry has health; elsewhere they are removed then. They go when the container has \
               ended, but not before this time. One that still runs after its own stop timeout and this time, and five \
               seconds more, goes on, and its entries are good again.",
        group: Group::Entries,
        set: |typed, text| number(text, 0..=LONGEST).map(|seconds| typed.drain = seconds),
    },
    Opt {
        name: "on-shutdown",
        takes: Takes::Choice("WHAT", &["keep", "deregister", "critical"]),
        default: "keep",
        help: "what becomes of entries when this program is told to stop",
        more: "keep leaves them as they are. deregister removes those of this owner. critical marks them as critical \
               where the registry has health (Consul: maintenance mode), and keeps them elsewhere; the next start takes the \
               mark away. Each within the two seconds that a stop may take; what a registry did not do by then is said.",
        group: Group::Entries,
        set: |typed, text| {
            let ends = [
                ("keep", OnShutdown::Keep),
                ("deregister", OnShutdown::Deregister),
                ("critical", OnShutdown::Critical),
            ];
            choice(text, &ends).map(|end| typed.on_shutdown = end)
        },
    },
    Opt {
        name: "cleanup",
        takes: Takes::Flag,
        default: "false",
        help: "remove entries that this host left behind",
        more: "At the start and at each resync: entries without an owner, as older versions wrote them, whose ID begins \
               with this host's name and has the form that this program gives it, and that no running container stands \
               behind. Entries that carry this owner need no option to go; those of others are never touched.",
        group: Group::Entries,
        set: |typed, text| flag(text).map(|value| typed.cleanup = value),
    },
    Opt {
        name: "adopt",
        takes: Takes::Flag,
        default: "false",
        help: "take over entries without an owner, whatever they are",
        more: "Without it, an entry without an owner is taken over only if its ID has this host's form, or if its name, \
               address and port are those of the service that claims its ID with SERVICE_ID. Any other is left alone, \
               with a line in the log: a person may have registered it.",
        group: Group::Entries,
        set: |typed, text| flag(text).map(|value| typed.adopt = value),
    },
    Opt {
        name: "removal-guard",
        takes: Takes::Value("PERCENT"),
        default: "100",
        help: "share of a registry's entries that goes at once only after a second look, 0 for never",
        more: "For removals that only a list of containers speaks for, as after a restart of the engine: where they are \
               so large a share of what this owner has there, and more than three entries, the engine is asked again \
               after ten seconds, and what it still does not know is removed then. Containers whose end was told by an \
               event are not held up.",
        group: Group::Entries,
        set: |typed, text| {
            number(text, 0..=100).map(|percent| typed.removal_guard = u8::try_from(percent).unwrap_or(100))
        },
    },
    Opt {
        name: "owner",
        takes: Takes::Value("NAME"),
        default: "the value of -hostname",
        help: "identity under which entries are written",
        more: "Entries of another owner are never changed or removed. Each instance that writes to a registry needs its \
               own, and should keep it over restarts.",
        group: Group::Entries,
        set: |typed, text| {
            typed.owner = Some(word(text)?);
            Ok(())
        },
    },
    Opt {
        name: "owner-meta",
        takes: Takes::Flag,
        default: "true",
        help: "record the owner with each entry; =false leaves it out",
        more: "Without it, entries are exactly those of gliderlabs/registrator; whose an entry is must then be guessed from \
               its ID.",
        group: Group::Entries,
        set: |typed, text| flag(text).map(|value| typed.owner_meta = value),
    },
    Opt {
        name: "retry-attempts",
        takes: Takes::Value("N"),
        default: "0",
        help: "attempts to reach Docker and a registry beyond the first, -1 without end",
        more: "When they are used up, the program ends with exit code 1, unless another registry has answered. Once it has \
               started, it always tries again. What can never work, such as a bad DOCKER_HOST, ends it at once.",
        group: Group::Start,
        set: |typed, text| number(text, -1..=LONGEST).map(|attempts| typed.retry_attempts = attempts),
    },
    Opt {
        name: "retry-interval",
        takes: Takes::Value("MS"),
        default: "2000",
        help: "milliseconds between those attempts",
        more: "",
        group: Group::Start,
        set: |typed, text| {
            if text.parse::<i64>().is_ok_and(|milliseconds| milliseconds <= 0) {
                return Err(Bad::Rule("must be greater than 0"));
            }
            number(text, 1..=LONGEST).map(|milliseconds| typed.retry_interval = milliseconds)
        },
    },
    Opt {
        name: "log-format",
        takes: Takes::Choice("FORMAT", &["text", "json"]),
        default: "text",
        help: "shape of the log",
        more: "text is a time and a message a line, json an object a line, with the fields of each event. Either goes to \
               the standard error.",
        group: Group::Log,
        set: |typed, text| {
            choice(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
                .map(|format| typed.log_format = format)
        },
    },
    Opt {
        name: "log-level",
        takes: Takes::Choice("LEVEL", &["debug", "info", "warn", "error"]),
        default: "info",
        help: "least level that is written",
        more: "debug says why each thing was done or left.",
        group: Group::Log,
        set: |typed, text| {
            let levels = [
                ("debug", LogLevel::Debug),
                ("info", LogLevel::Info),
                ("warn", LogLevel::Warn),
                ("error", LogLevel::Error),
            ];
            choice(text, &levels).map(|level| typed.log_level = level)
        },
    },
    Opt {
        name: "help",
        takes: Takes::Flag,
        default: "",
        help: "print this, and exit (also -h)",
        more: "",
        group: Group::Questions,
        set: |typed, text| flag(text).map(|asked| typed.question = asked.then_some(Question::Help)),
    },
    Opt {
        name: "version",
        takes: Takes::Flag,
        default: "",
        help: "print the version, and exit",
        more: "",
        group: Group::Questions,
        set: |typed, text| flag(text).map(|asked| typed.question = asked.then_some(Question::Version)),
    },
    Opt {
        name: "generate",
        takes: Takes::Choice("WHAT", &["man", "bash", "zsh", "fish", "reference"]),
        default: "",
        help: "print a man page, completions or a reference, and exit",
        more: "",
        group: Group::Questions,
        set: |typed, text| {
            choice(text, &Document::ALL).map(|document| typed.question = Some(Question::Generate(document)))
        },
    },
];

/// The largest number of seconds, milliseconds or attempts: 32 bits, which overflows no clock.
const LONGEST: i64 = i32::MAX as i64;

/// The maximum number of ports of a container: tcp, udp and sctp for each number.
const MOST_PORTS: i64 = 3 * 65_535;

/// The maximum length of an address or name: that of a DNS name.
const LONGEST_WORD: usize = 253;

fn flag(text: &str) -> Result<bool, Bad> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Bad::Value("must be true or false".to_owned())),
    }
}

fn number(text: &str, range: RangeInclusive<i64>) -> Result<i64, Bad> {
    let digits = text.trim_start_matches(['-', '+']);
    if digits.len() > 1 && digits.starts_with('0') {
        return Err(Bad::Value("must have no leading zero, which the replaced program reads as octal".to_owned()));
    }
    match text.parse() {
        Ok(number) if range.contains(&number) => Ok(number),
        _ => Err(Bad::Value(format!("must be a whole number from {} to {}", range.start(), range.end()))),
    }
}

fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, Bad> {
    match choices.iter().find(|(word, _)| *word == text) {
        Some((_, value)) => Ok(*value),
        None => {
            let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
            Err(Bad::Value(format!("must be one of {}", words.join(", "))))
        }
    }
}

/// Printable text. U+FFFD means that a variable was not UTF-8.
fn printable(text: &str) -> Result<&str, Bad> {
    if text.chars().any(|character| character.is_control() || character == char::REPLACEMENT_CHARACTER) {
        return Err(Bad::Value("must hold no control characters".to_owned()));
    }
    Ok(text)
}

/// An address or a name: without spaces, and not an option by mistake.
pub(super) fn word(text: &str) -> Result<String, Bad> {
    let text = printable(text)?;
    let wrong = if text.is_empty() {
        "must not be empty"
    } else if text.contains(char::is_whitespace) {
        "must hold no spaces"
    } else if text.starts_with('-') {
        "must not begin with a dash"
    } else if text.len() > LONGEST_WORD {
        "must not be longer than 253 characters"
    } else {
        return Ok(text.to_owned());
    };
    Err(Bad::Value(wrong.to_owned()))
}
