//! What the network may not do.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::beside::{ask, embedded, get, service};
use super::support::registry::Batches as _;

async fn raw(server: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server).await.unwrap();
    // It may be closed on us before all is said.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let read = timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    assert!(
        read.is_ok(),
        "the connection stays open after {:?}",
        String::from_utf8_lossy(&bytes[..bytes.len().min(80)])
    );
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn nothing_that_is_written_is_taken() {
    let registry = embedded("n", "");
    let server = registry.http_address().unwrap();
    for (method, path) in [
        ("PUT", "/v1/agent/service/register"),
        ("PUT", "/v1/agent/service/deregister/x"),
        ("PUT", "/v1/catalog/register"),
        ("PUT", "/v1/kv/x"),
        ("DELETE", "/v1/kv/x"),
        ("POST", "/v1/query"),
        ("PATCH", "/v1/catalog/services"),
    ] {
        let answer = ask(server, method, path).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert!(answer.text.starts_with("this registry is read-only"), "{}", answer.text);
    }
    assert_eq!(get(server, "/v1/catalog/services").await.text, "{}");
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_closed() {
    let registry = embedded("n", "");
    let server = registry.http_address().unwrap();
    let long_path = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(100_000));
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(1000));
    let long_header = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(100_000));
    for bytes in
        [&b"\0\xff\x13nonsense\r\n\r\n"[..], long_path.as_bytes(), many_headers.as_bytes(), long_header.as_bytes()]
    {
        let answer = raw(server, bytes).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(get(server, "/v1/catalog/services").await.status, 200);
}

#[tokio::test]
async fn a_head_is_refused_as_consul_refuses_it() {
    let registry = embedded("n", "");
    let request = b"HEAD /v1/catalog/services HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = raw(registry.http_address().unwrap(), request).await;
    assert!(answer.starts_with("HTTP/1.1 405") && answer.ends_with("\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_body_is_not_waited_for() {
    let registry = embedded("n", "");
    let server = registry.http_address().unwrap();
    let answer = raw(server, b"PUT /v1/kv/x HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\nabc").await;
    assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
}

#[tokio::test]
async fn a_page_of_the_web_cannot_read_it_through_a_name_of_its_own() {
    let registry = embedded("n", "");
    let server = registry.http_address().unwrap();
    for (host, status) in [("evil.example:8500", "403"), ("localhost", "200"), ("127.0.0.1", "200"), ("consul", "200")]
    {
        let request = format!("GET /v1/catalog/services HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
        let answer = raw(server, request.as_bytes()).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{host}: {answer}");
        assert!(!answer.to_lowercase().contains("access-control"), "{answer}");
    }
}

#[tokio::test]
async fn one_client_cannot_take_every_connection() {
    let registry = embedded("n", "");
    let server = registry.http_address().unwrap();
    let mut held = Vec::new();
    for _ in 0..256 {
        held.push(TcpStream::connect(server).await.unwrap());
    }
    let refused = raw(server, b"").await;
    assert!(refused.starts_with("HTTP/1.1 429"), "{refused}");
    let (head, body) = refused.split_once("\r\n\r\n").unwrap();
    assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{refused}");
    // Another address is another client.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut other = socket.connect(server).await.unwrap();
    other.write_all(b"GET /v1/status/leader HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    other.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    drop(held);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while raw(server, b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.contains(" 429 ") {
        assert!(tokio::time::Instant::now() < deadline, "connections are not given back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_dropped_registry_ends_its_connections_and_frees_its_ports() {
    let registry = embedded("n", "");
    let (http, dns) = (registry.http_address().unwrap(), registry.dns_address().unwrap());
    registry.register(&[std::sync::Arc::new(service("i", "web", "10.0.0.1", 1))]).await;
    let index = get(http, "/v1/health/service/web").await.index();
    let blocked = tokio::spawn(async move {
        let request = format!("GET /v1/health/service/web?index={index} HTTP/1.1\r\nhost: x\r\n\r\n");
        raw(http, request.as_bytes()).await
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(registry);
    assert_eq!(blocked.await.unwrap(), "");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    while std::net::TcpListener::bind(http).is_err() || std::net::UdpSocket::bind(dns).is_err() {
        assert!(tokio::time::Instant::now() < deadline, "the ports are still taken");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
