//! `registrator` keeps service registries equal to what runs in Docker.
//!
//! Desired state is computed from containers, actual state is read from the
//! registry, and only the difference is written:
//!
//! ```text
//! Docker engine ──► docker ──► service ──► bridge ──► registry ──► Consul, …
//!    list, inspect,   facts      what it       what must     how that store
//!    events                      offers        change        spells it
//! ```
//!
//! The modules below stand in the order of that way. Arrows point one way: a
//! module imports from those before it, never from those behind it.

mod backoff;
pub mod config;
mod deadlines;
pub mod http;
mod json;
pub mod machine;
mod nearest;
mod pool;

pub mod container;
pub mod docker;

pub mod service;

pub mod event;
pub mod template;

pub mod registry;

pub mod bridge;

pub mod cli;
pub mod log;
