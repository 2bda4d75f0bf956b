//! The least that anyone could do: the same requests, made by hand on warm plain sockets, with no thought about the
//! answers. Nothing is made anew for each request that can be kept: bodies are put together from pieces, buffers are used
//! again, and of an answer only its end is looked for. With more than one connection there is a thread for each; the
//! fastest number of them is the floor.
//!
//! Runs as a process of its own, so that its time and memory are its own.

use std::fmt::Arguments;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::containers;
use crate::subject::{cpu_of, memory_of};

/// The room for an answer, which grows where one is larger.
const PIECE: usize = 64 << 10;

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
        String::from_utf8_lossy(list).split("\"Id\":\"").skip(1).map(|id| id[..64].to_owned()).collect();
    std::thread::scope(|scope| {
        for part in 0..connections {
            let ids = &ids;
            scope.spawn(move || {
                let mut engine = Connection::unix(socket);
                let mut agent = (agent != NOBODY).then(|| Connection::tcp(agent));
                let (mut path, mut body) = (String::new(), Vec::new());
                for id in ids.iter().skip(part).step_by(connections) {
                    path.clear();
                    path.extend(["/v1.41/containers/", id, "/json"]);
                    assert!(!engine.ask("GET", &path, b"").is_empty());
                    let Some(agent) = &mut agent else { continue };
                    // As the fake engine numbers them, from 1.
                    let number = usize::from_str_radix(&id[..12], 16).unwrap() - 1;
                    for (inside, outside) in containers::ports(number) {
                        body.clear();
                        write_body(&mut body, format_args!("floor:c{number}:{inside}"), outside);
                        agent.ask("PUT", "/v1/agent/service/register", &body);
                    }
                }
            });
        }
    });
    println!("{}", began.elapsed().as_secs_f64());
    let _ = std::io::stdin().read(&mut [0]);
}

/// The body that registers a service; its ID has nothing to be escaped.
pub fn body(id: &str, port: u16) -> Vec<u8> {
    let mut body = Vec::new();
    write_body(&mut body, format_args!("{id}"), port);
    body
}

fn write_body(body: &mut Vec<u8>, id: Arguments<'_>, port: u16) {
    let rest = r#""Name":"app","Address":"192.0.2.7","Tags":["blue","v2"],"Meta":{"external-source":"registrator","region":"eu-west","registrator-owner":"floor"}"#;
    write!(body, r#"{{"ID":"{id}","Port":{port},{rest}}}"#).unwrap();
}

/// A warm connection that speaks just enough HTTP.
pub struct Connection {
    stream: Box<dyn Stream>,
    request: Vec<u8>,
    answer: Vec<u8>,
    /// How much of it has been read.
    read: usize,
}

trait Stream: Read + Write + Send {}
impl<S: Read + Write + Send> Stream for S {}

impl Connection {
    pub fn unix(path: &str) -> Self {
        let stream = UnixStream::connect(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self::new(stream)
    }

    pub fn tcp(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        stream.set_nodelay(true).unwrap();
        Self::new(stream)
    }

    fn new(stream: impl Stream + 'static) -> Self {
        Self { stream: Box::new(stream), request: Vec::new(), answer: vec![0; PIECE], read: 0 }
    }

    /// Asks, and reads the answer: its body where it succeeded, nothing where not.
    pub fn ask(&mut self, method: &str, path: &str, body: &[u8]) -> &[u8] {
        self.request.clear();
        write!(self.request, "{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len()).unwrap();
        self.request.extend_from_slice(body);
        self.stream.write_all(&self.request).unwrap();
        self.read = 0;
        let begin = loop {
            self.more();
            if let Some(end) = self.answer[..self.read].windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
        };
        match length(&self.answer[..begin]) {
            Some(length) => {
                while self.read < begin + length {
                    self.more();
                }
            }
            None => {
                while !self.answer[..self.read].ends_with(b"0\r\n\r\n") {
                    self.more();
                }
            }
        }
        if self.answer.starts_with(b"HTTP/1.1 2") { &self.answer[begin..self.read] } else { b"" }
    }

    fn more(&mut self) {
        if self.answer.len() == self.read {
            self.answer.resize(self.read * 2, 0);
        }
        let read = self.stream.read(&mut self.answer[self.read..]).unwrap();
        assert!(read > 0, "the connection ended");
        self.read += read;
    }
}

/// How long the body behind this head is; `None` where it comes in chunks.
fn length(head: &[u8]) -> Option<usize> {
    let mut length = 0;
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return None;
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            length = String::from_utf8_lossy(&value[1..]).trim().parse().unwrap();
        }
    }
    Some(length)
}
