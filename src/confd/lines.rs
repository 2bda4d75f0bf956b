//! confd's log lines, of what happens while files are kept right.

use std::io::Write;

use tracing::{debug, error, info, warn};

use crate::render::compare::Difference;
use crate::render::keep::Noticed;
use crate::render::resource::Remark;
use crate::render::step::{How, Step};

/// Logs a step. A diff goes to the standard output.
pub(super) fn log(step: &Step) {
    match step {
        Step::Retrieving { prefix } => {
            debug!("Retrieving keys from store");
            debug!("Key prefix set to {prefix}");
        }
        // Without the values, which confd prints: they may be secret.
        Step::Retrieved { keys, .. } => debug!("Got the following keys from store: [{}]", keys.join(" ")),
        Step::UsingTemplate { path } => {
            debug!("Using source template {}", path.display());
            debug!("Compiling source template {}", path.display());
        }
        Step::Comparing { dest } => debug!("Comparing candidate config to {}", dest.display()),
        Step::Differs { dest, difference: difference @ Difference::Missing } => {
            debug!("{} {difference}", dest.display());
        }
        Step::Differs { dest, difference } => info!("{} {difference}", dest.display()),
        Step::InSync { dest } => debug!("Target config {} in sync", dest.display()),
        Step::Noop { dest, .. } => warn!("Noop mode enabled. {} will not be modified", dest.display()),
        Step::Diff { text, .. } => drop(std::io::stdout().write_all(text.as_bytes())),
        Step::OutOfSync { dest } => info!("Target config {} out of sync", dest.display()),
        Step::Running { command } => debug!("Running {command}"),
        Step::Ran { output, well: true, .. } => debug!("{output:?}"),
        Step::Ran { output, well: false, .. } => error!("{output:?}"),
        Step::Kept { path } => info!("Keeping staged file: {}", path.display()),
        Step::Replaced { how: How::Renamed, .. } => {}
        Step::Replaced { dest, how: How::InPlace } => {
            debug!("Rename failed - target is likely a mount. Trying to write instead: {}", dest.display());
        }
        Step::Removed { dest } => info!("Target config {} has been removed", dest.display()),
        Step::Updated { dest } => info!("Target config {} has been updated", dest.display()),
        // Said a moment ago.
        Step::Failed { why, again: true, .. } => debug!("{why}"),
        Step::Failed { why, .. } | Step::WatchFailed { why, .. } | Step::Refused { why } => error!("{why}"),
        Step::ReloadThrottled { dest, pause } => {
            info!("Reload throttled for {} (next allowed in {}s)", dest.display(), pause.as_secs_f64().ceil());
        }
        // confd says nothing of what is as it was.
        Step::Right { .. } | Step::Gone { .. } | Step::Reloaded { failures: 0, .. } => {}
        Step::Reloaded { dest, failures } => {
            info!("Reload for {} succeeded, after it had failed {failures} times", dest.display());
        }
        Step::ReloadFailed { why, pause: None, .. } => error!("{why}"),
        Step::ReloadFailed { why, pause: Some(pause), .. } => {
            error!("{why}; it is tried again in {:.0} s", pause.as_secs_f64());
        }
        Step::Guarded { dest, services, least, pause } => warn!(
            "{}: only {services} of at least {least} services are there; it stays as it is until they are read again in \
             {:.0} s",
            dest.display(),
            pause.as_secs_f64()
        ),
        Step::Cleaned { path } => info!("Removed {}, which a killed process had left", path.display()),
    }
}

/// Logs what is noticed about the folder of resources.
pub(super) fn notice(noticed: &Noticed) {
    match noticed {
        Noticed::Error(remark) => broken(remark),
        Noticed::Remark(remark) => warn!("{remark}"),
        Noticed::Unreadable(failure) => error!("Cannot load template resources: {failure}"),
        Noticed::ReadAgain { begun, ended } => {
            info!("Template resources were read again: {begun} new or changed, {ended} gone or changed");
        }
    }
}

/// Logs that a resource cannot be used.
pub(super) fn broken(remark: &Remark) {
    let Remark { path, place, reason } = remark;
    match place {
        Some(place) => error!("Cannot process template resource {} - {place}: {reason}", path.display()),
        None => error!("Cannot process template resource {} - {reason}", path.display()),
    }
}

/// Logs that there is nothing to do.
pub(super) fn nothing() {
    warn!("Found no templates");
}
