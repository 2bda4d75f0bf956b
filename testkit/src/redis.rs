//! A real Redis server for one test: on a port and a socket of its own, empty at the start, gone at the end.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::certificates::Certificates;
use crate::servers::{self, server};

/// How long a server may take to come up on a busy machine.
const START_DEADLINE: Duration = Duration::from_secs(60);

/// How a server differs from the plainest one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// The password that it wants.
    pub password: Option<&'static str>,
    /// It tells of changes of keys.
    pub events: bool,
    /// It keeps what it holds over a restart.
    pub keeps: bool,
    /// It speaks TLS at another port, and asks every client for a certificate of its own authority.
    pub tls: bool,
    /// It follows this server.
    pub replica_of: Option<SocketAddr>,
    /// What else it is told, as `--maxmemory 2mb`.
    pub more: &'static [&'static str],
}

/// A Redis server, killed when dropped. Unless it is told to, it keeps nothing over a restart.
pub struct Redis {
    options: Options,
    folder: TempDir,
    certificates: Option<Certificates>,
    port: u16,
    tls_port: u16,
    child: Option<Child>,
}

impl Redis {
    /// Starts the plainest server, and waits until it serves.
    pub async fn start() -> Self {
        Self::with(Options::default()).await
    }

    /// Starts a server, and waits until it serves.
    ///
    /// # Panics
    /// When there is no Redis on this machine, or it does not come up.
    pub async fn with(options: Options) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let certificates = options.tls.then(|| Certificates::make(folder.path()));
        let mut server = Self { options, folder, certificates, port: free_port(), tls_port: free_port(), child: None };
        // A port may be taken between finding and using it: then it exits, and others are tried.
        for _ in 0..5 {
            server.spawn();
            if server.comes_up().await {
                return server;
            }
            (server.port, server.tls_port) = (free_port(), free_port());
        }
        panic!("Redis does not start: {}", server.log());
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Where it speaks TLS.
    #[must_use]
    pub fn tls_address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.tls_port).into()
    }

    /// The certificates of TLS.
    ///
    /// # Panics
    /// When it does not speak TLS.
    #[must_use]
    pub fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("a server with TLS")
    }

    /// Its unix socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("redis.sock")
    }

    /// Sends a command, and gives the first line of the answer.
    ///
    /// # Panics
    /// When it has no answer, or is refused.
    pub async fn command(&self, words: &[&str]) -> String {
        let answer = self.try_command(words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"));
        assert!(!answer.starts_with('-'), "{words:?}: {answer}");
        answer
    }

    /// The keys of the first database that match a pattern, with their values.
    pub async fn keys(&self, pattern: &str) -> BTreeMap<String, String> {
        self.keys_of("0", pattern).await
    }

    /// The keys of a database that match a pattern, with their values.
    ///
    /// # Panics
    /// When it has no answer.
    pub async fn keys_of(&self, database: &str, pattern: &str) -> BTreeMap<String, String> {
        let all = self.ask(&[&["SELECT", database], &["KEYS", pattern]]).await.expect("its keys");
        let mut keys = BTreeMap::new();
        for key in all {
            let value = self.ask(&[&["SELECT", database], &["GET", &key]]).await.expect("a value").pop();
            keys.insert(key, value.unwrap_or_default());
        }
        keys
    }

    /// Sends a command, and gives the texts of the answer.
    ///
    /// # Panics
    /// When it has no answer.
    pub async fn words(&self, words: &[&str]) -> Vec<String> {
        self.ask(&[words]).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Sends a command, and gives the first text of the answer.
    async fn try_command(&self, words: &[&str]) -> std::io::Result<String> {
        Ok(self.ask(&[words]).await?.into_iter().next().unwrap_or_default())
    }

    /// Sends the password, if there is one, and commands; gives the texts of the last answer.
    async fn ask(&self, commands: &[&[&str]]) -> std::io::Result<Vec<String>> {
        let auth = self.options.password.map(|password| ["AUTH", password]);
        let auth = auth.as_ref().map(<[&str; 2]>::as_slice);
        ask(self.address(), &auth.into_iter().chain(commands.iter().copied()).collect::<Vec<_>>()).await
    }

    /// The program `redis-cli`, and the folder of its libraries.
    ///
    /// # Panics
    /// When it is not beside the server.
    #[must_use]
    pub fn tools() -> (PathBuf, PathBuf) {
        let bin = servers::binary("redis-server");
        let files = bin.parent().and_then(|bin| bin.parent()).expect("a folder").join("redis-server");
        let mut libraries = fs::read_dir(files.join("usr/lib")).expect("its libraries").flatten();
        let libraries = libraries.find(|folder| folder.file_name().to_string_lossy().contains("-linux-gnu"));
        (files.join("usr/bin/redis-cli"), libraries.expect("its libraries").path())
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Kills it, if it runs, and starts it again at the same place.
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
        panic!("Redis does not start again: {}", self.log());
    }

    /// Kills it, if it runs, and starts it again at the same place with nothing in it.
    ///
    /// # Panics
    /// When it does not come up again.
    pub async fn restart_empty(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(self.folder.path().join("appendonlydir"));
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

    fn spawn(&mut self) {
        let log = fs::File::create(self.folder.path().join("log")).expect("its log");
        let mut command = Command::new(servers::binary("redis-server"));
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", if self.options.keeps { "yes" } else { "no" }, "--appendfsync", "always"]);
        command.arg("--unixsocket").arg(self.socket());
        if let Some(password) = self.options.password {
            command.args(["--requirepass", password]);
        }
        if self.options.events {
            command.args(["--notify-keyspace-events", "KA"]);
        }
        if let Some(made) = &self.certificates {
            command.args(["--tls-port", &self.tls_port.to_string(), "--tls-auth-clients", "yes"]);
            command.arg("--tls-cert-file").arg(&made.server.certificate).arg("--tls-key-file").arg(&made.server.key);
            command.arg("--tls-ca-cert-file").arg(&made.ca);
        }
        if let Some(master) = self.options.replica_of {
            command.args(["--replicaof", &format!("{} {}", master.ip(), master.port())]);
        }
        command.args(self.options.more);
        let child = command
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("its log"))
            .stderr(log)
            .spawn()
            .expect("Redis started");
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
            if self.try_command(&["PING"]).await.is_ok_and(|answer| answer == "+PONG") {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("Redis does not come up: {}", self.log());
    }

    fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("a running Redis");
        let done = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
        assert!(done.is_ok_and(|status| status.success()), "kill -{name}");
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// Sends commands to a server, and gives the texts of the last answer: those of an array, else one.
pub(crate) async fn ask(address: SocketAddr, commands: &[&[&str]]) -> std::io::Result<Vec<String>> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    let mut texts = Vec::new();
    for words in commands {
        stream.write_all(&request(words)).await?;
        texts.clear();
        // An array of arrays is told as one.
        let mut left = 1_usize;
        while left > 0 {
            left -= 1;
            let mut line = String::new();
            stream.read_line(&mut line).await?;
            match line.trim().strip_prefix('*').and_then(|count| count.parse::<usize>().ok()) {
                Some(count) => left += count,
                None => texts.push(text(&mut stream, &line).await?),
            }
        }
    }
    Ok(texts)
}

/// The text of an answer that begins with this line.
async fn text(stream: &mut BufReader<TcpStream>, line: &str) -> std::io::Result<String> {
    let line = line.trim();
    // `$5` is followed by a text of that length.
    let Some(length) = line.strip_prefix('$').and_then(|length| length.parse::<usize>().ok()) else {
        return Ok(line.to_owned());
    };
    let mut text = vec![0; length + 2];
    stream.read_exact(&mut text).await?;
    text.truncate(length);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}

/// A command in Redis's protocol.
fn request(words: &[&str]) -> Vec<u8> {
    let mut request = format!("*{}\r\n", words.len());
    for word in words {
        request += &format!("${}\r\n{word}\r\n", word.len());
    }
    request.into_bytes()
}

server!(Redis);

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
