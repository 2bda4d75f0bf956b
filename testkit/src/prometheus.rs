//! A real Prometheus on a port of its own.

use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::http::{Request, send};
use crate::net::Place;
use crate::servers::binary;
use crate::wait::eventually;

/// How long its start may take on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A running Prometheus; gone when dropped.
pub struct Prometheus {
    address: SocketAddr,
    _folder: TempDir,
    child: Child,
}

impl Prometheus {
    /// Starts the program of this name with this configuration.
    ///
    /// # Panics
    /// When it cannot be started.
    #[must_use]
    pub fn start(program: &str, configuration: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, configuration).expect("a file written");
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = free.expect("a port");
        let child = Command::new(binary(program))
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Prometheus");
        Self { address, _folder: folder, child }
    }

    /// The answer of its API; null while it gives none.
    pub async fn ask(&self, path: &str) -> Value {
        let request = Request { method: "GET".to_owned(), path: path.to_owned(), ..Request::default() };
        match send(&Place::Tcp(self.address), &request).await {
            Ok(reply) => serde_json::from_slice(&reply.body).unwrap_or_default(),
            Err(_) => Value::Null,
        }
    }

    /// Waits until it has scraped every target once.
    ///
    /// # Panics
    /// When it never does.
    pub async fn scrapes(&self) {
        let scraped = async || {
            let told = self.ask("/api/v1/targets?state=active").await;
            let targets = told["data"]["activeTargets"].as_array().cloned().unwrap_or_default();
            (!targets.is_empty() && targets.iter().all(|target| target["health"] == "up")).then_some(())
        };
        eventually("Prometheus scrapes its targets", START, scraped).await;
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
