//! What happens with rendered files, and how it looks in the log.

use std::time::Duration;

use super::Level;
use super::line::Span;

/// What happened with a rendered file, or with the folder of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileEvent {
    /// It has a new content.
    Written {
        /// Its path, which a folder of several does not tell.
        path: String,
        /// Whether it was written in place, because it cannot be replaced as a whole.
        in_place: bool,
    },
    /// It was removed, because what it was for is gone.
    Removed {
        /// Its path.
        path: String,
    },
    /// A run has ended, and it is as it should be: a measurement.
    Right {
        /// Whether it was before.
        unchanged: bool,
    },
    /// Its resource is gone, and it is kept right no longer: a measurement.
    Gone,
    /// It would get another content (`-dry-run`).
    Would {
        /// Its path.
        path: String,
    },
    /// It stays as it is.
    Failed {
        /// Why.
        why: String,
        /// The pause before the next attempt.
        pause: Option<Duration>,
        /// It was told just now: a measurement.
        again: bool,
    },
    /// One of several files cannot be made.
    Refused {
        /// Which, and why.
        why: String,
    },
    /// It stays as it is until Docker was asked again, because suspiciously few services are left.
    Guarded {
        /// How many there are.
        services: usize,
        /// `min_services`.
        least: usize,
        /// The pause before Docker is asked.
        pause: Duration,
    },
    /// Its program was told of the new content.
    Reloaded {
        /// How often that had failed.
        failures: u32,
    },
    /// Its program could not be told.
    ReloadFailed {
        /// Why.
        why: String,
        /// The pause before the next attempt.
        pause: Option<Duration>,
    },
    /// The next reload waits, because the last one was just now.
    Throttled {
        /// For how long.
        pause: Duration,
    },
    /// A command has ended.
    Ran {
        /// The command.
        command: String,
        /// The end of what it printed.
        output: String,
        /// Whether it succeeded.
        well: bool,
    },
    /// A staged file of a killed process was removed.
    Cleaned {
        /// Its path.
        path: String,
    },
}

impl FileEvent {
    /// Whether it is a figure, and nothing that a person wants to read.
    pub(super) fn is_measurement(&self) -> bool {
        matches!(self, Self::Right { .. } | Self::Gone | Self::Failed { again: true, .. })
    }

    /// Its level, its word and its line.
    pub(super) fn line(&self, dest: &str) -> (Level, &'static str, String) {
        let again = |pause: &Option<Duration>| match pause {
            Some(pause) => format!("; tried again in {}", Span(*pause)),
            None => String::new(),
        };
        match self {
            Self::Written { path, in_place: false } => (Level::Info, "file_written", format!("rendered: {path}")),
            Self::Written { path, in_place: true } => {
                (Level::Info, "file_written", format!("rendered: {path}, in place, because it is mounted"))
            }
            Self::Removed { path } => {
                (Level::Info, "file_removed", format!("rendered: {path} removed: what it was for is gone"))
            }
            Self::Right { .. } => (Level::Debug, "file_right", format!("rendered: {dest} is right")),
            Self::Gone => (Level::Debug, "file_gone", format!("{dest} is no longer rendered")),
            Self::Would { path } => (Level::Info, "file_would", format!("would render: {path}")),
            Self::Failed { why, pause, .. } => {
                (Level::Warn, "file_failed", format!("{dest} stays as it is: {why}{}", again(pause)))
            }
            Self::Refused { why } => (Level::Warn, "file_refused", format!("{dest}: {why}")),
            Self::Guarded { services, least, pause } => (
                Level::Warn,
                "file_guarded",
                format!(
                    "{dest} stays as it is: services: {services}, fewer than min_services = {least}; asking Docker again \
                     in {} before it follows",
                    Span(*pause)
                ),
            ),
            Self::Reloaded { failures: 0 } => (Level::Info, "file_reloaded", format!("reloaded: {dest}")),
            Self::Reloaded { failures } => {
                (Level::Info, "file_reloaded", format!("reloaded: {dest}, after {failures} failures"))
            }
            Self::ReloadFailed { why, pause } => (
                Level::Warn,
                "file_reload_failed",
                format!("{dest} is new, but its program was not told: {why}{}", again(pause)),
            ),
            Self::Throttled { pause } => (
                Level::Debug,
                "file_throttled",
                format!("{dest}: reloaded in {}, because of min_reload_interval", Span(*pause)),
            ),
            Self::Ran { command, output, well } => {
                let level = if *well { Level::Debug } else { Level::Warn };
                let said = if output.is_empty() { "printed nothing".to_owned() } else { format!("printed {output:?}") };
                (level, "file_command", format!("{dest}: {command:?} {said}"))
            }
            Self::Cleaned { path } => {
                (Level::Debug, "file_cleaned", format!("{dest}: {path} removed, which a killed process had left"))
            }
        }
    }
}
