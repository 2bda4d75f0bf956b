//! A template resource: one TOML file of `conf.d/`, which says what is rendered from what to where, and what follows.
//!
//! The keys of confd 0.16, those of its fork (abtreece/confd), and ours: `mkdir`, `for_each`, `min_services`,
//! `reload_container`, `reload_pid_file` and `reload_signal`.

mod mode;
pub mod pattern;
mod read;
mod table;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pattern::Pattern;

pub use read::{KEYS, Read, parse, read};

/// How long `check_cmd` may take.
pub const CHECK_DEADLINE: Duration = Duration::from_secs(30);

/// How long `reload_cmd` may take.
pub const RELOAD_DEADLINE: Duration = Duration::from_secs(60);

/// What one file of `conf.d/` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The file that it was read from.
    pub path: PathBuf,
    /// `src`: the template, relative to `templates/`.
    pub src: PathBuf,
    /// `dest`: the file to keep right; with `for_each`, a template of its path.
    pub dest: String,
    /// `keys`: keys and directories to fetch, as written.
    pub keys: Vec<String>,
    /// `prefix`, as written.
    pub prefix: Option<String>,
    /// `mode`; `None` for that of the existing file, or 0644.
    pub mode: Option<u32>,
    /// `uid`, `gid`, `owner` and `group`.
    pub ownership: Ownership,
    /// `mkdir`: make missing folders of `dest`.
    pub mkdir: bool,
    /// `for_each`: a file for each of these.
    pub for_each: Option<ForEach>,
    /// `min_services`; `None` if it is not given.
    pub min_services: Option<usize>,
    /// `output_format`: what the rendered text must be.
    pub format: Option<Format>,
    /// `check_cmd`, with its deadline.
    pub check: Option<CommandLine>,
    /// What follows a change.
    pub reload: Reload,
    /// `debounce`: how long nothing must change before it is rendered.
    pub debounce: Duration,
    /// The table `[backend]`, which overrides the general back end: its keys in lower case.
    pub backend: Option<BTreeMap<String, Setting>>,
}

impl Resource {
    /// What is told of: the file, or the folder of several.
    #[must_use]
    pub fn subject(&self) -> PathBuf {
        let whole = || PathBuf::from(&self.dest);
        match self.for_each {
            None => whole(),
            Some(_) => Pattern::parse(&self.dest).map_or_else(|_| whole(), |pattern| pattern.root().to_owned()),
        }
    }
}

/// Whose the file is to be. `uid` and `gid` win over names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    /// `uid`; `None` if it is not given, or -1.
    pub uid: Option<u32>,
    /// `gid`; `None` if it is not given, or -1.
    pub gid: Option<u32>,
    /// `owner`.
    pub owner: Option<String>,
    /// `group`.
    pub group: Option<String>,
}

/// A shell command and its deadline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The command, as written.
    pub text: String,
    /// How long it may take.
    pub deadline: Duration,
}

/// What follows a change of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reload {
    /// `reload_cmd`, with its deadline.
    pub command: Option<CommandLine>,
    /// `reload_container` or `reload_pid_file`, with `reload_signal`.
    pub signal: Option<Signal>,
    /// `min_reload_interval`: the shortest time between two reloads.
    pub min_interval: Duration,
}

impl Reload {
    /// Whether anything follows a change.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.command.is_some() || self.signal.is_some()
    }
}

/// A signal to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Who gets it.
    pub to: SignalTo,
    /// Its name without `SIG`, in upper case: `HUP`.
    pub name: String,
}

/// Who gets a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignalTo {
    /// `reload_container`: the container of this name or ID.
    Container(String),
    /// `reload_pid_file`: the process whose number this file holds.
    Process(PathBuf),
}

impl fmt::Display for SignalTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Container(name) => write!(f, "container {}", name.escape_debug()),
            Self::Process(path) => write!(f, "process of {}", path.display()),
        }
    }
}

/// What there is a file for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForEach {
    /// `services`: each name.
    Service,
    /// `instances`: each instance of a service.
    Instance,
}

/// What a rendered text must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `json`.
    Json,
    /// `yaml` or `yml`.
    Yaml,
    /// `toml`.
    Toml,
}

impl Format {
    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::Yaml => "YAML",
            Self::Toml => "TOML",
        }
    }
}

/// A value of the table `[backend]`. Never printed: it may be a password.
#[derive(Clone, PartialEq, Eq)]
pub enum Setting {
    /// A text.
    Text(String),
    /// A list of texts.
    List(Vec<String>),
    /// A switch.
    Flag(bool),
    /// A number.
    Number(i64),
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text(_) => "Text",
            Self::List(_) => "List",
            Self::Flag(_) => "Flag",
            Self::Number(_) => "Number",
        })
    }
}

/// A place in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line, from 1 on.
    pub line: usize,
    /// The column in characters, from 1 on.
    pub column: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

/// Something about a resource's file: why it cannot be used, or what probably is a mistake.
///
/// Displays as `FILE:LINE:COLUMN: reason`; the parts are there for other forms.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", said(path, place.as_ref(), reason))]
pub struct Remark {
    /// The file.
    pub path: PathBuf,
    /// Where in the file, if it is about a place.
    pub place: Option<Place>,
    /// What it is, in one line.
    pub reason: String,
}

fn said(path: &Path, place: Option<&Place>, reason: &str) -> String {
    let path = path.display().to_string();
    let path = path.escape_debug();
    match place {
        Some(place) => format!("{path}:{place}: {reason}"),
        None => format!("{path}: {reason}"),
    }
}

#[cfg(test)]
mod tests;
