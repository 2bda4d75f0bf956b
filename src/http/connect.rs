//! Connections over a unix socket or TCP, with a deadline for connecting.

use std::error::Error;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tower_service::Service;

/// How long connecting may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// TCP keep-alive: the idle time before the first probe, and the interval of further probes.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// Errors of a connection.
pub(super) type Failure = Box<dyn Error + Send + Sync>;

/// Connects to the host of the URL, with TLS for https.
pub(super) fn network(tls: ClientConfig) -> InTime<HttpsConnector<HttpConnector>> {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE));
    tcp.set_keepalive_interval(Some(KEEPALIVE));
    tcp.set_keepalive_retries(Some(3));
    InTime(HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp))
}

/// Connects to one socket, whatever the URL says.
pub(super) fn socket(path: &Path) -> InTime<Socket> {
    InTime(Socket(path.into()))
}

#[derive(Clone)]
pub(super) struct Socket(Arc<Path>);

impl Service<Uri> for Socket {
    type Response = TokioIo<UnixStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let path = Arc::clone(&self.0);
        Box::pin(async move { UnixStream::connect(path).await.map(TokioIo::new) })
    }
}

/// A connector with a deadline.
#[derive(Clone)]
pub(super) struct InTime<C>(C);

impl<C> Service<Uri> for InTime<C>
where
    C: Service<Uri, Error: Into<Failure>, Future: Send + 'static>,
{
    type Response = C::Response;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<C::Response, Failure>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        self.0.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = self.0.call(to);
        Box::pin(async move {
            match timeout(DEADLINE, connecting).await {
                Ok(connected) => connected.map_err(Into::into),
                Err(_) => Err("no answer in time".into()),
            }
        })
    }
}
