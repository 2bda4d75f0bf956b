//! Real etcd servers for one test: on ports of their own, empty at the start, gone at the end.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::servers;

/// How long a server may take to come up on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// The user that may do everything, where there are users, and the password.
pub const ROOT: (&str, &str) = ("root", "sesame");

/// How a server differs from the plainest one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// It serves the v2 API as well.
    pub v2: bool,
    /// It speaks TLS, and asks for a client's certificate.
    pub tls: bool,
    /// Its tokens are good for so many seconds.
    pub token_ttl: Option<u32>,
    /// It holds so many bytes, and then takes no more.
    pub quota: Option<u64>,
}

/// An etcd server, killed when dropped.
pub struct EtcdServer {
    options: Options,
    folder: TempDir,
    ports: Ports,
    /// Its name, and the peers that it shares its data with.
    cluster: Option<(String, String)>,
    certificates: Option<Certificates>,
    child: Option<Child>,
}

#[derive(Clone, Copy)]
struct Ports {
    client: u16,
    peer: u16,
}

impl Ports {
    /// Ports that are free now. All are held until all are found, so that they differ.
    fn find() -> Self {
        let held: [TcpListener; 2] =
            std::array::from_fn(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
        let [client, peer] = held.map(|listener| listener.local_addr().expect("its address").port());
        Self { client, peer }
    }
}

impl EtcdServer {
    /// Starts the plainest server, which serves the v3 API alone, and waits until it serves.
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// Starts a server, and waits until it serves.
    ///
    /// # Panics
    /// When there is no etcd on this machine, or it does not come up.
    pub async fn with(options: Options) -> Self {
        let mut server = Self::new(options);
        // A port may be taken between finding and using it: then it exits, and others are tried.
        for _ in 0..5 {
            server.spawn();
            if server.comes_up().await {
                return server;
            }
            server.ports = Ports::find();
        }
        panic!("etcd does not start: {}", server.log());
    }

    /// Starts three servers that agree with each other, and waits until they serve.
    ///
    /// # Panics
    /// When there is no etcd on this machine, or they do not come up.
    pub async fn cluster(options: Options) -> [Self; 3] {
        let mut servers: [Self; 3] = std::array::from_fn(|_| Self::new(options));
        let peers: Vec<_> = servers
            .iter()
            .enumerate()
            .map(|(number, server)| format!("e{number}=http://127.0.0.1:{}", server.ports.peer))
            .collect();
        for (number, server) in servers.iter_mut().enumerate() {
            server.cluster = Some((format!("e{number}"), peers.join(",")));
            server.spawn();
        }
        for server in &mut servers {
            assert!(server.comes_up().await, "etcd does not start: {}", server.log());
        }
        servers
    }

    /// Kills all of a cluster, and starts it again at the same places; `empty` as one that never held anything.
    ///
    /// # Panics
    /// When it does not come up again.
    pub async fn restart_cluster(servers: &mut [Self; 3], empty: bool) {
        for server in &mut *servers {
            server.kill();
            if empty {
                let _ = fs::remove_dir_all(server.folder.path().join("data"));
            }
        }
        for server in &mut *servers {
            server.spawn();
        }
        for server in &mut *servers {
            assert!(server.comes_up().await, "etcd does not start again: {}", server.log());
        }
    }

    fn new(options: Options) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let certificates = options.tls.then(|| Certificates::make(folder.path()));
        Self { options, folder, ports: Ports::find(), cluster: None, certificates, child: None }
    }

