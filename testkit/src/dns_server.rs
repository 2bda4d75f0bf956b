//! Real DNS servers that take updates, for one test: BIND, Knot and PowerDNS, each on a port of its own, with one zone
//! that is empty at the start, gone at the end.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::servers::{self, server};

/// The zone, and the zone of reverse names.
pub const ZONE: &str = "services.example";
/// The zone of the reverse names of 10.0.0.0/8.
pub const REVERSE: &str = "10.in-addr.arpa";
/// The name of the key, and its secret in base64.
pub const KEY: (&str, &str) = ("registrator-key", "c2VzYW1lLXNlc2FtZS1zZXNhbWUtc2VzYW1lLTEyMzQ=");

/// How long a server may take to come up on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// Whose server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// BIND 9.
    Bind,
    /// Knot DNS.
    Knot,
    /// PowerDNS, with SQLite.
    PowerDns,
}

/// What it lets others do.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Updates need the key.
    pub signed: bool,
    /// The zone may be transferred.
    pub transfer: bool,
    /// It takes updates at all.
    pub updates: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { signed: true, transfer: true, updates: true }
    }
}

/// A DNS server, killed when dropped. It keeps its zones over a restart.
pub struct DnsServer {
    kind: Kind,
    options: Options,
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

impl DnsServer {
    /// Starts the plainest server of a kind, and waits until it serves.
    pub async fn start(kind: Kind) -> Self {
        Self::with(kind, Options::default()).await
    }

    /// Starts a server, and waits until it serves.
    ///
    /// # Panics
    /// When there is no such server on this machine, or it does not come up.
    pub async fn with(kind: Kind, options: Options) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut server = Self { kind, options, folder, port: free_port(), child: None };
        // A port may be taken between finding and using it: then it exits, and others are tried.
        for _ in 0..5 {
            server.fill();
            server.spawn();
            if server.comes_up().await {
                return server;
            }
            server.port = free_port();
        }
        panic!("{kind:?} does not start: {}", server.log());
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// What `dig` says to a question in short form, one answer a line, sorted.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn dig(&self, words: &[&str]) -> Vec<String> {
        let output = Command::new("dig")
            .args(["@127.0.0.1", "-p", &self.port.to_string(), "+short", "+tcp", "+timeout=5", "+tries=1"])
            .args(words)
            .output()
            .expect("dig runs");
        let mut lines: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    /// Changes a zone as somebody else, with lines of nsupdate.
    ///
    /// # Panics
    /// When they are refused.
    pub fn nsupdate(&self, zone: &str, lines: &[&str]) {
        let (name, secret) = KEY;
        let key = if self.options.signed { format!("key hmac-sha256:{name} {secret}\n") } else { String::new() };
        let script = format!("server 127.0.0.1 {}\nzone {zone}\n{key}{}\nsend\n", self.port, lines.join("\n"));
        let path = self.folder.path().join("script");
        fs::write(&path, script).expect("written");
        let output = Command::new("nsupdate").arg("-v").arg(&path).output().expect("nsupdate runs");
        assert!(output.status.success(), "{lines:?}: {}", String::from_utf8_lossy(&output.stderr));
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
        panic!("{:?} does not start again: {}", self.kind, self.log());
    }

    /// Kills it, and starts it again at the same place with an empty zone.
    pub async fn restart_empty(&mut self) {
        self.kill();
        self.fill();
        self.restart().await;
    }

