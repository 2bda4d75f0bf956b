//! The template of a file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gtmpl_ng::{Limits, Value};

use super::engine::Compiled;
use super::error::TemplateError;
use super::functions::{self, include, services};
use super::instance::{Data, Dot};
use super::scope::{self, Scope};

/// The output limit of one rendering, in bytes.
const LONGEST_OUTPUT: usize = 256 << 20;

/// The limit of what one function gives: the bytes of its texts, and its elements.
const LARGEST_VALUE: usize = 32 << 20;

/// How often all loops of one rendering may run.
const MOST_ITERATIONS: usize = 100_000_000;

/// The time limit of one rendering, lookups of names included.
const DEADLINE: Duration = Duration::from_secs(60);

/// A template of a file, parsed once and rendered as often as its data changes.
pub struct FileTemplate {
    name: String,
    folder: PathBuf,
    compiled: Compiled,
}

impl FileTemplate {
    /// Parses a template. `name` is the base name of its file, which its errors carry; `folder` is where `include` finds
    /// files.
    ///
    /// # Errors
    /// When it is not Go's language, or names a function that does not exist.
    pub fn parse(name: &str, text: &str, folder: &Path) -> Result<Self, TemplateError> {
        let compiled = Compiled::parse(name, text, &functions::files(), limits(DEADLINE))
            .map_err(|failure| TemplateError::parse(name, failure))?;
        Ok(Self { name: name.to_owned(), folder: folder.to_owned(), compiled })
    }

    /// As [`FileTemplate::parse`], from the bytes of a file.
    ///
    /// # Errors
    /// As there, and when the bytes are not UTF-8.
    pub fn parse_bytes(name: &str, bytes: &[u8], folder: &Path) -> Result<Self, TemplateError> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::parse(name, text, folder),
            Err(error) => Err(TemplateError::not_utf8(name, error.valid_up_to())),
        }
    }

    /// Parses what it includes as well, as far as the template spells the names out. Needs no data, so a configuration
    /// can be checked with it.
    ///
    /// # Errors
    /// When such a file is not there, does not parse, or includes itself.
    pub fn check(&self) -> Result<(), TemplateError> {
        check_included(&self.name, &self.compiled, &self.folder, &[])
    }

    /// The file's text with this data.
    ///
    /// It may block: for lookups of names, and for files that it includes. So a caller on a runtime's thread runs it
    /// where blocking is allowed.
    ///
    /// # Errors
    /// When a function fails, a field is missing, or a limit is exceeded.
    pub fn render(&self, data: &Arc<Data>, dot: &Dot) -> Result<String, TemplateError> {
        let scope = Scope::new(Arc::clone(data), self.folder.clone());
        scope::within(scope, || self.compiled.execute(services::dot(dot)))
            .map_err(|failure| TemplateError::execute(&self.name, failure))
    }
}

impl fmt::Debug for FileTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileTemplate").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A template that `include` names. It shares the time limit of the one that includes it.
pub(super) struct Included {
    name: String,
    compiled: Compiled,
}

impl Included {
    pub(super) fn parse(file: &Path, text: &str, remaining: Option<Duration>) -> Result<Self, TemplateError> {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let compiled = Compiled::parse(&name, text, &functions::files(), limits(remaining.unwrap_or(DEADLINE)))
            .map_err(|failure| TemplateError::parse(&name, failure))?;
        Ok(Self { name, compiled })
    }

    pub(super) fn execute(&self, dot: Value) -> Result<String, TemplateError> {
        self.compiled.execute(dot).map_err(|failure| TemplateError::execute(&self.name, failure))
    }
}

/// Parses the files that a template includes by names that it spells out, and those that they include.
fn check_included(name: &str, compiled: &Compiled, folder: &Path, including: &[PathBuf]) -> Result<(), TemplateError> {
    for (file, place) in compiled.literal_calls("include") {
        let found = include::find(folder, &file, including).and_then(|found| Ok((include::read(&found)?, found)));
        let (text, found) = found.map_err(|fault| TemplateError::at(name, place, fault.into_reason()))?;
        let included = Included::parse(&found, &text, None)?;
        let including = [including, &[found]].concat();
        check_included(&included.name, &included.compiled, folder, &including)?;
    }
    Ok(())
}

fn limits(deadline: Duration) -> Limits {
    Limits::unlimited()
        .with_iterations(MOST_ITERATIONS)
        .with_total_iterations(MOST_ITERATIONS)
        .with_output_bytes(LONGEST_OUTPUT)
        .with_function_output(LARGEST_VALUE)
        .with_deadline(deadline)
}

#[cfg(test)]
mod confd;
#[cfg(test)]
mod cost;
#[cfg(test)]
mod examples;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;
