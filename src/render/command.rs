//! Runs `check_cmd` and `reload_cmd`: `/bin/sh -c`, in a process group of its own, within a deadline.
//!
//! A command that takes too long is killed with all that it has started. What it leaves running when it ends is left
//! alone, and holds up nobody, even if it keeps the command's output open.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{ExitStatus, Stdio};
use std::str::FromStr;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::time::{Instant, timeout};

use super::step::{Step, Steps};

/// How much of a command's output is told, in bytes: its end.
const LONGEST_OUTPUT: usize = 500;

/// How much of a command's output is kept meanwhile, in bytes.
const KEPT_OUTPUT: usize = 8 << 10;

/// Why a command did not succeed. Displays as Go says it.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// The shell could not be started.
    #[error("cannot start /bin/sh: {0}")]
    NotStarted(#[from] io::Error),
    /// It failed.
    #[error("exit status {0}")]
    Failed(i32),
    /// A signal ended it.
    #[error("signal: {0}")]
    Signalled(&'static str),
    /// It took too long, and was killed.
    #[error("not done within {}: killed", Span(*.0))]
    TimedOut(Duration),
}

/// A duration in seconds, or in milliseconds if it is shorter.
struct Span(Duration);

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 < Duration::from_secs(1) {
            write!(f, "{} ms", self.0.as_millis())
        } else {
            write!(f, "{} s", self.0.as_secs_f64())
        }
    }
}

/// The signal of this name, without `SIG`.
pub(super) fn signal_of(name: &str) -> Option<Signal> {
    Signal::from_str(&format!("SIG{name}")).ok()
}

/// Runs a command, and tells of it and of its output.
///
/// # Errors
/// When it does not succeed within the deadline.
pub async fn run(command: &str, deadline: Duration, steps: &Steps) -> Result<(), CommandError> {
    steps.tell(&Step::Running { command: command.to_owned() });
    let began = Instant::now();
    let mut output = Output::default();
    let result = execute(command, deadline, &mut output).await;
    steps.tell(&Step::Ran {
        command: command.to_owned(),
        output: output.text(),
        well: result.is_ok(),
        took: began.elapsed(),
    });
    result
}

async fn execute(command: &str, deadline: Duration, output: &mut Output) -> Result<(), CommandError> {
    // One pipe for both, so that lines stay in their order.
    let (reader, writer) = io::pipe()?;
    let mut child = Command::new("/bin/sh")
        .arg("-c")
        .arg(command)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .spawn()?;
    let mut reader = pipe::Receiver::from_owned_fd(OwnedFd::from(reader))?;
    let ended = timeout(deadline, ending(&mut child, &mut reader, output)).await;
    if ended.is_err() {
        kill(&child);
        // Nothing survives SIGKILL for long, except in the kernel: that is not waited for.
        let _ = timeout(Duration::from_secs(1), child.wait()).await;
    }
    // All that the command itself wrote is in the pipe now.
    while output.take(&reader) {}
    drain(reader);
    match ended {
        Ok(status) => outcome(status?),
        Err(_) => Err(CommandError::TimedOut(deadline)),
    }
}

/// Reads output until the command ends.
async fn ending(child: &mut Child, reader: &mut pipe::Receiver, output: &mut Output) -> io::Result<ExitStatus> {
    let mut open = true;
    loop {
        tokio::select! {
            status = child.wait() => return status,
            readable = reader.readable(), if open => {
                open = readable.is_ok() && output.read(reader);
            }
        }
    }
}

/// Goes on reading what something in the background still writes, so that it can.
fn drain(reader: pipe::Receiver) {
    tokio::spawn(async move {
        let mut rest = Output::default();
        while reader.readable().await.is_ok() && rest.read(&reader) {}
    });
}

fn kill(child: &Child) {
    if let Some(group) = child.id().and_then(|id| i32::try_from(id).ok()) {
        // It may have ended just now.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
}

fn outcome(status: ExitStatus) -> Result<(), CommandError> {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(CommandError::Failed(code)),
        (None, number) => Err(CommandError::Signalled(name(number.and_then(|number| Signal::try_from(number).ok())))),
    }
}

/// A signal as Go calls it.
fn name(signal: Option<Signal>) -> &'static str {
    match signal {
        Some(Signal::SIGKILL) => "killed",
        Some(Signal::SIGTERM) => "terminated",
        Some(Signal::SIGHUP) => "hangup",
        Some(Signal::SIGINT) => "interrupt",
        Some(Signal::SIGSEGV) => "segmentation fault",
        Some(Signal::SIGABRT) => "aborted",
        Some(signal) => signal.as_str(),
        None => "unknown",
    }
}

/// The end of what a command prints.
#[derive(Default)]
struct Output {
    end: Vec<u8>,
    cut: bool,
}

