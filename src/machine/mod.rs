//! The machine that the program runs on: its name, the address under which others reach it, and whether the two are only
//! those of a container.
//!
//! Stands beside [`crate::config`]; what is decided here is pure, and the few questions to the system are asked in thin
//! functions of their own.

mod address;
mod container;

pub use address::{HostAddress, How, address, default_route, name};
pub use container::advice;
