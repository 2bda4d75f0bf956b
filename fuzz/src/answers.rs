//! Any bytes as a registry's answers over HTTP (Consul, its key-value store, etcd's v2 API, Eureka,
//! discoverd, a provider of external-dns): never a panic, never a
//! hang, and every refusal is one line.
//!
//! The input's first byte chooses the registry; the rest are answers, split at NULs and given in turn, each of which
//! begins with a byte that chooses its status.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use registrator::config::{Environment, RegistryConfig};
use registrator::container::{ContainerId, Health, Moment, Protocol};
use registrator::event::Events;
use registrator::registry::{Action, Reason, RegistryError, Scope, Write, open};
use registrator::service::{Origin, Service};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::time::timeout;

/// No call may take longer: a registry gives up after ten seconds, a few times over.
const DEADLINE: Duration = Duration::from_secs(60);

/// Runs the target on one input.
pub fn run(data: &[u8]) {
    let Some((which, rest)) = data.split_first() else { return };
    let answers: Vec<Vec<u8>> = rest.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
    // One of its own, for a registry may leave tasks behind.
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(serve(listener, answers));
        let uri = match which {
            b'e' => format!("eureka://{address}"),
            b'd' => format!("discoverd://{address}"),
            b'w' => format!("webhook+http://{address}/example.com"),
            which if which % 3 == 0 => format!("consul://{address}"),
            which if which % 3 == 1 => format!("consulkv://{address}/services"),
            _ => format!("etcd2://{address}/services"),
        };
        timeout(DEADLINE, ask(uri, address)).await.unwrap();
    });
}

/// Asks a registry everything; whatever it answers is tame.
pub async fn ask(uri: String, address: SocketAddr) {
    let config = RegistryConfig {
        uri,
        owner: "host".to_owned(),
        hostname: "host".to_owned(),
        record_owner: true,
        ttl: None,
        ttl_refresh: None,
        environment: Arc::new(Environment::default()),
    };
    let registry = open(&config, &Events::new(|_| {})).unwrap().registry;
    let service = Arc::new(Service {
        id: "host:web:80".into(),
        name: "web".to_owned(),
        address: address.ip().to_string().into(),
        port: 80,
        protocol: Protocol::Tcp,
        tags: Arc::default(),
        attributes: Arc::default(),
        ttl: None,
        check: None,
        health: Health::None,
        traefik: None,
        origin: Origin {
            container: ContainerId::from("1234567890abcdef"),
            container_name: "web".into(),
            created: Moment::default(),
            started: Moment::default(),
            claimed: false,
            address_of: registrator::service::AddressOf::Container,
            hostname: "web".into(),
            exposed_port: 80,
        },
    });
    assert_tame(&registry.ping().await);
    let entries = registry.read(&Scope { keys: None, contents: true, looks: false }).await;
    assert_tame(&entries);
    let put = Write { key: registry.key(&service), action: Action::Put(service), reason: Reason::Missing };
    for answer in registry.apply(&[put]).await {
        assert_tame(&answer);
    }
    let entries = entries.unwrap_or_default();
    let remove = |entry: registrator::registry::Entry| Write {
        key: Arc::clone(&entry.key),
        action: Action::Remove(entry),
        reason: Reason::Withdrawn,
    };
    let some: Vec<_> = entries.into_iter().take(4).map(remove).collect();
    let answers = registry.apply(&some).await;
    assert_eq!(answers.len(), some.len());
    answers.iter().for_each(assert_tame);
}

fn assert_tame<T>(answer: &Result<T, RegistryError>) {
    if let Err(error) = answer {
        let line = error.to_string();
        assert!(!line.contains(char::is_control), "a broken line: {line:?}");
        assert!(line.len() < 2000, "a very long line: {line:?}");
    }
}

/// Answers whatever is asked, with one after the other.
async fn serve(listener: TcpListener, answers: Vec<Vec<u8>>) {
    let turns = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let answers = Arc::new(answers);
    while let Ok((stream, _)) = listener.accept().await {
        let (turns, answers) = (Arc::clone(&turns), Arc::clone(&answers));
        tokio::spawn(async move {
            let next = || {
                let turn = turns.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                answers[turn % answers.len()].as_slice()
            };
            let _ = converse(stream, next).await;
        });
    }
}

async fn converse<'a>(stream: TcpStream, next: impl Fn() -> &'a [u8]) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = 0;
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 0 && line != "\r\n" {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            line.clear();
        }
        if line.is_empty() {
            return Ok(());
        }
        stream.read_exact(&mut vec![0; length]).await?;
        let (status, body) = match next().split_first() {
            Some((b'4', body)) => ("404 Not Found", body),
            Some((b'5', body)) => ("500 Internal Server Error", body),
            Some((b'3', body)) => ("403 Forbidden", body),
            Some((_, body)) => ("200 OK", body),
            None => ("200 OK", &b""[..]),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\nX-Consul-Index: 7\r\nX-Etcd-Index: 7\r\nDiscoverd-Index: 7\r\nContent-Type: {}\r\n\
             Content-Length: {}\r\n\r\n",
            "application/external.dns.webhook+json;version=1",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).await?;
        stream.flush().await?;
    }
}