impl Output {
    /// Reads what is there; false at the end of the pipe.
    fn read(&mut self, reader: &pipe::Receiver) -> bool {
        let mut part = [0; 4096];
        match reader.try_read(&mut part) {
            Ok(0) => false,
            Ok(length) => {
                self.push(part.get(..length).unwrap_or_default());
                true
            }
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        }
    }

    /// Reads a part of what is there; false if nothing is.
    fn take(&mut self, reader: &pipe::Receiver) -> bool {
        let mut part = [0; 4096];
        match reader.try_read(&mut part) {
            Ok(length) if length > 0 => {
                self.push(part.get(..length).unwrap_or_default());
                true
            }
            _ => false,
        }
    }

    fn push(&mut self, part: &[u8]) {
        self.end.extend_from_slice(part);
        if self.end.len() > 2 * KEPT_OUTPUT {
            self.cut = true;
            self.end.drain(..self.end.len() - KEPT_OUTPUT);
        }
    }

    /// The last part as text.
    fn text(&self) -> String {
        let whole = self.end.trim_ascii_end();
        let from = whole.len().saturating_sub(LONGEST_OUTPUT);
        let mark = if self.cut || from > 0 { "…" } else { "" };
        format!("{mark}{}", String::from_utf8_lossy(whole.get(from..).unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Runs it, and gives its result and its output.
    async fn ran(command: &str, deadline: Duration) -> (Result<(), CommandError>, String) {
        let told = Arc::new(Mutex::new(String::new()));
        let sink = Arc::clone(&told);
        let steps = Steps::new(move |step| {
            if let Step::Ran { output, .. } = step {
                output.clone_into(&mut sink.lock().unwrap());
            }
        });
        let result = run(command, deadline, &steps).await;
        let output = told.lock().unwrap().clone();
        (result, output)
    }

    #[tokio::test]
    async fn both_outputs_are_told_in_their_order() {
        let (result, output) = ran("echo one; echo two >&2; echo three", PATIENCE).await;
        assert!(result.is_ok());
        assert_eq!(output, "one\ntwo\nthree");
    }

    #[tokio::test]
    async fn a_failure_is_said_as_go_says_it() {
        for (command, said) in [
            ("exit 3", "exit status 3"),
            ("no-such-command-anywhere", "exit status 127"),
            ("kill -9 $$", "signal: killed"),
            ("kill -TERM $$", "signal: terminated"),
        ] {
            assert_eq!(ran(command, PATIENCE).await.0.unwrap_err().to_string(), said, "{command}");
        }
    }

    #[tokio::test]
    async fn a_command_that_hangs_is_killed_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pid");
        let began = Instant::now();
        let command = format!("sleep 600 & echo $! > {}; echo before; wait", file.display());
        let (result, output) = ran(&command, Duration::from_secs(2)).await;
        assert_eq!(result.unwrap_err().to_string(), "not done within 2 s: killed");
        assert_eq!(output, "before");
        assert!(began.elapsed() < PATIENCE);
        let pid: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        let is_gone = || {
            let state = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            state.rsplit(") ").next().is_none_or(|rest| rest.is_empty() || rest.starts_with('Z'))
        };
        let end = Instant::now() + PATIENCE;
        while !is_gone() {
            assert!(Instant::now() < end, "{pid} still runs");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn what_runs_on_in_the_background_holds_up_nobody_and_may_go_on_writing() {
        let folder = tempfile::tempdir().unwrap();
        let done = folder.path().join("done");
        let began = Instant::now();
        // It keeps the output open, and would be ended by a broken pipe.
        let command =
            format!("(while [ ! -e {0}.go ]; do sleep 0.02; done; echo late && touch {0}) & echo now", done.display());
        let (result, output) = ran(&command, PATIENCE).await;
        assert!(result.is_ok());
        assert_eq!(output, "now");
        assert!(began.elapsed() < PATIENCE);
        std::fs::write(folder.path().join("done.go"), "").unwrap();
        let end = Instant::now() + PATIENCE;
        while !done.exists() {
            assert!(Instant::now() < end, "the background process cannot write");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn of_a_long_output_the_end_is_told() {
        let (result, output) = ran("yes 0123456789 | head -c 1000000; echo; echo the reason", PATIENCE).await;
        assert!(result.is_ok());
        assert!(output.starts_with('…') && output.ends_with("the reason"), "{output}");
        assert!(output.len() <= LONGEST_OUTPUT + '…'.len_utf8(), "{}", output.len());
    }

    #[test]
    fn signals_have_names() {
        assert_eq!(signal_of("HUP"), Some(Signal::SIGHUP));
        assert_eq!(signal_of("USR2"), Some(Signal::SIGUSR2));
        assert_eq!(signal_of("NO"), None);
    }
}
