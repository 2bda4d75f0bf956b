//! Real ZooKeeper servers for one test: on ports of their own, empty at the start, gone at the end.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zookeeper_client::{Client, Error};

use crate::certificates::Certificates;
use crate::servers::{self, server};

/// The user that SASL knows, and the password.
pub const SASL_USER: (&str, &str) = ("registrator", "sesame");

/// How long a server may take to come up on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// A small Java machine that is quick to start, and a server that is quick to remove empty containers.
const JAVA_FLAGS: &str = "-Xmx96m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData \
                          -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Dznode.container.checkIntervalMs=500";

/// How a server differs from the plainest one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// It serves TLS on a second port, and there asks for a client's certificate.
    pub tls: bool,
    /// Its clients may authenticate by SASL as [`SASL_USER`].
    pub sasl: bool,
}

/// A ZooKeeper server, killed when dropped.
pub struct ZooKeeper {
    options: Options,
    folder: TempDir,
    ports: Ports,
    /// The lines of its settings that tell of its peers, and its number among them.
    ensemble: Option<(String, usize)>,
    certificates: Option<Certificates>,
    child: Option<Child>,
}

#[derive(Clone, Copy)]
struct Ports {
    client: u16,
    secure: u16,
    quorum: u16,
    election: u16,
}

impl Ports {
    /// Ports that are free now. All are held until all are found, so that they differ.
    fn find() -> Self {
        let held: [TcpListener; 4] =
            std::array::from_fn(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"));
        let [client, secure, quorum, election] =
            held.map(|listener| listener.local_addr().expect("its address").port());
        Self { client, secure, quorum, election }
    }
}

impl ZooKeeper {
    /// Starts the plainest server, and waits until it serves.
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// Starts a server, and waits until it serves.
    ///
    /// # Panics
    /// When there is no ZooKeeper on this machine, or it does not come up.
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
        panic!("ZooKeeper does not start: {}", server.log());
    }

    /// Starts three servers that agree with each other, and waits until they serve.
    ///
    /// # Panics
    /// When there is no ZooKeeper on this machine, or they do not come up.
    pub async fn ensemble() -> [Self; 3] {
        let mut servers: [Self; 3] = std::array::from_fn(|_| Self::new(Options::default()));
        let mut peers = "initLimit=40\nsyncLimit=20\n".to_owned();
        for (number, server) in servers.iter().enumerate() {
            let Ports { quorum, election, .. } = server.ports;
            let _ = writeln!(peers, "server.{}=127.0.0.1:{quorum}:{election}", number + 1);
        }
        for (number, server) in servers.iter_mut().enumerate() {
            server.ensemble = Some((peers.clone(), number + 1));
            server.spawn();
        }
        for server in &mut servers {
            assert!(server.comes_up().await, "ZooKeeper does not start: {}", server.log());
        }
        servers
    }

