//! A program under measurement: runs it, follows its log, and asks the system what it costs.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::time::TimeValLike;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// A program with registrator's command line.
#[derive(Clone)]
pub struct Subject {
    pub name: &'static str,
    pub path: PathBuf,
}

/// One that runs; killed when dropped.
pub struct Running {
    child: Child,
    pub began: Instant,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    added: usize,
    last_added: Option<Instant>,
    listening: Option<Instant>,
    tail: Vec<String>,
}

impl Subject {
    pub fn new(name: &'static str, path: &str) -> Self {
        Self { name, path: path.into() }
    }

    /// Runs it against this engine (a `DOCKER_HOST`) and registry.
    pub fn run(&self, engine: &str, registry: &str, options: &[&str]) -> Running {
        let mut command = Command::new(&self.path);
        command.env_clear().env("DOCKER_HOST", engine).args(["-ip", "192.0.2.7"]).args(options).arg(registry);
        Running::spawn(command)
    }
}

impl Running {
    /// Runs a command, whose standard error is a log.
    pub fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let began = Instant::now();
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Arc::new(Mutex::new(Log::default()));
        let (lines, sink) = (BufReader::new(child.stderr.take().unwrap()).lines(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                sink.lock().unwrap().take(line);
            }
        });
        Self { child, began, log }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The processor time that it has used, user and system, in seconds.
    pub fn cpu(&self) -> f64 {
        cpu_of(self.child.id())
    }

    /// The most memory that it ever had resident, in MB.
    pub fn peak(&self) -> f64 {
        memory_of(self.child.id(), "VmHWM:")
    }

    /// What it has resident now, in MB.
    pub fn resident(&self) -> f64 {
        memory_of(self.child.id(), "VmRSS:")
    }

    /// Of that, what is not pages of the program's file, which the kernel shares and can drop, in MB.
    pub fn own(&self) -> f64 {
        memory_of(self.child.id(), "RssAnon:")
    }

    /// How many entries it says that it has added, and when the last.
    pub fn added(&self) -> (usize, Option<Instant>) {
        let log = self.log.lock().unwrap();
        (log.added, log.last_added)
    }

    /// Waits until it says that it has added so many entries; the time since it was begun, in seconds.
    pub async fn adds(&self, count: usize, deadline: Duration) -> Option<f64> {
        let until = Instant::now() + deadline;
        while Instant::now() < until {
            if let (added, Some(at)) = self.added()
                && added >= count
            {
                return Some((at - self.began).as_secs_f64());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        None
    }

    /// Waits until it says that it listens for events; the time since it was begun, in milliseconds.
    pub async fn listens(&self) -> f64 {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(at) = self.log.lock().unwrap().listening {
                return (at - self.began).as_secs_f64() * 1e3;
            }
            assert!(Instant::now() < until, "it never listened: {}", self.tail());
            tokio::time::sleep(Duration::from_micros(200)).await;
        }
    }

    /// The last lines of its log.
    pub fn tail(&self) -> String {
        self.log.lock().unwrap().tail.join("\n")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Log {
    fn take(&mut self, line: String) {
        if line.contains(" added: ") {
            self.added += 1;
            self.last_added = Some(Instant::now());
        } else if line.contains("Listening for Docker events") {
            self.listening = Some(Instant::now());
        }
        if self.tail.len() == 20 {
            self.tail.remove(0);
        }
        self.tail.push(line);
    }
}

/// The processor time of a process that still is, threads that have ended included, in seconds.
pub fn cpu_of(pid: u32) -> f64 {
    let clock = clock_getcpuclockid(Pid::from_raw(pid.cast_signed())).expect("its clock");
    let time = clock_gettime(clock).expect("its time");
    time.num_nanoseconds() as f64 / 1e9
}

/// A line of `/proc/PID/status`, in MB.
pub fn memory_of(pid: u32, line: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let kib = status.lines().find_map(|text| text.strip_prefix(line)?.trim().strip_suffix(" kB")?.parse::<f64>().ok());
    kib.expect("a number of kB") * 1024.0 / 1e6
}
