//! A real Consul server for one test: on ports of its own, empty at the start, gone at the end.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};
use tempfile::TempDir;

use crate::certificates::Certificates;
use crate::http::{Reply, Request, send};
use crate::net::Place;
use crate::servers::{self, server};

/// The token that may do everything, where ACLs are on.
pub const MASTER_TOKEN: &str = "5eedc0de-0000-4000-8000-000000000001";

/// How long a server may take to come up on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// How a server differs from the plainest one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// ACLs are on, and whoever has no token may do nothing.
    pub acl: bool,
    /// It serves https on a second port, and there asks for a client's certificate.
    pub tls: bool,
    /// It serves a unix socket as well.
    pub socket: bool,
    /// It runs scripts as checks.
    pub script_checks: bool,
    /// It serves DNS as well, and there tells something of its node.
    pub dns: bool,
    /// It keeps over a restart what it holds.
    pub keeps: bool,
    /// It keeps what it holds on a disk of its own, of so many MB, that can be filled; takes root.
    pub disk: Option<u32>,
}

/// A Consul server, killed when dropped.
pub struct Consul {
    options: Options,
    /// Variables that it is started with, besides ours.
    environment: Vec<(String, String)>,
    folder: TempDir,
    ports: Ports,
    certificates: Option<Certificates>,
    /// Where the servers of its cluster speak to each other, if it is of one.
    cluster: Vec<u16>,
    child: Option<Child>,
}

#[derive(Clone, Copy)]
struct Ports {
    http: u16,
    https: u16,
    server: u16,
    serf_lan: u16,
    serf_wan: u16,
    dns: u16,
}

impl Ports {
    /// Ports that are free now. All are held until all are found, so that they differ.
    fn find() -> Self {
        let held: [TcpListener; 6] =
            std::array::from_fn(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
        let [http, https, server, serf_lan, serf_wan, dns] =
            held.map(|listener| listener.local_addr().expect("its address").port());
        Self { http, https, server, serf_lan, serf_wan, dns }
    }
}

impl Consul {
    /// Starts the plainest server, and waits until it serves.
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// Starts a server, and waits until it serves.
    ///
    /// # Panics
    /// When there is no Consul on this machine, or it does not come up.
    pub async fn with(options: Options) -> Self {
        Self::with_environment(options, &[]).await
    }

    /// Starts a server with these variables in its environment, and waits until it serves.
    ///
    /// # Panics
    /// As [`Self::with`].
    pub async fn with_environment(options: Options, environment: &[(&str, &str)]) -> Self {
        let environment = environment.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let folder = tempfile::tempdir().expect("a folder");
        let certificates = options.tls.then(|| Certificates::make(folder.path()));
        let cluster = Vec::new();
        let mut consul =
            Self { options, environment, folder, ports: Ports::find(), certificates, cluster, child: None };
        // A port may be taken between finding and using it: then Consul exits, and others are tried.
        for _ in 0..5 {
            if consul.try_start().await {
                return consul;
            }
            consul.ports = Ports::find();
        }
        panic!("Consul does not start: {}", consul.log());
    }

    /// Three servers that are one cluster, each of which keeps what it holds; waits until they serve.
    ///
    /// # Panics
    /// When there is no Consul on this machine, or it does not come up.
    pub async fn cluster() -> [Self; 3] {
        let options = Options { keeps: true, ..Options::default() };
        let mut servers: [Self; 3] = std::array::from_fn(|_| Self {
            options,
            environment: Vec::new(),
            folder: tempfile::tempdir().expect("a folder"),
            ports: Ports::find(),
            certificates: None,
            cluster: Vec::new(),
            child: None,
        });
        let cluster: Vec<_> = servers.iter().map(|server| server.ports.serf_lan).collect();
        for server in &mut servers {
            server.cluster.clone_from(&cluster);
        }
        Self::start_all(&mut servers).await;
        servers
    }

    /// Kills all of a cluster, and starts it again at the same places as one that never held anything.
    ///
    /// # Panics
    /// When it does not come up again.
    pub async fn restart_cluster_empty(servers: &mut [Self; 3]) {
        for server in &mut *servers {
            server.kill();
            let _ = fs::remove_dir_all(server.data());
        }
        Self::start_all(servers).await;
    }

    async fn start_all(servers: &mut [Self; 3]) {
        let [one, two, three] = servers;
        let started = tokio::join!(one.try_start(), two.try_start(), three.try_start());
        assert_eq!(started, (true, true, true), "Consul does not start: {}", one.log());
    }

    /// `127.0.0.1:port` of its HTTP API.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.http).into()
    }

