//! Two proxies that break on command: [`HttpRecorder`], which understands and remembers requests, and
//! [`Cutter`], which moves bytes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf, split};

use crate::http::{Reply, Request, answer, receive, send};
use crate::net::{Gate, Place, Stream};

/// What an [`HttpRecorder`] does with a request, after remembering it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Passes it on.
    Pass,
    /// Accepts the connection and never answers.
    Hang,
    /// Passes it on, and takes `X-Consul-Index` out of the answer.
    StripIndex,
    /// Takes `index` and `wait` out of the request, so that the answer comes at once.
    IgnoreIndex,
    /// Passes it on only with this header (its name in lower case); answers 401 otherwise.
    Require(String, String),
    /// Answers with this status and text itself.
    Answer(u16, String),
}

/// A reverse proxy before an HTTP server that remembers every request.
pub struct HttpRecorder {
    gate: Gate,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: Place,
    mode: Mutex<Mode>,
    requests: Mutex<Vec<Request>>,
}

impl HttpRecorder {
    /// Listens on a free port of 127.0.0.1, before the server at that address.
    pub async fn start(upstream: SocketAddr) -> Self {
        let shared = Arc::new(Shared {
            upstream: Place::Tcp(upstream),
            mode: Mutex::new(Mode::Pass),
            requests: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let gate = Gate::open(anywhere(), move |stream| {
            let shared = Arc::clone(&serving);
            async move { shared.serve(stream).await }
        })
        .await;
        Self { gate, shared }
    }

    /// Where it listens: `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        address(&self.gate)
    }

    /// What to do from the next request on.
    pub fn set(&self, mode: Mode) {
        *self.shared.mode.lock().expect("the mode") = mode;
    }

    /// Drops every connection.
    pub fn cut(&self) {
        self.gate.cut();
    }

    /// Drops every connection and refuses new ones.
    pub async fn refuse(&mut self) {
        self.gate.shut().await;
    }

    /// Accepts connections again.
    pub async fn restore(&mut self) {
        self.gate.reopen().await;
    }

    /// Every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().expect("the requests").clone()
    }

    /// How many of the requests so far have this method and a path that begins so.
    #[must_use]
    pub fn count(&self, method: &str, path: &str) -> usize {
        let requests = self.shared.requests.lock().expect("the requests");
        requests.iter().filter(|request| request.method == method && request.path.starts_with(path)).count()
    }

    /// Forgets the requests so far.
    pub fn forget(&self) {
        self.shared.requests.lock().expect("the requests").clear();
    }
}

impl Shared {
    /// A connection that breaks is part of the play: there is nobody to tell.
    async fn serve(&self, stream: Box<dyn Stream>) {
        let mut stream = BufReader::new(stream);
        let Ok(request) = receive(&mut stream).await else { return };
        self.requests.lock().expect("the requests").push(request.clone());
        let mode = self.mode.lock().expect("the mode").clone();
        let reply = match mode {
            Mode::Hang => std::future::pending().await,
            Mode::Answer(status, text) => Ok(Reply { status, headers: Vec::new(), body: text.into_bytes() }),
            Mode::Require(name, value) if request.header(&name) != Some(&value) => {
                Ok(Reply { status: 401, headers: Vec::new(), body: b"who are you?".to_vec() })
            }
            Mode::Pass | Mode::Require(..) => send(&self.upstream, &request).await,
            Mode::StripIndex => send(&self.upstream, &request).await.map(|mut reply| {
                reply.headers.retain(|(name, _)| name != "x-consul-index");
                reply
            }),
            Mode::IgnoreIndex => {
                let request = Request { path: without_index(&request.path), ..request };
                send(&self.upstream, &request).await
            }
        };
        let reply = reply.unwrap_or_else(|error| Reply {
            status: 502,
            headers: Vec::new(),
            body: error.to_string().into_bytes(),
        });
        let _ = answer(&mut stream, &reply).await;
    }
}

fn without_index(path: &str) -> String {
    let Some((path, query)) = path.split_once('?') else { return path.to_owned() };
    let kept: Vec<_> = query
        .split('&')
        .filter(|parameter| !parameter.starts_with("index=") && !parameter.starts_with("wait="))
        .collect();
    if kept.is_empty() { path.to_owned() } else { format!("{path}?{}", kept.join("&")) }
}

