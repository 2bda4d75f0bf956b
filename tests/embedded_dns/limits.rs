//! What one client can take from the others: nothing for long.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use hickory_proto::rr::RecordType;
use testkit::dns_load;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::client::{Question, exchange};
use crate::fixture::{Fixture, serve, settings};

fn fixture() -> Fixture {
    let mut fixture = Fixture::with_node("Box", &["192.0.2.1"], &[("rack", "r1")]);
    for host in 1..=100 {
        fixture.add("web", &format!("10.0.0.{host}"), 80, &[]);
    }
    fixture
}

fn query() -> Vec<u8> {
    Question::new("web.service.consul", RecordType::A).message().to_vec().unwrap()
}

#[tokio::test]
async fn queries_over_one_connection_are_answered_in_order() {
    let server = serve(settings("Box"), fixture());
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let queries: Vec<_> = (0..20).map(|_| query()).collect();
    for query in &queries {
        stream.write_u16(u16::try_from(query.len()).unwrap()).await.unwrap();
        stream.write_all(query).await.unwrap();
    }
    for query in &queries {
        let mut answer = vec![0; usize::from(stream.read_u16().await.unwrap())];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer[..2], query[..2]);
    }
}

#[tokio::test]
async fn idle_connections_end_and_make_room_for_others() {
    let mut settings = settings("Box");
    settings.limits.tcp_connections = 4;
    settings.limits.tcp_idle = Duration::from_millis(300);
    let server = serve(settings, fixture());
    // Ten that say nothing, or half a query.
    let mut idle = Vec::new();
    for index in 0..10 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        if index % 2 == 0 {
            stream.write_all(&[0, 30, 1]).await.unwrap();
        }
        idle.push(stream);
    }
    let answered = timeout(Duration::from_secs(10), async {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        exchange(&mut stream, &query()).await.unwrap()
    });
    assert!(answered.await.is_ok(), "idle connections keep an honest one out");
    let mut buffer = [0; 16];
    for mut stream in idle {
        let ended = timeout(Duration::from_secs(10), stream.read(&mut buffer)).await.expect("it ends");
        assert!(matches!(ended, Ok(0) | Err(_)));
    }
}

#[tokio::test]
async fn a_client_that_never_reads_is_left() {
    let mut settings = settings("Box");
    settings.limits.tcp_idle = Duration::from_millis(300);
    let server = serve(settings, fixture());
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let mut framed = u16::try_from(query().len()).unwrap().to_be_bytes().to_vec();
    framed.extend(query());
    let wrote = timeout(Duration::from_secs(30), async {
        // Until the server has gone: its answers fill every buffer on the way.
        while stream.write_all(&framed).await.is_ok() {}
    });
    assert!(wrote.await.is_ok(), "the server still reads from a client that never reads");
}

#[tokio::test]
async fn a_message_longer_than_any_query_ends_the_connection() {
    let server = serve(settings("Box"), fixture());
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_u16(60_000).await.unwrap();
    let ended = timeout(Duration::from_secs(5), stream.read_u8()).await.expect("it ends at once");
    assert!(ended.is_err());
}

#[tokio::test]
async fn a_flood_of_rubbish_leaves_the_server_serving() {
    let server = serve(settings("Box"), fixture());
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for length in (0..3000).map(|number| number * 7 % 1400) {
        let rubbish: Vec<u8> = (0..length).map(|_| fastrand::u8(..)).collect();
        let _ = socket.send_to(&rubbish, server.address).await;
    }
    let reply = Question::new("web.service.consul", RecordType::A).edns(4096).ask(server.address).await;
    assert_eq!(reply.answers.len(), 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_of_honest_clients_loses_no_answer() {
    let server = serve(settings("Box"), fixture());
    for kind in [dns_load::A, dns_load::SRV] {
        let load = dns_load::load(server.address, "web.service.consul", kind, 5_000, 64).await;
        assert_eq!((load.answered, load.lost), (5_000, 0));
    }
}

/// An address of this machine that is not loopback: what a query from outside comes from.
fn outer_address() -> SocketAddr {
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    // Connecting sends nothing: it only looks up the route.
    socket.connect("192.0.2.77:9").expect("a route that leads out");
    SocketAddr::new(socket.local_addr().unwrap().ip(), 0)
}

#[tokio::test]
async fn beyond_its_budget_a_network_is_sent_no_more_than_it_sends_and_can_go_on_over_tcp() {
    let mut settings = settings("Box");
    // So little that a slow machine asks for more of it, too.
    let budget = 2_000;
    settings.limits.udp_bytes_per_second = budget;
    let server = serve(settings, fixture());
    let outer = outer_address();
    let client = UdpSocket::bind(outer).await.unwrap();
    client.connect(server.address).await.unwrap();
    let query = Question::new("web.service.consul", RecordType::A).edns(4096).message().to_vec().unwrap();
    let (mut sent, mut received, mut whole, mut slipped) = (0, 0, 0, 0);
    let mut buffer = [0; 8192];
    let started = Instant::now();
    for _ in 0..400 {
        client.send(&query).await.unwrap();
        sent += query.len();
        if let Ok(Ok(length)) = timeout(Duration::from_millis(20), client.recv(&mut buffer)).await {
            received += length;
            let answer = Message::from_vec(&buffer[..length]).unwrap();
            if answer.metadata.truncation {
                slipped += 1;
                assert!(answer.answers.is_empty() && length <= query.len());
            } else {
                whole += 1;
            }
        }
    }
    assert!(whole >= 1, "{whole} whole answers within the budget");
    assert!(slipped >= 50, "{slipped} truncated answers beyond it");
    // A second's worth at once, and what every second brings.
    let seconds = usize::try_from(started.elapsed().as_secs()).unwrap() + 2;
    assert!(received <= budget as usize * seconds + sent, "{received} bytes for {sent} in {seconds} s");
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let answer = exchange(&mut stream, &query).await.unwrap();
    assert_eq!(Message::from_vec(&answer).unwrap().answers.len(), 100);
}
