//! Script checks: exit code 0 passes, 1 is a warning, anything else critical.
//!
//! They run only where the URI allows it, as the user that this program runs as, and are given a bare
//! environment: ours may hold tokens.

use std::ffi::OsStr;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use tokio::time::timeout;

use super::output::Tail;
use super::{Outcome, Status};

/// The variables that a script is given, as far as we have them.
const ENVIRONMENT: [&str; 5] = ["PATH", "HOME", "LANG", "TZ", "USER"];

pub(super) async fn run(program: &str, arguments: &[impl AsRef<OsStr>], limit: Duration) -> Outcome {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(ENVIRONMENT.iter().filter_map(|name| Some((name, std::env::var_os(name)?))))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Of its own group, so that what it started can be ended with it.
        .process_group(0);
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return (Status::Critical, format!("exec: {program:?}: executable file not found in $PATH"));
        }
        Err(error) => return (Status::Critical, format!("exec: {program:?}: {error}")),
    };
    let group = Group(child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)));
    let mut tail = Tail::default();
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let finished = timeout(limit, async {
        read(out, err, &mut tail).await;
        child.wait().await
    });
    let finished = finished.await;
    drop(group);
    match finished {
        Err(_) => (Status::Critical, format!("Timed out ({limit:?}) running check\n\n{}", tail.into_text())),
        Ok(Err(error)) => (Status::Critical, format!("exec: {program:?}: {error}")),
        Ok(Ok(status)) => {
            let worth = match status.code() {
                Some(0) => Status::Passing,
                Some(1) => Status::Warning,
                _ => Status::Critical,
            };
            (worth, tail.into_text())
        }
    }
}

/// Reads both streams to their ends, as they come.
async fn read(out: Option<impl AsyncRead + Unpin>, err: Option<impl AsyncRead + Unpin>, tail: &mut Tail) {
    let (Some(mut out), Some(mut err)) = (out, err) else { return };
    let (mut from_out, mut from_err) = ([0; 1024], [0; 1024]);
    let (mut out_open, mut err_open) = (true, true);
    while out_open || err_open {
        tokio::select! {
            length = out.read(&mut from_out), if out_open => match length {
                Ok(length) if length > 0 => tail.push(&from_out[..length]),
                _ => out_open = false,
            },
            length = err.read(&mut from_err), if err_open => match length {
                Ok(length) if length > 0 => tail.push(&from_err[..length]),
                _ => err_open = false,
            },
        }
    }
}

/// The processes of one script; those that are left are killed when it is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            // None may be left.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}
