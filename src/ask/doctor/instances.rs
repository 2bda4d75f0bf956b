//! Other instances of registrator on this host: their processes, as far as the system shows them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::sync::Arc;

use crate::cli::{self, Parsed};
use crate::config::{Config, Environment};
use crate::registry::redacted;

/// The name of the program, as the system shows it.
const NAME: &str = "registrator";

/// A running instance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    /// Its process.
    pub(super) process: u32,
    /// The identity under which it writes.
    pub(super) owner: String,
    /// Its registries, without secrets.
    pub(super) registries: Vec<String>,
}

/// The instances on this host. One whose command line is no daemon's, such as this question, is none.
pub(super) fn running() -> Vec<Instance> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|process| process.file_name().to_str()?.parse::<u32>().ok());
    let mut found: Vec<_> = ids.filter(|id| *id != std::process::id()).filter_map(instance).collect();
    found.sort_by_key(|instance| instance.process);
    found
}

fn instance(process: u32) -> Option<Instance> {
    let folder = Path::new("/proc").join(process.to_string());
    let name = fs::read_to_string(folder.join("comm")).ok()?;
    if name.trim_end() != NAME {
        return None;
    }
    let arguments = words(&fs::read(folder.join("cmdline")).ok()?);
    // Only root and the same user may read it; without it, the options count alone.
    let environment = words(&fs::read(folder.join("environ")).unwrap_or_default());
    // In a container, the host name is another one.
    let host = fs::read_to_string(folder.join("root/etc/hostname")).unwrap_or_default();
    let host = Some(host.trim()).filter(|host| !host.is_empty()).map_or_else(crate::machine::name, str::to_owned);
    of(process, arguments, &environment, &host)
}

fn of(process: u32, arguments: Vec<OsString>, environment: &[OsString], machine: &str) -> Option<Instance> {
    let config = settings(arguments, environment, machine)?;
    let owner = config.registries.first()?.owner.clone();
    // A question, such as this one: the word for it is taken for a registry's URI.
    if !config.registries.iter().all(|registry| registry.uri.contains(':')) {
        return None;
    }
    Some(Instance {
        process,
        owner,
        registries: config.registries.iter().map(|registry| redacted(&registry.uri)).collect(),
    })
}

/// The settings of a daemon with this command line; `None` if it is none.
fn settings(arguments: Vec<OsString>, environment: &[OsString], machine: &str) -> Option<Config> {
    let pairs: BTreeMap<OsString, OsString> = environment
        .iter()
        .filter_map(|line| {
            let line = line.to_str()?;
            let (name, value) = line.split_once('=')?;
            Some((name.into(), value.into()))
        })
        .collect();
    let environment: Arc<Environment> = Arc::new(pairs.into_iter().collect());
    match cli::parse(arguments.into_iter().skip(1), &environment, machine) {
        Ok(Parsed::Run(config)) => Some(*config),
        Ok(Parsed::Ask(_)) | Err(_) => None,
    }
}

/// The texts of a file in `/proc`, each of which ends with a zero.
fn words(bytes: &[u8]) -> Vec<OsString> {
    let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    bytes.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_read_as_the_program_itself_reads_it() {
        let of = |line: &str, environment: &str| {
            of(7, words(line.as_bytes()), &words(environment.as_bytes()), "web1")
                .map(|instance| (instance.owner, instance.registries.join(" ")))
        };
        let found = |owner: &str, uris: &str| Some((owner.to_owned(), uris.to_owned()));
        for (line, environment, expected) in [
            ("/bin/registrator\0consul:\0", "", found("web1", "consul:")),
            ("registrator\0-cleanup\0-owner\0a\0consul://me:secret@h\0", "", found("a", "consul://me:***@h")),
            ("registrator\0consul:\0", "PATH=/bin\0REGISTRATOR_HOSTNAME=b\0", found("b", "consul:")),
            ("registrator\0", "REGISTRATOR_URI=etcd://h\0", found("web1", "etcd://h")),
            ("registrator\0-version\0", "", None),
            ("registrator\0doctor\0consul:\0", "", None),
            ("registrator\0-nonsense\0consul:\0", "", None),
            ("", "", None),
        ] {
            assert_eq!(of(line, environment), expected, "{line:?}");
        }
    }
}
