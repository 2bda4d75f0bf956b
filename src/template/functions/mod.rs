//! The functions of templates for files and commands, by subject. Those of `-tags` are a table of their own.

pub(super) mod args;
pub(super) mod services;
mod store;

use super::engine::Table;

/// For files: all there are.
pub(super) static FILES: &[Table] = &[store::TABLE];

/// For commands and paths: nothing that reads the store or files.
pub(super) static FIELDS: &[Table] = &[];
