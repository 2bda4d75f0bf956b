//! Whatever stands on the command line and in the environment is settings, or is refused in lines that print.
//!
//! The input's lines are arguments; behind the first NUL, its lines are variables.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use registrator::cli::parse;
use registrator::config::Environment;

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let end = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
    let (arguments, variables) = (&data[..end], data.get(end + 1..).unwrap_or_default());
    let environment: Environment = lines(variables)
        .filter_map(|line| {
            let equals = line.as_bytes().iter().position(|byte| *byte == b'=')?;
            let (name, value) = line.as_bytes().split_at(equals);
            Some((os(name), os(&value[1..])))
        })
        .collect();
    match parse(lines(arguments), &Arc::new(environment), "machine") {
        Ok(config) => assert!(!config.registries.is_empty(), "nothing to register with"),
        Err(answer) => {
            assert!(answer.code <= 2, "{answer:?}");
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