    /// `127.0.0.1:port` of its clients.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.client).into()
    }

    /// The certificates of its TLS, and one for a client.
    ///
    /// # Panics
    /// When it was started without TLS.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("Options::tls")
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Kills it, if it runs, and starts it again at the same place with what it held.
    ///
    /// # Panics
    /// When it does not come up again.
    pub async fn restart(&mut self) {
        self.kill();
        for _ in 0..5 {
            self.spawn();
            if self.comes_up().await {
                return;
            }
        }
        panic!("etcd does not start again: {}", self.log());
    }

    /// Kills it, if it runs, and starts it again at the same place with nothing in it.
    pub async fn restart_empty(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(self.folder.path().join("data"));
        self.restart().await;
    }

    /// Stops it where it stands: it accepts connections, and answers none.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Runs etcd's own tool against it, by the v3 API, and gives what it prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn ctl(&self, arguments: &[&str]) -> String {
        let done = self.try_ctl(arguments);
        done.unwrap_or_else(|said| panic!("etcdctl {arguments:?}: {said}"))
    }

    /// Runs etcd's own tool against it, by the v2 API, and gives what it prints.
    ///
    /// # Panics
    /// When it fails.
    pub fn ctl_v2(&self, arguments: &[&str]) -> String {
        let done = self.try_ctl_as("2", arguments);
        done.unwrap_or_else(|said| panic!("etcdctl {arguments:?}: {said}"))
    }

    /// Writes to it until it takes no more; needs [`Options::quota`].
    ///
    /// # Panics
    /// When it takes everything.
    pub fn fill(&self) {
        let (tool, place) = (servers::binary("etcdctl"), self.url("client"));
        for number in 0..100 {
            let line = format!(
                "head -c 500000 /dev/zero | tr '\\0' x | {} --endpoints {place} put /fill/{number}",
                tool.display()
            );
            let put = Command::new("sh").args(["-c", &line]).env("ETCDCTL_API", "3").output().expect("a shell");
            if !put.status.success() {
                return;
            }
        }
        panic!("etcd takes everything");
    }

    /// Removes what [`Self::fill`] wrote, and has it take more again, as its documentation says to.
    pub fn make_room(&self) {
        self.ctl(&["del", "--prefix", "/fill/"]);
        let status: serde_json::Value =
            serde_json::from_str(&self.ctl(&["endpoint", "status", "-w", "json"])).expect("JSON");
        self.ctl(&["compact", &status[0]["Status"]["header"]["revision"].to_string()]);
        self.ctl(&["defrag"]);
        self.ctl(&["alarm", "disarm"]);
    }

    /// Makes [`ROOT`] a user, and asks for a user from now on: that of the v2 API, if that is served, else of v3.
    pub fn enable_users(&self) {
        let (user, password) = ROOT;
        let both = format!("{user}:{password}");
        if self.options.v2 {
            self.ctl_v2(&["user", "add", &both]);
            self.ctl_v2(&["auth", "enable"]);
            self.ctl_v2(&["--username", &both, "role", "revoke", "guest", "--path", "/*", "--readwrite"]);
        } else {
            self.ctl(&["user", "add", &both]);
            self.ctl(&["user", "grant-role", user, "root"]);
            self.ctl(&["auth", "enable"]);
        }
    }

    /// Gives a user another password; that of the v2 API, if that is served, else of v3.
    ///
    /// # Panics
    /// When it fails.
    pub fn set_password(&self, user: &str, role: &str, password: &str) {
        let both = format!("{}:{}", ROOT.0, ROOT.1);
        if self.options.v2 {
            // The tool asks for a password on a terminal only.
            self.ctl_v2(&["--username", &both, "user", "remove", user]);
            self.ctl_v2(&["--username", &both, "user", "add", &format!("{user}:{password}")]);
            self.ctl_v2(&["--username", &both, "user", "grant", user, "--roles", role]);
            return;
        }
        let mut command = Command::new(servers::binary("etcdctl"));
        command.env("ETCDCTL_API", "3").args(["--endpoints", &self.url("client"), "--user", &both]);
        command.args(["user", "passwd", user, "--interactive=false"]).stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = command.spawn().expect("etcdctl; run dev/install-servers");
        writeln!(child.stdin.take().expect("its input"), "{password}").expect("written");
        assert!(child.wait().expect("an end").success(), "the password is not changed");
    }

    /// What the v3 API holds below this prefix, as text.
    pub fn keys(&self, prefix: &str) -> BTreeMap<String, String> {
        self.keys_as(&[], prefix)
    }

    /// The same, with options of etcd's own tool, as to say who asks.
    pub fn keys_as(&self, options: &[&str], prefix: &str) -> BTreeMap<String, String> {
        let printed = self.ctl(&[options, &["get", "--prefix", prefix]].concat());
        let mut lines = printed.lines();
        let mut keys = BTreeMap::new();
        while let (Some(key), Some(value)) = (lines.next(), lines.next()) {
            keys.insert(key.to_owned(), value.to_owned());
        }
        keys
    }

    /// The same, or what it says when it fails.
    ///
    /// # Errors
    /// When `etcdctl` fails; holds what it printed.
    pub fn try_ctl(&self, arguments: &[&str]) -> Result<String, String> {
        self.try_ctl_as("3", arguments)
    }

    /// The same, by the v2 API.
    ///
    /// # Errors
    /// When `etcdctl` fails; holds what it printed.
    pub fn try_ctl_v2(&self, arguments: &[&str]) -> Result<String, String> {
        self.try_ctl_as("2", arguments)
    }

    fn try_ctl_as(&self, api: &str, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(servers::binary("etcdctl"));
        command.env("ETCDCTL_API", api).arg("--endpoints").arg(self.url("client"));
        if let Some(certificates) = &self.certificates {
            let [ca, certificate, key] =
                if api == "2" { ["--ca-file", "--cert-file", "--key-file"] } else { ["--cacert", "--cert", "--key"] };
            command.arg(ca).arg(&certificates.ca).arg(certificate).arg(&certificates.client.certificate);
            command.arg(key).arg(&certificates.client.key);
        }
        let done = command.args(arguments).output().expect("etcdctl; run dev/install-servers");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if done.status.success() { Ok(text(&done.stdout)) } else { Err(text(&done.stderr)) }
    }

    /// What the v2 API shows below this folder, as text. What it hides is not shown.
    pub fn keys_v2(&self, folder: &str) -> BTreeMap<String, String> {
        let listed = self.try_ctl_as("2", &["ls", "--recursive", "-p", folder]).unwrap_or_default();
        let keys = listed.lines().filter(|key| !key.ends_with('/'));
        keys.map(|key| (key.to_owned(), self.ctl_v2(&["get", key]).trim_end().to_owned())).collect()
    }

    fn url(&self, which: &str) -> String {
        match (which, self.options.tls) {
            ("peer", _) => format!("http://127.0.0.1:{}", self.ports.peer),
            (_, true) => format!("https://127.0.0.1:{}", self.ports.client),
            (_, false) => format!("http://127.0.0.1:{}", self.ports.client),
        }
    }

    fn spawn(&mut self) {
        let (name, peers) = self.cluster.clone().unwrap_or_else(|| ("e".to_owned(), format!("e={}", self.url("peer"))));
        let log = fs::File::create(self.folder.path().join("log")).expect("its log");
        let mut command = Command::new(servers::binary("etcd"));
        command
            .args(["--name", &name, "--initial-cluster", &peers])
            .arg("--data-dir")
            .arg(self.folder.path().join("data"))
            .args(["--listen-client-urls", &self.url("client"), "--advertise-client-urls", &self.url("client")])
            .args(["--listen-peer-urls", &self.url("peer"), "--initial-advertise-peer-urls", &self.url("peer")])
            .arg(format!("--enable-v2={}", self.options.v2))
            .args(["--logger", "zap", "--log-level", "warn"]);
        if let Some(seconds) = self.options.token_ttl {
            command.args(["--auth-token-ttl", &seconds.to_string()]);
        }
        if let Some(bytes) = self.options.quota {
            command.args(["--quota-backend-bytes", &bytes.to_string()]);
        }
        if let Some(certificates) = &self.certificates {
            command.arg("--cert-file").arg(&certificates.server.certificate);
            command.arg("--key-file").arg(&certificates.server.key);
            command.arg("--trusted-ca-file").arg(&certificates.ca).arg("--client-cert-auth");
        }
        let child = command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("its log"))
            .stderr(log)
            .spawn()
            .expect("etcd started");
        self.child = Some(child);
    }

    /// Waits until it serves; false when it exited.
    async fn comes_up(&mut self) -> bool {
        let deadline = Instant::now() + START_DEADLINE;
        while Instant::now() < deadline {
            if self.child.as_mut().is_none_or(|child| child.try_wait().is_ok_and(|status| status.is_some())) {
                self.child = None;
                return false;
            }
            if self.serves() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("etcd does not come up: {}", self.log());
    }

    /// Whether it answers, whoever asks.
    fn serves(&self) -> bool {
        match self.try_ctl(&["--command-timeout=2s", "get", "health"]) {
            Ok(_) => true,
            Err(said) => said.contains("user name is empty"),
        }
    }

    fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("a running etcd");
        let done = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
        assert!(done.is_ok_and(|status| status.success()), "kill -{name}");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

servers::server!(EtcdServer);

impl Drop for EtcdServer {
    fn drop(&mut self) {
        self.kill();
    }
}
