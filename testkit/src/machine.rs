//! A machine as the documentation has it: its own host name, address, processes, `/etc` and Docker engine at
//! `/var/run/docker.sock`, so that commands run exactly as they are written, ports and addresses included.
//!
//! It is made of namespaces (`unshare`, which needs root), so it touches nothing of the machine that runs the tests, and
//! everything on it ends with it. Its engine has no packet filter: published ports work, containers reach nobody outside.

use std::fs::{self, File};
use std::io::Read;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CloneFlags, setns};
use tempfile::TempDir;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::docker::busybox;
use crate::servers;
use crate::wait::eventually;

/// How long it may take to come up on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Its name.
pub const NAME: &str = "web1";

/// Its address, on the interface with the default route.
pub const ADDRESS: &str = "10.0.0.5";

/// What its first process does. `$1` is its folder.
const BOOT: &str = r#"set -e
mount --make-rprivate /
mount -t proc proc /proc
mount --bind "$1/etc" /etc
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /var/log
ip link set lo up
ip link add eth0 type veth peer name wire
ip link set wire up
ip address add 10.0.0.5/24 dev eth0
ip link set eth0 up
ip route add default via 10.0.0.1
hostname web1
cd "$1/home"
touch "$1/ready"
dockerd --config-file "$1/daemon.json" >"$1/log" 2>&1 &
while :; do sleep 3600 & wait $!; done"#;

/// What its engine is told.
const ENGINE: &str = r#"{"storage-driver": "vfs", "iptables": false, "ip6tables": false, "bip": "172.17.0.1/16"}"#;

/// The machine; everything that runs on it ends when it is dropped.
pub struct Machine {
    folder: TempDir,
    /// Makes the namespaces, and ends them when it ends.
    child: Child,
    /// The first process in them.
    first: u32,
    forwarders: Vec<JoinHandle<()>>,
}

/// What a command has printed and how it ended.
#[derive(Debug)]
pub struct Said {
    /// On the standard output, and the standard error behind it.
    pub text: String,
    /// How it ended.
    pub status: ExitStatus,
}

/// A command that goes on; ended with the machine, or by [`Machine::end`].
pub struct Running {
    child: Child,
    log: PathBuf,
    /// Holds the number of its process group.
    group: PathBuf,
}

