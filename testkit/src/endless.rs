//! A server that never stops talking: some questions it answers as it should, to all others it begins an
//! answer without an end.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncWriteExt, BufReader};

use crate::http::{Reply, answer, receive};
use crate::net::{Gate, Place};

/// What has no end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The body of an answer with status 200.
    Body,
    /// The body of an answer with status 500.
    Complaint,
    /// The headers.
    Headers,
}

/// The server; it listens until it is dropped.
pub struct Endless {
    gate: Gate,
    sent: Arc<AtomicU64>,
}

impl Endless {
    /// Listens on a free port of 127.0.0.1; `known` are the ends of paths that are answered with this text.
    pub async fn start(part: Part, known: &[(&str, &str)]) -> Self {
        let sent = Arc::new(AtomicU64::new(0));
        let known: Arc<[(String, String)]> =
            known.iter().map(|(end, text)| ((*end).to_owned(), (*text).to_owned())).collect();
        let counter = Arc::clone(&sent);
        let gate = Gate::open(Place::Tcp((Ipv4Addr::LOCALHOST, 0).into()), move |stream| {
            let (known, sent) = (Arc::clone(&known), Arc::clone(&counter));
            async move {
                let mut stream = BufReader::new(stream);
                let Ok(request) = receive(&mut stream).await else { return };
                let path = request.path.split('?').next().unwrap_or_default();
                if let Some((_, text)) = known.iter().find(|(end, _)| path.ends_with(end.as_str())) {
                    let reply = Reply { status: 200, headers: Vec::new(), body: text.clone().into_bytes() };
                    let _ = answer(&mut stream, &reply).await;
                    return;
                }
                let (head, more) = match part {
                    Part::Body => ("HTTP/1.1 200 OK\r\n\r\n", "x".repeat(1 << 16)),
                    Part::Complaint => ("HTTP/1.1 500 Oh\r\n\r\n", "x".repeat(1 << 16)),
                    Part::Headers => ("HTTP/1.1 200 OK\r\n", format!("{}\r\n", "x: y\r\n".repeat(1 << 13).trim_end())),
                };
                let mut next = head.as_bytes();
                while stream.write_all(next).await.is_ok() {
                    sent.fetch_add(next.len() as u64, Ordering::Relaxed);
                    next = more.as_bytes();
                }
            }
        })
        .await;
        Self { gate, sent }
    }

    /// Where it listens.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        match self.gate.place() {
            Place::Tcp(address) => *address,
            Place::Unix(path) => panic!("listens on {}, not at an address", path.display()),
        }
    }

    /// How many bytes it got rid of so far.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}
