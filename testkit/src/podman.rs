//! Podman, the other engine: one of the test's own, with its own images, containers and socket.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// An image of nothing but busybox, whose programs are called by its name.
const IMAGE: &str = "FROM scratch\nCOPY busybox /bin/busybox\n";

/// The programs that may start a container, the most undemanding first: on a host whose cgroups are of both versions,
/// crun starts none, and yet Podman takes it where it is installed.
const RUNTIMES: [&str; 2] = ["runc", "crun"];

/// What Podman would allow a container by default is more than a machine may be allowed to give.
const LIMITS: [&str; 4] = ["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"];

/// A Podman service; ended with its containers when dropped.
#[derive(Debug)]
pub struct Podman {
    folder: TempDir,
    /// One of [`RUNTIMES`] that starts containers on this machine.
    runtime: &'static str,
    service: Option<Child>,
}

impl Podman {
    /// Starts one that holds no container yet.
    ///
    /// # Panics
    /// When Podman is not installed or does not start, and when no runtime starts a container.
    #[must_use]
    pub fn start() -> Self {
        let mut podman = Self { folder: TempDir::new().unwrap(), runtime: RUNTIMES[0], service: None };
        let context = podman.folder.path().join("image");
        std::fs::create_dir(&context).unwrap();
        std::fs::write(context.join("Dockerfile"), IMAGE).unwrap();
        std::fs::copy("/bin/busybox", context.join("busybox")).unwrap();
        podman.run(&["build", "-q", "-t", "web", context.to_str().unwrap()]);
        podman.choose_runtime();
        podman.serve();
        podman
    }

    /// Where it listens.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("podman.sock")
    }

    /// Starts a container of that name that runs until it is stopped, and gives its ID.
    pub fn container(&self, name: &str, options: &[&str]) -> String {
        let mut arguments = vec!["run", "-d", "--name", name];
        arguments.extend(LIMITS.iter().chain(options));
        arguments.extend(["web", "/bin/busybox", "sleep", "3600"]);
        self.run(&arguments)
    }

    /// Runs `podman` with these arguments, and gives what it printed.
    ///
    /// # Panics
    /// When it fails.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.command().args(arguments).output().unwrap_or_else(|error| panic!("podman: {error}"));
        assert!(output.status.success(), "podman {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Ends the service; its containers go on.
    pub fn stop(&mut self) {
        if let Some(mut service) = self.service.take() {
            let _ = service.kill();
            let _ = service.wait();
        }
        let _ = std::fs::remove_file(self.socket());
    }

    /// Starts the service again.
    ///
    /// # Panics
    /// When it does not open its socket.
    pub fn serve(&mut self) {
        let address = format!("unix://{}", self.socket().display());
        let service = self
            .command()
            .args(["system", "service", "--time=0", &address])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.service = Some(service.unwrap_or_else(|error| panic!("podman: {error}: run dev/install-servers")));
        let end = Instant::now() + Duration::from_secs(30);
        while !self.socket().exists() {
            assert!(Instant::now() < end, "podman opens no socket");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Takes the first runtime that starts a container: which one the machine prefers does not decide.
    fn choose_runtime(&mut self) {
        let mut refusals = String::new();
        for runtime in RUNTIMES {
            self.runtime = runtime;
            let output =
                self.command().args(["run", "--rm"]).args(LIMITS).args(["web", "/bin/busybox", "true"]).output();
            let output = output.unwrap_or_else(|error| panic!("podman: {error}"));
            if output.status.success() {
                return;
            }
            refusals.push_str(&String::from_utf8_lossy(&output.stderr));
        }
        panic!("podman starts no container with any of {RUNTIMES:?}: {refusals}");
    }

    fn command(&self) -> Command {
        let mut command = Command::new("podman");
        command.args(["--runtime", self.runtime]);
        for (option, place) in [("--root", "root"), ("--runroot", "run"), ("--tmpdir", "tmp")] {
            command.arg(option).arg(self.folder.path().join(place));
        }
        command.args(["--storage-driver", "vfs", "--events-backend", "file"]);
        command.stdin(Stdio::null());
        command
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.command().args(["rm", "-f", "-a", "-t", "0"]).output();
        self.stop();
    }
}
