//! Sends a signal to the process whose number is in a file (`reload_pid_file`).

use std::fs;
use std::path::Path;

use nix::sys::signal::kill;
use nix::unistd::Pid;

use super::command::signal_of;

/// Sends it.
///
/// # Errors
/// In one line: when the file is not there or holds no number, or there is no such process.
pub fn to_process(path: &Path, name: &str) -> Result<(), String> {
    let failed =
        |why: &dyn std::fmt::Display| format!("cannot send {name} to the process of {}: {why}", path.display());
    let text = fs::read_to_string(path).map_err(|error| failed(&error))?;
    let number = text.split_whitespace().next().and_then(|word| word.parse().ok());
    // 0, 1 and negative numbers mean whole groups, or the process that started everything.
    let pid = number.filter(|pid| *pid > 1).ok_or_else(|| failed(&"the file holds no number of a process"))?;
    let signal = signal_of(name).ok_or_else(|| failed(&"there is no such signal"))?;
    kill(Pid::from_raw(pid), signal).map_err(|error| failed(&error.desc()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_process_gets_its_signal() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        let mut child = Command::new("sleep").arg("600").spawn().unwrap();
        fs::write(&path, format!("{}\n", child.id())).unwrap();
        to_process(&path, "USR1").unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(nix::sys::signal::Signal::SIGUSR1 as i32));
        assert!(to_process(&path, "USR1").unwrap_err().contains("No such process"));
    }

    #[test]
    fn what_is_no_number_of_one_process_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        assert!(to_process(&path, "HUP").is_err());
        for text in ["", "x", "0", "1", "-1", "-5", "99999999999"] {
            fs::write(&path, text).unwrap();
            assert!(to_process(&path, "HUP").unwrap_err().contains("holds no number"), "{text:?}");
        }
    }
}
