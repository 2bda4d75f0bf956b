//! Why a run failed.

use std::io;
use std::path::PathBuf;

use crate::render::command::CommandError;
use crate::render::format::Malformed;
use crate::render::resource::Format;
use crate::render::source::SourceError;
use crate::render::target::TargetError;
use crate::template::TemplateError;

/// Why a run failed. Each displays as one line, in confd's words where confd has some.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The source cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The template is not there.
    #[error("Missing template: {}", .0.display())]
    NoTemplate(PathBuf),
    /// The template cannot be read.
    #[error("cannot read the template {}: {error}", path.display())]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The template does not parse.
    #[error("Unable to process template {}, {error}", path.display())]
    Parse {
        /// Its path.
        path: PathBuf,
        /// Why.
        error: Box<TemplateError>,
    },
    /// The template fails on what was read.
    #[error(transparent)]
    Execute(Box<TemplateError>),
    /// The rendered text is not what it should be.
    #[error("{}: the rendered text is no {}: {error}", dest.display(), format.as_str())]
    Format {
        /// The file.
        dest: PathBuf,
        /// What it should be.
        format: Format,
        /// Why it is not.
        error: Malformed,
    },
    /// The file cannot be kept right.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The file cannot be read for the comparison.
    #[error("cannot read {}: {error}", path.display())]
    Compare {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// `dest` with `for_each` is no template of a path.
    #[error(transparent)]
    Dest(Box<TemplateError>),
    /// The list of files that were made cannot be kept.
    #[error("cannot keep {}, the list of files that were made: {error}", path.display())]
    Ledger {
        /// The list.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// `check_cmd` or `reload_cmd` is no template.
    #[error(transparent)]
    CommandTemplate(Box<TemplateError>),
    /// `check_cmd` failed.
    #[error("Config check failed: {0}")]
    Check(CommandError),
    /// `reload_cmd` failed.
    #[error("reload_cmd failed: {0}")]
    Reload(CommandError),
    /// The file is new, and its program was not told; the next run tries that again.
    #[error("{error}; {} is new, and the next run tries this again", dest.display())]
    NotTold {
        /// The file, or the folder of several.
        dest: PathBuf,
        /// Why.
        error: Box<RunError>,
    },
    /// A signal could not be sent.
    #[error("{0}")]
    Signal(String),
    /// Signals are not allowed.
    #[error("reload_container and reload_pid_file need -allow-signals, which is off: start with -allow-signals")]
    SignalsForbidden,
    /// A fault of ours.
    #[error("a fault in registrator itself, please report it: {0}")]
    Fault(String),
}
