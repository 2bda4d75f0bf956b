//! TCP checks: a connection is made, and closed.

use std::time::Duration;

use tokio::time::timeout;

use super::dial::Dialer;
use super::{Outcome, Status, dial};
use crate::definition::Definition;

pub(super) async fn probe(definition: &Definition, dialer: Dialer<'_>, limit: Duration) -> Outcome {
    let target = definition.authority();
    match timeout(limit, dialer.connect(&definition.address, definition.port)).await {
        Ok(Ok(_)) => (Status::Passing, format!("TCP connect {target}: Success")),
        Ok(Err(reason)) => (Status::Critical, reason),
        Err(_) => (Status::Critical, dial::timed_out(&target)),
    }
}
