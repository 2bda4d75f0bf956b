//! Errors between us and an engine: at the start, and of single requests.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::decode::{LARGEST, Malformed};
use super::version::NoCommonVersion;
use crate::http::{self, ClientError};

/// The deadline of an answer, from the request to its last byte.
pub(super) const DEADLINE: Duration = Duration::from_secs(10);

/// How to mount the engine's socket into a container. The directory, because a mounted socket goes stale when the
/// engine restarts.
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
    /// The engine, or a proxy in front of it, refuses.
    #[error("it answers {status}: {message}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its message, on one line.
        message: String,
    },
    /// The answer exceeds the limit.
    #[error("the answer is larger than {} KiB", .limit >> 10)]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The engine's description of a container exceeds the limit.
    #[error("what Docker says of it (labels, environment, ports) is larger than {} MiB", LARGEST.text >> 20)]
    ContainerTooLarge {
        /// The container's name; empty if it came after the limit.
        name: String,
    },
    /// The answer is invalid.
    #[error("{0}")]
    Malformed(#[from] Malformed),
}

impl RequestError {
    /// Whether the request was understood and refused: by an engine's plugin, or by a proxy in front of the engine.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        // On these paths, a 404 comes from a proxy, not from the engine: a missing container is not an error.
        matches!(self, Self::Refused { status: 401 | 403 | 404 | 405 | 407, .. })
    }
}

/// Why no engine can be used. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// None of the usual sockets exists.
    #[error(
        "no Docker socket at /tmp/docker.sock, /var/run/docker.sock or Podman's usual places: start the engine, or set \
         DOCKER_HOST; {MOUNT}"
    )]
    NoSocket,
    /// The socket in `DOCKER_HOST` does not exist.
    #[error("there is no socket at {path}: start the engine, or correct DOCKER_HOST; {MOUNT}")]
    Missing {
        /// Its path.
        path: PathBuf,
    },
    /// The path is not a socket.
    #[error(
        "{path} is not a socket{}: correct DOCKER_HOST; {MOUNT}",
        if *.directory { " but a directory, which Docker makes where there is nothing to mount" } else { "" }
    )]
    NotASocket {
        /// Its path.
        path: PathBuf,
        /// Whether it is a directory.
        directory: bool,
    },
    /// This user has no permission for the socket.
    #[error("permission to use {endpoint} is denied: add this user to the group of the socket, or run as root")]
    Denied {
        /// The engine's address.
        endpoint: String,
    },
    /// Connection refused.
    #[error("nothing listens at {endpoint}: start the engine, or correct DOCKER_HOST")]
    NothingListens {
        /// The engine's address.
        endpoint: String,
    },
    /// Connecting failed for another reason.
    #[error("{endpoint} cannot be reached: {reason}; start the engine, or correct DOCKER_HOST")]
    Unreachable {
        /// The engine's address.
        endpoint: String,
        /// What went wrong.
        reason: String,
    },
    /// Another program than an engine answers.
    #[error("{endpoint} is not a Docker engine: {reason}; {hint}")]
    NotAnEngine {
        /// The engine's address.
        endpoint: String,
        /// What it answered.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// `DOCKER_HOST` is invalid.
    #[error("DOCKER_HOST={host}: {reason}")]
    BadHost {
        /// Its value, without credentials.
        host: String,
        /// What is wrong, and what to write.
        reason: String,
    },
    /// `DOCKER_API_VERSION` is invalid.
    #[error("DOCKER_API_VERSION={version}: give a version like 1.41, or unset it to take the newest that fits")]
    BadVersion {
        /// What it says.
        version: String,
    },
    /// The authority's certificate file is missing.
    #[error("{file} is missing: put ca.pem, cert.pem and key.pem there, or correct DOCKER_CERT_PATH")]
    NoCertificates {
        /// The file.
        file: PathBuf,
    },
    /// The TLS files are invalid.
    #[error("TLS with Docker: {0}; check the files of DOCKER_CERT_PATH")]
    Tls(#[from] ClientError),
    /// No version of the API fits both sides.
    #[error("{endpoint}: {reason}")]
    Version {
        /// The engine's address.
        endpoint: String,
        /// Which side is too old, and what to do.
        reason: NoCommonVersion,
    },
}

impl ConnectError {
    /// Whether waiting cannot help: a setting must be changed, or one of the two programs updated.
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
            | Self::NothingListens { .. }
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
            (Some(io::ErrorKind::ConnectionRefused), _) => Self::NothingListens { endpoint: name },
            _ if error.is_connect() => Self::Unreachable { endpoint: name, reason: error.to_string() },
            _ => Self::not_an_engine(endpoint, &error.to_string()),
        }
    }

    pub(super) fn silent(endpoint: &str) -> Self {
        let reason = format!("no answer within {} s", DEADLINE.as_secs());
        Self::Unreachable { endpoint: endpoint.to_owned(), reason }
    }

    pub(super) fn not_an_engine(endpoint: &str, reason: &str) -> Self {
        // The answer of Go's server to plain HTTP on its TLS port.
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
