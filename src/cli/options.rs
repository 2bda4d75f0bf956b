//! The options as one table.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use super::commands::Format;
use super::typed::{Bad, Document, Question, Typed};
use crate::config::{Applies, Deregister, LogFormat, LogLevel, OnShutdown, StatusAddress};
use crate::service::duration;
use crate::template::{ForcedTags, TagsError};

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
    /// When a changed value counts, if the settings are read again.
    pub(super) applies: Applies,
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
    Status,
    Render,
    Trial,
    File,
    Commands,
    Questions,
}

impl Group {
    pub(super) const ALL: [Self; 10] = [
        Self::Services,
        Self::Entries,
        Self::Start,
        Self::Log,
        Self::Status,
        Self::Render,
        Self::Trial,
        Self::File,
        Self::Commands,
        Self::Questions,
    ];

    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Services => "What is registered",
            Self::Entries => "How entries live and go",
            Self::Start => "Reaching registries at the start",
            Self::Log => "The log",
            Self::Status => "Status, metrics and audit",
            Self::Render => "Files from what runs",
            Self::Trial => "Trying it out",
            Self::File => "Settings from a file",
            Self::Commands => "Options of commands",
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

    /// Whether it is a setting of the daemon, which a variable and a file can set as well. A question and an option of
    /// commands are about one call.
    pub(super) fn is_setting(&self) -> bool {
        !matches!(self.group, Group::Questions | Group::Commands)
    }

    /// Whether a file of settings may hold it.
    pub(super) fn is_in_files(&self) -> bool {
        self.is_setting() && self.group != Group::File
    }

