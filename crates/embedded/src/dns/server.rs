//! Sockets: datagrams and connections in, answers out, within the limits.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::directory::Directory;
use super::limiter::{Limiter, Verdict};
use super::message::{Responder, Transport, truncated};
use super::settings::Settings;
use registrator_web::Network;
use registrator_web::{Permits, Room};

/// The longest query: one name and EDNS take a tenth of it.
const LONGEST_QUERY: usize = 4096;

/// Connections that wait until others end.
const WAITING: usize = 64;

/// Which part of all connections is kept besides, for networks that have none.
const RESERVE_FRACTION: usize = 16;

/// After a socket fails, so that a lasting failure does not spin.
const PAUSE: Duration = Duration::from_millis(50);

/// Serves DNS on two sockets, bound to the same address, until told to stop.
///
/// Bind them to an address rather than to all of them: a machine with several answers a datagram from
/// the address that its routes choose, which need not be the one that was asked. Several calls serve several addresses.
/// Must be called within a tokio runtime. The task that it returns ends soon after `stop`, and never before.
///
/// # Errors
/// When the sockets cannot be used.
pub fn serve(
    udp: std::net::UdpSocket,
    tcp: std::net::TcpListener,
    settings: Settings,
    directory: Arc<dyn Directory>,
    stop: CancellationToken,
) -> io::Result<JoinHandle<()>> {
    udp.set_nonblocking(true)?;
    tcp.set_nonblocking(true)?;
    let (udp, tcp) = (UdpSocket::from_std(udp)?, TcpListener::from_std(tcp)?);
    let responder = Arc::new(Responder::new(settings, directory));
    Ok(tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = datagrams(&responder, udp) => {}
            () = connections(&responder, tcp) => {}
        }
    }))
}

async fn datagrams(responder: &Responder, socket: UdpSocket) {
    let mut limiter = Limiter::new(responder.limits().udp_bytes_per_second);
    let start = Instant::now();
    let mut buffer = vec![0; LONGEST_QUERY];
    loop {
        let (length, client) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                debug!(%error, "DNS over UDP: receiving failed");
                sleep(PAUSE).await;
                continue;
            }
        };
        let query = buffer.get(..length).unwrap_or_default();
        let Some(answer) = responder.respond(query, Transport::Udp) else { continue };
        let answer = match limiter.judge(client.ip(), answer.len(), start.elapsed()) {
            Verdict::Send => Some(answer),
            Verdict::Truncate => truncated(&answer),
            Verdict::Drop => None,
        };
        // An address that nothing can be sent to is the asker's affair.
        if let Some(answer) = answer
            && let Err(error) = socket.send_to(&answer, client).await
        {
            debug!(%client, %error, "DNS over UDP: sending failed");
        }
    }
}

async fn connections(responder: &Arc<Responder>, listener: TcpListener) {
    let limits = *responder.limits();
    let clients = Permits::new(Room {
        most: limits.tcp_connections,
        reserve: limits.tcp_connections / RESERVE_FRACTION,
        share: limits.tcp_connections_per_client,
    });
    let waiting = Arc::new(Semaphore::new(WAITING));
    // They end with this future.
    let mut connections = JoinSet::new();
    loop {
        let (stream, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!(%error, "DNS over TCP: accepting failed");
                sleep(PAUSE).await;
                continue;
            }
        };
        let network = Network::of_client(client.ip());
        let place = Arc::clone(&waiting).try_acquire_owned().ok();
        let Some(place) = place.filter(|_| !clients.is_sated(&network)) else { continue };
        let (responder, clients) = (Arc::clone(responder), clients.clone());
        connections.spawn(async move {
            let Ok(_permit) = timeout(limits.tcp_idle, clients.acquire(&network)).await else { return };
            drop(place);
            if let Err(error) = connection(&responder, stream, || clients.is_crowded(&network)).await {
                debug!(%client, %error, "DNS over TCP: the connection ended");
            }
        });
        while connections.try_join_next().is_some() {}
    }
}

/// One connection, one query after the other, each behind its length (RFC 7766, 8).
async fn connection(responder: &Responder, mut stream: TcpStream, crowded: impl Fn() -> bool) -> io::Result<()> {
    let idle = responder.limits().tcp_idle;
    loop {
        let patience = if crowded() { idle / 10 } else { idle };
        let Some(query) = timeout(patience, read_query(&mut stream)).await?? else { return Ok(()) };
        let Some(answer) = responder.respond(&query, Transport::Tcp) else { return Ok(()) };
        let length = u16::try_from(answer.len()).map_err(io::Error::other)?;
        let mut framed = Vec::with_capacity(answer.len() + 2);
        framed.extend_from_slice(&length.to_be_bytes());
        framed.extend_from_slice(&answer);
        timeout(patience, stream.write_all(&framed)).await??;
    }
}

/// The next query; none where the client is done, or sends what can be no query.
async fn read_query(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let length = match stream.read_u16().await {
        Ok(length) => usize::from(length),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > LONGEST_QUERY {
        return Ok(None);
    }
    let mut query = vec![0; length];
    stream.read_exact(&mut query).await?;
    Ok(Some(query))
}
