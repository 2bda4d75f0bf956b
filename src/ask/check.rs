//! `check`: whether a registry can be used.

use std::io::Write;

use super::{Error, Exit};
use crate::cli::Ask;

/// Answers it.
pub(super) fn run(_ask: &Ask, _out: &mut dyn Write) -> Result<Exit, Error> {
    Err(Error::Failed("check is not available yet".to_owned()))
}