    /// The environment variable that sets it, if it is a setting.
    pub(super) fn variable(&self) -> Option<String> {
        if !self.is_setting() {
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
        more: "By default, the address that the port is published on. If that is every address of the host: what the \
               host's name resolves to or, if other hosts cannot reach that (a loopback address), the address of the \
               interface with the default route. The log says once which address was chosen. Usually an IP address; a \
               name that others can resolve works as well.",
        group: Group::Services,
        applies: Applies::AtOnce,
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
        applies: Applies::AtOnce,
        set: |typed, text| flag(text).map(|value| typed.internal = value),
    },
    Opt {
        name: "explicit",
        takes: Takes::Flag,
        default: "false",
        help: "register only services with a SERVICE_NAME",
        more: "SERVICE_<port>_NAME names a single port. Either may be a variable or a label of the container.",
        group: Group::Services,
        applies: Applies::AtOnce,
        set: |typed, text| flag(text).map(|value| typed.explicit = value),
    },
    Opt {
        name: "useIpFromLabel",
        takes: Takes::Value("LABEL"),
        default: "",
        help: "take the address from this label of the container",
        more: "A mask after the last slash is removed. For a container without the label, the usual address is \
               registered, and the log says so.",
        group: Group::Services,
        applies: Applies::AtStart,
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
        more: "May be a Go text/template, executed with the container's inspect result: '{{.Config.Hostname}}'.",
        group: Group::Services,
        applies: Applies::AtStart,
        set: |typed, text| {
            ForcedTags::parse(text).map_err(|error| match error {
                TagsError::Parse(reason) => Bad::Value(format!("not a valid template: {reason}")),
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
        more: "A limit for images that expose thousands of ports. The ports with the lowest numbers are registered; \
               the log says how many are not.",
        group: Group::Services,
        applies: Applies::AtOnce,
        set: |typed, text| number(text, 1..=MOST_PORTS).map(|services| typed.max_services = services),
    },
    Opt {
        name: "traefik",
        takes: Takes::Flag,
        default: "false",
        help: "serve the containers' labels for Traefik at /traefik",
        more: "At -status and at the embedded registry, for the HTTP provider of Traefik. The labels are checked: the log and \
               explain name those that are left out. A registry with layout=traefik in its URI implies this option.",
        group: Group::Services,
        applies: Applies::AtStart,
        set: |typed, text| flag(text).map(|value| typed.traefik = value),
    },
    Opt {
        name: "hostname",
        takes: Takes::Value("NAME"),
        default: "the machine's host name",
        help: "first part of service IDs",
        more: "In a container, the default is the container's host name: set that to the host's name (docker run -h), \
               or use this option. The name should never change for a host.",
        group: Group::Services,
        applies: Applies::AtStart,
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
        more: "Needs a registry whose entries can expire, and -ttl-refresh.",
        group: Group::Entries,
        applies: Applies::AtStart,
        set: |typed, text| seconds(text).map(|seconds| typed.ttl = seconds),
    },
    Opt {
        name: "ttl-refresh",
        takes: Takes::Value("SECONDS"),
        default: "0",
        help: "how often entries are refreshed",
        more: "Must be less than -ttl. With a third of it, two refreshes may fail.",
        group: Group::Entries,
        applies: Applies::AtStart,
        set: |typed, text| seconds(text).map(|seconds| typed.ttl_refresh = seconds),
    },
    Opt {
        name: "resync",
        takes: Takes::Value("SECONDS"),
        default: "0",
        help: "how often everything is compared again and repaired, 0 for never",
        more: "Only differences are written. SIGHUP does it once.",
        group: Group::Entries,
        applies: Applies::AtStart,
        set: |typed, text| seconds(text).map(|seconds| typed.resync = seconds),
    },
    Opt {
        name: "deregister",
        takes: Takes::Choice("MODE", &["always", "on-success", "never"]),
        default: "always",
        help: "which containers that ended lose their entries",
        more: "on-success removes entries of containers that exited with code 0 or by a signal. Other entries stay and \
               are no longer refreshed, so they expire if they have a TTL; in a registry with health, they are marked \
               as critical. With never, all entries stay like this, even those of removed containers; only -cleanup \
               removes the latter.",
        group: Group::Entries,
        applies: Applies::AtStart,
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
        help: "minimum time for which entries of a stopping container are critical, 0 for none",
        more: "When a container is sent its stop signal (by docker stop, for example), its entries become critical, or \
               are removed if the registry has no health (with -deregister never they stay). Critical entries are removed when the container has ended, \
               but not before this time. If the container still runs five seconds after its stop timeout and this \
               time, its entries become healthy again.",
        group: Group::Entries,
        applies: Applies::AtOnce,
        set: |typed, text| seconds(text).map(|seconds| typed.drain = seconds),
    },
    Opt {
        name: "on-shutdown",
        takes: Takes::Choice("WHAT", &["keep", "deregister", "critical"]),
        default: "keep",
        help: "what happens to entries when this program is told to stop",
        more: "keep leaves them as they are. deregister removes those of this owner. critical marks them as critical \
               in a registry with health (Consul: maintenance mode), and keeps them elsewhere; the next start removes \
               the mark. The stop takes at most two seconds; the log says what was not finished by then.",
        group: Group::Entries,
        applies: Applies::AtStart,
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
        more: "At the start and at each resync, removes entries without an owner (as gliderlabs/registrator wrote \
               them) whose ID has this host's form and that have no running container. Entries of this owner are \
               removed without this option; those of other owners are never changed.",
        group: Group::Entries,
        applies: Applies::AtOnce,
        set: |typed, text| flag(text).map(|value| typed.cleanup = value),
    },
    Opt {
        name: "adopt",
        takes: Takes::Flag,
        default: "false",
        help: "take over entries without an owner, whatever they are",
        more: "By default, an entry without an owner is taken over only if its ID has this host's form, or if its \
               name, address and port equal those of the service that claims its ID with SERVICE_ID. Any other is left \
               alone, because a person may have registered it; the log says so.",
        group: Group::Entries,
        applies: Applies::AtStart,
        set: |typed, text| flag(text).map(|value| typed.adopt = value),
    },
    Opt {
        name: "removal-guard",
        takes: Takes::Value("PERCENT"),
        default: "100",
        help: "share of a registry's entries whose removal is checked again first, 0 for never",
        more: "If a list of containers, as after a restart of the engine, suggests removing this share of this owner's \
               entries, and more than three, the engine is asked again after ten seconds. Only entries that still have \
               no container are removed. Removals because of an event, such as the end of a container, are not \
               delayed.",
        group: Group::Entries,
        applies: Applies::AtStart,
        set: |typed, text| {
            number(text, 0..=100).map(|percent| typed.removal_guard = u8::try_from(percent).unwrap_or(100))
        },
    },
    Opt {
        name: "owner",
        takes: Takes::Value("NAME"),
        default: "the value of -hostname",
        help: "identity under which entries are written",
        more: "Entries of another owner are never changed or removed. Each instance that writes to a registry needs \
               its own owner, and should keep it after restarts.",
        group: Group::Entries,
        applies: Applies::AtStart,
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
        more: "Without it, entries are exactly those of gliderlabs/registrator, and the owner is guessed from the \
               entry's ID.",
        group: Group::Entries,
        applies: Applies::AtStart,
        set: |typed, text| flag(text).map(|value| typed.owner_meta = value),
    },
    Opt {
        name: "retry-attempts",
        takes: Takes::Value("N"),
        default: "0",
        help: "attempts to reach Docker and a registry beyond the first, -1 for no limit",
        more: "After the last one, the program ends with exit code 1, unless another registry has answered. After the \
               start, it never gives up. An error that cannot go away, such as an invalid DOCKER_HOST, ends it at \
               once.",
        group: Group::Start,
        applies: Applies::AtStart,
        set: |typed, text| number(text, -1..=LONGEST).map(|attempts| typed.retry_attempts = attempts),
    },
    Opt {
        name: "retry-interval",
        takes: Takes::Value("MS"),
        default: "2000",
        help: "milliseconds between those attempts",
        more: "",
        group: Group::Start,
        applies: Applies::AtStart,
        set: |typed, text| milliseconds(text).map(|milliseconds| typed.retry_interval = milliseconds),
    },
    Opt {
        name: "log-format",
        takes: Takes::Choice("FORMAT", &["text", "json"]),
        default: "text",
        help: "shape of the log",
        more: "text: each line has a time and a message. json: each line is an object with the event's fields. Both go \
               to the standard error.",
        group: Group::Log,
        applies: Applies::AtStart,
        set: |typed, text| {
            choice(text, &[("text", LogFormat::Text), ("json", LogFormat::Json)])
                .map(|format| typed.log_format = format)
        },
    },
    Opt {
        name: "log-level",
        takes: Takes::Choice("LEVEL", &["debug", "info", "warn", "error"]),
        default: "info",
        help: "lowest level that is written",
        more: "debug adds the reasons for what was done and what was not.",
        group: Group::Log,
        applies: Applies::AtOnce,
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
        name: "status",
        takes: Takes::Value("ADDR"),
        default: "",
        help: "serve status, metrics and the page here: :9120 for this machine only",
        more: "HOST:PORT, or :PORT for 127.0.0.1; 0.0.0.0:9120 is every address of the machine. Read-only. Off by \
               default. A command asks the instance that listens there, instead of looking for itself.",
        group: Group::Status,
        applies: Applies::AtStart,
        set: |typed, text| status_address(text).map(|address| typed.status = address),
    },
    Opt {
        name: "status-tls-cert",
        takes: Takes::Value("FILE"),
        default: "",
        help: "PEM file of the certificate for -status",
        more: "With -status-tls-key, the status is served over TLS.",
        group: Group::Status,
        applies: Applies::AtStart,
        set: |typed, text| path(text).map(|path| typed.status_tls_cert = path),
    },
    Opt {
        name: "status-tls-key",
        takes: Takes::Value("FILE"),
        default: "",
        help: "PEM file of the key of that certificate",
        more: "",
        group: Group::Status,
        applies: Applies::AtStart,
        set: |typed, text| path(text).map(|path| typed.status_tls_key = path),
    },
    Opt {
        name: "status-token-file",
        takes: Takes::Value("FILE"),
        default: "",
        help: "file of the token that -status asks for",
        more: "Requests then need the header Authorization: Bearer TOKEN.",
        group: Group::Status,
        applies: Applies::AtStart,
        set: |typed, text| path(text).map(|path| typed.status_token_file = path),
    },
    Opt {
        name: "prometheus-file",
        takes: Takes::Value("PATH"),
        default: "",
        help: "write what runs here to this file, as targets for Prometheus",
        more: "In the form of file_sd. The file is replaced as a whole, so no reader sees a part of it.",
        group: Group::Status,
        applies: Applies::AtStart,
        set: |typed, text| path(text).map(|path| typed.prometheus_file = path),
    },
    Opt {
        name: "audit",
        takes: Takes::Value("FILE"),
        default: "",
        help: "append each write to a registry to this file, as a line of JSON",
        more: "With time, registry, action, service, container, reason, result and milliseconds. SIGHUP opens it again.",
        group: Group::Status,
        applies: Applies::AtStart,
        set: |typed, text| path(text).map(|path| typed.audit = path),
    },
    Opt {
        name: "render",
        takes: Takes::Value("DIR"),
        default: "",
        help: "keep configuration files equal to what runs, as DIR/conf.d and DIR/templates say",
        more: "The folders are those of confd. A file is new within a tenth of a second of a container's start, and its \
               program is told. Without a registry: registrator confd -backend docker -watch.",
        group: Group::Render,
        applies: Applies::AtStart,
        set: |typed, text| path(text).map(|path| typed.render = path),
    },
    Opt {
        name: "allow-signals",
        takes: Takes::Flag,
        default: "false",
        help: "let reload_container and reload_pid_file send signals",
        more: "Off by default, because a signal to a container is a write to Docker, and a resource can name any. Commands \
               (reload_cmd) need no permission.",
        group: Group::Render,
        applies: Applies::AtStart,
        set: |typed, text| flag(text).map(|value| typed.allow_signals = value),
    },
    Opt {
        name: "dry-run",
        takes: Takes::Flag,
        default: "false",
        help: "write nothing, and say what would be written",
        more: "The log has the usual lines, with would add: instead of added:.",
        group: Group::Trial,
        applies: Applies::AtStart,
        set: |typed, text| flag(text).map(|value| typed.dry_run = value),
    },
    Opt {
        name: "once",
        takes: Takes::Flag,
        default: "false",
        help: "end when everything was compared once; needs -dry-run",
        more: "The last line says how many entries would be added, changed, taken over and removed.",
        group: Group::Trial,
        applies: Applies::AtStart,
        set: |typed, text| flag(text).map(|value| typed.once = value),
    },
    Opt {
        name: "config",
        takes: Takes::Value("FILE"),
        default: "",
        help: "read further settings from this TOML file",
        more: "Its keys are the names of the options: ttl = \"30s\", cleanup = true. Registries are a list: registries \
               = [\"consul:\"]. An option wins over a variable, and a variable over the file. SIGHUP reads it again; \
               the log says which changes count at once, and which need a restart.",
        group: Group::File,
        applies: Applies::AtStart,
        set: |typed, text| {
            typed.config = Some(printable(text)?.to_owned()).filter(|path| !path.is_empty());
            Ok(())
        },
    },
    Opt {
        name: "format",
        takes: Takes::Choice("FORMAT", &["table", "json"]),
        default: "table",
        help: "how a command prints its answer",
        more: "",
        group: Group::Commands,
        applies: Applies::AtStart,
        set: |typed, text| {
            choice(text, &[("table", Format::Table), ("json", Format::Json)]).map(|format| typed.format = Some(format))
        },
    },
    Opt {
        name: "healthcheck",
        takes: Takes::Flag,
        default: "",
        help: "ask -status whether the running instance is well; exit code 0 or 1",
        more: "For the HEALTHCHECK of a container image. Without -status it asks the first process of the container, if that is \
               this program, at the address that it was started with; one without -status is well while it runs.",
        group: Group::Questions,
        applies: Applies::AtStart,
        set: |typed, text| flag(text).map(|value| typed.healthcheck = value),
    },
    Opt {
        name: "help",
        takes: Takes::Flag,
        default: "",
        help: "print this, and exit (also -h)",
        more: "",
        group: Group::Questions,
        applies: Applies::AtStart,
        set: |typed, text| flag(text).map(|asked| typed.question = asked.then_some(Question::Help)),
    },
    Opt {
        name: "version",
        takes: Takes::Flag,
        default: "",
        help: "print the version, and exit",
        more: "",
        group: Group::Questions,
        applies: Applies::AtStart,
        set: |typed, text| flag(text).map(|asked| typed.question = asked.then_some(Question::Version)),
    },
    Opt {
        name: "generate",
        takes: Takes::Choice("WHAT", &["man", "bash", "zsh", "fish", "reference"]),
        default: "",
        help: "print a man page, completions or a reference, and exit",
        more: "",
        group: Group::Questions,
        applies: Applies::AtStart,
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

/// Whether a switch is on, in Go's spellings.
pub(super) fn flag(text: &str) -> Result<bool, Bad> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(Bad::Value("must be true or false".to_owned())),
    }
}

fn number(text: &str, range: RangeInclusive<i64>) -> Result<i64, Bad> {
    match whole(text)? {
        Some(number) if range.contains(&number) => Ok(number),
        _ => Err(Bad::Value(format!("must be a whole number from {} to {}", range.start(), range.end()))),
    }
}

/// The whole number that this text is; `None` if it is none.
fn whole(text: &str) -> Result<Option<i64>, Bad> {
    let digits = text.trim_start_matches(['-', '+']);
    if digits.len() > 1 && digits.starts_with('0') && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Bad::Value("must have no leading zero, which the replaced program reads as octal".to_owned()));
    }
    Ok(text.parse().ok())
}

/// Seconds: a whole number of them, or a duration as in `30s`, `5m` and `1h`.
pub(super) fn seconds(text: &str) -> Result<i64, Bad> {
    let range = || Bad::Value(format!("must be seconds from 0 to {LONGEST}, or a duration such as 30s, 5m or 1h"));
    let number = match whole(text)? {
        Some(number) => number,
        None => {
            let duration = duration::parse(text).ok_or_else(range)?;
            if duration.subsec_nanos() != 0 {
                return Err(Bad::Value("must be whole seconds, as in 30s, 5m or 1h".to_owned()));
            }
            i64::try_from(duration.as_secs()).map_err(|_| range())?
        }
    };
    if (0..=LONGEST).contains(&number) { Ok(number) } else { Err(range()) }
}

/// Milliseconds, at least one: a whole number of them, or a duration as in `500ms` and `2s`.
pub(super) fn milliseconds(text: &str) -> Result<i64, Bad> {
    let range = || Bad::Value(format!("must be milliseconds from 1 to {LONGEST}, or a duration such as 500ms or 2s"));
    let number = match whole(text)? {
        Some(number) => number,
        None => {
            let duration = duration::parse(text).ok_or_else(range)?;
            if duration.subsec_nanos() % 1_000_000 != 0 {
                return Err(Bad::Value("must be whole milliseconds, as in 500ms or 2s".to_owned()));
            }
            i64::try_from(duration.as_millis()).map_err(|_| range())?
        }
    };
    match number {
        ..=0 => Err(Bad::Rule("must be greater than 0")),
        1..=LONGEST => Ok(number),
        _ => Err(range()),
    }
}

/// The address of a status listener: `host:port`, or `:port` for this machine only. None if the text is empty, so that a
/// command can look for itself where a variable is set.
fn status_address(text: &str) -> Result<Option<StatusAddress>, Bad> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = || {
        let form = "must be HOST:PORT or :PORT, as in :9120 (this machine only), 0.0.0.0:9120 or [::1]:9120";
        Bad::Value(form.to_owned())
    };
    let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
    let port = port.parse().map_err(|_| wrong())?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bare {
        Some(address) => address.parse::<Ipv6Addr>().map_err(|_| wrong())?.to_string(),
        None if host.is_empty() => Ipv4Addr::LOCALHOST.to_string(),
        None if host.contains([':', '/', '[', ']', '@']) => return Err(wrong()),
        None => word(host)?,
    };
    Ok(Some(StatusAddress { host, port }))
}

/// The path of a file; none if the text is empty.
fn path(text: &str) -> Result<Option<PathBuf>, Bad> {
    Ok(Some(printable(text)?).filter(|path| !path.is_empty()).map(PathBuf::from))
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