    /// Stops it where it stands: it accepts connections, and answers none.
    pub fn freeze(&self) {
        self.signal("STOP");
        // Its threads stop one after the other, and the last may still answer.
        let tasks = format!("/proc/{}/task", self.child.as_ref().expect("a running server").id());
        let is_stopped = |task: std::io::Result<fs::DirEntry>| {
            let stat = task.and_then(|task| fs::read_to_string(task.path().join("stat"))).unwrap_or_default();
            stat.rsplit_once(") ").is_none_or(|(_, state)| state.starts_with('T'))
        };
        let deadline = Instant::now() + START_DEADLINE;
        while !fs::read_dir(&tasks).expect("its threads").all(is_stopped) {
            assert!(Instant::now() < deadline, "it does not stop");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Writes settings and empty zones.
    fn fill(&self) {
        let folder = self.folder.path();
        let data = folder.join("data");
        let _ = fs::remove_dir_all(&data);
        fs::create_dir_all(data.join("db")).expect("a folder");
        let settings = match self.kind {
            Kind::Bind => self.bind(&data),
            Kind::Knot => self.knot(&data),
            Kind::PowerDns => self.powerdns(&data),
        };
        fs::write(folder.join("settings"), settings).expect("its settings");
        if self.kind == Kind::PowerDns {
            fs::rename(folder.join("settings"), folder.join("pdns.conf")).expect("its settings");
            self.database(&data);
        } else {
            for zone in [ZONE, REVERSE] {
                fs::write(data.join(format!("{zone}.zone")), zone_file(zone)).expect("a zone");
            }
        }
    }

    fn bind(&self, data: &Path) -> String {
        let (name, secret) = KEY;
        let who = if self.options.signed { format!("key \"{name}\";") } else { "127.0.0.1;".to_owned() };
        let transfer = if self.options.transfer { who.as_str() } else { "none;" };
        let zone = |zone: &str| {
            // The least rights that registrator needs.
            let types = if zone == REVERSE { "PTR" } else { "A AAAA SRV TXT" };
            let update = match self.options {
                Options { updates: false, .. } => "allow-update { none; };".to_owned(),
                Options { signed: false, .. } => "allow-update { 127.0.0.1; };".to_owned(),
                _ => format!("update-policy {{ grant \"{name}\" subdomain {zone} {types}; }};"),
            };
            format!(
                "zone \"{zone}\" {{ type primary; file \"{zone}.zone\"; {update} allow-transfer {{ {transfer} }}; \
                 max-records-per-type 0; max-types-per-name 0; }};\n"
            )
        };
        format!(
            "key \"{name}\" {{ algorithm hmac-sha256; secret \"{secret}\"; }};\n\
             options {{ directory \"{}\"; listen-on port {} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; \
             pid-file none; session-keyfile none; dnssec-validation no; notify no; managed-keys-directory \"{0}\"; }};\n\
             controls {{ }};\nlogging {{ channel all {{ stderr; severity info; }}; category default {{ all; }}; }};\n{}{}",
            data.display(),
            self.port,
            zone(ZONE),
            zone(REVERSE)
        )
    }

    fn knot(&self, data: &Path) -> String {
        let (name, secret) = KEY;
        let who = if self.options.signed { format!("key: {name}") } else { "address: 127.0.0.1".to_owned() };
        let mut actions = Vec::new();
        actions.extend(self.options.updates.then_some("update"));
        actions.extend(self.options.transfer.then_some("transfer"));
        let (acls, acl) = if actions.is_empty() {
            (String::new(), String::new())
        } else {
            let actions = actions.join(", ");
            (format!("acl:\n  - id: ours\n    {who}\n    action: [{actions}]\n"), "    acl: ours\n".to_owned())
        };
        format!(
            "server:\n  rundir: \"{0}\"\n  listen: 127.0.0.1@{1}\n  tcp-workers: 2\n  udp-workers: 1\n  background-workers: 1\n\
             log:\n  - target: stderr\n    any: info\ndatabase:\n  storage: \"{0}/db\"\n  journal-db-max-size: 100M\n  kasp-db-max-size: 20M\n  timer-db-max-size: 20M\n\
             key:\n  - id: {name}\n    algorithm: hmac-sha256\n    secret: {secret}\n{acls}\
             zone:\n  - domain: {ZONE}\n    storage: \"{0}\"\n    file: {ZONE}.zone\n{acl}  - domain: {REVERSE}\n    storage: \"{0}\"\n    file: {REVERSE}.zone\n{acl}",
            data.display(),
            self.port
        )
    }

    fn powerdns(&self, data: &Path) -> String {
        let installed = servers::binary("pdns_server");
        let files = installed.parent().and_then(Path::parent).expect("the servers").join("pdns_server");
        let modules = fs::read_dir(files.join("usr/lib"))
            .expect("its libraries")
            .filter_map(Result::ok)
            .map(|entry| entry.path().join("pdns"))
            .find(|folder| folder.is_dir())
            .expect("its modules");
        let transfer = if self.options.transfer { "127.0.0.0/8" } else { "" };
        let updates = if self.options.updates { "yes" } else { "no" };
        format!(
            "module-dir={}\nlaunch=gsqlite3\ngsqlite3-database={}/zones\ngsqlite3-pragma-synchronous=0\nlocal-address=127.0.0.1\n\
             local-port={}\nsocket-dir={}\ndnsupdate={updates}\nallow-dnsupdate-from=127.0.0.0/8\nallow-axfr-ips={transfer}\n\
             disable-axfr={}\nsecurity-poll-suffix=\nguardian=no\ndaemon=no\nwrite-pid=no\nreceiver-threads=1\ndistributor-threads=2\n",
            modules.display(),
            data.display(),
            self.port,
            data.display(),
            if self.options.transfer { "no" } else { "yes" },
        )
    }

    /// PowerDNS's zones, by the schema of its package.
    fn database(&self, data: &Path) {
        let installed = servers::binary("pdns_server");
        let files = installed.parent().and_then(Path::parent).expect("the servers").join("pdns_server");
        let schema = files.join("usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql");
        let (name, secret) = KEY;
        let mut statements =
            format!("insert into tsigkeys (name, algorithm, secret) values ('{name}', 'hmac-sha256', '{secret}');");
        for (id, zone) in [(1, ZONE), (2, REVERSE)] {
            statements += &format!(
                "insert into domains (id, name, type) values ({id}, '{zone}', 'NATIVE');\
                 insert into records (domain_id, name, type, content, ttl, disabled, auth) values \
                 ({id}, '{zone}', 'SOA', 'ns.{zone} admin.{zone} 1 3600 600 86400 5', 60, 0, 1), \
                 ({id}, '{zone}', 'NS', 'ns.{zone}', 60, 0, 1);\
                 insert into domainmetadata (domain_id, kind, content) values ({id}, 'SOA-EDIT-DNSUPDATE', 'INCREASE');"
            );
            if self.options.signed {
                statements += &format!(
                    "insert into domainmetadata (domain_id, kind, content) values ({id}, 'TSIG-ALLOW-DNSUPDATE', '{name}');"
                );
                if self.options.transfer {
                    statements += &format!(
                        "insert into domainmetadata (domain_id, kind, content) values ({id}, 'TSIG-ALLOW-AXFR', '{name}');"
                    );
                }
            }
        }
        let program = "import sqlite3, sys\ndb = sqlite3.connect(sys.argv[1])\ndb.executescript(open(sys.argv[2]).read())\n\
                       db.executescript(sys.argv[3])\ndb.commit()\n";
        let output = Command::new("python3")
            .args(["-c", program])
            .args([data.join("zones").as_path(), &schema])
            .arg(statements)
            .output()
            .expect("python3 runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn spawn(&mut self) {
        let folder = self.folder.path();
        let log = fs::File::create(folder.join("log")).expect("its log");
        let settings = folder.join("settings");
        let mut command = match self.kind {
            Kind::Bind => Command::new(servers::binary("named")),
            Kind::Knot => Command::new(servers::binary("knotd")),
            Kind::PowerDns => Command::new(servers::binary("pdns_server")),
        };
        match self.kind {
            Kind::Bind => command.args(["-f", "-n", "1", "-c"]).arg(settings),
            Kind::Knot => command.arg("-c").arg(settings),
            Kind::PowerDns => command.arg(format!("--config-dir={}", folder.display())),
        };
        let child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("its log"))
            .stderr(log)
            .spawn()
            .expect("the server started");
        self.child = Some(child);
    }

    /// Waits until it serves both zones; false when it exited.
    async fn comes_up(&mut self) -> bool {
        let deadline = Instant::now() + START_DEADLINE;
        while Instant::now() < deadline {
            if self.child.as_mut().is_none_or(|child| child.try_wait().is_ok_and(|status| status.is_some())) {
                self.child = None;
                return false;
            }
            let serves = |zone: &str| self.dig(&[zone, "SOA"]).iter().any(|line| line.starts_with("ns."));
            if serves(ZONE) && serves(REVERSE) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{:?} does not come up: {}", self.kind, self.log());
    }

    fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("a running server");
        let done = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
        assert!(done.is_ok_and(|status| status.success()), "kill -{name}");
    }

    /// What it said.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

fn zone_file(zone: &str) -> String {
    format!(
        "$TTL 60\n{zone}. IN SOA ns.{zone}. admin.{zone}. 1 3600 600 86400 5\n{zone}. IN NS ns.{zone}.\nns.{zone}. IN A 127.0.0.1\n"
    )
}

/// A port that is free for TCP and for UDP.
fn free_port() -> u16 {
    loop {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        if UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

server!(DnsServer);

impl Drop for DnsServer {
    fn drop(&mut self) {
        self.kill();
    }
}
