//! `explain`: why a container is registered as it is.

use std::io::Write;

use super::{Error, Exit};
use crate::cli::Ask;

/// Answers it.
pub(super) fn run(_ask: &Ask, _container: &str, _out: &mut dyn Write) -> Result<Exit, Error> {
    Err(Error::Failed("explain is not available yet".to_owned()))
}
