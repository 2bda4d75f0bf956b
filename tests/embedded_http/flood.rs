//! A crowd that takes all it can get: the program goes on, small as it was.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::Value;
use testkit::docker::{Spec, unique};
use testkit::http::{Request, send};
use testkit::net::Place;
use testkit::program::Program;
use testkit::wait::becomes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};

use super::support::{HOST, IP, SOON, addresses, id};

/// Files that the program may open; many systems allow 1024.
const FILES: &str = "--nofile=512:512";

/// What the crowd may make the program grow by.
const MEGABYTES: u64 = 48;

/// A connection from one of this machine's many addresses, which are as many clients.
async fn connect(from: u8, to: SocketAddr) -> Option<TcpStream> {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 9, from], 0))).unwrap();
    socket.connect(to).await.ok()
}

#[tokio::test]
async fn a_crowd_that_takes_all_connections_keeps_no_container_from_being_registered_and_takes_no_memory() {
    let program = env!("CARGO_BIN_EXE_registrator");
    let uri = "embedded://127.0.0.1:0?dns=127.0.0.1:0";
    let program = Program::start(Path::new("prlimit"), [FILES, program, "-hostname", HOST, "-ip", IP, uri], []);
    let (http, dns) = addresses(&program).await;
    program.wait_for("may open 512 files, so it takes 256 connections").await;
    program.wait_for("Syncing services").await;
    let before = program.peak_memory();

    // Heads that never end, queries that wait for ever, silence; over DNS, half a question.
    let silence = String::new();
    let waiting = "GET /v1/health/service/x?index=18446744073709551615&wait=10m HTTP/1.1\r\nhost: x\r\n\r\n".to_owned();
    let endless = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}", "y".repeat(15_000));
    let mut held = Vec::new();
    for number in 0..100 {
        for (client, said) in [(1, &silence), (2, &waiting), (3, &endless), (4, &waiting)] {
            if let Some(mut stream) = connect(client, http).await {
                let _ = stream.write_all(said.as_bytes()).await;
                held.push(stream);
            }
        }
        if let Some(mut stream) = connect(5 + number % 4, dns).await {
            let _ = stream.write_all(&[0, 30, 1]).await;
            held.push(stream);
        }
    }
    let rubbish = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for length in 0..1000 {
        let bytes: Vec<u8> = (0..length).map(|_| fastrand::u8(..)).collect();
        let _ = rubbish.send_to(&bytes, dns).await;
    }
    let mut told = String::new();
    connect(9, http).await.unwrap().read_to_string(&mut told).await.unwrap();
    assert!(told.starts_with("HTTP/1.1 429"), "the crowd has not every connection: {told}");

    // The engine is followed all the same, and datagrams are answered.
    let name = unique("flood");
    let container = Spec::new(&name).publish("80/tcp").env(&format!("SERVICE_NAME={name}")).start();
    program.wait_for(&id(&container, "80")).await;
    let port = dns.port().to_string();
    let question = ["@127.0.0.1", "-p", &port, "+short", &format!("{name}.service.consul")];
    let answer = std::process::Command::new("dig").args(question).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.stdout).trim(), IP);
    let grown = program.peak_memory() - before;
    assert!(grown < MEGABYTES << 20, "it grew by {grown} bytes");

    // And when the crowd goes, all is as before.
    drop(held);
    let path = format!("/v1/health/service/{name}?passing");
    let request = Request { method: "GET".to_owned(), path, ..Request::default() };
    let passing = async || {
        let reply = send(&Place::Tcp(http), &request).await.ok()?;
        serde_json::from_slice::<Value>(&reply.body).ok()?.as_array().map(Vec::len)
    };
    becomes(Some(1), SOON, passing).await;
}