    /// `127.0.0.1:port` of its HTTPS API.
    #[must_use]
    pub fn tls_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.https).into()
    }

    /// `127.0.0.1:port` of its DNS, over UDP and TCP; needs [`Options::dns`].
    #[must_use]
    pub fn dns_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.dns).into()
    }

    /// `consul://127.0.0.1:port`.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("consul://{}", self.address())
    }

    /// The certificates of its HTTPS API, and one for a client.
    ///
    /// # Panics
    /// When it was started without TLS.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("Options::tls")
    }

    /// Its unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("consul.sock")
    }

    /// The name of its node.
    #[must_use]
    pub fn node(&self) -> String {
        format!("test-{}", self.ports.http)
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Kills it, if it runs, and starts it again at the same place: with what it held, if it keeps that
    /// ([`Options::keeps`]), else with nothing in it.
    ///
    /// # Panics
    /// When it does not come up again.
    pub async fn restart(&mut self) {
        self.kill();
        for _ in 0..5 {
            if self.try_start().await {
                return;
            }
        }
        panic!("Consul does not start again: {}", self.log());
    }

    /// Kills it, if it runs, and starts it again at the same place with nothing in it.
    pub async fn restart_empty(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(self.data());
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

    /// Fills its disk; needs [`Options::disk`].
    ///
    /// # Panics
    /// When it has none, or it takes more than it should have room for.
    pub fn fill(&self) {
        let room = u64::from(self.options.disk.expect("Options::disk")) << 20;
        let mut file = fs::File::create(self.filler()).expect("a file on its disk");
        let written = std::io::copy(&mut std::io::repeat(0).take(2 * room), &mut file);
        assert!(written.is_err(), "its disk takes everything");
    }

    /// Removes what [`Self::fill`] wrote.
    ///
    /// # Panics
    /// When nothing was.
    pub fn make_room(&self) {
        fs::remove_file(self.filler()).expect("a filled disk");
    }

    /// What fills its disk, as it is seen from outside of its mounts.
    fn filler(&self) -> PathBuf {
        let data = self.data();
        let inside = data.strip_prefix("/").expect("an absolute path").join("filler");
        PathBuf::from(format!("/proc/{}/root", self.child.as_ref().expect("a running Consul").id())).join(inside)
    }

    /// The services of the agent, by ID.
    pub async fn services(&self) -> Map<String, Value> {
        self.list("/v1/agent/services").await
    }

    /// The checks of the agent, by ID.
    pub async fn checks(&self) -> Map<String, Value> {
        self.list("/v1/agent/checks").await
    }

    /// The keys of its key-value store below this prefix; `None` when it does not answer.
    pub async fn keys(&self, prefix: &str) -> Option<Vec<String>> {
        let reply = self.send("GET", &format!("/v1/kv/{prefix}?keys"), None).await.ok()?;
        if reply.status == 404 { Some(Vec::new()) } else { serde_json::from_slice(&reply.body).ok() }
    }

    /// Every key below this prefix with what Consul says of it, all of one moment.
    ///
    /// # Panics
    /// When it cannot be read.
    pub async fn items(&self, prefix: &str) -> BTreeMap<String, Value> {
        let reply = self.send("GET", &format!("/v1/kv/{prefix}?recurse"), None).await.expect("an answer of Consul");
        if reply.status == 404 {
            return BTreeMap::new();
        }
        let items: Vec<Value> = serde_json::from_slice(&reply.body).expect("a list of keys");
        items.into_iter().map(|item| (item["Key"].as_str().expect("a key").to_owned(), item)).collect()
    }

    /// How many services the catalog has on its node; `None` when it does not answer.
    pub async fn catalog(&self) -> Option<usize> {
        let reply = self.send("GET", &format!("/v1/catalog/node/{}", self.node()), None).await.ok()?;
        let node: Value = serde_json::from_slice(&reply.body).ok()?;
        Some(node["Services"].as_object().map_or(0, Map::len))
    }

    /// What a GET of this path answers, as JSON; with all rights.
    pub async fn get(&self, path: &str) -> Value {
        self.request("GET", path, None).await
    }

    /// PUTs a JSON body; with all rights.
    pub async fn put(&self, path: &str, body: &Value) -> Value {
        self.request("PUT", path, Some(body)).await
    }

    /// Stores a key of its key-value store; with all rights.
    ///
    /// # Panics
    /// When it is not taken.
    pub async fn put_key(&self, key: &str, value: &str) {
        let request = Request {
            method: "PUT".to_owned(),
            path: format!("/v1/kv/{key}"),
            headers: vec![("x-consul-token".to_owned(), MASTER_TOKEN.to_owned())],
            body: value.as_bytes().to_vec(),
        };
        let reply = send(&Place::Tcp(self.address()), &request).await.expect("an answer of Consul");
        assert_eq!(reply.status, 200, "{key}: {}", String::from_utf8_lossy(&reply.body));
    }

    /// DELETEs what is at this path; with all rights.
    pub async fn delete(&self, path: &str) -> Value {
        self.request("DELETE", path, None).await
    }

    /// A new token with these rules; needs [`Options::acl`].
    pub async fn token(&self, rules: &str) -> String {
        let name = format!("policy-{}", self.get("/v1/acl/policies").await.as_array().map_or(0, Vec::len));
        self.put("/v1/acl/policy", &json!({"Name": name, "Rules": rules})).await;
        let token = self.put("/v1/acl/token", &json!({"Policies": [{"Name": name}]})).await;
        token["SecretID"].as_str().expect("a token").to_owned()
    }

    async fn list(&self, path: &str) -> Map<String, Value> {
        match self.get(path).await {
            Value::Object(list) => list,
            other => panic!("{path} is no list: {other}"),
        }
    }

    async fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let reply = self.send(method, path, body).await.expect("an answer of Consul");
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(reply.status < 300, "{method} {path}: {} {text}", reply.status);
        serde_json::from_str(&text).unwrap_or(Value::String(text))
    }

    async fn send(&self, method: &str, path: &str, body: Option<&Value>) -> std::io::Result<Reply> {
        let request = Request {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: vec![("x-consul-token".to_owned(), MASTER_TOKEN.to_owned())],
            body: body.map_or(Vec::new(), |body| body.to_string().into_bytes()),
        };
        // Without ACLs, Consul minds no token.
        tokio::time::timeout(Duration::from_secs(10), send(&Place::Tcp(self.address()), &request)).await?
    }

    /// Whether it has a disk at all.
    fn keeps(&self) -> bool {
        self.options.keeps || self.options.disk.is_some()
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Starts it once; false when it exited.
    async fn try_start(&mut self) -> bool {
        let config = self.folder.path().join("config.json");
        fs::write(&config, self.config().to_string()).expect("its settings written");
        let log = fs::File::create(self.folder.path().join("log")).expect("its log");
        let _ = fs::remove_file(self.socket());
        let consul = servers::binary("consul");
        let mut command = match self.options.disk {
            None => Command::new(consul),
            // A mount that nobody else sees, and that goes with the server.
            Some(size) => {
                fs::create_dir_all(self.data()).expect("its folder");
                let line = format!("mount -t tmpfs -o size={size}m none \"$0\" && exec \"$@\"");
                let mut command = Command::new("unshare");
                command.args(["--mount", "sh", "-c", &line]).arg(self.data()).arg(consul);
                command
            }
        };
        let child = command
            .args(if self.keeps() { &["agent"][..] } else { &["agent", "-dev"] })
            .arg("-config-file")
            .arg(&config)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("its log"))
            .stderr(log)
            .spawn()
            .expect("Consul started");
        self.child = Some(child);
        let deadline = Instant::now() + START_DEADLINE;
        while Instant::now() < deadline {
            if self.exited() {
                self.child = None;
                return false;
            }
            if self.serves().await {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("Consul does not come up: {}", self.log());
    }

    /// Whether it has a leader, and its catalog knows its node: from then on, all works.
    async fn serves(&self) -> bool {
        match self.send("GET", &format!("/v1/catalog/node/{}", self.node()), None).await {
            Ok(reply) => reply.status == 200 && reply.body.trim_ascii() != b"null",
            Err(_) => false,
        }
    }

    fn exited(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().is_ok_and(|status| status.is_some()))
    }

    fn config(&self) -> Value {
        let Ports { http, https, server, serf_lan, serf_wan, dns } = self.ports;
        let addresses = match self.options.socket {
            true => format!("127.0.0.1 unix://{}", self.socket().display()),
            false => "127.0.0.1".to_owned(),
        };
        let mut config = json!({
            "node_name": self.node(),
            "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1",
            "addresses": {"http": addresses},
            "ports": {
                "http": http, "https": if self.options.tls { i32::from(https) } else { -1 }, "grpc": -1,
                "dns": if self.options.dns { i32::from(dns) } else { -1 },
                "server": server, "serf_lan": serf_lan, "serf_wan": serf_wan,
            },
            "enable_script_checks": self.options.script_checks,
            "disable_update_check": true,
            // Or the catalog hears of a check's new output minutes later.
            "check_update_interval": "0s",
        });
        if self.keeps() {
            config["data_dir"] = json!(self.data());
            config["server"] = json!(true);
            config["bootstrap_expect"] = json!(self.cluster.len().max(1));
            let peers: Vec<_> = self.cluster.iter().map(|port| format!("127.0.0.1:{port}")).collect();
            config["retry_join"] = json!(peers);
            config["retry_interval"] = json!("1s");
            // All hosts of a test are one client to it.
            config["limits"] = json!({"http_max_conns_per_client": 15_000});
            // A leader within a second.
            config["performance"] = json!({"raft_multiplier": 1});
        }
        if let Some(certificates) = &self.certificates {
            config["ca_file"] = json!(certificates.ca);
            config["cert_file"] = json!(certificates.server.certificate);
            config["key_file"] = json!(certificates.server.key);
            config["verify_incoming_https"] = json!(true);
        }
        if self.options.dns {
            config["node_meta"] = json!({"rack": "r1", "rfc1035-note": "two words"});
        }
        if self.options.acl {
            config["acl"] = json!({
                "enabled": true, "default_policy": "deny", "tokens": {"master": MASTER_TOKEN, "agent": MASTER_TOKEN},
            });
        }
        config
    }

    fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("a running Consul");
        let done = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
        assert!(done.is_ok_and(|status| status.success()), "kill -{name}");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

server!(Consul);

impl Drop for Consul {
    fn drop(&mut self) {
        self.kill();
    }
}
