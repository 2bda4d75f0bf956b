//! A real Redis server for one test: on a port and a socket of its own, empty at the start, gone at the end.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

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
}

/// A Redis server, killed when dropped. It keeps nothing over a restart.
pub struct Redis {
    options: Options,
    folder: TempDir,
    port: u16,
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
        let mut server =
            Self { options, folder: tempfile::tempdir().expect("a folder"), port: free_port(), child: None };
        // A port may be taken between finding and using it: then it exits, and others are tried.
        for _ in 0..5 {
            server.spawn();
            if server.comes_up().await {
                return server;
            }
            server.port = free_port();
        }
        panic!("Redis does not start: {}", server.log());
    }

    /// `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
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

    /// Sends the password, if there is one, and a command; gives the first line of the answer.
    async fn try_command(&self, words: &[&str]) -> std::io::Result<String> {
        let mut stream = BufReader::new(TcpStream::connect(self.address()).await?);
        if let Some(password) = self.options.password {
            stream.write_all(&request(&["AUTH", password])).await?;
            stream.read_line(&mut String::new()).await?;
        }
        stream.write_all(&request(words)).await?;
        let mut answer = String::new();
        stream.read_line(&mut answer).await?;
        // `$5` is followed by a text of that length.
        if let Some(length) = answer.trim().strip_prefix('$').and_then(|length| length.parse().ok()) {
            let mut text = vec![0; length];
            stream.read_exact(&mut text).await?;
            return Ok(String::from_utf8_lossy(&text).into_owned());
        }
        Ok(answer.trim().to_owned())
    }

    /// Kills it, as a crash would.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Kills it, if it runs, and starts it again at the same place with nothing in it.
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

    /// The same: it never keeps anything.
    pub async fn restart_empty(&mut self) {
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
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.arg("--unixsocket").arg(self.socket());
        if let Some(password) = self.options.password {
            command.args(["--requirepass", password]);
        }
        if self.options.events {
            command.args(["--notify-keyspace-events", "KA"]);
        }
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

fn free_port() -> u16 {
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
