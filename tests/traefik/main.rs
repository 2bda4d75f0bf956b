//! Traefik's configuration from the labels of containers: in stores, and over HTTP. With the real Traefik.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

mod fixture;
mod http;
mod load;
mod schema;
mod stores;
mod walk;
