//! A Docker engine of one test's own: a real one, with a socket, data and runtime of its own, that can be
//! stopped, killed and started again while containers run on it.
//!
//! It lives in a network namespace of its own, for the machine's is not to be touched: an engine without a bridge
//! removes docker0 when it starts, and with one it rewrites the packet filter. So its containers are on the "host"
//! network, which is that of the namespace, or on one that a test makes there, and reach nobody outside. The engine of a
//! [host](crate::hosts) lives in the namespace of that host, with a bridge and published ports as on any machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::docker::{busybox, try_ask};
use crate::wait::eventually;

/// How long an engine may take to come up, or to end, on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// The engine; ended with everything that runs on it when dropped.
pub struct PrivateEngine {
    folder: TempDir,
    /// The network namespace that it shares, by name; without one, it makes its own at each start.
    namespace: Option<String>,
    child: Option<Child>,
}

impl PrivateEngine {
    /// Starts one, with the image [`crate::docker::IMAGE`] on it. With `live_restore`, its containers go on when it ends.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start(live_restore: bool) -> Self {
        let settings = json!({
            "bridge": "none", "iptables": false, "ip6tables": false, "live-restore": live_restore,
        });
        Self::with(settings, None).await
    }

    /// Starts one in this network namespace (`ip netns`), with the image [`crate::docker::IMAGE`] on it: containers have a
    /// bridge there, publish ports, and reach whom the namespace reaches.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn in_namespace(name: &str) -> Self {
        Self::with(json!({}), Some(name.to_owned())).await
    }

    async fn with(mut settings: Value, namespace: Option<String>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        settings["hosts"] = json!([format!("unix://{}", at("docker.sock").display())]);
        settings["storage-driver"] = json!("vfs");
        for (key, name) in [("data-root", "data"), ("exec-root", "exec"), ("pidfile", "pid")] {
            settings[key] = json!(at(name));
        }
        // In place of the machine's own settings, which it would read and mind.
        fs::write(at("daemon.json"), settings.to_string()).expect("its settings written");
        let mut engine = Self { folder, namespace, child: None };
        engine.restart().await;
        engine.import();
        engine
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.at("docker.sock")
    }

    /// `unix:///…`, for `DOCKER_HOST`.
    #[must_use]
    pub fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Runs the `docker` command on it, and gives what that prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn docker(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("docker");
        command.args(["-H", &self.host()]).args(arguments).env("DOCKER_BUILDKIT", "0");
        said(&mut command)
    }

    /// Makes an image of this name out of [`crate::docker::IMAGE`] and these lines of a Dockerfile, which run nothing.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn build(&self, name: &str, lines: &[&str]) {
        let folder = tempfile::tempdir().expect("a folder");
        let recipe = format!("FROM {}\n{}\n", crate::docker::IMAGE, lines.join("\n"));
        fs::write(folder.path().join("Dockerfile"), recipe).expect("a Dockerfile written");
        self.docker(&["build", "-q", "-t", name, &folder.path().display().to_string()]);
    }

    /// Makes it a Swarm of one node, at an address of its namespace.
    ///
    /// # Panics
    /// When it cannot.
    pub fn swarm(&self) {
        const ADDRESS: &str = "10.254.254.1";
        let namespace = self.child.as_ref().expect("a running engine").id().to_string();
        for line in ["link set lo up", &format!("address add {ADDRESS}/32 dev lo")] {
            said(Command::new("nsenter").args(["-t", &namespace, "-n", "ip"]).args(line.split(' ')));
        }
        let listen = format!("{ADDRESS}:2377");
        self.docker(&["swarm", "init", "--advertise-addr", ADDRESS, "--listen-addr", &listen]);
    }

    /// Asks it to end, as `systemctl stop docker` does, and waits until it has.
    ///
    /// # Panics
    /// When it does not.
    pub async fn stop(&mut self) {
        self.end("TERM").await;
    }

    /// Kills it with the containerd that it brought along, as a crash would; what guards the containers stays.
    ///
    /// # Panics
    /// When it does not run.
    pub async fn kill(&mut self) {
        self.end("KILL").await;
        let id = self.at("exec/containerd/containerd.pid");
        if let Some(process) = fs::read_to_string(&id).ok().and_then(|text| text.trim().parse().ok()) {
            signal(process, "KILL");
        }
        // Where nobody collects the dead, it would be taken for one that runs.
        let _ = fs::remove_file(id);
    }

    /// Stops it where it stands: it accepts connections, and answers none.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Starts it again, with what it had.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn restart(&mut self) {
        let bridge = Path::new("/sys/class/net/docker0");
        let had_bridge = bridge.exists();
        // What a killed one left behind would be taken for one that runs.
        let _ = fs::remove_file(self.at("pid"));
        let log = fs::File::options().create(true).append(true).open(self.at("log")).expect("its log");
        // Not `ip netns exec`, which hides what is mounted then from who cleans up.
        let mut command = match &self.namespace {
            None => Command::new("unshare"),
            Some(_) => Command::new("nsenter"),
        };
        let namespace = match &self.namespace {
            None => "--net".to_owned(),
            Some(name) => format!("--net=/run/netns/{name}"),
        };
        let child = command
            .args([&namespace, "dockerd", "--config-file"])
            .arg(self.at("daemon.json"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("its log"))
            .stderr(log)
            .spawn()
            .expect("dockerd started: it needs root");
        self.child = Some(child);
        let socket = self.socket();
        let end = Instant::now() + DEADLINE;
        while !try_ask(&socket, "GET", "/version", &json!(null)).is_ok_and(|(status, _)| status == 200) {
            let ended = self.child.as_mut().expect("it was started").try_wait().expect("its state");
            assert!(ended.is_none() && Instant::now() < end, "the engine does not start:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        assert!(
            bridge.exists() || !had_bridge,
            "it removed the machine's docker0: it is not in a namespace of its own"
        );
    }

    fn log(&self) -> String {
        fs::read_to_string(self.at("log")).unwrap_or_default()
    }

    async fn end(&mut self, signal: &str) {
        self.signal(signal);
        let Some(mut child) = self.child.take() else { return };
        let ended = std::cell::RefCell::new(&mut child);
        eventually("the engine ends", DEADLINE, async || ended.borrow_mut().try_wait().ok().flatten()).await;
    }

    fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("a running engine");
        signal(child.id(), name);
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An image of nothing but busybox, without a build: nothing has to run for it.
    fn import(&self) {
        let root = self.at("root");
        fs::create_dir_all(root.join("bin")).expect("a folder");
        for name in ["busybox", "sh", "sleep"] {
            fs::copy(busybox(), root.join("bin").join(name)).expect("busybox copied");
        }
        let pipe = format!(
            "tar -C {} -c . | docker -H {} import --change 'ENV PATH=/bin' - {}",
            root.display(),
            self.host(),
            crate::docker::IMAGE
        );
        let imported = Command::new("sh").args(["-c", &pipe]).output().expect("a shell");
        assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    }

    /// Ends what outlives the engine: the containers' guardians, and what keeps them.
    fn clean_up(&self) {
        let own = self.folder.path().display().to_string();
        for _ in 0..2 {
            for process in processes().filter(|(_, line)| line.contains(&own)).map(|(id, _)| id) {
                for child in processes_of(process) {
                    signal(child, "KILL");
                }
                signal(process, "KILL");
            }
        }
        // Innermost first.
        let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
        let mut mounts: Vec<_> =
            mounts.lines().filter_map(|line| line.split(' ').nth(1)).filter(|path| path.starts_with(&own)).collect();
        mounts.sort_unstable();
        for path in mounts.iter().rev() {
            let _ = Command::new("umount").args(["-l", path]).status();
        }
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // Containers first, while there is somebody who can end them.
            signal(child.id(), "CONT");
            let list = try_ask(&self.socket(), "GET", "/containers/json", &json!(null)).map(|(_, list)| list);
            for container in list.unwrap_or_default().as_array().into_iter().flatten() {
                let id = container["Id"].as_str().unwrap_or_default();
                let _ = try_ask(&self.socket(), "DELETE", &format!("/containers/{id}?force=1"), &json!(null));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        self.clean_up();
    }
}

/// What a command prints.
fn said(command: &mut Command) -> String {
    let output = command.output().expect("a command: run dev/install-servers");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn signal(process: u32, name: &str) {
    let _ = Command::new("kill").arg(format!("-{name}")).arg(process.to_string()).stderr(Stdio::null()).status();
}

/// Every process, with its command line.
fn processes() -> impl Iterator<Item = (u32, String)> {
    fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(|entry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let line = fs::read(entry.path().join("cmdline")).ok()?;
        Some((id, String::from_utf8_lossy(&line).into_owned()))
    })
}

/// The children of a process.
fn processes_of(parent: u32) -> Vec<u32> {
    let children = Path::new("/proc").join(format!("{parent}/task/{parent}/children"));
    fs::read_to_string(children).unwrap_or_default().split_whitespace().filter_map(|id| id.parse().ok()).collect()
}
