//! What happens while files are kept right, as values: the log of `registrator confd` and the daemon's events are made
//! of them.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::compare::Difference;

/// Something that happened with a resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    // === one run, in this order ===
    /// Keys are fetched, below this prefix.
    Retrieving {
        /// The prefix.
        prefix: String,
    },
    /// These keys were read (without their values, which may be secret), and so many instances.
    Retrieved {
        /// The keys, as templates see them.
        keys: Vec<String>,
        /// How many instances of services.
        instances: usize,
    },
    /// The template that is used.
    UsingTemplate {
        /// Its path.
        path: PathBuf,
    },
    /// The rendered text is compared with the file.
    Comparing {
        /// The file.
        dest: PathBuf,
    },
    /// The file differs from what was rendered.
    Differs {
        /// The file.
        dest: PathBuf,
        /// In what.
        difference: Difference,
    },
    /// The file is as it should be.
    InSync {
        /// The file.
        dest: PathBuf,
    },
    /// Nothing is changed, because only a look was asked for. Told also of a file that is as it should be.
    Noop {
        /// The file.
        dest: PathBuf,
        /// Whether it would have been.
        differs: bool,
    },
    /// What would change, as a unified diff.
    Diff {
        /// The file.
        dest: PathBuf,
        /// The diff; empty if the contents are equal.
        text: String,
    },
    /// The file is not as it should be, and will be replaced.
    OutOfSync {
        /// The file.
        dest: PathBuf,
    },
    /// A command runs.
    Running {
        /// The command.
        command: String,
    },
    /// A command has ended.
    Ran {
        /// The command.
        command: String,
        /// What it printed, cut.
        output: String,
        /// Whether it succeeded.
        well: bool,
        /// How long it took.
        took: Duration,
    },
    /// The staged file stays, because that was asked for.
    Kept {
        /// The staged file.
        path: PathBuf,
    },
    /// The file has its new content; its program does not know yet.
    Replaced {
        /// The file.
        dest: PathBuf,
        /// How.
        how: How,
    },
    /// A file of `for_each` was removed, because what it was for is gone.
    Removed {
        /// The file.
        dest: PathBuf,
    },
    /// The file is new, and its program was told, if it is to be told.
    Updated {
        /// The file.
        dest: PathBuf,
    },

    /// A run of a keeper has ended, and everything is as it should be.
    Right {
        /// The file, or the folder of several.
        dest: PathBuf,
        /// Whether it was before.
        unchanged: bool,
    },
    /// The resource is gone: the file is kept right no longer.
    Gone {
        /// The file, or the folder of several.
        dest: PathBuf,
    },
    /// A run failed. The file keeps its content.
    Failed {
        /// The file, or the folder of several.
        dest: PathBuf,
        /// Why, in one line.
        why: String,
        /// The pause before the next attempt; `None` if nothing tries it again by itself.
        pause: Option<Duration>,
        /// It was told just now that it fails for this reason.
        again: bool,
    },
    /// The source cannot be watched; changes of it are not noticed until it can.
    WatchFailed {
        /// The file, or the folder of several.
        dest: PathBuf,
        /// Why, in one line.
        why: String,
        /// The pause before the next attempt.
        pause: Duration,
    },

    // === what follows ===
    /// The reload waits, because the last one was just now.
    ReloadThrottled {
        /// The file.
        dest: PathBuf,
        /// How long it waits.
        pause: Duration,
    },
    /// The reload succeeded.
    Reloaded {
        /// What it was about: the file, or the folder of several.
        dest: PathBuf,
        /// How often it had failed before.
        failures: u32,
    },
    /// The reload failed, and will be tried again.
    ReloadFailed {
        /// What it was about: the file, or the folder of several.
        dest: PathBuf,
        /// Why, in one line.
        why: String,
        /// The pause before the next attempt; `None` if there is none.
        pause: Option<Duration>,
    },
    /// A source that had services tells none, or too few. The file stays as it is until the source was read again.
    Guarded {
        /// The file.
        dest: PathBuf,
        /// How many services there are.
        services: usize,
        /// `min_services`.
        least: usize,
        /// How long until the source is read again.
        pause: Duration,
    },
    /// One of the files of `for_each` cannot be made; the others are.
    Refused {
        /// Why, in one line.
        why: String,
    },
    /// A staged file that a killed process had left was removed.
    Cleaned {
        /// It.
        path: PathBuf,
    },
}

/// How a file got its new content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// By a rename: no reader sees a part.
    Renamed,
    /// In place, because it cannot be replaced: it is a mount of its own.
    InPlace,
}

/// Where steps go: from any thread, without waiting. Clones share the destination.
#[derive(Clone)]
pub struct Steps(Arc<dyn Fn(&Step) + Send + Sync>);

impl Steps {
    /// Passes each step to this function.
    #[must_use]
    pub fn new(listen: impl Fn(&Step) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listen))
    }

    /// Passes a step on.
    pub fn tell(&self, step: &Step) {
        (self.0)(step);
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Steps")
    }
}
