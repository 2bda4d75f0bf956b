//! Status: what the running program knows, for whoever asks.
//!
//! ```text
//!  events ──► Listeners (journal, meter) ─┐
//!  host ◄── question ── Hub ──────────────┼──► views ──► Desk: JSON, metrics, health, the page
//!  keepers ◄── question ──┘               ┘
//! ```
//!
//! Nothing is kept for it but the last events and the figures: a [`Hub`] asks the tasks that own the state
//! ([`crate::asking`]), and [`look`] makes [`view`]s of their answers. [`Desk`] answers over HTTP.

pub mod answer;
mod certificates;
pub mod clock;
mod entry;
mod events;
pub mod files;
pub mod health;
pub mod hub;
pub mod journal;
pub mod look;
pub mod meter;
pub mod page;
pub mod query;
pub mod serve;
mod targets;
mod templates;
mod token;
mod traefik;
pub mod view;

use std::net::SocketAddr;
use std::sync::Arc;

use registrator_web::{Limits, Names, serve as serve_web};
use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio_util::sync::{CancellationToken, DropGuard};

pub use certificates::follow as follow_certificates;
pub use hub::{Hub, Kept, Listeners};
pub use serve::{Desk, Path};
pub use targets::keep_file;
pub use token::Token;

/// The limits of the listener: far fewer readers than a registry has.
const LIMITS: fn() -> Limits = || Limits { connections: 192, connections_per_client: 96, ..Limits::default() };

/// The listener while it serves, on a thread of its own.
pub struct Serving {
    runtime: Option<Runtime>,
    _stop: DropGuard,
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Whoever drops it may be a task, which must not wait.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A port that is taken before anything else begins.
pub struct Listener(std::net::TcpListener);

impl Listener {
    /// Takes the port.
    ///
    /// # Errors
    /// In one line that says what to do.
    pub fn take(address: SocketAddr) -> Result<Self, String> {
        let listener = std::net::TcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        listener.map(Self).map_err(|error| format!("-status {address}: {error}; give another address or port"))
    }

    /// Its address; with the port that the system chose, if it was 0.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.0.local_addr()
    }

    /// Serves, until the result is dropped.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn serve(
        self,
        hub: Hub,
        names: Names,
        token: Option<Token>,
        tls: Option<Arc<ServerConfig>>,
    ) -> std::io::Result<Serving> {
        let runtime = Builder::new_multi_thread().worker_threads(1).thread_name("status").enable_all().build()?;
        let stop = CancellationToken::new();
        let entered = runtime.enter();
        let listener = TcpListener::from_std(self.0)?;
        drop(entered);
        let desk = Arc::new(Desk::new(hub, names, token));
        runtime.spawn(serve_web(listener, desk, LIMITS(), tls, stop.clone()));
        Ok(Serving { runtime: Some(runtime), _stop: stop.drop_guard() })
    }
}
