//! A proxy before an engine's socket that lets through what is only reading, as people put one before theirs:
//! it knows the four questions that we ask, and refuses whatever else is asked.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tempfile::TempDir;
use tokio::io::{AsyncWriteExt, BufReader};

use crate::http::{Reply, answer, receive};
use crate::net::{Gate, Place, Stream};

/// The paths that may be asked for, after the version of the API.
const OPEN: [&str; 4] = ["/version", "/containers/json", "/events", "/_ping"];

/// The proxy; it listens until it is dropped.
pub struct Guard {
    gate: Gate,
    shared: Arc<Shared>,
    folder: TempDir,
}

/// What the proxy and its connections share.
#[derive(Default)]
struct Shared {
    asked: Mutex<Vec<Asked>>,
    /// Ends of paths that are refused as well.
    forbidden: Mutex<Vec<String>>,
}

/// What somebody asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `GET /v1.41/containers/json?all=0`.
    pub what: String,
    /// Whether it was let through.
    pub passed: bool,
}

impl Guard {
    /// Listens on a unix socket of its own, before the one at that path.
    ///
    /// # Panics
    /// When it cannot.
    pub async fn before(engine: &Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let shared = Arc::<Shared>::default();
        let (upstream, serving) = (Place::Unix(engine.to_owned()), Arc::clone(&shared));
        let gate = Gate::open(Place::Unix(folder.path().join("guard.sock")), move |stream| {
            let (upstream, shared) = (upstream.clone(), Arc::clone(&serving));
            async move { serve(stream, &upstream, &shared).await }
        })
        .await;
        Self { gate, shared, folder }
    }

    /// Its socket.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("guard.sock")
    }

    /// What was asked for so far.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().expect("what was asked").clone()
    }

    /// Refuses requests for paths that end so, from now on and until [`Guard::allow`].
    ///
    /// # Panics
    /// Never.
    pub fn forbid(&self, end: &str) {
        self.shared.forbidden.lock().expect("what is forbidden").push(end.to_owned());
    }

    /// Lets through again what was forbidden.
    ///
    /// # Panics
    /// Never.
    pub fn allow(&self) {
        self.shared.forbidden.lock().expect("what is forbidden").clear();
    }

    /// Drops every connection.
    pub fn cut(&self) {
        self.gate.cut();
    }
}

/// One request for each connection: the answer, which may be a stream, is passed on until it ends.
async fn serve(stream: Box<dyn Stream>, upstream: &Place, shared: &Shared) {
    let mut stream = BufReader::new(stream);
    let Ok(request) = receive(&mut stream).await else { return };
    let path = request.path.split('?').next().unwrap_or_default();
    let is_forbidden = shared.forbidden.lock().expect("what is forbidden").iter().any(|end| path.ends_with(end));
    let passed = request.method == "GET" && request.body.is_empty() && is_open(&request.path) && !is_forbidden;
    let what = format!("{} {}", request.method, request.path);
    shared.asked.lock().expect("what was asked").push(Asked { what, passed });
    if !passed {
        let body = br#"{"message":"this is not allowed here"}"#.to_vec();
        let _ = answer(&mut stream, &Reply { status: 403, headers: Vec::new(), body }).await;
        return;
    }
    let Ok(mut engine) = upstream.connect().await else { return };
    let head = format!("GET {} HTTP/1.1\r\nhost: docker\r\nconnection: close\r\n\r\n", request.path);
    if engine.write_all(head.as_bytes()).await.is_ok() {
        let _ = tokio::io::copy(&mut engine, &mut stream).await;
        let _ = stream.shutdown().await;
    }
}

fn is_open(path: &str) -> bool {
    let path = path.split('?').next().unwrap_or_default();
    let versioned = path.strip_prefix("/v1.").and_then(|rest| Some(&rest[rest.find('/')?..]));
    let path = versioned.unwrap_or(path);
    let inspects = || {
        let id = path.strip_prefix("/containers/").and_then(|rest| rest.strip_suffix("/json"));
        id.is_some_and(|id| !id.is_empty() && !id.contains('/'))
    };
    OPEN.contains(&path) || inspects()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_questions_that_only_read_are_known() {
        for path in ["/version", "/v1.41/containers/json?all=1", "/v1.41/containers/ab12/json", "/v1.24/events?x=y"] {
            assert!(is_open(path), "{path}");
        }
        for path in ["/", "/v1.41/images/json", "/v1.41/containers/ab12/logs", "/v1.41/containers/a/b/json", "/info"] {
            assert!(!is_open(path), "{path}");
        }
    }
}
