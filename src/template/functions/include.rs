//! `include`: another file's template, with its output in the place of the call.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use gtmpl_ng::{Value, limits};

use super::args::{Args, Failed, Given, at_least, functions};
use crate::template::engine::Table;
use crate::template::error::TemplateError;
use crate::template::file::Included;
use crate::template::scope::{self, Scope};

pub(in crate::template) static TABLE: Table = functions! {
    "include", at_least(1), include;
};

/// How deep files may include each other.
const DEEPEST: usize = 10;

/// The largest file that is included, in bytes.
const LARGEST: u64 = 16 << 20;

/// The stack of the thread that runs an included template. Each has its own, so that their depths do not add up.
const STACK: usize = 4 << 20;

/// `include FILE [DATA]`
fn include(args: &Args<'_>) -> Given {
    let (name, dot) = (args.text(0)?, args.value(1).clone());
    let seen = scope::with(|scope| (Arc::clone(&scope.data), scope.folder.clone(), scope.including.clone()));
    let (data, folder, including) = seen.ok_or_else(|| Failed::new("no template runs"))?;
    let file = find(&folder, name, &including)?;
    let text = read(&file)?;
    let remaining = limits::remaining();
    let work = move || {
        let template = Included::parse(&file, &text, remaining)?;
        let including = [including, vec![file]].concat();
        scope::within(Scope { including, ..Scope::new(data, folder) }, || template.execute(dot))
    };
    let thread = thread::Builder::new().name("include".to_owned()).stack_size(STACK).spawn(work);
    let text = thread?.join().map_err(|_| Failed::new(format_args!("{name}: the template panicked")))?;
    text.map(Value::from).map_err(|error| innermost(&error))
}

/// What is wrong where it went wrong, however many files lie between.
fn innermost(error: &TemplateError) -> Failed {
    match error {
        TemplateError::Execute(fault) => {
            let inner = fault.reason.strip_prefix("error calling include: ");
            Failed::new(inner.filter(|inner| inner.starts_with("template: ")).unwrap_or(&error.to_string()))
        }
        other => Failed::new(other),
    }
}

/// Finds the file, within the folder of templates: also where links lead. `including` are the files that include it.
///
/// # Errors
/// When there is none, it lies elsewhere, or it includes itself.
pub(in crate::template) fn find(folder: &Path, name: &str, including: &[PathBuf]) -> Result<PathBuf, Failed> {
    let outside = || Failed::new(format_args!("include path {name:?} is outside template directory"));
    let unreadable = |error: std::io::Error| Failed::new(format_args!("include {name}: {error}"));
    if Path::new(name).is_absolute() {
        return Err(outside());
    }
    let folder = fs::canonicalize(folder).map_err(unreadable)?;
    let file = fs::canonicalize(folder.join(name)).map_err(unreadable)?;
    if !file.starts_with(&folder) {
        return Err(outside());
    }
    if including.contains(&file) {
        return Err(Failed::new(format_args!("include cycle detected: {name} is already being included")));
    }
    if including.len() >= DEEPEST {
        return Err(Failed::new(format_args!("maximum include depth ({DEEPEST}) exceeded")));
    }
    Ok(file)
}

/// The file's text. Nothing but a file is read: a pipe would block for ever.
///
/// # Errors
/// When it is none, is too large, or is not UTF-8.
pub(in crate::template) fn read(file: &Path) -> Result<String, Failed> {
    let name = file.display();
    let metadata = fs::metadata(file)?;
    if !metadata.is_file() {
        return Err(Failed::new(format_args!("include {name}: it is not a file")));
    }
    if metadata.len() > LARGEST {
        return Err(Failed::new(format_args!("include {name}: it is larger than {LARGEST} bytes")));
    }
    let bytes = fs::read(file).map_err(|error| Failed::new(format_args!("include {name}: {error}")))?;
    String::from_utf8(bytes).map_err(|error| {
        Failed::new(format_args!("include {name}: byte {} is not UTF-8", error.utf8_error().valid_up_to()))
    })
}
