//! The embedded registry's HTTP answers what Consul's answers: the same services stand in both, and
//! every endpoint is asked of both.

// A test that cannot be set up has failed: saying so at once is the point.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod answers;
mod beside;
mod blocking;
mod checks;
mod containers;
mod filters;
mod flood;
mod hostile;
mod promises;
#[path = "../support/mod.rs"]
mod support;
mod targets;
mod tls;
