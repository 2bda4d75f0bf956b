//! The audit (`-audit FILE`): each write to a registry, tried or made, as one JSON line.
//!
//! A thread of its own writes the file, so that a slow disk delays nobody. When it falls behind for long, lines are
//! left out, and a line says how many.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use serde_json::json;

use crate::event::Event;

/// How many lines may wait for the disk.
const WAITING: usize = 20_000;

enum Message {
    Line(String),
    Reopen,
}

/// Writes the audit. Clones write the same file. What waits when the last is dropped is still written.
#[derive(Clone)]
pub struct Audit {
    sender: SyncSender<Message>,
    left_out: Arc<AtomicU64>,
}

impl Audit {
    /// Opens the file, to append to it.
    ///
    /// # Errors
    /// In one line that says what to do.
    pub fn open(path: &Path) -> Result<Self, String> {
        let shown = path.display().to_string();
        let file =
            append_to(path).map_err(|error| format!("-audit {shown}: {error}; give a file that can be written"))?;
        let (sender, receiver) = sync_channel(WAITING);
        let left_out = Arc::new(AtomicU64::new(0));
        let (path, counted) = (path.to_owned(), Arc::clone(&left_out));
        let spawned =
            thread::Builder::new().name("audit".to_owned()).spawn(move || write(&path, file, &receiver, &counted));
        spawned.map_err(|error| format!("-audit {shown}: {error}"))?;
        Ok(Self { sender, left_out })
    }

    /// Takes an event; writes to registries become lines.
    pub fn take(&self, event: &Event) {
        let Event::Wrote { registry, action, id, service, reason, error, took, .. } = event else { return };
        let origin = service.as_ref().map(|service| &service.origin);
        let line = json!({
            "time": Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            "registry": registry,
            "action": action,
            "service": id,
            "name": service.as_ref().map(|service| &service.name),
            "container": origin.map(|origin| origin.container.short()),
            "container_name": origin.map(|origin| &origin.container_name),
            "reason": reason,
            "result": if error.is_some() { "failed" } else { "ok" },
            "error": error,
            "milliseconds": u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
        });
        if let Err(TrySendError::Full(_)) = self.sender.try_send(Message::Line(line.to_string())) {
            self.left_out.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Opens the file anew, after it was renamed (SIGHUP).
    pub fn reopen(&self) {
        let _ = self.sender.try_send(Message::Reopen);
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

fn write(path: &Path, file: File, receiver: &Receiver<Message>, left_out: &AtomicU64) {
    let mut file = BufWriter::new(file);
    let mut failed = false;
    let mut next = receiver.recv().ok();
    while let Some(message) = next {
        let result = match message {
            Message::Line(line) => writeln!(file, "{line}"),
            Message::Reopen => file.flush().and_then(|()| append_to(path)).map(|opened| file = BufWriter::new(opened)),
        };
        let omitted = left_out.swap(0, Ordering::Relaxed);
        let result = result.and_then(|()| match omitted {
            0 => Ok(()),
            omitted => writeln!(file, "{}", json!({ "left_out": omitted, "reason": "the disk was too slow" })),
        });
        next = receiver.try_recv().ok();
        if next.is_none() {
            // Nothing waits: everything is on the disk before the next one comes.
            let flushed = result.and_then(|()| file.flush());
            if let Err(error) = flushed {
                if !std::mem::replace(&mut failed, true) {
                    tracing::warn!("-audit {}: {error}; lines are lost until it can be written", path.display());
                }
                // A full disk may have room later.
                thread::sleep(Duration::from_millis(100));
                if let Ok(opened) = append_to(path) {
                    file = BufWriter::new(opened);
                }
            } else {
                failed = false;
            }
            next = receiver.recv().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrote(id: &str, error: Option<&str>) -> Event {
        Event::Wrote {
            registry: "consul://h:8500".into(),
            action: "put",
            id: id.into(),
            service: None,
            reason: "it was not there",
            error: error.map(str::to_owned),
            took: Duration::from_millis(3),
            waited: None,
        }
    }

    fn lines(path: &Path, count: usize) -> Vec<serde_json::Value> {
        for _ in 0..500 {
            let text = std::fs::read_to_string(path).unwrap_or_default();
            if text.lines().count() >= count {
                return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("not {count} lines: {:?}", std::fs::read_to_string(path));
    }

    #[test]
    fn each_write_is_a_line_and_a_renamed_file_is_left_alone_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("audit.json"), folder.path().join("audit.1"));
        let audit = Audit::open(&path).unwrap();
        audit.take(&wrote("a", None));
        audit.take(&wrote("b\n", Some("refused")));
        audit.take(&Event::Listening);
        let said = lines(&path, 2);
        assert_eq!((&said[0]["service"], &said[0]["result"]), (&json!("a"), &json!("ok")));
        assert_eq!((&said[1]["service"], &said[1]["error"]), (&json!("b\n"), &json!("refused")));
        std::fs::rename(&path, &old).unwrap();
        audit.reopen();
        audit.take(&wrote("c", None));
        assert_eq!(lines(&path, 1)[0]["service"], "c");
        assert_eq!(lines(&old, 2).len(), 2);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_said_before_anything_begins() {
        let error = Audit::open(Path::new("/nonexistent/audit.json")).err().unwrap();
        assert!(error.contains("-audit /nonexistent/audit.json"), "{error}");
    }
}
