//! What tests and benches stand on: real servers on private ports, containers from scratch images,
//! and doubles that break on command.

// A test that cannot be set up has failed: saying so at once is the point.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// A program's log belongs into the output of the test that failed.
#![allow(clippy::print_stderr)]

pub mod agent;
pub mod certificates;
pub mod chromium;
pub mod consul;
pub mod discoverd;
pub mod dns_load;
pub mod dns_server;
pub mod docker;
pub mod endless;
pub mod engine;
pub mod etcd;
pub mod eureka;
pub mod guard;
pub mod hosts;
pub mod http;
pub mod island;
pub mod machine;
pub mod memory;
pub mod net;
pub mod podman;
pub mod private_engine;
pub mod program;
pub mod prometheus;
pub mod proxy;
pub mod redis;
pub mod redis_sentinel;
pub mod servers;
mod stand_in;
pub mod tls_front;
pub mod traefik;
pub mod wait;
pub mod webhook;
#[cfg(feature = "zookeeper")]
pub mod zookeeper;
