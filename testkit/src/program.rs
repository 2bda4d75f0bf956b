//! The program itself, run as a user runs it, with its log at hand.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::wait::eventually;

/// A running program; killed when dropped.
#[derive(Debug)]
pub struct Program {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    reader: JoinHandle<()>,
}

impl Program {
    /// Starts `binary` with an environment of its own: only what is given, and `PATH`.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start<'a>(
        binary: &Path,
        arguments: impl IntoIterator<Item = &'a str>,
        environment: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut child = Command::new(binary)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let log = Arc::new(Mutex::new(Vec::new()));
        let (lines, sink) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&log));
        let reader = std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                sink.lock().unwrap().push(line);
            }
        });
        Self { child, log, reader }
    }

    /// The number of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    /// How many lines of its log contain `text`.
    #[must_use]
    pub fn logged(&self, text: &str) -> usize {
        self.log.lock().unwrap().iter().filter(|line| line.contains(text)).count()
    }

    /// Waits until a line of its log contains `text`, and gives that line.
    ///
    /// # Panics
    /// When none does within 20 seconds; the message shows the log.
    pub async fn wait_for(&self, text: &str) -> String {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(line) = self.log.lock().unwrap().iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            assert!(Instant::now() < end, "never logged {text:?}, but:\n{}", self.log().join("\n"));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until so many lines of its log contain `text`.
    ///
    /// # Panics
    /// When they do not within 20 seconds; the message shows the log.
    pub async fn wait_for_count(&self, text: &str, count: usize) {
        let end = Instant::now() + Duration::from_secs(20);
        while self.logged(text) < count {
            assert!(Instant::now() < end, "not {count} times {text:?}, but:\n{}", self.log().join("\n"));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The most memory that it has had so far, in bytes.
    ///
    /// # Panics
    /// When it has ended already.
    #[must_use]
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB")).unwrap();
        peak.trim().parse::<u64>().unwrap() << 10
    }

    /// Sends it a signal, by its name (`TERM`, `HUP`, …).
    ///
    /// # Panics
    /// When it has ended already.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success(), "cannot send {name}");
    }

    /// Waits until it ends, and its log is there as a whole.
    ///
    /// # Panics
    /// When it does not within `deadline`.
    pub async fn ended(&mut self, deadline: Duration) -> ExitStatus {
        let child = std::sync::Mutex::new(&mut self.child);
        let status = eventually("the program ends", deadline, async || child.lock().unwrap().try_wait().unwrap()).await;
        let reader = &self.reader;
        eventually("its log ends", deadline, async || reader.is_finished().then_some(())).await;
        status
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("--- its log:\n{}", self.log().join("\n"));
        }
    }
}
