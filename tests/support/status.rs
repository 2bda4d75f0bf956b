//! A reader of `-status`, and the commands that ask.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
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

/// An answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
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
        let mut request = format!("{method} {path} HTTP/1.1\r\nconnection: close\r\n");
        if !headers.iter().any(|(name, _)| *name == "host") {
            request += "host: localhost\r\n";
        }
        for (name, value) in headers {
            request += &format!("{name}: {value}\r\n");
        }
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(format!("{request}\r\n").as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(SOON, stream.read_to_end(&mut answer)).await.expect("an answer").unwrap();
        reply(&answer)
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

fn reply(answer: &[u8]) -> Reply {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: Vec<(String, String)> = lines
        .map(|line| line.split_once(": ").unwrap_or((line, "")))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let chunked = headers.iter().any(|(name, value)| name.eq_ignore_ascii_case("transfer-encoding") && value == "chunked");
    let body = &answer[end + 4..];
    Reply { status, headers, body: if chunked { unchunked(body) } else { body.to_vec() } }
}

fn unchunked(mut body: &[u8]) -> Vec<u8> {
    let mut whole = Vec::new();
    while let Some(end) = body.windows(2).position(|window| window == b"\r\n") {
        let size = usize::from_str_radix(std::str::from_utf8(&body[..end]).unwrap().trim(), 16).unwrap();
        if size == 0 {
            break;
        }
        whole.extend_from_slice(&body[end + 2..end + 2 + size]);
        body = &body[end + 2 + size + 2..];
    }
    whole
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