/// What a [`Cutter`] does to the bytes that go through.
#[derive(Default)]
struct Faults {
    /// How long they are kept, in milliseconds.
    delay: AtomicU64,
    /// How many times connections were silenced. One that was made before the last time passes nothing.
    silenced: AtomicU64,
    /// How many bytes the server has sent.
    received: AtomicU64,
}

/// A proxy that knows nothing but bytes, for TCP and for unix sockets.
pub struct Cutter {
    gate: Gate,
    faults: Arc<Faults>,
    /// Holds the socket, where it is one.
    _folder: Option<TempDir>,
}

impl Cutter {
    /// Listens on a unix socket of its own, before the one at that path.
    pub async fn unix(upstream: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let place = Place::Unix(folder.path().join("cut.sock"));
        Self::new(place, Place::Unix(upstream.to_owned()), Some(folder)).await
    }

    /// Listens on a free port of 127.0.0.1, before the server at that address.
    pub async fn tcp(upstream: SocketAddr) -> Self {
        Self::new(anywhere(), Place::Tcp(upstream), None).await
    }

    async fn new(place: Place, upstream: Place, folder: Option<TempDir>) -> Self {
        let faults = Arc::<Faults>::default();
        Self { gate: cutting_gate(place, upstream, Arc::clone(&faults)).await, faults, _folder: folder }
    }

    /// Keeps everything that goes through for so long from now on, either way.
    pub fn delay(&self, delay: Duration) {
        self.faults.delay.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Passes nothing more on the connections that there are now, and leaves them open, as a firewall that lost its
    /// table. New ones are served.
    pub fn silence(&self) {
        self.faults.silenced.fetch_add(1, Ordering::Relaxed);
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.gate.connections()
    }

    /// How many bytes the server behind has sent through it.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.faults.received.load(Ordering::Relaxed)
    }

    /// The socket that it listens on.
    ///
    /// # Panics
    /// When it listens on a port.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self.gate.place() {
            Place::Unix(path) => path,
            Place::Tcp(address) => panic!("listens at {address}, not on a socket"),
        }
    }

    /// The address that it listens at.
    ///
    /// # Panics
    /// When it listens on a socket.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        address(&self.gate)
    }

    /// Drops every connection.
    pub fn cut(&self) {
        self.gate.cut();
    }

    /// Drops every connection and refuses new ones.
    pub async fn refuse(&mut self) {
        self.gate.shut().await;
    }

    /// Accepts connections again.
    pub async fn restore(&mut self) {
        self.gate.reopen().await;
    }
}

async fn cutting_gate(place: Place, upstream: Place, faults: Arc<Faults>) -> Gate {
    Gate::open(place, move |stream| {
        let (upstream, faults) = (upstream.clone(), Arc::clone(&faults));
        async move {
            let silenced = faults.silenced.load(Ordering::Relaxed);
            let Ok(other) = upstream.connect().await else { return };
            let ((near, near_out), (far, far_out)) = (split(stream), split(other));
            let uncounted = AtomicU64::new(0);
            let pass = |from, to, counted| pass(from, to, Passage { faults: &faults, silenced, counted });
            // Each way ends on its own, as the two halves of a connection do.
            tokio::join!(pass(near, far_out, &uncounted), pass(far, near_out, &faults.received));
        }
    })
    .await
}

/// One way through a connection.
struct Passage<'a> {
    faults: &'a Faults,
    /// How many times connections had been silenced when it was made.
    silenced: u64,
    /// What counts its bytes.
    counted: &'a AtomicU64,
}

