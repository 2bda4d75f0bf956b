//! The embedded registry's DNS answers what Consul's answers, and nothing on the network can hurt it.

// A test that cannot be set up has failed: saying so at once is the point.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;
mod consul;
mod fixture;
mod hostile;
mod limits;
mod promises;
mod resolvers;