impl Machine {
    /// Starts one, with these programs on its path, each under its own name.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start(programs: &[(&str, &Path)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        for name in ["home", "bin"] {
            fs::create_dir(at(name)).expect("a folder");
        }
        for (name, program) in programs {
            symlink(program, at("bin").join(name)).expect("a link");
        }
        // Its data is where every program looks for it, but in a folder of its own.
        let engine = ENGINE.replacen(
            '{',
            &format!(r#"{{"data-root": "{}", "exec-root": "{}", "#, at("data").display(), at("exec").display()),
            1,
        );
        fs::write(at("daemon.json"), engine).expect("its settings");
        let copied = Command::new("cp").args(["-a", "/etc"]).arg(at("etc")).status().expect("cp");
        assert!(copied.success(), "/etc cannot be copied");
        fs::write(at("etc/hosts"), format!("127.0.0.1 localhost\n{ADDRESS} {NAME}\n")).expect("its hosts");
        let child = Command::new("unshare")
            .args(["--net", "--uts", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", BOOT, "boot"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(at("boot")).expect("its log"))
            .spawn()
            .expect("unshare: it needs root");
        let mut machine = Self { folder, child, first: 0, forwarders: Vec::new() };
        let path = format!("/proc/{id}/task/{id}/children", id = machine.child.id());
        let first = async || fs::read_to_string(&path).ok()?.split_whitespace().next()?.parse().ok();
        machine.first = eventually("the machine starts", DEADLINE, first).await;
        // Before that, a command would be on the machine that runs the tests, and would find its engine.
        let ready = machine.at("ready");
        eventually("the machine is apart", DEADLINE, async || ready.exists().then_some(())).await;
        let end = Instant::now() + DEADLINE;
        while !machine.run("docker version >/dev/null 2>&1").status.success() {
            assert!(Instant::now() < end, "its engine does not start:\n{}", machine.story());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        machine
    }

    /// Gives its engine an image of this name, of busybox and of these lines that change it (`EXPOSE 80`).
    ///
    /// # Panics
    /// When it does not take it.
    pub fn image(&self, name: &str, changes: &[&str]) {
        let root = self.at("image");
        if !root.exists() {
            fs::create_dir_all(root.join("bin")).expect("a folder");
            for name in ["busybox", "sh", "sleep", "httpd", "ping", "nslookup", "wget", "hostname"] {
                fs::copy(busybox(), root.join("bin").join(name)).expect("busybox copied");
            }
            fs::write(root.join("index.html"), "it works\n").expect("a page");
        }
        let changes: String = changes.iter().map(|change| format!(" --change '{change}'")).collect();
        let line = format!("tar -C {} -c . | docker import --change 'ENV PATH=/bin'{changes} - {name}", root.display());
        let said = self.run(&line);
        assert!(said.status.success(), "{line}: {}", said.text);
    }

    /// Gives its engine an image of this name that holds a program of the host and the libraries that it needs.
    ///
    /// # Panics
    /// When it does not take it.
    pub fn image_of(&self, name: &str, program: &Path) {
        let line = format!(
            r#"set -e; root=$(mktemp -d); chmod 755 "$root"; install -D {program} "$root/$(basename {program})"
mkdir -p "$root/tmp" && chmod 1777 "$root/tmp"
ldd {program} | grep -o '/[^ ]*' | while read -r file; do install -D "$file" "$root$file"; done
tar -C "$root" -c . | docker import --change 'USER 65534:65534' \
    --change 'ENTRYPOINT ["/{base}"]' - {name}; rm -r "$root""#,
            program = program.display(),
            base = program.file_name().expect("a program").display(),
        );
        let said = self.run(&line);
        assert!(said.status.success(), "{line}: {}", said.text);
    }

    /// Runs a line in a shell on it, and waits for its end.
    ///
    /// # Panics
    /// When there is no shell.
    pub fn run(&self, line: &str) -> Said {
        let output = self.command(line).output().expect("a shell");
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        Said { text, status: output.status }
    }

    /// Starts a line in a shell on it, which goes on.
    ///
    /// # Panics
    /// When there is no shell.
    #[must_use]
    pub fn spawn(&self, line: &str) -> Running {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let log = self.at(&format!("running{number}"));
        let file = File::create(&log).expect("a log");
        // A group of its own, so that all of it can be ended.
        let group = self.at(&format!("group{number}"));
        let line = format!("echo $$ >{}\n{line}", group.display());
        let mut command = self.command_of(&["setsid", "bash", "-c", &line]);
        let child = command.stdout(file.try_clone().expect("a log")).stderr(file).spawn().expect("a shell");
        Running { child, log, group }
    }

    /// Ends what goes on as Ctrl-C would, and waits for its end.
    ///
    /// # Panics
    /// When it does not end.
    pub async fn end(&self, running: &mut Running) {
        self.run(&format!("kill -TERM -- -$(cat {})", running.group.display()));
        let ended = std::cell::RefCell::new(running);
        eventually("the command ends", DEADLINE, async || ended.borrow_mut().child.try_wait().ok().flatten()).await;
    }

    /// Writes a file on it; below `/etc`, or by a relative path, which is below its home.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, path: &str, content: &str) {
        let path = match path.strip_prefix("/etc/") {
            Some(path) => self.at("etc").join(path),
            None if path.starts_with('/') => panic!("{path}: only files below /etc, or by a relative path"),
            None => self.at("home").join(path),
        };
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder made");
        fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }

    /// Lets it reach a server of the host at this address of its own.
    ///
    /// # Panics
    /// When it cannot listen there.
    pub fn forward(&mut self, own: SocketAddr, server: SocketAddr) {
        let namespace = File::open(format!("/proc/{}/ns/net", self.first)).expect("its network");
        // A thread that has changed its network is good for nothing else.
        let listening = std::thread::spawn(move || {
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("its network: it needs root");
            let listener = StdListener::bind(own).unwrap_or_else(|error| panic!("{own}: {error}"));
            listener.set_nonblocking(true).expect("a listener");
            listener
        });
        let listener = TcpListener::from_std(listening.join().expect("a listener")).expect("a listener");
        self.forwarders.push(tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    if let Ok(mut other) = TcpStream::connect(server).await {
                        let _ = copy_bidirectional(&mut stream, &mut other).await;
                    }
                });
            }
        }));
    }

    /// Waits until a line succeeds in a shell on it.
    ///
    /// # Panics
    /// When it does not in time.
    pub async fn until(&self, line: &str) {
        eventually(line, DEADLINE, async || self.run(line).status.success().then_some(())).await;
    }

    /// What its start and its engine have said.
    #[must_use]
    pub fn story(&self) -> String {
        ["boot", "log"].map(|name| fs::read_to_string(self.at(name)).unwrap_or_default()).concat()
    }

    fn command(&self, line: &str) -> Command {
        self.command_of(&["bash", "-c", line])
    }

    fn command_of(&self, words: &[&str]) -> Command {
        let servers = servers::binary("consul");
        let path = [
            self.at("bin").display().to_string(),
            servers.parent().expect("a folder").display().to_string(),
            std::env::var("PATH").unwrap_or_default(),
        ];
        let mut command = Command::new("nsenter");
        command.args(["-t", &self.first.to_string(), "--net", "--uts", "--mount", "--pid"]);
        command.arg(format!("--wd={}", self.at("home").display()));
        command.args(words);
        command.env_clear().env("PATH", path.join(":")).env("HOME", self.at("home")).env("LANG", "C.UTF-8");
        command.env("TERM", "dumb").stdin(Stdio::null());
        command
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for forwarder in &self.forwarders {
            forwarder.abort();
        }
        if self.first != 0 {
            // Whatever runs in it ends with its first process.
            let _ = Command::new("kill").args(["-KILL", &self.first.to_string()]).status();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// What it has printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        let mut text = Vec::new();
        let _ = File::open(&self.log).and_then(|mut file| file.read_to_end(&mut text));
        String::from_utf8_lossy(&text).into_owned()
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }
}
