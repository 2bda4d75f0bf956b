//! What goes wrong between us and an engine: at the start, and with one request.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::decode::{LARGEST, Malformed};
use super::version::NoCommonVersion;
use crate::http::{self, ClientError};

/// How long an answer may take, from the request to its last byte.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// How a container gets at the engine. Not the socket itself: one that is mounted goes stale when the engine restarts.
const MOUNT: &str = "in a container, mount the directory of the socket: -v /var/run:/host/run:ro -e \
                     DOCKER_HOST=unix:///host/run/docker.sock";

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// No answer within the deadline.
    #[error("no answer within {} s", DEADLINE.as_secs())]
    Timeout,
    /// The connection could not be made, or broke.
    #[error("{0}")]
    Transport(String),
    /// The engine, or a proxy before it, will not.
    #[error("it answers {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it says, on one line.
        message: String,
    },
    /// The answer is larger than any that makes sense.
    #[error("the answer is larger than {} KiB", .limit >> 10)]
    TooLarge {
        /// The largest that is read, in bytes.
        limit: usize,
    },
    /// What the engine says of a container is larger than is read.
    #[error("what Docker says of it (labels, environment, ports) is larger than {} MiB", LARGEST.text >> 20)]
    ContainerTooLarge {
        /// The container's name; empty where that was not said before.
        name: String,
    },
    /// The answer makes no sense.
    #[error("{0}")]
    Malformed(#[from] Malformed),
}

impl RequestError {
    /// Whether somebody understood the request and will not answer it: an engine's plugin, or a proxy before the engine.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        // 404 is no engine's word on these paths, but a proxy's: that there is no such container is no error.
        matches!(self, Self::Refused { status: 401 | 403 | 404 | 405 | 407, .. })
    }
}

/// Why there is no engine to speak to. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// None of the usual sockets is there.
    #[error(
        "no Docker socket at /tmp/docker.sock, /var/run/docker.sock or Podman's usual places: start the engine, or set \
         DOCKER_HOST; {MOUNT}"
    )]
    NoSocket,
    /// There is nothing where `DOCKER_HOST` says.
    #[error("there is no socket at {path}: start the engine, or correct DOCKER_HOST; {MOUNT}")]
    Missing {
        /// Where it should be.
        path: PathBuf,
    },
    /// Something else than a socket is there.
    #[error(
        "{path} is not a socket{}: correct DOCKER_HOST; {MOUNT}",
        if *.directory { " but a directory, which Docker makes where there is nothing to mount" } else { "" }
    )]
    NotASocket {
        /// Where it should be.
        path: PathBuf,
        /// Whether it is a directory.
        directory: bool,
    },
    /// This user may not use the socket.
    #[error("permission to use {endpoint} is denied: add this user to the group of the socket, or run as root")]
    Denied {
        /// The engine's place.
        endpoint: String,
    },
    /// Nobody listens.
    #[error("nobody answers at {endpoint}: start the engine, or correct DOCKER_HOST")]
    NobodyThere {
        /// The engine's place.
        endpoint: String,
    },
    /// The connection cannot be made, for some other reason.
    #[error("{endpoint} cannot be reached: {reason}; start the engine, or correct DOCKER_HOST")]
    Unreachable {
        /// The engine's place.
        endpoint: String,
        /// What went wrong.
        reason: String,
    },
    /// Somebody answers, but not as an engine does.
    #[error("{endpoint} is not a Docker engine: {reason}; {hint}")]
    NotAnEngine {
        /// The engine's place.
        endpoint: String,
        /// What it did instead.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// `DOCKER_HOST` cannot be understood.
    #[error("DOCKER_HOST={host}: {reason}")]
    BadHost {
        /// What it says, without credentials.
        host: String,
        /// What is wrong, and what to write.
        reason: String,
    },
    /// `DOCKER_API_VERSION` cannot be understood.
    #[error("DOCKER_API_VERSION={version}: give a version like 1.41, or unset it to take the newest that fits")]
    BadVersion {
        /// What it says.
        version: String,
    },
    /// The authority's certificate is not there.
    #[error("{file} is missing: put ca.pem, cert.pem and key.pem there, or correct DOCKER_CERT_PATH")]
    NoCertificates {
        /// The file.
        file: PathBuf,
    },
    /// The TLS files cannot be used.
    #[error("TLS with Docker: {0}; check the files of DOCKER_CERT_PATH")]
    Tls(#[from] ClientError),
    /// There is no version of the API that both sides know.
    #[error("{endpoint}: {reason}")]
    Version {
        /// The engine's place.
        endpoint: String,
        /// Which side is too old, and what to do.
        reason: NoCommonVersion,
    },
}

impl ConnectError {
    /// Whether no waiting can help: something must be changed in our own settings, or one of the two programs updated.
    #[must_use]
    pub fn is_final(&self) -> bool {
        match self {
            Self::BadHost { .. }
            | Self::BadVersion { .. }
            | Self::NoCertificates { .. }
            | Self::Tls(_)
            | Self::Version { .. } => true,
            Self::NoSocket
            | Self::Missing { .. }
            | Self::NotASocket { .. }
            | Self::Denied { .. }
            | Self::NobodyThere { .. }
            | Self::Unreachable { .. }
            | Self::NotAnEngine { .. } => false,
        }
    }

    pub(super) fn from_request(endpoint: &str, socket: Option<&Path>, error: &http::Error) -> Self {
        let name = endpoint.to_owned();
        match (io_kind(error), socket) {
            (Some(io::ErrorKind::NotFound), Some(path)) => Self::Missing { path: path.to_owned() },
            (Some(io::ErrorKind::PermissionDenied), _) => Self::Denied { endpoint: name },
            (Some(io::ErrorKind::ConnectionRefused), Some(path)) if !is_socket(path) => {
                Self::NotASocket { path: path.to_owned(), directory: path.is_dir() }
            }
            (Some(io::ErrorKind::ConnectionRefused), _) => Self::NobodyThere { endpoint: name },
            _ if error.is_connect() => Self::Unreachable { endpoint: name, reason: error.to_string() },
            _ => Self::not_an_engine(endpoint, &error.to_string()),
        }
    }

    pub(super) fn silent(endpoint: &str) -> Self {
        let reason = format!("no answer within {} s", DEADLINE.as_secs());
        Self::Unreachable { endpoint: endpoint.to_owned(), reason }
    }

    pub(super) fn not_an_engine(endpoint: &str, reason: &str) -> Self {
        // What Go's server says to plain HTTP on its TLS port.
        let hint = if reason.contains("HTTP request to an HTTPS server") {
            "set DOCKER_TLS_VERIFY=1"
        } else if reason.starts_with("it answers 403") {
            "let the proxy before it pass GET /version, /containers/json, /containers/{id}/json and /events"
        } else {
            "correct DOCKER_HOST"
        };
        Self::NotAnEngine { endpoint: endpoint.to_owned(), reason: reason.to_owned(), hint }
    }
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    path.metadata().is_ok_and(|metadata| metadata.file_type().is_socket())
}

/// The kind of the I/O error at the root of a failed request.
fn io_kind(error: &http::Error) -> Option<io::ErrorKind> {
    std::iter::successors(error.source(), |&error| error.source())
        .filter_map(|error| error.downcast_ref::<io::Error>())
        .map(io::Error::kind)
        .find(|kind| *kind != io::ErrorKind::Other)
}
