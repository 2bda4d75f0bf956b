//! Load on a DNS server, as dnsperf makes it: so many queries over UDP, so many of them unanswered at any time.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Sockets that the queries are spread over, so that no single receive buffer is the limit.
const SOCKETS: usize = 4;

/// A query that is not answered so long is lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// The type of an address record.
pub const A: u16 = 1;

/// The type of a service record.
pub const SRV: u16 = 33;

/// What a load came to.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Queries that were answered.
    pub answered: usize,
    /// Queries that were not answered in time.
    pub lost: usize,
    /// From the first query to the last answer.
    pub took: Duration,
}

impl Load {
    /// Answers in a second.
    #[must_use]
    pub fn per_second(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "a count of queries is far from 2^52")]
        let answered = self.answered as f64;
        answered / self.took.as_secs_f64()
    }
}

/// Asks a server for a name and a type so many times, with so many queries in flight.
///
/// # Panics
/// When the name is none, or a socket cannot be used.
pub async fn load(server: SocketAddr, name: &str, kind: u16, queries: usize, in_flight: usize) -> Load {
    let query = query(name, kind);
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for index in 0..SOCKETS {
        // Shares that add up to the whole.
        let share = |whole: usize| whole * (index + 1) / SOCKETS - whole * index / SOCKETS;
        tasks.spawn(drive(server, query.clone(), share(queries), share(in_flight).max(1)));
    }
    let mut load = Load { answered: 0, lost: 0, took: Duration::ZERO };
    while let Some(done) = tasks.join_next().await {
        let (answered, lost) = done.expect("a load task");
        load.answered += answered;
        load.lost += lost;
    }
    load.took = start.elapsed();
    load
}

/// Keeps a window of queries in flight on one socket; how many were answered, and how many were not.
async fn drive(server: SocketAddr, mut query: Vec<u8>, queries: usize, window: usize) -> (usize, usize) {
    let here: SocketAddr = if server.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }.parse().expect("an address");
    let socket = UdpSocket::bind(here).await.expect("a socket");
    socket.connect(server).await.expect("an address that can be reached");
    let mut buffer = [0; 65_535];
    let (mut sent, mut answered, mut lost) = (0, 0, 0);
    while answered + lost < queries {
        while sent < queries && sent - answered - lost < window {
            let [high, low] = u16::try_from(sent % 65_536).expect("16 bits").to_be_bytes();
            (query[0], query[1]) = (high, low);
            socket.send(&query).await.expect("a query sent");
            sent += 1;
        }
        match timeout(PATIENCE, socket.recv(&mut buffer)).await {
            Ok(received) => {
                received.expect("an answer");
                answered += 1;
            }
            Err(_) => lost = sent - answered,
        }
    }
    (answered, lost)
}

/// A query without EDNS (RFC 1035, 4.1); the id is filled in for each.
fn query(name: &str, kind: u16) -> Vec<u8> {
    let mut query = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.trim_end_matches('.').split('.') {
        assert!((1..=63).contains(&label.len()), "{name} is no name");
        query.push(u8::try_from(label.len()).expect("a short label"));
        query.extend_from_slice(label.as_bytes());
    }
    query.push(0);
    query.extend_from_slice(&kind.to_be_bytes());
    query.extend_from_slice(&1_u16.to_be_bytes());
    query
}
