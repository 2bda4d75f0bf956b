//! Whatever stands on confd's command line, in `confd.toml`, in a resource and in a file of keys: it is read or refused, in
//! lines that print.
//!
//! The input's lines are arguments; behind the first NUL, `confd.toml`; behind the second, a resource; behind the third, a
//! YAML file of keys.

use std::path::Path;

use registrator::confd::{file, flags};
use registrator::render::resource;
use registrator::render::source::file_keys;

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let mut parts = data.splitn(4, |byte| *byte == 0).map(String::from_utf8_lossy);
    let mut part = || parts.next().unwrap_or_default().into_owned();
    let (arguments, settings, template, keys) = (part(), part(), part(), part());
    let arguments: Vec<_> = arguments.lines().map(str::to_owned).collect();
    let _ = flags::parse(&arguments);
    match file::parse(&settings) {
        Ok(file) => file.warnings.iter().for_each(|line| prints(line)),
        Err(reason) => prints(&reason),
    }
    match resource::parse(Path::new("t.toml"), &template) {
        Ok(read) => read.remarks.iter().for_each(|remark| prints(&remark.to_string())),
        Err(remark) => prints(&remark.to_string()),
    }
    match file_keys(&keys) {
        Ok(keys) => {
            for key in keys.keys() {
                assert!(key.starts_with('/') && !key.contains("//"), "{key:?}");
            }
        }
        Err(reason) => prints(&reason),
    }
}

fn prints(line: &str) {
    assert!(!line.is_empty() && !line.contains(char::is_control), "{line:?}");
}
