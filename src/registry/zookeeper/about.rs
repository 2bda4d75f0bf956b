//! Who answers: ZooKeeper says its version to `srvr`, one of its four-letter words, and its time with each node.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use zookeeper_client::Client;

use crate::http::tls_config;
use crate::registry::servers::Server;
use crate::registry::text::one_line;
use crate::registry::{About, Site, Store};

use super::settings::Settings;

/// How long one server may take to say its version.
const DEADLINE: Duration = Duration::from_secs(2);
/// The most bytes of its answer that are read, and the longest version that is shown.
const ANSWER_LIMIT: u64 = 4 << 10;
const LONGEST: usize = 40;

/// Where it is.
pub(super) fn site(settings: &Settings) -> Site {
    Site {
        store: Store::ZooKeeper,
        servers: settings.servers.iter().map(|server| (server.host.clone(), server.port)).collect(),
        tls: settings.tls.clone(),
        root: settings.base.clone(),
        records: None,
        user: settings.credentials.as_ref().map(|known| known.user.clone()),
        ..Site::default()
    }
}

/// Asks the first server that answers for its version, and the session for the time of a node that was just written.
pub(super) async fn about(settings: &Settings, client: &Client, written: Option<&str>) -> About {
    let mut version = None;
    for server in &settings.servers {
        version = timeout(DEADLINE, asked(settings, server)).await.ok().flatten();
        if version.is_some() {
            break;
        }
    }
    let clock = match written {
        Some(path) => client.check_stat(path).await.ok().flatten().and_then(|stat| time(stat.mtime)),
        None => None,
    };
    About { name: format!("ZooKeeper at {}", settings.place()), version, clock, ..About::default() }
}

/// Milliseconds since 1970.
fn time(milliseconds: i64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(u64::try_from(milliseconds).ok()?))
}

/// The version that a server says; `None` if it does not.
async fn asked(settings: &Settings, server: &Server) -> Option<String> {
    let stream = TcpStream::connect((server.host.as_str(), server.port)).await.ok()?;
    let Some(tls) = &settings.tls else { return said(stream).await };
    let name = ServerName::try_from(server.host.clone()).ok()?;
    said(TlsConnector::from(Arc::new(tls_config(tls).ok()?)).connect(name, stream).await.ok()?).await
}

async fn said(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Option<String> {
    stream.write_all(b"srvr").await.ok()?;
    let mut answer = Vec::new();
    // A server may end a TLS connection without saying so; what it said before counts.
    let _ = stream.take(ANSWER_LIMIT).read_to_end(&mut answer).await;
    version(&String::from_utf8_lossy(&answer))
}

/// `3.8.0` of `Zookeeper version: 3.8.0-5a02a05eddb59aee6ac762f7ea82e92a68eb9c0f, built on …`.
fn version(answer: &str) -> Option<String> {
    let line = answer.lines().find_map(|line| line.strip_prefix("Zookeeper version: "))?;
    let version = line.split([',', ' ']).next().unwrap_or_default();
    let version = version.split_once('-').map_or(version, |(version, _)| version);
    (!version.is_empty()).then(|| one_line(version, LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_what_servers_say() {
        for (answer, expected) in [
            ("Zookeeper version: 3.8.0-5a02a05eddb5, built on 2022-02-25 08:49 UTC\nLatency: 0", Some("3.8.0")),
            ("Zookeeper version: 3.4.13--1, built on 06/29/2018", Some("3.4.13")),
            ("Zookeeper version: 3.9.1\n", Some("3.9.1")),
            ("srvr is not executed because it is not in the whitelist.\n", None),
            ("Zookeeper version: ", None),
            ("", None),
        ] {
            assert_eq!(version(answer).as_deref(), expected, "{answer}");
        }
    }

    #[test]
    fn a_time_before_1970_is_none() {
        assert_eq!(time(1500), UNIX_EPOCH.checked_add(Duration::from_millis(1500)));
        assert_eq!(time(-1), None);
    }
}