/// Moves bytes until one side is done.
async fn pass(mut from: ReadHalf<Box<dyn Stream>>, mut to: WriteHalf<Box<dyn Stream>>, way: Passage<'_>) {
    let Passage { faults, silenced, counted } = way;
    let mut bytes = vec![0; 16 << 10];
    loop {
        let read = from.read(&mut bytes).await;
        if faults.silenced.load(Ordering::Relaxed) > silenced {
            std::future::pending::<()>().await;
        }
        let Ok(count @ 1..) = read else { break };
        counted.fetch_add(count as u64, Ordering::Relaxed);
        let delay = Duration::from_millis(faults.delay.load(Ordering::Relaxed));
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        if to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

pub(crate) fn anywhere() -> Place {
    Place::Tcp((Ipv4Addr::LOCALHOST, 0).into())
}

pub(crate) fn address(gate: &Gate) -> SocketAddr {
    match gate.place() {
        Place::Tcp(address) => *address,
        Place::Unix(path) => panic!("listens on {}, not at an address", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers each connection with what it was sent.
    async fn echo(place: Place) -> Gate {
        Gate::open(place, |mut stream| async move {
            let mut bytes = [0; 64];
            while let Ok(count @ 1..) = stream.read(&mut bytes).await {
                let _ = stream.write_all(&bytes[..count]).await;
            }
        })
        .await
    }

    async fn echoes(place: &Place) -> bool {
        let Ok(mut stream) = place.connect().await else { return false };
        let mut bytes = [0; 2];
        stream.write_all(b"hi").await.is_ok() && stream.read_exact(&mut bytes).await.is_ok() && &bytes == b"hi"
    }

    #[tokio::test]
    async fn a_cutter_passes_bytes_and_cuts_refuses_and_restores() {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("echo.sock");
        let _unix = echo(Place::Unix(socket.clone())).await;
        let tcp = echo(anywhere()).await;
        for mut cutter in [Cutter::unix(&socket).await, Cutter::tcp(address(&tcp)).await] {
            let place = cutter.gate.place().clone();
            assert!(echoes(&place).await);
            assert_eq!(cutter.received(), 2);
            let mut open = place.connect().await.expect("a connection");
            open.write_all(b"x").await.expect("sent");
            assert_eq!(open.read_u8().await.ok(), Some(b'x'));
            cutter.cut();
            assert!(open.read_u8().await.is_err(), "{place:?} was not cut");
            assert!(echoes(&place).await);
            cutter.refuse().await;
            assert!(place.connect().await.is_err(), "{place:?} was not refused");
            cutter.restore().await;
            assert!(echoes(&place).await);
        }
    }

    #[tokio::test]
    async fn a_cutter_silences_the_connections_that_there_are_and_serves_new_ones() {
        let tcp = echo(anywhere()).await;
        let cutter = Cutter::tcp(address(&tcp)).await;
        let place = cutter.gate.place().clone();
        let mut open = place.connect().await.expect("a connection");
        open.write_all(b"x").await.expect("sent");
        assert_eq!(open.read_u8().await.ok(), Some(b'x'));
        cutter.silence();
        open.write_all(b"x").await.expect("sent");
        let silent = tokio::time::timeout(Duration::from_millis(100), open.read_u8()).await;
        assert!(silent.is_err(), "it said {silent:?}");
        assert!(echoes(&place).await);
        assert!(cutter.connections() >= 1);
    }

    #[tokio::test]
    async fn a_recorder_passes_on_remembers_and_breaks_on_command() {
        let behind = HttpRecorder::start(([127, 0, 0, 1], 1).into()).await;
        behind.set(Mode::Answer(200, "hello".to_owned()));
        let mut recorder = HttpRecorder::start(behind.address()).await;
        let place = Place::Tcp(recorder.address());
        let request = Request {
            method: "PUT".to_owned(),
            path: "/a?index=5&x=y".to_owned(),
            headers: vec![("x-test".to_owned(), "1".to_owned())],
            body: b"body".to_vec(),
        };
        let reply = send(&place, &request).await.expect("an answer");
        assert_eq!((reply.status, reply.body.as_slice()), (200, &b"hello"[..]));
        assert_eq!(recorder.count("PUT", "/a"), 1);
        let seen = behind.requests().remove(0);
        assert_eq!(
            (seen.path.as_str(), seen.header("x-test"), seen.body.as_slice()),
            ("/a?index=5&x=y", Some("1"), &b"body"[..])
        );

        recorder.set(Mode::IgnoreIndex);
        send(&place, &request).await.expect("an answer");
        assert_eq!(behind.requests()[1].path, "/a?x=y");
        recorder.set(Mode::Require("x-test".to_owned(), "2".to_owned()));
        assert_eq!(send(&place, &request).await.map(|reply| reply.status).ok(), Some(401));
        recorder.set(Mode::Hang);
        let hung = tokio::time::timeout(std::time::Duration::from_millis(100), send(&place, &request)).await;
        assert!(hung.is_err(), "it answered");
        recorder.refuse().await;
        assert!(send(&place, &request).await.is_err());
        recorder.restore().await;
        recorder.set(Mode::Pass);
        assert!(send(&place, &request).await.is_ok());
        recorder.forget();
        assert!(recorder.requests().is_empty());
    }
}
