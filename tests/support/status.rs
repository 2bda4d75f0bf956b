//! A reader of `-status`, and the commands that ask.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use testkit::http::{Reply, Request, send};
use testkit::net::Place;
use testkit::program::Program;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::SOON;

/// Where the state of a program is told.
#[derive(Clone, Copy)]
pub struct Status {
    pub address: SocketAddr,
    pub https: bool,
}

impl Status {
    /// Where this program tells its state, as it says.
    pub async fn of(program: &Program) -> Self {
        let line = program.wait_for("status: http").await;
        let https = line.contains("status: https://");
        let address = line.rsplit("://").next().unwrap().trim_end_matches('/').parse().unwrap();
        Self { address, https }
    }

    pub fn is_https(&self) -> bool {
        self.https
    }

    /// Sends these bytes over plain TCP; what comes back until the end.
    pub async fn plain(&self, text: &str) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
        // A TLS alert is no answer.
        if answer.starts_with(b"HTTP/") { answer } else { Vec::new() }
    }

    /// One request.
    pub async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = Request { method: method.to_owned(), path: path.to_owned(), headers, body: Vec::new() };
        timeout(SOON, send(&Place::Tcp(self.address), &request)).await.expect("an answer").unwrap()
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.ask("GET", path, &[]).await
    }

    /// The text of a successful answer.
    pub async fn text(&self, path: &str) -> String {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", String::from_utf8_lossy(&reply.body));
        String::from_utf8(reply.body).unwrap()
    }

    /// The JSON of a successful answer.
    pub async fn json(&self, path: &str) -> Value {
        let text = self.text(path).await;
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}: {text}"))
    }

    /// The events after this one.
    pub async fn events(&self, after: Option<u64>) -> Events {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let last = after.map(|number| format!("last-event-id: {number}\r\n")).unwrap_or_default();
        let request = format!("GET /v1/events HTTP/1.1\r\nhost: localhost\r\n{last}\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        Events { stream, seen: Vec::new() }
    }
}

/// A stream of events.
pub struct Events {
    stream: TcpStream,
    seen: Vec<u8>,
}

impl Events {
    /// The next event for which this holds.
    pub async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = async {
            loop {
                while let Some(end) = self.seen.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = self.seen.drain(..=end).collect();
                    if let Some(data) = line.strip_prefix(b"data: ")
                        && let Ok(event) = serde_json::from_slice::<Value>(data)
                        && wanted(&event)
                    {
                        return event;
                    }
                }
                let mut bytes = [0; 4096];
                let count = self.stream.read(&mut bytes).await.unwrap();
                assert!(count > 0, "the events ended");
                self.seen.extend_from_slice(&bytes[..count]);
            }
        };
        timeout(SOON, found).await.expect("the event")
    }
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// Runs a command of the program.
pub fn asked(arguments: &[&str], environment: &[(&str, &str)]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_registrator"));
    command.env_clear().envs(environment.iter().copied()).args(arguments);
    let output = command.output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}
