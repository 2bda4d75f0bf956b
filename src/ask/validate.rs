//! `validate FILE`: what is wrong in a compose file, or in the output of `docker inspect`.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use serde_json::{Value, json};

use super::{Error, Exit, Format, print_json};
use crate::cli::Ask;
use crate::validate::{Finding, validate};

/// The maximum size of a file, in bytes: the inspect results of some thousand containers.
const LARGEST: u64 = 32 << 20;

/// Prints what is wrong, each on a line that begins with file, line and column.
pub(super) fn run(ask: &Ask, file: &Path, out: &mut dyn Write) -> Result<Exit, Error> {
    let shown = file.display().to_string().escape_debug().to_string();
    let text = read(file)
        .map_err(|error| Error::Failed(format!("{shown} cannot be read: {error}; validate reads a compose file")))?;
    let uris: Vec<_> = ask.config.registries.iter().map(|registry| registry.uri.as_str()).collect();
    let findings =
        validate(&text, &ask.config.service, &uris).map_err(|error| Error::Failed(format!("{shown}:{error}")))?;
    match ask.format {
        Format::Table => {
            for finding in &findings {
                writeln!(out, "{shown}:{finding}")?;
            }
        }
        Format::Json => {
            let list: Vec<_> = findings.iter().map(as_json).collect();
            print_json(out, &json!({ "file": file.display().to_string(), "findings": list }))?;
        }
    }
    Ok(if findings.is_empty() { Exit::Well } else { Exit::ToDo })
}

/// Reads a file; `-` is the standard input.
fn read(file: &Path) -> io::Result<String> {
    let source: Box<dyn Read> =
        if file == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(file)?) };
    let mut bytes = Vec::new();
    source.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(io::Error::other("it is larger than 32 MiB"));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::other("it is not UTF-8"))
}

fn as_json(finding: &Finding) -> Value {
    json!({
        "line": finding.at.line,
        "column": finding.at.column,
        "service": finding.subject,
        "kind": finding.kind.as_str(),
        "problem": finding.text,
        "fix": finding.fix,
    })
}
