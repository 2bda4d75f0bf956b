//! What the proxies stand on: one kind of stream for TCP and unix sockets, and a listener that can be
//! closed, opened again at the same place, and made to drop every connection.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::{AbortHandle, JoinHandle};

/// A connection, of whatever kind.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Where a server listens.
#[derive(Clone, Debug)]
pub enum Place {
    /// An address.
    Tcp(SocketAddr),
    /// A unix socket.
    Unix(PathBuf),
}

impl Place {
    /// Connects to it.
    ///
    /// # Errors
    /// Those of the system.
    pub async fn connect(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(address) => Box::new(TcpStream::connect(address).await?),
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
        })
    }

    async fn listen(&self) -> io::Result<Listener> {
        Ok(match self {
            Self::Tcp(address) => Listener::Tcp(TcpListener::bind(address).await?),
            Self::Unix(path) => {
                let _ = std::fs::remove_file(path);
                Listener::Unix(UnixListener::bind(path)?)
            }
        })
    }
}

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

type Serve = Arc<dyn Fn(Box<dyn Stream>) -> futures_util::future::BoxFuture<'static, ()> + Send + Sync>;

/// A listener that hands each connection to the same function, and is shut and opened on command.
pub(crate) struct Gate {
    place: Place,
    serve: Serve,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
    accepting: Option<JoinHandle<()>>,
}

impl Gate {
    /// Opens it; an address with port 0 gets a free one.
    pub(crate) async fn open<F>(place: Place, serve: impl Fn(Box<dyn Stream>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = place.listen().await.expect("a free place to listen at");
        let place = match &listener {
            Listener::Tcp(listener) => Place::Tcp(listener.local_addr().expect("its address")),
            Listener::Unix(_) => place,
        };
        let serve: Serve = Arc::new(move |stream| Box::pin(serve(stream)));
        let mut gate = Self { place, serve, connections: Arc::default(), accepting: None };
        gate.accept(listener);
        gate
    }

    /// Where it listens.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// How many connections are open.
    pub(crate) fn connections(&self) -> usize {
        let connections = self.connections.lock().expect("the connections");
        connections.iter().filter(|connection| !connection.is_finished()).count()
    }

    /// Drops every connection, and goes on accepting.
    pub(crate) fn cut(&self) {
        for connection in self.connections.lock().expect("the connections").drain(..) {
            connection.abort();
        }
    }

    /// Drops every connection, and refuses new ones.
    pub(crate) async fn shut(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            let _ = accepting.await;
        }
        self.cut();
    }

    /// Listens again at the same place, if it does not.
    pub(crate) async fn reopen(&mut self) {
        if self.accepting.is_none() {
            let listener = self.place.listen().await.expect("the same place again");
            self.accept(listener);
        }
    }

    fn accept(&mut self, listener: Listener) {
        let (serve, connections) = (Arc::clone(&self.serve), Arc::clone(&self.connections));
        self.accepting = Some(tokio::spawn(async move {
            while let Ok(stream) = listener.accept().await {
                let mut connections = connections.lock().expect("the connections");
                connections.retain(|connection| !connection.is_finished());
                connections.push(tokio::spawn(serve(stream)).abort_handle());
            }
        }));
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
        self.cut();
    }
}
