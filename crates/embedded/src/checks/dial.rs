//! Why a connection was not made, in the words that Consul's users know.

use std::io;

/// `dial tcp 10.0.0.1:80: connect: connection refused`
pub(super) fn refused(target: &str, error: &io::Error) -> String {
    let reason = match error.kind() {
        io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {target}: {reason}")
}

/// `dial tcp 10.0.0.1:80: i/o timeout`
pub(super) fn timed_out(target: &str) -> String {
    format!("dial tcp {target}: i/o timeout")
}
