//! `-healthcheck`: whether the running instance is well, as an image's HEALTHCHECK asks.

use std::io::Write;

use super::source::Source;
use super::{Error, Exit};
use crate::cli::Ask;

/// Answers it.
pub(super) fn run(ask: &Ask, out: &mut dyn Write) -> Result<Exit, Error> {
    let source = Source::open(ask)?;
    let Some((status, text)) = source.text("/health?verbose")? else {
        return Err(Error::Failed("-healthcheck asks a running instance: give its address with -status".to_owned()));
    };
    out.write_all(text.as_bytes())?;
    Ok(if status == 200 { Exit::Well } else { Exit::Failed })
}
