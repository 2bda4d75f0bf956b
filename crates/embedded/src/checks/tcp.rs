//! TCP checks: a connection is made, and closed.

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Outcome, Status, dial};

pub(super) async fn probe(target: &str, limit: Duration) -> Outcome {
    match timeout(limit, TcpStream::connect(target)).await {
        Ok(Ok(_)) => (Status::Passing, format!("TCP connect {target}: Success")),
        Ok(Err(error)) => (Status::Critical, dial::refused(target, &error)),
        Err(_) => (Status::Critical, dial::timed_out(target)),
    }
}
