//! Paths, and the files that they name.

use std::fs;
use std::io::ErrorKind;

use gtmpl_ng::Value;

use super::args::{Args, Given, exactly, functions};
use crate::template::engine::Table;
use crate::template::paths;

pub(in crate::template) static TABLE: Table = functions! {
    "base", exactly(1), |args| Ok(Value::from(paths::base(args.text(0)?)));
    "dir", exactly(1), |args| Ok(Value::from(paths::dir(args.text(0)?)));
};

/// What reads the file system.
pub(in crate::template) static FILES: Table = functions! {
    "fileExists", exactly(1), file_exists;
};

/// A file that may not be looked at counts as one that exists.
fn file_exists(args: &Args<'_>) -> Given {
    let missing = fs::metadata(args.text(0)?).is_err_and(|error| error.kind() == ErrorKind::NotFound);
    Ok(Value::from(!missing))
}
