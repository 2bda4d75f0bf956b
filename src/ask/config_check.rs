//! `config check`: whether the options, the variables and the file of `-config` are right.

use std::io::Write;

use serde_json::json;

use super::{Error, Exit, Format, print_json};
use crate::cli::Ask;
use crate::config::Config;
use crate::docker;
use crate::registry;

/// Prints all problems: those of the command line, then what can be said of registries and the engine without asking
/// them.
pub(super) fn run(ask: &Ask, problems: &[String], out: &mut dyn Write) -> Result<Exit, Error> {
    let problems: Vec<String> = problems.iter().cloned().chain(of_outsides(&ask.config)).collect();
    match ask.format {
        Format::Json => print_json(out, &json!({ "problems": problems }))?,
        Format::Table if problems.is_empty() => writeln!(out, "the settings are right")?,
        Format::Table => {
            for problem in &problems {
                writeln!(out, "{problem}")?;
            }
        }
    }
    Ok(if problems.is_empty() { Exit::Well } else { Exit::Failed })
}

/// What is wrong with the addresses, variables and files of registries, the engine and the status listener.
fn of_outsides(config: &Config) -> Vec<String> {
    let mut problems: Vec<String> = config
        .registries
        .iter()
        .filter_map(|settings| registry::check(settings).err())
        .map(|e| e.to_string())
        .collect();
    // That no engine runs now is not the settings' fault.
    let engine = docker::place(&config.docker).err().filter(docker::ConnectError::is_final);
    problems.extend(engine.map(|error| error.to_string()));
    let status = &config.status;
    let tls = status.tls.iter().flat_map(|tls| [("-status-tls-cert", &tls.certificate), ("-status-tls-key", &tls.key)]);
    let token = status.token_file.iter().map(|path| ("-status-token-file", path));
    for (option, path) in tls.chain(token) {
        if let Err(error) = std::fs::File::open(path) {
            let path = path.display().to_string();
            problems.push(format!("{option} {}: {error}; name a file that can be read", path.escape_debug()));
        }
    }
    problems
}
