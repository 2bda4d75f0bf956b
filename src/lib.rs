//! `registrator` keeps service registries equal to what runs in Docker.
//!
//! Desired state is computed from containers, actual state is read from the
//! registry, and only the difference is written:
//!
//! ```text
//! engine ─► host ─► desired ─► reconcile ─► registry ─► Consul, etcd, ZooKeeper, …
//!           facts    what       a plan:      how that store
//!                    should     writes with  spells it
//!                    exist      reasons
//!                      │            │            │
//!                      └────────────┴── events ──┴──► log
//! ```
//!
//! The modules below stand on floors, the lowest first: a module imports from those before it, never from those behind
//! it.

// Types and tools that all modules share.
pub mod asking;
mod backoff;
pub mod config;
pub mod container;
mod deadlines;
pub mod http;
mod json;
pub mod machine;
mod nearest;
mod pool;
mod yaml;

// What a container offers, and why.
pub mod service;

pub mod desired;
pub mod event;
pub mod template;

// The two outsides.
pub mod docker;
pub mod registry;

// What is wrong in a file of containers.
pub mod validate;

// The core of the program.
pub mod host;
pub mod reconcile;
pub mod render;

// What is known, for whoever asks.
pub mod audit;
pub mod status;

// One run, and what starts it.
pub mod app;
pub mod cli;
pub mod log;

// confd's command line over the rendering.
pub mod confd;

// Questions, each answered and done.
pub mod ask;