    fn new(options: Options) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let certificates = options.tls.then(|| Certificates::make(folder.path()));
        Self { options, folder, ports: Ports::find(), ensemble: None, certificates, child: None }
    }

    /// `127.0.0.1:port` of its clients.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.client).into()
    }

    /// `127.0.0.1:port` of its clients that speak TLS.
    #[must_use]
    pub fn tls_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.ports.secure).into()
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
        panic!("ZooKeeper does not start again: {}", self.log());
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

    /// A client with a session of its own, which ends when it is dropped.
    ///
    /// # Panics
    /// When it cannot connect.
    pub async fn client(&self) -> Client {
        let connector = Client::connector().with_session_timeout(Duration::from_secs(30));
        connector.connect(&self.address().to_string()).await.expect("a session")
    }

    /// Every node below this path that holds something or has nothing below it, with its data.
    ///
    /// # Panics
    /// When it cannot be read.
    pub async fn nodes(&self, path: &str) -> BTreeMap<String, String> {
        let client = self.client().await;
        let mut nodes = BTreeMap::new();
        let mut left = vec![path.to_owned()];
        while let Some(path) = left.pop() {
            let (children, data) = tokio::join!(client.list_children(&path), client.get_data(&path));
            let children = match children {
                Err(Error::NoNode) => continue,
                children => children.expect("its children"),
            };
            let Ok((data, _)) = data else { continue };
            if children.is_empty() || !data.is_empty() {
                nodes.insert(path.clone(), String::from_utf8(data).expect("text"));
            }
            left.extend(children.into_iter().map(|child| format!("{}/{child}", path.trim_end_matches('/'))));
        }
        nodes
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn spawn(&mut self) {
        let settings = self.folder.path().join("zoo.cfg");
        fs::create_dir_all(self.data()).expect("its folder");
        if let Some((_, number)) = &self.ensemble {
            fs::write(self.data().join("myid"), number.to_string()).expect("its number written");
        }
        fs::write(&settings, self.settings()).expect("its settings written");
        let log = fs::File::create(self.folder.path().join("log")).expect("its log");
        let mut flags = JAVA_FLAGS.to_owned();
        if self.options.sasl {
            let users = self.folder.path().join("jaas.conf");
            let (user, password) = SASL_USER;
            let login = "org.apache.zookeeper.server.auth.DigestLoginModule required";
            fs::write(&users, format!("Server {{ {login} user_{user}=\"{password}\"; }};")).expect("its users written");
            let _ = write!(flags, " -Djava.security.auth.login.config={}", users.display());
        }
        let child = Command::new(servers::binary("zookeeper"))
            .arg(&settings)
            .env("JAVA_FLAGS", flags)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("its log"))
            .stderr(log)
            .spawn()
            .expect("ZooKeeper started");
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
            if self.serves().await {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("ZooKeeper does not come up: {}", self.log());
    }

    /// Whether it has a mode: alone, leading or following.
    async fn serves(&self) -> bool {
        let asked = async {
            let mut stream = TcpStream::connect(self.address()).await?;
            stream.write_all(b"srvr").await?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await?;
            Ok::<_, std::io::Error>(answer)
        };
        matches!(tokio::time::timeout(Duration::from_secs(2), asked).await, Ok(Ok(answer)) if answer.contains("Mode: "))
    }

    fn settings(&self) -> String {
        let Ports { client, secure, .. } = self.ports;
        let mut settings = format!(
            "dataDir={}\n\
             clientPort={client}\n\
             clientPortAddress=127.0.0.1\n\
             tickTime=500\n\
             minSessionTimeout=1000\n\
             maxSessionTimeout=60000\n\
             maxClientCnxns=0\n\
             admin.enableServer=false\n\
             4lw.commands.whitelist=srvr\n\
             preAllocSize=1024\n\
             forceSync=no\n",
            self.data().display()
        );
        if let Some((peers, _)) = &self.ensemble {
            settings += peers;
        }
        if let Some(certificates) = &self.certificates {
            // ZooKeeper reads key and certificate from one file.
            let identity = self.folder.path().join("identity.pem");
            let pem = [&certificates.server.key, &certificates.server.certificate]
                .map(|path| fs::read_to_string(path).expect("a PEM file"));
            fs::write(&identity, pem.concat()).expect("its identity written");
            let _ = write!(
                settings,
                "serverCnxnFactory=org.apache.zookeeper.server.NettyServerCnxnFactory\n\
                 secureClientPort={secure}\n\
                 secureClientPortAddress=127.0.0.1\n\
                 ssl.keyStore.type=PEM\n\
                 ssl.keyStore.location={}\n\
                 ssl.trustStore.type=PEM\n\
                 ssl.trustStore.location={}\n",
                identity.display(),
                certificates.ca.display(),
            );
        }
        if self.options.sasl {
            settings += "authProvider.1=org.apache.zookeeper.server.auth.SASLAuthenticationProvider\n";
        }
        settings
    }

    fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("a running ZooKeeper");
        let done = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
        assert!(done.is_ok_and(|status| status.success()), "kill -{name}");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

server!(ZooKeeper);

impl Drop for ZooKeeper {
    fn drop(&mut self) {
        self.kill();
    }
}
