//! `-healthcheck`: whether the running instance is well, as an image's HEALTHCHECK asks.
//!
//! An image cannot know the options of its containers. So without `-status` it is the first process that is asked, which in a
//! container is the instance: at the address that this one was started with. One that serves no status is well as long as it runs.

use std::ffi::OsString;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use super::source::Source;
use super::{Error, Exit};
use crate::cli::{self, Ask, Parsed};
use crate::{confd, machine};

/// What the kernel tells of the first process.
const FIRST: &str = "/proc/1";

/// Answers it.
pub(super) fn run(ask: &Ask, out: &mut dyn Write) -> Result<Exit, Error> {
    if ask.status.is_some() {
        return of(ask, out);
    }
    let ask = match first(Path::new(FIRST)) {
        First::Another => return needs_status(),
        First::Unreadable(reason) => return Err(Error::Failed(reason)),
        First::Served(config) => Ask { status: config.status.address.clone(), config: *config, ..ask.clone() },
        First::Unserved => {
            writeln!(out, "it runs; without -status there is nothing more to ask")?;
            return Ok(Exit::Well);
        }
    };
    of(&ask, out)
}

/// The instance at an address.
fn of(ask: &Ask, out: &mut dyn Write) -> Result<Exit, Error> {
    let source = Source::open(ask)?;
    let Some((status, text)) = source.text("/health?verbose")? else { return needs_status() };
    out.write_all(text.as_bytes())?;
    Ok(if status == 200 { Exit::Well } else { Exit::Failed })
}

fn needs_status() -> Result<Exit, Error> {
    Err(Error::Failed("-healthcheck needs -status, or the variable REGISTRATOR_STATUS".to_owned()))
}

/// What the first process is.
enum First {
    /// Another program, or one that we may not look at.
    Another,
    /// This program, whose options cannot be read as they are now.
    Unreadable(String),
    /// This program, which serves its status with these settings.
    Served(Box<crate::config::Config>),
    /// This program, without a status.
    Unserved,
}

fn first(process: &Path) -> First {
    let Ok(line) = line_of_ours(process) else { return First::Another };
    let mut arguments = line.into_iter();
    let as_confd = arguments.next().is_some_and(|program| confd::is_called_by(&program));
    if as_confd || arguments.as_slice().first().is_some_and(|command| command == confd::NAME) {
        return First::Unserved;
    }
    // Of the same container, so with the same variables.
    let environment = Arc::new(std::env::vars_os().collect());
    match cli::parse(arguments, &environment, &machine::name()) {
        Ok(Parsed::Run(config)) if config.status.address.is_some() => First::Served(config),
        Ok(_) => First::Unserved,
        Err(answer) => First::Unreadable(answer.stderr.trim_end().to_owned()),
    }
}

/// The command line of a process, if it runs this very program.
fn line_of_ours(process: &Path) -> io::Result<Vec<OsString>> {
    let (its, ours) = (fs::metadata(process.join("exe"))?, fs::metadata("/proc/self/exe")?);
    if (its.dev(), its.ino()) != (ours.dev(), ours.ino()) {
        return Err(io::ErrorKind::NotFound.into());
    }
    let line = fs::read(process.join("cmdline"))?;
    let line = line.strip_suffix(b"\0").unwrap_or(&line);
    Ok(line.split(|byte| *byte == 0).map(|argument| OsString::from_vec(argument.to_vec())).collect())
}
