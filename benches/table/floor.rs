//! The least that anyone could do: the same requests, made by hand on warm connections, with no thought about the answers.
//!
//! Runs as a process of its own, so that its time and memory are its own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::json;

use crate::containers;
use crate::subject::{cpu_of, memory_of};

/// Stands for no agent.
const NOBODY: &str = "-";

/// What a floor cost.
pub struct Cost {
    pub wall: f64,
    pub cpu: f64,
    pub peak: f64,
}

/// Lists and inspects everything, and registers it where there is an agent, on so many connections to each.
pub fn cold_start(socket: &str, agent: Option<&str>, connections: usize) -> Cost {
    let socket = socket.trim_start_matches("unix://");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .env("REGISTRATOR_BENCH_FLOOR", format!("{socket} {} {connections}", agent.unwrap_or(NOBODY)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut wall = String::new();
    let mut byte = [0];
    let mut output = child.stdout.take().unwrap();
    while output.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        wall.push(char::from(byte[0]));
    }
    // It waits for the end of its input.
    let cost = Cost {
        wall: wall.parse().unwrap_or_else(|_| panic!("the floor said {wall:?}")),
        cpu: cpu_of(child.id()),
        peak: memory_of(child.id(), "VmHWM:"),
    };
    drop(child.stdin.take());
    let _ = child.wait();
    cost
}

/// What that process does.
pub fn run(order: &str) {
    let words: Vec<_> = order.split(' ').collect();
    let [socket, agent, connections] = words[..] else { panic!("{order:?}") };
    let connections: usize = connections.parse().unwrap();
    let began = Instant::now();
    let mut engine = Connection::unix(socket);
    let list = engine.ask("GET", "/v1.41/containers/json?all=0", b"");
    let ids: Vec<String> =
        String::from_utf8_lossy(&list).split("\"Id\":\"").skip(1).map(|id| id[..64].to_owned()).collect();
    std::thread::scope(|scope| {
        for part in 0..connections {
            let ids = &ids;
            scope.spawn(move || {
                let mut engine = Connection::unix(socket);
                let mut agent = (agent != NOBODY).then(|| Connection::tcp(agent));
                for id in ids.iter().skip(part).step_by(connections) {
                    let said = engine.ask("GET", &format!("/v1.41/containers/{id}/json"), b"");
                    assert!(!said.is_empty());
                    let Some(agent) = &mut agent else { continue };
                    // As the fake engine numbers them, from 1.
                    let number = usize::from_str_radix(&id[..12], 16).unwrap() - 1;
                    for (inside, outside) in containers::ports(number) {
                        agent.ask("PUT", "/v1/agent/service/register", &registration(number, inside, outside));
                    }
                }
            });
        }
    });
    println!("{}", began.elapsed().as_secs_f64());
    let _ = std::io::stdin().read(&mut [0]);
}

/// The body that registers one port of a container of the fake engine.
fn registration(number: usize, inside: u16, outside: u16) -> Vec<u8> {
    body(&format!("floor:c{number}:{inside}"), outside)
}

/// The body that registers a service.
pub fn body(id: &str, port: u16) -> Vec<u8> {
    json!({
        "ID": id, "Name": "app", "Port": port, "Address": "192.0.2.7", "Tags": ["blue", "v2"],
        "Meta": {"external-source": "registrator", "region": "eu-west", "registrator-owner": "floor"},
    })
    .to_string()
    .into_bytes()
}

/// A warm connection that speaks just enough HTTP.
pub struct Connection {
    stream: Box<dyn Stream>,
    buffer: Vec<u8>,
}

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

impl Connection {
    pub fn unix(path: &str) -> Self {
        let stream = UnixStream::connect(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { stream: Box::new(stream), buffer: Vec::new() }
    }

    pub fn tcp(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_nodelay(true).unwrap();
        Self { stream: Box::new(stream), buffer: Vec::new() }
    }

    /// Asks, and reads the answer: its body where it succeeded, nothing where not.
    pub fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> Vec<u8> {
        let mut request =
            format!("{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        request.extend_from_slice(body);
        self.stream.write_all(&request).unwrap();
        self.buffer.clear();
        let end = loop {
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            self.more();
        };
        let head = String::from_utf8_lossy(&self.buffer[..end]).to_ascii_lowercase();
        if head.contains("transfer-encoding: chunked") {
            while !self.buffer.ends_with(b"0\r\n\r\n") {
                self.more();
            }
        } else {
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
            let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
            while self.buffer.len() < end + length {
                self.more();
            }
        }
        if head.starts_with("http/1.1 2") { self.buffer[end..].to_vec() } else { Vec::new() }
    }

    fn more(&mut self) {
        let mut piece = [0; 65_536];
        let read = self.stream.read(&mut piece).unwrap();
        assert!(read > 0, "the connection ended");
        self.buffer.extend_from_slice(&piece[..read]);
    }
}
