//! Whatever stands on the command line and in the environment is settings, or is refused in lines that print.
//!
//! The input's lines are arguments; behind the first NUL, its lines are variables; behind the second, the file of
//! `-config`, whatever its path.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use registrator::cli::{Command, Parsed, parse_with};
use registrator::config::Environment;

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let mut parts = data.splitn(3, |byte| *byte == 0);
    let mut part = || parts.next().unwrap_or_default();
    let (arguments, variables, file) = (part(), part(), part());
    let environment: Environment = lines(variables)
        .filter_map(|line| {
            let equals = line.as_bytes().iter().position(|byte| *byte == b'=')?;
            let (name, value) = line.as_bytes().split_at(equals);
            Some((os(name), os(&value[1..])))
        })
        .collect();
    let file = |_: &Path| Ok(String::from_utf8_lossy(file).into_owned());
    match parse_with(lines(arguments), &Arc::new(environment), "machine", &file) {
        Ok(Parsed::Run(config)) => assert!(!config.registries.is_empty(), "nothing to register with"),
        Ok(Parsed::Ask(ask)) => {
            if let Command::ConfigCheck { problems } = ask.command {
                assert!(problems.iter().all(|line| !line.contains(char::is_control)), "{problems:?}");
            }
        }
        Err(answer) => {
            assert!(matches!(answer.code, 0..=2 | 64), "{answer:?}");
            let prints = |text: &str| text.chars().all(|c| c == '\n' || !c.is_control());
            assert!(prints(&answer.stderr) && prints(&answer.stdout), "{answer:?}");
            assert!(!answer.stderr.is_empty() || !answer.stdout.is_empty(), "ends without a word");
        }
    }
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = OsString> {
    bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).map(os)
}

fn os(bytes: &[u8]) -> OsString {
    std::ffi::OsStr::from_bytes(bytes).to_owned()
}
