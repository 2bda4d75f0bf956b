//! `registrator confd`, and the program under the name `confd`: confd's command line over [`crate::render`].
//!
//! ```text
//! arguments ─► flags ┐
//! variables ─► environment ├─► layer ─► settings ─► run: once, or kept right until a signal
//! confd.toml ─► file ┘                               steps ─► lines ─► log
//! ```
//!
//! [`options`] is the table that all three are read by. What is printed, logged and returned is what confd 0.16 does,
//! but for what docs/migration.md lists.

mod check;
mod daemon;
mod engine;
pub mod environment;
pub mod file;
pub mod flags;
pub mod layer;
mod lines;
mod log;
mod once;
pub mod options;
mod place;
mod settings;
mod srv;
mod usage;

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use tokio::runtime::Builder;
use tracing::{debug, error, info, warn};

use crate::config::Environment;
use crate::event::Events;
use crate::machine;

use flags::{FlagError, Flags};
use place::Place;
use settings::{Mode, Settings, gather};

/// The name of the command, and of the link that calls it.
pub const NAME: &str = "confd";

/// The exit code of a wrong command line, as in Go.
const MISUSED: u8 = 2;

/// Whether the program was called as confd: by a link of that name.
#[must_use]
pub fn is_called_by(program: &OsString) -> bool {
    Path::new(program).file_name().is_some_and(|name| name == NAME)
}

/// Does what confd does. `program` is the name it was called by, `arguments` what follows it.
#[must_use]
pub fn main(program: &str, arguments: impl IntoIterator<Item = OsString>, variables: &Arc<Environment>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().map(|text| text.to_string_lossy().into_owned()).collect();
    let flags = match flags::parse(&arguments) {
        Ok(flags) => flags,
        Err(FlagError::Help) => return print(&mut io::stderr(), &usage::usage(NAME), 0),
        Err(FlagError::Wrong(reason)) => {
            let text = format!("{}\n{}", crate::log::one_line(&reason), usage::usage(NAME));
            return print(&mut io::stderr(), &text, MISUSED);
        }
    };
    if flags.layer.switch(options::Name::Version) == Some(true) {
        return print(&mut io::stdout(), &usage::version(), 0);
    }
    let settings = match prepare(program, flags, variables) {
        Ok(settings) => settings,
        Err(reason) => return fatal(&reason),
    };
    match Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => {
            let code = runtime.block_on(run(settings));
            // A command or a reading in progress is left to itself, as confd does.
            runtime.shutdown_background();
            code
        }
        Err(error) => fatal(&error.to_string()),
    }
}

/// Reads the settings, and starts the log.
fn prepare(program: &str, flags: Flags, variables: &Arc<Environment>) -> Result<Settings, String> {
    let host = machine::name();
    let gathered = gather(flags.layer, variables).inspect_err(|_| log::start(settings::Level::Info, &host, program))?;
    log::start(gathered.level, &host, program);
    gathered.notes.iter().for_each(|note| debug!("{note}"));
    let mut warnings = gathered.warnings;
    if let Some(word) = flags.ignored.first() {
        warnings.push(format!("{word:?} is no option: it and all that follows it is ignored"));
    }
    let settings = Settings::new(&gathered.layer, variables, &Events::to_log(), &mut warnings);
    warnings.iter().for_each(|warning| warn!("{warning}"));
    settings
}

async fn run(mut settings: Settings) -> ExitCode {
    if settings.mode == Mode::CheckConfig {
        return check::run(&settings);
    }
    if let Some(record) = settings.srv_record.take() {
        info!("SRV record set to {record}");
        match srv::nodes(&record, &settings.backend).await {
            Ok(nodes) => settings.backend.nodes = nodes,
            Err(reason) => return fatal(&format!("Cannot get nodes from SRV records {reason}")),
        }
    }
    info!("Backend set to {}", settings.backend.backend.name());
    info!("Starting confd");
    let place = match Place::open(settings).await {
        Ok(place) => Arc::new(place),
        Err(reason) => return fatal(&reason),
    };
    info!("Backend source(s) set to {}", place.shown());
    let mode = place.settings().mode;
    match mode {
        Mode::Onetime => once::run(&place).await,
        Mode::Watch | Mode::Interval(_) | Mode::CheckConfig => daemon::run(place).await,
    }
}

/// The end, with its reason.
fn fatal(reason: &str) -> ExitCode {
    error!(fatal = true, "{reason}");
    ExitCode::FAILURE
}

/// Prints a text. A failure to print it is ignored: there is nowhere to report it.
fn print(to: &mut dyn Write, text: &str, code: u8) -> ExitCode {
    let _ = to.write_all(text.as_bytes());
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_name_confd_is_confd() {
        for (program, expected) in [
            ("confd", true),
            ("/usr/local/bin/confd", true),
            ("./confd", true),
            ("registrator", false),
            ("/confd/registrator", false),
            ("confd-0.16", false),
            ("", false),
        ] {
            assert_eq!(is_called_by(&OsString::from(program)), expected, "{program}");
        }
    }
}
